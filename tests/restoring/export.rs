//! `state export`: the names and numbers are those of a scrape and of the API.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;
use support::Samples;

use super::*;

/// The samples of an export as in a scrape.
fn samples(export: &Value) -> BTreeMap<String, f64> {
    let series = |sample: &Value| {
        let labels = sample["labels"].as_object().unwrap().iter();
        let labels: Vec<_> = labels.map(|(name, value)| format!("{name}={}", json!(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        (format!("{}{labels}", sample["name"].as_str().unwrap()), sample["value"].as_f64().unwrap())
    };
    let metrics = export["metrics"].as_array().unwrap();
    let samples: BTreeMap<_, _> = metrics.iter().map(series).collect();
    assert_eq!(samples.len(), metrics.len());
    samples
}

/// The family of a series.
fn family(series: &str) -> &str {
    let name = series.split('{').next().unwrap();
    ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

/// Checks that an export has all numbers of a scrape that survive a restart, and no other ones.
fn assert_is_scrape(export: &Value, scrape: &str) {
    let exported = samples(export);
    let families: BTreeSet<_> = exported.keys().map(|series| family(series)).collect();
    let Samples(scraped) = Samples::parse(scrape);
    let is_kept = |series: &str| {
        let family = family(series);
        families.contains(family) || family.starts_with("openim_") && !family.starts_with("openim_exporter_")
    };
    let kept: BTreeMap<_, _> = scraped.into_iter().filter(|(series, _)| is_kept(series)).collect();
    assert_eq!(exported, kept);
    for help in scrape.lines().filter_map(|line| line.strip_prefix("# HELP openim_")) {
        let (name, text) = help.split_once(' ').unwrap();
        let is_counter = name.ends_with("_total") && !text.contains("since the process started");
        assert!(!is_counter || families.contains(format!("openim_{name}").as_str()), "{name}");
    }
}

fn export(place: &Place, arguments: &[&str]) -> Value {
    serde_json::from_str(&place.run(&[&["export"], arguments].concat())).unwrap()
}

/// The records of a CSV, which must be as RFC 4180 says.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => field.push(characters.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\r' if !quoted => {
                assert_eq!(characters.next(), Some('\n'));
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            other => field.push(other),
        }
    }
    assert!(!quoted && field.is_empty() && record.is_empty(), "the end is missing");
    assert!(records.iter().all(|record| record.len() == records[0].len()), "{records:?}");
    records
}

/// A state with all kinds of numbers, and group IDs that need quotes.
fn busy(place: &Place) -> Exporter {
    let exporter = place.count(20);
    for group in [r"=1+1", r#"a\",b"#, r"line\nbreak", "群聊"] {
        let sent = format!(r#"{{"sendID":"u","groupID":"{group}","content":"hello","sendTime":1700000000000}}"#);
        assert_eq!(exporter.post(GROUP_MESSAGE_PATH, sent).status, 200);
    }
    exporter.post("/callbackAfterSendSingleMsgCommand", r#"{"sendID":"u","recvID":"v"}"#);
    exporter.post("/callbackUserOnlineCommand", r#"{"userID":"u","platformID":1,"connID":"1"}"#);
    exporter.post("/callbackAfterJoinGroupCommand", "{}");
    exporter.post(GROUP_MESSAGE_PATH, "{").refusal(400);
    exporter
}

#[test]
fn an_export_has_the_numbers_of_a_scrape_while_the_exporter_runs_and_after_its_end() {
    let place = Place::new();
    let exporter = busy(&place);
    // The tick ranks the groups.
    support::eventually("that all groups are exported and in the history", || {
        let today = &exporter.get("/api/v1/days").json()["days"][0];
        exporter.scrape().of("openim_group_messages_by_group_total").count() == 24
            && ["group_messages", "active_groups"].iter().all(|column| today[column] == 24)
            && today["callbacks_rejected"] == 1
    });
    let scrape = exporter.get("/metrics").text();
    assert_is_scrape(&export(&place, &[]), &scrape);
    let groups = exporter.get("/api/v1/groups?limit=100").json();
    let days = exporter.get("/api/v1/days").json();
    end(exporter, "TERM");
    let document = export(&place, &["--stats.time-zone", "UTC"]);
    assert_is_scrape(&document, &scrape);
    let by_id = |groups: &Value| {
        let groups = groups.as_array().unwrap().iter();
        groups
            .map(|group| (group["group_id"].as_str().unwrap().to_owned(), group["messages"].clone()))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(by_id(&document["groups"]), by_id(&groups["groups"]));
    assert_eq!(document["days"], days["days"]);
    assert_eq!((&document["version"], &document["time_zone"]), (&env!("CARGO_PKG_VERSION").into(), &"UTC".into()));
}

#[test]
fn each_table_has_the_numbers_of_the_json() {
    let place = Place::new();
    end(busy(&place), "TERM");
    let document = export(&place, &[]);
    let table = |name: &str| records(&place.run(&["export", "--format", "csv", "--table", name]));
    let metrics = table("metrics");
    assert_eq!(metrics[0], ["name", "labels", "value"]);
    let series = |record: &Vec<String>| {
        let labels = if record[1].is_empty() { String::new() } else { format!("{{{}}}", record[1]) };
        (format!("{}{labels}", record[0]), record[2].parse().unwrap())
    };
    assert_eq!(metrics[1..].iter().map(series).collect::<BTreeMap<_, f64>>(), samples(&document));
    let groups = table("groups");
    let mut names: Vec<_> =
        groups[1..].iter().map(|group| group[0].as_str()).filter(|name| !name.starts_with("group-")).collect();
    names.sort_unstable();
    assert_eq!(names, ["'=1+1", "a\",b", "line\nbreak", "群聊"]);
    let row = |group: &Value| {
        let id = group["group_id"].as_str().unwrap();
        let id = if id.starts_with('=') { format!("'{id}") } else { id.to_owned() };
        [id, group["messages"].to_string(), group["active_senders"]["24h"].to_string(), group["exported"].to_string()]
    };
    let rows: Vec<_> = groups[1..].iter().map(|group| [0, 1, 5, 8].map(|column| group[column].clone())).collect();
    assert_eq!(rows, document["groups"].as_array().unwrap().iter().map(row).collect::<Vec<_>>());
    for name in ["days", "hours"] {
        let periods = table(name);
        let column = periods[0].iter().position(|column| column == "group_messages").unwrap();
        let counted: Vec<u64> = periods[1..].iter().map(|period| period[column].parse().unwrap()).collect();
        let expected: Vec<_> = document[name]
            .as_array()
            .unwrap()
            .iter()
            .map(|period| period["group_messages"].as_u64().unwrap())
            .collect();
        assert_eq!(counted, expected);
        assert_eq!(counted.iter().sum::<u64>(), 24, "{name}");
    }
}

#[test]
fn a_new_file_is_private_and_an_existing_one_is_not_replaced() {
    let place = Place::new();
    place.count_and_stop(3);
    let backup = place.copy("backup");
    let file = place.0.path().join("export.json");
    assert_eq!(place.run(&["export", text(&backup), "--output", text(&file)]), "");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let document: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(document["groups"].as_array().unwrap().len(), 3);
    let before = fs::read(&file).unwrap();
    let failed = |arguments: &[&str], why: &str| {
        let output = place.command(&[&["export"], arguments].concat()).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && printed.contains(why), "{printed}");
    };
    failed(&["--output", text(&file)], "choose a new file");
    assert!(fs::read(&file).unwrap() == before);
    failed(&["--format", "csv"], "add --table");
    failed(&["--table", "days"], "add --table");
    failed(&["/no/backup"], "/no/backup");
}
