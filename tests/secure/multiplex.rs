//! HTTP/2, which Go's client uses over TLS: many concurrent requests on one connection.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use hyper::StatusCode;
use openim_exporter::config::{self, Http};
use openim_exporter::http::Limits;
use tokio::time::timeout;

use crate::authority::Authority;
use crate::http2_client::{WIDE, block_on, connect, request, whole};
use crate::served::{HOUR, Served, http_config, in_hours};
use crate::support::{Client, Exporter, GROUP_MESSAGE_PATH, SUCCESS, Samples, go_client, message};

async fn get(requests: &mut SendRequest<Bytes>, path: &str) -> (StatusCode, String) {
    let (answer, _) = requests.send_request(request("GET", path), true).unwrap();
    whole(answer.await.unwrap()).await
}

async fn post(requests: &mut SendRequest<Bytes>, body: String) -> (StatusCode, String) {
    *requests = requests.clone().ready().await.unwrap();
    let (answer, mut sent) = requests.send_request(request("POST", GROUP_MESSAGE_PATH), false).unwrap();
    sent.send_data(body.into(), true).unwrap();
    whole(answer.await.unwrap()).await
}

pub(crate) fn served(limits: Limits, max_scrapes: usize, groups: usize) -> (Authority, Served) {
    served_as(limits, http_config(max_scrapes), groups)
}

fn served_as(limits: Limits, config: Http, groups: usize) -> (Authority, Served) {
    let authority = Authority::new();
    authority.issue("server", &["localhost"]);
    let access = config::AccessSettings {
        web_config: Some(authority.web_config("server", "")),
        ..config::AccessSettings::default()
    };
    let served = Served::with_config(groups, limits, Http { access, ..config });
    (authority, served)
}

