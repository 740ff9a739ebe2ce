//! Whether a block's numbers are those that were counted.

use super::identity::Origin;

/// Clocks and uptimes are read one after the other, and a clock is adjusted: the time of one boot may differ by this.
const BOOT_TIME_TOLERANCE_MS: i64 = 5000;

/// The first word of a boot that is known by its time: `BOOTTIME` in ASCII, big-endian.
const BOOT_TIME: u64 = 0x424f_4f54_5449_4d45;

/// Which boot of the machine: as long as it is the same, the kernel has every page that a process has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// The kernel's random boot ID.
    Id([u64; 2]),
    /// Where that cannot be read, the time of the boot by the machine's clock, in milliseconds since the epoch.
    At(i64),
    /// Not known: not the same as any.
    Unknown,
}

impl Boot {
    pub(super) const fn words(self) -> [u64; 2] {
        match self {
            Self::Id(id) => id,
            Self::At(ms) => [BOOT_TIME, ms.cast_unsigned()],
            Self::Unknown => [0; 2],
        }
    }

    pub(super) const fn of_words(words: [u64; 2]) -> Self {
        match words {
            [0, 0] => Self::Unknown,
            [BOOT_TIME, ms] => Self::At(ms.cast_signed()),
            id => Self::Id(id),
        }
    }

    pub(super) fn is_same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Id(one), Self::Id(other)) => one == other,
            (Self::At(one), Self::At(other)) => one.abs_diff(other) <= BOOT_TIME_TOLERANCE_MS.unsigned_abs(),
            _ => false,
        }
    }
}

/// Why a block cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It does not start as a state does.
    #[error("it is not a state of openim-exporter")]
    Foreign,
    /// Its header has a version that this program does not know.
    #[error("its header has version {0}, which this program does not read")]
    OtherVersion(u64),
    /// 0.1.0 wrote it, but not with the sections that 0.1.0 had when it was released.
    #[error("a development version from before 0.1.0 wrote it")]
    BeforeFirstVersion,
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
    #[error("its numbers contradict each other: {0}")]
    Numbers(&'static str),
}

impl Damage {
    /// A word for a file's name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::OtherVersion(_) | Self::BeforeFirstVersion => "other-version",
            Self::Header | Self::Length | Self::Body | Self::Numbers(_) => "damaged",
        }
    }
}

/// Whether a block's numbers are those that were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// They are: it was closed in order, or the machine has not been off since, so that the kernel has every page.
    Exact,
    /// They are whole, but the file is a copy, or was replaced by one: Prometheus may have seen higher counters.
    Restored(Origin),
    /// Some pages may be older than others.
    Torn(Doubt),
}

/// Why some pages of a block may be older than others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The machine went down while the block was written to.
    #[error(
        "the machine was restarted while the exporter was running, or that cannot be ruled out (no boot ID, or the clock was \
         set): the file may lack what was counted last"
    )]
    OtherBoot,
    /// The block was copied while it was written to.
    #[error("the file is a copy that was made while the exporter was running")]
    Copied,
    /// An older copy of the block was written into the file.
    #[error(
        "the file is older than the one that the exporter last used: a copy made while it was running was restored"
    )]
    Older,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_known_by_its_id_or_by_its_time_within_seconds() {
        let at = Boot::At(1_732_345_678_901);
        for boot in [Boot::Id([1, 2]), at, Boot::Unknown] {
            assert_eq!(Boot::of_words(boot.words()), boot);
            assert_eq!(boot.is_same(boot), boot != Boot::Unknown);
        }
        assert!(at.is_same(Boot::At(1_732_345_673_901)) && !at.is_same(Boot::At(1_732_345_673_900)));
        assert!(!at.is_same(Boot::Id([1, 2])) && !Boot::Id([1, 2]).is_same(Boot::Id([1, 3])));
    }
}
