//! The order of deliveries is kept within each group, and groups do not delay one another.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::scene::{Scene, assert_in_order, by_group, post};
use crate::support::eventually;
use crate::target::{Target, accepts, after, answer};

#[test]
fn groups_are_delivered_in_parallel_and_each_in_order() {
    let target = Target::start(after(Duration::from_millis(20), accepts()));
    let scene = Scene::start(&target.url(), &["concurrency: 4"]);
    let mut client = scene.exporter().connect();
    for number in 0..25 {
        for group in ["a", "b", "c", "d", "e", "f"] {
            post(&mut client, group, number);
        }
    }
    scene.wait_until_delivered();
    let got = target.got();
    assert_in_order(&got, false, 6, 25);
    assert_eq!(got.iter().map(|got| got.parallel).max(), Some(4));
    let samples = scene.samples();
    assert_eq!(samples.sum("openim_exporter_forward_duration_seconds_count"), 150.0);
    eventually("an empty spool", || scene.value("pending_callbacks") == 0.0 && scene.value("pending_bytes") == 0.0);
    assert_eq!(scene.value("oldest_pending_age_seconds"), 0.0);
}

#[test]
fn a_group_that_fails_does_not_block_the_others_and_keeps_its_order() {
    let poison = |status: &'static str| -> crate::target::Deed {
        Arc::new(move |got, _, stream| {
            let is_poison = got.text("groupID") == "poison";
            stream.write_all(answer(if is_poison { status } else { "200 OK" }).as_bytes())
        })
    };
    let target = Target::start(poison("500 Internal Server Error"));
    let scene = Scene::start(&target.url(), &["concurrency: 2"]);
    let mut client = scene.exporter().connect();
    for number in 0..40 {
        for group in ["poison", "b", "c"] {
            post(&mut client, group, number);
        }
    }
    eventually("the others", || scene.value("delivered_total") == 80.0);
    let got = target.got();
    let groups = by_group(&got, true);
    assert_eq!((groups["poison"].clone(), groups["b"].len(), groups["c"].len()), (vec![0], 40, 40));
    let ids: Vec<_> =
        got.iter().filter(|got| got.text("groupID") == "poison").map(|got| got.header("webhook-id").unwrap()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(scene.attempts("failed") >= 1.0);
    target.set(poison("200 OK"));
    scene.wait_until_delivered();
    assert_in_order(&target.got(), true, 3, 40);
}
