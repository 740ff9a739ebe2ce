//! Messages that flags exclude from all counts.

use std::fs;

use crate::support::{Exporter, GROUP_MESSAGE_PATH, SUCCESS, Samples, eventually};

const SENT: &str = "/callbackAfterSendSingleMsgCommand";
const SAVED: &str = "/callbackAfterMsgSaveDBCommand";

/// Posts a message with a type of content from a sender. Returns the series that rose.
fn rises(exporter: &Exporter, path: &str, sender: &str, content_type: i32) -> Vec<(String, f64)> {
    let before = exporter.scrape();
    let body = format!(r#"{{"sendID":"{sender}","contentType":{content_type},"groupID":"g","sessionType":3}}"#);
    let answer = exporter.post(path, body);
    assert_eq!((answer.status, answer.text().as_str()), (200, SUCCESS), "{path}");
    let own = |series: &str| {
        let of_callbacks = series.starts_with("openim_exporter_callbacks_");
        of_callbacks || !series.starts_with("openim_exporter_") && series.starts_with("openim_")
    };
    exporter.scrape().rose_since(&before).into_iter().filter(|(series, _)| own(series)).collect()
}

fn excluded(reason: &str) -> Vec<(String, f64)> {
    vec![(format!("openim_exporter_callbacks_excluded_total{{reason=\"{reason}\"}}"), 1.0)]
}

fn last_callback(samples: &Samples) -> f64 {
    samples.value("openim_exporter_last_callback_timestamp_seconds")
}

#[test]
fn excluded_messages_are_answered_and_counted_by_reason_only() {
    let directory = tempfile::TempDir::new().unwrap();
    let senders = directory.path().join("senders");
    fs::write(&senders, "# bots\nbot\n").unwrap();
    let file = senders.to_str().unwrap();
    let flags = ["--stats.exclude-content-types", "typing,1000-5000", "--stats.exclude-senders-file", file];
    let exporter = Exporter::start(&flags);
    let attempts = ["/callbackBeforeSendGroupMsgCommand", "/callbackBeforeSendSingleMsgCommand"];
    for path in [GROUP_MESSAGE_PATH, SENT, SAVED, attempts[0], attempts[1]] {
        assert_eq!(last_callback(&exporter.scrape()) > 0.0, path != GROUP_MESSAGE_PATH);
        assert_eq!(rises(&exporter, path, "a", 1501), excluded("content_type"), "{path}");
        assert_eq!(rises(&exporter, path, "bot", 113), excluded("content_type"), "{path}");
        assert_eq!(rises(&exporter, path, "bot", 101), excluded("sender"), "{path}");
    }
    for path in [GROUP_MESSAGE_PATH, SENT, attempts[0], attempts[1]] {
        let counted = rises(&exporter, path, "a", 101);
        assert!(counted.iter().any(|(series, _)| series.starts_with("openim_exporter_callbacks_total")), "{counted:?}");
        assert!(counted.len() > 1, "{counted:?}");
    }
    // An excluded callback must still be valid.
    exporter.post(GROUP_MESSAGE_PATH, r#"{"contentType":113,"groupID":"g"}"#).refusal(400);

    fs::write(&senders, "a\n").unwrap();
    let is_reloaded = || rises(&exporter, GROUP_MESSAGE_PATH, "a", 101) == excluded("sender");
    eventually("the changed file is read", is_reloaded);
    assert_ne!(rises(&exporter, GROUP_MESSAGE_PATH, "bot", 101), excluded("sender"));
}

#[test]
fn wrong_exclusions_are_errors_that_name_the_flag() {
    let error = |flag: &str, value: &str| {
        let ran = crate::support::command(&[flag, value]).output().unwrap();
        assert!(!ran.status.success());
        String::from_utf8(ran.stderr).unwrap()
    };
    let types = error("--stats.exclude-content-types", "tpying");
    assert!(types.contains("--stats.exclude-content-types") && types.contains("1000-5000"), "{types}");
    let file = error("--stats.exclude-senders-file", "/no/such/file");
    assert!(file.contains("--stats.exclude-senders-file") && file.contains("/no/such/file"), "{file}");
}
