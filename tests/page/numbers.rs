//! The numbers on the page are those of the API, which are those of the metrics.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::browser::{Browser, Page};
use crate::past::{self, now_in};
use crate::support::{Exporter, GROUP_MESSAGE_PATH};
use crate::{simulate, url};

/// Every number on the page: [place, value, text].
const NUMBERS: &str = "[...document.querySelectorAll('main [data-v], main [data-raw]')].map((node) => { \
    const row = node.closest('tr')?.dataset ?? {}; \
    const key = row.date ?? row.group ?? row.time ?? row.contentType ?? row.platform ?? row.command ?? ''; \
    return [[node.dataset.v, key, node.dataset.hour ?? ''].join(' ').trim(), node.dataset.raw ?? '', node.textContent]; \
    }).filter(([name, raw]) => raw !== '' && !name.startsWith('share.'))";

/// The answers of the API that the page shows.
struct Api {
    live: Value,
    minutes: Value,
    hours: Value,
    days: Value,
    summary: Value,
    groups: Value,
    growth: Value,
}

impl Api {
    fn read(exporter: &Exporter) -> Self {
        let get = |path: &str| exporter.get(&format!("/api/v1/{path}")).json();
        Self {
            live: get("live?format=json"),
            minutes: get("history?step=minute"),
            hours: get("history?step=hour"),
            days: get("days"),
            summary: get("summary"),
            groups: get("groups?limit=25"),
            growth: get("groups?limit=1&sort=growth"),
        }
    }

    fn rows<'a>(&self, answer: &'a Value, of: &str, seconds: f64, period: f64) -> Vec<&'a Value> {
        let now = self.live["time"].as_f64().unwrap();
        let from = (now / period).floor() * period - seconds;
        let rows = answer[of].as_array().unwrap().iter();
        rows.filter(|row| row["time"].as_f64().unwrap() >= from).collect()
    }

    /// The days that the page shows.
    fn recent_days(&self) -> Vec<&Value> {
        let days = self.days["days"].as_array().unwrap();
        days.iter().rev().take(35).collect()
    }
}

fn whole(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

fn sum(row: &Value, names: [&str; 2]) -> f64 {
    names.iter().map(|name| whole(&row[*name])).sum()
}

fn messages(row: &Value) -> f64 {
    sum(row, ["group_messages", "single_messages"])
}

/// Adds the numbers of two maps of labels.
fn add(counts: &mut BTreeMap<String, f64>, prefix: &str, more: &Value) {
    for (name, count) in more.as_object().into_iter().flatten() {
        *counts.entry(format!("{prefix}.{name} {name}")).or_default() += whole(count);
    }
}

/// What the page must show: a value for each place.
fn expected(api: &Api) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    let mut add_value = |place: String, value: &Value| {
        if let Some(value) = value.as_f64() {
            all.insert(place, value);
        }
    };
    let live = &api.live;
    for name in ["messages_per_second", "group_messages", "single_messages"] {
        add_value(name.to_owned(), &live[name]);
    }
    add_value("users_online.total".into(), &live["users_online"]["total"]);
    add_value("callbacks.last".into(), &live["callbacks"]["last"]);
    for windows in ["senders", "active_users", "active_groups"] {
        for (window, count) in live[windows].as_object().unwrap() {
            add_value(format!("{windows}.{window}"), count);
        }
        for day in ["today", "yesterday"] {
            add_value(format!("{day}.{windows}"), &live[day][windows]);
        }
    }
    for (after, share) in live["sender_retention"].as_object().unwrap() {
        add_value(format!("retention.{after}"), share);
    }
    for row in api.recent_days() {
        let date = row["date"].as_str().unwrap();
        for name in [
            "senders",
            "active_users",
            "active_groups",
            "group_messages",
            "single_messages",
            "users_online_peak",
            "users_registered",
            "group_members_joined",
            "group_members_left",
        ] {
            add_value(format!("day.{name} {date}"), &row[name]);
        }
        let revoked = sum(row, ["group_message_revocations", "single_message_revocations"]);
        add_value(format!("day.revocations {date}"), &revoked.into());
    }
    for row in api.rows(&api.minutes, "rows", 3600.0, 60.0).iter().filter(|row| row["complete"] == true) {
        for name in ["group_messages", "single_messages", "senders"] {
            add_value(format!("minute.{name} {}", row["time"]), &row[name]);
        }
    }
    for row in api.rows(&api.hours, "rows", 86_400.0 - 3600.0, 3600.0) {
        for (name, value) in row["delivery_delay_seconds"].as_object().into_iter().flatten() {
            add_value(format!("delay.{name} {}", row["time"]), value);
        }
    }
    for group in api.groups["groups"].as_array().unwrap() {
        let id = group["group_id"].as_str().unwrap();
        for name in ["messages", "share", "rate", "last_seen"] {
            add_value(format!("group.{name} {id}"), &group[name]);
        }
        add_value(format!("group.active_senders.24h {id}"), &group["active_senders"]["24h"]);
        add_value(format!("group.week.this {id}"), &group["week"]["this"]);
        if let (Some(this), Some(last)) = (group["week"]["this"].as_f64(), group["week"]["last"].as_f64()) {
            add_value(format!("group.change {id}"), &(this - last).into());
        }
    }
    add_sums(&mut all, api);
    add_united(&mut all, api);
    all
}

