//! The command line, the environment, the log and the exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::process::{Command, Output};

use support::{Exporter, GROUP_MESSAGE_PATH, command, logfmt_value, message};

fn output(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_has_every_flag_with_its_variable_and_default() {
    for arguments in [&["--help"][..], &["serve", "--help"]] {
        let mut command = command(arguments);
        command.env("OPENIM_EXPORTER_REPLICAS_REDIS_URL", "redis://:hunter2@h");
        let help = output(command.env("OPENIM_EXPORTER_FORWARD_URL", "http://h/hunter2"));
        assert!(help.status.success(), "{arguments:?}");
        let text = stdout(&help);
        assert!(!text.contains("hunter2"), "{text}");
        let flags = openim_exporter::config::serve_flags();
        assert!(flags.len() >= 9, "{flags:?}");
        for [flag, variable, default] in flags {
            for part in [flag, variable, default] {
                assert!(text.contains(&part), "{arguments:?}: {part} is not in {text}");
            }
        }
    }
    let simulate = stdout(&output(&mut command(&["simulate", "--help"])));
    let flags = "--yes --target --ca-file --tls-skip-verify --rate --groups --senders --connections --duration --count --seed \
        --report";
    for flag in flags.split_whitespace() {
        assert!(simulate.contains(flag), "{flag}: {simulate}");
    }
    assert!(stdout(&output(&mut command(&["--help"]))).contains("simulate"));
}

#[test]
fn an_invalid_value_exits_with_2_and_the_error_names_flag_value_and_correction() {
    for (flag, value, correction) in [
        ("--web.listen-address", "nonsense", "127.0.0.1:10006"),
        ("--web.listen-address", "127.0.0.1:99999", "127.0.0.1:10006"),
        ("--web.telemetry-path", "metrics", "/metrics"),
        ("--web.telemetry-path", "/", "/metrics"),
        ("--web.max-requests", "0", "from 1"),
        ("--callback.max-body-bytes", "1XB", "1MiB"),
        ("--callback.max-body-bytes", "0", "from 1"),
        ("--groups.max-tracked", "0", "from 1"),
        ("--groups.max-tracked", "999999999", "100000000"),
        ("--groups.max-exported", "100001", "--groups.max-tracked"),
        ("--log.level", "loud", "warn"),
        ("--log.format", "xml", "logfmt"),
    ] {
        let refused = output(&mut command(&[flag, value]));
        assert_eq!(refused.status.code(), Some(2), "{flag} {value}");
        let error = stderr(&refused);
        assert!(error.contains(flag) && error.contains(value) && error.contains(correction), "{flag} {value}: {error}");
        assert_eq!(stdout(&refused), "", "{flag} {value}");
    }
}

#[test]
fn a_negative_value_is_a_wrong_value_and_not_an_unknown_flag() {
    let to = "--target=http://127.0.0.1:1";
    for (arguments, flag, correction) in [
        (&["--groups.max-tracked", "-1"][..], "--groups.max-tracked <N>", "give a number from 1 to 100000000"),
        (&["serve", "--web.max-requests", "-5k"], "--web.max-requests <N>", "give a number from 1 to 10000"),
        (
            &["--callback.max-body-bytes", "-64MiB"],
            "--callback.max-body-bytes <BYTES>",
            "give a number of bytes from 1",
        ),
        (&["--callback.dedup-window", "-10m"], "--callback.dedup-window <DURATION>", "give whole seconds up to 24h"),
        (&["simulate", to, "--rate", "-.5"], "--rate <PER_SECOND>", "give a number from 0.001 to 10000000"),
        (&["simulate", to, "--seed", "-1"], "--seed <N>", "give a number from 0"),
        (&["simulate", to, "--seed", "one"], "--seed <N>", "give a number from 0"),
        (&["simulate", to, "--duration", "-5s"], "--duration <TIME>", "give a time from 1ms"),
    ] {
        let refused = output(&mut command(arguments));
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        let start = format!("error: invalid value '{}' for '{flag}': {correction}", arguments.last().unwrap());
        assert!(stderr(&refused).starts_with(&start), "{}", stderr(&refused));
    }
}

#[test]
fn numbers_and_sizes_may_have_units() {
    let flags =
        ["--groups.max-tracked=2M", "--groups.max-exported", "1k", "--callback.max-body-bytes=64KB", "--check-config"];
    let checked = stdout(&output(&mut command(&flags)));
    for line in ["groups.max-tracked = 2000000\n", "groups.max-exported = 1000\n", "callback.max-body-bytes = 65536\n"]
    {
        assert!(checked.contains(line), "{checked}");
    }
    for wrong in ["1.5k", "k", "1m", "1kk", "1 k", "18446744073709551615M", "-k"] {
        let refused = output(&mut command(&[&format!("--groups.max-tracked={wrong}")]));
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
    }
}

#[test]
fn a_variable_that_sets_no_flag_causes_a_warning() {
    let variable = ("OPENIM_EXPORTER_GROUPS_MAX_TRACKD", "7");
    let checked = output(command(&["--check-config"]).envs([variable]));
    assert!(checked.status.success());
    assert_eq!(
        stderr(&checked),
        "openim-exporter: warning: OPENIM_EXPORTER_GROUPS_MAX_TRACKD sets no flag; did you mean \
         OPENIM_EXPORTER_GROUPS_MAX_TRACKED?\n"
    );
    let started = output(command(&["--web.listen-address", "192.0.2.1:1"]).envs([variable]));
    let log = stderr(&started);
    let warning = log.lines().find(|line| logfmt_value(line, "variable") == Some(variable.0)).unwrap();
    assert_eq!(logfmt_value(warning, "nearest"), Some("OPENIM_EXPORTER_GROUPS_MAX_TRACKED"));
}

#[test]
fn relative_paths_are_shown_as_absolute_ones() {
    let folder = tempfile::tempdir().unwrap();
    let checked = output(command(&["--storage.path", "data", "--check-config"]).current_dir(&folder));
    let expected = format!("storage.path = {}\n", folder.path().canonicalize().unwrap().join("data").display());
    assert!(stdout(&checked).contains(&expected), "{}", stdout(&checked));
    let refused = output(command(&["--web.config.file", "missing.yml"]).current_dir(&folder));
    let path = folder.path().canonicalize().unwrap().join("missing.yml").display().to_string();
    assert!(stderr(&refused).contains(&path), "{}", stderr(&refused));
}

#[test]
fn unknown_flags_and_subcommands_and_missing_values_exit_with_2() {
    for argument in ["--web.listen-adress=:1", "server", "--web.listen-address"] {
        let refused = output(&mut command(&[argument]));
        assert_eq!(refused.status.code(), Some(2), "{argument}");
        assert!(stderr(&refused).contains(argument.split('=').next().unwrap()), "{argument}: {}", stderr(&refused));
    }
}

#[test]
fn check_config_prints_the_settings_and_does_not_serve() {
    let checked = output(&mut command(&[
        "--check-config",
        "--web.listen-address",
        "127.0.0.1:1234",
        "--callback.max-body-bytes",
        "64KiB",
    ]));
    assert!(checked.status.success(), "{}", stderr(&checked));
    let text = stdout(&checked);
    for line in [
        "web.listen-address = 127.0.0.1:1234",
        "callback.max-body-bytes = 65536",
        "groups.max-tracked = 100000",
        "web.max-requests = 40",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    // Every flag except this one is printed.
    for [flag, ..] in openim_exporter::config::serve_flags() {
        let name = flag.trim_start_matches('-');
        let is_printed = text.lines().any(|line| line.starts_with(&format!("{name} = ")));
        assert_eq!(is_printed, name != "check-config", "{flag}: {text}");
    }
    let flags = ["--check-config", "--storage.path", "/nowhere", "--forward.url", "http://business:8080/secret?key=1"];
    let text = stdout(&output(&mut command(&flags)));
    assert!(text.contains("\ntarget default: host=business:8080 answers=true\n"), "{text}");
    let flags = ["--check-config", "--replicas.redis-url", "redis://u@h", "--replicas.redis-password-file", "/nowhere"];
    let error = stderr(&output(&mut command(&flags)));
    assert!(error.starts_with("openim-exporter: --replicas.redis-password-file /nowhere: No such file"), "{error}");
    let refused = output(&mut command(&["--check-config", "--groups.max-exported", "100001"]));
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn a_flag_takes_precedence_over_its_variable() {
    let from = |arguments: &[&str]| {
        let mut command = command(arguments);
        command.env("OPENIM_EXPORTER_WEB_LISTEN_ADDRESS", "127.0.0.1:1111,127.0.0.1:2222");
        command.env("OPENIM_EXPORTER_GROUPS_MAX_TRACKED", "77").env("OPENIM_EXPORTER_GROUPS_MAX_EXPORTED", "7");
        stdout(&output(&mut command))
    };
    let text = from(&["--check-config"]);
    for line in [
        "web.listen-address = 127.0.0.1:1111",
        "web.listen-address = 127.0.0.1:2222",
        "groups.max-tracked = 77",
        "groups.max-exported = 7",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let text = from(&["--check-config", "--groups.max-tracked", "88", "--web.listen-address", "127.0.0.1:3333"]);
    assert!(text.contains("groups.max-tracked = 88\n") && text.contains("groups.max-exported = 7\n"), "{text}");
    let listeners: Vec<_> = text.lines().filter(|line| line.starts_with("web.listen-address")).collect();
    assert_eq!(listeners, ["web.listen-address = 127.0.0.1:3333"]);
    // Also with the subcommand.
    assert!(from(&["serve", "--check-config"]).contains("groups.max-tracked = 77\n"));
}

#[test]
fn a_default_is_lowered_to_another_flag_but_a_variable_is_not() {
    const TRACKED: &str = "OPENIM_EXPORTER_GROUPS_MAX_TRACKED";
    for check in [&["--check-config"][..], &["serve", "--check-config"]] {
        let alone = output(command(check).env(TRACKED, "77").env("OPENIM_EXPORTER_WEB_MAX_CONNECTIONS", "88"));
        let text = stdout(&alone);
        for line in ["groups.max-exported = 77\n", "web.max-connections-per-address = 88\n"] {
            assert!(text.contains(line), "{line}: {text}{}", stderr(&alone));
        }
        let both = output(command(check).env(TRACKED, "77").env("OPENIM_EXPORTER_GROUPS_MAX_EXPORTED", "1000"));
        let error = stderr(&both);
        assert_eq!(both.status.code(), Some(2), "{error}");
        assert!(error.contains("--groups.max-exported") && error.contains("raise --groups.max-tracked"), "{error}");
        assert!(error.contains("--groups.max-exported 1000 (OPENIM_EXPORTER_GROUPS_MAX_EXPORTED): "), "{error}");
    }
}

#[test]
fn an_invalid_variable_is_an_error_like_its_flag() {
    let refused = output(command::<&str>(&[]).env("OPENIM_EXPORTER_WEB_MAX_REQUESTS", "0"));
    assert_eq!(refused.status.code(), Some(2));
    let expected = "error: invalid value '0' for '--web.max-requests <N>' in the environment variable \
                    'OPENIM_EXPORTER_WEB_MAX_REQUESTS': give a number from 1 to 10000; 2k means 2000, 1M a million\n";
    assert!(stderr(&refused).starts_with(expected), "{}", stderr(&refused));
    // Values from a list, and switches, have other parsers.
    for (variable, flag, correction) in [
        ("OPENIM_EXPORTER_LOG_LEVEL", "--log.level <LEVEL>", "\n  [possible values: debug, info, warn, error]"),
        ("OPENIM_EXPORTER_WEB_SYSTEMD_SOCKET", "--web.systemd-socket", ": give true or false"),
        ("OPENIM_EXPORTER_CHECK_CONFIG", "--check-config", ": give true or false"),
    ] {
        let refused = output(command(&["serve"]).env(variable, "wrong"));
        let expected =
            format!("error: invalid value 'wrong' for '{flag}' in the environment variable '{variable}'{correction}\n");
        assert!(stderr(&refused).starts_with(&expected), "{}", stderr(&refused));
    }
    // A flag takes precedence over its variable, in errors too.
    for arguments in [&["--web.max-requests", "0"][..], &["--web.max-requests=0"]] {
        let refused = output(command(arguments).env("OPENIM_EXPORTER_WEB_MAX_REQUESTS", "7"));
        assert!(stderr(&refused).starts_with("error: invalid value '0' for '--web.max-requests <N>': give"));
    }
}

#[test]
fn an_empty_variable_counts_as_unset_except_for_the_path_of_the_state() {
    for check in [&["--check-config"][..], &["serve", "--check-config"]] {
        let mut with_empty = command(check);
        let flags = openim_exporter::config::serve_flags();
        flags.iter().filter(|[flag, ..]| flag != "--storage.path").for_each(|[_, variable, _]| {
            with_empty.env(variable, "");
        });
        let text = stdout(&output(&mut with_empty));
        assert!(text.contains("groups.max-exported = 1000\n"), "{text}");
        assert_eq!(text, stdout(&output(&mut command(check))));
        let in_memory = stdout(&output(with_empty.env("OPENIM_EXPORTER_STORAGE_PATH", "")));
        assert!(in_memory.contains("storage.path = (in memory)\n"), "{in_memory}");
    }
}

#[test]
fn check_config_neither_listens_nor_opens_the_state() {
    let exporter = Exporter::start(&[]);
    let address = exporter.address().to_string();
    let flags = ["--check-config", "--web.listen-address", &address, "--storage.path", "/proc/nowhere"];
    let checked = output(&mut command(&flags));
    assert!(checked.status.success(), "{}", stderr(&checked));
}

#[test]
fn an_error_of_simulate_shows_its_own_usage() {
    for target in ["localhost:10006", "ftp://h"] {
        let refused = output(&mut command(&["simulate", "--target", target]));
        let error = stderr(&refused);
        assert_eq!(refused.status.code(), Some(2), "{error}");
        assert!(error.contains("--target: ") && error.contains("Usage: openim-exporter simulate "), "{error}");
    }
}

#[test]
fn simulate_ignores_the_variables_of_serve() {
    let exporter = Exporter::start(&[]);
    let mut simulate = command(&["simulate", "--count", "20", "--target", &format!("http://{}", exporter.address())]);
    // Both may run in one shell, even if a value is wrong.
    for [_, variable, _] in openim_exporter::config::serve_flags() {
        simulate.env(variable, "wrong");
    }
    let ran = output(&mut simulate);
    assert!(ran.status.success(), "{}{}", stdout(&ran), stderr(&ran));
    assert_eq!(exporter.scrape().sum("openim_group_messages_total"), 20.0);
}

#[test]
fn serve_is_the_default_subcommand() {
    let exporter =
        Exporter::run(&mut command(&["serve", "--web.listen-address", "127.0.0.1:0", "--groups.max-tracked", "5"]));
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    let samples = exporter.scrape();
    assert_eq!(samples.value("openim_exporter_groups_capacity"), 5.0);
    assert_eq!(samples.sum("openim_exporter_build_info"), 1.0);
}

/// Starts an exporter, sends a message and invalid callbacks, stops it, and returns its log.
fn whole_log(flags: &[&str]) -> Vec<String> {
    let exporter = Exporter::start(flags);
    exporter.post(GROUP_MESSAGE_PATH, message("g", "u"));
    for _ in 0..3 {
        exporter.post(GROUP_MESSAGE_PATH, "{\"a\":\"\\\"quoted\\\" \n");
    }
    exporter.signal("TERM");
    let (status, log) = exporter.wait();
    assert!(status.success(), "{status}");
    log
}

#[test]
fn the_log_is_logfmt_and_has_the_start_the_first_refusal_and_the_end() {
    let log = whole_log(&[]);
    for line in &log {
        // Every line begins with its time and level, and has only pairs.
        assert!(line.starts_with("ts=20"), "{line}");
        assert!(["info", "warn"].contains(&logfmt_value(line, "level").unwrap()), "{line}");
        assert_eq!(line.matches('"').count() % 2, 0, "{line}");
        assert!(logfmt_value(line, "message").is_some(), "{line}");
    }
    let messages: Vec<_> = log.iter().map(|line| logfmt_value(line, "message").unwrap()).collect();
    // Three refusals with the same reason are one line.
    let begins = ["the state is kept in memory", "serving", "request refused", "draining", "stopped"];
    assert_eq!(messages.len(), begins.len(), "{log:#?}");
    assert!(messages.iter().zip(begins).all(|(message, begin)| message.starts_with(begin)), "{log:#?}");
    assert_eq!(logfmt_value(&log[1], "version"), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(logfmt_value(&log[2], "reason"), Some("malformed_json"));
    assert_eq!((logfmt_value(&log[4], "messages"), logfmt_value(&log[4], "callbacks")), (Some("1"), Some("1")));
}

#[test]
fn the_json_log_has_one_object_per_line() {
    let log = whole_log(&["--log.format", "json"]);
    let objects: Vec<serde_json::Value> = log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 5, "{log:#?}");
    for object in &objects {
        assert!(object["ts"].is_string() && object["level"].is_string() && object["message"].is_string(), "{object}");
    }
    assert_eq!((&objects[1]["message"], &objects[4]["message"]), (&"serving".into(), &"stopped".into()));
    assert_eq!((&objects[4]["messages"], &objects[2]["reason"]), (&1.into(), &"malformed_json".into()));
}

#[test]
fn the_level_filters_the_log() {
    let debug = whole_log(&["--log.level", "debug"]);
    assert_eq!(debug.iter().filter(|line| line.contains("level=debug") && line.contains("malformed_json")).count(), 3);
    let quiet = output(&mut command(&["--log.level", "error", "--web.listen-address", "192.0.2.1:1"]));
    assert_eq!(stderr(&quiet).lines().count(), 1, "{}", stderr(&quiet));
}

#[test]
fn an_address_of_another_machine_is_an_error_that_says_so() {
    let refused = output(&mut command(&["--web.listen-address", "192.0.2.1:9"]));
    let error = stderr(&refused);
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(error.contains("192.0.2.1:9") && error.contains("this machine does not have this address"), "{error}");
}

#[test]
fn an_address_in_use_is_an_error_and_exits_with_1() {
    let exporter = Exporter::start(&[]);
    let address = exporter.address().to_string();
    let second = output(&mut command(&["--web.listen-address", &address]));
    assert_eq!(second.status.code(), Some(1));
    let error = stderr(&second);
    assert!(error.contains("level=error") && error.contains(&address) && error.contains("in use"), "{error}");
    let port = exporter.address().port();
    let advice = format!(
        "run: ss -ltnp sport = :{port}; stop the program that it shows (if it shows none, two flags have the same port), \
         or choose another port with --web.listen-address"
    );
    assert!(error.contains(&advice), "{error}");
    assert_eq!(exporter.get("/-/healthy").status, 200);
}
