//! An exporter with a target that answers.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::{Client, Exporter, Response, Samples};

/// The commands of the three policies.
pub(crate) const CONTINUES: &str = "callbackBeforeSendSingleMsgCommand";
pub(crate) const REFUSES: &str = "callbackBeforeSendGroupMsgCommand";
pub(crate) const TRANSPARENT: &str = "callbackBeforeCreateGroupCommand";

/// The usual timeout of a target's answer: the longest that is allowed, because other tests keep the machine busy.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_millis(4500);

/// A forwarding exporter.
pub(crate) struct Scene {
    pub(crate) exporter: Exporter,
    directory: tempfile::TempDir,
}

impl Scene {
    /// One target at this URL, with these lines in its settings.
    pub(crate) fn start(url: &str, settings: &[&str]) -> Self {
        Self::start_with(url, settings, &[])
    }

    /// The same, with these flags.
    pub(crate) fn start_with(url: &str, settings: &[&str], more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("forward.yml"), config(url, settings)).unwrap();
        let (path, storage) = (directory.path().join("forward.yml"), directory.path().join("state"));
        let flags = [
            "--forward.config.file",
            path.to_str().unwrap(),
            "--storage.path",
            storage.to_str().unwrap(),
            "--callback.max-body-bytes",
            "2097152",
        ];
        Self { exporter: Exporter::start(&[&flags, more].concat()), directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("forward.yml")
    }

    /// Reloads with another target.
    pub(crate) fn reload(&self, url: &str, settings: &[&str]) {
        std::fs::write(self.path(), config(url, settings)).unwrap();
        let reloaded = |lines: &[String]| lines.iter().filter(|line| line.contains("settings files reloaded")).count();
        let before = reloaded(&self.exporter.log());
        self.exporter.signal("HUP");
        self.exporter.wait_for_log("the reload", |lines| reloaded(lines) > before);
    }

    /// Posts a callback as OpenIM 3.4.2 and newer do, and returns the answer and how long it took.
    pub(crate) fn post(&self, command: &str) -> (Response, Duration) {
        let began = Instant::now();
        let answer = self.exporter.post(&format!("/callback/{command}"), body(command));
        (answer, began.elapsed())
    }

    /// A connection with a callback whose answer is awaited.
    pub(crate) fn waiting(&self, command: &str) -> Client {
        let mut client = self.exporter.connect();
        client.send(crate::support::post_bytes(&format!("/callback/{command}"), "", body(command).as_bytes())).unwrap();
        client
    }

    /// How many answers had this verdict.
    pub(crate) fn verdicts(&self, verdict: &str) -> f64 {
        self.exporter.scrape().sum_of("openim_exporter_forward_answers_total", "verdict", verdict)
    }

    /// How many answers failed for this reason.
    pub(crate) fn failures(&self, reason: &str) -> f64 {
        failures(&self.exporter.scrape(), reason)
    }
}

pub(crate) fn failures(samples: &Samples, reason: &str) -> f64 {
    samples.sum_of("openim_exporter_forward_answer_failures_total", "reason", reason)
}

fn config(url: &str, settings: &[&str]) -> String {
    let timeout = format!("answer_timeout: {}ms", ANSWER_TIMEOUT.as_millis());
    let usual = if settings.iter().any(|line| line.starts_with("answer_timeout")) { "" } else { &timeout };
    let lines: String = settings.iter().chain([&usual]).map(|line| format!("    {line}\n")).collect();
    format!(
        "targets:\n  - name: business\n    url: {url}\n    commands: [callbackBefore*]\n    answers: true\n    policies:\n      \
         - commands: [{REFUSES}]\n        policy: refuse\n      - commands: [{TRANSPARENT}]\n        \
         policy: transparent\n{lines}"
    )
}

/// A callback of this command.
pub(crate) fn body(command: &str) -> String {
    format!(r#"{{"callbackCommand":"{command}","sendID":"u1","recvID":"u2","groupID":"g1","groupName":"Hikers"}}"#)
}
