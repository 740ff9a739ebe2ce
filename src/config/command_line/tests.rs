use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::*;
use crate::config::{ListenAddress, LogSettings, Storage};
use crate::telemetry::LogFormat;

fn config(flags: &[&str]) -> Result<Config, String> {
    match from_args(std::iter::once(&"openim-exporter").chain(flags)) {
        Ok(Invocation::Serve(config) | Invocation::CheckConfig(config)) => Ok(config),
        Ok(_) => Err("another subcommand".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = config(&[]).unwrap();
    assert_eq!(config.listen, [ListenAddress::All(10006)]);
    assert_eq!(config.http.telemetry_path, "/metrics");
    assert_eq!(config.stats.storage, Storage::Directory(std::path::absolute("data/").unwrap()));
    assert_eq!((config.http.max_scrapes, config.http.max_body_bytes), (40, 1 << 20));
    assert_eq!((config.stats.max_tracked_groups, config.stats.max_exported_groups), (100_000, 1000));
    assert_eq!((config.stats.max_sender_pairs, config.stats.dedup_window), (1_000_000, Duration::ZERO));
    assert_eq!(config.log, LogSettings { level: LevelFilter::INFO, format: LogFormat::Logfmt });
}

#[test]
fn serve_is_the_default_subcommand() {
    assert_eq!(config(&["serve", "--log.level", "warn"]), config(&["--log.level", "warn"]));
}

#[test]
fn an_address_may_be_a_port_or_a_list() {
    let listen = |flags: &[&str]| config(flags).unwrap().listen;
    assert_eq!(listen(&["--web.listen-address", ":9"]), [ListenAddress::All(9)]);
    assert_eq!(listen(&["--web.listen-address", "[::1]:9"]), [ListenAddress::Host(vec!["[::1]:9".parse().unwrap()])]);
    let both = ["--web.listen-address", "127.0.0.1:8", "--web.listen-address", "127.0.0.1:9"];
    assert_eq!(listen(&both), listen(&["--web.listen-address", "127.0.0.1:8,127.0.0.1:9"]));
    assert_eq!(listen(&both).len(), 2);
}

#[test]
fn errors_name_the_flag_and_say_how_to_correct_it() {
    let cases = [
        (["--web.listen-address", "10006"], "host:port"),
        (["--web.telemetry-path", "metrics"], "starts with /"),
        (["--web.telemetry-path", "/"], "is used by"),
        (["--web.telemetry-path", "/api/v1/groups"], "is used by"),
        (["--web.max-requests", "0"], "from 1"),
        (["--web.max-requests", "10001"], "10000"),
        (["--web.max-requests", "18446744073709551615"], "10000"),
        (["--callback.max-body-bytes", "0"], "1MiB"),
        (["--callback.max-body-bytes", "lots"], "1MiB"),
        (["--callback.max-body-bytes", "99999999999999999999GiB"], "1MiB"),
        (["--groups.max-tracked", "0"], "groups.max-tracked"),
        (["--groups.max-tracked", "100000001"], "100000000"),
        (["--groups.max-exported", "100001"], "--groups.max-tracked"),
        (["--callback.dedup-window", "25h"], "24h"),
        (["--forward.spool-max-bytes", "1KiB"], "give a size from 1MiB to 100TiB"),
        (["--forward.spool-max-age", "59s"], "give whole seconds from 1m to 3650d"),
        (["--forward.spool-sync", "never"], "[possible values: second, append]"),
        (["--record.content", "some"], "[possible values: full, none]"),
        (["--record.max-file-bytes", "11GiB"], "a file would be larger than --record.max-bytes; lower it"),
        (["--record.max-bytes", "101TiB"], "give a size from 1MiB to 100TiB"),
        (["--record.max-age", "1.5d"], "give whole seconds from 1m to 3650d"),
        (["--record.sync", "always"], "[possible values: second, append]"),
        (["--callback.dedup-window", "500ms"], "10m"),
        (["--callback.dedup-window", "soon"], "10m"),
        (["--senders.max-tracked", "0"], "senders.max-tracked"),
        (["--senders.max-tracked", "1000000001"], "1000000000"),
        (["--log.level", "loud"], "warn"),
    ];
    for (flags, advice) in cases {
        let error = config(&flags).unwrap_err();
        assert!(error.contains(flags[0]), "{flags:?}: {error}");
        assert!(error.contains(advice), "{flags:?}: {error}");
    }
}

/// Flags, and the exported groups and connections per address that follow from them.
#[test]
fn defaults_are_lowered_to_what_other_flags_allow() {
    let cases: [(&[&str], _); 8] = [
        (&[], (1000, 5000)),
        (&["--groups.max-tracked=100"], (100, 5000)),
        (&["serve", "--groups.max-tracked=1"], (1, 5000)),
        (&["--groups.max-tracked=1000000"], (1000, 5000)),
        (&["--groups.max-tracked=100", "--groups.max-exported=7"], (7, 5000)),
        (&["--web.max-connections=100"], (1000, 100)),
        (&["serve", "--web.max-connections=20000"], (1000, 5000)),
        (&["--web.max-connections=100", "--web.max-connections-per-address=200"], (1000, 200)),
    ];
    for (flags, expected) in cases {
        let config = config(flags).unwrap();
        let found = (config.stats.max_exported_groups, config.http.max_connections_per_address);
        assert_eq!(found, expected, "{flags:?}");
    }
}

#[test]
fn a_configured_value_is_never_lowered() {
    // The same as the default, but configured.
    let error = config(&["--groups.max-tracked=100", "--groups.max-exported=1000"]).unwrap_err();
    assert!(
        error.starts_with("error: --groups.max-exported 1000: ") && error.contains("or raise --groups.max-tracked"),
        "{error}"
    );
    let error = config(&["--web.max-connections=0"]).unwrap_err();
    assert!(error.starts_with("error: invalid value '0' for '--web.max-connections <N>'"), "{error}");
}

#[test]
fn an_empty_storage_path_means_memory() {
    let storage = |path| config(&["--storage.path", path]).unwrap().stats.storage;
    assert_eq!(storage(""), Storage::Memory);
    assert_eq!(storage("/var/lib/x"), Storage::Directory("/var/lib/x".into()));
}

#[test]
fn sizes_may_have_units() {
    for (given, bytes) in [("1", 1), ("64KiB", 65_536), ("2M", 2 << 20), ("1GiB", 1 << 30)] {
        assert_eq!(config(&["--callback.max-body-bytes", given]).unwrap().http.max_body_bytes, bytes);
    }
}

#[test]
fn each_flag_s_variable_is_its_name_in_capitals() {
    for [flag, variable, _] in serve_flags() {
        let expected = flag.trim_start_matches('-').replace(['.', '-'], "_").to_uppercase();
        assert_eq!(variable, format!("OPENIM_EXPORTER_{expected}"), "{flag}");
    }
}

#[test]
fn forwarding_needs_one_source_of_targets_and_a_directory() {
    let both = config(&["--forward.url", "http://h", "--forward.config.file", "f"]).unwrap_err();
    assert!(both.contains("--forward.url: --forward.config.file is given too; remove one of them"), "{both}");
    for (flag, value) in [("--forward.url", "http://h"), ("--forward.config.file", "f")] {
        let memory = config(&[flag, value, "--storage.path", ""]).unwrap_err();
        assert!(memory.contains(&format!("{flag}: callbacks wait for their delivery in the directory of")), "{memory}");
        assert!(config(&[flag, value]).is_ok());
    }
}

#[test]
fn a_url_is_not_shown() {
    let wrong = config(&["--forward.url", "http://openim:hunter2@h"]).unwrap_err();
    assert!(wrong.contains("invalid value '(not shown)' for '--forward.url <URL>': it has a user"), "{wrong}");
    let described = config(&["--forward.url", "http://h/hunter2"]).unwrap().describe();
    assert!(described.contains("forward.url = http://h/...\n") && !wrong.contains("hunter2"), "{described}");
    let wrong = config(&["--replicas.redis-url", "redis://:hunter2@h:0"]).unwrap_err();
    assert!(wrong.contains("invalid value '(not shown)' for '--replicas.redis-url <URL>': it has no"), "{wrong}");
    let described = config(&["--replicas.redis-url", "redis://:hunter2@h"]).unwrap().describe();
    assert!(described.contains("replicas.redis-url = redis://h:6379/0\n") && !wrong.contains("hunter2"), "{described}");
}

#[test]
fn the_flags_of_redis_fit_together() {
    assert_eq!(config(&["--replicas.name", "a"]).unwrap().replicas.name.as_deref(), Some("a"));
    let wrong = config(&["--replicas.redis-url", "redis://h", "--replicas.name", "a b"]).unwrap_err();
    assert!(wrong.contains("'a b' for '--replicas.name <NAME>': give 1 to 64 letters"), "{wrong}");
    let named = config(&["--replicas.redis-url", "redis://h", "--replicas.name", "a"]).unwrap();
    assert_eq!(named.replicas.name.as_deref(), Some("a"));
}

#[test]
fn a_record_s_file_is_not_larger_than_all_of_them() {
    let sizes = |flags: &[&str]| config(flags).map(|config| (config.record.max_file_bytes, config.record.max_bytes));
    assert_eq!(sizes(&[]), Ok((256 << 20, 10 << 30)));
    assert_eq!(sizes(&["--record.max-bytes", "1MiB"]), Ok((1 << 20, 1 << 20)));
}
