//! What `/metrics` must have after a run of `simulate`, by its report.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Samples;

/// The least and the most that may have been counted: what was answered, and what was sent.
type Bounds = (f64, f64);

/// Families with one number each, by the activity in the report; those with a label have the chat.
const ACTIVITIES: &[(&str, &str)] = &[
    ("openim_users_registered_total", "users registered"),
    ("openim_groups_created_total", "groups created"),
    ("openim_groups_dismissed_total", "groups dismissed"),
    ("openim_group_members_joined_total", "members joined"),
    ("openim_group_members_left_total", "members left"),
    ("openim_group_members_removed_total", "members removed"),
    ("openim_group_members_invited_total", "members invited"),
    ("openim_group_members_join_requests_total", "join requests"),
    ("openim_friend_requests_total", "friend requests"),
    ("openim_friendships_started_total", "friendships started"),
    ("openim_friendships_ended_total", "friendships ended"),
    ("openim_user_blocks_total", "user blocks"),
    ("openim_user_unblocks_total", "user unblocks"),
    ("openim_message_revocations_total{chat=\"group\"}", "group revocations"),
    ("openim_message_revocations_total{chat=\"single\"}", "single revocations"),
    ("openim_messages_read_total{chat=\"group\"}", "group reads"),
    ("openim_messages_read_total{chat=\"single\"}", "single reads"),
    ("openim_offline_pushes_total{chat=\"group\"}", "group pushes"),
    ("openim_offline_pushes_total{chat=\"single\"}", "single pushes"),
    ("openim_message_attempts_total{chat=\"group\"}", "group attempts"),
    ("openim_message_attempts_total{chat=\"single\"}", "single attempts"),
];

/// Families that are no totals: they depend on the time of the tick or of the delivery.
const LEFT_OUT: &[&str] = &[
    "openim_group_active_senders",
    "openim_group_message_delivery_delay_seconds_sum",
    "openim_group_message_delivery_delay_by_platform_seconds_sum",
    "openim_group_message_submit_delay_seconds_sum",
    "openim_single_message_delivery_delay_seconds_sum",
    "openim_single_message_delivery_delay_by_platform_seconds_sum",
    "openim_single_message_submit_delay_seconds_sum",
];

/// Checks every family of the statistics in a scrape, and fails for one that it does not know.
pub(crate) fn assert_totals(report: &Value, samples: &Samples) {
    let families: BTreeSet<_> = samples.0.keys().map(|series| series.split('{').next().unwrap()).collect();
    let mut checked = 0;
    for family in families.into_iter().filter(|family| family.starts_with("openim_")) {
        checked += usize::from(check(report, samples, family));
    }
    assert!(checked > 40, "only {checked} families");
}

/// Whether the family was checked.
fn check(report: &Value, samples: &Samples, family: &str) -> bool {
    let single = &report["single_messages"];
    let in_all = |family: &str, expected| assert_within(family, samples.sum(family), expected);
    match family {
        "openim_group_messages_total" => assert_messages(report, samples, family),
        "openim_single_messages_total" => assert_messages(single, samples, family),
        "openim_group_messages_by_status_total" => assert_each(&report["by_status"], samples, family, "status"),
        "openim_group_messages_by_group_total" => assert_each(&report["by_group"], samples, family, "group_id"),
        "openim_group_mentions_total" => assert_each(&report["mentions"], samples, family, "kind"),
        "openim_group_message_content_bytes_sum" => in_all(family, bounds(&report["content_bytes"])),
        "openim_single_message_content_bytes_sum" => in_all(family, bounds(&single["content_bytes"])),
        "openim_active_senders" => assert_estimates(samples, family, bounds(&report["distinct_senders"])),
        "openim_single_active_senders" => assert_estimates(samples, family, bounds(&single["distinct_senders"])),
        "openim_active_users" => assert_estimates(samples, family, bounds(&report["distinct_users"])),
        "openim_active_groups" => assert_estimates(samples, family, groups(report)),
        "openim_exporter_groups_tracked" => in_all(family, groups(report)),
        "openim_user_disconnects_total" => assert_each(&report["disconnects"], samples, family, "platform"),
        "openim_users_online" => assert_each(&report["users_online"], samples, family, "platform"),
        "openim_exporter_callbacks_total" => assert_each(&report["by_command"], samples, family, "command"),
        "openim_exporter_callbacks_rejected_total"
        | "openim_exporter_callback_repeats_total"
        | "openim_exporter_users_online_overflow_total"
        | "openim_exporter_groups_retired_total"
        | "openim_group_messages_folded_total"
        | "openim_group_message_clock_errors_total"
        | "openim_single_message_clock_errors_total" => in_all(family, (0.0, 0.0)),
        left_out if LEFT_OUT.contains(&left_out) || left_out.starts_with("openim_exporter_") => return false,
        family if family.starts_with("openim_group_message_") => assert_histogram(report, samples, family),
        family if family.starts_with("openim_single_message_") => assert_histogram(single, samples, family),
        family => assert_activities(report, samples, family),
    }
    true
}

