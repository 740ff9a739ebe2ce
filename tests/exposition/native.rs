//! Native histograms agree with the classic ones, with what was sent, and with the quantiles that Prometheus computes.

use std::time::UNIX_EPOCH;

use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, LogNormal, Pareto};
use rand_pcg::Pcg64Mcg;

use crate::formats::starts_with_the_process;
use crate::oracle::Prometheus;
use crate::prometheus::{NATIVE, config, history};
use crate::scrape::{Family, Labels, Native, PROTOBUF, Sample, read, scrape};
use crate::support::{Exporter, GROUP_MESSAGE_PATH, command, free_port};

const SINGLE_MESSAGE_PATH: &str = "/callbackAfterSendSingleMsgCommand";

/// The labels of the platforms, by their IDs.
const PLATFORMS: [&str; 12] =
    ["unknown", "ios", "android", "windows", "osx", "web", "miniweb", "linux", "apad", "ipad", "admin", "harmonyos"];

/// A bucket's upper bound is this many times that of the one before, with a little added for rounding errors.
pub(crate) const WIDTH: f64 = 1.090_507_732_665_3;

/// The longest delay that is observed, minus the time that a request may take.
const MAX_DELAY_MS: f64 = 3_590_000.0;

/// Whether a family is to have native histograms.
fn is_native(name: &str) -> bool {
    let of_messages = CHATS.iter().any(|chat| name.starts_with(chat));
    let durations = ["callback_duration", "callback_receive", "scrape_duration"];
    of_messages || durations.iter().any(|duration| name == format!("openim_exporter_{duration}_seconds"))
}

/// What is wrong with a family's native histograms: they are missing, or cannot have the observations of the classic
/// buckets.
pub(crate) fn disagreement(family: &Family) -> Option<String> {
    family.native.iter().find_map(|(labels, native)| {
        if native.is_some() != is_native(&family.name) {
            return Some(format!("{}: {native:?}", family.name));
        }
        let native = native.as_ref()?;
        let wrong = classic(family, labels).find(|(bound, count)| {
            let (least, most) = native.up_to(*bound);
            !(least..=most).contains(count)
        });
        wrong.map(|(bound, count)| format!("{}{labels:?}: {count} up to {bound}, but {native:?}", family.name))
    })
}

/// The bounds of a row's classic buckets, and their cumulative counts.
fn classic<'a>(family: &'a Family, row: &'a Labels) -> impl Iterator<Item = (f64, u64)> + 'a {
    family.samples.iter().filter_map(move |Sample(name, labels, count, _)| {
        let (bound, others) = labels.split_last()?;
        let is_bucket = name.ends_with("_bucket") && others == row.as_slice();
        is_bucket.then(|| (bound.1.parse().unwrap(), *count as u64))
    })
}

/// Observations in the unit of their family. Each is known to be between two values.
#[derive(Default)]
struct Sent(Vec<(f64, f64)>);

impl Sent {
    fn add(&mut self, least: f64, most: f64) {
        self.0.push((least, most));
    }

    /// The least and the greatest possible value of the quantile.
    fn quantile(&self, q: f64) -> (f64, f64) {
        let rank = ((q * self.0.len() as f64).ceil() as usize).max(1) - 1;
        let nth = |value: fn(&(f64, f64)) -> f64| {
            let mut values: Vec<_> = self.0.iter().map(value).collect();
            values.sort_unstable_by(f64::total_cmp);
            values[rank]
        };
        (nth(|known| known.0), nth(|known| known.1))
    }

    /// Checks that a native histogram has exactly these observations, which must be known exactly.
    fn assert_in(&self, native: &Native) {
        let mut expected = std::collections::BTreeMap::new();
        for (value, most) in &self.0 {
            assert_eq!(value, most);
            if *value > native.zero.0 {
                *expected.entry(index(*value)).or_insert(0_u64) += 1;
            }
        }
        let found = native.buckets.iter().copied().filter(|(_, count)| *count > 0).collect();
        assert_eq!(expected, found, "zero bucket {:?}", native.zero);
        assert_eq!(native.zero.1 + expected.values().sum::<u64>(), self.0.len() as u64);
    }
}

/// The bucket for a value: the first one with an upper bound that is not lower.
fn index(value: f64) -> i32 {
    let bound = |index: i32| (f64::from(index) / 8.0).exp2();
    let near = (value.log2() * 8.0).round() as i32;
    (near - 2..).find(|index| bound(*index) >= value).unwrap()
}

