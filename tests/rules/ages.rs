//! Each alert in installations from an hour to 25 days old. In a healthy one, none fires. With a fault, its alerts fire
//! as soon as there is enough data, and no others.
//!
//! `promtool test rules` would take many minutes for these weeks, because it evaluates each rule at each moment. A
//! range query of a real Prometheus evaluates it for all moments at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::backfill::{Times, raised, with_recorded};
use crate::installation::{DAY, Exporter, INTERVAL, Moment, Restart, scrape_openim, seconds};
use crate::monitoring::{Rule, all_rules};
use crate::oracle::Prometheus;

/// The ages at which something happens, in minutes.
const AGES: [i64; 7] = [60, DAY, 3 * DAY, 8 * DAY, 10 * DAY, 15 * DAY, 25 * DAY];

/// A Wednesday at 10:00, when something happens to most installations.
const EVENT: i64 = 30 * DAY + 600;

/// The same time on the next day. OpenIM's metrics are not scraped then.
const NEXT_DAY: i64 = EVENT + DAY;

/// How long each fault lasts, in minutes.
const FAULT: i64 = 180;

/// When a healthy installation and OpenIM are restarted, in minutes after the event.
const DEPLOYMENT: i64 = 240;

/// When OpenIM's metrics begin, before all installations.
const START: i64 = EVENT - 26 * DAY;

/// The end of all installations.
const END: i64 = EVENT + 2 * DAY;

/// Prometheus evaluates the rules as often as it scrapes.
const TIMES: Times = Times { from: seconds(START), to: seconds(END), step: INTERVAL * 60 };

/// The ages from which an alert can fire, in minutes. docs/prometheus.md lists them.
const AT_ONCE: i64 = 0;
const AFTER_A_DAY: i64 = DAY;
const AFTER_TWO_DAYS: i64 = 2 * DAY;
const AFTER_A_WEEK: i64 = 7 * DAY + 120;
const AFTER_EIGHT_DAYS: i64 = 8 * DAY;

/// Something that happens to installations of each age.
struct Case {
    name: &'static str,
    event: i64,
    /// The prefixes of the metrics' names.
    metrics: &'static [&'static str],
    /// Changes what happens at a minute after the event. Before it, the minute is negative.
    change: fn(&mut Moment, i64),
    /// The alerts that fire, the minimum age for each, and a minute after the event at which it fires.
    alerts: &'static [(&'static str, i64, i64)],
}

const MESSAGES: &str = "openim_group_messages_by_status";

