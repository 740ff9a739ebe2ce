//! Every metric's name, once, with its kind, unit, help and labels. The README's table is checked against it.

use crate::telemetry::{Description, Own};

/// Prometheus' kinds of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, but for a restart.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Observations in buckets, with their sum and number.
    Histogram,
}

impl Kind {
    /// The word of a `# TYPE` line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A family of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// The name, `_total` included.
    pub name: &'static str,
    /// The kind.
    pub kind: Kind,
    /// The unit, with which the name then ends; or empty.
    pub unit: &'static str,
    /// The help, on one line.
    pub help: &'static str,
    /// The names of its labels, in the order in which they are written.
    pub labels: &'static [&'static str],
}

macro_rules! catalog {
    ($($(#[doc = $help:literal])+ $constant:ident = $kind:ident $name:literal $unit:literal [$($label:literal),*];)+) => {
        $(
            $(#[doc = $help])+
            pub const $constant: Family = Family {
                name: $name,
                kind: Kind::$kind,
                unit: $unit,
                help: concat!($($help),+).trim_ascii_start(),
                labels: &[$($label),*],
            };
        )+

        /// Every family, in the order in which a scrape has them.
        pub const CATALOG: &[Family] = &[$($constant),+];
    };
}

/// The label of an exemplar: what OpenIM's logs have a message under.
pub const EXEMPLAR_LABEL: &str = "operation_id";

// The doc comment is the help text.
catalog! {
    /// Group messages that OpenIM reported.
    MESSAGES = Counter "openim_group_messages_total" "" ["content_type", "platform", "source"];
    /// Group messages by OpenIM's message status, as a number.
    BY_STATUS = Counter "openim_group_messages_by_status_total" "" ["status"];
    /// Group messages of the exported groups.
    BY_GROUP = Counter "openim_group_messages_by_group_total" "" ["group_id"];
    /// Group messages that no tracked group carries.
    FOLDED = Counter "openim_group_messages_folded_total" "" ["reason"];
    /// Mentions in group messages: entries that name a user, and messages that mention everyone.
    MENTIONS = Counter "openim_group_mentions_total" "" ["kind"];
    /// Length of group messages' content in UTF-8 bytes.
    CONTENT_BYTES = Histogram "openim_group_message_content_bytes" "bytes" [];
    /// Time from sendTime to the receipt of the callback.
    DELIVERY_DELAY = Histogram "openim_group_message_delivery_delay_seconds" "seconds" [];
    /// Time from createTime to sendTime.
    SUBMIT_DELAY = Histogram "openim_group_message_submit_delay_seconds" "seconds" [];
    /// Delays that were left out of the histograms because a clock must be wrong.
    CLOCK_ERRORS = Counter "openim_group_message_clock_errors_total" "" ["kind"];
    /// Distinct senders of group messages in the window, estimated (standard error 0.8 percent).
    ACTIVE_SENDERS = Gauge "openim_active_senders" "" ["window"];
    /// Distinct groups with messages in the window, estimated (standard error 0.8 percent).
    ACTIVE_GROUPS = Gauge "openim_active_groups" "" ["window"];
    /// Distinct senders in the group in the window: of the exported groups.
    GROUP_ACTIVE_SENDERS = Gauge "openim_group_active_senders" "" ["group_id", "window"];
    /// Groups that are counted one by one.
    GROUPS_TRACKED = Gauge "openim_exporter_groups_tracked" "" [];
    /// Groups that can be counted one by one.
    GROUPS_CAPACITY = Gauge "openim_exporter_groups_capacity" "" [];
    /// Groups that have a series of their own.
    GROUPS_EXPORTED = Gauge "openim_exporter_groups_exported" "" [];
    /// Groups that can have a series of their own.
    GROUPS_EXPORTED_CAPACITY = Gauge "openim_exporter_groups_exported_capacity" "" [];
    /// Groups that were retired: idle for over a day, when a new group needed the place.
    GROUPS_RETIRED = Counter "openim_exporter_groups_retired_total" "" [];
    /// Pairs of a group and a sender that are remembered.
    PAIRS_TRACKED = Gauge "openim_exporter_sender_pairs_tracked" "" [];
    /// Pairs of a group and a sender that can be remembered.
    PAIRS_CAPACITY = Gauge "openim_exporter_sender_pairs_capacity" "" [];
    /// Pairs of a group and a sender that were forgotten before their day was over, because there were too many.
    PAIRS_EVICTED = Counter "openim_exporter_sender_pairs_evicted_total" "" [];
    /// Messages that came again within the dedup window, and were answered but not counted again.
    REPEATS = Counter "openim_exporter_callback_repeats_total" "" [];
    /// Messages that the dedup window knows.
    MESSAGE_IDS_TRACKED = Gauge "openim_exporter_message_ids_tracked" "" [];
    /// Messages that the dedup window can know; 0 while it is off.
    MESSAGE_IDS_CAPACITY = Gauge "openim_exporter_message_ids_capacity" "" [];
    /// Messages that were forgotten within the dedup window: a repeat of one of these counts again.
    MESSAGE_IDS_EVICTED = Counter "openim_exporter_message_ids_evicted_total" "" [];
    /// How the counters began at the start: 1 on the one that happened.
    STATE_START = Gauge "openim_exporter_state_start" "" ["outcome"];
    /// Connections that could not be accepted: the limit of open files is too low.
    ACCEPT_FAILURES = Counter "openim_exporter_accept_failures_total" "" [];
    /// Build information; always 1.
    BUILD_INFO = Gauge "openim_exporter_build_info" "" ["version"];
    /// Time from a callback's head being read to its answer being written.
    CALLBACK_DURATION = Histogram "openim_exporter_callback_duration_seconds" "seconds" [];
    /// Callbacks being read or answered.
    CALLBACKS_IN_FLIGHT = Gauge "openim_exporter_callbacks_in_flight" "" [];
    /// Requests that were refused.
    REJECTED = Counter "openim_exporter_callbacks_rejected_total" "" ["reason"];
    /// Callbacks that were taken, of all commands.
    CALLBACKS = Counter "openim_exporter_callbacks_total" "" ["command"];
    /// Whether the files of the settings could be used when they were last read: 1 or 0.
    LAST_RELOAD_SUCCESSFUL = Gauge "openim_exporter_config_last_reload_successful" "" [];
    /// How often the files of the settings were read again and could not be used.
    RELOAD_FAILURES = Counter "openim_exporter_config_reload_failures_total" "" [];
    /// Open connections.
    CONNECTIONS = Gauge "openim_exporter_connections" "" [];
    /// Connections that were ended because they were silent, and answers that were cut off because they were not read in time.
    CONNECTIONS_ENDED = Counter "openim_exporter_connections_ended_total" "" ["reason"];
    /// When the last callback was taken, in seconds since the epoch; 0 before the first.
    LAST_CALLBACK = Gauge "openim_exporter_last_callback_timestamp_seconds" "seconds" [];
    /// Time that writing a scrape took.
    SCRAPE_DURATION = Histogram "openim_exporter_scrape_duration_seconds" "seconds" [];
    /// Series in the scrape before this one.
    SCRAPE_SERIES = Gauge "openim_exporter_scrape_series" "" [];
    /// 1 while the state's file is not at its path, because it or its directory was removed or replaced; else 0.
    STATE_FILE_MISSING = Gauge "openim_exporter_state_file_missing" "" [];
    /// When the TLS certificate expires, in seconds since the epoch; 0 without TLS.
    CERTIFICATE_EXPIRY = Gauge "openim_exporter_tls_certificate_expiry_timestamp_seconds" "seconds" [];
    /// TLS handshakes that failed.
    HANDSHAKE_FAILURES = Counter "openim_exporter_tls_handshake_failures_total" "" [];
}

/// What `telemetry` is to call its metrics.
#[must_use]
pub const fn describe(own: Own) -> Description {
    let family = match own {
        Own::Callbacks => CALLBACKS,
        Own::Rejected => REJECTED,
        Own::AcceptFailures => ACCEPT_FAILURES,
        Own::HandshakeFailures => HANDSHAKE_FAILURES,
        Own::CertificateExpiry => CERTIFICATE_EXPIRY,
        Own::LastReloadSuccessful => LAST_RELOAD_SUCCESSFUL,
        Own::ReloadFailures => RELOAD_FAILURES,
        Own::Duration => CALLBACK_DURATION,
        Own::InFlight => CALLBACKS_IN_FLIGHT,
        Own::Connections => CONNECTIONS,
        Own::ConnectionsEnded => CONNECTIONS_ENDED,
        Own::LastCallback => LAST_CALLBACK,
        Own::ScrapeDuration => SCRAPE_DURATION,
        Own::ScrapeSeries => SCRAPE_SERIES,
        Own::StateFileMissing => STATE_FILE_MISSING,
        Own::BuildInfo => BUILD_INFO,
    };
    (family.name, family.help, family.labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_once_and_follow_prometheus_rules() {
        for (position, family) in CATALOG.iter().enumerate() {
            assert!(CATALOG[..position].iter().all(|other| other.name != family.name), "{}", family.name);
            assert_eq!(family.name.ends_with("_total"), family.kind == Kind::Counter, "{}", family.name);
            assert!(family.name.trim_end_matches("_total").ends_with(family.unit), "{}", family.name);
            // Nothing in it has to be escaped, in either format.
            assert!(!family.help.is_empty() && !family.help.contains(['\n', '\\', '"']), "{}", family.name);
        }
    }
}