/// A delay in milliseconds. There are six distributions.
fn delay(kind: usize, random: &mut Pcg64Mcg) -> f64 {
    let delay: f64 = match kind % 6 {
        0 => 1000.0,
        1 => random.random_range(0.0..60_000.0),
        2 => LogNormal::new(6.0, 1.0).unwrap().sample(random),
        3 if random.random_bool(0.5) => random.random_range(1.0..5.0),
        3 => random.random_range(800_000.0..1_000_000.0),
        // Exactly at the upper bound of a bucket, and just above.
        4 => f64::from(random.random_range(-2..10)).exp2() * 1000.0 + random.random_range(0.0..1.5_f64).floor(),
        _ => Pareto::new(2000.0, 0.7).unwrap().sample(random),
    };
    delay.clamp(0.0, MAX_DELAY_MS).floor()
}

fn now_ms() -> f64 {
    UNIX_EPOCH.elapsed().unwrap().as_millis() as f64
}

/// What was sent: both chats' content lengths and submit delays, and the delivery delays of each platform.
#[derive(Default)]
struct Traffic {
    bytes: [Sent; 2],
    submit: [Sent; 2],
    delivery: [Sent; 2],
    by_platform: [[Sent; PLATFORMS.len()]; 2],
}

/// The names of the families of a chat begin with these.
const CHATS: [&str; 2] = ["openim_group_message", "openim_single_message"];

impl Traffic {
    fn send(&mut self, exporter: &Exporter, messages: usize, random: &mut Pcg64Mcg) {
        let mut client = exporter.connect();
        for number in 0..messages {
            let (chat, platform) = (number % 2, number % PLATFORMS.len());
            let (delivery, submit) = (delay(platform, random), delay(number % 7, random));
            let bytes = delay(2, random).min(20_000.0);
            let begin = now_ms();
            let sent = begin - delivery;
            let body = serde_json::json!({
                "sendID": "u", "recvID": "v", "groupID": "g", "content": "x".repeat(bytes as usize), "contentType": 101,
                "senderPlatformID": platform, "sendTime": sent as i64, "createTime": (sent - submit) as i64,
            });
            let path = [GROUP_MESSAGE_PATH, SINGLE_MESSAGE_PATH][chat];
            assert_eq!(client.post(path, body.to_string()).status, 200);
            let took = now_ms() - begin;
            self.bytes[chat].add(bytes, bytes);
            self.submit[chat].add(submit / 1000.0, submit / 1000.0);
            for delays in [&mut self.delivery[chat], &mut self.by_platform[chat][platform]] {
                delays.add(delivery / 1000.0, (delivery + took) / 1000.0);
            }
        }
    }

    /// All families, with a selector of their series.
    fn series(&self) -> Vec<(String, &Sent)> {
        let of_chat = |chat: usize| {
            let name = CHATS[chat];
            let mut all = vec![
                (format!("{name}_content_bytes"), &self.bytes[chat]),
                (format!("{name}_submit_delay_seconds"), &self.submit[chat]),
                (format!("{name}_delivery_delay_seconds"), &self.delivery[chat]),
            ];
            for (platform, delays) in PLATFORMS.iter().zip(&self.by_platform[chat]) {
                let delays = Some(delays).filter(|delays| !delays.0.is_empty());
                let selector = format!("{name}_delivery_delay_by_platform_seconds{{platform=\"{platform}\"}}");
                all.extend(delays.map(|delays| (selector, delays)));
            }
            all
        };
        [0, 1].into_iter().flat_map(of_chat).collect()
    }
}

/// The native histogram of the only row of a family.
fn only_native<'a>(families: &'a [Family], name: &str) -> &'a Native {
    let family = families.iter().find(|family| family.name == name).unwrap();
    let [(_, native)] = family.native.as_slice() else { panic!("{family:?}") };
    native.as_ref().unwrap()
}

/// Each quantile that Prometheus computes is within one bucket of the exact one.
fn assert_quantiles(prometheus: &Prometheus, series: &str, exact: impl Fn(f64) -> (f64, f64)) {
    for q in [0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0] {
        let found = prometheus.value(&format!("histogram_quantile({q}, {series})"));
        let (least, most) = exact(q);
        let most = most.max(ZERO);
        assert!((least / WIDTH..=most * WIDTH).contains(&found), "{series} {q}: {least} <= {found} <= {most}");
    }
}

