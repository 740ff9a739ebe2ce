mod files;
mod wrong;

use std::time::Duration;

use super::*;
use crate::config::Http;

pub(super) fn settings() -> ForwardSettings {
    Http::defaults().unwrap().forward
}

/// Parses a text; the other files are these.
pub(super) fn parse_with(text: &str, files: &[(&str, &str)]) -> Result<Forward, FileError> {
    let mut read = |path: &Path, _| {
        let found = files.iter().find(|(name, _)| Path::new("/etc/exporter").join(name) == path);
        found
            .map(|(_, text)| text.as_bytes().to_vec())
            .ok_or_else(|| FileError::about_file("it is missing; give a readable file"))
    };
    Forward::parse(text, Path::new("/etc/exporter"), &settings(), &mut read)
}

/// The target with a name, a URL and these lines.
pub(super) fn text(lines: &[&str]) -> String {
    let lines = [&["- name: a", "  url: https://h/cb"], lines].concat();
    format!("targets:\n{}\n", lines.join("\n"))
}

pub(super) fn target(lines: &[&str]) -> Result<Arc<Target>, FileError> {
    parse_with(&text(lines), &[]).map(|forward| Arc::clone(&forward.targets[0]))
}

#[test]
fn a_short_file_has_the_defaults() {
    let target = target(&["  answers: true"]).unwrap();
    let expected = Target { name: "a".to_owned(), ..Target::simple(Url::parse("https://h/cb").unwrap()) };
    assert_eq!(*target, expected);
    assert_eq!((target.max_bytes, target.max_age), (settings().spool_max_bytes, settings().spool_max_age));
}

#[test]
fn all_settings_are_parsed() {
    let lines = [
        "  answers: [callbackBeforeSendGroupMsgCommand]",
        "  commands: ['callbackBefore*', 'CallbackAfterSend*']",
        "  content_types: [text, 110, 1000-5000]",
        "  groups: ['team-*', g1]",
        "  headers: {X-Tenant: blue, accept: a/b}",
        "  connect_timeout: 500ms",
        "  answer_timeout: 4.5s",
        "  delivery_timeout: 1m30s",
        "  concurrency: 4",
        "  max_in_flight: 8",
        "  policies:",
        "  - {commands: [callbackBeforeSendGroupMsgCommand], policy: refuse}",
        "  - {policy: transparent}",
        "  breaker: {window: 1m, min_requests: 5, failure_rate: 0.25, open_for: 1s}",
        "  max_bytes: 2GiB",
        "  max_age: 7d",
    ];
    let target = target(&lines).unwrap();
    assert!(target.answers("callbackBeforeSendGroupMsgCommand"));
    assert!(!target.answers("callbackBeforeSendSingleMsgCommand"));
    assert!(target.commands.contains("callbackAfterSendGroupMsgCommand"));
    assert!(!target.commands.contains("callbackUserOnlineCommand"));
    let headers: Vec<_> = target.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(headers, [("x-tenant", "blue"), ("accept", "a/b")]);
    let times = [target.connect_timeout, target.answer_timeout, target.delivery_timeout];
    assert_eq!(times, [500, 4500, 90_000].map(Duration::from_millis));
    assert_eq!((target.concurrency, target.max_in_flight), (4, 8));
    assert_eq!(target.policies.of("callbackBeforeSendGroupMsgCommand"), Policy::Refuse);
    assert_eq!(target.policies.of("callbackBeforeSendSingleMsgCommand"), Policy::Transparent);
    let breaker = Breaker {
        window: Duration::from_secs(60),
        min_requests: 5,
        failure_rate: 0.25,
        open_for: Duration::from_secs(1),
    };
    assert_eq!(target.breaker, breaker);
    assert_eq!((target.max_bytes, target.max_age), (2 << 30, Duration::from_secs(7 * 86_400)));
}

#[test]
fn the_filters_admit_only_what_matches() {
    let all = target(&["  answers: false"]).unwrap();
    assert!(!all.filters_by_body() && all.admits(None, None) && all.admits(Some(1), Some("g")));
    let by_type = target(&["  answers: false", "  content_types: [text]"]).unwrap();
    assert!(by_type.filters_by_body() && by_type.admits(Some(101), None));
    assert!(!by_type.admits(Some(102), None) && !by_type.admits(None, Some("g")));
    let both = target(&["  answers: false", "  content_types: [text]", "  groups: ['g*']"]).unwrap();
    assert!(both.admits(Some(101), Some("g1")));
    assert!(!both.admits(Some(101), None) && !both.admits(Some(101), Some("h")) && !both.admits(None, Some("g1")));
}

#[test]
fn one_target_answers_and_the_others_get_copies() {
    let forward = parse_with(
        "targets:\n- {name: a, url: http://a, answers: true}\n- {name: b, url: http://b}\n- {name: c, url: http://c, answers: false}\n",
        &[],
    );
    let answering: Vec<_> = forward.unwrap().targets.iter().map(|target| target.answers.is_some()).collect();
    assert_eq!(answering, [true, false, false]);
}

#[test]
fn a_policy_applies_to_its_commands_and_the_default_is_to_carry_on() {
    let target = target(&[
        "  answers: true",
        "  policies: [{commands: ['*Group*'], policy: refuse}, {commands: ['callbackBeforeSend*'], policy: transparent}]",
    ]);
    let policies = &target.unwrap().policies;
    for (command, expected) in [
        ("callbackBeforeSendGroupMsgCommand", Policy::Refuse),
        ("callbackBeforeSendSingleMsgCommand", Policy::Transparent),
        ("callbackBeforeAddFriendCommand", Policy::Continue),
    ] {
        assert_eq!(policies.of(command), expected, "{command}");
    }
}

#[test]
fn the_url_of_a_flag_is_a_target_with_the_defaults() {
    let url = Url::parse("http://h/cb").unwrap();
    let with_url = ForwardSettings { url: Some(url.clone()), spool_max_bytes: 5 << 20, ..settings() };
    let forward = Forward::read(&with_url, &mut |path| panic!("{path:?}")).unwrap();
    assert_eq!(forward.targets, [Arc::new(Target { max_bytes: 5 << 20, ..Target::simple(url) })]);
    assert_eq!(Forward::read(&settings(), &mut |_| {}).unwrap(), Forward::default());
}
