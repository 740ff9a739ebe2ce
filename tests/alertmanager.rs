//! A real Alertmanager gets the right alerts and no others, from a real Prometheus that scrapes an exporter and
//! OpenIM's own count. A copy of the rules has seconds instead of minutes, and the same thresholds.
//! tests/simulated_days tests the alerts that compare with a day or a week before, and the whole day of
//! OpenimCallbacksMissing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod monitoring;
mod oracle;
#[path = "alertmanager/scene.rs"]
mod scene;
#[path = "alertmanager/server.rs"]
mod server;
mod support;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, SystemTime};

use scene::{Scene, hastened};
use server::{Alertmanager, Labels};
use socket2::{Domain, Socket, Type};
use support::{message, post_bytes};

#[test]
fn only_minutes_and_hours_are_shortened() {
    let rules = "rate(x:rate10m[10m] offset 1h) > 5\nfor: 15m\nx[1d] offset 1w  # of 2 minutes\ntime() - x < 1800";
    let expected = "rate(x:rate10m[20s] offset 20s) > 5\nfor: 30s\nx[1d] offset 1w  # of 2 minutes\ntime() - x < 60";
    assert_eq!(hastened(rules), expected);
}

/// A message that was sent this many seconds from now.
fn message_sent(after: i64) -> String {
    let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    serde_json::json!({"sendID": "u1", "groupID": "g1", "sendTime": now + after * 1000}).to_string()
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn a_killed_exporter_is_reported_and_a_new_idle_one_is_not() {
    let scene = Scene::start();
    Scene::during(15, || ());
    assert_eq!(scene.prometheus.query("ALERTS"), []);
    scene.exporter.signal("KILL");
    let alert = scene.raises("OpenimExporterDown", || ());
    assert_eq!(alert["labels"]["severity"], "critical");
    let summary = format!("openim-exporter at {} does not answer", scene.exporter.address());
    assert_eq!(alert["annotations"]["summary"], summary.as_str());
    assert!(alert["annotations"]["runbook_url"].as_str().unwrap().ends_with("/docs/runbook.md#openimexporterdown"));
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn a_killed_exporter_that_is_seen_through_federation_is_reported() {
    let (scene, _first) = Scene::federated();
    is_reported_without_up(&scene);
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn a_killed_exporter_that_is_seen_through_remote_write_is_reported() {
    let (scene, _first) = Scene::with_remote_write();
    is_reported_without_up(&scene);
}

/// Checks that a kill is reported although the Prometheus with the rules does not have the exporter's `up`.
fn is_reported_without_up(scene: &Scene) {
    // With fewer samples, the rule waits longer, because it assumes a long scrape interval.
    let samples = || scene.prometheus.query("count_over_time(openim_exporter_groups_tracked[40s])");
    let has_enough = || samples().iter().any(|(_, count)| *count >= 12.0);
    for _ in (0..100).take_while(|_| !has_enough()) {
        Scene::during(1, || scene.send(message("g1", "u1")));
    }
    assert_eq!(scene.prometheus.query("up{job=\"openim-exporter\"}"), []);
    assert_eq!(scene.prometheus.value("instance:openim_exporter_up:max"), 1.0);
    scene.exporter.signal("KILL");
    let alert = scene.raises("OpenimExporterDown", || ());
    assert_eq!(alert["labels"]["instance"], scene.exporter.address().to_string());
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn an_exporter_killed_under_traffic_is_reported_and_its_missing_messages_are_not() {
    let scene = Scene::start();
    Scene::during(45, || scene.send(message("g1", "u1")));
    scene.exporter.signal("KILL");
    scene.raises("OpenimExporterDown", || scene.process());
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn an_alert_for_another_job_does_not_fire() {
    let scene = Scene::start_with(|rules| rules.replace("up{job=\"openim-exporter\"}", "up{job=\"openim-exporters\"}"));
    scene.exporter.signal("KILL");
    // Five times as long as with the right rule.
    Scene::during(20, || ());
    assert_eq!(scene.alertmanager.names(), BTreeSet::new());
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn an_openim_that_stops_sending_is_reported() {
    let scene = Scene::start();
    Scene::during(45, || scene.send(message("g1", "u1")));
    // OpenIM still processes messages.
    scene.raises("OpenimNoCallbacks", || scene.process());
}

/// With a rule that also reports missing messages if none arrive at all.
#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
#[should_panic(expected = "after OpenimNoCallbacks")]
fn a_later_wrong_alert_is_detected() {
    let ignores_silence = "min_over_time(job:openim_group_messages:rate10m[30m]) > 0";
    let scene = Scene::start_with(|rules| rules.replace(ignores_silence, "job:openim_callbacks_arrived:ratio30m >= 0"));
    Scene::during(45, || scene.send(message("g1", "u1")));
    scene.raises("OpenimNoCallbacks", || scene.process());
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn an_openim_that_stops_sending_is_reported_even_if_it_is_not_scraped() {
    let scene = Scene::without_openim_s_count();
    Scene::during(45, || scene.send(message("g1", "u1")));
    scene.raises("OpenimNoCallbacks", || ());
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn an_openim_that_never_sends_is_reported() {
    let scene = Scene::start();
    let alert = scene.raises("OpenimNoCallbacks", || scene.process());
    assert_eq!(alert["labels"]["job"], "openim-exporter");
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn partly_missing_callbacks_are_reported() {
    let scene = Scene::start();
    // The usual share is known 60 s after the first messages.
    Scene::during(100, || scene.send(message("g1", "u1")));
    // Two of three are missing. Without data of last week, more than four tenths must be missing.
    let alert = scene.raises("OpenimCallbacksMissing", || {
        (0..2).for_each(|_| scene.process());
        scene.send(message("g1", "u1"));
    });
    assert_eq!(alert["labels"]["severity"], "warning");
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn a_flooded_group_is_reported() {
    let scene = Scene::start();
    // A message every two seconds, then twenty per second.
    for _ in 0..30 {
        scene.send(message("g1", "u1"));
        scene.send(message("g2", "u1"));
        thread::sleep(Duration::from_secs(2));
    }
    let alert = scene.raises("OpenimGroupFlood", || (0..2).for_each(|_| scene.send(message("g1", "u1"))));
    assert_eq!(alert["labels"]["group_id"], "g1");
}

/// A client with a small receive buffer, which sends callbacks without end. The exporter's answers soon have to wait for
/// it.
fn slow_reader(exporter: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(exporter), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&exporter.into()).unwrap();
    let reader = TcpStream::from(socket);
    let mut writer = reader.try_clone().unwrap();
    let bytes = post_bytes("/callbackUserOnlineCommand", "", b"{}");
    // Ends with the connection.
    thread::spawn(move || while writer.write_all(&bytes).is_ok() {});
    reader
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn slow_answers_are_reported_from_native_histograms() {
    let scene = Scene::with_native_histograms();
    let mut clients = [(); 2].map(|()| slow_reader(scene.exporter.address()));
    // More than the exporter's socket buffer must have free before it accepts more, which is a third of a few MiB.
    let mut answers = vec![0; 1_500_000];
    // Two answers wait nearly all the time, as if both workers of OpenIM waited for them.
    scene.raises("OpenimAnswersSlow", || {
        scene.send(message("g1", "u1"));
        thread::sleep(Duration::from_millis(900));
        clients.iter_mut().for_each(|client| client.read_exact(&mut answers).unwrap());
    });
    assert_is_only_native(&scene, "openim_exporter_callback_duration_seconds");
}

/// Prometheus has this histogram only as a native one, without classic series.
fn assert_is_only_native(scene: &Scene, family: &str) {
    let series = scene.prometheus.query(&format!("count by (__name__) ({{__name__=~\"{family}.*\"}})"));
    let names: Vec<_> = series.iter().map(|(labels, _)| labels["__name__"].as_str()).collect();
    assert_eq!(names, [family]);
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn delays_that_grow_are_reported_from_native_histograms() {
    let scene = Scene::with_native_histograms();
    Scene::during(60, || scene.send(message_sent(0)));
    let alert = scene.raises("OpenimDeliveryDelayGrows", || scene.send(message_sent(-5)));
    assert_eq!(alert["labels"]["job"], "openim-exporter");
    assert_is_only_native(&scene, "openim_group_message_delivery_delay_seconds");
    // A histogram without observations.
    assert_is_only_native(&scene, "openim_single_message_delivery_delay_seconds");
}

#[test]
#[ignore = "needs prometheus and prometheus-alertmanager"]
fn a_wrong_clock_is_reported() {
    let scene = Scene::start();
    let alert = scene.raises("OpenimClockErrors", || scene.send(message_sent(3600)));
    assert_eq!(alert["labels"]["kind"], "future");
}

/// Checks that an active alert inhibits `follows` but not `others`. Alertmanager may show it shortly before it inhibits
/// them.
fn assert_inhibits(inhibiting: Labels<&str>, follows: &[Labels<&str>], others: &[Labels<&str>]) {
    let alertmanager = Alertmanager::start();
    let named =
        |alerts: &[Labels<&str>]| -> BTreeSet<_> { alerts.iter().map(|alert| alert.map(str::to_owned)).collect() };
    let all = [follows, others].concat();
    alertmanager.raise(&all);
    support::eventually("the alerts are active", || alertmanager.active() == named(&all));
    alertmanager.raise(&[inhibiting]);
    let expected = named(&[others, &[inhibiting]].concat());
    support::eventually("only the alerts that follow are inhibited", || alertmanager.active() == expected);
}

#[test]
#[ignore = "needs prometheus-alertmanager"]
fn an_exporter_that_is_down_inhibits_its_other_alerts_but_none_of_another_exporter() {
    let job = "openim-exporter";
    let follows = [
        ["OpenimCountersReset", job, "a:10006", ""],
        ["OpenimForwardTargetDown", job, "a:10006", "business"],
        ["OpenimNoCallbacks", job, "", ""],
        ["OpenimCallbacksMissing", job, "", ""],
        ["OpenimTrafficLow", job, "", ""],
    ];
    let others = [
        ["OpenimCapReached", job, "b:10006", ""],
        ["OpenimCallbacksRejected", job, "", ""],
        ["OpenimNoCallbacks", job, "b:10006", ""],
        ["OpenimAnswersSlow", job, "", ""],
        ["OpenimNoCallbacks", "another-job", "", ""],
        ["OpenimClockErrors", "another-job", "a:10006", ""],
    ];
    assert_inhibits(["OpenimExporterDown", job, "a:10006", ""], &follows, &others);
}

#[test]
#[ignore = "needs prometheus-alertmanager"]
fn an_exporter_that_cannot_unite_inhibits_the_alert_about_missing_ones() {
    let job = "openim-exporter";
    for cause in ["OpenimReplicasNotUnited", "OpenimReplicasNameConflict"] {
        let others = [["OpenimReplicasMissing", "another-job", "", ""], ["OpenimReplicasDamaged", job, "", ""]];
        assert_inhibits([cause, job, "a:10006", ""], &[["OpenimReplicasMissing", job, "", ""]], &others);
    }
}

#[test]
#[ignore = "needs prometheus-alertmanager"]
fn a_target_that_is_down_inhibits_the_alert_about_its_backlog() {
    let [job, a] = ["openim-exporter", "a:10006"];
    let others = [
        ["OpenimForwardBacklog", job, a, "bot"],
        ["OpenimForwardBacklog", job, "b:10006", "business"],
        ["OpenimForwardDropped", job, a, "business"],
        ["OpenimForwardUnanswered", job, a, "business"],
    ];
    let follows = [["OpenimForwardBacklog", job, a, "business"]];
    assert_inhibits(["OpenimForwardTargetDown", job, a, "business"], &follows, &others);
}