/// The numbers of all exporters, if there are others.
fn add_united(all: &mut BTreeMap<String, f64>, api: &Api) {
    let live = &api.live;
    let mut add_value = |place: String, value: &Value| all.extend(value.as_f64().map(|value| (place, value)));
    for count in ["senders", "active_users", "active_groups"] {
        for (window, value) in live["united"][count].as_object().into_iter().flatten() {
            add_value(format!("united.{count}.{window}"), value);
        }
        let field = format!("{count}_united");
        ["today", "yesterday"].iter().for_each(|day| add_value(format!("{day}.{field}"), &live[day][&field]));
        for row in api.recent_days() {
            add_value(format!("day.{field} {}", row["date"].as_str().unwrap()), &row[&field]);
        }
    }
    add_value("united.users_online.total".into(), &live["united"]["users_online"]["total"]);
}

/// The numbers that the page sums up.
fn add_sums(all: &mut BTreeMap<String, f64>, api: &Api) {
    for (name, row) in [("today", &api.live["today"]), ("yesterday", &api.live["yesterday"])] {
        if !row.is_null() {
            all.insert(format!("{name}.messages"), messages(row));
        }
    }
    let zone = api.live["time_zone"].as_str().unwrap();
    let first = now_in(zone).date().checked_sub(jiff::ToSpan::days(6)).unwrap().to_string();
    for row in api.rows(&api.hours, "rows", 8.0 * 86_400.0, 3600.0) {
        let at = Timestamp::from_second(row["time"].as_i64().unwrap()).unwrap().in_tz(zone).unwrap();
        let date = at.date().to_string();
        if date >= first {
            *all.entry(format!("hour.messages {date} {}", at.hour())).or_default() += messages(row);
        }
    }
    let is_recent = |row: &&&Value| row["date"].as_str().unwrap() >= first.as_str();
    let days = api.recent_days();
    for row in days.iter().filter(is_recent) {
        for kind in ["group", "single"] {
            add(all, "content_type", &row["by_content_type"][kind]);
            *all.entry(format!("week.{kind}_messages")).or_default() += whole(&row[format!("{kind}_messages")]);
        }
    }
    for messages in ["messages", "single_messages"] {
        add(all, "platform", &api.summary[messages]["by_platform"]);
    }
    add(all, "callbacks.by_command", &api.live["callbacks"]["by_command"]);
    all.retain(|place, value| !place.starts_with("platform.") || *value > 0.0);
}

/// How the page writes a number in English; `None` if the place has words instead.
fn english(place: &str, value: f64) -> Option<String> {
    let name = place.split(' ').next().unwrap();
    let last = name.rsplit('.').next().unwrap();
    if ["callbacks.last", "group.last_seen", "group.change", "group.rate"].contains(&name)
        || name.starts_with("delay.")
        // A cell of the heat map has no place for more.
        || name == "hour.messages" && value >= 1000.0
    {
        return None;
    }
    let decimal = |value: f64| ((value * 10.0).round() / 10.0).to_string();
    if name.starts_with("retention.") || last == "share" {
        return Some(format!("{}%", decimal(value * 100.0)));
    }
    if name == "messages_per_second" && value < 100.0 {
        return Some(decimal(value));
    }
    Some(grouped(value))
}

/// A whole number in English.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|three| std::str::from_utf8(three).unwrap()).collect();
    groups.join(",")
}

