//! The first page of every block: what the block is, and whether its numbers can be trusted.

use std::sync::atomic::{AtomicU64, Ordering};

use super::contents::Contents;
use super::identity::{Identity, Origin};
use super::plan::HEADER_WORDS;
use super::trust::{Boot, Damage, Doubt, Trust};

/// The first word of every block: `OIMSTATS` in ASCII, big-endian.
pub const MAGIC: u64 = 0x4f49_4d53_5441_5453;

/// The second word: the version of the header. Since 2 a block has a table of contents.
pub const VERSION: u64 = 2;

/// The version that 0.1.0 wrote, without a table of contents.
const FIRST_VERSION: u64 = 1;

/// How many capacities a block of 0.1.0 has.
pub const CAPACITIES: usize = 8;

// Places of the header's words.
const MAGIC_AT: usize = 0;
const VERSION_AT: usize = 1;
/// Where the table of contents begins, counted in words. In a block of 0.1.0 the fingerprint of its sections.
const CONTENTS_AT: usize = 2;
const WORDS_AT: usize = 3;
/// Length of the table of contents in bytes, and its sum. In a block of 0.1.0 here are the capacities.
const CONTENTS_BYTES_AT: usize = 4;
const CONTENTS_SUM_AT: usize = 5;
/// A sum over the words before it, none of which ever changes.
const FACTS_SUM_AT: usize = 12;
const BOOT_AT: usize = 16;
/// [`CLEAN`] while nobody writes and everything is on disk.
const CLEAN_AT: usize = 18;
/// A sum over everything behind the header; means something only while the block is clean.
const BODY_SUM_AT: usize = 19;
/// Which file the block was in when it was last written to: see [`Identity`].
const IDENTITY_AT: usize = 20;
/// The generation: it rises each time the block is opened, and about once a second while it is in use.
const GENERATION_AT: usize = 24;
const _: () = assert!(IDENTITY_AT + Identity::WORDS == GENERATION_AT);

/// `CLEAN` and a zero in ASCII: not what a flipped bit leaves.
const CLEAN: u64 = 0x434c_4541_4e21_2100;

/// What a block says about its sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sections {
    /// Its table of contents.
    Listed(Contents),
    /// 0.1.0 wrote the sections of these capacities, in an order that only the program knew.
    OfFirstVersion {
        /// A sum over the sections' names and lengths.
        fingerprint: u64,
        /// The numbers of elements that an operator chose.
        capacities: [u64; CAPACITIES],
    },
}

/// Words that a table of contents takes as JSON.
pub(super) fn contents_words(text: &[u8]) -> usize {
    text.len().div_ceil(size_of::<u64>())
}

/// Writes the facts into a new block's header, and the table of contents behind the sections, which end before the
/// word `end`.
pub(super) fn write(words: &[AtomicU64], end: usize, contents: &[u8]) {
    let (_, tail) = words.split_at_checked(end).unwrap_or_default();
    for (word, bytes) in tail.iter().zip(contents.chunks(size_of::<u64>())) {
        let mut eight = [0; size_of::<u64>()];
        eight.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        word.store(u64::from_le_bytes(eight), Ordering::Relaxed);
    }
    let facts = [MAGIC, VERSION, end as u64, words.len() as u64, contents.len() as u64, sum(tail)];
    for (word, fact) in words.iter().zip(facts) {
        word.store(fact, Ordering::Relaxed);
    }
    set(words, FACTS_SUM_AT, facts_sum(words));
}

/// Reads what a block says about its sections, if the header is whole.
pub(super) fn read(words: &[AtomicU64]) -> Result<Sections, Damage> {
    if get(words, MAGIC_AT) != MAGIC {
        return Err(Damage::Foreign);
    }
    let version = get(words, VERSION_AT);
    if ![FIRST_VERSION, VERSION].contains(&version) {
        return Err(Damage::OtherVersion(version));
    }
    if get(words, FACTS_SUM_AT) != facts_sum(words) {
        return Err(Damage::Header);
    }
    if get(words, WORDS_AT) != words.len() as u64 {
        return Err(Damage::Length);
    }
    if version == VERSION {
        return listed(words).map(Sections::Listed).ok_or(Damage::Header);
    }
    let capacities: [u64; CAPACITIES] = std::array::from_fn(|position| get(words, CONTENTS_BYTES_AT + position));
    // Each element takes a word or more: with more elements it would be another block.
    if capacities.iter().any(|capacity| *capacity > words.len() as u64) {
        return Err(Damage::Header);
    }
    Ok(Sections::OfFirstVersion { fingerprint: get(words, CONTENTS_AT), capacities })
}

