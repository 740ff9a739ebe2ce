//! The situations, and what the dashboards must show in them.

use Expected::{Between, Has, Rows};

/// All dashboards that have a panel or annotation.
pub(crate) const ANY: &str = "*";

/// What is wrong.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Trouble {
    Nothing,
    Down,
    OneOfTwoDown,
    Refusals,
    SlowAnswers,
    Flood,
}

/// An installation and its dashboards.
pub(crate) struct Situation {
    pub(crate) name: &'static str,
    pub(crate) trouble: Trouble,
    pub(crate) has_tls: bool,
    /// Whether Prometheus also scrapes OpenIM.
    pub(crate) has_openim: bool,
    /// Whether OpenIM reports more than group messages.
    pub(crate) has_reports: bool,
    /// The alerts that fire.
    pub(crate) alerts: &'static [&'static str],
    /// What differs from [`USUAL`] and [`USUALLY_NO_DATA`].
    pub(crate) shows: &'static [(&'static str, &'static str, Expected)],
    /// The other panels without data, and their words instead: `(dashboard, panel, words)`.
    pub(crate) no_data: &'static [(&'static str, &'static str, &'static str)],
}

/// What a panel must show.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    /// A stat with a value in this range, in the base unit: seconds, bytes, or 1 for 100 %.
    Between(f64, f64),
    /// These names or texts, among others.
    Has(&'static [&'static str]),
    /// A table with these columns, and at least this number of rows.
    Rows(&'static [&'static str], usize),
}

const NOTHING_FORWARDED: &str = "Nothing is forwarded: set --forward.url, see docs/forwarding.md";
const NOTHING_RECORDED: &str = "Nothing is recorded: set --record.path, see docs/records.md";
const NO_NATIVE: &str = "No messages, or Prometheus does not store native histograms: see docs/prometheus.md";
const NO_UNION: &str = "No exporter unites its numbers with others: see --replicas.redis-url";
const ARRIVED: &str = "Callbacks received vs. processed by OpenIM";
const NO_OPENIM: &str = "Prometheus does not scrape OpenIM's own metrics: see docs/prometheus.md";

const NORMAL: Situation = Situation {
    name: "normal",
    trouble: Trouble::Nothing,
    has_tls: true,
    has_openim: true,
    has_reports: true,
    alerts: &[],
    shows: &[],
    no_data: &[],
};

