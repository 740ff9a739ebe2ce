//! All statistics at once, and the state of the exporter. The names are those of the metrics.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use crate::domain::codes::{OTHER, STATUSES};
use crate::domain::{Chat, UnixMillis};
use crate::http::site::Site;
use crate::stats::{ClockError, HistogramReading, Stats, WINDOWS};
use crate::telemetry::{Refusal, Telemetry};

/// Milliseconds in a second.
const SECOND: f64 = 1000.0;

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    version: &'static str,
    /// When the counters began, in seconds since the epoch.
    since: f64,
    uptime_seconds: f64,
    messages: Messages,
    messages_folded: LabelCounts,
    mentions: LabelCounts,
    active_senders: LabelCounts,
    active_groups: LabelCounts,
    groups: GroupCounts,
    sender_pairs: SenderPairs,
    content_bytes: Distribution,
    delivery_delay_seconds: Distribution,
    submit_delay_seconds: Distribution,
    clock_errors: LabelCounts,
    single_messages: SingleMessages,
    active_users: LabelCounts,
    users_online: LabelCounts,
    callbacks: Callbacks,
    connections: usize,
}

#[derive(Debug, Serialize)]
struct Messages {
    total: u64,
    by_content_type: LabelCounts,
    by_platform: LabelCounts,
    by_source: LabelCounts,
    by_status: LabelCounts,
}

#[derive(Debug, Serialize)]
struct SingleMessages {
    total: u64,
    by_content_type: LabelCounts,
    active_senders: LabelCounts,
}

#[derive(Debug, Serialize)]
struct GroupCounts {
    tracked: usize,
    capacity: usize,
    exported: usize,
    retired: u64,
}

#[derive(Debug, Serialize)]
struct SenderPairs {
    tracked: u64,
    capacity: usize,
    evicted: u64,
}

#[derive(Debug, Serialize)]
struct Callbacks {
    total: u64,
    by_command: LabelCounts,
    excluded: LabelCounts,
    rejected: LabelCounts,
    last_rejected: Vec<Rejected>,
    /// In seconds since the epoch; absent before the first.
    last: Option<f64>,
}

/// A refused request.
#[derive(Debug, Serialize)]
struct Rejected {
    /// In seconds since the epoch.
    time: f64,
    reason: &'static str,
    client: IpAddr,
    detail: String,
}

/// A histogram. The mean and the quantiles are `null` while it has no observations.
#[derive(Debug, Serialize)]
struct Distribution {
    count: u64,
    mean: Option<f64>,
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

/// Numbers by the value of a label: a JSON object, in this order.
#[derive(Debug, Default)]
struct LabelCounts(Vec<(Cow<'static, str>, u64)>);

impl Serialize for LabelCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, count)| (name, count)))
    }
}

