//! New certificates while the exporter serves.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rcgen::date_time_ymd;
use tokio_rustls::rustls::{ClientConfig, ClientConnection};

use crate::authority::Authority;
use crate::scraped;
use crate::support::{Client, Exporter, GROUP_MESSAGE_PATH, SUCCESS, eventually, message};

const ROTATIONS: usize = 100;

/// The certificate that a new connection gets.
fn shown(exporter: &Exporter, config: &Arc<ClientConfig>) -> Vec<u8> {
    let mut tls = ClientConnection::new(Arc::clone(config), "localhost".try_into().unwrap()).unwrap();
    let mut socket = std::net::TcpStream::connect(exporter.address()).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).unwrap();
    }
    tls.peer_certificates().unwrap()[0].to_vec()
}

fn served(authority: &Authority) -> Exporter {
    authority.issue("server", &["localhost"]);
    let config = authority.web_config("server", "");
    Exporter::start(&["--web.config.file", config.to_str().unwrap()])
}

#[test]
fn no_request_fails_while_certificates_rotate_a_hundred_times_under_load() {
    let authority = Authority::new();
    let exporter = served(&authority);
    let config = authority.client(None);
    let (done, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let post = |client: &mut Client| {
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
        sent.fetch_add(1, Ordering::Relaxed);
    };
    let connect = || Client::connect_secure(exporter.address(), &config).unwrap();
    let is_done = || done.load(Ordering::Relaxed);
    thread::scope(|scope| {
        // Two persistent connections, like OpenIM's; two clients that connect for each request and see every
        // certificate.
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = connect();
                while !is_done() {
                    post(&mut client);
                }
            });
            scope.spawn(|| {
                while !is_done() {
                    post(&mut connect());
                }
            });
        }
        let mut before = shown(&exporter, &config);
        for rotation in 0..ROTATIONS {
            authority.issue("server", &["localhost"]);
            exporter.signal("HUP");
            eventually("the new certificate to be shown", || shown(&exporter, &config) != before);
            before = shown(&exporter, &config);
            assert!(sent.load(Ordering::Relaxed) > rotation, "the senders stopped");
        }
        done.store(true, Ordering::Relaxed);
    });
    let metrics = scraped(&exporter, &config, "");
    assert_eq!(metrics.sum("openim_group_messages_total"), sent.load(Ordering::Relaxed) as f64);
    assert_eq!(metrics.value("openim_exporter_config_reload_failures_total"), 0.0);
    assert_eq!(metrics.value("openim_exporter_tls_handshake_failures_total"), 0.0);
}

