//! What is wrong in a file, once for each error.

use super::*;

fn error(text: &str) -> String {
    parse_with(text, &[]).expect_err(text).to_string()
}

fn expect(cases: &[(&str, &str)]) {
    for (line, expected) in cases {
        let words = target(&["  answers: true", &format!("  {line}")]).expect_err(line).to_string();
        assert!(words.starts_with(&format!("line 5: targets.{expected}")), "{line}: {words}");
    }
}

#[test]
fn the_list_of_targets_is_checked() {
    let many: String = (0..17).map(|number| format!("- {{name: a{number}, url: http://h}}\n")).collect();
    for (text, expected) in [
        ("", "line 1: targets is missing; give a list with a name and a url"),
        ("target: []\n", "line 1: target: unknown key; did you mean targets? the known keys are targets"),
        ("targets: []\n", "line 1: targets: the list is empty; add a target, or remove the key"),
        (&format!("targets:\n{many}"), "line 1: targets: 17 are too many; give at most 16"),
        ("targets:\n- {url: http://h}\n", "line 2: targets: name is missing"),
        ("targets:\n- {name: a}\n", "line 2: targets: url is missing"),
        (
            "targets:\n- {name: a, url: http://h}\n- {name: a, url: http://i}\n",
            "line 3: targets: the name a is given twice; change one",
        ),
        (
            "targets:\n- {name: a, url: http://h, answers: true}\n- {name: b, url: http://i, answers: [callbackBefore*]}\n",
            "line 3: targets.answers: another target answers too; OpenIM obeys one answer, so remove one",
        ),
        (
            "targets:\n- {name: a, url: http://h}\n- {name: b, url: http://i}\n",
            "line 1: targets: no target has answers; give answers: true to the one that OpenIM must obey, or answers: \
             false to one if all get copies only",
        ),
        (
            "targets:\n- name: a\n  url: http://h\n  tls: {}\n",
            "line 4: targets.tls: the url begins with http://, so it has no effect; remove it, or use https://",
        ),
    ] {
        assert_eq!(error(text), expected);
    }
    for name in ["''", "A", "-a", "a b", "a/b", "é", &"a".repeat(64)] {
        let words = error(&format!("targets:\n- {{name: {name}, url: http://h}}\n"));
        assert!(words.starts_with("line 2: targets.name: give 1 to 63 lower-case letters"), "{name}: {words}");
    }
}

