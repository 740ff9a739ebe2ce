//! States of 0.1.0 are converted completely.

use std::io::Write as _;
use std::sync::Arc;

use openim_exporter::exposition::{Format, Scope, Scraper};
use openim_exporter::telemetry::Telemetry;

use super::*;

#[path = "../support/first_version.rs"]
pub(super) mod files;

/// Of the kept state.
const KEPT: Capacities = Capacities {
    groups: 12,
    exported_groups: 5,
    sender_pairs: 64,
    dedup_window: Duration::from_secs(600),
    online: 100,
    history_days: 40,
};
const KEPT_AT: UnixMillis = UnixMillis(1_733_124_298_901);

fn directory_with(state: &[u8]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("state"), state).unwrap();
    directory
}

/// The statistics' samples, in OpenMetrics.
fn shown(stats: Stats) -> String {
    let (stats, telemetry) = (Arc::new(stats), Arc::new(Telemetry::default()));
    let mut text = Vec::new();
    for scope in [Scope::Metrics, Scope::Groups] {
        let mut scraper = Scraper::new(scope, Format::OpenMetrics, Arc::clone(&stats), Arc::clone(&telemetry), KEPT_AT);
        let mut chunk = Vec::new();
        while {
            let has_more = scraper.next_chunk(&mut chunk).unwrap();
            text.write_all(&chunk).unwrap();
            chunk.clear();
            has_more
        } {}
    }
    let families = [
        "group_",
        "tracked_group_",
        "active_",
        "exporter_groups",
        "exporter_sender_pairs",
        "exporter_callback_repeats",
    ];
    let families = families.into_iter().chain(["exporter_message_ids"]).map(|name| format!("openim_{name}"));
    let families: Vec<_> = families.collect();
    let text = String::from_utf8(text).unwrap();
    let lines = text.lines().filter(|line| families.iter().any(|family| line.starts_with(family)));
    // 0.1.0 did not count members, all active users, dismissals, and delays by platform.
    let new =
        ["openim_group_members_", "openim_active_users", "reason=\"dismissed\"", "reason=\"erased\"", "_by_platform_"];
    let is_new = |line: &str| new.iter().any(|name| line.contains(name));
    let lines = lines.filter(|line| !is_new(line) && !is_zero_of_mix(line));
    lines.map(|line| format!("{line}\n")).collect()
}

fn expected() -> String {
    let text = String::from_utf8(files::unzip(include_bytes!("0.1.0/shown.gz"))).unwrap();
    for sample in [
        r#"messages_folded_total{reason="capacity"} 209"#,
        r#"messages_folded_total{reason="retired"} 1133"#,
        "groups_retired_total 29",
        "sender_pairs_evicted_total 1222",
        "callback_repeats_total 195",
        "message_ids_tracked 207",
        "message_ids_evicted_total 4",
        r##"# {operation_id="operation-"##,
        r#"content_type="999""#,
    ] {
        assert!(text.contains(sample), "tests/state/0.1.0 lacks {sample}");
    }
    let name = |line: &str| line.split(['{', ' ']).next().unwrap().to_owned();
    let lines = text.lines().filter(|line| !name(line).ends_with("_created") && !is_zero_of_mix(line));
    with_current_names(&lines.map(|line| format!("{line}\n")).collect::<String>())
}

/// 0.1.0 had a zero for each combination of labels.
fn is_zero_of_mix(line: &str) -> bool {
    line.starts_with("openim_group_messages_total{") && line.ends_with(" 0")
}

/// 0.1.0 had the names of `/metrics` and its totals also at `/metrics/groups`.
fn with_current_names(text: &str) -> String {
    let end = text.rfind("openim_exporter_message_ids_evicted").unwrap();
    let (metrics, groups) = text.split_at(end + text[end..].find('\n').unwrap() + 1);
    let renamed = groups.lines().filter_map(|line| {
        let names = [
            ("openim_group_messages_by_group_", "openim_tracked_group_messages_"),
            ("openim_group_active_senders", "openim_tracked_group_active_senders"),
        ];
        names.iter().find_map(|(old, new)| line.strip_prefix(old).map(|rest| format!("{new}{rest}\n")))
    });
    metrics.to_owned() + &renamed.collect::<String>()
}

