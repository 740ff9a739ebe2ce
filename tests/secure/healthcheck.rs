//! `healthcheck` finds and asks an exporter, however it is configured by its environment.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Output;
use std::thread;

use crate::authority::Authority;
use crate::hash;
use crate::support::{Exporter, command, free_port};

type Variables<'a> = &'a [(&'a str, &'a str)];

/// The program with these variables of `serve`.
fn with(arguments: &[&str], variables: Variables<'_>) -> std::process::Command {
    let mut command = command(arguments);
    command.envs(variables.iter().map(|(name, value)| (format!("OPENIM_EXPORTER_{name}"), *value)));
    command
}

/// The exit status of a check, and the only line that it prints.
fn asked(flags: &[&str], variables: Variables<'_>) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = with(&[&["healthcheck"], flags].concat(), variables).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    let printed = if status.success() { &stdout } else { &stderr };
    assert_eq!((printed.lines().count(), stdout.is_empty()), (1, !status.success()), "{stdout}{stderr}");
    (status.code(), printed.trim_end().to_owned())
}

#[test]
fn an_exporter_is_found_with_its_own_variables() {
    let authority = Authority::new();
    authority.issue("server", &["exporter.example.com"]);
    let users = format!("basic_auth_users:\n  prometheus: {}\n", hash("scrape me"));
    let tls = authority.web_config("server", &users);
    let plain = authority.write("plain.yml", &users);
    let secret = authority.write("secret", "0123456789abcdef-the-secret");
    let [tls, plain, secret] = [&tls, &plain, &secret].map(|path| path.to_str().unwrap());
    let (port, other) = (free_port(), free_port());
    let [v4, v6, any] = ["127.0.0.1", "[::1]", ""].map(|host| format!("{host}:{port}"));
    let both = format!("127.0.0.1:{other},{v6}");
    let other = format!("127.0.0.1:{other}");
    let cases: [(Variables<'_>, String); 9] = [
        (&[("WEB_LISTEN_ADDRESS", &v4)], format!("http://{v4}")),
        (&[("WEB_LISTEN_ADDRESS", &v6)], format!("http://{v6}")),
        (&[("WEB_LISTEN_ADDRESS", &any)], format!("http://{v4}")),
        (&[("WEB_LISTEN_ADDRESS", &both)], format!("http://{other}")),
        (&[("WEB_LISTEN_ADDRESS", &other), ("WEB_TELEMETRY_ADDRESS", &v4)], format!("http://{v4}")),
        (&[("WEB_LISTEN_ADDRESS", &v4), ("WEB_CONFIG_FILE", tls)], format!("https://{v4}")),
        (
            &[("WEB_LISTEN_ADDRESS", &v4), ("WEB_CONFIG_FILE", plain), ("CALLBACK_SECRET_FILE", secret)],
            format!("http://{v4}"),
        ),
        (
            &[("WEB_LISTEN_ADDRESS", &v4), ("WEB_PROXY_PROTOCOL", "1"), ("WEB_TRUSTED_PROXIES", "127.0.0.0/8")],
            format!("http://{v4}"),
        ),
        (&[("WEB_LISTEN_ADDRESS", &v4), ("WEB_EXTERNAL_URL", "https://example.com/x/")], format!("http://{v4}")),
    ];
    for (variables, url) in cases {
        let exporter = Exporter::run(&mut with(&[], variables));
        assert_eq!(asked(&[], variables), (Some(0), format!("{url}: openim-exporter is healthy.")), "{variables:?}");
        assert_eq!(asked(&["--ready"], variables), (Some(0), format!("{url}: openim-exporter is ready.")));
        exporter.signal("KILL");
        exporter.wait();
        let (status, error) = asked(&[], variables);
        let expected = format!("openim-exporter: cannot connect to {url}");
        assert!(status == Some(1) && error.starts_with(&expected) && error.ends_with("give --url"), "{error}");
    }
}

#[test]
fn an_exporter_that_requires_client_certificates_is_alive_and_with_one_it_is_ready() {
    let authority = Authority::new();
    authority.issue("server", &["localhost"]);
    authority.issue("client", &["probe"]);
    let require = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n";
    for settings in ["", "http_server_config:\n  http2: false\n", "  max_version: TLS12\n"] {
        let config = authority.web_config("server", &format!("{require}{settings}"));
        let address = format!("127.0.0.1:{}", free_port());
        let variables = [("WEB_LISTEN_ADDRESS", &*address), ("WEB_CONFIG_FILE", config.to_str().unwrap())];
        let _exporter = Exporter::run(&mut with(&[], &variables));
        let alive = format!("https://{address} is alive: it requires a client certificate (--cert-file)");
        assert_eq!(asked(&[], &variables), (Some(0), alive), "{settings}");
        let error = "requires a client certificate; give one with --cert-file and --key-file";
        let error = format!("openim-exporter: https://{address} {error}");
        assert_eq!(asked(&["--ready"], &variables), (Some(1), error), "{settings}");
        let [certificate, key, ca] = ["client.pem", "client.key", "ca.pem"].map(|name| authority.path(name));
        let [certificate, key, ca] = [&certificate, &key, &ca].map(|path| path.to_str().unwrap());
        let own = ["--ready", "--cert-file", certificate, "--key-file", key];
        let ready = format!("https://{address}: openim-exporter is ready.");
        assert_eq!(asked(&own, &variables), (Some(0), ready), "{settings}");
        // At a URL, the server's certificate is verified.
        let url = format!("https://{}", address.replace("127.0.0.1", "localhost"));
        let (status, error) = asked(&[&own[..], &["--url", &url]].concat(), &[]);
        assert!(status == Some(1) && error.ends_with("; give the certificate of its CA with --ca-file"), "{error}");
        let verified = asked(&[&own[..], &["--url", &url, "--ca-file", ca]].concat(), &[]);
        assert_eq!(verified, (Some(0), format!("{url}: openim-exporter is ready.")));
        let (status, error) = asked(&["--cert-file", certificate, "--key-file", ca], &variables);
        assert!(status == Some(1) && error.starts_with(&format!("openim-exporter: --key-file {ca}: ")), "{error}");
    }
}

#[test]
fn an_exporter_that_drains_is_healthy_but_not_ready() {
    let exporter = Exporter::start(&["--web.drain-delay", "20s"]);
    let url = format!("http://{}/", exporter.address());
    exporter.signal("TERM");
    exporter.wait_for_log("that it leaves", |lines| lines.iter().any(|line| line.contains("not ready any more")));
    assert_eq!(asked(&["--url", &url], &[]), (Some(0), format!("{url}: openim-exporter is healthy.")));
    let expected = "/-/ready answered 503 Service Unavailable: openim-exporter is draining.";
    let expected = format!("openim-exporter: {}{expected}", url.trim_end_matches('/'));
    assert_eq!(asked(&["--url", &url, "--ready"], &[]), (Some(1), expected));
}

/// A server that reads a request and then sends this, or nothing and keeps the connection open.
fn server(answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        match answer {
            Some(answer) => stream.write_all(answer.as_bytes()).unwrap(),
            None => drop(stream.read(&mut [0; 1])),
        }
    });
    url
}