#[test]
fn a_wrong_value_of_a_target_is_an_error() {
    let long = format!("groups: [{}]", "g".repeat(257));
    let many = format!("groups: [{}]", vec!["g"; 65].join(","));
    expect(&[
        (
            "delivery_time: 1m",
            "delivery_time: unknown key; did you mean delivery_timeout? the known keys are name, url, answers, ",
        ),
        ("timeout: 1s", "timeout: unknown key; the known keys are name, url, answers, "),
        ("connect_timeout: 61s", "connect_timeout: give a time from 10 ms to 60 s, as in 500ms, 2.5s or 1m30s"),
        ("answer_timeout: 5s", "answer_timeout: give a time from 10 ms to 4.5 s, as in"),
        ("delivery_timeout: 10", "delivery_timeout: the unit is missing; give a time from 10 ms to 5 minutes, as in"),
        ("concurrency: 0", "concurrency: give a number from 1 to 256"),
        ("max_in_flight: many", "max_in_flight: give a number from 1 to 10000"),
        ("max_bytes: 1KiB", "max_bytes: give a size from 1MiB to 100TiB, as in 512MiB or 10GiB"),
        ("max_age: 1s", "max_age: give whole seconds from 1m to 3650d, as in 90m, 72h or 7d"),
        ("max_age: 3600", "max_age: the unit is missing; give whole seconds from 1m to 3650d"),
        ("content_types: []", "content_types: the list is empty; add a content type, or remove the key"),
        (
            "content_types: ['$2y$10$secret']",
            "content_types: this is not a content type; give names, numbers, or ranges",
        ),
        ("content_types: [tpying]", "content_types: \"tpying\": not a content type; give names"),
        ("groups: []", "groups: the list is empty; add a group's ID, or remove the key"),
        ("groups: ['']", "groups: give 1 to 256 bytes; * stands for any characters"),
        (&long, "groups: give 1 to 256 bytes"),
        (&many, "groups: 65 are too many; give at most 64"),
        ("commands: callbackBefore*", "commands: expected a list (- value), found text"),
        (
            "commands: [callbackBeforeSendGroupMsg]",
            "commands: callbackBeforeSendGroupMsg is not a known command; did you mean callbackBeforeSendGroupMsgCommand? \
             docs/callbacks.md lists them; for one of a newer OpenIM, add a * at its end",
        ),
        ("commands: ['hunter 2']", "commands: (not shown) is not a known command; docs/callbacks.md lists them"),
        ("commands: [callbackbeforeSendGroupMsgCommand]", "commands: callbackbeforeSendGroupMsgCommand is not a known"),
        ("policies: []", "policies: the list is empty; add a policy, or remove the key"),
        ("policies: [{}]", "policies: policy is missing; give continue, refuse or transparent"),
        (
            "policies: [{policy: allow}]",
            "policies.policy: allow is not supported; give one of continue, refuse, transparent",
        ),
        ("breaker: {window: 1ms}", "breaker.window: give a time from 1 s to 10 minutes"),
        ("breaker: {min_requests: 0}", "breaker.min_requests: give a number from 1 to 100000"),
        ("breaker: {failure_rate: NaN}", "breaker.failure_rate: give a number from 0.01 to 1"),
        ("breaker: {failure_rate: 50%}", "breaker.failure_rate: give a number from 0.01 to 1"),
        ("breaker: {open_for: 31s}", "breaker.open_for: give a time from 100 ms to 30 s"),
        ("breaker: {rate: 1}", "breaker.rate: unknown key; the known keys are window, "),
    ]);
    let words = target(&["  answers: maybe"]).unwrap_err().to_string();
    assert_eq!(words, "line 4: targets.answers: give true, false, or a list of commands");
    let words = parse_with("targets:\n- name: a\n  url: ftp://h\n", &[]).unwrap_err().to_string();
    assert!(words.starts_with("line 3: targets.url: it must start with http:// or https:// and a host"), "{words}");
    for line in ["answer_timeout: 1s", "max_in_flight: 1", "policies: [{policy: refuse}]"] {
        let words = target(&["  answers: false", &format!("  {line}")]).unwrap_err().to_string();
        assert!(
            words.ends_with(": this target gets copies only, so it has no effect; remove it, or set answers: true"),
            "{words}"
        );
    }
}

