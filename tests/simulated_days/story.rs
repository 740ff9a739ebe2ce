//! The events of the simulated days: the traffic, and the problems. Times are minutes since the first midnight.

use std::ops::Range;

pub(crate) const DAY: u32 = 24 * 60;
pub(crate) const DAYS: u32 = 9;
/// The start of the day with the problems.
pub(crate) const LAST_DAY: u32 = (DAYS - 1) * DAY;
pub(crate) const END: u32 = DAYS * DAY;

/// A period of the last day, from one hour and minute to another.
const fn on_the_last_day(from: (u32, u32), to: (u32, u32)) -> Range<u32> {
    LAST_DAY + from.0 * 60 + from.1..LAST_DAY + to.0 * 60 + to.1
}

/// Two groups have messages until then, and are retired when new groups need their slots.
pub(crate) const TWO_GROUPS_END: u32 = 6 * DAY;
/// OpenIM processes messages but sends no callbacks.
pub(crate) const SILENCE: Range<u32> = on_the_last_day((2, 0), (2, 40));
/// Every second callback is lost in transit.
pub(crate) const LOSS: Range<u32> = on_the_last_day((4, 0), (5, 0));
/// Requests are refused for every reason, connections are not accepted, and handshakes fail.
pub(crate) const REFUSALS: Range<u32> = on_the_last_day((6, 0), (6, 30));
/// The settings files cannot be used.
pub(crate) const SPOILT_SETTINGS: Range<u32> = on_the_last_day((7, 0), (7, 20));
/// Messages have impossible times.
pub(crate) const WRONG_CLOCKS: Range<u32> = on_the_last_day((8, 0), (8, 40));
/// Messages take eight seconds to arrive.
pub(crate) const DELAY: Range<u32> = on_the_last_day((9, 0), (9, 40));
/// The target takes no callbacks, and the disk no records.
pub(crate) const NO_TARGET: Range<u32> = on_the_last_day((10, 0), (10, 20));
/// New groups appear every minute, and the table is full.
pub(crate) const NEWCOMERS: Range<u32> = on_the_last_day((10, 30), (11, 0));
/// Redis cannot be reached, and its clock and data are wrong.
pub(crate) const NO_REDIS: Range<u32> = on_the_last_day((11, 10), (11, 50));
/// Answers take seconds.
pub(crate) const SLOW_ANSWERS: Range<u32> = on_the_last_day((12, 0), (12, 30));
/// One group has ten messages per second, from hundreds of users.
pub(crate) const FLOOD: Range<u32> = on_the_last_day((14, 0), (14, 20));
/// The exporter is down, and its state is lost.
pub(crate) const DOWN: Range<u32> = on_the_last_day((15, 30), (15, 40));
/// The state file is missing.
pub(crate) const NO_STATE_FILE: Range<u32> = on_the_last_day((17, 0), (17, 20));
/// There are far fewer messages than usual.
pub(crate) const LULL: Range<u32> = on_the_last_day((18, 0), (20, 0));

/// Few users are online, half of what they write is refused, and there are no offline pushes.
pub(crate) const EVENING: Range<u32> = on_the_last_day((20, 30), (23, 30));

/// The number of messages in a minute: 24 at noon, 6 at midnight, the same each day.
pub(crate) fn written(minute: u32) -> u32 {
    let usual = 24 - (minute % DAY).abs_diff(DAY / 2) * 18 / (DAY / 2);
    if LULL.contains(&minute) { usual / 8 } else { usual }
}

/// The users online: more than can be tracked while requests are refused.
pub(crate) fn online(minute: u32) -> u32 {
    if EVENING.contains(&minute) {
        5
    } else if REFUSALS.contains(&minute) {
        60
    } else {
        22
    }
}

/// The duration of an answer in milliseconds. It increases each day at noon.
pub(crate) fn answer_ms(minute: u32) -> u64 {
    let is_noon = (minute % DAY).abs_diff(DAY / 2) < 20;
    match (SLOW_ANSWERS.contains(&minute), is_noon) {
        (true, _) => 4500,
        (false, true) => u64::from(minute / DAY + 1) * 300,
        (false, false) => 1,
    }
}

