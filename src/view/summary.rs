//! All statistics at once, and the state of the exporter. The names are those of the metrics.

use std::net::IpAddr;

use serde::Serialize;

use super::counts::{LabelCounts, MixCounts};
use super::targets::{Target, targets};
use super::united::{United, united};
use super::{SECOND, Source};
use crate::domain::codes::{OTHER, STATUSES};
use crate::domain::{Chat, UnixMillis};
use crate::stats::{ClockError, HistogramReading, Stats};
use crate::telemetry::{Refusal, Telemetry};

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
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
    /// The numbers of people across all exporters.
    united: Option<United>,
    callbacks: Callbacks,
    targets: Vec<Target>,
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
    by_platform: LabelCounts,
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
pub(super) struct Callbacks {
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
    /// Whether the request may have been a callback.
    callback: bool,
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

/// Reads the current values. `connections` are open.
pub(crate) fn read(source: Source<'_>, connections: usize) -> Summary {
    let Source { stats, telemetry, now, uptime_ms, .. } = source;
    Summary {
        version: env!("CARGO_PKG_VERSION"),
        since: stats.started().seconds(),
        uptime_seconds: uptime_ms as f64 / SECOND,
        messages: messages(stats),
        messages_folded: LabelCounts::of([
            ("capacity", stats.folded_for_capacity()),
            ("retired", stats.folded_retired()),
            ("dismissed", stats.folded_dismissed()),
            ("erased", stats.folded_erased()),
        ]),
        mentions: LabelCounts::of([("user", stats.mentioned_users()), ("all", stats.mentioned_all())]),
        active_senders: LabelCounts::by_window(stats.active_senders(Chat::Group, now)),
        active_groups: LabelCounts::by_window(stats.active_groups(now)),
        groups: groups(stats),
        sender_pairs: sender_pairs(stats),
        content_bytes: distribution(&stats.content_bytes(Chat::Group), 1.0),
        delivery_delay_seconds: distribution(&stats.delivery_delays(Chat::Group), SECOND),
        submit_delay_seconds: distribution(&stats.submit_delays(Chat::Group), SECOND),
        clock_errors: LabelCounts::of(ClockError::ALL.map(|kind| (kind.name(), stats.clock_errors(Chat::Group, kind)))),
        single_messages: single_messages(source),
        active_users: LabelCounts::by_window(stats.active_users(now)),
        users_online: LabelCounts::users_online(stats),
        united: united(stats),
        callbacks: callbacks(stats, telemetry),
        targets: targets(telemetry),
        connections,
    }
}

fn messages(stats: &Stats) -> Messages {
    let MixCounts { total, by_content_type, by_platform, by_source } = MixCounts::read(stats, Chat::Group);
    let by_status = LabelCounts::of(STATUSES.into_iter().chain([OTHER]).zip(stats.by_status()));
    Messages { total, by_content_type, by_platform, by_source, by_status }
}

fn single_messages(Source { stats, now, .. }: Source<'_>) -> SingleMessages {
    let MixCounts { total, by_content_type, by_platform, .. } = MixCounts::read(stats, Chat::Single);
    let active_senders = LabelCounts::by_window(stats.active_senders(Chat::Single, now));
    SingleMessages { total, by_content_type, by_platform, active_senders }
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

pub(super) fn callbacks(stats: &Stats, telemetry: &Telemetry) -> Callbacks {
    let rejected = |Refusal { reason, detail, client, may_be_callback, at }| Rejected {
        time: at.seconds(),
        reason: reason.name(),
        client,
        detail,
        callback: may_be_callback,
    };
    let by_command = LabelCounts::of(stats.callbacks()).non_zero();
    Callbacks {
        total: by_command.sum(),
        by_command,
        excluded: LabelCounts::of(stats.exclusions()),
        rejected: LabelCounts::of(stats.refusals()).non_zero(),
        last_rejected: telemetry.last_refusals().into_iter().map(rejected).collect(),
        last: stats.last_callback().map(UnixMillis::seconds),
    }
}