#[test]
fn what_has_no_effect_on_answers_is_an_error() {
    let group = "callbackBeforeSendGroupMsgCommand";
    let of = |answers: &str, lines: &[&str]| target(&[&[answers], lines].concat()).map_err(|error| error.to_string());
    let policies = |answers, entries: &str| of(answers, &[&format!("  policies: [{entries}]")]);
    let refuse = |commands: &str| format!("{{commands: [{commands}], policy: refuse}}");
    let not_answered = "the target does not answer this, so the policy has no effect; remove it here, or add it to the \
                        target's answers and commands";
    for (answers, commands) in [
        ("  answers: true", "callbackAfterSendGroupMsgCommand"),
        ("  answers: true", "callbackAfter*"),
        ("  answers: true", "callbackBeforeAfterMsgCommand"),
        ("  answers: [callbackBeforeUserRegisterCommand]", group),
        ("  answers: [callbackBeforeUserRegisterCommand]", "callbackBeforeSend*"),
    ] {
        let words = policies(answers, &refuse(commands)).expect_err(commands);
        assert_eq!(words, format!("line 5: targets.policies.commands: {commands}: {not_answered}"));
    }
    let lines = ["  commands: [callbackOnlinePushCommand]", &format!("  policies: [{}]", refuse(group))];
    let words = of("  answers: true", &lines).unwrap_err();
    assert!(words.starts_with(&format!("line 6: targets.policies.commands: {group}: the target does not")), "{words}");

    let carry_on = |commands: &str| format!("{{commands: ['{commands}'], policy: continue}}");
    let all = "an entry before this one applies to all commands, so this one has no effect; move it up, or remove it";
    for first in ["{policy: continue}".to_owned(), carry_on("*")] {
        let words = policies("  answers: true", &format!("{first}, {}", refuse(group))).unwrap_err();
        assert_eq!(words, format!("line 5: targets.policies: {all}"));
    }
    let words =
        policies("  answers: true", &format!("{}, {}", carry_on("callbackBefore*"), refuse(group))).unwrap_err();
    let one = "an entry before this one applies, so this one has no effect; move it up, or remove it";
    assert_eq!(words, format!("line 5: targets.policies.commands: {group}: {one}"));

    for answers in ["  answers: true", "  answers: [callbackBeforeUserRegisterCommand]"] {
        let words = of(answers, &["  commands: ['callbackAfter*']"]).unwrap_err();
        let none = "the target gets none of the commands that it answers; add them, or set answers: false";
        assert_eq!(words, format!("line 5: targets.commands: {none}"));
    }
    // For a newer OpenIM, and exceptions before a rule.
    let entries = [refuse(group), refuse("'callbackBeforeNewThing*'"), carry_on("callbackBefore*")].join(", ");
    assert!(policies("  answers: true", &entries).is_ok());
    assert!(policies("  answers: ['*']", &refuse("callbackAfterSendGroupMsgCommand")).is_ok());
    assert!(of("  answers: true", &["  commands: ['callbackBeforeNewThing*']"]).is_ok());
    assert!(of("  answers: ['callbackNewThing*']", &["  commands: ['callbackAfter*', 'callbackNewThing*']"]).is_ok());
}

#[test]
fn a_header_that_is_not_the_operator_s_is_an_error() {
    let reserved = "this header belongs to the connection, or the exporter sets it; remove it";
    let long = format!("headers: {{X-A: {}}}", "a".repeat(4097));
    let many: String = (0..33).map(|number| format!("X-{number}: a, ")).collect();
    expect(&[
        (
            "headers: {Authorization: hunter2}",
            "headers.Authorization: a password does not belong here; give basic_auth or",
        ),
        ("headers: {Host: h}", &format!("headers.Host: {reserved}")),
        ("headers: {Transfer-Encoding: chunked}", &format!("headers.Transfer-Encoding: {reserved}")),
        ("headers: {Content-Type: a/b}", &format!("headers.Content-Type: {reserved}")),
        ("headers: {webhook-id: a}", &format!("headers.webhook-id: {reserved}")),
        ("headers: {via: a}", &format!("headers.via: {reserved}")),
        ("headers: {'a b': c}", "headers.(not shown): this is not a header's name; give letters, digits and -"),
        ("headers: {X-A: a, x-a: b}", "headers.x-a: this header is given twice, in another case; remove one"),
        ("headers: {X-A: \"a\\r\\nb\"}", "headers.X-A: give one line of at most 4096 printable ASCII characters"),
        ("headers: {X-A: é}", "headers.X-A: give one line of at most 4096"),
        (&long, "headers.X-A: give one line of at most 4096"),
        (&format!("headers: {{{many}}}"), "headers: 33 headers are too many; give at most 32"),
    ]);
}

#[test]
fn no_error_and_no_target_shows_a_header_or_a_url() {
    let shown =
        target(&["  answers: true", "  headers: {X-Key: hunter2}"]).map(|target| format!("{target:?}")).unwrap();
    assert!(!shown.contains("hunter2") && !shown.contains("/cb"), "{shown}");
    for line in ["headers: {X-Key: \"hunter2\\n\"}", "url: http://u:hunter2@h/", "name: hunter2 x", "hunter2 x: 1"] {
        let words = error(&format!("targets:\n- {line}\n  name: a\n"));
        assert!(!words.contains("hunter2"), "{words}");
    }
}