fn assert_activities(report: &Value, samples: &Samples, family: &str) {
    let of_family = ACTIVITIES.iter().filter(|(series, _)| series.split('{').next() == Some(family));
    let series: Vec<_> = of_family.collect();
    assert_eq!(series.len(), samples.of(family).count(), "{family} is new: add what it must be");
    for (series, activity) in series {
        assert_within(series, samples.value(series), bounds(&report["activities"][activity]));
    }
}

fn assert_messages(messages: &Value, samples: &Samples, family: &str) {
    for (map, label) in [("by_content_type", "content_type"), ("by_platform", "platform"), ("by_source", "source")] {
        assert_each(&messages[map], samples, family, label);
    }
}

/// Each entry of this map of the report, and that nothing else was counted.
fn assert_each(map: &Value, samples: &Samples, family: &str, label: &str) {
    let map = map.as_object().unwrap();
    for (name, count) in map {
        assert_within(&format!("{family} of {name}"), samples.sum_of(family, label, name), bounds(count));
    }
    assert_within(family, samples.sum(family), sum(map.values()));
}

/// The number of observations.
fn assert_histogram(messages: &Value, samples: &Samples, family: &str) {
    let counted = match family.strip_suffix("_bucket") {
        Some(_) => samples.sum_of(family, "le", "+Inf"),
        None => samples.sum(family),
    };
    assert!(family.ends_with("_bucket") || family.ends_with("_count"), "{family} is new: add what it must be");
    assert_within(family, counted, sum(messages["by_source"].as_object().unwrap().values()));
}

/// Every window, within 2 percent.
fn assert_estimates(samples: &Samples, family: &str, (least, most): Bounds) {
    assert_eq!(samples.of(family).count(), 5);
    for (series, estimate) in samples.of(family) {
        assert_within(series, estimate, (least * 0.98, most * 1.02));
    }
}

/// The number of groups.
fn groups(report: &Value) -> Bounds {
    let groups = report["by_group"].as_object().unwrap();
    let answered = groups.values().filter(|count| count["answered"] != 0).count();
    (answered as f64, groups.len() as f64)
}

fn bounds(count: &Value) -> Bounds {
    let number = |names: [&str; 2]| names.iter().find_map(|name| count[name].as_f64()).unwrap_or(0.0);
    (number(["answered", "at_least"]), number(["sent", "at_most"]))
}

fn sum<'a>(counts: impl Iterator<Item = &'a Value>) -> Bounds {
    counts.map(bounds).fold((0.0, 0.0), |(least, most), count| (least + count.0, most + count.1))
}

fn assert_within(what: &str, counted: f64, (least, most): Bounds) {
    assert!(least <= counted && counted <= most, "{what}: {least} <= {counted} <= {most}");
}
