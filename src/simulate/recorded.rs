//! A recorded callback.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hyper::http::uri::PathAndQuery;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::EncodedCallback;
use crate::domain::{COMMANDS, UnixMillis};
use crate::wire::{Command, subject};

/// The name in the report of commands that are not listed.
const OTHER: &str = "other";

/// A recorded callback.
#[derive(Debug)]
pub(super) struct Recorded {
    /// When it was received.
    pub(super) time: UnixMillis,
    /// Callbacks with the same number belong to the same group or user, and are sent one after the other.
    pub(super) order: usize,
    pub(super) callback: EncodedCallback,
}

/// A record's line. One of a spool has no path and no query.
#[derive(Deserialize)]
struct Line<'a> {
    time: String,
    path: Option<String>,
    query: Option<String>,
    command: String,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    text: Option<String>,
    bytes: Option<u64>,
}

impl Recorded {
    /// Reads a line. `None` for a record without its body: it was not JSON, and `--record.content` was `none`.
    ///
    /// # Errors
    /// When the line is not a record.
    pub(super) fn parse(line: &[u8]) -> Result<Option<Self>, String> {
        let line: Line<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let time: Timestamp = line.time.parse().map_err(|error: jiff::Error| error.to_string())?;
        let body = match (line.body, line.text, line.bytes) {
            (Some(body), ..) => body.get().as_bytes().to_owned(),
            (None, Some(text), _) => text.into_bytes(),
            (None, None, Some(_)) => return Ok(None),
            (None, None, None) => return Err("it has no body".to_owned()),
        };
        let path = line.path.unwrap_or_else(|| format!("/{}", line.command));
        let url = match line.query.filter(|query| !query.is_empty()) {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        if !url.is_empty() && (!url.starts_with(['/', '?']) || PathAndQuery::try_from(&url).is_err()) {
            return Err("its path and its query are not the end of a URL".to_owned());
        }
        let found = subject(&body);
        let subject = found.group.or(found.sender).unwrap_or_else(|| line.command.as_str().into());
        #[expect(clippy::cast_possible_truncation, reason = "a hash")]
        let order = FixedState::default().hash_one(subject) as usize;
        let known = Command::from_name(&line.command).and_then(Command::position);
        let command = known.and_then(|position| COMMANDS.get(position)).map_or(OTHER, |known| known.name);
        let callback = EncodedCallback { command, recorded_url: Some(url), body, operation_id: String::new() };
        Ok(Some(Self { time: UnixMillis(time.as_millisecond()), order, callback }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Recorded>, String> {
        Recorded::parse(line.as_bytes())
    }

    #[test]
    fn a_record_is_sent_as_it_came() {
        let line = r#"{"time":"2026-11-28T20:17:21.067Z","path":"/callbackX","query":"a=b","command":"callbackX","body":{ "a":1.0}}"#;
        let recorded = parse(line).unwrap().unwrap();
        assert_eq!(recorded.time, UnixMillis(1_795_897_041_067));
        assert_eq!(recorded.callback.recorded_url.as_deref(), Some("/callbackX?a=b"));
        assert_eq!((recorded.callback.command, recorded.callback.body.as_slice()), ("other", &b"{ \"a\":1.0}"[..]));
    }

    #[test]
    fn a_line_of_a_spool_is_sent_to_the_command_s_path() {
        let line =
            r#"{"time":"2026-11-28T20:17:21Z","command":"callbackAfterSendGroupMsgCommand","text":"a\n","more":1}"#;
        let callback = parse(line).unwrap().unwrap().callback;
        assert_eq!(callback.recorded_url.as_deref(), Some("/callbackAfterSendGroupMsgCommand"));
        assert_eq!((callback.command, callback.body.as_slice()), ("callbackAfterSendGroupMsgCommand", &b"a\n"[..]));
    }

    #[test]
    fn the_order_is_that_of_the_group_or_else_of_the_user() {
        let order = |body: &str| {
            let line = format!(r#"{{"time":"2026-11-28T20:17:21Z","command":"callbackX","body":{body}}}"#);
            parse(&line).unwrap().unwrap().order
        };
        assert_eq!(order(r#"{"groupID":"1","sendID":"2"}"#), order(r#"{"sendID":"3","groupID":"1"}"#));
        assert_ne!(order(r#"{"groupID":"1"}"#), order(r#"{"groupID":"2"}"#));
        assert_eq!(order(r#"{"userID":"7"}"#), order(r#"{"userID":"7","a":1}"#));
        assert_eq!(order("{}"), order("[]"));
    }

    #[test]
    fn other_lines_are_not_records() {
        assert!(parse(r#"{"time":"2026-11-28T20:17:21Z","command":"callbackX","bytes":5}"#).unwrap().is_none());
        for (line, problem) in [
            ("", "EOF"),
            ("{\"time\":\"2026-11-28T20:17:21Z\"", "EOF"),
            (r#"{"time":"yesterday","command":"callbackX","body":1}"#, "year"),
            (r#"{"time":"2026-11-28T20:17:21Z","command":"callbackX"}"#, "no body"),
            (r#"{"time":"2026-11-28T20:17:21Z","path":"x","command":"callbackX","body":1}"#, "URL"),
            (r#"{"time":"2026-11-28T20:17:21Z","path":"/ ","command":"callbackX","body":1}"#, "URL"),
        ] {
            let found = parse(line).unwrap_err();
            assert!(found.contains(problem), "{line}: {found}");
        }
    }
}