const CASES: &[Case] = &[
    Case {
        name: "healthy",
        event: EVENT,
        metrics: &["openim_", "process_"],
        change: |moment, minute| {
            // Slow answers for a while. With fewer than four scrapes, the rate would not reach this value.
            if (1..=20).contains(&minute) {
                moment.busy = 0.55;
            }
            // Many new senders on one day.
            if (0..DAY).contains(&minute) {
                moment.pairs = moment.pairs.max(0.75);
            }
            if minute == DEPLOYMENT {
                (moment.is_up, moment.restart) = (false, Restart::WithState);
            }
        },
        alerts: &[],
    },
    Case {
        name: "restart-without-state",
        event: EVENT,
        metrics: &["openim_group_messages", "openim_exporter_callback_duration", "openim_exporter_groups"],
        change: |moment, minute| {
            if minute == 0 {
                (moment.is_up, moment.restart) = (false, Restart::WithoutState);
            }
        },
        alerts: &[("OpenimCountersReset", AT_ONCE, 10)],
    },
    Case {
        name: "down",
        event: EVENT,
        metrics: &[MESSAGES],
        change: |moment, minute| moment.is_up = !is_during(minute),
        alerts: &[("OpenimExporterDown", AT_ONCE, 20)],
    },
    Case {
        name: "no-callbacks",
        event: EVENT,
        metrics: &[MESSAGES],
        change: |moment, minute| moment.arriving = share_if(is_during(minute), 0.0),
        alerts: &[("OpenimNoCallbacks", AT_ONCE, 30), ("OpenimNoCallbacks", AT_ONCE, 170)],
    },
    // Without OpenIM's count.
    Case {
        name: "no-callbacks-and-no-count",
        event: NEXT_DAY,
        metrics: &[MESSAGES],
        change: |moment, minute| moment.arriving = share_if(is_during(minute), 0.0),
        alerts: &[("OpenimNoCallbacks", AT_ONCE, 30), ("OpenimNoCallbacks", AFTER_A_WEEK, 170)],
    },
    Case {
        name: "a-fifth-missing",
        event: EVENT,
        metrics: &[MESSAGES],
        change: |moment, minute| moment.arriving = share_if(is_during(minute), 0.8),
        alerts: &[("OpenimCallbacksMissing", AFTER_A_WEEK, 90)],
    },
    Case {
        name: "most-missing",
        event: EVENT,
        metrics: &[MESSAGES],
        change: |moment, minute| moment.arriving = share_if(is_during(minute), 0.25),
        alerts: &[("OpenimCallbacksMissing", AT_ONCE, 60), ("OpenimTrafficLow", AFTER_A_WEEK, 120)],
    },
    Case {
        name: "flood",
        event: NEXT_DAY,
        metrics: &["openim_group_messages"],
        change: |moment, minute| moment.flood = if is_during(minute) { 50.0 } else { 0.0 },
        alerts: &[("OpenimGroupFlood", AT_ONCE, 30), ("OpenimTrafficHigh", AFTER_A_WEEK, 120)],
    },
    Case {
        name: "many-faults",
        event: EVENT,
        metrics: &["openim_", "process_"],
        change: |moment, minute| {
            if is_during(minute) {
                (moment.refused, moment.hits, moment.busy) = (3.0, 3.0, 0.9);
                (moment.wrong_clock, moment.delayed) = (0.3, 0.3);
                (moment.pairs, moment.message_ids) = (0.9, 0.9);
                (moment.is_state_file_missing, moment.are_settings_used, moment.certificate) = (true, false, 10.0);
                (moment.is_forwarding, moment.is_uniting) = (false, false);
            }
        },
        alerts: &[
            ("OpenimAnswersSlow", AT_ONCE, 30),
            ("OpenimCallbacksRejected", AT_ONCE, 30),
            ("OpenimAccessRefused", AT_ONCE, 30),
            ("OpenimClockErrors", AT_ONCE, 30),
            ("OpenimDeliveryDelayGrows", AT_ONCE, 40),
            ("OpenimCapNear", AT_ONCE, 30),
            ("OpenimCapReached", AT_ONCE, 30),
            ("OpenimStateFileMissing", AT_ONCE, 30),
            ("OpenimCertificateExpires", AT_ONCE, 30),
            ("OpenimSettingsNotUsed", AT_ONCE, 30),
            ("OpenimForwardTargetDown", AT_ONCE, 30),
            ("OpenimForwardBacklog", AT_ONCE, 30),
            ("OpenimForwardDropped", AT_ONCE, 30),
            ("OpenimForwardDeadLetters", AT_ONCE, 30),
            ("OpenimForwardRefusalsIgnored", AT_ONCE, 30),
            ("OpenimForwardUnanswered", AT_ONCE, 30),
            ("OpenimRecordFailures", AT_ONCE, 30),
            ("OpenimReplicasNotUnited", AT_ONCE, 40),
            ("OpenimReplicasMissing", AT_ONCE, 30),
            ("OpenimReplicasNameConflict", AT_ONCE, 30),
            ("OpenimReplicasDamaged", AT_ONCE, 30),
            ("OpenimReplicasClockSkew", AT_ONCE, 30),
        ],
    },
    Case {
        name: "users-and-pushes",
        event: EVENT,
        metrics: &[MESSAGES, "openim_message_attempts", "openim_offline_pushes", "openim_users_online"],
        change: |moment, minute| {
            if is_during(minute) {
                moment.online *= 0.3;
                (moment.refused_messages, moment.pushes) = (0.5, 0.0);
            }
        },
        alerts: &[
            ("OpenimUsersOnlineHalved", AFTER_A_WEEK, 120),
            ("OpenimMessagesRefused", AFTER_A_DAY, 120),
            ("OpenimPushesStopped", AFTER_TWO_DAYS, 150),
        ],
    },
    // More is used every day, from nine days before the event.
    Case {
        name: "growth",
        event: EVENT,
        metrics: &["openim_exporter_callback_duration", "openim_exporter_groups", "openim_exporter_sender_pairs"],
        change: |moment, minute| {
            let used = 0.2 + 0.05 * (minute as f64 / DAY as f64 + 9.0).max(0.0);
            (moment.busy, moment.groups, moment.pairs) = (used * 0.9 * moment.rhythm, used, used);
        },
        alerts: &[("OpenimCapForecast", AFTER_EIGHT_DAYS, 120), ("OpenimSenderLimitForecast", AFTER_EIGHT_DAYS, 120)],
    },
];

