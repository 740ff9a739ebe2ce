//! Reload and quit by request, and the flags for access control.

use std::process::Command;

use crate::authority::Authority;
use crate::hash;
use crate::support::{Exporter, command, message};

fn post(exporter: &Exporter, path: &str) -> crate::support::Response {
    exporter
        .ask(format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes())
}

#[test]
fn quit_ends_the_process_like_a_signal_if_enabled() {
    let careful = Exporter::start(&[]);
    for path in ["/-/quit", "/-/reload"] {
        let (_, detail) = post(&careful, path).refusal(404);
        assert!(detail.contains("--web.enable-lifecycle"), "{detail}");
        assert_eq!(careful.get(path).status, 405);
    }
    assert_eq!(careful.get("/-/ready").status, 200);
    let exporter = Exporter::start(&["--web.enable-lifecycle"]);
    assert_eq!(exporter.get("/-/quit").status, 405);
    // What a browser sends for a form on another site.
    let form = "POST /-/quit HTTP/1.1\r\nhost: x\r\norigin: https://elsewhere.example\r\ncontent-length: 0\r\n\r\n";
    exporter.ask(form.as_bytes()).refusal(403);
    assert_eq!(post(&exporter, "/-/quit").status, 200);
    let (status, log) = exporter.wait();
    assert!(status.success(), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("stopped")), "{log:#?}");
}

#[test]
fn sighup_reloads_and_a_failed_reload_is_logged() {
    let authority = Authority::new();
    let config = authority.write("web.yml", format!("basic_auth_users:\n  a: {}\n", hash("b")));
    let exporter =
        Exporter::start(&["--web.config.file", config.to_str().unwrap(), "--web.telemetry-address", "127.0.0.1:0"]);
    authority.write("web.yml", "basic_auth_users:\n  a: not a hash\n");
    exporter.signal("HUP");
    exporter.wait_for_log("the error", |lines| {
        lines.iter().any(|line| line.contains("web.yml:2") && line.contains("the previous settings stay in effect"))
    });
    assert_eq!(
        exporter.post("/callback", message("g", "u").replace('{', r#"{"callbackCommand":"callbackX","#)).status,
        200
    );
}

#[test]
fn a_failed_reload_is_not_an_internal_error() {
    let authority = Authority::new();
    let config = authority.write("web.yml", "http_server_config:\n  http2: true\n");
    let exporter = Exporter::start(&["--web.enable-lifecycle", "--web.config.file", config.to_str().unwrap()]);
    assert_eq!(post(&exporter, "/-/reload").status, 200);
    authority.write("web.yml", "http_server_config:\n  http3: true\n");
    let (message, detail) = post(&exporter, "/-/reload").refusal(500);
    assert_eq!(message, "bad settings");
    assert!(detail.contains("web.yml:2"), "{detail}");
    let metrics = exporter.scrape();
    assert!(metrics.value("openim_exporter_config_reload_failures_total") >= 1.0);
    assert_eq!(metrics.value(r#"openim_exporter_callbacks_rejected_total{reason="internal"}"#), 0.0);
}

fn check_error(flags: &[&str]) -> String {
    let ran = command(flags).arg("--check-config").output().unwrap();
    assert_eq!(ran.status.code(), Some(2), "{flags:?}: {}", String::from_utf8_lossy(&ran.stdout));
    String::from_utf8(ran.stderr).unwrap()
}

#[test]
fn errors_name_the_flag_and_say_how_to_correct_it() {
    let authority = Authority::new();
    let file = |name: &str, text: &str| authority.write(name, text).to_str().unwrap().to_owned();
    let short = file("short", "abc\n");
    let odd = file("odd", "0123456789abcdef/0123456789\n");
    let users = file("users", "openim:plain text\n");
    let web = file("web.yml", "tls_server_config:\n  cert_file: none.pem\n  key_file: none.key\n");
    let cases: [(&[&str], &[&str]); 11] = [
        (&["--callback.secret-file", &short], &["--callback.secret-file", "16"]),
        (&["--callback.secret-file", &odd], &["--callback.secret-file", "letters"]),
        (&["--callback.secret-file", "/nowhere"], &["--callback.secret-file", "/nowhere"]),
        (&["--callback.basic-auth-file", &users], &["--callback.basic-auth-file", "users:1", "bcrypt"]),
        (&["--web.config.file", &web], &["--web.config.file", "cert_file", "none.pem"]),
        (&["--callback.allowed-networks", "10.0.0.1/8"], &["--callback.allowed-networks", "give 10.0.0.0/8"]),
        (&["--callback.allowed-networks", "here"], &["--callback.allowed-networks", "10.0.0.0/8"]),
        (&["--web.max-connections", "0"], &["--web.max-connections", "from 1"]),
        (&["--web.max-connections-per-address", "0"], &["--web.max-connections-per-address", "from 1"]),
        (&["--callback.max-buffered-bytes", "x"], &["--callback.max-buffered-bytes", "64KiB"]),
        (&["--web.telemetry-address", "nowhere"], &["--web.telemetry-address", "host:port"]),
    ];
    for (flags, words) in cases {
        let error = check_error(flags);
        assert!(words.iter().all(|word| error.contains(word)), "{flags:?}: {error}");
        assert!(!error.contains("0123456789abcdef") && !error.contains("plain text"), "a secret is shown: {error}");
    }
}

#[test]
fn check_config_prints_no_secrets() {
    let authority = Authority::new();
    authority.issue("server", &["localhost"]);
    let web = authority.web_config("server", &format!("basic_auth_users:\n  a: {}\n", hash("b")));
    let secret = authority.write("secret", "0123456789abcdef\n");
    let flags = ["--web.config.file", web.to_str().unwrap(), "--callback.secret-file", secret.to_str().unwrap()];
    let ran =
        Command::output(command(&flags).args(["--callback.allowed-networks", "10.0.0.0/8,::1", "--check-config"]));
    let ran = ran.unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(text.contains("web.yml") && text.contains("callback.allowed-networks = 10.0.0.0/8,::1/128"), "{text}");
    assert!(!text.contains("0123456789abcdef") && !text.contains("$2"), "{text}");
}