pub(crate) const SITUATIONS: &[Situation] = &[
    NORMAL,
    Situation {
        name: "exporter down",
        trouble: Trouble::Down,
        alerts: &["OpenimExporterDown"],
        shows: &[
            (ANY, "Firing alerts", Has(&["critical OpenimExporterDown", "1"])),
            (ANY, "Alerts that fire", Has(&["OpenimExporterDown", "exporter-1:10006"])),
            (ANY, "Exporters down", Between(1.0, 1.0)),
            (ANY, "Since last callback", Between(1800.0, 2400.0)),
            ("exporter-health", "Exporters", Has(&["exporter-1:10006", "DOWN"])),
        ],
        no_data: &[
            (ANY, "Workers busy", "not measured"),
            (ANY, "Refused in 10 minutes", "no exporter is up"),
            (ANY, "95 % of messages arrived within", "not measured"),
            ("community", "Users online", "none yet, or enable afterUserOnline"),
            ("community", "Active users", "No data: is the exporter up?"),
            ("overview", "Messages per second", "No data: is the exporter up?"),
            ("overview", "Active senders (1 h)", "No data: is the exporter up?"),
            ("overview", "Active groups (1 h)", "No data: is the exporter up?"),
            ("overview", "Messages without a per-group series", "no messages"),
            ("overview", "Busiest now", "No messages, or --groups.max-exported is 0"),
            (ANY, "Limit hits", "No data: is the exporter up?"),
            // The history does not have this share: it needs half an hour of data.
            ("exporter-health", ARRIVED, NO_OPENIM),
            ("capacity", "Maximum callback rate", "no callbacks"),
            (
                "capacity",
                "Time until full",
                "No table grows, no exporter is up, or there are less than eight days of data",
            ),
        ],
        ..NORMAL
    },
    Situation {
        name: "one of two down",
        trouble: Trouble::OneOfTwoDown,
        alerts: &["OpenimExporterDown"],
        shows: &[
            (ANY, "Firing alerts", Has(&["critical OpenimExporterDown", "1"])),
            (ANY, "Alerts that fire", Has(&["OpenimExporterDown", "exporter-2:10006"])),
            (ANY, "Exporters down", Between(1.0, 1.0)),
            (ANY, "Since last callback", Has(&["exporter-2:10006"])),
            ("overview", "Messages (24 h)", Between(4e6, 2e7)),
            ("exporter-health", "Exporters", Has(&["exporter-1:10006", "up", "exporter-2:10006", "DOWN"])),
        ],
        ..NORMAL
    },
    Situation {
        name: "refusals",
        trouble: Trouble::Refusals,
        has_tls: false,
        alerts: &["OpenimCallbacksRejected"],
        shows: &[
            (ANY, "Firing alerts", Has(&["warning OpenimCallbacksRejected", "1"])),
            (ANY, "Alerts that fire", Has(&["OpenimCallbacksRejected", "missing_sender"])),
            (ANY, "Refused in 10 minutes", Has(&["refused missing_sender"])),
            ("exporter-health", "Refused requests", Has(&["missing_sender"])),
        ],
        ..NORMAL
    },
    Situation {
        name: "slow answers",
        trouble: Trouble::SlowAnswers,
        has_tls: false,
        alerts: &["OpenimAnswersSlow"],
        shows: &[
            (ANY, "Firing alerts", Has(&["critical OpenimAnswersSlow", "1"])),
            (ANY, "Alerts that fire", Has(&["OpenimAnswersSlow", "critical"])),
            (ANY, "Workers busy", Between(0.7, 1.0)),
        ],
        ..NORMAL
    },
    Situation {
        name: "flood",
        trouble: Trouble::Flood,
        has_tls: false,
        alerts: &["OpenimGroupFlood"],
        shows: &[
            (ANY, "Firing alerts", Has(&["warning OpenimGroupFlood", "1"])),
            (ANY, "Alerts that fire", Has(&["OpenimGroupFlood", "flooded"])),
            ("overview", "Messages per second", Between(80.0, 200.0)),
            ("overview", "Active groups (1 h)", Between(13.0, 13.0)),
            ("overview", "Busiest now", Has(&["flooded"])),
        ],
        ..NORMAL
    },
    Situation { name: "without TLS", has_tls: false, ..NORMAL },
    Situation {
        name: "group messages only",
        has_reports: false,
        no_data: &[
            ("community", "Users online", "none yet, or enable afterUserOnline"),
            ("community", "Single messages", "none yet, or enable afterSendSingleMsg"),
            ("community", "Registrations", "none yet, or enable afterUserRegister"),
            ("community", "Friendships started", "none yet, or enable afterAddFriendAgree"),
            ("community", "Groups created", "none yet, or enable afterCreateGroup"),
            ("community", "Groups dismissed", "none yet, or enable afterDismissGroup"),
            ("community", "Members joined", "none yet, or enable beforeMemberJoinGroup"),
            ("community", "Messages revoked", "none yet, or enable afterRevokeMsg"),
            ("community", "Single messages read", "none yet, or enable afterSingleMsgRead"),
            ("community", "Offline pushes (24 h)", "none yet, or enable beforeOfflinePush"),
        ],
        ..NORMAL
    },
    Situation {
        name: "without OpenIM's metrics",
        has_openim: false,
        no_data: &[("exporter-health", ARRIVED, NO_OPENIM)],
        ..NORMAL
    },
];