/// Whether a minute after an event is within the fault.
fn is_during(minute: i64) -> bool {
    (1..=FAULT).contains(&minute)
}

/// All of something, or only a share of it.
fn share_if(is_wrong: bool, share: f64) -> f64 {
    if is_wrong { share } else { 1.0 }
}

fn job(case: &Case, age: i64) -> String {
    format!("openim-exporter-{}-{age}", case.name)
}

/// The samples of all installations.
fn samples() -> String {
    let mut text = String::new();
    for case in CASES {
        for age in AGES {
            let change = |moment: &mut Moment, minute: i64| (case.change)(moment, minute - case.event);
            let (job, from) = (job(case, age), case.event - age);
            Exporter { job: &job, from, to: END, metrics: case.metrics, change: &change }.scrape(&mut text);
        }
    }
    // The scrapes end before the event and begin again an hour after the fault.
    let is_scraped = |minute| !(NEXT_DAY - 60..NEXT_DAY + FAULT + 60).contains(&minute);
    scrape_openim(&mut text, (START, END), EVENT + DEPLOYMENT, is_scraped);
    text + "# EOF\n"
}

/// The rules, for all jobs with these names.
fn rules() -> Vec<Rule> {
    let for_all = |text: &str| text.replace(r#"job="openim-exporter""#, r#"job=~"openim-exporter.*""#);
    let all = all_rules().into_iter();
    all.map(|rule| Rule { expression: for_all(&rule.expression), text: for_all(&rule.text), ..rule }).collect()
}

/// The alerts that fire in a case's installation of one age although they should not, and those that do not fire
/// although they should. `periods` has the minutes after the event in which an alert fires, for this installation.
fn wrong_for(case: &Case, age: i64, periods: &BTreeMap<&str, Vec<Range<i64>>>) -> Vec<String> {
    let (mut wrong, mut may_fire) = (Vec::new(), BTreeSet::new());
    for (alert, needed, minute) in case.alerts {
        let fires = periods.get(alert).is_some_and(|found| found.iter().any(|period| period.contains(minute)));
        if fires != (age >= *needed) {
            wrong.push(format!("{alert} of {}: {fires} at {minute}", job(case, age)));
        }
        may_fire.extend((age >= *needed).then_some(*alert));
    }
    let others = periods.iter().filter(|(alert, _)| !may_fire.contains(*alert));
    wrong.extend(others.map(|(alert, found)| format!("{alert} of {}: fires in {found:?}", job(case, age))));
    wrong
}

/// The same for all cases and ages.
fn wrong(prometheus: &Prometheus, alerts: &[Rule]) -> Vec<String> {
    let mut periods: BTreeMap<String, BTreeMap<&str, Vec<Range<i64>>>> = BTreeMap::new();
    for rule in alerts {
        for (labels, period) in raised(prometheus, rule, TIMES) {
            let of_job = periods.entry(labels["job"].clone()).or_default();
            of_job.entry(&rule.name).or_default().push(period);
        }
    }
    let minutes = |case: &Case, periods: &Vec<Range<i64>>| {
        let event = seconds(case.event);
        periods.iter().map(|period| (period.start - event) / 60..(period.end - event) / 60 + 1).collect()
    };
    let of = |case: &Case, age: i64| {
        let found = periods.get(&job(case, age)).into_iter().flatten();
        wrong_for(case, age, &found.map(|(alert, periods)| (*alert, minutes(case, periods))).collect())
    };
    CASES.iter().flat_map(|case| AGES.iter().flat_map(|age| of(case, *age)).collect::<Vec<_>>()).collect()
}

/// An alert with a part of its expression replaced.
fn edited(alerts: &[Rule], name: &str, old: &str, new: &str) -> Vec<Rule> {
    let alert = alerts.iter().find(|rule| rule.name == name).unwrap();
    assert_eq!(alert.expression.matches(old).count(), 1, "{old}");
    vec![Rule { expression: alert.expression.replace(old, new), ..alert.clone() }]
}

/// A forecast whose growth in the second week is computed from another value.
fn with_growth_of(rules: &[Rule], alert: &str, level: &str, (old, new): (&str, &str)) -> Vec<Rule> {
    let name = format!("{level}:growth1w");
    let growth = &rules.iter().find(|rule| rule.name == name).unwrap().expression;
    let (later, second_week) = growth.split_once("or (").unwrap();
    assert!(second_week.contains(old), "{old}");
    let growth = format!("({later} or ({})", second_week.replace(old, new));
    edited(rules, alert, &format!("last_over_time({name}[2h])"), &growth)
}

#[test]
fn each_alert_has_a_fault_in_installations_of_several_ages() {
    let tested: BTreeSet<_> = CASES.iter().flat_map(|case| case.alerts).map(|(alert, ..)| *alert).collect();
    let all = all_rules();
    assert_eq!(tested, all.iter().filter(|rule| rule.is_alert).map(|rule| rule.name.as_str()).collect());
}

#[test]
#[ignore = "needs prometheus"]
fn alerts_fire_only_for_faults_in_installations_of_an_hour_to_25_days() {
    let rules = rules();
    let prometheus = with_recorded(Prometheus::with_samples(&samples(), "5m"), &rules, TIMES);
    let alerts: Vec<_> = rules.iter().filter(|rule| rule.is_alert).cloned().collect();
    assert_eq!(wrong(&prometheus, &alerts), [""; 0]);
    // Less robust alerts fire in some of these installations without a reason.
    let false_alarms = |alerts: &[Rule], case: &str| -> Vec<_> {
        let all = wrong(&prometheus, alerts).into_iter().filter(|found| found.contains(case));
        all.filter_map(|found| Some(found.split_once(": fires")?.0.to_owned())).collect()
    };
    let alarms = |alert: &str, case: &str, days: &[i64]| -> Vec<_> {
        let case = CASES.iter().find(|one| one.name == case).unwrap();
        days.iter().map(|days| format!("{alert} of {}", job(case, days * DAY))).collect()
    };
    let (sender, busy) = ("OpenimSenderLimitForecast", "job:openim_sender_workers_busy");
    let raw = with_growth_of(&rules, sender, busy, ("busy:p80_1w", "busy:max1d"));
    assert_eq!(false_alarms(&raw, "healthy"), alarms(sender, "healthy", &[8, 10]));
    let (cap, used) = ("OpenimCapForecast", "instance:openim_exporter_cap_used");
    let raw = with_growth_of(&rules, cap, used, ("[25h]", "[1h]"));
    assert_eq!(false_alarms(&raw, "healthy"), alarms(cap, "healthy", &[8, 10]));
    let (near, few) = ("OpenimCapNear", "and avg_over_time(instance:openim_group_messages:rate5m[1h]) > 0.05");
    let hasty = edited(&alerts, near, few, "");
    assert_eq!(false_alarms(&hasty, "healthy"), alarms(near, "healthy", &[25]));
    let (missing, case) = ("OpenimCallbacksMissing", "restart-without-state");
    let resets = "unless on (job) resets(openim_group_messages_by_status_total[30m]) > 0";
    let hasty = edited(&alerts, missing, resets, "");
    assert_eq!(false_alarms(&hasty, case), alarms(missing, case, &[8, 10, 15, 25]));
}