#[test]
fn concurrent_callbacks_on_one_connection_are_all_answered_and_counted() {
    let (authority, served) = served(Limits::default(), 1, 0);
    block_on(async {
        let requests = connect(&authority, served.address(), WIDE).await;
        let mut tasks = tokio::task::JoinSet::new();
        for worker in 0..50 {
            let mut requests = requests.clone();
            tasks.spawn(async move {
                for _ in 0..20 {
                    let answer = post(&mut requests, message(&format!("g{worker}"), "u")).await;
                    assert_eq!(answer, (StatusCode::OK, SUCCESS.to_owned()));
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        let mut requests = requests;
        let (status, refusal) = post(&mut requests, "{".to_owned()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(refusal.starts_with(r#"{"actionCode":1,"errCode":400,"#), "{refusal}");
        let (status, metrics) = get(&mut requests, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        let samples = Samples::parse(&metrics);
        assert_eq!(samples.sum("openim_group_messages_total"), 1000.0);
        assert_eq!(samples.value("openim_exporter_callback_duration_seconds_count"), 1001.0);
        assert_eq!(samples.value("openim_exporter_callbacks_in_flight"), 0.0);
        assert_eq!(samples.value("openim_exporter_connections"), 1.0);
    });
}

#[test]
fn a_body_that_does_not_arrive_in_time_gets_408_and_other_requests_continue() {
    let (authority, served) = served(Limits { body: Duration::from_secs(1), ..Limits::default() }, 1, 0);
    block_on(async {
        let mut requests = connect(&authority, served.address(), WIDE).await;
        let (slow, mut sent) = requests.send_request(request("POST", GROUP_MESSAGE_PATH), false).unwrap();
        sent.send_data(Bytes::from_static(b"{"), false).unwrap();
        for _ in 0..10 {
            assert_eq!(post(&mut requests, message("g", "u")).await.1, SUCCESS);
        }
        assert_eq!(whole(slow.await.unwrap()).await.0, StatusCode::REQUEST_TIMEOUT);
        assert_eq!(post(&mut requests, message("g", "u")).await.1, SUCCESS);
    });
    assert_eq!(served.refused("body_timeout"), 1.0);
}

/// Waits for something that must come after this many hours. They pass more than once only if the exporter was still busy
/// when they passed.
pub(crate) async fn after_hours<T>(served: &Served, hours: u32, coming: impl Future<Output = T>) -> T {
    let mut coming = std::pin::pin!(coming);
    for _ in 0..3 {
        served.pass(hours * HOUR);
        if let Ok(came) = timeout(Duration::from_secs(5), &mut coming).await {
            return came;
        }
    }
    panic!("it did not come");
}

#[test]
fn a_scrape_that_is_not_read_returns_its_share_and_the_connection_continues() {
    let (authority, served) = served(in_hours(), 1, 2000);
    block_on(async {
        let mut requests = connect(&authority, served.address(), 1000).await;
        let (deaf, _) = requests.send_request(request("GET", "/metrics/groups"), true).unwrap();
        let mut deaf = deaf.await.unwrap().into_body();
        assert_eq!(deaf.data().await.unwrap().unwrap().len(), 1000);
        served.pass(29 * HOUR);
        assert_eq!(get(&mut requests, "/metrics").await.0, StatusCode::SERVICE_UNAVAILABLE);
        // The window is never enlarged, so only the end of the stream can follow.
        let end = after_hours(&served, 30, deaf.data()).await.unwrap().unwrap_err();
        assert!(end.reason().is_some(), "{end}");
        assert_eq!(get(&mut requests, "/metrics").await.0, StatusCode::OK);
        assert_eq!(post(&mut requests, message("g", "u")).await.1, SUCCESS);
    });
    assert_eq!(served.ended("unread"), 1.0);
}

#[test]
fn a_silent_connection_gets_goaway_and_is_counted() {
    let (authority, served) = served(in_hours(), 1, 0);
    block_on(async {
        let mut requests = connect(&authority, served.address(), WIDE).await;
        assert_eq!(post(&mut requests, message("g", "u")).await.1, SUCCESS);
        served.pass(599 * HOUR);
        assert_eq!(served.ended("idle"), 0.0);
        let goaway = async {
            while requests.clone().ready().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        after_hours(&served, 600, goaway).await;
    });
    assert_eq!((served.ended("idle"), served.ended("unread")), (1.0, 0.0));
}

#[test]
fn answers_that_are_not_read_to_their_end_end_the_connection() {
    let (authority, served) = served(in_hours(), 1, 0);
    block_on(async {
        // Less than the shortest answer.
        let mut requests = connect(&authority, served.address(), 10).await;
        let (answer, _) = requests.send_request(request("GET", "/-/healthy"), true).unwrap();
        let mut deaf = answer.await.unwrap().into_body();
        assert_eq!(deaf.data().await.unwrap().unwrap().len(), 10);
        assert!(after_hours(&served, 30, deaf.data()).await.unwrap().is_err());
        // Another connection still works.
        let mut other = connect(&authority, served.address(), WIDE).await;
        let (_, metrics) = get(&mut other, "/metrics").await;
        assert_eq!(Samples::parse(&metrics).value("openim_exporter_connections"), 1.0);
    });
    assert_eq!(served.ended("unread"), 1.0);
}

#[test]
fn one_address_cannot_use_all_requests() {
    let (authority, served) = served_as(Limits::default(), Http { max_connections: 4, ..http_config(1) }, 0);
    block_on(async {
        let mut requests = connect(&authority, served.address(), WIDE).await;
        let begin = |requests: &mut SendRequest<Bytes>| {
            requests.send_request(request("POST", GROUP_MESSAGE_PATH), false).unwrap()
        };
        let _held = [begin(&mut requests), begin(&mut requests)];
        let (third, _keep) = begin(&mut requests);
        assert_eq!(whole(third.await.unwrap()).await.0, StatusCode::SERVICE_UNAVAILABLE);
    });
    assert_eq!(served.refused("overloaded"), 1.0);
}

#[test]
fn concurrent_requests_beyond_the_limit_get_503() {
    let (authority, served) = served_as(Limits::default(), Http { max_connections: 6, ..http_config(1) }, 0);
    block_on(async {
        let mut requests = connect(&authority, served.address(), WIDE).await;
        let begin = |requests: &mut SendRequest<Bytes>| {
            requests.send_request(request("POST", GROUP_MESSAGE_PATH), false).unwrap()
        };
        let mut held: Vec<_> = (0..3).map(|_| begin(&mut requests)).collect();
        let (fourth, _keep) = begin(&mut requests);
        assert_eq!(whole(fourth.await.unwrap()).await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(served.refused("overloaded"), 1.0);
        for (answer, mut sent) in held.drain(..) {
            sent.send_data(message("g", "u").into(), true).unwrap();
            assert_eq!(whole(answer.await.unwrap()).await.1, SUCCESS);
        }
        assert_eq!(post(&mut requests, message("g", "u")).await.1, SUCCESS);
    });
}

#[test]
fn a_head_over_the_limit_gets_431_and_the_connection_continues() {
    let (authority, served) = served(Limits::default(), 1, 0);
    block_on(async {
        let mut requests = connect(&authority, served.address(), WIDE).await;
        let mut large = request("GET", "/-/healthy");
        large.headers_mut().insert("x-large", "y".repeat(40_000).parse().unwrap());
        let (answer, _) = requests.send_request(large, true).unwrap();
        let (status, refusal) = whole(answer.await.unwrap()).await;
        assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert!(refusal.starts_with(r#"{"actionCode":0,"errCode":0,"errMsg":"request head too large","#), "{refusal}");
        for (headers, status) in [(100, StatusCode::OK), (101, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)] {
            let mut many = request("GET", "/-/healthy");
            while many.headers().len() < headers {
                many.headers_mut().append("x-more", "1".parse().unwrap());
            }
            let (answer, _) = requests.send_request(many, true).unwrap();
            assert_eq!(answer.await.unwrap().status(), status, "{headers}");
        }
        assert_eq!(get(&mut requests, "/-/healthy").await.0, StatusCode::OK);
    });
    assert_eq!(served.refused("header_too_large"), 2.0);
}

#[test]
fn a_head_is_answered_without_content() {
    let (authority, served) = served(Limits::default(), 1, 0);
    block_on(async {
        let mut requests = connect(&authority, served.address(), WIDE).await;
        for path in ["/-/healthy", "/", "/metrics", "/metrics/groups", "/nothing"] {
            let (full, _) = requests.send_request(request("GET", path), true).unwrap();
            let length = full.await.unwrap().headers().get("content-length").cloned();
            let (answer, _) = requests.send_request(request("HEAD", path), true).unwrap();
            let answer = answer.await.unwrap();
            // The next scrape may be one digit longer.
            if !path.starts_with("/metrics") {
                assert_eq!(answer.headers().get("content-length").cloned(), length, "{path}");
            }
            assert_eq!(whole(answer).await.1, "", "{path}");
        }
    });
    assert_eq!(served.refused("header_too_large"), 0.0);
}

/// A frame of HTTP/2. RFC 9113, 4.1.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A literal header field without indexing. RFC 7541, 6.2.2.
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

#[test]
fn the_secret_is_not_logged_even_where_a_path_is_malformed() {
    const SECRET: &str = "0123456789abcdef-secret";
    let authority = Authority::new();
    authority.issue("server", &["localhost"]);
    let (config, secret) = (authority.web_config("server", ""), authority.write("secret", SECRET));
    let files = ["--web.config.file", config.to_str().unwrap(), "--callback.secret-file", secret.to_str().unwrap()];
    let exporter = Exporter::start(&[&files[..], &["--log.level", "debug"]].concat());
    let mut client = Client::connect_secure(exporter.address(), &authority.client_of(None, &[b"h2"])).unwrap();
    let path = format!("/{SECRET}/\u{7f} x");
    let head = [literal(":method", "GET"), literal(":scheme", "https"), literal(":path", &path)].concat();
    let bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[]), frame(1, 5, 1, &head)].concat();
    client.send(bytes).unwrap();
    // The stream is reset.
    client.read_until(|came| came.windows(9).any(|bytes| bytes == [0, 0, 4, 3, 0, 0, 0, 0, 1]));
    // The exporter refuses this one, so that the log has a refusal.
    let wrong = exporter_post(&authority, &exporter, &format!("/{SECRET}x/callback"));
    assert_eq!(wrong, 401);
    exporter.wait_for_log("that it refuses", |lines| lines.iter().any(|line| line.contains("unauthorized")));
    assert!(exporter.log().iter().all(|line| !line.contains(SECRET)), "{:#?}", exporter.log());
}

fn exporter_post(authority: &Authority, exporter: &Exporter, path: &str) -> u16 {
    let mut client = Client::connect_secure(exporter.address(), &authority.client(None)).unwrap();
    client.post(path, message("g", "u")).status
}

#[test]
fn a_drain_answers_requests_in_progress_and_accepts_no_more() {
    let (authority, served) = served(in_hours(), 1, 0);
    block_on(async {
        let mut requests = connect(&authority, served.address(), WIDE).await;
        served.leave();
        // A drain ends the connection without losing a request, so it can wait.
        assert_eq!(post(&mut requests, message("g", "u")).await.1, SUCCESS);
        let (answer, mut sent) = requests.send_request(request("POST", GROUP_MESSAGE_PATH), false).unwrap();
        sent.send_data(Bytes::from_static(b"{\"sendID\":\"u\","), false).unwrap();
        // Wait until the request is in progress.
        get(&mut requests, "/-/healthy").await;
        served.drain();
        tokio::time::sleep(Duration::from_millis(300)).await;
        sent.send_data(Bytes::from_static(b"\"groupID\":\"g\"}"), true).unwrap();
        assert_eq!(whole(answer.await.unwrap()).await.1, SUCCESS);
        let refused = match requests.ready().await {
            Ok(mut requests) => match requests.send_request(request("GET", "/-/healthy"), true) {
                Ok((answer, _)) => answer.await.map(|_| ()),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        let refused = refused.unwrap_err();
        assert!(refused.reason() == Some(Reason::NO_ERROR) || refused.is_io(), "{refused}");
    });
    served.wait();
    assert_eq!(served.callbacks(), 2);
}

/// The report of a sender like OpenIM.
#[derive(Debug, serde::Deserialize)]
struct Report {
    sent: usize,
    answered: usize,
    failures: Option<Vec<String>>,
    protocols: BTreeMap<String, usize>,
}

#[test]
#[ignore = "needs go"]
fn a_sender_like_openim_uses_http_2_and_loses_nothing_while_certificates_rotate() {
    let authority = Authority::new();
    authority.issue("server", &["localhost"]);
    let config = authority.web_config("server", "");
    let exporter = Exporter::start(&["--web.config.file", config.to_str().unwrap()]);
    let url = format!("https://localhost:{}{GROUP_MESSAGE_PATH}", exporter.address().port());
    let sender = Command::new(go_client::built())
        .args([&url, "16", "5s"])
        .env("SSL_CERT_FILE", authority.path("ca.pem"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(200));
        authority.issue("server", &["localhost"]);
        exporter.signal("HUP");
    }
    let output = sender.wait_with_output().unwrap();
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report.failures.unwrap_or_default(), Vec::<String>::new());
    assert_eq!(report.protocols, BTreeMap::from([("HTTP/2.0".to_owned(), report.answered)]));
    assert!(report.sent == report.answered && report.sent > 100, "{} of {}", report.answered, report.sent);
    exporter.signal("TERM");
    let (_, log) = exporter.wait();
    let counted = format!("messages={}", report.sent);
    assert!(log.iter().any(|line| line.contains("message=stopped") && line.contains(&counted)), "{counted}: {log:#?}");
}