/// What the dashboards show, unless a situation differs.
pub(crate) const USUAL: &[(&str, &str, Expected)] = &[
    (ANY, "Firing alerts", Between(0.0, 0.0)),
    (ANY, "Exporters down", Between(0.0, 0.0)),
    (ANY, "Since last callback", Between(0.0, 30.0)),
    (ANY, "Workers busy", Between(0.0, 0.05)),
    (ANY, "Refused in 10 minutes", Between(0.0, 0.0)),
    (ANY, "95 % of messages arrived within", Between(0.001, 2.0)),
    ("overview", "Messages per second", Between(30.0, 80.0)),
    ("overview", "Messages (24 h)", Between(2e6, 1e7)),
    ("overview", "Active senders (1 h)", Between(300.0, 600.0)),
    ("overview", "Active groups (1 h)", Between(12.0, 12.0)),
    ("overview", "Messages without a per-group series", Between(0.0, 0.01)),
    ("overview", "Messages per second, now and a week ago", Has(&["now", "a week ago (1 h)"])),
    ("overview", "Busiest now", Rows(&["Group", "Now", "Senders (1 h)"], 10)),
    ("overview", "Busiest now", Has(&["2478291056"])),
    ("overview", "Fastest growing", Rows(&["Group", "Increase", "Last 24 h"], 10)),
    ("overview", "Busiest groups in the time range", Has(&["2478291056"])),
    ("overview", "Active senders", Has(&["5m", "1h", "24h", "7d", "30d"])),
    ("overview", "Delivery delay, quantiles", Has(&["p50", "p95", "p99"])),
    ("overview", "Content types", Has(&["text", "picture"])),
    ("exporter-health", "Exporters", Rows(&["Exporter", "Version"], 1)),
    ("exporter-health", "Exporters", Has(&["exporter-1:10006", env!("CARGO_PKG_VERSION")])),
    ("exporter-health", "Memory", Has(&["exporter-1:10006"])),
    ("community", "Users online", Between(1.0, 100.0)),
    ("community", "Single messages", Between(1e4, 3e5)),
    ("community", "Registrations", Between(1e4, 3e5)),
    ("community", "Users online by platform", Has(&["ios", "web"])),
    ("community", "Joins and leaves", Has(&["joined", "left", "removed", "invited", "asked to join"])),
    ("community", "Messages per second", Has(&["group", "single"])),
    ("community", "Attempts without a message", Has(&["group", "single"])),
    ("capacity", "Peak rate (24 h)", Between(50.0, 150.0)),
    ("capacity", "Week-over-week growth", Between(0.2, 0.6)),
    ("capacity", "OpenIM processes", Between(1.0, 1.0)),
    ("capacity", "Workers busy, with forecast", Has(&["now", "peak of the day"])),
    ("group", "Selected groups", Rows(&["Group", "Messages"], 1)),
];

/// The panels that usually have no data, and their words instead. A situation that expects data has them in
/// [`Situation::shows`].
pub(crate) const USUALLY_NO_DATA: &[(&str, &str, &str)] = &[
    (ANY, "Alerts that fire", "No alert is firing"),
    ("overview", "Gone quiet", "No group has gone quiet"),
    ("overview", "Delivery delay by platform", NO_NATIVE),
    ("community", "Delivery delay of single messages by platform", NO_NATIVE),
    ("forwarding", "Targets", NOTHING_FORWARDED),
    ("forwarding", "Answers to OpenIM", NOTHING_FORWARDED),
    ("forwarding", "Time until the target answers, quantiles", NOTHING_FORWARDED),
    ("forwarding", "Received and delivered", NOTHING_FORWARDED),
    ("forwarding", "Age of the oldest pending callback", NOTHING_FORWARDED),
    ("forwarding", "Pending callbacks", NOTHING_FORWARDED),
    ("forwarding", "Attempts", NOTHING_FORWARDED),
    ("forwarding", "No usable answer", NOTHING_FORWARDED),
    ("forwarding", "Dropped", NOTHING_FORWARDED),
    ("forwarding", "Rejected by the target", NOTHING_FORWARDED),
    ("forwarding", "Stalls", NOTHING_FORWARDED),
    ("forwarding", "Breaker of each target", NOTHING_FORWARDED),
    ("forwarding", "Dead letters on disk", NOTHING_FORWARDED),
    ("forwarding", "Pending bytes", NOTHING_FORWARDED),
    ("forwarding", "Duration of delivery attempts, quantiles", NOTHING_FORWARDED),
    ("forwarding", "Recorded callbacks", NOTHING_RECORDED),
    ("forwarding", "Failures to record", NOTHING_RECORDED),
    ("forwarding", "Records on disk", NOTHING_RECORDED),
    ("forwarding", "Records removed", NOTHING_RECORDED),
    ("exporter-health", "Refused requests", "No request was refused"),
    ("exporter-health", "Age of the last union", NO_UNION),
    ("exporter-health", "Exporters in the union", NO_UNION),
    ("exporter-health", "Difference from Redis' clock", NO_UNION),
    ("exporter-health", "Duration of a union, quantiles", NO_UNION),
];
