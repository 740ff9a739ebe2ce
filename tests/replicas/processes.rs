//! Exporters as processes, with the flags of production.

use std::thread::scope;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use openim_exporter::stats::{Distinct, Stretch};

use crate::fleet::{HOUR, key, pfcount};
use crate::redis_server::{Redis, until};
use crate::support::{Exporter, GROUP_MESSAGE_PATH, SUCCESS, command, message};

/// United numbers end this long after the last union.
const VALID: Duration = Duration::from_secs(60);

fn start(redis: &Redis, name: &str) -> Exporter {
    let url = format!("redis://{}", redis.address());
    Exporter::start(&["--replicas.redis-url", &url, "--replicas.name", name])
}

/// Messages of 50 people.
fn talk(exporter: &Exporter, who: &str) {
    let mut client = exporter.connect();
    for person in 0..50 {
        let answer = client.post(GROUP_MESSAGE_PATH, message("g", &format!("{who}-{person}")));
        assert_eq!(answer.text(), SUCCESS);
    }
}

/// The time since the epoch.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// The united senders of the last hour.
fn united(exporter: &Exporter) -> Option<f64> {
    exporter.scrape().get(r#"openim_active_senders_united{window="1h"}"#)
}

/// Whether it has united this many people. One or two may be missing: some have the same register.
fn has_united(exporter: &Exporter, people: f64) -> bool {
    united(exporter).is_some_and(|united| (people - 2.0..=people).contains(&united))
}

fn is_failing(exporter: &Exporter, reason: &str) -> bool {
    exporter.scrape().value(&format!("openim_exporter_replicas_failures_total{{reason=\"{reason}\"}}")) > 0.0
}

/// What happens with real processes and the real clock. All at once, because each part mostly waits.
#[test]
#[ignore = "needs redis-server"]
fn processes_unite_survive_each_other_and_show_nothing_rather_than_old_numbers() {
    scope(|scope| {
        scope.spawn(a_killed_exporter_counts_until_its_keys_expire_and_a_stopped_one_writes_once_more);
        scope.spawn(frozen_redis_delays_no_answer_and_no_exit);
        scope.spawn(united_numbers_end_a_minute_after_redis);
        scope.spawn(a_wrong_password_is_reported_and_local_numbers_go_on);
    });
}

fn a_killed_exporter_counts_until_its_keys_expire_and_a_stopped_one_writes_once_more() {
    let redis = Redis::start(&[]);
    let (first, second) = (start(&redis, "first"), start(&redis, "second"));
    talk(&first, "first");
    talk(&second, "second");
    until("the union of both", || has_united(&first, 100.0) && has_united(&second, 100.0));
    second.signal("KILL");
    drop(second);
    // One that ends in order writes what came since its last round.
    let third = start(&redis, "third");
    until("the first union of the third", || has_united(&third, 100.0));
    talk(&third, "third");
    third.signal("TERM");
    let (status, log) = third.wait();
    assert!(status.success(), "{log:#?}");
    let hour = i64::try_from(now().as_millis()).unwrap() / HOUR;
    let keys = [hour - 1, hour].map(|hour| key(Distinct::Senders, Stretch::Hour, hour, "third"));
    assert!((48..=50).contains(&pfcount(&redis, &keys)));
    until("the union of all three", || has_united(&first, 150.0));
    let late = start(&redis, "late");
    until("the union of one that starts later", || has_united(&late, 150.0));
}

fn frozen_redis_delays_no_answer_and_no_exit() {
    let redis = Redis::start(&[]);
    let exporter = start(&redis, "a");
    until("a union", || united(&exporter).is_some());
    redis.signal("STOP");
    let begin = Instant::now();
    while !is_failing(&exporter, "timeout") {
        assert!(begin.elapsed() < Duration::from_secs(40), "no timeout");
        talk(&exporter, "someone");
    }
    // An answer that waited for Redis would take 2 s, the time limit of Redis' answer.
    let samples = exporter.scrape();
    let count = |le: &str| samples.sum_of("openim_exporter_callback_duration_seconds_bucket", "le", le);
    assert_eq!(count("1"), count("+Inf"));
    let begin = Instant::now();
    exporter.signal("TERM");
    let (status, _) = exporter.wait();
    assert!(status.success() && begin.elapsed() < Duration::from_millis(4500), "{:?}", begin.elapsed());
}

fn united_numbers_end_a_minute_after_redis() {
    let mut redis = Redis::start(&[]);
    let exporter = start(&redis, "a");
    until("a union", || united(&exporter).is_some());
    redis.kill();
    talk(&exporter, "a");
    let last = || exporter.scrape().value("openim_exporter_replicas_last_union_timestamp_seconds");
    let last_union = last();
    // Redis' clock is this machine's.
    let end = Duration::from_secs_f64(last_union) + VALID;
    let mut asked = now();
    while united(&exporter).is_some() {
        assert!(asked < end + Duration::from_secs(2), "old numbers are still shown");
        std::thread::sleep(Duration::from_millis(200));
        asked = now();
    }
    assert!(now() > end - Duration::from_secs(1), "they ended too early");
    let local = exporter.scrape().value(r#"openim_active_senders{window="1h"}"#);
    assert_eq!(last(), last_union);
    assert!((48.0..=50.0).contains(&local), "{local}");
    assert!(is_failing(&exporter, "unreachable"));
    let failed = |line: &&String| line.contains("unions with other exporters fail");
    assert_eq!(exporter.log().iter().filter(failed).count(), 1, "{:#?}", exporter.log());
}

fn a_wrong_password_is_reported_and_local_numbers_go_on() {
    let redis = Redis::start(&["--requirepass", "hunter2"]);
    let url = format!("redis://:wrong@{}", redis.address());
    let flags = ["--web.listen-address", "127.0.0.1:0", "--replicas.redis-url", &url];
    let exporter = Exporter::run(&mut command(&flags));
    until("the failure", || is_failing(&exporter, "refused"));
    talk(&exporter, "a");
    assert_eq!(united(&exporter), None);
    assert_eq!(exporter.scrape().value(r#"openim_active_senders{window="1h"}"#), 50.0);
    assert!(exporter.log().iter().all(|line| !line.contains("wrong")), "{:#?}", exporter.log());
}
