//! The current boot of the machine.

use std::{fs, io};

use rustix::time::{ClockId, clock_gettime};

use crate::arena::Boot;
use crate::domain::UnixMillis;

/// The kernel's random ID of the current boot.
/// <https://docs.kernel.org/admin-guide/sysctl/kernel.html#random>
pub(super) const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// 2020-01-01: an earlier boot time comes from a clock that was not set yet.
const EARLIEST_BOOT: UnixMillis = UnixMillis(1_577_836_800_000);

/// The current boot, with its ID and its time if both are known: a command may know the ID, although the exporter's
/// sandbox hides it.
pub(super) fn current_boot(now: UnixMillis) -> Boot {
    match (boot_id(), boot_time(now)) {
        (Ok(Boot::Id(id)), Boot::At(ms)) => Boot::IdAt(id, ms),
        (Ok(id), _) => id,
        (Err(_), time) => time,
    }
}

pub(super) fn boot_id() -> io::Result<Boot> {
    let id = fs::read_to_string(BOOT_ID)?;
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let halves = digits.split_at_checked(16).and_then(|(high, low)| Some([half(high)?, half(low)?]));
    halves.map(Boot::Id).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the file has no ID"))
}

/// The time of the boot, by the machine's clock.
pub(super) fn boot_time(now: UnixMillis) -> Boot {
    let uptime = clock_gettime(ClockId::Boottime);
    let booted = now.0 - uptime.tv_sec * 1000 - uptime.tv_nsec / 1_000_000;
    if booted < EARLIEST_BOOT.0 { Boot::Unknown } else { Boot::At(booted) }
}
