//! Files in the format of 0.1.0: the one in tests/state/0.1.0, and larger ones derived from it. All offsets are
//! literal, and do not depend on the program.

use std::io::Read;

const STATE: &[u8] = include_bytes!("../state/0.1.0/state.gz");

/// The capacities of the state in tests/state/0.1.0: groups, pairs, and message IDs.
const KEPT: [usize; 3] = [12, 64, 1 << 21];

/// The clean mark in the header of a closed state.
const CLEAN: u64 = 0x434c_4541_4e21_2100;

pub(crate) fn unzip(bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut whole).unwrap();
    whole
}

/// The state that 0.1.0 wrote.
pub(crate) fn kept() -> Vec<u8> {
    unzip(STATE)
}

/// The sections of 0.1.0 in order, with their lengths in words.
fn sections([groups, pairs, messages]: [usize; 3]) -> Vec<(&'static str, usize)> {
    let row = |counters: usize| 16 * counters.next_multiple_of(16);
    let rings = |times: &'static str, sets: &'static str| {
        [62, 26, 32].into_iter().flat_map(move |buckets| [(times, buckets), (sets, buckets * 2048)])
    };
    let mut sections =
        vec![("began", 1), ("mix", row(82 * 12 * 3)), ("unlisted content types", 32), ("tallies", row(7))];
    sections.extend([("content bytes", row(11)), ("delivery delay", row(18)), ("submit delay", row(18))]);
    sections.extend([("clock errors", row(3)), ("delivery exemplars", 17 * 16)]);
    sections.extend(rings("senders stretches", "senders"));
    sections.extend(rings("active groups stretches", "active groups"));
    sections.extend([("groups", groups * 16), ("folded", row(3)), ("retiring", 2), ("ranked at", 1)]);
    sections.extend([("pairs", 2 * (2 * pairs).next_power_of_two()), ("pair tallies", row(2))]);
    sections.extend([("pairs at the last scan", 1), ("dedup", messages), ("repeats", row(2)), ("dedup cleared", 1)]);
    sections
}

/// The words of a file of 0.1.0.
struct Words(Vec<u64>);

impl Words {
    /// An empty file for these capacities, and the positions of its sections.
    fn new(capacities: [usize; 3]) -> (Self, Vec<(&'static str, usize)>) {
        let mut fingerprint: u64 = 0xcbf2_9ce4_8422_2325;
        let (mut end, mut starts) = (512, Vec::new());
        for (name, words) in sections(capacities) {
            starts.push((name, end));
            end = (end + words).next_multiple_of(16);
            for byte in name.bytes().chain(words.to_le_bytes()) {
                fingerprint = (fingerprint ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        let mut words = vec![0; end];
        words[..4].copy_from_slice(&[0x4f49_4d53_5441_5453, 1, fingerprint, end as u64]);
        (4..).zip(capacities).for_each(|(at, capacity)| words[at] = capacity as u64);
        words[12] = sum(&words[..12]);
        words[16..18].copy_from_slice(&[1, 2]);
        (Self(words), starts)
    }

    fn closed(mut self) -> Vec<u8> {
        self.0[18] = CLEAN;
        self.0[19] = sum(&self.0[512..]);
        self.0.into_iter().flat_map(u64::to_le_bytes).collect()
    }
}

/// An independent implementation of the header's checksum over some words.
pub(crate) fn sum(words: &[u64]) -> u64 {
    let step = |sum: u64, word: &u64| (sum ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    let mut sums = [0xcbf2_9ce4_8422_2325_u64; 8];
    let (rows, rest) = words.as_chunks::<8>();
    for row in rows {
        sums.iter_mut().zip(row).for_each(|(sum, word)| *sum = step(*sum, word));
    }
    rest.iter().chain(&sums).fold(0, step)
}

/// The messages of an added group.
pub(crate) fn messages_of(number: usize) -> u64 {
    number as u64 % 5 + 1
}

/// The name of an added group.
pub(crate) fn name_of(number: usize) -> String {
    format!("{}", 2_000_000_000 + number)
}

/// The state in tests/state/0.1.0, enlarged to this many groups and pairs. Each added group has one sender, last seen
/// in this minute since the epoch.
pub(crate) fn enlarged(groups: usize, minute: u64) -> Vec<u8> {
    let kept: Vec<_> = kept().chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    let (_, from) = Words::new(KEPT);
    let (mut words, to) = Words::new([groups, groups, 1 << 21]);
    let sizes = sections(KEPT);
    for (((name, from), (_, to)), (_, size)) in from.iter().zip(&to).zip(&sizes) {
        // The positions of pairs depend on the table's size.
        if *name != "pairs" {
            words.0[*to..to + size].copy_from_slice(&kept[*from..from + size]);
        }
    }
    let start = |name: &str| to.iter().find(|(section, _)| *section == name).unwrap().1;
    let mut added = 0;
    for number in KEPT[0]..groups {
        let slot = start("groups") + 16 * number;
        let (name, seen) = (name_of(number), minute * 60_000);
        words.0[slot..slot + 4].copy_from_slice(&[name.len() as u64 + 1, messages_of(number), seen, seen - 5]);
        words.0[slot + 5..slot + 7].copy_from_slice(&[messages_of(number), 0.25_f64.to_bits()]);
        for (at, bytes) in (slot + 8..).zip(name.as_bytes().chunks(8)) {
            words.0[at] = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        // At its key's home position; minutes are counted from 1.
        let entry = start("pairs") + 2 * number;
        words.0[entry..entry + 2].copy_from_slice(&[1 << 40 | number as u64, (number as u64) << 31 | (minute + 1)]);
        added += messages_of(number);
    }
    // In the second lane: a text of up to 16 bytes from a user on iOS, with status 2.
    for (row, stride, counter) in [("mix", 2960, 0), ("tallies", 16, 1), ("content bytes", 16, 0)] {
        words.0[start(row) + stride + counter] += added;
    }
    words.0[start("pairs at the last scan")] = 0;
    words.closed()
}
