//! An exporter, an OpenIM, a Prometheus with the rules, and an Alertmanager.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

use crate::monitoring::files;
use crate::oracle::{Prometheus, config_for, config_with, openim_job, serve_openim_s_count};
use crate::server::Alertmanager;
use crate::support::{Exporter, GROUP_MESSAGE_PATH};

/// The seconds that replace a minute and an hour of the rules.
const MINUTE: u64 = 2;
const HOUR: u64 = 20;

/// Longer than any range plus its `for`, after this replacement.
const PATIENCE: Duration = Duration::from_secs(120);

/// The messages that OpenIM has processed before it sends the first. Without them, the share that arrived would be
/// wrong in the first seconds, and would depend on which of the two Prometheus scrapes first.
const AHEAD: u64 = 10;

/// The metrics that another Prometheus passes on.
const SELECTED: &str = "(openim|process)_.+";

/// The rules with seconds instead of minutes and hours, also where they compare a time with half an hour. Days and weeks
/// remain: there is no data for them.
pub(crate) fn hastened(rules: &str) -> String {
    let mut text = String::new();
    let mut rest = rules;
    while let Some(at) = rest.find(['[', ' ']) {
        let (before, after) = rest.split_at(at + 1);
        text.push_str(before);
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = after.split_at(digits);
        let unit =
            behind.chars().next().filter(|_| digits > 0 && behind.chars().nth(1).is_none_or(|c| !c.is_alphanumeric()));
        rest = match unit {
            Some(unit @ ('m' | 'h')) => {
                let seconds = number.parse::<u64>().unwrap() * if unit == 'm' { MINUTE } else { HOUR };
                text.push_str(&format!("{seconds}s"));
                behind.split_at(1).1
            }
            _ => after,
        };
    }
    (text + rest).replace("< 1800", &format!("< {}", 30 * MINUTE))
}

/// The configuration with another job in place of the one that scrapes the exporter.
fn with_another_job(config: &str, job: &str) -> String {
    let (before, rest) = config.split_once("  - job_name: openim-exporter\n").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    format!("{before}{job}\n\n{after}")
}

/// All four programs, without any problem.
pub(crate) struct Scene {
    pub(crate) exporter: Exporter,
    pub(crate) prometheus: Prometheus,
    pub(crate) alertmanager: Alertmanager,
    /// OpenIM's own count of messages.
    processed: Arc<AtomicU64>,
    _rules: TempDir,
}

impl Scene {
    pub(crate) fn start() -> Self {
        Self::start_with(str::to_owned)
    }

    /// Starts them with the rules edited.
    pub(crate) fn start_with(edit: impl Fn(&str) -> String) -> Self {
        Self::of(edit, |config, openim, _| config + openim, &[])
    }

    /// Starts them with a Prometheus that does not scrape OpenIM.
    pub(crate) fn without_openim_s_count() -> Self {
        Self::of(str::to_owned, |config, _, _| config, &[])
    }

    /// Starts them with a Prometheus that stores native histograms in place of the classic ones of the same families.
    pub(crate) fn with_native_histograms() -> Self {
        Self::of(str::to_owned, |config, openim, _| config + openim, &["--enable-feature=native-histograms"])
    }

    /// Starts them with a Prometheus that federates the exporter's metrics, without its `up`, from another Prometheus,
    /// which scrapes the exporter and is returned too.
    pub(crate) fn federated() -> (Self, Prometheus) {
        let mut first = None;
        let federate = |config: String, _: &str, exporter| {
            let first = first.insert(Prometheus::start(&config_for(exporter)));
            let selected = format!("\"match[]\": ['{{__name__=~\"{SELECTED}\"}}']");
            let how =
                format!("metrics_path: /federate, honor_labels: true, scrape_interval: 1s, params: {{{selected}}}");
            let target = format!("static_configs: [{{targets: [\"{}\"]}}]", first.address());
            with_another_job(&config, &format!("  - {{job_name: federate, {how}, {target}}}"))
        };
        let scene = Self::of(str::to_owned, federate, &[]);
        (scene, first.unwrap())
    }

    /// Starts them with a Prometheus that scrapes OpenIM, and gets the exporter's metrics, without its `up`, from the remote
    /// write of another Prometheus, which is returned too.
    pub(crate) fn with_remote_write() -> (Self, Prometheus) {
        let receive = ["--web.enable-remote-write-receiver"];
        let scene = Self::of(str::to_owned, |config, openim, _| with_another_job(&config, "") + openim, &receive);
        let url = format!("http://{}/api/v1/write", scene.prometheus.address());
        let selected = format!("[{{source_labels: [__name__], regex: {SELECTED}, action: keep}}]");
        // The default of five seconds would count as two minutes in the rules.
        let queue = "{batch_send_deadline: 100ms}";
        let write = format!("{{url: \"{url}\", write_relabel_configs: {selected}, queue_config: {queue}}}");
        let config = config_for(scene.exporter.address());
        (scene, Prometheus::start(&format!("{config}\nremote_write: [{write}]\n")))
    }

