//! Whole runs, against small servers on a free port.

mod secure;

use std::convert::Infallible;
use std::future::{pending, ready};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, http::request::Parts};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Error, Failures, Report, run};
use crate::config::simulate::{Callbacks, Simulate, Target, Until};

const SUCCESS: &str = r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#;

fn options(port: u16, until: Until) -> Simulate {
    let target = Target {
        host: "127.0.0.1".to_owned(),
        port,
        authority: format!("127.0.0.1:{port}"),
        prefix: "/secret".to_owned(),
        authorization: None,
        trust: None,
        identity: None,
        proxy_header: false,
    };
    Simulate {
        target,
        rate: None,
        callbacks: Callbacks::GroupMessages,
        replay: None,
        groups: 100,
        senders: 1000,
        connections: 4,
        until,
        seed: 1,
        report: None,
        is_confirmed: false,
    }
}

/// Starts a server. `answer` gets the number of the request, from 1 over all connections; `None` closes the connection.
async fn server(answer: impl Fn(u64) -> Option<Response<Full<Bytes>>> + Clone + 'static + Send) -> (u16, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Seen::default();
    let seen_too = seen.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            seen.connections.fetch_add(1, Ordering::Relaxed);
            let (seen, answer) = (seen.clone(), answer.clone());
            let service = service_fn(move |request| {
                let (seen, answer) = (seen.clone(), answer.clone());
                async move {
                    let number = seen.take(request).await;
                    answer(number).ok_or_else(|| io::Error::other("closing"))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (port, seen_too)
}

#[derive(Clone, Default)]
struct Seen {
    requests: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    last: Arc<Mutex<Option<(Parts, Bytes)>>>,
}

impl Seen {
    async fn take(&self, request: Request<Incoming>) -> u64 {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        *self.last.lock().unwrap() = Some((head, body));
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

fn success() -> Response<Full<Bytes>> {
    Response::new(Full::from(SUCCESS))
}

fn status(code: u16, body: &'static str) -> Response<Full<Bytes>> {
    Response::builder().status(code).body(Full::from(body)).unwrap()
}

async fn report_of(options: &Simulate) -> Report {
    run(options, pending(), |_| {}).await.unwrap()
}

fn assert_sums(report: &Report) {
    assert_eq!(report.sent, report.answered + report.failed.total);
    for breakdown in [&report.by_content_type, &report.by_platform, &report.by_source, &report.by_group] {
        assert_eq!(breakdown.values().map(|count| count.sent).sum::<u64>(), report.sent);
        assert_eq!(breakdown.values().map(|count| count.answered).sum::<u64>(), report.answered);
    }
}

#[tokio::test]
async fn every_callback_is_answered_and_counted_over_persistent_connections() {
    let (port, seen) = server(|_| Some(success())).await;
    let report = report_of(&options(port, Until::Sent(2000))).await;
    assert_eq!((report.sent, report.answered, seen.requests()), (2000, 2000, 2000));
    assert_eq!(seen.connections(), 4);
    assert!(report.is_success() && report.answer_seconds.max > 0.0 && report.first_failure.is_none());
    assert_sums(&report);
}

#[tokio::test]
async fn the_request_looks_like_go() {
    let (port, seen) = server(|_| Some(success())).await;
    report_of(&options(port, Until::Sent(1))).await;
    let (head, body) = seen.last.lock().unwrap().take().unwrap();
    assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/secret/callbackAfterSendGroupMsgCommand"));
    let names: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
    let expected = ["host", "user-agent", "content-length", "content-type", "operationid", "accept-encoding"];
    assert_eq!(names, expected);
    assert_eq!(head.headers["host"], format!("127.0.0.1:{port}"));
    assert_eq!(head.headers["user-agent"], "Go-http-client/1.1");
    assert_eq!(head.headers["content-type"], "application/json; charset=utf-8");
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["operationID"], head.headers["operationid"].to_str().unwrap());
}

#[tokio::test]
async fn the_same_seed_and_count_send_the_same_messages_over_any_connections() {
    let (port, _) = server(|_| Some(success())).await;
    let few = options(port, Until::Sent(3000));
    let many = Simulate { connections: 32, ..few.clone() };
    let (few, many) = (report_of(&few).await, report_of(&many).await);
    assert_eq!(few.by_content_type, many.by_content_type);
    assert_eq!(few.by_platform, many.by_platform);
    assert_eq!(few.by_group, many.by_group);
    assert_eq!(few.distinct_senders, many.distinct_senders);
}

#[tokio::test]
async fn callbacks_about_one_person_s_presence_arrive_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let counted = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let counted = Arc::clone(&counted);
            let service = service_fn(move |request: Request<Incoming>| {
                let counted = Arc::clone(&counted);
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let is_online = path.ends_with("OnlineCommand");
                    if is_online {
                        // Slow, so that what follows would overtake it.
                        tokio::time::sleep(Duration::from_millis(3)).await;
                    }
                    if is_online || path.ends_with("OfflineCommand") {
                        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                        counted.lock().unwrap().push((is_online, format!("{} {}", body["userID"], body["platform"])));
                    }
                    Ok::<_, Infallible>(success())
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    let few = Simulate { callbacks: Callbacks::All, senders: 2, connections: 32, ..options(port, Until::Sent(5000)) };
    assert!(report_of(&few).await.is_success());
    let mut online = std::collections::HashSet::new();
    for (is_online, session) in seen.lock().unwrap().iter() {
        if *is_online {
            online.insert(session);
        } else {
            assert!(online.remove(session), "{session} goes offline before coming online");
        }
    }
}

#[tokio::test]
async fn a_server_that_drops_every_tenth_request_fails_exactly_those() {
    let (port, seen) = server(|number| (!number.is_multiple_of(10)).then(success)).await;
    let report = report_of(&options(port, Until::Sent(1000))).await;
    assert_eq!(report.failed, Failures { total: 100, closed: 100, ..Failures::default() });
    assert_eq!((report.sent, report.answered, seen.requests()), (1000, 900, 1000));
    assert!((100..=104).contains(&seen.connections()), "{}", seen.connections());
    assert!(report.first_failure.as_ref().unwrap().contains("connection closed"), "{report:?}");
    assert_sums(&report);
}

#[tokio::test]
async fn connection_close_loses_no_callback() {
    let closing = || Response::builder().header("connection", "close").body(Full::from(SUCCESS)).unwrap();
    let (port, seen) = server(move |number| Some(if number.is_multiple_of(10) { closing() } else { success() })).await;
    let report = report_of(&options(port, Until::Sent(1000))).await;
    assert_eq!((report.answered, report.failed.total, seen.requests()), (1000, 0, 1000));
    assert!(seen.connections() >= 100);
}

#[tokio::test]
async fn a_connection_that_the_server_closes_between_two_requests_loses_no_callback() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answered = Notify::new();
            let answer = service_fn(|_: Request<Incoming>| async {
                answered.notify_one();
                Ok::<_, Infallible>(success())
            });
            let mut serve = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            // Closed abruptly soon after the answer.
            tokio::select! {
                _ = &mut serve => {}
                () = answered.notified() => drop(timeout(Duration::from_millis(10), serve).await),
            }
        }
    });
    // Slow enough for a busy machine, which closes late.
    let slow = Simulate { rate: Some(1.0), connections: 1, ..options(port, Until::Sent(3)) };
    let report = report_of(&slow).await;
    assert_eq!((report.answered, report.failed.total), (3, 0), "{report:?}");
}

#[tokio::test]
async fn refusals_are_counted_by_reason() {
    let (port, _) = server(|number| {
        Some(match number % 4 {
            0 => status(503, "busy\u{1b}[31m"),
            1 => status(200, ""),
            2 => status(200, r#"{"actionCode":1,"nextCode":0}"#),
            _ => success(),
        })
    })
    .await;
    let report = report_of(&options(port, Until::Sent(400))).await;
    assert_eq!(report.failed, Failures { total: 300, status: 100, refused: 200, ..Failures::default() });
    assert!(!report.is_success());
    assert_sums(&report);
}

#[tokio::test]
async fn no_answer_within_five_seconds_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await);
        }
    });
    let two = Simulate { connections: 2, ..options(port, Until::Sent(2)) };
    let report = report_of(&two).await;
    assert_eq!(report.failed, Failures { total: 2, timeout: 2, ..Failures::default() });
    assert!(report.first_failure.unwrap().contains("no answer within 5s"));
    // Not one after the other.
    assert!((5.0..10.0).contains(&report.elapsed_seconds), "{}", report.elapsed_seconds);
}

