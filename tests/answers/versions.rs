//! What OpenIM's versions do with an answer to a callback that they obey.

use serde::Deserialize;

/// The numbers in an answer. Like Go's decoder, an absent field or a null is 0, and another type is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    action_code: Option<i32>,
    err_code: Option<i32>,
    next_code: Option<i32>,
    #[serde(rename = "errMsg")]
    _err_msg: Option<String>,
    #[serde(rename = "errDlt")]
    _err_dlt: Option<String>,
}

/// The numbers of an answer: `actionCode`, `errCode`, `nextCode`.
type Codes = (i32, i32, i32);

/// Whether a version refuses the user's action.
type Rule = fn(Codes) -> bool;

/// When each version refuses, from OpenIM's source at its tags.
pub(crate) const VERSIONS: [(&str, Rule); 4] = [
    ("v2.3", |(action, _, _)| action != 0),
    ("v3.0 to v3.4.0", |(action, error, _)| action != 0 || error != 0),
    ("v3.4.2 to v3.6", |(action, _, next)| action != 0 || next == 1),
    ("v3.7 to main", |(action, _, next)| action == 0 && next == 1),
];

/// The versions that refuse the user's action. An answer that is not a JSON object is an error, for which the newest
/// versions always refuse, and the others if `failedContinue` is not set.
pub(crate) fn refusing(answer: &[u8]) -> Vec<&'static str> {
    // A list would be accepted in place of an object.
    let is_list = answer.trim_ascii_start().starts_with(b"[");
    let codes = match serde_json::from_slice::<Option<Answer>>(answer) {
        Ok(answer) if !is_list => {
            let answer = answer.unwrap_or_default();
            [answer.action_code, answer.err_code, answer.next_code].map(Option::unwrap_or_default)
        }
        _ => return VERSIONS.map(|(version, _)| version).to_vec(),
    };
    let [action, error, next] = codes;
    VERSIONS.iter().filter(|(_, refuses)| refuses((action, error, next))).map(|(version, _)| *version).collect()
}

#[test]
fn each_version_has_its_own_rule() {
    let [oldest, three_0, three_4, newest] = VERSIONS.map(|(version, _)| version);
    for (answer, expected) in [
        (r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#, &[][..]),
        (r#"{"actionCode":0,"errCode":0,"errMsg":"overloaded","errDlt":"try again","nextCode":0}"#, &[]),
        ("{}", &[]),
        ("null", &[]),
        (r#"{"actionCode":null,"nextCode":null,"errMsg":null,"groupID":"g"}"#, &[]),
        // A refusal of a callback that is not obeyed.
        (r#"{"actionCode":1,"errCode":503,"errMsg":"x","errDlt":"y","nextCode":0}"#, &[oldest, three_0, three_4]),
        (r#"{"errCode":503}"#, &[three_0]),
        (r#"{"nextCode":1}"#, &[three_4, newest]),
        (r#"{"actionCode":1,"nextCode":1}"#, &[oldest, three_0, three_4]),
        (r#"{"nextCode":2}"#, &[]),
    ] {
        assert_eq!(refusing(answer.as_bytes()), expected, "{answer}");
    }
    for answer in ["", "<html>", "[]", "[0,0,0]", "0", r#"{"actionCode":"0"}"#, r#"{"errMsg":0}"#, "{}{}", "{} x"] {
        assert_eq!(refusing(answer.as_bytes()), [oldest, three_0, three_4, newest], "{answer}");
    }
}
