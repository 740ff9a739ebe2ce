//! `state info`: what it prints of a running and a stopped exporter, and that the next start does what it predicts.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use super::*;

/// The offset of the boot in a state's header.
const BOOT: u64 = 16 * 8;

/// Changes bytes of the state.
fn overwrite(place: &Place, offset: u64, bytes: &[u8]) {
    File::options().write(true).open(place.at("state")).unwrap().write_all_at(bytes, offset).unwrap();
}

/// Checks that `info` changes nothing, and that the next start does what it says.
fn assert_predicts(place: &Place, expected: &str, messages: f64) {
    let before = (place.files(), fs::read(place.at("state")).ok());
    assert_eq!(place.prediction(), expected);
    assert!(place.run(&["info"]).contains(&format!("({expected})")));
    assert!((place.files(), fs::read(place.at("state")).ok()) == before, "{expected}: info changed something");
    let exporter = place.start();
    let (found, counted, _) = outcome(&exporter);
    assert_eq!((found.as_str(), counted), (expected, messages));
    end(exporter, "TERM");
}

#[test]
fn the_prediction_is_what_the_next_start_does() {
    let place = Place::new();
    fs::create_dir(place.path()).unwrap();
    assert_predicts(&place, "fresh", 0.0);
    place.count_and_stop(3);
    assert_predicts(&place, "continued", 3.0);
    end(place.count(0), "KILL");
    assert_predicts(&place, "continued", 3.0);
    // A copy of a closed state, by `cp` and `mv`.
    let older = place.copy("older");
    let copy = place.copy("copy");
    fs::rename(copy, place.at("state")).unwrap();
    assert_predicts(&place, "restored", 3.0);
    place.count_and_stop(1);
    fs::copy(older, place.at("state")).unwrap();
    let verified = place.run(&["verify"]);
    assert!(verified.contains("the next start sets them to 0, because the file is older"), "{verified}");
    assert!(!place.run(&["verify", text(&place.at("state"))]).contains("older"), "a named file may belong elsewhere");
    assert_predicts(&place, "counters_reset", 0.0);
    // A copy of a running exporter's file.
    let exporter = place.count(2);
    let copy = place.copy("copy");
    end(exporter, "KILL");
    fs::rename(copy, place.at("state")).unwrap();
    assert_predicts(&place, "counters_reset", 0.0);
    place.count_and_stop(2);
    place.run(&["reset-counters"]);
    assert_predicts(&place, "counters_reset", 0.0);
    // The machine went down.
    end(place.count(2), "KILL");
    overwrite(&place, BOOT, &[7; 16]);
    assert_predicts(&place, "counters_reset", 0.0);
}

#[test]
fn the_prediction_for_an_unusable_file_is_right_too() {
    let place = Place::new();
    place.count_and_stop(3);
    let length = fs::metadata(place.at("state")).unwrap().len();
    overwrite(&place, length - 5000, b"x");
    assert_predicts(&place, "fresh", 0.0);
    File::options().write(true).open(place.at("state")).unwrap().set_len(length - 8).unwrap();
    assert_predicts(&place, "fresh", 0.0);
    fs::write(place.at("state"), "mine").unwrap();
    assert_predicts(&place, "fresh", 0.0);
    let printed = place.run(&["info"]);
    for what in ["a damaged state", "a file that is not a state", "prevents a second process"] {
        assert!(printed.contains(what), "{printed}");
    }
    // A start does not touch a file behind a link.
    fs::create_dir(place.at("elsewhere")).unwrap();
    fs::rename(place.at("state"), place.at("elsewhere/state")).unwrap();
    overwrite_link(&place);
    assert_eq!(place.prediction(), "fails");
    let started = command(&["--web.listen-address", "127.0.0.1:0", "--storage.path", text(&place.path())]).output();
    assert_eq!(started.unwrap().status.code(), Some(1));
}

#[test]
#[ignore = "needs root"]
fn the_prediction_is_right_if_the_exporter_s_sandbox_hides_the_boot_id() {
    let place = Place::new();
    let start = || {
        let path = place.path();
        let exporter = command(&["--web.listen-address", "127.0.0.1:0", "--storage.path", text(&path)]);
        let mut hidden = Command::new("unshare");
        let line = r#"mount -t tmpfs none /proc/sys/kernel/random && exec "$0" "$@""#;
        hidden.args(["--mount", "sh", "-c", line]).arg(exporter.get_program());
        Exporter::run(hidden.args(exporter.get_args()).args(CAPACITIES))
    };
    let exporter = start();
    assert!(exporter.log().iter().any(|line| line.contains("boot ID cannot be read")), "{:#?}", exporter.log());
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    assert_eq!((place.prediction().as_str(), &place.info()["use"]), ("continued", &"in_use".into()));
    end(exporter, "KILL");
    assert_eq!((place.prediction().as_str(), &place.info()["use"]), ("continued", &"killed".into()));
    assert!(!place.run(&["verify"]).contains("sets them to 0"));
    let exporter = start();
    assert_eq!(outcome(&exporter), ("continued".to_owned(), 1.0, 1.0));
    end(exporter, "KILL");
    // As after a reboot: the boot time in the state is not the current one.
    overwrite(&place, BOOT + 8, &1_700_000_000_000_i64.to_ne_bytes());
    assert_eq!(place.prediction(), "counters_reset");
}

/// Puts a link to a file that is not a state in the state's place.
fn overwrite_link(place: &Place) {
    fs::write(place.at("elsewhere/state"), "mine").unwrap();
    std::os::unix::fs::symlink(place.at("elsewhere/state"), place.at("state")).unwrap();
}

#[test]
fn it_shows_what_a_running_exporter_has_counted_and_whether_it_runs() {
    let place = Place::new();
    let mut exporter = Some(place.count(7));
    exporter.iter().for_each(|exporter| {
        drop(exporter.post("/callbackAfterSendSingleMsgCommand", r#"{"sendID":"u","recvID":"v"}"#))
    });
    let spool = place.at("forward/business");
    fs::create_dir_all(spool.join("dead")).unwrap();
    fs::write(spool.join("dead/segments"), "12345").unwrap();
    for used in ["in_use", "killed", "closed"] {
        let info = place.info();
        assert_eq!((&info["use"], &info["next_start"]["outcome"]), (&used.into(), &"continued".into()), "{info}");
        let contents = &info["contents"];
        let counted = ["group_messages", "single_messages", "groups_tracked", "groups_capacity"];
        assert_eq!(counted.map(|name| contents[name].as_u64().unwrap()), [7, 1, 7, 1000], "{info}");
        assert!(contents["since"].as_f64() < contents["last_callback"].as_f64(), "{info}");
        assert_eq!(info["created_by"], env!("CARGO_PKG_VERSION"));
        assert_eq!(info["bytes"], fs::metadata(place.at("state")).unwrap().len());
        assert_eq!(info["spools"][0]["bytes"], 5);
        let printed = place.run(&["info"]);
        assert!(
            printed.contains("7 in groups, 1 between two users") && printed.contains("business (5 bytes)"),
            "{printed}"
        );
        match exporter.take() {
            Some(running) => end(running, "KILL"),
            None => end(place.start(), "TERM"),
        }
    }
}

#[test]
fn without_a_directory_there_is_no_state_and_none_is_created() {
    let place = Place::new();
    assert_eq!(place.prediction(), "fresh");
    assert!(place.run(&["info"]).contains("there is no state"));
    assert!(!place.path().exists());
}
