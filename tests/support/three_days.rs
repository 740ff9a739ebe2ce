//! A state with messages of three days.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use openim_exporter::arena::Boot;
use openim_exporter::domain::UnixMillis;
use openim_exporter::stats::{Capacities, Stats};

use crate::typical::typical;

const DAY: i64 = 86_400_000;

/// Makes a state that counted a message on each of the last three days, so that the retention of senders is known.
pub(crate) fn count_on_three_days(state: &Path) {
    let now = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let capacities = Capacities {
        groups: 10,
        exported_groups: 1,
        sender_pairs: 10,
        dedup_window: Duration::ZERO,
        online: 1,
        history_days: 3,
    };
    let first = UnixMillis(now - 1000 - 2 * DAY);
    let stats = Stats::open(state, capacities, Boot::Unknown, first, &|_| ()).unwrap();
    for day in 0..3 {
        let time = UnixMillis(first.0 + day * DAY);
        stats.record(&typical("g1", "u1", time), time);
        stats.tick(time);
    }
    stats.close(UnixMillis(now), &|_| ()).unwrap();
}