#[test]
fn a_new_certificate_is_loaded_without_a_request() {
    let authority = Authority::new();
    let exporter = served(&authority);
    let config = authority.client(None);
    let before = shown(&exporter, &config);
    let mut open = Client::connect_secure(exporter.address(), &config).unwrap();
    authority.issue("server", &["localhost"]);
    eventually("the new certificate to be shown", || {
        thread::sleep(Duration::from_millis(200));
        shown(&exporter, &config) != before
    });
    assert_eq!(open.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
}

#[test]
fn certificates_behind_a_replaced_symbolic_link_are_loaded() {
    let authority = Authority::new();
    let mount = |folder: &str| {
        std::fs::create_dir(authority.path(folder)).unwrap();
        authority.issue(&format!("{folder}/server"), &["localhost"]);
        symlink(folder, authority.path("..data_tmp")).unwrap();
        std::fs::rename(authority.path("..data_tmp"), authority.path("..data")).unwrap();
    };
    mount("..2026_11_28_01");
    for name in ["server.pem", "server.key"] {
        symlink(format!("..data/{name}"), authority.path(name)).unwrap();
    }
    let settings = authority.web_config("server", "");
    let exporter = Exporter::start(&["--web.config.file", settings.to_str().unwrap()]);
    let config = authority.client(None);
    let before = shown(&exporter, &config);
    mount("..2026_11_28_02");
    std::fs::remove_dir_all(authority.path("..2026_11_28_01")).unwrap();
    eventually("the new certificate to be shown", || {
        thread::sleep(Duration::from_millis(200));
        shown(&exporter, &config) != before
    });
    let metrics = scraped(&exporter, &config, "");
    assert_eq!(metrics.value("openim_exporter_config_reload_failures_total"), 0.0);
}

#[test]
fn after_an_invalid_certificate_the_old_one_stays_and_the_failure_is_logged() {
    let authority = Authority::new();
    let exporter = served(&authority);
    let config = authority.client(None);
    let before = shown(&exporter, &config);
    let good = ["server.pem", "server.key", "web.yml"].map(|name| (name, std::fs::read(authority.path(name)).unwrap()));
    let expired = || {
        authority.issue_with("server", &["localhost"], |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        });
    };
    let other_key = || authority.issue_with("other", &["localhost"], |_| ());
    let not_yet = || {
        authority.issue_with("server", &["localhost"], |params| params.not_before = date_time_ymd(2100, 1, 1));
    };
    let cases: [(&str, &dyn Fn()); 8] = [
        ("is not valid yet", &not_yet),
        ("has expired", &expired),
        ("key of the certificate", &|| {
            other_key();
            std::fs::copy(authority.path("other.key"), authority.path("server.key")).unwrap();
        }),
        ("server.pem: it is empty", &|| drop(authority.write("server.pem", ""))),
        ("No such file", &|| std::fs::remove_file(authority.path("server.key")).unwrap()),
        ("web.yml:2: tls_server_config.cert_fil", &|| {
            drop(authority.write("web.yml", "tls_server_config:\n  cert_fil: server.pem\n"))
        }),
        ("not a regular file", &|| {
            std::fs::remove_file(authority.path("server.pem")).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(authority.path("server.pem")).status().unwrap().success());
        }),
        // Truncated: a protected server must not become open.
        ("TLS would be turned off or weakened", &|| drop(authority.write("web.yml", ""))),
    ];
    for (number, (words, spoil)) in cases.into_iter().enumerate() {
        spoil();
        exporter.signal("HUP");
        exporter.wait_for_log("that it keeps the old certificate", |lines| {
            let kept = |line: &&String| line.contains("the previous settings stay in effect");
            let kept: Vec<_> = lines.iter().filter(kept).collect();
            kept.len() > number && kept[number].contains(words)
        });
        assert_eq!(shown(&exporter, &config), before, "{words}");
        let metrics = scraped(&exporter, &config, "");
        assert_eq!(metrics.value("openim_exporter_config_reload_failures_total"), number as f64 + 1.0, "{words}");
        assert_eq!(metrics.value("openim_exporter_config_last_reload_successful"), 0.0, "{words}");
        // Restored, so that the cases are independent.
        good.iter().for_each(|(name, text)| drop(authority.write(name, text)));
        exporter.signal("HUP");
        eventually("the good settings to be in effect", || {
            scraped(&exporter, &config, "").value("openim_exporter_config_last_reload_successful") == 1.0
        });
    }
}

#[test]
fn a_metric_has_the_expiry_of_the_certificate() {
    let authority = Authority::new();
    let exporter = served(&authority);
    let config = authority.client(None);
    // rcgen's default is a certificate until the year 4096.
    let until = "openim_exporter_tls_certificate_expiry_timestamp_seconds";
    assert_eq!(scraped(&exporter, &config, "").value(until), 67_090_118_400.0);
    authority.issue_with("server", &["localhost"], |params| params.not_after = date_time_ymd(2100, 1, 1));
    exporter.signal("HUP");
    eventually("the new certificate's expiry", || scraped(&exporter, &config, "").value(until) == 4_102_444_800.0);
    assert_eq!(Exporter::start(&[]).scrape().value(until), 0.0);
}

#[test]
fn a_reload_does_not_drop_the_requirement_of_client_certificates() {
    let authority = Authority::new();
    authority.issue("server", &["localhost"]);
    let demand = "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n";
    let config = authority.web_config("server", demand);
    let exporter = Exporter::start(&["--web.config.file", config.to_str().unwrap()]);
    // As if it were truncated.
    authority.web_config("server", "");
    exporter.signal("HUP");
    exporter.wait_for_log("that it still requires client certificates", |lines| {
        lines.iter().any(|line| line.contains("certificates would be turned off or weakened"))
    });
}
