//! Every panel and every rule has data in a real Prometheus that scrapes a busy exporter, whether it stores classic or native
//! histograms, or begins to store native ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod monitoring;
mod oracle;
#[path = "support/redis.rs"]
mod redis_server;
mod support;
#[allow(dead_code, reason = "this test uses a part of it")]
#[path = "pass_through/target.rs"]
mod target;
#[path = "support/three_days.rs"]
mod three_days;
#[path = "support/typical.rs"]
mod typical;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, SystemTime};

use monitoring::{all_rules, dashboards, expressions, panels, parsed};
use openim_exporter::domain::COMMANDS;
use oracle::{Prometheus, config_for, config_of_both_pages, create_blocks_from, openim_job, serve_openim_s_metrics};
use redis_server::Redis;
use serde_json::Value;
use support::{Exporter, GROUP_MESSAGE_PATH, Running, eventually};
use target::{Target, allows};
use tempfile::TempDir;
use three_days::count_on_three_days;

/// Samples of the nine days up to ten minutes ago, for expressions that look back days and weeks.
fn history(exporter: SocketAddr) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let times: Vec<_> = (0..9 * 288 + 12).rev().map(|step| now - 600 - step * 300).collect();
    let own = format!("job=\"openim-exporter\",instance=\"{exporter}\"");
    let rate = |time: u64| 10.0 + 5.0 * ((time % 86_400) as f64 / 86_400.0 * std::f64::consts::TAU).sin();
    let begin = times[0];
    let mut text = String::new();
    for (name, labels, value) in [
        (
            "openim_group_messages_by_status_total",
            format!("{own},status=\"2\""),
            &(|time: u64| ((time - begin) * 10) as f64) as &dyn Fn(u64) -> f64,
        ),
        ("openim_group_messages_by_group_total", format!("{own},group_id=\"g1\""), &|time| (time - begin) as f64),
        ("openim_message_attempts_total", format!("{own},chat=\"group\""), &|time| ((time - begin) * 11) as f64),
        ("openim_message_attempts_total", format!("{own},chat=\"single\""), &|time| (time - begin) as f64),
        ("job:openim_users_online:max", "job=\"openim-exporter\"".into(), &rate),
        ("job:openim_group_messages:rate10m", "job=\"openim-exporter\"".into(), &rate),
        ("job:openim_group_messages:rate1h", "job=\"openim-exporter\"".into(), &rate),
        ("openim:group_chat_msg_process_success:rate10m", "job=\"openim\"".into(), &rate),
        ("job:openim_sender_workers_busy:max1d", "job=\"openim-exporter\"".into(), &|time| (time - begin) as f64 / 1e7),
        ("job:openim_sender_workers_busy:p80_1w", "job=\"openim-exporter\"".into(), &|time| {
            (time - begin) as f64 / 1e7
        }),
        // Lower than the ratio of the running exporter, even if that has only one of 100,000 groups, so that the ratio
        // grows.
        ("instance:openim_exporter_cap_used:ratio", format!("{own},cap=\"groups\""), &|time| {
            (time - begin) as f64 / 1e12
        }),
        ("group:openim_group_messages:rate5m", format!("{own},group_id=\"g1\""), &rate),
        // Quiet for two days.
        ("openim_group_messages_by_group_total", format!("{own},group_id=\"quiet\""), &|time| {
            (time.min(now - 2 * 86_400) - begin) as f64 / 100.0
        }),
        ("openim_exporter_build_info", format!("{own},version=\"0.0.1\""), &|_| 1.0),
    ] {
        for time in &times {
            writeln!(text, "{name}{{{labels}}} {} {time}", value(*time)).unwrap();
        }
    }
    text + "# EOF\n"
}

/// Panels of histograms that are only native.
const ONLY_NATIVE: [&str; 2] = ["Delivery delay of single messages by platform", "Delivery delay by platform"];

