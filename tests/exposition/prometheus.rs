//! What Prometheus makes of a scrape in protobuf, also next to the other formats.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _, copy};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::UNIX_EPOCH;

use crate::formats::post_messages;
use crate::native::WIDTH;
use crate::oracle::Prometheus;
use crate::scrape::{Format, OPEN_METRICS, PROTOBUF, TEXT, TEXT_V1};
use crate::support::Exporter;

/// Prometheus asks for protobuf, and stores native histograms.
pub(crate) const NATIVE: &[&str] = &["--enable-feature=native-histograms"];

/// A configuration that scrapes these jobs at this interval. A job has a name, an address and a path.
pub(crate) fn config(interval: &str, jobs: &[(&str, SocketAddr, &str)]) -> String {
    let mut config = format!("global:\n  scrape_interval: {interval}\n  scrape_timeout: {interval}\nscrape_configs:\n");
    for (name, address, path) in jobs {
        let _ = writeln!(config, "  - job_name: {name:?}\n    metrics_path: {path:?}");
        let _ = writeln!(config, "    static_configs:\n      - targets: [\"{address}\"]");
    }
    config
}

/// A proxy in front of the exporter that asks for these formats in turn, whatever Prometheus asks for.
fn alternate(exporter: SocketAddr, formats: &'static [Format]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (format, stream) in formats.iter().cycle().zip(listener.incoming()) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let accept = format.accept;
            let request = format!("GET /metrics HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\nconnection: close\r\n\r\n");
            let mut exporter = TcpStream::connect(exporter).unwrap();
            exporter.write_all(request.as_bytes()).unwrap();
            let _ = copy(&mut exporter, &mut stream);
        }
    });
    address
}

/// The names of groups.
fn groups() -> Vec<String> {
    (0..20).map(|number| format!("g{number}")).collect()
}

/// The values so far of each series of a job, by name and labels. Native histograms are left out.
pub(crate) fn history(prometheus: &Prometheus, job: &str) -> BTreeMap<String, Vec<f64>> {
    let now = UNIX_EPOCH.elapsed().unwrap().as_secs() + 1;
    let series = prometheus.series_until(i64::try_from(now).unwrap(), &format!("{{job={job:?}}}[1h]"));
    let named = |mut labels: BTreeMap<String, String>| {
        labels.retain(|label, _| label != "instance" && label != "job");
        format!("{labels:?}")
    };
    let values = |samples: Vec<(f64, f64)>| samples.into_iter().map(|(_, value)| value).collect();
    series.into_iter().map(|(labels, samples)| (named(labels), values(samples))).collect()
}

#[test]
#[ignore = "needs prometheus"]
fn alternating_formats_give_prometheus_the_same_counters() {
    static ALL: &[Format] = &[PROTOBUF, TEXT, OPEN_METRICS, TEXT_V1];
    let exporter = Exporter::start(&[]);
    let mut client = exporter.connect();
    post_messages(&mut client, &groups());
    let alternating = alternate(exporter.address(), ALL);
    let jobs = [("alternating", alternating, "/metrics"), ("steady", exporter.address(), "/metrics")];
    let prometheus = Prometheus::start_with(&config("500ms", &jobs), NATIVE);
    for _ in 0..=ALL.len() {
        prometheus.wait_for_scrapes_of(2);
        post_messages(&mut client, &groups());
    }
    prometheus.wait_for_scrapes_of(2);
    let [alternating, steady] = ["alternating", "steady"].map(|job| history(&prometheus, job));
    let up = alternating.iter().find(|(series, _)| series.contains("\"up\"")).unwrap().1;
    let scrapes = up.iter().filter(|up| **up == 1.0).count();
    let counters = steady.iter().filter(|(series, _)| series.contains("_total\""));
    let mut checked = 0;
    for (series, values) in counters.filter(|(series, _)| series.contains("\"openim_")) {
        let found = &alternating[series];
        assert_eq!(found.len(), scrapes, "{series} is missing in a format");
        assert!(found.is_sorted(), "{series}: {found:?}");
        // Those that a scrape itself changes have another value in each.
        if !series.contains("_scrape") {
            assert_eq!(found.last(), values.last(), "{series}");
        }
        checked += 1;
    }
    assert!(checked > 300, "{checked}");
}

/// Before, while and after an operator switches native histograms on, a query that takes either kind has one answer,
/// and no counter is reset. For minutes after each change, both kinds have an answer, because Prometheus looks back.
#[test]
#[ignore = "needs prometheus"]
fn native_histograms_can_be_switched_on_and_off() {
    let exporter = Exporter::start(&[]);
    let mut client = exporter.connect();
    let config = config("500ms", &[("exporter", exporter.address(), "/metrics")]);
    let mut prometheus = Prometheus::start(&config);
    for (is_on, next) in [(false, NATIVE), (true, &[]), (false, &[])] {
        for _ in 0..2 {
            post_messages(&mut client, &groups());
            prometheus.wait_for_a_scrape();
        }
        let delay = "openim_group_message_delivery_delay_seconds";
        let native = format!("histogram_quantile(0.9, sum(rate({delay}[1m])))");
        let classic = format!("histogram_quantile(0.9, sum by (le) (rate({delay}_bucket[1m])))");
        let either = prometheus.value(&format!("{native} or {classic}"));
        // A fifth of the messages took 70 s.
        assert!((60.0..=300.0).contains(&either), "{either}");
        if is_on {
            assert!((70.0 / WIDTH..=70.5 * WIDTH).contains(&either), "{either}");
            let counted = prometheus.value("scrape_samples_scraped");
            assert_eq!(prometheus.value("openim_exporter_scrape_series"), counted, "a native histogram is one series");
        }
        prometheus = prometheus.restart_with(&config, next);
    }
    let of_counters = ["_total\"", "_bucket\"", "_sum\"", "_count\""];
    for (series, values) in history(&prometheus, "exporter") {
        let is_counter = of_counters.iter().any(|suffix| series.contains(suffix));
        assert!(!is_counter || values.is_sorted(), "{series}: {values:?}");
    }
}
