//! Prometheus keeps data for as long as the rules look back.

use crate::monitoring::{Rule, all_rules, read};

/// The seconds of a duration such as `6d23h` at the start of a text.
fn duration(text: &str) -> u64 {
    let mut number = 0;
    let (mut all, mut rest) = (0, text.chars());
    while let Some(c) = rest.next().filter(char::is_ascii_alphanumeric) {
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            digit => {
                number = number * 10 + u64::from(digit.to_digit(10).unwrap());
                continue;
            }
        };
        (all, number) = (all + number * unit, 0);
    }
    all
}

/// How far back a rule looks at most, in seconds: a range and its offset.
fn looks_back(rule: &Rule) -> u64 {
    let behind = |text: &str| text.trim_start().strip_prefix("offset ").map_or(0, duration);
    let stretches = rule.expression.split('[').skip(1).map(|text| {
        let (stretch, rest) = text.split_once(']').unwrap();
        duration(stretch) + behind(rest)
    });
    let moments = rule.expression.split(" offset ").skip(1).map(duration);
    stretches.chain(moments).max().unwrap_or(0)
}

/// Files that start a Prometheus with a shorter retention, in seconds.
fn keep_less_than(seconds: u64, read: impl Fn(&str) -> String) -> Vec<&'static str> {
    let keeps = |text: &str| text.split("--storage.tsdb.retention.time=").nth(1).map_or(0, duration);
    let places = ["README.md", "prometheus.yml", "deploy/compose.yml"];
    places.into_iter().filter(|place| keeps(&read(place)) < seconds).collect()
}

#[test]
fn the_retention_of_prometheus_is_as_long_as_the_rules_look_back() {
    let longest = all_rules().iter().map(looks_back).max().unwrap();
    assert_eq!(longest, duration("21d1h"));
    assert_eq!(keep_less_than(longest, read), [""; 0]);
    // The default is 15 days.
    let spoilt = |place: &str| read(place).replace("retention.time=30d", "retention.time=15d");
    assert_eq!(keep_less_than(longest, spoilt), ["README.md", "prometheus.yml", "deploy/compose.yml"]);
}
