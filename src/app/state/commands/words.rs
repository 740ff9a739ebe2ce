//! Sizes and times for people.

use jiff::Timestamp;

use crate::domain::UnixMillis;

/// Without fractions of a second.
pub(super) fn time(at: UnixMillis) -> String {
    Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |time| format!("{time:.0}"))
}

pub(super) fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes < MIB { format!("{bytes} bytes") } else { format!("{:.1} MiB", bytes as f64 / MIB as f64) }
}
