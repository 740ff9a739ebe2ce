//! The recipe in docs/prometheus.md that adds the names of groups: its own text, with a real node_exporter and Prometheus.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod oracle;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use oracle::{Prometheus, promtool};
use support::{Exporter, GROUP_MESSAGE_PATH, Running, free_port, message};

/// The fenced blocks of the recipe in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let (_, recipe) = include_str!("../docs/prometheus.md").split_once("\n## Names of groups\n").unwrap();
    let fence = format!("```{language}\n");
    recipe.split(&fence).skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

/// What mongoexport prints for groups whose names need quotes in CSV, or escapes in Prometheus' format. One is exported
/// twice.
const EXPORTED: &str = "group_id,group_name\n\
    1,Hikers\n\
    2,\"A \"\"quoted\"\" name, with a \\n and a \\\"\n\
    3,\"two\nlines\"\n\
    5,\n\
    1,徒步者\n";

/// What the queries show. Groups 4 and 5 have no names.
const NAMES: [(&str, &str); 5] =
    [("1", "徒步者"), ("2", "A \"quoted\" name, with a \\n and a \\"), ("3", "two\nlines"), ("4", "4"), ("5", "5")];

/// Runs the script, with a file instead of the database.
fn write_names(folder: &Path) {
    let [script] = blocks("sh")[..] else { panic!("the script") };
    let exported = folder.join("exported.csv");
    fs::write(&exported, EXPORTED).unwrap();
    let database = script.lines().find(|line| line.starts_with("mongoexport ")).unwrap();
    let script = script.replace(database, &format!("cat '{}' |", exported.display()));
    let script = script.replace("/var/lib/prometheus/node-exporter", folder.to_str().unwrap());
    let ran = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let text = fs::read(folder.join("openim_groups.prom")).unwrap();
    let checked = promtool(&["check", "metrics"], &text);
    assert!(checked.status.success() && checked.stderr.is_empty(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
#[ignore = "needs prometheus and prometheus-node-exporter"]
fn queries_show_the_names_of_groups() {
    let folder = tempfile::tempdir().unwrap();
    write_names(folder.path());
    let hosts = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    // Two hosts have the file.
    let _hosts = hosts.clone().map(|address| {
        Running::start(
            Command::new("prometheus-node-exporter")
                .args(["--collector.disable-defaults", "--collector.textfile"])
                .arg(format!("--collector.textfile.directory={}", folder.path().display()))
                .arg(format!("--web.listen-address={address}")),
        )
    });
    let exporters = [Exporter::start(&[]), Exporter::start(&[])];
    let [first, second] = [&exporters[0], &exporters[1]].map(|exporter| exporter.address().to_string());
    let prometheus = Prometheus::start(&format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n\
         - {{job_name: openim-exporter, static_configs: [{{targets: ['{first}', '{second}']}}]}}\n\
         - {{job_name: node, static_configs: [{{targets: ['{}', '{}']}}]}}\n",
        hosts[0], hosts[1]
    ));
    // A rate needs two scrapes with each group, at each exporter.
    for _ in 0..2 {
        for exporter in &exporters {
            for (group, _) in NAMES {
                assert_eq!(exporter.post(GROUP_MESSAGE_PATH, message(group, "u")).status, 200);
            }
        }
        prometheus.wait_for_scrapes_of(4);
    }
    let [with_names, with_all] = blocks("promql")[..] else { panic!("the queries") };
    let named = |query: &str| -> BTreeMap<String, String> {
        let found = prometheus.query(query).into_iter();
        found
            .map(|(mut labels, rate)| {
                assert!(rate > 0.0 && labels.len() == 2, "{labels:?} {rate}");
                (labels.remove("group_id").unwrap(), labels.remove("name").unwrap())
            })
            .collect()
    };
    let expected = NAMES.map(|(group, name)| (group.to_owned(), name.to_owned()));
    assert_eq!(named(with_all), expected.clone().into());
    assert_eq!(named(with_names), expected.into_iter().filter(|(group, name)| group != name).collect());
    // In one query, so that both sides have the same scrapes. If each host counted, the sum would be twice as high.
    let all = "sum(rate(openim_group_messages_by_group_total{group_id!~\"[45]\"}[5m]))";
    let share = prometheus.value(&format!("sum({with_names}) / {all}"));
    assert!((share - 1.0).abs() < 1e-9, "{share}");
}