const RETENTION: &str = "--storage.tsdb.retention.time=30d";

/// Makes Prometheus store native histograms instead of the classic ones of the same families.
const NATIVE: &str = "--enable-feature=native-histograms";

/// A Prometheus with this history.
fn with_history(config: &str, exporter: SocketAddr, flags: &[&str]) -> Prometheus {
    let directory = TempDir::new().unwrap();
    let (file, data) = (directory.path().join("history.txt"), directory.path().join("data"));
    fs::write(&file, history(exporter)).unwrap();
    create_blocks_from(&["openmetrics", file.to_str().unwrap(), data.to_str().unwrap()]);
    Prometheus::start_in(directory, config, flags)
}

/// Lets an exporter receive callbacks.
fn send_to(exporter: &Exporter) -> Running {
    let target = format!("http://{}", exporter.address());
    let flags = ["simulate", "--yes", "--rate", "200", "--groups", "20", "--duration", "10m", "--target", &target];
    Running::start(&mut support::command(&flags))
}

/// The expression as Grafana would send it, for all jobs and groups. Subqueries have shorter steps, and alerts need not
/// fire yet, because the test has only seconds of data.
fn as_asked(expression: &str) -> String {
    expression
        .replace("$__rate_interval", "20s")
        .replace("$__range", "1h")
        .replace("h:1m]", "h:1s]")
        .replace("d:10m]", "d:10s]")
        .replace("alertstate=\"firing\"", "alertstate=~\"pending|firing\"")
        .replace("$job", ".*")
        .replace("$instance", ".*")
        .replace("$group", ".*")
}

/// Expressions without a finite value.
fn without_data(prometheus: &Prometheus, expressions: &[(String, String)]) -> Vec<String> {
    let has_data = |asked: &str| prometheus.query(asked).iter().any(|(_, value)| value.is_finite());
    let empty = expressions.iter().filter(|(_, expression)| !has_data(&as_asked(expression)));
    empty.map(|(title, expression)| format!("{title}: {expression}")).collect()
}

/// The titles and expressions of a dashboard. A heatmap asks for native and for classic buckets: one of them is enough.
fn asked(dashboard: &Value) -> Vec<(String, String)> {
    let heatmaps: Vec<_> = panels(dashboard).filter(|(_, panel)| panel["type"] == "heatmap").collect();
    let mut asked = expressions(dashboard);
    for (title, _) in heatmaps {
        let both: Vec<_> =
            asked.extract_if(.., |(of, _)| of.as_str() == title).map(|(_, expression)| expression).collect();
        asked.push((title.to_owned(), both.join(" or ")));
    }
    asked
}

/// The panels and rules without data.
fn all_without_data(prometheus: &Prometheus) -> Vec<String> {
    let shown = dashboards().into_iter().flat_map(|(_, text)| asked(&parsed(&text)));
    let recorded = all_rules().into_iter().filter(|rule| !rule.is_alert).map(|rule| (rule.name, rule.expression));
    without_data(prometheus, &shown.chain(recorded).collect::<Vec<_>>())
}

/// Whether the 95th percentile of the first row has a value in each of the last seconds.
fn is_p95_continuous(prometheus: &Prometheus, seconds: i64) -> bool {
    let (_, text) = dashboards().into_iter().find(|(name, _)| name == "overview").unwrap();
    let is_p95 = |(title, _): &(String, String)| title == "95 % of messages arrived within";
    let (_, expression) = expressions(&parsed(&text)).into_iter().find(is_p95).unwrap();
    let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let found = prometheus.query_range(now - seconds, now, 1, &as_asked(&expression));
    found.len() == 1 && i64::try_from(found[0].1.len()).unwrap() > seconds
}

