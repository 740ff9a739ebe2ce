//! The README says what is so. Each test also shows that it would notice a README that does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test says so")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use openim_exporter::config::serve_flags;
use openim_exporter::exposition::catalog::CATALOG;
use openim_exporter::http::Limits;
use openim_exporter::telemetry::Reason;
use serde_json::Value;
use support::Exporter;

const README: &str = include_str!("../README.md");
const CI: &str = include_str!("../.ci/run");

/// The rows of the table whose first heading is this: as many cells of each as wanted, without the marks of code.
fn table<const COLUMNS: usize>(readme: &str, heading: &str) -> Vec<[String; COLUMNS]> {
    let begin = format!("| {heading} |");
    let lines = readme.lines().skip_while(|line| !line.starts_with(&begin)).take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let mut cells = line.split('|').skip(1).map(|cell| cell.trim().replace('`', ""));
        std::array::from_fn(|_| cells.next().unwrap_or_default())
    };
    lines.skip(2).map(row).collect()
}

/// What stands in the first fenced block of this language behind a heading.
fn block<'a>(readme: &'a str, heading: &str, language: &str) -> &'a str {
    let (_, section) = readme.split_once(&format!("\n{heading}\n")).unwrap();
    let (_, block) = section.split_once(&format!("```{language}\n")).unwrap();
    block.split_once("\n```").unwrap().0
}

/// The README with one thing in it changed.
fn spoilt(old: &str, new: &str) -> String {
    assert!(README.contains(old), "{old}");
    README.replacen(old, new, 1)
}

#[test]
fn the_metrics_are_the_catalogue_s() {
    let found = |readme: &str| table::<4>(readme, "Metric");
    let expected: Vec<_> = CATALOG
        .iter()
        .map(|family| [family.name.into(), family.kind.name().into(), family.labels.join(", "), family.help.into()])
        .collect();
    assert_eq!(found(README), expected);
    for (old, new) in [
        ("| `openim_active_groups` |", "| `openim_active_group` |"),
        ("| counter | `kind` |", "| gauge | `kind` |"),
        ("`platform`, `source` |", "`platform` |"),
        ("| Open connections. |", "| Connections. |"),
    ] {
        assert_ne!(found(&spoilt(old, new)), expected, "{old}");
    }
}

#[test]
fn the_flags_are_those_that_serve_takes() {
    let found = |readme: &str| table::<3>(readme, "Flag");
    let expected = serve_flags();
    assert_eq!(found(README), expected);
    for (old, new) in [
        ("| `--log.level` |", "| `--log.levels` |"),
        ("`OPENIM_EXPORTER_LOG_LEVEL`", "`LOG_LEVEL`"),
        ("| `1000` |", "| `2000` |"),
    ] {
        assert_ne!(found(&spoilt(old, new)), expected, "{old}");
    }
}

#[test]
fn every_flag_that_is_spoken_of_exists() {
    let unknown = |readme: &str| -> Vec<String> {
        let words = readme.split(|character: char| !character.is_ascii_alphanumeric() && !"-.".contains(character));
        let flags =
            words.map(|word| word.trim_end_matches('.')).filter(|word| word.starts_with("--") && word.contains('.'));
        let known = serve_flags();
        let own = |flag: &str| known.iter().any(|[name, ..]| name == flag);
        // In the line that starts it.
        let prometheus = ["--config.file", "--storage.tsdb.path", "--storage.tsdb.retention.time"];
        flags.filter(|flag| !own(flag) && !prometheus.contains(flag)).map(str::to_owned).collect()
    };
    assert_eq!(unknown(README), [""; 0]);
    assert_eq!(unknown(&spoilt("Raise `--groups.max-exported`", "Raise `--groups.max-shown`")), ["--groups.max-shown"]);
}

#[test]
fn the_reasons_of_a_refusal_are_all_there_with_their_status() {
    let found = |readme: &str| table::<2>(readme, "Reason");
    let expected = Reason::ALL.map(|reason| [reason.name().to_owned(), reason.status().to_string()]);
    assert_eq!(found(README), expected);
    assert_ne!(found(&spoilt("| `not_found` | 404 |", "| `not_found` | 400 |")), expected);
}

#[test]
fn every_metric_that_is_spoken_of_exists() {
    let unknown = |readme: &str| -> Vec<String> {
        let words = readme.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        let metrics = words.filter(|word| word.starts_with("openim_"));
        let family = |word: &str| {
            ["_bucket", "_sum", "_count", ""].iter().any(|suffix| {
                word.strip_suffix(suffix).is_some_and(|name| CATALOG.iter().any(|family| family.name == name))
            })
        };
        metrics.filter(|word| !family(word)).map(str::to_owned).collect()
    };
    assert_eq!(unknown(README), [""; 0]);
    assert_eq!(
        unknown(&spoilt("rate(openim_group_messages_total[", "rate(openim_messages_total[")),
        ["openim_messages_total"]
    );
}

