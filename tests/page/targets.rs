//! The line of each server to which callbacks are forwarded.

use serde_json::Value;

use crate::browser::{Browser, Page, View};
use crate::support::{Exporter, GROUP_MESSAGE_PATH, message};
use crate::target::{Target, allows, answers, resets};
use crate::url;

const ROW: &str = "tr[data-target=default]";

/// The number in a column, as the API wrote it.
fn raw(page: &Page<'_>, name: &str) -> Value {
    page.eval(&format!("Number(document.querySelector('{ROW} [data-v=\"target.{name}\"]').dataset.raw)"))
}

fn wait_for(page: &Page<'_>, name: &str, condition: &str) {
    page.wait(&format!("Number(document.querySelector('{ROW} [data-v=\"target.{name}\"]')?.dataset.raw) {condition}"));
}

/// Each number of a line, and the sum of those by label.
fn assert_agrees(page: &Page<'_>, exporter: &Exporter) {
    let live = exporter.get("/api/v1/live?format=json").json();
    let target = &live["targets"][0];
    for name in ["pending_callbacks", "delivered", "dead_letters"] {
        assert_eq!(raw(page, name).as_f64(), target[name].as_f64(), "{name}");
    }
    let dropped = target["dropped"].as_object().unwrap().iter().filter(|(reason, _)| *reason != "operator");
    let dropped: u64 = dropped.map(|(_, count)| count.as_u64().unwrap()).sum();
    assert_eq!(raw(page, "dropped").as_f64(), Some(dropped as f64));
    assert_eq!(exporter.get("/api/v1/summary").json()["targets"][0]["answers"], target["answers"]);
}

pub(crate) fn each_target_has_a_line(browser: &Browser) {
    let without = Exporter::start(&[]);
    let page = browser.open(&url(&without));
    page.wait_for_data();
    assert_eq!(page.eval("['targets', 'to-targets'].every((id) => document.getElementById(id).hidden)"), true);

    let (target, storage) = (Target::start(allows()), tempfile::tempdir().unwrap());
    let flags = ["--forward.url", &target.url(), "--storage.path", storage.path().to_str().unwrap()];
    let exporter = Exporter::start(&flags);
    let page = browser.open(&url(&exporter));
    page.wait_for_data();
    let body = message("g", "u");
    assert_eq!(exporter.post("/callbackBeforeSendGroupMsgCommand", &body).status, 200);
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, &body).status, 200);
    wait_for(&page, "delivered", "=== 1");
    page.wait(&format!("document.querySelector('{ROW}').innerText.includes('1 allowed')"));
    assert!(page.text(ROW).starts_with("default works"), "{}", page.text(ROW));
    assert_agrees(&page, &exporter);

    // The server fails, and the page says so before the breaker opens.
    target.set(resets());
    assert_eq!(exporter.post("/callbackBeforeSendGroupMsgCommand", &body).status, 200);
    page.wait(&format!("document.querySelector('{ROW} .dot.bad')"));
    assert!(page.text(ROW).starts_with("default the last attempt failed (unreachable)"), "{}", page.text(ROW));

    // The breaker opens, and callbacks wait.
    for _ in 0..29 {
        assert_eq!(exporter.post("/callbackBeforeSendGroupMsgCommand", &body).status, 200);
    }
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, &body).status, 200);
    wait_for(&page, "pending_callbacks", "=== 1");
    page.wait(&format!("document.querySelector('{ROW}').innerText.includes('will be probed')"));
    assert!(page.text(ROW).contains("1 allowed; 30 by its policy"), "{}", page.text(ROW));
    page.assert_accessible("targets");
    page.picture("targets.png");
    page.assert_quiet(&url(&exporter));
    // No column is cut off on a narrow screen.
    let narrow = browser.open_as(&View { url: &url(&exporter), width: 500, ..View::default() });
    narrow.wait(&format!("document.querySelector('{ROW}')?.innerText.includes('30 by its policy')"));
    let cut = "((box) => box.scrollWidth - box.clientWidth)(document.querySelector('#targets .scroll'))";
    assert_eq!(narrow.eval(cut), 0);
    let chinese = browser.open_as(&View { url: &format!("{}?lang=zh", url(&exporter)), ..View::default() });
    chinese.wait(&format!("document.querySelector('{ROW}')?.innerText.includes('允许 1')"));

    target.set(allows());
    wait_for(&page, "delivered", "=== 2");
    page.wait(&format!("document.querySelector('{ROW} .dot.good')"));

    // It rejects all callbacks.
    target.set(answers("404 Not Found", "text/plain", b"no"));
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, &body).status, 200);
    wait_for(&page, "dead_letters", "=== 1");
    page.wait(&format!("document.querySelector('{ROW} .dot.warn')"));
    assert!(page.text(ROW).contains("rejects callbacks (dead letters: 1)"), "{}", page.text(ROW));
}
