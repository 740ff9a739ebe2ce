//! The header, which is the first page of every block: what the block is, and whether its numbers can be trusted.

use std::sync::atomic::{AtomicU64, Ordering};

use super::contents::Contents;
use super::identity::{Identity, Origin};
use super::layout::HEADER_WORDS;
use super::trust::{Boot, Damage, Doubt, Trust};

/// The first word of every block: `OIMSTATS` in ASCII, big-endian.
pub const MAGIC: u64 = 0x4f49_4d53_5441_5453;

/// The second word: the version of the header. Version 2 added the table of contents.
pub const VERSION: u64 = 2;

/// The header's version in 0.1.0, which had no table of contents.
const FIRST_VERSION: u64 = 1;

/// Number of capacities in a header of 0.1.0.
pub const CAPACITIES: usize = 8;

// Positions of the header's words.
const MAGIC_AT: usize = 0;
const VERSION_AT: usize = 1;
/// Offset of the table of contents in words. In 0.1.0 the fingerprint of the sections.
const CONTENTS_AT: usize = 2;
const WORDS_AT: usize = 3;
/// Length of the table of contents in bytes, and its checksum. In 0.1.0 the capacities start here.
const CONTENTS_BYTES_AT: usize = 4;
const CONTENTS_SUM_AT: usize = 5;
/// Checksum of the words before it, which never change.
const FACTS_SUM_AT: usize = 12;
const BOOT_AT: usize = 16;
/// [`CLEAN`] while the block is not in use and everything is on disk.
const CLEAN_AT: usize = 18;
/// Checksum of everything after the header. Valid only while the block is clean.
const BODY_SUM_AT: usize = 19;
/// The file that the block was in when it was last used: see [`Identity`].
const IDENTITY_AT: usize = 20;
/// The generation: it rises each time the block is opened, and about once a second while it is in use.
const GENERATION_AT: usize = 24;
const _: () = assert!(IDENTITY_AT + Identity::WORDS == GENERATION_AT);

/// `CLEAN` in ASCII, and not a small number that a flipped bit could produce.
const CLEAN: u64 = 0x434c_4541_4e21_2100;

/// What a header says about the block's sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sections {
    /// The table of contents.
    Listed(Contents),
    /// A block of 0.1.0, where only the program knew the sections and their order.
    OfFirstVersion {
        /// A hash of the sections' names and lengths.
        fingerprint: u64,
        /// The configured capacities.
        capacities: [u64; CAPACITIES],
    },
}

/// Words needed for a table of contents as JSON.
pub(super) fn contents_words(text: &[u8]) -> usize {
    text.len().div_ceil(size_of::<u64>())
}

/// Writes the header of a new block, and the table of contents after the sections, which end before the word `end`.
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

/// The length of a block in bytes, from its header.
///
/// # Errors
/// When the block is not a state, or the header is damaged.
pub(super) fn length(words: &[AtomicU64]) -> Result<u64, Damage> {
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
    get(words, WORDS_AT).checked_mul(size_of::<u64>() as u64).ok_or(Damage::Header)
}

/// Reads what a header says about the sections.
///
/// # Errors
/// When the block is not a state, its length is wrong, or the header is damaged.
pub(super) fn read(words: &[AtomicU64]) -> Result<Sections, Damage> {
    if length(words)? != size_of_val(words) as u64 {
        return Err(Damage::Length);
    }
    if get(words, VERSION_AT) == VERSION {
        return read_contents(words).map(Sections::Listed).ok_or(Damage::Header);
    }
    let capacities: [u64; CAPACITIES] = std::array::from_fn(|position| get(words, CONTENTS_BYTES_AT + position));
    // Each element takes at least a word.
    if capacities.iter().any(|capacity| *capacity > words.len() as u64) {
        return Err(Damage::Header);
    }
    Ok(Sections::OfFirstVersion { fingerprint: get(words, CONTENTS_AT), capacities })
}

/// The position of the table of contents.
pub(super) fn contents_at(words: &[AtomicU64]) -> usize {
    usize::try_from(get(words, CONTENTS_AT)).unwrap_or(usize::MAX)
}

fn read_contents(words: &[AtomicU64]) -> Option<Contents> {
    let (at, bytes) = (contents_at(words), usize::try_from(get(words, CONTENTS_BYTES_AT)).ok()?);
    let tail = words.get(at..)?;
    if sum(tail) != get(words, CONTENTS_SUM_AT) {
        return None;
    }
    let text: Vec<u8> = tail.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
    Contents::parse(text.get(..bytes)?, at.checked_mul(size_of::<u64>())?)
}

