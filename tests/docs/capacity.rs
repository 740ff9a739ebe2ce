//! docs/capacity.md agrees with the measurements.

use std::process::Command;

use crate::{CAPACITY, PERFORMANCE, at};

const PLOTS: &str = include_str!("../../docs/capacity.svg");

/// The expected sentences about TLS that docs/capacity.md lacks, computed from the measurements in docs/performance.md.
fn wrong_about_tls(performance: &str, guide: &str) -> Vec<String> {
    let row = performance.lines().find(|line| line.starts_with("| TLS, HTTP/2, ")).unwrap();
    let mut times: Vec<f64> = row.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
    times.sort_by(f64::total_cmp);
    let [least, most] = times[..] else { panic!("{row}") };
    // One core handles 70,000 per second. Each of the two workers of an OpenIM process sends one callback per 0.55 ms.
    let left = (70.0 / most).floor();
    let processes = (left * 0.55 / 2.0).floor();
    let phrases = [
        format!(
            "HTTP/2 needs {least:.2} to {most:.2} times the CPU ([performance.md](performance.md#tls-and-authentication)), which leaves about {left},000"
        ),
        format!("or {processes} with TLS"),
    ];
    let one_line = guide.replace('\n', " ");
    phrases.into_iter().filter(|phrase| !one_line.contains(phrase)).collect()
}

#[test]
fn docs_capacity_agrees_with_the_measurements_of_tls() {
    assert_eq!(wrong_about_tls(PERFORMANCE.text, CAPACITY.text), [""; 0]);
    let spoilt = PERFORMANCE.spoilt("| 1.31 | 1.83 |", "| 1.96 | 1.84 |");
    assert_eq!(wrong_about_tls(&spoilt, CAPACITY.text).len(), 2);
}

/// The results of the script after one measurement was edited: docs/capacity.md with its tables, and the plots.
fn drawn(edit: impl Fn(&str) -> String) -> [String; 2] {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("measured")).unwrap();
    let docs = at("docs");
    for file in ["plots.py", "drawing.py", "capacity.md"] {
        std::fs::copy(docs.join(file), folder.path().join(file)).unwrap();
    }
    for file in ["traffic.csv", "connections.csv", "memory.csv", "scrapes.csv", "disk.csv"] {
        let text = std::fs::read_to_string(docs.join("measured").join(file)).unwrap();
        let text = if file == "memory.csv" { edit(&text) } else { text };
        std::fs::write(folder.path().join("measured").join(file), text).unwrap();
    }
    let ran = Command::new("/usr/bin/python3").arg(folder.path().join("plots.py")).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    ["capacity.md", "capacity.svg"].map(|file| std::fs::read_to_string(folder.path().join(file)).unwrap())
}

#[test]
#[ignore = "needs python3"]
fn docs_capacity_has_the_tables_and_plots_of_the_measurements() {
    let present = [CAPACITY.text, PLOTS].map(str::to_owned);
    assert!(drawn(str::to_owned) == present, "run docs/plots.py");
    let other = drawn(|text| text.replacen("\n1000000,", "\n1000000,9", 1));
    assert!(other[0] != present[0] && other[1] != present[1]);
}