#[test]
fn another_server_and_one_that_does_not_answer_are_unhealthy() {
    let cases = [
        (
            Some("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
            "answered 200 OK, but not as an openim-exporter does; give",
        ),
        (
            Some("HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\n\r\n\x1b[31m\n"),
            "/-/healthy answered 404 Not Found:  [31m",
        ),
        (Some(""), "closed the connection without an answer: "),
        (None, "within 200ms; look at the exporter's log, or raise --timeout"),
    ];
    for (answer, expected) in cases {
        let url = server(answer);
        let timeout = if answer.is_none() { "200ms" } else { "1m" };
        let (status, error) = asked(&["--url", &url, "--timeout", timeout], &[]);
        assert!(status == Some(1) && error.contains(&url) && error.contains(expected), "{error}");
    }
}

#[test]
fn a_wrong_flag_or_variable_is_named() {
    let variables = [("WEB_LISTEN_ADDRESS", "10006")];
    for (flags, variables, expected) in [
        (&["--url", "localhost:10006"][..], &[][..], "--url: must start with http:// or https://"),
        (&["--timeout", "2"], &[], "'2' for '--timeout <DURATION>': give a time from 1ms to 10m"),
        (&["--url", "http://h", "--tls-skip-verify"], &[], "--tls-skip-verify: only an https:// target"),
        (&[], &variables, "in the environment variable 'OPENIM_EXPORTER_WEB_LISTEN_ADDRESS'"),
    ] {
        let refused = with(&[&["healthcheck"], flags].concat(), variables).output().unwrap();
        let error = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(2) && error.contains(expected), "{error}");
    }
}
