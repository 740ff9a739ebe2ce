//! Whether a block's numbers are correct: they may be damaged, outdated, or only partly written.

/// How much two readings of a boot's time may differ: the clock and the uptime are not read at the same moment, and the
/// clock is adjusted.
const BOOT_TIME_TOLERANCE_MS: i64 = 5000;

/// The first word of a boot that is identified by its time: `BOOTTIME` in ASCII, big-endian.
const BOOT_TIME: u64 = 0x424f_4f54_5449_4d45;

/// The first word of a request to reset the counters: `RESETALL` in ASCII, big-endian. The other word is 0, which no
/// random boot ID has.
const RESET: u64 = 0x5245_5345_5441_4c4c;

/// The first word of a copy of a block in use: `COPYLIVE` in ASCII, big-endian. The other word is 0 too.
const COPIED: u64 = 0x434f_5059_4c49_5645;

/// A boot of the machine. Until the next boot, the kernel has every page that a process wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// The kernel's random boot ID.
    Id([u64; 2]),
    /// If that cannot be read, the time of the boot by the machine's clock, in milliseconds since the epoch.
    At(i64),
    /// Both, if it is not known which of them the exporter uses: its sandbox may hide the ID. Never stored in a block.
    IdAt([u64; 2], i64),
    /// Unknown: different from every boot.
    Unknown,
    /// Not a boot: the counters must start from 0 when the block is opened.
    ResetRequested,
    /// Not a boot: the block is a copy of one that was in use, so Prometheus may have seen higher counters.
    CopiedInUse,
}

impl Boot {
    pub(super) const fn words(self) -> [u64; 2] {
        match self {
            Self::Id(id) | Self::IdAt(id, _) => id,
            Self::At(ms) => [BOOT_TIME, ms.cast_unsigned()],
            Self::Unknown => [0; 2],
            Self::ResetRequested => [RESET, 0],
            Self::CopiedInUse => [COPIED, 0],
        }
    }

    pub(super) const fn of_words(words: [u64; 2]) -> Self {
        match words {
            [0, 0] => Self::Unknown,
            [RESET, 0] => Self::ResetRequested,
            [COPIED, 0] => Self::CopiedInUse,
            [BOOT_TIME, ms] => Self::At(ms.cast_signed()),
            id => Self::Id(id),
        }
    }

    /// Whether the boot of a block is the current one.
    pub(super) fn is_same(self, current: Self) -> bool {
        match (self, current) {
            (Self::Id(one), Self::Id(other) | Self::IdAt(other, _)) => one == other,
            (Self::At(one), Self::At(other) | Self::IdAt(_, other)) => {
                one.abs_diff(other) <= BOOT_TIME_TOLERANCE_MS.unsigned_abs()
            }
            _ => false,
        }
    }
}

/// Why a block cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It does not start with [`MAGIC`](super::MAGIC).
    #[error("it is not a state of openim-exporter")]
    Foreign,
    /// The version of its header is unknown.
    #[error("this program cannot read version {0} of the header")]
    OtherVersion(u64),
    /// It looks like a block of 0.1.0, but its sections are not those of the release.
    #[error("a development version from before 0.1.0 wrote it")]
    BeforeFirstVersion,
    /// Its header contradicts itself.
    #[error("its header is damaged")]
    Header,
    /// Its length is not the one in its header.
    #[error("its length does not match its header: it was truncated or overwritten")]
    Length,
    /// It changed after it was closed.
    #[error("its contents changed after it was closed")]
    Body,
    /// Its numbers contradict each other.
    #[error("its numbers contradict each other: {0}")]
    Numbers(&'static str),
}

impl Damage {
    /// The word for it in the name of a renamed file.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::OtherVersion(_) | Self::BeforeFirstVersion => "other-version",
            Self::Header | Self::Length | Self::Body | Self::Numbers(_) => "damaged",
        }
    }
}

/// How far a block's numbers can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// They are correct: the block was closed, or the machine has not been restarted, so that the kernel has every
    /// page.
    Exact,
    /// They are correct, but the file is a copy of one that was closed: Prometheus may have seen higher counters.
    Restored,
    /// The counters must start from 0: Prometheus may have seen higher values, some pages may be older than others, or a
    /// reset was requested.
    Torn(Doubt),
}

/// Why the counters of a block must start from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The machine went down while the block was in use.
    #[error(
        "the machine was restarted while the exporter was running, or that cannot be ruled out (no boot ID, or the clock was \
         set): the latest counts may be missing from the file"
    )]
    OtherBoot,
    /// The block was copied while it was in use.
    #[error("the file is a copy that was made while the exporter was running")]
    Copied,
    /// The exporter has used a newer block in this directory.
    #[error("the file is older than the one that the exporter last used here, so Prometheus has seen higher counters")]
    Older,
    /// A command asked for it.
    #[error("`openim-exporter state reset-counters` or `state restore` asked for it")]
    Requested,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_identified_by_its_id_or_by_its_time_within_seconds() {
        let at = Boot::At(1_732_345_678_901);
        for boot in [Boot::Id([1, 2]), at, Boot::Unknown, Boot::ResetRequested, Boot::CopiedInUse] {
            assert_eq!(Boot::of_words(boot.words()), boot);
            assert_eq!(boot.is_same(boot), matches!(boot, Boot::Id(_) | Boot::At(_)));
        }
        assert!(at.is_same(Boot::At(1_732_345_673_901)) && !at.is_same(Boot::At(1_732_345_673_900)));
        let both = Boot::IdAt([1, 2], 1_732_345_673_901);
        assert!(at.is_same(both) && !Boot::At(1_732_345_678_902).is_same(both));
        assert!(Boot::Id([1, 2]).is_same(both) && !Boot::Id([1, 3]).is_same(both) && !Boot::Unknown.is_same(both));
        assert!(!at.is_same(Boot::Id([1, 2])) && !Boot::Id([1, 2]).is_same(Boot::Id([1, 3])));
    }
}
