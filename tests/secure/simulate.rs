//! `simulate` uses TLS, the secret in the path and the password in the URL like an unmodified OpenIM.

use std::process::Output;

use serde_json::Value;

use crate::authority::Authority;
use crate::support::{Exporter, Samples, command};
use crate::{basic, hash, scraped};

const SECRET: &str = "0123456789abcdef-the-secret";
const COUNT: &str = "2000";

/// An exporter that requires all credentials, with these settings of HTTP.
fn locked(authority: &Authority, settings: &str) -> Exporter {
    authority.issue("server", &["localhost"]);
    let users = format!("basic_auth_users:\n  prometheus: {}\n", hash("scrape me"));
    let config = authority.web_config("server", &format!("{settings}{users}"));
    let secret = authority.write("secret", SECRET);
    let callers = authority.write("callers", format!("openim:{}\n", hash("call me")));
    let [config, secret, callers] = [&config, &secret, &callers].map(|path| path.to_str().unwrap());
    let files = ["--web.config.file", config, "--callback.secret-file", secret, "--callback.basic-auth-file", callers];
    Exporter::start(&files)
}

/// Sends to this exporter with these credentials, and writes `report.json`.
fn simulate(authority: &Authority, exporter: &Exporter, credentials: &str, secret: &str) -> Output {
    let target = format!("https://{credentials}@localhost:{}/{secret}/callback", exporter.address().port());
    let (ca, report) = (authority.path("ca.pem"), authority.path("report.json"));
    let [ca, report] = [&ca, &report].map(|path| path.to_str().unwrap());
    let flags = ["simulate", "--yes", "--target", &target, "--ca-file", ca, "--count", COUNT, "--report", report];
    let output = command(&flags).output().unwrap();
    let shown = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    for hidden in [credentials, &credentials.replace("%20", " "), secret] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    output
}

fn report(authority: &Authority) -> Value {
    serde_json::from_slice(&std::fs::read(authority.path("report.json")).unwrap()).unwrap()
}

fn seen(exporter: &Exporter, authority: &Authority) -> Samples {
    let authorization = format!("authorization: {}\r\n", basic("prometheus", "scrape me"));
    scraped(exporter, &authority.client(None), &authorization)
}

#[test]
fn callbacks_with_the_right_credentials_are_counted_over_both_protocols() {
    for (settings, protocol) in [("", "HTTP/2"), ("http_server_config:\n  http2: false\n", "HTTP/1.1")] {
        let authority = Authority::new();
        let exporter = locked(&authority, settings);
        let output = simulate(&authority, &exporter, "openim:call%20me", SECRET);
        assert!(output.status.success(), "{settings}: {}", String::from_utf8_lossy(&output.stderr));
        let summary = String::from_utf8(output.stdout).unwrap();
        assert!(summary.starts_with("https://localhost:"), "{summary}");
        let report = report(&authority);
        assert_eq!((&report["sent"], &report["answered"]), (&2000.into(), &2000.into()));
        assert_eq!(report["protocol"], protocol);
        let samples = seen(&exporter, &authority);
        let messages = "openim_group_messages_total";
        assert_eq!(samples.sum(messages), 2000.0);
        for (group, tally) in report["by_group"].as_object().unwrap() {
            let label = format!(r#"group_id="{group}""#);
            let of_it =
                samples.of("openim_group_messages_by_group_total").filter(|(series, _)| series.contains(&label));
            assert_eq!(of_it.map(|(_, value)| value).sum::<f64>(), tally["answered"].as_f64().unwrap(), "{group}");
        }
        assert_eq!(samples.sum("openim_exporter_callbacks_rejected_total"), 0.0);
    }
}

#[test]
fn callbacks_with_wrong_credentials_get_401_and_are_not_counted() {
    let authority = Authority::new();
    let exporter = locked(&authority, "");
    for (credentials, secret) in [("openim:call%20you", SECRET), ("openim:call%20me", "0123456789abcdef-no-secret")] {
        let output = simulate(&authority, &exporter, credentials, secret);
        assert_eq!(output.status.code(), Some(1));
        let report = report(&authority);
        assert_eq!((&report["answered"], &report["failed"]["status"]), (&0.into(), &2000.into()), "{report}");
        let first = report["first_failure"].as_str().unwrap();
        assert!(first.contains("401"), "{first}");
    }
    assert_eq!(seen(&exporter, &authority).sum("openim_group_messages_total"), 0.0);
}
