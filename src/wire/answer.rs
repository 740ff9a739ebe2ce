//! The answers to OpenIM.

use serde::Serialize;

/// The answer to an accepted callback. In all answers `nextCode` is 0: another value would stop the action of a
/// `callbackBefore...` command.
pub const SUCCESS: &str = r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#;

/// The longest `errDlt` in bytes, which may quote the request.
const MAX_DETAIL_BYTES: usize = 400;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    action_code: i32,
    err_code: u16,
    err_msg: &'a str,
    err_dlt: &'a str,
    next_code: i32,
}

/// The body of a refusal: `actionCode` is 1, `errCode` the HTTP status, `errMsg` a short constant text, and `errDlt`
/// the details.
#[must_use]
pub fn refusal(status: u16, message: &'static str, detail: &str) -> String {
    let detail = &detail[..detail.floor_char_boundary(MAX_DETAIL_BYTES)];
    let answer = Answer { action_code: 1, err_code: status, err_msg: message, err_dlt: detail, next_code: 0 };
    // Serializing numbers and strings into memory does not fail.
    serde_json::to_string(&answer).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_valid_json_with_any_quoted_text() {
        let detail = "\"quoted\" \\ \n \u{0} \u{2028} \u{1f44b}".repeat(40);
        let body: serde_json::Value = serde_json::from_str(&refusal(400, "invalid field", &detail)).unwrap();
        assert_eq!(body["actionCode"], 1);
        assert_eq!(body["errCode"], 400);
        assert_eq!(body["errMsg"], "invalid field");
        assert!(detail.starts_with(body["errDlt"].as_str().unwrap()));
        assert_eq!(body["nextCode"], 0);
        assert_eq!(body.as_object().unwrap().len(), 5);
    }

    #[test]
    fn a_success_has_the_same_five_fields_and_all_codes_are_0() {
        let body: serde_json::Value = serde_json::from_str(SUCCESS).unwrap();
        assert_eq!(body, serde_json::json!({"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}));
    }
}