/// The body of a callback of any command, with something to count.
fn activity() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let lists = r#""users":[{}],"kickedUserIDs":["u"],"friendUserIDs":["u"],"invitedUserIDs":["u"],"memberList":[{}],
        "userIDList":["u"],"Seqs":[1]"#;
    format!(
        r#"{{"sendID":"u1","groupID":"g1","userID":"u1","platformID":1,"sendTime":{now},"createTime":{now},"content":"x",{lists}}}"#
    )
}

#[test]
#[ignore = "needs prometheus"]
fn each_panel_and_rule_has_data_in_a_prometheus_that_scrapes_a_busy_exporter() {
    let [state, records] = [(); 2].map(|()| TempDir::new().unwrap());
    count_on_three_days(state.path());
    let (target, redis) = (Target::start(allows()), Redis::start(&[]));
    let [state, records] = [&state, &records].map(|directory| directory.path().to_str().unwrap());
    let flags = ["--callback.dedup-window", "1m", "--storage.path", state, "--record.path", records];
    let redis_url = format!("redis://{}", redis.address());
    let others = ["--forward.url", &target.url(), "--replicas.redis-url", &redis_url];
    let exporter = Exporter::start(&[&flags[..], &others].concat());
    let openim = serve_openim_s_metrics();
    let config = config_for(exporter.address()) + &openim_job(openim);
    let [classic, mut switched] = [(); 2].map(|()| with_history(&config, exporter.address(), &[RETENTION]));
    let native = with_history(&config, exporter.address(), &[RETENTION, NATIVE]);
    let _sender = send_to(&exporter);
    for second in 0..25 {
        if second == 13 {
            switched = switched.restart_with(&config, &[RETENTION, NATIVE]);
        }
        exporter.post(GROUP_MESSAGE_PATH, support::message("g1", "u1"));
        exporter.post(GROUP_MESSAGE_PATH, "{}");
        for command in COMMANDS {
            exporter.post(&format!("/{}", command.name), activity());
        }
        thread::sleep(Duration::from_secs(1));
    }
    for (prometheus, expected) in [(&native, &[][..]), (&switched, &[]), (&classic, &ONLY_NATIVE)] {
        // On a busy machine, some rules are evaluated late.
        eventually("data in each panel and rule", || {
            let missing = all_without_data(prometheus);
            eprintln!("without data: {missing:?}");
            let titles: Vec<_> = missing.iter().map(|found| found.split(": ").next().unwrap()).collect();
            titles == expected
        });
    }
    for prometheus in [&classic, &native, &switched] {
        assert_eq!(prometheus.unhealthy_rules(), [""; 0]);
        assert!(is_p95_continuous(prometheus, 15));
    }
    // Both store what they should, and the sums are the same.
    let stored = ["", "_bucket"].map(|end| format!("openim_group_message_delivery_delay_seconds{end}"));
    let has = |prometheus: &Prometheus| [&stored[0], &stored[1]].map(|name| !prometheus.query(name).is_empty());
    // A restarted Prometheus does not mark the classic series as stale, so they remain for five minutes.
    assert_eq!([&classic, &native, &switched].map(has), [[false, true], [true, false], [true, true]]);
    let busy = [&classic, &native].map(|prometheus| prometheus.value("job:openim_sender_workers_busy:ratio5m"));
    assert!((0.8..1.25).contains(&(busy[0] / busy[1])), "{busy:?}");
    // Prometheus returns nothing for a wrong name or value, and no error. This detects it.
    for wrong in ["rate(openim_group_message_total[$__rate_interval])", "openim_active_senders{window=\"2h\"}"] {
        assert_eq!(without_data(&classic, &[("Wrong".into(), wrong.into())]).len(), 1, "{wrong}");
    }
}