/// The number of groups, which increases each day.
pub(crate) fn groups(minute: u32) -> u32 {
    12 + minute / DAY * 3
}

/// A single period.
fn only(stretch: Range<u32>) -> Vec<Range<u32>> {
    vec![stretch]
}

/// When each alert must fire: at some time in each of these periods, and never outside of them.
pub(crate) fn due(alert: &str) -> Vec<Range<u32>> {
    // An alert that looks back also fires for some time afterwards.
    let seen_after = |range: &Range<u32>, minutes: u32| range.start..range.end + minutes;
    match alert {
        "OpenimExporterDown" => only(seen_after(&DOWN, 2)),
        "OpenimNoCallbacks" => only(seen_after(&SILENCE, 2)),
        // Other alerts cover the messages that are missing in `SILENCE` and in `DOWN`.
        "OpenimCallbacksMissing" => only(seen_after(&LOSS, 30)),
        "OpenimAnswersSlow" => only(seen_after(&SLOW_ANSWERS, 5)),
        "OpenimCallbacksRejected" | "OpenimAccessRefused" => only(seen_after(&REFUSALS, 10)),
        "OpenimClockErrors" => only(seen_after(&WRONG_CLOCKS, 10)),
        "OpenimDeliveryDelayGrows" => only(seen_after(&DELAY, 10)),
        "OpenimGroupFlood" => only(seen_after(&FLOOD, 5)),
        "OpenimTrafficLow" => only(seen_after(&LULL, 60)),
        "OpenimTrafficHigh" => only(seen_after(&FLOOD, 60)),
        "OpenimUsersOnlineHalved" => only(seen_after(&EVENING, 10)),
        "OpenimMessagesRefused" => vec![seen_after(&LOSS, 30), seen_after(&EVENING, 30)],
        "OpenimPushesStopped" => only(seen_after(&EVENING, 5)),
        // The groups increase each day. The forecast needs a week, and by then the exported groups have reached their
        // limit.
        "OpenimCapForecast" => only(8 * DAY..END),
        "OpenimCapNear" => only(3 * DAY..END),
        // After `FLOOD`, the table of pairs is full, and each new pair evicts another.
        "OpenimCapReached" => vec![seen_after(&REFUSALS, 10), seen_after(&NEWCOMERS, 10), FLOOD.start..DOWN.end],
        "OpenimCertificateExpires" => only(LAST_DAY..END),
        "OpenimCountersReset" => only(DOWN.start..DOWN.end + 60),
        "OpenimStateFileMissing" => only(NO_STATE_FILE),
        "OpenimSettingsNotUsed" => only(seen_after(&SPOILT_SETTINGS, 5)),
        "OpenimForwardTargetDown" | "OpenimForwardUnanswered" => only(seen_after(&NO_TARGET, 10)),
        "OpenimForwardBacklog" => only(seen_after(&NO_TARGET, 2)),
        "OpenimForwardDropped" | "OpenimForwardDeadLetters" | "OpenimForwardRefusalsIgnored" => {
            only(seen_after(&NO_TARGET, 60))
        }
        "OpenimRecordFailures" => only(seen_after(&NO_TARGET, 60)),
        "OpenimReplicasNotUnited" => only(seen_after(&NO_REDIS, 10)),
        "OpenimReplicasClockSkew" => only(seen_after(&NO_REDIS, 2)),
        "OpenimReplicasDamaged" | "OpenimReplicasNameConflict" => only(seen_after(&NO_REDIS, 60)),
        // There is one exporter.
        "OpenimReplicasMissing" => Vec::new(),
        // The answers at noon become slower each day. The forecast needs a week.
        "OpenimSenderLimitForecast" => only(8 * DAY..END),
        _ => panic!("add when {alert} must fire"),
    }
}
