//! The reference of the file of targets.

use std::path::Path;

use openim_exporter::config::Http;
use openim_exporter::config::forward::{Forward, Target, Url, target_keys};

use crate::FORWARDING;
use crate::tables::{assert_table, code};

/// The default of a key, if it is a number or a time.
fn default(key: &str) -> Option<String> {
    let target = Target::simple(Url::parse("http://h").unwrap());
    let breaker = target.breaker;
    Some(match key {
        "connect_timeout" => format!("{:?}", target.connect_timeout),
        "answer_timeout" => format!("{:?}", target.answer_timeout),
        "delivery_timeout" => format!("{:?}", target.delivery_timeout),
        "concurrency" => target.concurrency.to_string(),
        "max_in_flight" => target.max_in_flight.to_string(),
        "breaker.window" => format!("{:?}", breaker.window),
        "breaker.min_requests" => breaker.min_requests.to_string(),
        "breaker.failure_rate" => breaker.failure_rate.to_string(),
        "breaker.open_for" => format!("{:?}", breaker.open_for),
        _ => return None,
    })
}

#[test]
fn the_table_of_keys_matches_the_code() {
    let keys: Vec<_> = target_keys().iter().map(|key| [code(key)]).collect();
    assert_table(&FORWARDING, "Key", &keys, &[("| `tls.ca_file` |", "| `tls.ca` |"), ("| `groups` |", "| `group` |")]);
}

fn wrong_defaults(text: &str) -> Vec<String> {
    let is_wrong =
        |key: &String| default(key).is_some_and(|default| !text.contains(&format!("\n| `{key}` | `{default}` |")));
    target_keys().into_iter().filter(is_wrong).collect()
}

#[test]
fn the_defaults_in_the_table_match_the_code() {
    assert_eq!(wrong_defaults(FORWARDING.text), [""; 0]);
    assert_eq!(
        wrong_defaults(&FORWARDING.spoilt("| `answer_timeout` | `3s` |", "| `answer_timeout` | `4s` |")),
        ["answer_timeout"]
    );
}

#[test]
fn the_example_is_valid() {
    let example = FORWARDING.block("## Configuration file", "yaml");
    let settings = Http::defaults().unwrap().forward;
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut read = |path: &Path, _| {
        let name = path.file_name().unwrap().to_str().unwrap();
        Ok(match name {
            "business-ca.pem" => certificate.cert.pem().into_bytes(),
            "new-secret" | "old-secret" => format!("whsec_{}\n", "A".repeat(44)).into_bytes(),
            _ => b"secret\n".to_vec(),
        })
    };
    let forward = Forward::parse(example, Path::new(""), &settings, &mut read).unwrap();
    let names: Vec<_> = forward.targets.iter().map(|target| (target.name.as_str(), target.answers.is_some())).collect();
    assert_eq!(names, [("business", true), ("archive", false)]);
}
