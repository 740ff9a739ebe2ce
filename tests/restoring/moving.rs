//! The steps of docs/state.md lead to where it says.

use super::*;

const PAGE: &str = include_str!("../../docs/state.md");

/// The shell blocks below a heading.
fn blocks(heading: &str) -> Vec<&'static str> {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

/// Does the steps of a block in a directory. `systemctl` stands for what `start` and `stop` do.
fn follow(block: &str, place: &Place, directory: &Path, mut start: impl FnMut(), mut stop: impl FnMut()) -> String {
    let mut all = String::new();
    for line in block.lines() {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["systemctl", "stop" | "disable", ..] => stop(),
            ["systemctl", "start" | "enable", ..] => start(),
            ["openim-exporter", arguments @ ..] => {
                let path = place.path();
                let arguments: Vec<_> = arguments
                    .iter()
                    .map(|argument| {
                        argument.replace("/var/lib/openim-exporter", text(&path)).replace("/backup", text(directory))
                    })
                    .collect();
                all += &printed(&command(&arguments).current_dir(directory).output().unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
    all
}

#[test]
fn a_moved_state_continues_with_equal_totals() {
    let [old, new, files] = [Place::new(), Place::new(), Place::new()];
    let files = files.0.path();
    let mut exporter = Some(old.count(5));
    let before = exporter.as_ref().unwrap().scrape().statistics();
    let blocks = blocks("Moving to another machine");
    let [here, there] = blocks.as_slice() else { panic!("{blocks:?}") };
    follow(here, &old, files, || panic!("started"), || end(exporter.take().unwrap(), "TERM"));
    let mut moved = None;
    let printed = follow(there, &new, files, || moved = Some(new.start()), || ());
    let promised = "the counters continue from the copy's numbers (restored)";
    assert!(printed.contains(promised) && PAGE.contains(promised), "{printed}");
    let moved = moved.unwrap();
    assert_eq!(outcome(&moved).0, "restored");
    assert_eq!(moved.scrape().statistics(), before);
    end(moved, "TERM");
}

#[test]
fn a_backup_and_its_restoration_follow_the_page() {
    let [place, files] = [Place::new(), Place::new()];
    let files = files.0.path();
    let mut exporter = Some(place.count(5));
    let [backup] = blocks("Backups")[..] else { panic!() };
    follow(backup, &place, files, || (), || panic!("stopped"));
    let [restore] = blocks("Restoring")[..] else { panic!() };
    let mut restored = None;
    follow(restore, &place, files, || restored = Some(place.start()), || end(exporter.take().unwrap(), "TERM"));
    assert_eq!(outcome(&restored.unwrap()), ("counters_reset".to_owned(), 0.0, 5.0));
}
