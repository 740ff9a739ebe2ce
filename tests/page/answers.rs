//! What a newcomer asks, and another time zone.

use std::thread;
use std::time::Duration;

use jiff::ToSpan as _;
use serde_json::Value;

use crate::browser::Browser;
use crate::past::{self, HOURS, now_in};
use crate::support::{Exporter, GROUP_MESSAGE_PATH, eventually};
use crate::url;

/// Whether a number of people is as exact as an estimate can be: two of a few people may be taken for one.
fn is_estimate(number: u64, exact: u64) -> bool {
    number <= exact && exact <= number + 1
}

fn is_close(value: &Value, expected: f64) -> bool {
    (value.as_f64().unwrap() - expected).abs() <= 0.03
}

pub(crate) fn a_newcomer_finds_the_answers(browser: &Browser) {
    let folder = tempfile::tempdir().unwrap();
    let exporter = past::start(folder.path(), "UTC");
    let page = browser.open(&url(&exporter));
    page.wait_for_data();
    page.wait("document.querySelector('#growth bdi')");
    // Which group grew most this week?
    assert_eq!(page.text("#growth"), "Grew most this week: rising 140 messages, after 14 in the week before (+900%).");
    let row = |group: &str| page.text(&format!("tr[data-group={group}]"));
    for (group, texts) in [("rising", ["140", "+900%"]), ("falling", ["14", "-90%"]), ("silent", ["silent", "25"])] {
        assert!(texts.iter().all(|text| row(group).contains(text)), "{}", row(group));
    }
    assert!(row("young").contains("new") && !row("rising").contains("new"), "{} {}", row("young"), row("rising"));
    // How many people wrote yesterday?
    let yesterday: u64 = page.text("#periods [data-v='yesterday.senders']").parse().unwrap();
    assert!(is_estimate(yesterday, past::senders(1)), "{yesterday}");
    let live = exporter.get("/api/v1/live?format=json").json();
    for (after, share) in [("1d", 0.375), ("7d", 0.5), ("28d", 0.2)] {
        let retention = &live["sender_retention"][after];
        assert!(is_close(retention, share), "{after}: {retention}");
    }
    // Why does nothing arrive?
    assert_eq!(page.text("#verdict"), "No callback has come yet.");
    let lines = page.text("#advice");
    assert!(lines.contains(&format!("url: {}callback\n", url(&exporter))), "{lines}");
    page.click("#advice .copy button");
    page.wait("document.querySelector('#advice .copy button').textContent === 'Copied'");
    let copied = page.eval("navigator.clipboard.readText()");
    assert!(copied.as_str().unwrap().starts_with(&format!("url: {}callback\nafterSend", url(&exporter))), "{copied}");
    // The lines work, and so does the test message.
    let body =
        r#"{"sendID":"test-user","groupID":"test-group","contentType":101,"senderPlatformID":5,"content":"hello"}"#;
    let command = format!("-d '{body}' '{}callback/callbackAfterSendGroupMsgCommand'", url(&exporter));
    assert!(lines.contains(&command), "{lines}");
    assert_eq!(exporter.post("/callback/callbackAfterSendGroupMsgCommand", body).status, 200);
    page.wait("document.querySelector('#verdict').textContent.includes('The last callback came')");
    exporter.post(GROUP_MESSAGE_PATH, "{").refusal(400);
    page.wait("document.querySelector('#refusal')?.textContent.includes('A callback was refused')");
    // A test message is a callback too: the settings remain.
    page.wait("document.querySelector('#advice details')?.textContent.includes('afterSendGroupMsg')");
    page.assert_quiet(&url(&exporter));
}

/// The settings and the test message contain what the exporter requires, and a page that is refused is no problem of
/// OpenIM.
pub(crate) fn the_settings_have_the_port_for_callbacks_and_the_secret(browser: &Browser) {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef").unwrap();
    let flags = ["--web.telemetry-address", "127.0.0.1:0", "--callback.secret-file", secret.to_str().unwrap()];
    let exporter = Exporter::start(&flags);
    let [callbacks, pages] = exporter.addresses() else { panic!("two addresses") };
    let page = browser.open(&format!("http://{pages}/"));
    page.wait("document.querySelector('#advice')?.textContent.includes('afterSendGroupMsg')");
    let lines = page.text("#advice");
    for part in [
        format!("url: http://{callbacks}/SECRET/callback\n"),
        format!("'http://{callbacks}/SECRET/callback/callbackAfterSendGroupMsgCommand'"),
        "--callback.secret-file".to_owned(),
    ] {
        assert!(lines.contains(&part), "{part}: {lines}");
    }
    let status = page.eval(&format!("fetch('http://{pages}/nothing').then((answer) => answer.status)"));
    assert_eq!(status, 404);
    page.wait("document.querySelector('[data-v=\"callbacks.last\"]')");
    thread::sleep(Duration::from_secs(2));
    assert_eq!(page.eval("document.querySelectorAll('#refusal, #refused [data-reason]').length"), 0);
}

pub(crate) fn days_and_hours_are_those_of_the_zone(browser: &Browser) {
    let zone = "Asia/Shanghai";
    let folder = tempfile::tempdir().unwrap();
    let exporter = past::start(folder.path(), zone);
    let page = browser.open(&url(&exporter));
    page.wait_for_data();
    page.wait("document.querySelectorAll('#heat [data-hour]').length > 10");
    for days_ago in 1..7 {
        let date = now_in(zone).date().checked_sub(days_ago.days()).unwrap();
        for (hour, messages) in HOURS.into_iter().zip(past::messages_by_hour(days_ago)) {
            let cell =
                format!("document.querySelector('#heat tr[data-date=\"{date}\"] [data-hour=\"{hour}\"]').dataset.raw");
            assert_eq!(page.eval(&cell), messages.to_string(), "{date} {hour}");
        }
        let row = format!("#days-table tr[data-date=\"{date}\"]");
        let senders = page.eval(&format!("document.querySelector('{row} [data-v=\"day.senders\"]').dataset.raw"));
        let senders = senders.as_str().unwrap().parse().unwrap();
        assert!(is_estimate(senders, past::senders(days_ago)), "{date}: {senders}");
    }
    assert!(page.text("#about").contains("Times are in Asia/Shanghai"), "{}", page.text("#about"));
    let clock = || now_in(zone).strftime("%H:%M").to_string();
    eventually("the clock of the zone", || page.text("#state-time").starts_with(&clock()));
    page.assert_quiet(&url(&exporter));
}