#[test]
fn all_samples_of_0_1_0_are_exposed_after_the_conversion() {
    let state = files::kept();
    let directory = directory_with(&state);
    let (stats, steps) = try_open(directory.path(), KEPT, NEXT_BOOT, KEPT_AT).unwrap();
    assert_eq!((stats.state_start(), is_converted(&steps), renamed(&steps)), (StateStart::Continued, true, None));
    assert_eq!(shown(stats), expected());
    assert!(fs::read(directory.path().join("state.previous")).unwrap() == state, "the file of 0.1.0 is kept");
    // The same again, now without a conversion.
    let (stats, steps) = try_open(directory.path(), KEPT, NEXT_BOOT, KEPT_AT).unwrap();
    let native = histogram_counts(&stats);
    assert!(native.iter().all(|[classic, native]| classic == native) && native[0][0] > 0, "{native:?}");
    assert_eq!((shown(stats), steps), (expected(), vec![]));
}

#[test]
fn a_state_of_a_killed_0_1_0_continues_only_on_the_same_boot() {
    let mut killed = files::kept();
    killed[18 * 8..19 * 8].fill(0);
    let directory = directory_with(&killed);
    let (stats, _) = try_open(directory.path(), KEPT, BOOT, KEPT_AT).unwrap();
    assert_eq!((stats.state_start(), shown(stats)), (StateStart::Continued, expected()));
    let directory = directory_with(&killed);
    let (stats, _) = try_open(directory.path(), KEPT, NEXT_BOOT, KEPT_AT).unwrap();
    assert_eq!((stats.state_start(), stats.messages(), stats.groups_tracked()), (StateStart::CountersReset, 0, 12));
    let windows = |text: &str| {
        text.lines().filter(|line| line.starts_with("openim_active")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(windows(&shown(stats)), windows(&expected()));
}

#[test]
fn a_file_of_0_1_0_with_a_damaged_header_or_other_sections_is_renamed() {
    let refused = |state: &[u8]| {
        let directory = directory_with(state);
        let (_, steps) = try_open(directory.path(), KEPT, BOOT, KEPT_AT).unwrap();
        renamed(&steps).unwrap().1.to_owned()
    };
    let mut state = files::kept();
    // The fingerprint of its sections.
    state[2 * 8] ^= 1;
    assert_eq!(refused(&state), Damage::Header.to_string());
    let facts: Vec<_> = state.chunks(8).take(12).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    state[12 * 8..][..8].copy_from_slice(&files::sum(&facts).to_le_bytes());
    assert_eq!(refused(&state), Damage::BeforeFirstVersion.to_string());
}

#[test]
#[ignore = "has a million groups"]
fn a_million_groups_of_0_1_0_stay_the_same() {
    const GROUPS: usize = 1_000_000;
    let minute = KEPT_AT.0.unsigned_abs() / 60_000;
    let directory = directory_with(&files::enlarged(GROUPS, minute));
    let capacities = Capacities { groups: GROUPS, sender_pairs: GROUPS, ..KEPT };
    let (stats, steps) = try_open(directory.path(), capacities, NEXT_BOOT, KEPT_AT).unwrap();
    assert_eq!((stats.state_start(), is_converted(&steps), renamed(&steps)), (StateStart::Continued, true, None));
    let (kept, _) = try_open(directory_with(&files::kept()).path(), KEPT, NEXT_BOOT, KEPT_AT).unwrap();
    let groups: Vec<_> = stats.groups().collect();
    assert_eq!((groups.len(), stats.sender_pairs_tracked()), (GROUPS, GROUPS as u64 - 12));
    let mut added = 0;
    for (number, group) in groups.iter().enumerate() {
        let first = kept.group(u32::try_from(number).unwrap());
        let (name, messages) = first.map_or_else(
            || (files::name_of(number), files::messages_of(number)),
            |kept| (kept.name.as_str().to_owned(), kept.messages),
        );
        assert_eq!((group.name.as_str(), group.messages), (name.as_str(), messages));
        if number >= 12 {
            added += messages;
            let seen = i64::try_from(minute * 60_000).unwrap();
            assert_eq!((group.last_seen.0, group.created.0, group.active_senders), (seen, seen - 5, [1, 1]));
        }
    }
    assert_eq!(stats.messages(), kept.messages() + added);
    assert_eq!(stats.active_senders(Chat::Group, KEPT_AT), kept.active_senders(Chat::Group, KEPT_AT));
    assert_eq!(stats.active_groups(KEPT_AT), kept.active_groups(KEPT_AT));
    assert_eq!(stats.delivery_exemplars(Chat::Group), kept.delivery_exemplars(Chat::Group));
    assert_eq!(stats.delivery_delays(Chat::Group), kept.delivery_delays(Chat::Group));
    assert_eq!(stats.sender_pairs_evicted(), kept.sender_pairs_evicted());
    assert_eq!((stats.duplicates(), stats.folded_retired()), (kept.duplicates(), kept.folded_retired()));
}
