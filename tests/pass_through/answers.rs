//! Requests and answers pass through unchanged.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use openim_exporter::wire::{Judged, UrlForm, judge};
use rand::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use serde_json::Value;

use crate::openim::openim;
use crate::scene::{CONTINUES, REFUSES, Scene, TRANSPARENT, body};
use crate::support::{Running, SUCCESS, eventually, free_port, post_bytes};
use crate::target::{ALLOWED, Target, allows, answers};

/// A JSON object of about this many bytes, with whatever may be in its strings.
fn large(bytes: usize) -> Vec<u8> {
    let mut random = Pcg64Mcg::seed_from_u64(bytes as u64);
    let other = |byte: u8| if byte < 0x20 || byte == b'"' || byte == b'\\' { b'x' } else { byte };
    let noise: Vec<u8> = (0..bytes).map(|_| other(random.random())).collect();
    [br#"{ "actionCode":0,"#, &b"\r\n \"content\":\""[..], &noise, b"\"}\n"].concat()
}

#[test]
fn bodies_of_a_mebibyte_pass_unchanged_in_both_directions() {
    let answer = large(1 << 20);
    let target = Target::start(answers("299 Fine", "application/json; v=\"1\"", &answer));
    let scene = Scene::start(&target.url(), &["answer_timeout: 4s"]);
    let request = large((1 << 20) + 7);
    let mut client = scene.exporter.connect();
    for _ in 0..3 {
        let answered = client.post(&format!("/x/{CONTINUES}?key=a%3D%3D&b"), &request);
        assert!(answered.body == answer);
        assert_eq!((answered.status, answered.header("content-type")), (299, Some("application/json; v=\"1\"")));
        assert_eq!((answered.header("x-other"), answered.header("location")), (None, None));
    }
    for got in target.got() {
        assert!(got.body == request);
        assert_eq!(got.uri, format!("/callback/{CONTINUES}?key=a%3D%3D&b"));
        assert_eq!(got.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!((got.header("operationid"), got.header("accept-encoding")), (Some("op-1"), None));
        assert!(got.header("via").unwrap().starts_with("1.1 openim-exporter-"), "{got:?}");
        assert_eq!(got.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(got.connection, 0, "the connection is used again");
    }
    // Our decoder refuses a body that is not UTF-8. That is counted, and the callback is passed through all the same.
    let samples = scene.exporter.scrape();
    assert_eq!(samples.sum_of("openim_exporter_callbacks_rejected_total", "reason", "malformed_json"), 3.0);
    assert_eq!(scene.verdicts("allowed"), 3.0);
}

#[test]
fn each_form_of_url_is_passed_on_as_it_came() {
    let target = Target::start(allows());
    let scene = Scene::start(&target.url(), &[]);
    let mut client = scene.exporter.connect();
    let capital = "CallbackBeforeSetGroupMemberInfoCommand";
    for (path, expected) in [
        (format!("/{CONTINUES}"), format!("/callback/{CONTINUES}")),
        (format!("/prefix/{CONTINUES}?key=1"), format!("/callback/{CONTINUES}?key=1")),
        (format!("/callback?command={capital}"), format!("/callback?command={capital}")),
        ("/callbackExample".to_owned(), "/callback".to_owned()),
        ("/".to_owned(), "/callback".to_owned()),
    ] {
        assert_eq!(client.post(&path, body(CONTINUES)).body, ALLOWED, "{path}");
        assert_eq!(target.got().pop().unwrap().uri, expected);
    }
}

#[test]
fn what_the_target_does_not_answer_is_answered_at_once() {
    let target = Target::start(allows());
    let scene = Scene::start(&target.url(), &[]);
    for command in ["callbackAfterSendGroupMsgCommand", "callbackAfterUserOnlineCommand"] {
        assert_eq!(scene.post(command).0.text(), SUCCESS);
    }
    for (path, status) in [("/nothing", 404), ("/metrics", 405)] {
        assert_eq!(scene.exporter.post(path, "{}").status, status);
    }
    let form =
        format!("POST /{CONTINUES} HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{{}}");
    assert_eq!(scene.exporter.ask(form.as_bytes()).status, 415);
    assert_eq!(scene.verdicts("allowed"), 0.0);
    assert_eq!(scene.post(CONTINUES).0.body, ALLOWED);
}

#[test]
fn answers_are_judged_and_an_ineffective_refusal_is_logged() {
    let target = Target::start(answers("200 OK", "application/json", br#"{"actionCode":0,"errCode":5,"nextCode":1}"#));
    let scene = Scene::start(&target.url(), &[]);
    assert_eq!(judge(&scene.post(CONTINUES).0.body, UrlForm::Path), Judged::Refuses);
    target.set(answers("200 OK", "application/json", br#"{"actionCode":1,"errCode":5,"nextCode":1}"#));
    for _ in 0..3 {
        assert_eq!(judge(&scene.post(CONTINUES).0.body, UrlForm::Path), Judged::LooksLikeRefusal);
    }
    let counts = ["allowed", "refused", "ineffective_refusal"].map(|verdict| scene.verdicts(verdict));
    assert_eq!(counts, [0.0, 1.0, 3.0]);
    let is_warning = |line: &&String| line.contains("looks like a refusal") && line.contains(CONTINUES);
    scene.exporter.wait_for_log("one warning", |lines| lines.iter().filter(is_warning).count() == 1);
}

#[test]
fn pipelined_and_concurrent_callbacks_get_their_own_answers() {
    let target = Target::start(allows());
    let scene = Scene::start(&target.url(), &["answer_timeout: 4s"]);
    let mut client = scene.exporter.connect();
    let paths = [CONTINUES, "callbackAfterUserOnlineCommand", REFUSES, TRANSPARENT];
    let all: Vec<u8> =
        paths.iter().flat_map(|path| post_bytes(&format!("/{path}"), "", body(path).as_bytes())).collect();
    client.send(all).unwrap();
    for path in paths {
        let expected = if path.contains("After") { SUCCESS.as_bytes() } else { ALLOWED };
        assert_eq!(client.answer().body, expected, "{path}");
    }
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let mut client = scene.exporter.connect();
                assert!((0..20).all(|_| client.post(&format!("/{CONTINUES}"), body(CONTINUES)).body == ALLOWED));
            });
        }
    });
    assert_eq!(scene.verdicts("allowed"), 803.0);
}

/// The answers of OpenIM's client of a version to these callbacks: what it makes of them, and the body.
fn send(version: &str, url: &str, callbacks: &[(&str, String)]) -> Vec<(String, Vec<u8>)> {
    let mut client = openim(&["send", version, url]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = client.stdin.take().unwrap();
    callbacks.iter().for_each(|(command, body)| writeln!(input, "{command} {body}").unwrap());
    drop(input);
    let output = String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap();
    let line = |line: &str| {
        let mut words = line.split(' ');
        let (outcome, _status) = (words.next().unwrap().to_owned(), words.next());
        (outcome, BASE64_STANDARD.decode(words.next().unwrap()).unwrap())
    };
    output.lines().map(line).collect()
}

const VERSIONS: [&str; 4] = ["2.3", "3.0", "3.4.2", "3.7"];

#[test]
#[ignore = "needs Go"]
fn openim_s_client_obeys_each_policy_in_every_version() {
    let scene = Scene::start(&format!("http://127.0.0.1:{}", free_port()), &[]);
    let url = format!("http://{}/callback", scene.exporter.address());
    for version in VERSIONS {
        let commands = [CONTINUES, REFUSES, TRANSPARENT].map(|command| (command, body(command)));
        let outcomes: Vec<_> = send(version, &url, &commands).into_iter().map(|(outcome, _)| outcome).collect();
        assert_eq!(outcomes, ["allows", "refuses", "error"], "{version}");
    }
}

/// The business server in Go.
struct Business {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    port: u16,
}

impl Business {
    fn start() -> Self {
        let mut child = openim(&["serve"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        output.read_line(&mut port).unwrap();
        Self { child, output, port: port.trim().parse().unwrap() }
    }

    /// The next request that it got.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Business {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "needs Go"]
fn a_server_in_go_decides_for_openim_s_client_as_if_nothing_were_between_them() {
    let mut business = Business::start();
    let direct = format!("http://127.0.0.1:{}/callback", business.port);
    let scene = Scene::start(&direct, &["answer_timeout: 4s"]);
    let passed = format!("http://{}/callback", scene.exporter.address());
    let callback = |sender: &str| (CONTINUES, format!(r#"{{"callbackCommand":"{CONTINUES}","sendID":"{sender}"}}"#));
    let callbacks = ["u1", "forbidden", "old refusal", "\u{7fa4}"].map(callback);
    for version in VERSIONS {
        let seen = |business: &mut Business| (0..callbacks.len()).map(|_| business.next()).collect::<Vec<_>>();
        let expected = send(version, &direct, &callbacks);
        let requests = seen(&mut business);
        assert_eq!(send(version, &passed, &callbacks), expected, "{version}");
        for (passed, direct) in seen(&mut business).iter().zip(&requests) {
            assert_eq!((&passed["URI"], &passed["Body"]), (&direct["URI"], &direct["Body"]), "{version}");
            for name in ["Content-Type", "Operationid", "Content-Length"] {
                assert_eq!(passed["Headers"][name], direct["Headers"][name], "{version} {name}");
            }
        }
    }
    // Version 2.3 ignores `nextCode`, and 3.7 `actionCode` 1.
    assert_eq!(scene.verdicts("ineffective_refusal"), 1.0 + 2.0);
}

#[test]
#[ignore = "needs nginx"]
fn nginx_is_a_target_whose_connections_are_pooled() {
    let folder = tempfile::tempdir().unwrap();
    let (port, path) = (free_port(), folder.path().join("nginx.conf"));
    let here = folder.path().display();
    let config = format!(
        "daemon off; master_process off; pid {here}/pid; error_log stderr; events {{}} http {{
            log_format line '$connection $connection_requests $request_uri $http_operationid';
            access_log {here}/log line; client_body_temp_path {here}/t; proxy_temp_path {here}/t; fastcgi_temp_path {here}/t;
            uwsgi_temp_path {here}/t; scgi_temp_path {here}/t;
            server {{ listen 127.0.0.1:{port}; default_type application/json;
                location /callback/ {{ return 200 '{{\"actionCode\":0,\"nextCode\":1,\"errCode\":20009}}'; }} }} }}"
    );
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new("nginx");
    let _nginx = Running::start(command.args(["-c", path.to_str().unwrap()]));
    eventually("nginx", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let scene = Scene::start(&format!("http://127.0.0.1:{port}/callback"), &["answer_timeout: 4s"]);
    let mut client = scene.exporter.connect();
    for _ in 0..20 {
        let answer = client.post(&format!("/{CONTINUES}"), body(CONTINUES));
        assert_eq!(answer.text(), r#"{"actionCode":0,"nextCode":1,"errCode":20009}"#);
    }
    assert_eq!(scene.verdicts("refused"), 20.0);
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    eventually("nginx's log", || log().lines().count() == 20);
    let last = log().lines().last().unwrap().to_owned();
    assert!(last.ends_with(&format!(" 20 /callback/{CONTINUES} op-1")), "{last}");
    thread::sleep(Duration::from_millis(1));
}
