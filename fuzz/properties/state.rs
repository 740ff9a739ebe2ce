//! The state's file: with any contents, it is opened or renamed. Then counting and reading continue, in no more memory
//! than the capacities need.

use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::Unstructured;
use openim_exporter::arena::{Boot, Step};
use openim_exporter::domain::{Chat, UnixMillis};
use openim_exporter::exposition::{Format, Scope, Scraper};
use openim_exporter::stats::{Capacities, Recorded, Stats};
use openim_exporter::telemetry::Telemetry;
use tempfile::TempDir;

use super::{exposition, protobuf};
use typical::typical;

#[path = "../../tests/support/typical.rs"]
pub(super) mod typical;

const NOW: UnixMillis = UnixMillis(1_732_345_678_901);
const BOOT: Boot = Boot::Id([1, 2]);
const OTHER_BOOT: Boot = Boot::Id([3, 4]);
const CAPACITIES: Capacities = Capacities {
    groups: 8,
    exported_groups: 4,
    sender_pairs: 16,
    dedup_window: Duration::ZERO,
    online: 100,
    history_days: 40,
};

/// The header's clean mark.
pub(super) const CLEAN: u64 = 0x434c_4541_4e21_2100;

const PAGE: usize = 4096;

/// One of this many states is read completely: fewer by the fuzzer, which tries millions.
const READ_WHOLE: u64 = if cfg!(fuzzing) { 1024 } else { 64 };

/// The maximum number of changes to a file.
const MAX_CHANGES: usize = 16;

thread_local! {
    static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
}

pub(crate) fn holds(bytes: &[u8]) {
    BENCH.with_borrow_mut(|bench| bench.get_or_insert_with(Bench::new).try_on(bytes));
}

/// A temporary directory, in memory if possible.
pub(super) fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A file's words.
pub(super) struct Words(pub(super) Vec<u8>);

impl Words {
    pub(super) fn get(&self, at: usize) -> u64 {
        self.0.get(8 * at..8 * at + 8).map_or(0, |word| u64::from_ne_bytes(word.try_into().unwrap()))
    }

    pub(super) fn set(&mut self, at: usize, value: u64) {
        if let Some(word) = self.0.get_mut(8 * at..8 * at + 8) {
            word.copy_from_slice(&value.to_ne_bytes());
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64 / 8
    }
}

/// An independent implementation of the header's checksum.
pub(super) fn sum(words: impl Iterator<Item = u64>) -> u64 {
    let step = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    let words: Vec<_> = words.collect();
    let mut sums = [0xcbf2_9ce4_8422_2325_u64; 8];
    let (rows, rest) = words.as_chunks::<8>();
    for (sum, word) in rows.iter().flat_map(|row| row.iter().enumerate()).map(|(lane, word)| (lane, *word)) {
        sums[sum] = step(sums[sum], word);
    }
    rest.iter().copied().chain(sums).fold(0, step)
}

/// The checksum of the first words of the header.
pub(super) mod facts_sum {
    use super::Words;

    pub(in super::super) const AT: usize = 12;

    pub(in super::super) fn of(words: &Words) -> u64 {
        super::sum((0..AT).map(|at| words.get(at)))
    }
}

/// A small state, to be changed and opened again and again.
struct Bench {
    directory: TempDir,
    telemetry: Arc<Telemetry>,
    /// The whole file.
    file: Vec<u8>,
    /// The numbers of the pages that are not all zeros.
    pages: Vec<usize>,
}

impl Bench {
    fn new() -> Self {
        let directory = directory();
        let stats = Stats::open(directory.path(), CAPACITIES, BOOT, NOW, &|_| ()).unwrap();
        for number in 0..20_i64 {
            let (group, sender) = (format!("group-{}", number % 5), format!("sender-{number}"));
            record(&stats, &group, &sender, UnixMillis(NOW.0 - 7 * number));
        }
        stats.tick(UnixMillis(NOW.0 + 20_000));
        drop(stats);
        let file = fs::read(directory.path().join("state")).unwrap();
        let pages = file.chunks(PAGE).enumerate().filter(|(_, page)| page.iter().any(|byte| *byte != 0));
        let pages = pages.map(|(number, _)| number).collect();
        let telemetry = Arc::new(Telemetry::default());
        Self { directory, telemetry, file, pages }
    }