/// When the first counter of each family began, and whether with the process.
fn starts(exporter: &Exporter) -> Vec<(String, f64, bool)> {
    let families = read(PROTOBUF, &scrape(&mut exporter.connect(), "/metrics", PROTOBUF));
    let start = |family: &Family| {
        let (_, began) = family.created.first()?;
        Some((family.name.clone(), *began, starts_with_the_process(family)))
    };
    families.iter().filter_map(start).collect()
}

/// With another start, a Prometheus would count again what it has.
fn assert_only_the_process_starts_again(before: &[(String, f64, bool)], after: &[(String, f64, bool)]) {
    assert!(before.len() > 50);
    for before in before {
        let after = after.iter().find(|after| after.0 == before.0).unwrap();
        assert!(if before.2 { before.1 < after.1 } else { before.1 == after.1 }, "{before:?} {after:?}");
    }
}

/// Values up to this may be in the zero bucket.
const ZERO: f64 = 0.001;

#[test]
#[ignore = "needs prometheus, protobuf-compiler and python3-prometheus-client"]
fn prometheus_computes_exact_quantiles_also_across_restarts_and_kills() {
    let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
    let start = || {
        let address = format!("127.0.0.1:{port}");
        let path = directory.path().to_str().unwrap();
        Exporter::run(&mut command(&["--web.listen-address", &address, "--storage.path", path]))
    };
    let (mut traffic, mut random) = (Traffic::default(), Pcg64Mcg::seed_from_u64(22));
    let mut exporter = start();
    // A scrape may take as long as the interval. After one that fails, the histograms would have no value.
    let prometheus = Prometheus::start_with(&config("3s", &[("exporter", exporter.address(), "/metrics")]), NATIVE);
    let begin = (now_ms() / 1000.0) as i64;
    for signal in ["TERM", "KILL"] {
        traffic.send(&exporter, 1500, &mut random);
        prometheus.wait_for_a_scrape();
        let before = starts(&exporter);
        exporter.signal(signal);
        exporter.wait();
        exporter = start();
        assert_only_the_process_starts_again(&before, &starts(&exporter));
    }
    traffic.send(&exporter, 1500, &mut random);
    let families = read(PROTOBUF, &scrape(&mut exporter.connect(), "/metrics", PROTOBUF));
    assert_eq!(families.iter().find_map(disagreement), None);
    for (chat, name) in CHATS.into_iter().enumerate() {
        traffic.bytes[chat].assert_in(only_native(&families, &format!("{name}_content_bytes")));
        traffic.submit[chat].assert_in(only_native(&families, &format!("{name}_submit_delay_seconds")));
    }
    prometheus.wait_for_a_scrape();
    let end = (now_ms() / 1000.0) as i64 + 1;
    for (series, sent) in traffic.series() {
        assert_eq!(prometheus.value(&format!("histogram_count({series})")), sent.0.len() as f64, "{series}");
        assert_quantiles(&prometheus, &series, |q| sent.quantile(q));
        let counts = prometheus.query_range(begin, end, 1, &format!("histogram_count({series})"));
        let [(_, counts)] = counts.as_slice() else { panic!("{counts:?}") };
        assert!(counts.is_sorted_by_key(|(_, count)| *count as u64), "{series}: {counts:?}");
    }
    for (series, values) in history(&prometheus, "exporter") {
        let is_in_state =
            series.contains("\"openim_group_messages") || series.contains("\"openim_exporter_callbacks_total");
        assert!(!is_in_state || values.is_sorted(), "{series}: {values:?}");
    }
    let duration = "openim_exporter_callback_duration_seconds";
    let family = families.iter().find(|family| family.name == duration).unwrap();
    let buckets: Vec<_> = classic(family, &Vec::new()).collect();
    assert_eq!(prometheus.value(&format!("histogram_count({duration})")), 1500.0);
    assert_quantiles(&prometheus, duration, |q| {
        let rank = ((q * 1500.0).ceil() as u64).max(1);
        let position = buckets.iter().position(|(_, count)| *count >= rank).unwrap();
        (position.checked_sub(1).map_or(0.0, |below| buckets[below].0), buckets[position].0)
    });
}
