//! The examples of CONTRIBUTING.md work: they are part of the other build.

use crate::OTHER;
use crate::support::{Exporter, Samples, command_of, eventually};

const TEXT: &str = include_str!("../../CONTRIBUTING.md");

/// The changes of all `diff` blocks: the file, the lines that it has, and the lines that replace them.
pub(crate) fn examples() -> Vec<[String; 3]> {
    let blocks = TEXT.split("```diff\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let files = blocks.flat_map(|block| block.split("+++ ").skip(1).map(|file| file.split_once('\n').unwrap()));
    let hunks = files.flat_map(|(file, hunks)| hunks.split("@@\n").map(move |hunk| (file, hunk)));
    let side = |hunk: &str, without: char| {
        let lines = hunk.lines().filter(|line| !line.starts_with(without));
        lines.map(|line| line.get(1..).unwrap_or_default()).collect::<Vec<_>>().join("\n")
    };
    hunks.map(|(file, hunk)| [file.to_owned(), side(hunk, '+'), side(hunk, '-')]).collect()
}

#[test]
fn every_section_has_five_steps_and_an_example() {
    for section in ["metric", "callback", "flag"] {
        let (_, text) = TEXT.split_once(&format!("\n## Add a {section}\n")).unwrap();
        let text = text.split("\n## ").next().unwrap();
        assert!(text.contains("\n5. ") && !text.contains("\n6. ") && text.contains("```diff\n"), "{section}");
    }
    assert_eq!(examples().len(), 8);
}

#[test]
#[ignore = "builds another exporter"]
fn the_examples_for_a_metric_a_callback_and_a_flag_work() {
    let flags = ["--web.listen-address=127.0.0.1:0", "--storage.path=", "--log.note=from the steps"];
    let exporter = Exporter::run(&mut command_of(&OTHER, &flags));
    exporter.wait_for_log("the note", |lines| lines.iter().any(|line| line.contains(r#"note="from the steps""#)));
    let values = || {
        let samples = Samples::parse(&exporter.get("/metrics").text());
        ["openim_exporter_config_reloads_total", "openim_messages_pinned_total"].map(|series| samples.value(series))
    };
    assert_eq!(values(), [0.0; 2]);
    assert_eq!(exporter.post("/callbackAfterPinMsgCommand", r#"{"groupID":"g"}"#).status, 200);
    exporter.signal("HUP");
    eventually("both to be counted", || values() == [1.0; 2]);
}