    fn try_on(&self, bytes: &[u8]) {
        // Chosen by a hash that the fuzzer cannot aim at: otherwise it would mostly produce such inputs, because they
        // reach much code, and reading everything takes as long as hundreds of openings.
        let sum = bytes.iter().fold(0x2a_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        let is_read_whole = (sum >> 32).is_multiple_of(READ_WHOLE);
        let bytes = &mut Unstructured::new(bytes);
        self.prepare(bytes);
        let boot = if bytes.arbitrary().unwrap_or_default() { BOOT } else { OTHER_BOOT };
        let now = UnixMillis(NOW.0 + i64::from(bytes.arbitrary::<i32>().unwrap_or_default()));
        let aside = RefCell::new(None);
        let note = |step| {
            if let Step::Renamed { path, .. } = step {
                *aside.borrow_mut() = Some(path);
            }
        };
        let stats = Stats::open(self.directory.path(), CAPACITIES, boot, now, &note).unwrap();
        let stats = Arc::new(stats);
        assert_eq!((stats.groups_capacity(), stats.sender_pairs_capacity()), (8, 16));
        assert_eq!(fs::metadata(self.directory.path().join("state")).unwrap().len(), self.file.len() as u64);
        self.goes_on(&stats, now, is_read_whole);
        drop(stats);
        if let Some(aside) = aside.into_inner() {
            fs::remove_file(aside).unwrap();
        }
    }

    /// Writes a file of any bytes, or the small state with some changed words. Overwrites the existing file, because
    /// freeing and reserving blocks takes longer than opening it.
    fn prepare(&self, bytes: &mut Unstructured<'_>) {
        let path = self.directory.path().join("state");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap();
        let kind: u8 = bytes.arbitrary().unwrap_or_default();
        if kind & 7 == 7 {
            file.set_len(0).unwrap();
            file.write_all_at(bytes.bytes(bytes.len()).unwrap(), 0).unwrap();
            return;
        }
        let mut words = Words(self.file.clone());
        for _ in 0..usize::from(kind >> 3).min(MAX_CHANGES) {
            if bytes.is_empty() {
                break;
            }
            let (page, word): (u8, u16) = bytes.arbitrary().unwrap_or_default();
            let page = self.pages[usize::from(page) % self.pages.len()];
            let (word, value) = (usize::from(word) % (PAGE / 8), any_word(bytes));
            words.set(page * PAGE / 8 + word, value);
        }
        if kind & 1 == 0 {
            words.set(facts_sum::AT, facts_sum::of(&words));
        }
        let len: Option<u32> = (kind & 6 == 6).then(|| bytes.arbitrary().unwrap_or_default());
        let len = len.map_or(self.file.len(), |len| len as usize % (2 * self.file.len()));
        words.0.truncate(len);
        file.write_all_at(&words.0, 0).unwrap();
        file.set_len(len as u64).unwrap();
    }

    /// Counts another message, and reads the statistics.
    fn goes_on(&self, stats: &Arc<Stats>, now: UnixMillis, is_read_whole: bool) {
        // The same as the number of messages, but faster to read.
        let before = stats.content_bytes(Chat::Group).count;
        let recorded = record(stats, "group-of-mine", "sender-of-mine", now);
        assert_eq!(stats.content_bytes(Chat::Group).count, before.wrapping_add(1));
        let slot = match recorded {
            Recorded::Known(slot) | Recorded::Added(slot) => Some(slot),
            Recorded::Folded => None,
            other => panic!("it is in a group and has no ID: {other:?}"),
        };
        assert!(slot.is_none_or(|slot| stats.group(slot).is_some_and(|group| group.name.as_str() == "group-of-mine")));
        stats.tick(UnixMillis(now.0 + 10_000));
        let groups: Vec<_> = stats.groups().collect();
        assert_eq!(groups.len(), stats.groups_tracked());
        if is_read_whole {
            self.is_read(stats, Scope::Metrics, Format::Text, now);
            self.is_read(stats, Scope::Groups, Format::OpenMetrics, now);
            self.is_read(stats, Scope::Metrics, Format::Protobuf, now);
        }
    }

    fn is_read(&self, stats: &Arc<Stats>, scope: Scope, format: Format, now: UnixMillis) {
        let mut scraper = Scraper::new(scope, format, Arc::clone(stats), Arc::clone(&self.telemetry), now);
        let mut bytes = Vec::new();
        let mut chunk = Vec::new();
        while {
            let has_more = scraper.next_chunk(&mut chunk).unwrap();
            bytes.append(&mut chunk);
            has_more
        } {}
        let families = match format {
            Format::Protobuf => protobuf::parse(&bytes).unwrap().len(),
            _ => exposition::parse(std::str::from_utf8(&bytes).unwrap(), format).unwrap().len(),
        };
        assert!(families > 0);
    }
}

/// Any word, or one that is near an end of a range.
pub(super) fn any_word(bytes: &mut Unstructured<'_>) -> u64 {
    let word: u64 = bytes.arbitrary().unwrap_or_default();
    match word & 3 {
        0 => word >> 2 & 0xff,
        1 => u64::MAX - (word >> 2 & 0xff),
        2 => 1_u64.rotate_left(u32::try_from(word >> 2 & 63).unwrap()),
        _ => word,
    }
}

fn record(stats: &Stats, group: &str, sender: &str, now: UnixMillis) -> Recorded {
    stats.record(&typical(group, sender, now), now)
}
