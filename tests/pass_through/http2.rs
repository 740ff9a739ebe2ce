//! Callbacks that come over HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use hyper::StatusCode;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::authority::Authority;
use crate::http2_client::{WIDE, block_on, connect, request, whole};
use crate::scene::{CONTINUES, Scene, body};
use crate::support::SUCCESS;
use crate::target::{ALLOWED, Target, allows, held, is_silent};

fn scene(target: &Target) -> (Authority, Scene) {
    let authority = Authority::new();
    authority.issue("server", &["localhost"]);
    let web = authority.web_config("server", "");
    let scene = Scene::start_with(&target.url(), &[], &["--web.config.file", web.to_str().unwrap()]);
    (authority, scene)
}

/// Waits until the target meets the condition.
async fn until(target: &Target, is_so: impl Fn(&Target) -> bool) {
    while !is_so(target) {
        sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn the_callbacks_of_a_connection_wait_side_by_side() {
    let (gate, deed) = held(allows());
    let target = Target::start(deed);
    let (authority, scene) = scene(&target);
    block_on(async {
        let requests = connect(&authority, scene.exporter.address(), WIDE).await;
        let mut tasks = JoinSet::new();
        for number in 0..40 {
            let command = if number % 2 == 0 { CONTINUES } else { "callbackAfterUserOnlineCommand" };
            let mut requests = requests.clone().ready().await.unwrap();
            tasks.spawn(async move {
                let (answer, mut sent) = requests.send_request(request("POST", &format!("/{command}")), false).unwrap();
                sent.send_data(Bytes::from(body(command)), true).unwrap();
                let expected = if number % 2 == 0 { std::str::from_utf8(ALLOWED).unwrap() } else { SUCCESS };
                assert_eq!(whole(answer.await.unwrap()).await, (StatusCode::OK, expected.to_owned()));
            });
        }
        until(&target, |target| target.got().len() == 20).await;
        drop(gate);
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
    assert_eq!(target.got().len(), 20);
}

#[test]
fn a_request_that_is_reset_is_given_up_and_others_go_on() {
    let target = Target::start(is_silent());
    let (authority, scene) = scene(&target);
    block_on(async {
        let mut requests = connect(&authority, scene.exporter.address(), WIDE).await;
        let (_answer, mut sent) = requests.send_request(request("POST", &format!("/{CONTINUES}")), false).unwrap();
        sent.send_data(Bytes::from(body(CONTINUES)), true).unwrap();
        until(&target, |target| target.got().len() == 1).await;
        assert_eq!(target.closed(), 0);
        sent.send_reset(Reason::CANCEL);
        until(&target, |target| target.closed() == 1).await;
        // And not because of the timeout.
        let is_counted = |lines: &[String]| lines.iter().any(|line| line.contains("the sender gave up after"));
        scene.exporter.wait_for_log("the failure", is_counted);
        target.set(allows());
        let mut requests = requests.ready().await.unwrap();
        let (answer, mut sent) = requests.send_request(request("POST", &format!("/{CONTINUES}")), false).unwrap();
        sent.send_data(Bytes::from(body(CONTINUES)), true).unwrap();
        assert_eq!(whole(answer.await.unwrap()).await.1.as_bytes(), ALLOWED);
    });
}