#[test]
fn the_test_command_is_all_that_ci_runs() {
    let command = block(README, "## Test", "sh");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for script in [command, ".ci/run"] {
        let mode = std::fs::metadata(root.join(script)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} must be executable");
    }
    let runs = |script: &str| -> Vec<String> {
        let lines = script.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines
            .filter(|line| !line.starts_with("set ") && *line != r#"cd "$(dirname "$0")/..""#)
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(runs(CI), [format!("exec {command}")]);
    assert_ne!(runs(&CI.replace("exec", "true; exec")), [format!("exec {command}")]);
}

#[test]
fn the_limits_are_those_that_are_kept() {
    let found =
        |readme: &str| table::<2>(readme, "What").into_iter().map(|[_, limit]| limit).collect::<Vec<_>>().join("\n");
    let limits = Limits::default();
    let flags = serve_flags();
    let [_, _, connections] = flags.iter().find(|[flag, ..]| flag == "--web.max-connections").unwrap();
    let connections: usize = connections.parse().unwrap();
    let thousands = format!("{},{:03}", connections / 1000, connections % 1000);
    let expected = [
        format!("headers, within {} s", limits.head.as_secs()),
        format!("(--callback.max-body-bytes), within {} s", limits.body.as_secs()),
        format!("\n{0} s, and {0} s for each", limits.answer.as_secs()),
        format!("\n{} minutes\n", limits.idle.as_secs() / 60),
        format!("\n{thousands}, and"),
    ];
    let missing = |readme: &str| expected.iter().filter(|limit| !found(readme).contains(*limit)).count();
    assert_eq!(missing(README), 0, "{expected:?}");
    assert_eq!(missing(&spoilt("| 10 minutes |", "| 90 s |")), 1);
    let end = format!(
        "silent for {} s, answers half a request with 408 after {} s, and is gone within {} s",
        limits.idle_draining.as_secs(),
        limits.request_draining.as_secs(),
        limits.drain.as_secs()
    );
    assert!(README.split_whitespace().collect::<Vec<_>>().join(" ").contains(&end), "{end}");
}

/// The README's curl, taken apart: the file that it sends, and the path that it sends it to.
fn example() -> (&'static str, &'static str) {
    let command = block(README, "## Try", "sh");
    assert!(command.starts_with("curl -H 'Content-Type: application/json' --data-binary @"), "{command}");
    let (_, rest) = command.split_once('@').unwrap();
    rest.split_once(" http://localhost:10006").unwrap()
}

#[test]
fn the_example_is_the_documentation_s_and_leaves_at_the_metrics_what_is_said() {
    let (file, path) = example();
    assert_eq!((file, path), ("tests/callbacks/doc-sample.good.json", support::GROUP_MESSAGE_PATH));
    let exporter = Exporter::start(&[]);
    let said = block(README, "## Try", "text");
    let missing = |metrics: &str| said.lines().filter(|line| !metrics.lines().any(|found| found == *line)).count();
    assert_eq!(missing(&exporter.get("/metrics").text()), said.lines().count(), "nothing of it stands there before");

    let answer = exporter.post(path, std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap());
    assert_eq!(answer.text(), block(README, "## Try", "json"));
    assert_eq!(missing(&exporter.get("/metrics").text()), 0, "{said}");
}

/// The paths to all values, with the kind of each; of lists, what is in the first.
fn shape(value: &Value) -> Vec<String> {
    let under =
        |key: &str, value: &Value| shape(value).into_iter().map(|path| format!("/{key}{path}")).collect::<Vec<_>>();
    match value {
        Value::Object(fields) => fields.iter().flat_map(|(key, value)| under(key, value)).collect(),
        Value::Array(items) => items.first().map_or_else(|| vec!["/[]".into()], |first| under("0", first)),
        Value::Null => vec![" null".into()],
        Value::Bool(_) => vec![" bool".into()],
        Value::Number(_) => vec![" number".into()],
        Value::String(_) => vec![" string".into()],
    }
}

#[test]
fn the_api_answers_after_the_example_as_is_shown() {
    let (file, path) = example();
    let exporter = Exporter::start(&[]);
    let body = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    assert_eq!(exporter.post(path, body).status, 200);
    for (heading, path, fixed, (old, new)) in [
        (
            "### Summary",
            "/api/v1/summary",
            &["messages", "messages_folded", "mentions", "active_senders", "groups", "clock_errors"][..],
            ("\"connections\": 1\n", "\"connection\": 1\n"),
        ),
        (
            "### Groups",
            "/api/v1/groups?q=USER&limit=2",
            &["total", "limit", "offset", "sort"],
            ("\"exported\": true", "\"exported\": 1"),
        ),
    ] {
        let answer = exporter.get(path).json();
        let shown = |readme: &str| serde_json::from_str::<Value>(block(readme, heading, "json")).unwrap();
        assert_eq!(shape(&shown(README)), shape(&answer), "{path}");
        assert_ne!(shape(&shown(&spoilt(old, new))), shape(&answer), "{path}");
        for key in fixed {
            assert_eq!(shown(README)[key], answer[key], "{path}: {key}");
        }
        assert!(README.contains(&format!("`GET {}`", path.split('?').next().unwrap())) && README.contains(path));
    }
}

#[test]
fn the_api_takes_the_parameters_that_are_listed_with_their_defaults() {
    let exporter = Exporter::start(&[]);
    let found = |readme: &str| table::<2>(readme, "Parameter");
    let page = exporter.get("/api/v1/groups").json();
    let default = |name: &str| page[name].as_str().map_or_else(|| page[name].to_string(), str::to_owned);
    let (_, detail) = exporter.get("/api/v1/groups?x=").refusal(400);
    let (_, names) = detail.rsplit_once("there is ").unwrap();
    let expected = names.split(", ").map(|name| [name.into(), if name == "q" { String::new() } else { default(name) }]);
    let expected: Vec<[String; 2]> = expected.collect();
    assert_eq!(found(README), expected);
    assert_ne!(found(&spoilt("| `limit` | 50 |", "| `limit` | 100 |")), expected);
    assert_ne!(found(&spoilt("| `offset` |", "| `from` |")), expected);
}

#[test]
#[ignore = "needs curl"]
fn the_example_s_command_works_as_it_stands() {
    let exporter = Exporter::start(&[]);
    let command = block(README, "## Try", "sh").replace("localhost:10006", &exporter.address().to_string());
    let ran = Command::new("sh").args(["-c", &command]).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{command}: {}\n{err}", ran.status);
    assert_eq!(out, block(README, "## Try", "json"));
}

#[test]
fn the_refusal_that_is_shown_is_the_one_that_comes() {
    let exporter = Exporter::start(&[]);
    let request = "POST /callback HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{}";
    let answer = exporter.ask(request.as_bytes());
    assert_eq!((answer.status, answer.text().as_str()), (415, block(README, "## Endpoints", "json")));
}

/// Files that a text of this folder links to, or shows, and that are not there.
fn dead_links(text: &str, folder: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.filter(|target| !target.starts_with("http") && !target.starts_with('#'));
    let is_there = |file: &&str| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(file).exists();
    files.filter(|file| !is_there(file)).map(str::to_owned).collect()
}

#[test]
fn what_is_linked_to_is_there() {
    assert_eq!(dead_links(README, ""), [""; 0]);
    assert_eq!(dead_links(include_str!("../docs/runbook.md"), "docs"), [""; 0]);
    assert_eq!(dead_links(include_str!("../docs/capacity.md"), "docs"), [""; 0]);
    assert_eq!(dead_links(&spoilt("](docs/overview.svg)", "](docs/overviews.svg)"), ""), ["docs/overviews.svg"]);
}

/// What the guide to capacity says of TLS that does not follow from what was measured of it.
fn wrong_about_tls(readme: &str, guide: &str) -> Vec<String> {
    let row = readme.lines().find(|line| line.starts_with("| TLS, HTTP/2, ")).unwrap();
    let mut times: Vec<f64> = row.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
    times.sort_by(f64::total_cmp);
    let [least, most] = times[..] else { panic!("{row}") };
    // Of 70,000 a second; and an OpenIM process sends one for each of its two workers in 0.55 ms.
    let left = (70.0 / most).floor();
    let processes = (left * 0.55 / 2.0).floor();
    let takes = format!("HTTP/2 takes {least:.2} to {most:.2} times the CPU (the README's *How fast*), ");
    let words = [takes + &format!("which leaves about {left},000."), format!("or {processes} over TLS")];
    let one_line = guide.replace('\n', " ");
    words.into_iter().filter(|words| !one_line.contains(words)).collect()
}

#[test]
fn the_guide_to_capacity_says_of_tls_what_was_measured() {
    let guide = include_str!("../docs/capacity.md");
    assert_eq!(wrong_about_tls(README, guide), [""; 0]);
    assert_eq!(wrong_about_tls(&spoilt("| 1.31 | 1.83 |", "| 1.96 | 1.84 |"), guide).len(), 2);
}

/// What the script makes of the measurements, with one of them edited: the guide with its tables, and the plots.
fn drawn(edit: impl Fn(&str) -> String) -> [String; 2] {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("measured")).unwrap();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
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
fn the_guide_to_capacity_has_the_tables_and_plots_of_what_was_measured() {
    let there = [include_str!("../docs/capacity.md"), include_str!("../docs/capacity.svg")].map(str::to_owned);
    assert!(drawn(str::to_owned) == there, "run docs/plots.py");
    let other = drawn(|text| text.replacen("\n1000000,", "\n1000000,9", 1));
    assert!(other[0] != there[0] && other[1] != there[1]);
}
