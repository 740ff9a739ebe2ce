//! Several targets with filters, which a reload changes.

use crate::scene::{Scene, target};
use crate::support::eventually;
use crate::target::{Got, Target, accepts};

fn commands(got: &[Got]) -> Vec<String> {
    let name = |got: &Got| got.head.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
    let mut names: Vec<_> = got.iter().map(name).collect();
    names.sort();
    names
}

#[test]
fn each_target_gets_what_its_filters_admit() {
    let targets = [(); 3].map(|()| Target::start(accepts()));
    let [all, some, groups] = &targets;
    let scene = Scene::with_targets(
        &[
            target("all", &all.url(), &[]),
            target("some", &some.url(), &["commands: ['callbackAfterUser*']"]),
            target("groups", &groups.url(), &["groups: ['vip-*']", "content_types: [101]"]),
        ]
        .concat(),
    );
    let post = |command: &str, body: &str| assert_eq!(scene.exporter().post(&format!("/{command}"), body).status, 200);
    post("callbackAfterUserOnlineCommand", r#"{"userID":"u","platformID":1}"#);
    post("callbackAfterSendGroupMsgCommand", r#"{"sendID":"u","groupID":"vip-1","contentType":101}"#);
    post("callbackAfterSendGroupMsgCommand", r#"{"sendID":"u","groupID":"vip-1","contentType":102}"#);
    post("callbackAfterSendGroupMsgCommand", r#"{"sendID":"u","groupID":"b","contentType":101}"#);
    scene.wait_until_delivered();
    assert_eq!(all.got().len(), 4);
    assert_eq!(commands(&some.got()), ["callbackAfterUserOnlineCommand"]);
    assert_eq!(commands(&groups.got()), ["callbackAfterSendGroupMsgCommand"]);
    let samples = scene.samples();
    for (name, count) in [("all", 4.0), ("some", 1.0), ("groups", 1.0)] {
        let series = format!("openim_exporter_forward_delivered_total{{target=\"{name}\"}}");
        assert_eq!(samples.value(&series), count, "{series}");
    }
}

#[test]
fn a_reload_adds_changes_and_removes_targets() {
    let targets = [(); 3].map(|()| Target::start(accepts()));
    let [first, second, third] = &targets;
    let scene =
        Scene::with_targets(&[target("a", &first.url(), &[]), target("b", "http://127.0.0.1:1/", &[])].concat());
    scene.post("g", 0);
    first.wait_for(1);
    // The address of a changes, b is removed with what it has not got, and c is new.
    scene.reload(&[target("a", &second.url(), &[]), target("c", &third.url(), &[])].concat());
    scene.post("g", 1);
    second.wait_for(1);
    third.wait_for(1);
    let lines = scene.exporter().log();
    let begun = |name: &str, target: &Target| {
        let words = format!("target={name} host={} answers=false", target.url().split('/').nth(2).unwrap());
        lines.iter().any(|line| line.contains("forwarding callbacks") && line.contains(&words))
    };
    assert!(begun("a", first) && begun("a", second) && begun("c", third), "{lines:#?}");
    let names = |scene: &Scene| {
        let samples = scene.samples();
        let series = samples.of("openim_exporter_forward_received_total").map(|(series, _)| series.to_owned());
        series.map(|series| series.split('"').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&scene), ["a", "c"]);
    scene.exporter().wait_for_log("what b has", |lines| {
        lines.iter().any(|line| line.contains("target=b") && line.contains("callbacks=1"))
    });
    // It is back, and gets it.
    let fourth = Target::start(accepts());
    scene.reload(&[target("a", &second.url(), &[]), target("b", &fourth.url(), &[])].concat());
    let got = fourth.wait_for(1);
    assert_eq!(got[0].text("ex"), "0");
    assert_eq!(names(&scene), ["a", "b"]);
    assert_eq!((first.got().len(), third.got().len()), (1, 1));
    eventually("the counter", || scene.value("delivered_total") >= 2.0);
}