    /// Starts them with the rules edited. `configure` gets the configuration, the job that scrapes OpenIM, and the
    /// exporter's address, and returns the configuration to use.
    fn of(
        edit: impl Fn(&str) -> String,
        configure: impl FnOnce(String, &str, SocketAddr) -> String,
        flags: &[&str],
    ) -> Self {
        let (exporter, alertmanager) = (Exporter::start(&[]), Alertmanager::start());
        let rules = TempDir::new().unwrap();
        for file in files("prometheus/rules", ".yml") {
            let text = hastened(&edit(&fs::read_to_string(&file).unwrap()));
            fs::write(rules.path().join(file.file_name().unwrap()), text).unwrap();
        }
        let folder = format!("{}/", rules.path().display());
        let config = config_with(exporter.address(), &alertmanager.address.to_string(), &folder);
        let processed = Arc::new(AtomicU64::new(0));
        let served = Arc::clone(&processed);
        let openim = openim_job(serve_openim_s_count(move |_| served.load(Relaxed)));
        let prometheus = Prometheus::start_with(&configure(config, &openim, exporter.address()), flags);
        prometheus.wait_for_a_scrape();
        Self { exporter, prometheus, alertmanager, processed, _rules: rules }
    }

    /// OpenIM processes a message.
    pub(crate) fn process(&self) {
        if self.processed.fetch_add(1, Relaxed) == 0 {
            self.processed.fetch_add(AHEAD, Relaxed);
        }
    }

    /// OpenIM processes a message and sends it.
    pub(crate) fn send(&self, message: impl AsRef<[u8]>) {
        self.process();
        assert_eq!(self.exporter.post(GROUP_MESSAGE_PATH, message).status, 200);
    }

    /// Does something every tenth of a second, for this many seconds.
    pub(crate) fn during(seconds: u64, mut act: impl FnMut()) {
        for _ in 0..seconds * 10 {
            act();
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The alert was pending only during its `for`.
    fn assert_raised_within_its_for(&self, name: &str) {
        let hold = self.prometheus.hold_of(name);
        let since = self.prometheus.value(&format!("max(ALERTS_FOR_STATE{{alertname=\"{name}\"}})"));
        let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap() + 1;
        let pending = format!("ALERTS{{alertname=\"{name}\",alertstate=\"pending\"}}[1h]");
        let pending = self.prometheus.samples_until(now, &pending).into_iter().flatten();
        let held: Vec<_> = pending.map(|(time, _)| time - since).filter(|held| *held >= 0.0).collect();
        assert!(!held.is_empty() && held.iter().all(|held| *held < hold), "{name}: {held:?} of {hold}");
    }

    /// Whether this unexpected alert is correct: on a busy machine, scrapes can fail.
    fn is_right(&self, other: &str) -> bool {
        let failed = "min_over_time(up{job=\"openim-exporter\"}[1h]) == 0";
        other == "OpenimExporterDown" && !self.prometheus.query(failed).is_empty()
    }

    /// Does something every tenth of a second until Alertmanager has this alert, and then for the longest `for` of any
    /// alert. Neither Alertmanager nor Prometheus may have another alert, before or meanwhile.
    pub(crate) fn raises(&self, name: &str, mut act: impl FnMut()) -> Value {
        let is_wrong = |other: &str| other != name && !self.is_right(other);
        let wrong = || self.alertmanager.names().into_iter().filter(|other| is_wrong(other)).collect::<Vec<_>>();
        let raised = || self.alertmanager.alerts().into_iter().find(|alert| alert["labels"]["alertname"] == name);
        assert!(raised().is_none() && wrong().is_empty(), "before: {:?}", self.alertmanager.names());
        let begin = Instant::now();
        let mut go_on = || {
            act();
            thread::sleep(Duration::from_millis(100));
        };
        let alert = loop {
            if let Some(alert) = raised() {
                break alert;
            }
            assert_eq!(wrong(), [""; 0], "before {name}");
            assert!(begin.elapsed() < PATIENCE, "{name} is not raised; {:?}", self.prometheus.query("ALERTS"));
            go_on();
        };
        // The other alert may inhibit it.
        let is_inhibited = name != "OpenimExporterDown" && self.is_right("OpenimExporterDown");
        assert!(alert["status"]["state"] == "active" || is_inhibited, "{alert}");
        self.assert_raised_within_its_for(name);
        let (begin, longest) = (Instant::now(), self.prometheus.longest_hold());
        assert!(longest > Duration::ZERO && longest < PATIENCE, "{longest:?}");
        while begin.elapsed() < longest {
            go_on();
            assert_eq!(wrong(), [""; 0], "after {name}");
        }
        // Prometheus has stored the alerts that fired between two of these checks.
        let fired = self.prometheus.query("count_over_time(ALERTS{alertstate=\"firing\"}[1h])");
        let others: Vec<_> = fired.into_iter().filter(|(labels, _)| is_wrong(&labels["alertname"])).collect();
        assert_eq!(others, [], "other alerts besides {name}");
        alert
    }
}