#[tokio::test]
async fn a_target_where_nothing_listens_is_an_immediate_error() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = run(&options(port, Until::Sent(5)), pending(), |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(..)), "{error}");
    assert!(error.to_string().contains("is the exporter running"), "{error}");
}

#[tokio::test]
async fn callbacks_after_the_end_of_a_server_are_not_connected() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        drop(listener);
        let close = service_fn(|_: Request<Incoming>| async {
            let response = Response::builder().header("connection", "close").body(Full::<Bytes>::from(SUCCESS));
            Ok::<_, Infallible>(response.unwrap())
        });
        http1::Builder::new().serve_connection(TokioIo::new(stream), close).await.unwrap();
    });
    let one = Simulate { connections: 1, ..options(port, Until::Sent(4)) };
    let report = report_of(&one).await;
    assert_eq!(report.failed, Failures { total: 3, not_connected: 3, ..Failures::default() });
    assert!(report.first_failure.unwrap().starts_with("cannot connect"));
    assert!(report.elapsed_seconds >= 0.07, "paused {} s between the attempts", report.elapsed_seconds);
}

#[tokio::test]
async fn a_rate_is_kept_and_progress_reported() {
    let (port, seen) = server(|_| Some(success())).await;
    let paced = Simulate { rate: Some(200.0), ..options(port, Until::Elapsed(Duration::from_millis(1500))) };
    let mut reported = 0;
    let report = run(&paced, pending(), |progress| reported = progress.sent).await.unwrap();
    // On a busy machine the last turns may be too late to be sent; the report counts them.
    let never_sent = report.pace.unwrap().never_sent;
    assert_eq!((report.sent + never_sent, seen.requests()), (300, report.sent));
    assert!(report.elapsed_seconds >= 1.49, "{}", report.elapsed_seconds);
    assert!((1..=report.sent).contains(&reported), "{reported}");
}

#[tokio::test]
async fn a_stop_ends_a_long_wait() {
    let stop = Arc::new(Notify::new());
    let first = Arc::clone(&stop);
    let answer = move |_| {
        first.notify_one();
        Some(success())
    };
    let (port, _) = server(answer).await;
    let slow = Simulate { rate: Some(0.001), ..options(port, Until::Sent(10)) };
    let report = run(&slow, stop.notified(), |_| {}).await.unwrap();
    assert_eq!((report.sent, report.answered), (1, 1));
    let nothing = run(&slow, ready(()), |_| {}).await.unwrap();
    assert!(nothing.sent <= 1 && nothing.is_success());
}