#[test]
#[ignore = "needs prometheus"]
fn the_group_dashboard_shows_groups_that_only_metrics_groups_has() {
    let exporter = Exporter::start(&["--groups.max-exported", "0"]);
    let prometheus = Prometheus::start(&config_of_both_pages(exporter.address()));
    for _ in 0..4 {
        exporter.post(GROUP_MESSAGE_PATH, support::message("g1", "u1"));
        prometheus.wait_for_scrapes_of(2);
    }
    let (_, text) = dashboards().into_iter().find(|(name, _)| name == "group").unwrap();
    let now =
        |(title, expression): (String, String)| (title, expression.replace(" offset 1h", "").replace(" offset 7d", ""));
    let of_groups = |(_, expression): &(String, String)| expression.contains("$group");
    let asked: Vec<_> = expressions(&parsed(&text)).into_iter().filter(of_groups).map(now).collect();
    assert_eq!(asked.len(), 12);
    assert_eq!(without_data(&prometheus, &asked), [""; 0]);
    for (title, expression) in asked {
        let groups = prometheus.query(&as_asked(&expression));
        assert!(groups.len() == 1 && groups[0].0["group_id"] == "g1", "{title}: {groups:?}");
    }
}

/// The value of a panel of the first row.
fn shown(prometheus: &Prometheus, title: &str) -> Vec<(String, f64)> {
    let (_, text) = dashboards().into_iter().find(|(name, _)| name == "overview").unwrap();
    let asked = expressions(&parsed(&text)).into_iter().find(|(found, _)| found == title).unwrap().1;
    let asked = asked.replace("$job", ".*").replace("$instance", ".*");
    let label = |labels: &BTreeMap<String, String>, name: &str| labels.get(name).cloned().unwrap_or_default();
    let named = |labels| ["instance", "reason", "severity"].map(|name| label(labels, name)).concat();
    prometheus.query(&asked).iter().map(|(labels, value)| (named(labels), *value)).collect()
}

#[test]
#[ignore = "needs prometheus"]
fn the_first_row_shows_a_dead_exporter_a_silent_one_and_refusals() {
    let (busy, silent) = (Exporter::start(&[]), Exporter::start(&[]));
    let both = format!("\"{}\", \"{}\"", busy.address(), silent.address());
    let config = config_for(busy.address()).replace(&format!("\"{}\"", busy.address()), &both);
    let prometheus = Prometheus::start(&config);
    for _ in 0..4 {
        busy.post(GROUP_MESSAGE_PATH, support::message("g1", "u1"));
        busy.get("/no-such-page");
        prometheus.wait_for_scrapes_of(2);
    }
    let none = String::new;
    assert_eq!(shown(&prometheus, "Exporters down"), [(none(), 0.0)]);
    assert_eq!(shown(&prometheus, "Firing alerts"), [(none(), 0.0)]);
    assert_eq!(shown(&prometheus, "Refused in 10 minutes"), [(none(), 0.0)], "a page is not a callback");
    let [(who, since)] = &shown(&prometheus, "Since last callback")[..] else { panic!("one exporter") };
    assert_eq!(*who, silent.address().to_string(), "a busy exporter hides no silent one");
    assert!(*since >= 3.0, "{since}");

    for _ in 0..4 {
        busy.post(GROUP_MESSAGE_PATH, "{}");
        prometheus.wait_for_scrapes_of(2);
    }
    let refused = shown(&prometheus, "Refused in 10 minutes");
    assert!(refused.len() == 1 && !refused[0].0.is_empty() && refused[0].1 > 0.5, "{refused:?}");

    drop(silent);
    eventually("one is down", || shown(&prometheus, "Exporters down") == [(none(), 1.0)]);
    let since = shown(&prometheus, "Since last callback");
    assert!(since.len() == 1 && since[0].1 > 3.0, "also while it is down: {since:?}");
    drop(busy);
    eventually("both are down", || shown(&prometheus, "Exporters down") == [(none(), 2.0)]);
    let [(reason, _)] = &shown(&prometheus, "Refused in 10 minutes")[..] else { panic!("one reason") };
    assert_eq!(*reason, refused[0].0, "those of the last ten minutes, although both are down");
}
