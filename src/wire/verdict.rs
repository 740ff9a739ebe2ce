//! What OpenIM makes of an answer to a callback that it obeys.

use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::limits::too_deep_at;

/// Where OpenIM puts the command, which tells its version: versions read answers differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlForm {
    /// At the end of the path: OpenIM 3.4.2 and newer.
    Path,
    /// In the query: OpenIM 3.0 to 3.4.0.
    Query,
    /// Only in the body: OpenIM 2.3.
    Body,
}

/// What the versions of OpenIM with one [`UrlForm`] make of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// The user's action goes on.
    Allows,
    /// The user's action is refused.
    Refuses,
    /// It looks like a refusal, but the action goes on in some of the versions. OpenIM 3.7 and newer refuse only if
    /// `actionCode` is 0, and older versions if it is not 0, so the refusals of servers that were written for those let
    /// the action go on.
    LooksLikeRefusal,
    /// An error for OpenIM, which refuses the action or, where it obeys `failedContinue`, lets it go on.
    Unusable,
}

/// Judges an answer as OpenIM does: with Go's `encoding/json`. The HTTP status does not matter.
#[must_use]
pub fn judge(answer: &[u8], form: UrlForm) -> Judged {
    match Codes::read(answer, form) {
        Some(codes) => codes.judged(form),
        None => Judged::Unusable,
    }
}

/// The deepest nesting that Go decodes.
const GO_MAX_DEPTH: usize = 10_000;

/// The codes of an answer; 0 if it has none.
#[derive(Default)]
struct Codes {
    action: i64,
    error: i64,
    next: i64,
}

impl Codes {
    fn read(answer: &[u8], form: UrlForm) -> Option<Self> {
        // Go replaces what is not UTF-8 too.
        let answer = String::from_utf8_lossy(answer);
        if too_deep_at(&answer, GO_MAX_DEPTH).is_some() {
            return None;
        }
        let mut codes = Self::default();
        let mut json = serde_json::Deserializer::from_str(&answer);
        json.deserialize_any(Members(|name: &str, value: &str| codes.set(form, name, value))).ok()?;
        json.end().ok()?;
        Some(codes)
    }

    /// Sets a field of OpenIM's type for answers: `CommonCallbackResp` in its `pkg/callbackstruct`. `None` if the value
    /// has another type.
    fn set(&mut self, form: UrlForm, name: &str, value: &str) -> Option<()> {
        let int32 = |code: i64| number(value, code).filter(|code| i32::try_from(*code).is_ok());
        let int64 = |code: i64| number(value, code);
        let text = || (value.starts_with('"') || value == "null").then_some(());
        let is = |field: &str| folds_to(name, field);
        match form {
            UrlForm::Path if is("actionCode") => self.action = int32(self.action)?,
            UrlForm::Query | UrlForm::Body if is("actionCode") => self.action = int64(self.action)?,
            UrlForm::Path | UrlForm::Query if is("errCode") => self.error = int32(self.error)?,
            UrlForm::Body if is("errCode") => self.error = int64(self.error)?,
            UrlForm::Path if is("nextCode") => self.next = int32(self.next)?,
            // Not read by these versions, so any value will do.
            UrlForm::Query | UrlForm::Body if is("nextCode") => self.next = int64(self.next).unwrap_or_default(),
            UrlForm::Path if is("errDlt") => text()?,
            UrlForm::Query | UrlForm::Body if is("operationID") => text()?,
            _ if is("errMsg") => text()?,
            _ => {}
        }
        Some(())
    }

    const fn judged(&self, form: UrlForm) -> Judged {
        match (form, self.action, self.next) {
            (UrlForm::Path, 0, 1) => Judged::Refuses,
            // Refuses before 3.7 only.
            (UrlForm::Path, 1.. | ..=-1, _) => Judged::LooksLikeRefusal,
            (UrlForm::Query | UrlForm::Body, 1.. | ..=-1, _) => Judged::Refuses,
            (UrlForm::Query, 0, _) if self.error != 0 => Judged::Refuses,
            (UrlForm::Query | UrlForm::Body, 0, 1) => Judged::LooksLikeRefusal,
            _ => Judged::Allows,
        }
    }
}

/// The number in a JSON value. `null` leaves the number before it in place.
fn number(value: &str, before: i64) -> Option<i64> {
    if value == "null" { Some(before) } else { value.parse().ok() }
}

/// Whether Go takes a name for that of a field: in any case, and with the long s, whose upper case is S too.
fn folds_to(name: &str, field: &str) -> bool {
    let fold = |char: char| if char == '\u{17f}' { 's' } else { char.to_ascii_lowercase() };
    name.chars().map(fold).eq(field.chars().map(fold))
}

/// Calls the function for each member of an object, with its name and its value as JSON, until it returns `None`.
/// `null` is an object without members.
struct Members<F>(F);

impl<'de, F: FnMut(&str, &str) -> Option<()>> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut members: M) -> Result<(), M::Error> {
        // Raw, because Go accepts surrogates without a partner.
        while let Some((name, value)) = members.next_entry::<&RawValue, &RawValue>()? {
            let is_read = match name.get().trim_matches('"') {
                plain if !plain.contains('\\') => self.0(plain, value.get()),
                // A name with a surrogate is no field's.
                _ => serde_json::from_str::<String>(name.get()).map_or(Some(()), |name| self.0(&name, value.get())),
            };
            is_read.ok_or_else(|| M::Error::custom("wrong type"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // tests/pass_through compares these, and many more, with Go.
    #[test]
    fn each_version_s_refusals_and_its_ineffective_ones_are_told_apart() {
        use Judged::{Allows, LooksLikeRefusal, Refuses, Unusable};
        for (answer, path, query, body) in [
            (r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#, Allows, Allows, Allows),
            (r#"{"actionCode":0,"errCode":20001,"nextCode":1}"#, Refuses, Refuses, LooksLikeRefusal),
            (r#"{"actionCode":0,"nextCode":1}"#, Refuses, LooksLikeRefusal, LooksLikeRefusal),
            (r#"{"actionCode":1,"errCode":1,"nextCode":1}"#, LooksLikeRefusal, Refuses, Refuses),
            (r#"{"actionCode":-1}"#, LooksLikeRefusal, Refuses, Refuses),
            (r#"{"errCode":1}"#, Allows, Refuses, Allows),
            ("null", Allows, Allows, Allows),
            (" {}\n", Allows, Allows, Allows),
            (r#"{"nextCode":"1"}"#, Unusable, Allows, Allows),
            (r#"{"operationID":1}"#, Allows, Unusable, Unusable),
            ("", Unusable, Unusable, Unusable),
            ("[]", Unusable, Unusable, Unusable),
            ("<html>", Unusable, Unusable, Unusable),
            ("{}{}", Unusable, Unusable, Unusable),
            (r#"{"ACTIONCODE":1,"actionCode":0}"#, Allows, Allows, Allows),
            (r#"{"actionCode":1,"actionCode":null}"#, LooksLikeRefusal, Refuses, Refuses),
        ] {
            for (form, expected) in [(UrlForm::Path, path), (UrlForm::Query, query), (UrlForm::Body, body)] {
                assert_eq!(judge(answer.as_bytes(), form), expected, "{answer} {form:?}");
            }
        }
    }
}
