//! Answers are judged as Go and OpenIM's types read them.

use std::fs::File;
use std::io::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use openim_exporter::wire::{Judged, UrlForm, judge};
use rand::seq::IndexedRandom as _;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::openim::openim;

/// What OpenIM 2.3, 3.0, 3.4.2 and 3.7 make of each answer: "refuses", "allows" or "error".
fn oracle(answers: &[Vec<u8>]) -> Vec<[String; 4]> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("answers");
    let mut file = File::create(&path).unwrap();
    for answer in answers {
        writeln!(file, "{}", BASE64_STANDARD.encode(answer)).unwrap();
    }
    let output = openim(&["judge"]).stdin(File::open(&path).unwrap()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
    let verdicts: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(words).collect();
    assert_eq!(verdicts.len(), answers.len());
    verdicts
}

/// What must come out for a form of URL, according to the versions that have it.
fn expected(form: UrlForm, [v2, v30, v34, v37]: &[String; 4]) -> Judged {
    let of = |versions: &[&String]| match versions {
        all if all.iter().any(|verdict| *verdict == "error") => Judged::Unusable,
        all if all.iter().all(|verdict| *verdict == "refuses") => Judged::Refuses,
        all if all.iter().all(|verdict| *verdict == "allows") => Judged::Allows,
        _ => Judged::LooksLikeRefusal,
    };
    match form {
        UrlForm::Body => of(&[v2]),
        UrlForm::Query => of(&[v30]),
        UrlForm::Path => of(&[v34, v37]),
    }
}

/// How often each verdict was given.
fn compare(answers: &[Vec<u8>]) -> [usize; 4] {
    let mut counts = [0; 4];
    for (answer, verdicts) in answers.iter().zip(oracle(answers)) {
        for form in [UrlForm::Path, UrlForm::Query, UrlForm::Body] {
            let (judged, expected) = (judge(answer, form), expected(form, &verdicts));
            // Versions before 3.4.2 do not know `nextCode`, with which the server means to refuse.
            let is_hint = judged == Judged::LooksLikeRefusal && expected == Judged::Allows && form != UrlForm::Path;
            assert!(judged == expected || is_hint, "{form:?} {judged:?}: {verdicts:?} {}", answer.escape_ascii());
            counts[judged as usize] += 1;
        }
    }
    counts
}

#[test]
#[ignore = "needs Go"]
fn edge_cases_are_judged_as_in_go() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let mut answers: Vec<Vec<u8>> = [nested(9_998), nested(9_999), nested(10_000), nested(100_000), "[".repeat(20_000)]
        .map(String::into_bytes)
        .to_vec();
    answers.push(b"\xef\xbb\xbf{}".to_vec());
    answers.push(b"{\"errMsg\":\"\xff\xfe\",\"nextCode\":1}".to_vec());
    answers.push(b"{\"next\xffCode\":1}".to_vec());
    answers.extend(TEXTS.iter().map(|text| text.as_bytes().to_vec()));
    for (name, value) in NAMES.iter().flat_map(|name| VALUES.iter().map(move |value| (name, value))) {
        answers.push(format!("{{{name}:{value}}}").into_bytes());
        answers.push(format!("{{\"actionCode\":0,\"nextCode\":1,{name} : {value}\n}}").into_bytes());
        answers.push(format!("{{{name}:{value},\"nextCode\":0}}").into_bytes());
    }
    assert!(compare(&answers).iter().all(|count| *count > 100));
}

const TEXTS: &[&str] = &[
    "",
    " ",
    "null",
    "null null",
    "nul",
    "true",
    "0",
    "\"\"",
    "[]",
    "[{}]",
    "{}",
    "{},",
    "{}x",
    "{} \r\n\t",
    "\u{b}{}",
    "\u{a0}{}",
    "{\"a\"}",
    "{\"a\":}",
    "{a:1}",
    "{'a':1}",
    "{\"a\":1,}",
    "{,}",
    "{1:2}",
    "{\"a\":01}",
    "{\"a\":1.}",
    "{\"a\":.5}",
    "{\"a\":1e}",
    "{\"a\":-}",
    "{\"a\":+1}",
    "{\"a\":1e999}",
    "{\"a\":NaN}",
    "{\"a\":\"\u{1}\"}",
    "{\"a\":\"\t\"}",
    "{\"a\":\"\u{7f}\"}",
    "{\"a\":\"\\x41\"}",
    "{\"a\":\"\\ud800\"}",
    "{\"\\ud800\":1}",
    "{\"a\":\"\\u12\"}",
    "{\"a\":\"",
    "{\"a\":1",
    "<html></html>",
    "/**/{}",
    "{\"\":1}",
    "{\"a\":{\"actionCode\":1}}",
];

const NAMES: &[&str] = &[
    "\"actionCode\"",
    "\"ActionCode\"",
    "\"ACTIONCODE\"",
    "\"action\\u0043ode\"",
    "\"actioncode\"",
    "\"action_code\"",
    "\"actionCode \"",
    "\"errCode\"",
    "\"errMsg\"",
    "\"errM\u{17f}g\"",
    "\"errM\\u017fg\"",
    "\"errDlt\"",
    "\"nextCode\"",
    "\"NEXTCODE\"",
    "\"nextCode\\ud800\"",
    "\"operationID\"",
    "\"operationid\"",
    "\"a\\\"\"",
    "\"\"",
];

const VALUES: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "-0",
    "1.0",
    "1e0",
    "10e-1",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "\"1\"",
    "\"\"",
    "\"\\ud800\"",
    "null",
    "true",
    "false",
    "{}",
    "[]",
    "[1]",
    "{\"actionCode\":1}",
];

#[test]
#[ignore = "needs Go"]
fn any_answer_is_judged_as_in_go() {
    let mut random = Pcg64Mcg::seed_from_u64(20);
    let made: Vec<_> = (0..200_000).map(|_| made(&mut random)).collect();
    assert!(compare(&made).iter().all(|count| *count > 1000));
}

/// A random answer, often nearly valid.
fn made(random: &mut Pcg64Mcg) -> Vec<u8> {
    let member = |random: &mut Pcg64Mcg| {
        let (name, value) = (NAMES.choose(random).unwrap(), VALUES.choose(random).unwrap());
        let value = if random.random_bool(0.5) { ["0", "1", "null"].choose(random).unwrap() } else { value };
        format!("{name}:{value}")
    };
    let members: Vec<_> = (0..random.random_range(0..6)).map(|_| member(random)).collect();
    let mut answer = format!("{{{}}}", members.join(",")).into_bytes();
    while random.random_bool(0.3) {
        let at = random.random_range(0..answer.len().max(1)).min(answer.len());
        match random.random_range(0..4) {
            0 if at < answer.len() => answer[at] = random.random(),
            1 if at < answer.len() => drop(answer.remove(at)),
            2 => answer.insert(at, *b"{}[],:\"\\ue0179- \n\x80\xc5".choose(random).unwrap()),
            _ => answer.truncate(at),
        }
    }
    answer
}