fn listed(words: &[AtomicU64]) -> Option<Contents> {
    let [at, bytes] =
        [CONTENTS_AT, CONTENTS_BYTES_AT].map(|fact| usize::try_from(get(words, fact)).unwrap_or(usize::MAX));
    let tail = words.get(at..)?;
    if sum(tail) != get(words, CONTENTS_SUM_AT) {
        return None;
    }
    let text: Vec<u8> = tail.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
    Contents::parse(text.get(..bytes)?, at.checked_mul(size_of::<u64>())?)
}

/// How far a whole block can be trusted on this boot of the machine, in the file that has this identity, beside a
/// lock that saw the block at this generation.
pub(super) fn trust(words: &[AtomicU64], boot: Boot, file: Identity, seen: u64) -> Result<Trust, Damage> {
    let written_in = Identity::of_words(std::array::from_fn(|word| get(words, IDENTITY_AT + word)));
    let origin = match written_in {
        Some(written) if !written.is_same_file(file) => Origin::Copied,
        Some(_) if get(words, GENERATION_AT) < seen => Origin::Older,
        _ => Origin::Original,
    };
    if get(words, CLEAN_AT) == CLEAN {
        let is_whole = get(words, BODY_SUM_AT) == body_sum(words);
        let trust = if origin == Origin::Original { Trust::Exact } else { Trust::Restored(origin) };
        return if is_whole { Ok(trust) } else { Err(Damage::Body) };
    }
    let written_on = Boot::of_words([get(words, BOOT_AT), get(words, BOOT_AT + 1)]);
    let is_elsewhere = written_in.is_some_and(|written| !written.is_same_volume(file));
    Ok(match origin {
        _ if !written_on.is_same(boot) => Trust::Torn(Doubt::OtherBoot),
        Origin::Copied => Trust::Torn(Doubt::Copied),
        Origin::Older => Trust::Torn(Doubt::Older),
        Origin::Original if is_elsewhere => Trust::Torn(Doubt::Copied),
        Origin::Original => Trust::Exact,
    })
}

/// From here on the block is written to, on this boot.
pub(super) fn begin(words: &[AtomicU64], boot: Boot) {
    set(words, CLEAN_AT, 0);
    let [first, second] = boot.words();
    set(words, BOOT_AT, first);
    set(words, BOOT_AT + 1, second);
}

/// Notes which file the block is in.
pub(super) fn sign(words: &[AtomicU64], file: Identity) {
    for (at, word) in (IDENTITY_AT..).zip(file.words()) {
        set(words, at, word);
    }
}

pub(super) fn generation(words: &[AtomicU64]) -> u64 {
    get(words, GENERATION_AT)
}

pub(super) fn set_generation(words: &[AtomicU64], generation: u64) {
    set(words, GENERATION_AT, generation);
}

/// Sums the body up, which nobody writes to any more.
pub(super) fn sum_up(words: &[AtomicU64]) {
    set(words, BODY_SUM_AT, body_sum(words));
}

/// The body and its sum are on disk.
pub(super) fn set_clean(words: &[AtomicU64]) {
    set(words, CLEAN_AT, CLEAN);
}

fn facts_sum(words: &[AtomicU64]) -> u64 {
    sum(words.get(..FACTS_SUM_AT).unwrap_or_default())
}

fn body_sum(words: &[AtomicU64]) -> u64 {
    sum(words.get(HEADER_WORDS..).unwrap_or_default())
}

/// FNV-1a, a word at a time, with a rotation so that high bits matter too: eight sums side by side, for each step waits
/// for the one before it. Against accidents, not against people.
fn sum(words: &[AtomicU64]) -> u64 {
    const SUMS: usize = 8;
    let step = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    let mut sums = [0xcbf2_9ce4_8422_2325_u64; SUMS];
    let (rows, rest) = words.as_chunks::<SUMS>();
    for row in rows {
        for (sum, word) in sums.iter_mut().zip(row) {
            *sum = step(*sum, word.load(Ordering::Relaxed));
        }
    }
    let all = rest.iter().map(|word| word.load(Ordering::Relaxed)).chain(sums);
    all.fold(0, step)
}

fn get(words: &[AtomicU64], at: usize) -> u64 {
    words.get(at).map_or(0, |word| word.load(Ordering::Relaxed))
}

fn set(words: &[AtomicU64], at: usize, value: u64) {
    if let Some(word) = words.get(at) {
        word.store(value, Ordering::Relaxed);
    }
}