/// Determines how far a block can be trusted, given the current boot of the machine, the identity of the block's file,
/// and the generation that the lock file recorded.
///
/// # Errors
/// When the block changed after it was closed.
pub(super) fn assess(words: &[AtomicU64], boot: Boot, file: Identity, locked: u64) -> Result<Trust, Damage> {
    let written_in = Identity::of_words(std::array::from_fn(|word| get(words, IDENTITY_AT + word)));
    let origin = match written_in {
        Some(_) if get(words, GENERATION_AT) < locked => Origin::Older,
        Some(written) if !written.is_same_file(file) => Origin::Copied,
        _ => Origin::Original,
    };
    let written_on = boot_of(words);
    if is_clean(words) {
        return match origin {
            _ if get(words, BODY_SUM_AT) != body_sum(words) => Err(Damage::Body),
            _ if written_on == Boot::CopiedInUse => Ok(Trust::Torn(Doubt::Copied)),
            Origin::Original => Ok(Trust::Exact),
            Origin::Copied => Ok(Trust::Restored),
            Origin::Older => Ok(Trust::Torn(Doubt::Older)),
        };
    }
    let is_on_other_volume = written_in.is_some_and(|written| !written.is_same_volume(file));
    Ok(match origin {
        _ if written_on == Boot::ResetRequested => Trust::Torn(Doubt::Requested),
        _ if !written_on.is_same(boot) => Trust::Torn(Doubt::OtherBoot),
        Origin::Older => Trust::Torn(Doubt::Older),
        Origin::Copied => Trust::Torn(Doubt::Copied),
        Origin::Original if is_on_other_volume => Trust::Torn(Doubt::Copied),
        Origin::Original => Trust::Exact,
    })
}

/// Marks the block as in use on this boot of the machine.
pub(super) fn mark_in_use(words: &[AtomicU64], boot: Boot) {
    set(words, CLEAN_AT, 0);
    set_boot(words, boot);
}

/// The boot on which the block was last used.
pub(super) fn boot_of(words: &[AtomicU64]) -> Boot {
    Boot::of_words([get(words, BOOT_AT), get(words, BOOT_AT + 1)])
}

pub(super) fn set_boot(words: &[AtomicU64], boot: Boot) {
    let [first, second] = boot.words();
    set(words, BOOT_AT, first);
    set(words, BOOT_AT + 1, second);
}

/// Whether the block is not in use, and everything was on disk when it was closed.
pub(super) fn is_clean(words: &[AtomicU64]) -> bool {
    get(words, CLEAN_AT) == CLEAN
}

/// Copies which file a block is in, and its generation.
pub(super) fn copy_origin(from: &[AtomicU64], to: &[AtomicU64]) {
    (IDENTITY_AT..=GENERATION_AT).for_each(|at| set(to, at, get(from, at)));
    mark_foreign(to);
}

/// Lets a block that does not say which file it was in, because 0.1.0 wrote it, say that it was in another one.
pub(super) fn mark_foreign(words: &[AtomicU64]) {
    if Identity::of_words(std::array::from_fn(|word| get(words, IDENTITY_AT + word))).is_none() {
        set_identity(words, Identity::ELSEWHERE);
    }
}

/// Stores which file the block is in.
pub(super) fn set_identity(words: &[AtomicU64], file: Identity) {
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

/// Stores the checksum of the body. No thread may write to the body any more.
pub(super) fn store_body_sum(words: &[AtomicU64]) {
    set(words, BODY_SUM_AT, body_sum(words));
}

/// Marks the block as clean: the body and its checksum are on disk.
pub(super) fn mark_clean(words: &[AtomicU64]) {
    set(words, CLEAN_AT, CLEAN);
}

fn facts_sum(words: &[AtomicU64]) -> u64 {
    sum(words.get(..FACTS_SUM_AT).unwrap_or_default())
}

fn body_sum(words: &[AtomicU64]) -> u64 {
    sum(words.get(HEADER_WORDS..).unwrap_or_default())
}

/// A checksum against accidents, not against attackers: FNV-1a on words instead of bytes, with a rotation that spreads
/// the high bits. Eight independent sums, because each step of one has to wait for the step before it.
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
