//! The events of the live page, over TLS and HTTP/2.

use std::time::UNIX_EPOCH;

use h2::RecvStream;
use hyper::{Response, StatusCode};
use openim_exporter::http::Limits;

use crate::http2_client::{WIDE, block_on, connect, request, whole};
use crate::multiplex::{after_hours, served};
use crate::served::{HOUR, in_hours};
use crate::support::{Client, GROUP_MESSAGE_PATH, SUCCESS, Samples, message};

const PATH: &str = "/api/v1/live";

/// The number of viewers, by the gauge.
async fn viewers(requests: &mut h2::client::SendRequest<bytes::Bytes>) -> f64 {
    let (answer, _) = requests.send_request(request("GET", "/metrics"), true).unwrap();
    Samples::parse(&whole(answer.await.unwrap()).await.1).value("openim_exporter_live_viewers")
}

fn seconds() -> u64 {
    UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// The next event's ID.
async fn next(events: &mut Response<RecvStream>) -> u64 {
    let event = events.body_mut().data().await.unwrap().unwrap();
    events.body_mut().flow_control().release_capacity(event.len()).unwrap();
    let event = std::str::from_utf8(&event).unwrap();
    assert!(event.ends_with("}\n\n"), "{event}");
    event.strip_prefix("id: ").unwrap().lines().next().unwrap().parse().unwrap()
}

#[test]
fn events_arrive_over_http2_next_to_callbacks_until_the_drain() {
    // Without heartbeat comments, only events can restart the time limit.
    let (authority, served) = served(Limits { heartbeat: 1000 * HOUR, ..in_hours() }, 1, 0);
    block_on(async {
        let mut requests = connect(&authority, served.address(), WIDE).await;
        let (events, _) = requests.send_request(request("GET", PATH), true).unwrap();
        let mut events = events.await.unwrap();
        assert_eq!(
            (events.status(), events.headers()["content-type"].to_str().unwrap()),
            (StatusCode::OK, "text/event-stream")
        );
        let mut last = 0;
        for _ in 0..3 {
            served.pass(29 * HOUR);
            // IDs are seconds, so this is an event from after the pause.
            let now = seconds();
            while last <= now + 1 {
                let id = next(&mut events).await;
                assert!(id > last, "{id} after {last}");
                last = id;
            }
            let (answer, mut sent) = requests.send_request(request("POST", GROUP_MESSAGE_PATH), false).unwrap();
            sent.send_data(message("g", "u").into(), true).unwrap();
            assert_eq!(whole(answer.await.unwrap()).await.1, SUCCESS);
        }
        assert_eq!(viewers(&mut requests).await, 1.0);
        let (head, _) = requests.send_request(request("HEAD", PATH), true).unwrap();
        assert_eq!(whole(head.await.unwrap()).await, (StatusCode::OK, String::new()));
        served.drain();
        let end = seconds();
        let rest = whole(events).await.1;
        let mut ids = rest.lines().filter_map(|line| line.strip_prefix("id: ")?.parse::<u64>().ok());
        assert!(ids.all(|id| id <= end + 1), "{rest} after {end}");
    });
    assert_eq!((served.ended("unread"), served.ended("idle")), (0.0, 0.0));
}

#[test]
fn a_viewer_that_does_not_read_is_reset_and_the_connection_continues() {
    let (authority, served) = served(in_hours(), 1, 0);
    block_on(async {
        let mut requests = connect(&authority, served.address(), 1000).await;
        let (deaf, _) = requests.send_request(request("GET", PATH), true).unwrap();
        let mut deaf = deaf.await.unwrap().into_body();
        let mut arrived = 0;
        // The window is never enlarged.
        while arrived < 1000 {
            arrived += deaf.data().await.unwrap().unwrap().len();
        }
        served.pass(29 * HOUR);
        assert_eq!(viewers(&mut requests).await, 1.0);
        let end = after_hours(&served, 30, deaf.data()).await.unwrap().unwrap_err();
        assert!(end.reason().is_some(), "{end}");
        assert_eq!(viewers(&mut requests).await, 0.0);
    });
    assert_eq!(served.ended("unread"), 1.0);
}

#[test]
fn events_arrive_over_tls() {
    let (authority, served) = served(Limits::default(), 1, 0);
    let mut client = Client::connect_secure(served.address(), &authority.client(None)).unwrap();
    client.send(format!("GET {PATH} HTTP/1.1\r\nhost: localhost\r\n\r\n")).unwrap();
    assert_eq!(client.answer_to_head().status, 200);
    for _ in 0..2 {
        assert!(client.event().unwrap().starts_with("id: "));
    }
}