/// The values that a chart shows under the pointer: people and messages in each period.
fn charts(api: &Api) -> [(&'static str, Vec<String>); 2] {
    let messages_of = |row: &Value| {
        let count = messages(row);
        format!("{} message{}", grouped(count), if count == 1.0 { "" } else { "s" })
    };
    let wrote = |row: &Value| format!("{} wrote", grouped(whole(&row["senders"])));
    let so_far = |row: &Value| if row["complete"] == true { "" } else { " (so far)" };
    let days = api.recent_days().into_iter().rev();
    let minutes = api.rows(&api.minutes, "rows", 3600.0, 60.0).into_iter();
    [
        ("#days", days.map(|row| format!("{}, {}{}", wrote(row), messages_of(row), so_far(row))).collect()),
        ("#minutes", minutes.map(|row| format!("{}, {}{}", messages_of(row), wrote(row), so_far(row))).collect()),
    ]
}

/// Where the charts and the texts with several numbers differ from the API.
fn differences_in_charts(page: &Page<'_>, api: &Api) -> Vec<String> {
    let mut wrong = Vec::new();
    for (chart, expected) in charts(api) {
        let titles = format!("[...document.querySelectorAll('{chart} title')].map((node) => node.textContent)");
        let shown = page.eval(&titles);
        let shown = shown.as_array().unwrap().iter().map(|text| text.as_str().unwrap().split_once(": ").unwrap().1);
        let shown: Vec<_> = shown.filter(|text| text.contains(" wrote")).collect();
        wrong.extend((shown != expected).then(|| format!("{chart}: {shown:?}, not {expected:?}")));
    }
    let online = api.live["users_online"]["by_platform"].as_object().unwrap();
    let mut online: Vec<_> = online.values().filter_map(Value::as_u64).filter(|users| *users > 0).collect();
    online.sort_by_key(|users| std::cmp::Reverse(*users));
    let platforms = page.text("#online-platforms");
    let shown: Vec<_> = platforms.split('·').map(|part| part.trim().rsplit('\u{a0}').next().unwrap()).collect();
    wrong.extend(
        (shown != online.iter().map(u64::to_string).collect::<Vec<_>>()).then(|| format!("{platforms}: {online:?}")),
    );
    let commands = "[...document.querySelectorAll('[data-command]')].map((row) => row.dataset.command + ' ' + \
                    row.cells[2].textContent)";
    let total = whole(&api.live["callbacks"]["total"]);
    for (command, count) in api.live["callbacks"]["by_command"].as_object().unwrap() {
        let share = english("group.share", whole(count) / total).unwrap();
        let row = format!("{command} {share}");
        wrong.extend((!page.eval(commands).as_array().unwrap().contains(&row.clone().into())).then_some(row));
    }
    let yesterday = format!("Yesterday: {}", grouped(messages(&api.live["yesterday"])));
    wrong.extend((page.text("#yesterday-messages") != yesterday).then_some(yesterday));
    wrong
}

/// Where the page differs from the API.
fn differences(page: &Page<'_>, api: &Api) -> Vec<String> {
    let mut expected = expected(api);
    let mut wrong = Vec::new();
    let top = api.growth["groups"][0]["group_id"].as_str().unwrap();
    for number in page.eval(NUMBERS).as_array().unwrap() {
        let [place, raw, text] = [0, 1, 2].map(|part| number[part].as_str().unwrap());
        if place == "growth.group" {
            wrong.extend((raw != top).then(|| format!("{top} grew most, not {raw}")));
            continue;
        }
        // The same number can be in two places.
        let Some(value) = expected.get(place) else {
            wrong.push(format!("{place} is {raw} ({text}), and not in the API"));
            continue;
        };
        let shown: f64 = raw.parse().unwrap();
        // It falls while the test reads it.
        let is_same = if place.starts_with("group.rate") {
            (shown - value).abs() < 0.3 * value
        } else {
            (shown - value).abs() <= 1e-12 * value.abs()
        };
        wrong.extend((!is_same).then(|| format!("{place} is {raw}, not {value}")));
        let words = english(place, shown).filter(|words| words != text);
        wrong.extend(words.map(|words| format!("{place} is {text}, not {words}")));
        expected.insert(format!("{place} shown"), 0.0);
    }
    let is_missing = |place: &&String| !place.ends_with(" shown") && !expected.contains_key(&format!("{place} shown"));
    wrong.extend(expected.keys().filter(is_missing).map(|place| format!("{place} is not on the page")));
    wrong.extend(differences_in_charts(page, api));
    wrong
}

/// The API's numbers are those of the metrics.
fn assert_metrics_agree(exporter: &Exporter, api: &Api) {
    let (samples, live) = (exporter.scrape(), &api.live);
    let days = api.days["days"].as_array().unwrap();
    for kind in ["group", "single"] {
        let total = samples.sum(&format!("openim_{kind}_messages_total"));
        let name = format!("{kind}_messages");
        assert_eq!(whole(&live[&name]), total, "{kind}");
        for (rows, of) in [(&api.days, "days"), (&api.hours, "rows")] {
            let sum: f64 = rows[of].as_array().unwrap().iter().map(|row| whole(&row[&name])).sum();
            assert_eq!(sum, total, "{kind} {of}");
        }
        let types: f64 = days
            .iter()
            .flat_map(|row| row["by_content_type"][kind].as_object().into_iter().flat_map(Map::values))
            .map(whole)
            .sum();
        assert_eq!(types, total, "{kind}: content types");
    }
    let labelled = |family: &str, label: &str, values: &Value| {
        for (name, value) in values.as_object().unwrap().iter().filter(|(_, value)| !value.is_null()) {
            assert_eq!(samples.value(&format!("{family}{{{label}=\"{name}\"}}")), whole(value), "{family} {name}");
        }
    };
    labelled("openim_active_users", "window", &live["active_users"]);
    labelled("openim_active_groups", "window", &live["active_groups"]);
    labelled("openim_sender_retention_ratio", "after", &live["sender_retention"]);
    labelled("openim_users_online", "platform", &live["users_online"]["by_platform"]);
    labelled("openim_exporter_callbacks_total", "command", &live["callbacks"]["by_command"]);
    labelled("openim_exporter_callbacks_rejected_total", "reason", &live["callbacks"]["rejected"]);
    for group in api.groups["groups"].as_array().unwrap() {
        let id = group["group_id"].as_str().unwrap();
        let series = format!("openim_group_messages_by_group_total{{group_id=\"{id}\"}}");
        assert_eq!(samples.value(&series), whole(&group["messages"]), "{id}");
    }
    // Who writes in groups or in single chats is in either number.
    for (window, either) in live["senders"].as_object().unwrap() {
        let of = |kind: &str| samples.value(&format!("openim_{kind}active_senders{{window=\"{window}\"}}"));
        let [group, single] = [of(""), of("single_")];
        assert!(
            group.max(single) <= whole(either) && whole(either) <= (group + single) * 1.02,
            "{window}: {group} {single}"
        );
    }
    for (field, series) in [
        ("group_message_revocations", "openim_message_revocations_total{chat=\"group\"}"),
        ("single_message_revocations", "openim_message_revocations_total{chat=\"single\"}"),
        ("group_members_joined", "openim_group_members_joined_total"),
        ("users_registered", "openim_users_registered_total"),
    ] {
        let sum: f64 = days.iter().map(|row| whole(&row[field])).sum();
        assert_eq!(sum, samples.value(series), "{field}");
    }
}

pub(crate) fn every_number_is_true(browser: &Browser) {
    let folder = tempfile::tempdir().unwrap();
    let exporter = past::start(folder.path(), "UTC");
    let page = browser.open(&url(&exporter));
    page.wait_for_data();
    let before = page.eval("Number(document.querySelector('[data-v=group_messages]').dataset.raw)").as_f64().unwrap();
    simulate(&exporter, 8000);
    exporter.post(GROUP_MESSAGE_PATH, "{").refusal(400);
    page.wait(&format!("Number(document.querySelector('[data-v=group_messages]').dataset.raw) > {before}"));
    page.wait("Number(document.querySelector('[data-v=messages_per_second]').dataset.raw) > 0");
    // The rate is that of ten seconds, and the numbers of people are read every ten.
    page.wait("document.querySelector('[data-v=messages_per_second]').dataset.raw === '0'");
    thread::sleep(Duration::from_secs(2));
    page.run("await page.reload()");
    page.wait_for_data();
    let (mut api, mut wrong) = (Api::read(&exporter), Vec::new());
    for _ in 0..30 {
        wrong = differences(&page, &api);
        if wrong.is_empty() {
            break;
        }
        thread::sleep(Duration::from_millis(500));
        api = Api::read(&exporter);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(expected(&api).len() > 300, "{}", expected(&api).len());
    assert_metrics_agree(&exporter, &api);
    assert_eq!(page.eval("document.querySelector('#refused tbody tr').dataset.reason"), "malformed_json");
    page.assert_quiet(&url(&exporter));
}
