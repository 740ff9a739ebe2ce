//! The union with other exporters, of which there are none.

use std::time::{Duration, Instant};

use openim_exporter::domain::UnixMillis;
use openim_exporter::stats::{Stats, UnitedCounts};
use openim_exporter::telemetry::{DamagedPart, ReplicasFailure, Telemetry};

use crate::story::{self, NO_REDIS};

/// What happens in a minute.
pub(crate) fn unite(stats: &Stats, telemetry: &Telemetry, minute: u32, now_ms: i64) {
    let replicas = telemetry.add_replicas();
    if NO_REDIS.contains(&minute) {
        replicas.failed(ReplicasFailure::Unreachable, &"connection refused");
        replicas.damaged(DamagedPart::Registers, "other", now_ms);
        replicas.name_conflict("exporter", now_ms);
        replicas.disconnects_dropped(1);
        replicas.set_clock_skew(7000);
    } else {
        (0..6).for_each(|round| replicas.united(UnixMillis(now_ms - round * 10_000), Duration::from_millis(20), 1));
        replicas.set_clock_skew(20);
        let mut counts = UnitedCounts::default();
        counts.windows.iter_mut().for_each(|windows| windows.fill(10));
        counts.online[0] = u64::from(story::online(minute));
        stats.set_united(counts, Instant::now());
    }
}
