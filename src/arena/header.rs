//! What stands at the start of every block: what it is, and whether its numbers can be trusted.

use std::sync::atomic::{AtomicU64, Ordering};

use super::plan::{HEADER_WORDS, Plan};

/// The first word of every block: `OIMSTATS` in ASCII, big-endian.
pub const MAGIC: u64 = 0x4f49_4d53_5441_5453;

/// The layout's version: the second word. It changes whenever the meaning of any word does.
pub const VERSION: u64 = 1;

/// How many capacities a block can have.
pub const CAPACITIES: usize = 8;

/// Which boot of the machine wrote a block: the kernel's random boot ID. `None` where there is none to be had.
pub type BootId = Option<[u64; 2]>;

// Places of the header's words.
const MAGIC_AT: usize = 0;
const VERSION_AT: usize = 1;
const FINGERPRINT_AT: usize = 2;
const WORDS_AT: usize = 3;
const CAPACITIES_AT: usize = 4;
/// A sum over the words before it, none of which ever changes.
const FACTS_SUM_AT: usize = CAPACITIES_AT + CAPACITIES;
const BOOT_AT: usize = 16;
/// [`CLEAN`] while nobody writes and everything is on disk.
const CLEAN_AT: usize = 18;
/// A sum over everything behind the header; means something only while the block is clean.
const BODY_SUM_AT: usize = 19;

/// `CLEAN` and a zero in ASCII: not what a flipped bit leaves.
const CLEAN: u64 = 0x434c_4541_4e21_2100;

/// Why a block cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It does not start with [`MAGIC`].
    #[error("it is not a state of openim-exporter")]
    Foreign,
    /// It is of another [`VERSION`].
    #[error("it is of version {0}, and this program reads version {VERSION}")]
    OtherVersion(u64),
    /// Its header contradicts itself.
    #[error("its header is damaged")]
    Header,
    /// It is shorter or longer than its header says.
    #[error("it has another length than its header says: it was cut off, or written to")]
    Length,
    /// What it holds is not what was written when it was closed.
    #[error("its contents changed after it was closed")]
    Body,
    /// Its numbers contradict each other.
    #[error("its numbers contradict each other")]
    Numbers,
}

impl Damage {
    /// A word for a file's name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::OtherVersion(_) => "other-version",
            Self::Header | Self::Length | Self::Body | Self::Numbers => "damaged",
        }
    }
}

/// Whether a block's numbers are those that were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// They are: it was closed in order, or the machine has not been off since, so that the kernel has every page.
    Exact,
    /// Pages may be older than others: the machine went down while it was written.
    Torn,
}

/// Writes the facts into a new block's header.
pub(super) fn write(words: &[AtomicU64], plan: &Plan, capacities: [u64; CAPACITIES]) {
    let facts = [MAGIC, VERSION, plan.fingerprint(), plan.words() as u64];
    for (word, fact) in words.iter().zip(facts.into_iter().chain(capacities)) {
        word.store(fact, Ordering::Relaxed);
    }
    set(words, FACTS_SUM_AT, facts_sum(words));
}

/// Reads the capacities out of a block's header, if the block is whole.
pub(super) fn read(words: &[AtomicU64]) -> Result<[u64; CAPACITIES], Damage> {
    if get(words, MAGIC_AT) != MAGIC {
        return Err(Damage::Foreign);
    }
    if get(words, VERSION_AT) != VERSION {
        return Err(Damage::OtherVersion(get(words, VERSION_AT)));
    }
    if get(words, FACTS_SUM_AT) != facts_sum(words) {
        return Err(Damage::Header);
    }
    if get(words, WORDS_AT) != words.len() as u64 {
        return Err(Damage::Length);
    }
    let capacities: [u64; CAPACITIES] = std::array::from_fn(|position| get(words, CAPACITIES_AT + position));
    // Whatever there is a number of takes a word or more: a plan for more than that would be for another block.
    if capacities.iter().any(|capacity| *capacity > words.len() as u64) {
        return Err(Damage::Header);
    }
    Ok(capacities)
}

/// Whether a block was made by a plan.
pub(super) fn fits(words: &[AtomicU64], plan: &Plan) -> bool {
    get(words, FINGERPRINT_AT) == plan.fingerprint() && words.len() == plan.words()
}

/// How far a whole block can be trusted on this boot of the machine.
pub(super) fn trust(words: &[AtomicU64], boot: BootId) -> Result<Trust, Damage> {
    if get(words, CLEAN_AT) == CLEAN {
        return if get(words, BODY_SUM_AT) == body_sum(words) { Ok(Trust::Exact) } else { Err(Damage::Body) };
    }
    let same_boot = boot.is_some_and(|boot| boot == [get(words, BOOT_AT), get(words, BOOT_AT + 1)]);
    Ok(if same_boot { Trust::Exact } else { Trust::Torn })
}

/// From here on the block is written to, on this boot.
pub(super) fn begin(words: &[AtomicU64], boot: BootId) {
    set(words, CLEAN_AT, 0);
    let boot = boot.unwrap_or_default();
    set(words, BOOT_AT, boot[0]);
    set(words, BOOT_AT + 1, boot[1]);
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
