//! TLS: versions, certificates, failed handshakes.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

use tokio_rustls::rustls::{ClientConfig, ProtocolVersion};

use crate::authority::Authority;
use crate::served::{HOUR, in_hours};
use crate::support::{Client, Exporter, GROUP_MESSAGE_PATH, SUCCESS, Samples, eventually, message, post_bytes};
use crate::{get, scraped};

fn served(authority: &Authority, rest: &str) -> Exporter {
    let config = authority.web_config("server", rest);
    Exporter::start(&["--web.config.file", config.to_str().unwrap()])
}

fn authority() -> Authority {
    let authority = Authority::new();
    authority.issue("server", &["localhost", "127.0.0.1"]);
    authority
}

#[test]
fn callbacks_and_scrapes_share_a_tls_connection() {
    let authority = authority();
    let exporter = served(&authority, "");
    let mut client = Client::connect_secure(exporter.address(), &authority.client(None)).unwrap();
    for _ in 0..100 {
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message("g", "u")).text(), SUCCESS);
    }
    client.post(GROUP_MESSAGE_PATH, "{").refusal(400);
    client.send(get("/metrics", "")).unwrap();
    assert_eq!(Samples::parse(&client.answer().text()).sum("openim_group_messages_total"), 100.0);
}

/// What is received until the end of the connection, and whether TLS announced the end (`close_notify`).
fn rest_and_whether_it_is_whole(client: &mut Client) -> (String, bool) {
    let mut came = Vec::new();
    loop {
        match client.some(1 << 16) {
            Ok(bytes) if bytes.is_empty() => break (String::from_utf8(came).unwrap(), true),
            Ok(bytes) => came.extend(bytes),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break (String::from_utf8(came).unwrap(), false),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn close_notify_is_sent_only_after_a_complete_answer() {
    let (authority, served) = crate::multiplex::served(in_hours(), 1, 60_000);
    let connect = || Client::connect_secure(served.address(), &authority.client_of(None, &[b"http/1.1"])).unwrap();
    for request in [
        get("/-/healthy", "connection: close\r\n"),
        "GET /-/healthy HTTP/1.0\r\n\r\n".to_owned(),
        "GET /metrics HTTP/1.0\r\n\r\n".to_owned(),
    ] {
        let mut client = connect();
        client.send(&request).unwrap();
        let (answer, is_whole) = rest_and_whether_it_is_whole(&mut client);
        assert!(is_whole && answer.starts_with("HTTP/1."), "{request}: {answer}");
    }
    // Idle for too long.
    let mut idle = connect();
    served.post(&mut idle);
    served.pass(600 * HOUR);
    assert_eq!(rest_and_whether_it_is_whole(&mut idle), (String::new(), true));
    // The length is not known in advance, and the answer is not read in time.
    let mut deaf = connect();
    deaf.send("GET /metrics/groups HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(deaf.some(12).unwrap(), b"HTTP/1.0 200");
    served.pass_until(30 * HOUR, || served.ended("unread") == 1.0);
    let (answer, is_whole) = rest_and_whether_it_is_whole(&mut deaf);
    assert!(!is_whole, "{} bytes", answer.len());
}

#[test]
fn plain_http_to_tls_and_tls_to_plain_http_get_an_explanation() {
    let authority = authority();
    let secure = served(&authority, "");
    let answer = secure.ask(get("/metrics", "").as_bytes());
    let (_, detail) = answer.refusal(400);
    assert!(detail.contains("https://"), "{detail}");
    let rejected = r#"openim_exporter_callbacks_rejected_total{reason="malformed_request"}"#;
    assert_eq!(scraped(&secure, &authority.client(None), "").value(rejected), 1.0);

    let plain = Exporter::start(&[]);
    // The start of a TLS handshake.
    let mut client = plain.connect();
    client.send([&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[7; 500]].concat()).unwrap();
    let (_, detail) = client.answer().refusal(400);
    assert!(detail.contains("http://"), "{detail}");
    assert_eq!(plain.scrape().value(rejected), 1.0);
}

#[test]
fn failed_handshakes_are_counted_and_port_probes_are_not() {
    let authority = authority();
    let exporter = served(&authority, "");
    drop(TcpStream::connect(exporter.address()).unwrap());
    // A client that does not trust the certificate.
    assert!(Client::connect_secure(exporter.address(), &Authority::new().client(None)).is_err());
    let mut garbage = exporter.connect();
    garbage.send([22; 600]).unwrap();
    let _ = garbage.rest();
    eventually("both to be counted", || {
        scraped(&exporter, &authority.client(None), "").value("openim_exporter_tls_handshake_failures_total") == 2.0
    });
}

#[test]
fn a_stalled_handshake_times_out_and_is_counted() {
    let authority = authority();
    let exporter = served(&authority, "");
    let mut silent = TcpStream::connect(exporter.address()).unwrap();
    let mut half = exporter.connect();
    half.send([22, 3, 1]).unwrap();
    assert_eq!(half.rest(), "");
    assert_eq!(silent.read(&mut [0; 1]).unwrap_or_default(), 0);
    assert_eq!(
        scraped(&exporter, &authority.client(None), "").value("openim_exporter_tls_handshake_failures_total"),
        2.0
    );
}

#[test]
fn a_verified_client_certificate_is_required_if_configured() {
    let authority = authority();
    authority.issue("known", &["prometheus.example"]);
    authority.issue("other", &["somebody.example"]);
    let stranger = Authority::new();
    stranger.issue("known", &["prometheus.example"]);
    let demand = "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n  \
                  client_allowed_sans: [prometheus.example]\n";
    let exporter = served(&authority, demand);
    let scrape = |config: &Arc<ClientConfig>| {
        let mut client = Client::connect_secure(exporter.address(), config).ok()?;
        // In TLS 1.3 the client finishes before the server has verified its certificate.
        client.send(get("/metrics", "")).ok()?;
        client.try_answer().ok().map(|answer| answer.status)
    };
    assert_eq!(scrape(&authority.client(Some("known"))), Some(200));
    assert_eq!(scrape(&authority.client(None)), None);
    assert_eq!(scrape(&authority.client(Some("other"))), None);
    std::fs::copy(stranger.path("known.pem"), authority.path("stranger.pem")).unwrap();
    std::fs::copy(stranger.path("known.key"), authority.path("stranger.key")).unwrap();
    assert_eq!(scrape(&authority.client(Some("stranger"))), None);
}

#[test]
fn an_unverified_client_certificate_is_requested_or_required_if_configured() {
    let authority = authority();
    let stranger = Authority::new();
    stranger.issue("anybody", &["anybody.example"]);
    stranger.issue("else", &["else.example"]);
    for (pem, key, name) in [("anybody", "anybody", "anybody"), ("anybody", "else", "thief")] {
        std::fs::copy(stranger.path(&format!("{pem}.pem")), authority.path(&format!("{name}.pem"))).unwrap();
        std::fs::copy(stranger.path(&format!("{key}.key")), authority.path(&format!("{name}.key"))).unwrap();
    }
    for (policy, without) in [("RequestClientCert", Some(200)), ("RequireAnyClientCert", None)] {
        for version in ["", "  max_version: TLS12\n"] {
            let exporter = served(&authority, &format!("  client_auth_type: {policy}\n{version}"));
            let scrape = |config: &Arc<ClientConfig>| {
                let mut client = Client::connect_secure(exporter.address(), config).ok()?;
                client.send(get("/-/healthy", "")).ok()?;
                client.try_answer().ok().map(|answer| answer.status)
            };
            assert_eq!(scrape(&authority.client(None)), without, "{policy} {version}");
            assert_eq!(scrape(&authority.client(Some("anybody"))), Some(200), "{policy} {version}");
            // Another client's certificate, without its key.
            assert_eq!(scrape(&authority.thief("thief")), None, "{policy} {version}");
        }
    }
}

#[test]
#[ignore = "needs curl"]
fn only_the_configured_tls_versions_are_accepted() {
    let authority = authority();
    for (settings, version) in
        [("  max_version: TLS12\n", ProtocolVersion::TLSv1_2), ("  min_version: TLS13\n", ProtocolVersion::TLSv1_3)]
    {
        let exporter = served(&authority, settings);
        let spoken = |flags: &[&str]| {
            let url = format!("https://localhost:{}/-/healthy", exporter.address().port());
            let resolve = format!("localhost:{}:127.0.0.1", exporter.address().port());
            let ca = authority.path("ca.pem");
            let curl = Command::new("curl")
                .args(["-s", "-o", "/dev/null", "--resolve", &resolve, "--cacert"])
                .arg(ca)
                .args(flags)
                .arg(url)
                .status()
                .unwrap();
            curl.success()
        };
        assert_eq!(spoken(&["--tlsv1.3"]), version == ProtocolVersion::TLSv1_3, "{settings}");
        // Up to that version.
        assert_eq!(spoken(&["--tls-max", "1.2"]), version == ProtocolVersion::TLSv1_2, "{settings}");
    }
}

#[test]
fn configured_headers_are_in_every_answer() {
    let authority = authority();
    let exporter = served(&authority, "http_server_config:\n  headers:\n    X-Frame-Options: deny\n");
    let mut client = Client::connect_secure(exporter.address(), &authority.client(None)).unwrap();
    for request in [get("/metrics", ""), get("/nothing", ""), get("/-/healthy", "")] {
        client.send(request).unwrap();
        assert_eq!(client.answer().header("x-frame-options"), Some("deny"));
    }
    client.send(post_bytes(GROUP_MESSAGE_PATH, "", message("g", "u").as_bytes())).unwrap();
    assert_eq!(client.answer().header("x-frame-options"), Some("deny"));
}