impl LabelCounts {
    fn of(counts: impl IntoIterator<Item = (&'static str, u64)>) -> Self {
        Self(counts.into_iter().map(|(name, count)| (name.into(), count)).collect())
    }

    fn add(&mut self, name: impl Into<Cow<'static, str>>, count: u64) {
        let name = name.into();
        match self.0.iter_mut().find(|(found, _)| *found == name) {
            Some((_, sum)) => *sum += count,
            None => self.0.push((name, count)),
        }
    }

    /// Without the zeros, of which there may be dozens.
    fn non_zero(mut self) -> Self {
        self.0.retain(|(_, count)| *count > 0);
        self
    }
}

/// Reads the current values.
pub(super) fn read(site: &Site) -> Summary {
    let stats = &*site.stats;
    let now = site.now();
    let windows = |counts| LabelCounts::of(WINDOWS.iter().map(|window| window.name).zip(counts));
    Summary {
        version: env!("CARGO_PKG_VERSION"),
        since: stats.started().seconds(),
        uptime_seconds: site.uptime_ms() as f64 / SECOND,
        messages: messages(stats),
        messages_folded: LabelCounts::of([
            ("capacity", stats.folded_for_capacity()),
            ("retired", stats.folded_retired()),
            ("dismissed", stats.folded_dismissed()),
        ]),
        mentions: LabelCounts::of([("user", stats.mentioned_users()), ("all", stats.mentioned_all())]),
        active_senders: windows(stats.active_senders(Chat::Group, now)),
        active_groups: windows(stats.active_groups(now)),
        groups: groups(stats),
        sender_pairs: sender_pairs(stats),
        content_bytes: distribution(&stats.content_bytes(Chat::Group), 1.0),
        delivery_delay_seconds: distribution(&stats.delivery_delays(Chat::Group), SECOND),
        submit_delay_seconds: distribution(&stats.submit_delays(Chat::Group), SECOND),
        clock_errors: LabelCounts::of(ClockError::ALL.map(|kind| (kind.name(), stats.clock_errors(Chat::Group, kind)))),
        single_messages: single_messages(stats, windows(stats.active_senders(Chat::Single, now))),
        active_users: windows(stats.active_users(now)),
        users_online: LabelCounts::of(stats.users_online().map(|(platform, users)| (platform, users as u64))),
        callbacks: callbacks(stats, &site.telemetry),
        connections: site.workers.open_connections(),
    }
}

/// The total and its parts come from one reading of the mix, so that they agree.
fn messages(stats: &Stats) -> Messages {
    let mut total = 0;
    let [mut by_content_type, mut by_platform, mut by_source] = std::array::from_fn(|_| LabelCounts::default());
    for cell in stats.mix(Chat::Group) {
        total += cell.messages;
        by_content_type.add(cell.content_type, cell.messages);
        by_platform.add(cell.platform, cell.messages);
        by_source.add(cell.source, cell.messages);
    }
    Messages {
        total,
        by_content_type: by_content_type.non_zero(),
        by_platform,
        by_source,
        by_status: LabelCounts::of(STATUSES.into_iter().chain([OTHER]).zip(stats.by_status())),
    }
}

fn single_messages(stats: &Stats, active_senders: LabelCounts) -> SingleMessages {
    let mut by_content_type = LabelCounts::default();
    stats.mix(Chat::Single).for_each(|cell| by_content_type.add(cell.content_type, cell.messages));
    let total = by_content_type.0.iter().map(|(_, count)| count).sum();
    SingleMessages { total, by_content_type: by_content_type.non_zero(), active_senders }
}

fn groups(stats: &Stats) -> GroupCounts {
    GroupCounts {
        tracked: stats.groups_tracked(),
        capacity: stats.groups_capacity(),
        exported: stats.exported_groups().len(),
        retired: stats.groups_retired(),
    }
}

fn sender_pairs(stats: &Stats) -> SenderPairs {
    SenderPairs {
        tracked: stats.sender_pairs_tracked(),
        capacity: stats.sender_pairs_capacity(),
        evicted: stats.sender_pairs_evicted(),
    }
}

/// `unit` is the number of the histogram's units in a unit of the answer.
fn distribution(reading: &HistogramReading, unit: f64) -> Distribution {
    let quantile = |q| reading.quantile(q).map(|value| value / unit);
    Distribution {
        count: reading.count,
        mean: reading.mean().map(|mean| mean / unit),
        p50: quantile(0.5),
        p95: quantile(0.95),
        p99: quantile(0.99),
    }
}

fn callbacks(stats: &Stats, telemetry: &Telemetry) -> Callbacks {
    let rejected =
        |Refusal { reason, detail, client, at }| Rejected { time: at.seconds(), reason: reason.name(), client, detail };
    let by_command = LabelCounts::of(stats.callbacks()).non_zero();
    Callbacks {
        total: by_command.0.iter().map(|(_, count)| count).sum(),
        by_command,
        excluded: LabelCounts::of(stats.exclusions()),
        rejected: LabelCounts::of(stats.refusals()).non_zero(),
        last_rejected: telemetry.last_refusals().into_iter().map(rejected).collect(),
        last: stats.last_callback().map(UnixMillis::seconds),
    }
}
