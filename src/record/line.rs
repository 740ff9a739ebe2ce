//! The line of a record.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::Serialize;

use crate::config::RecordContent;
use crate::domain::UnixMillis;
use crate::wire::append_without_content;

const TIME: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// A callback to be recorded.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When it was received.
    pub received: UnixMillis,
    /// The end of its path that names the command, with a slash; empty if the path does not name it. What is before it
    /// may be a secret.
    pub path: &'a str,
    /// Its query.
    pub query: &'a str,
    /// Its command.
    pub command: &'a str,
    /// Its body as it came.
    pub body: &'a [u8],
    /// Whether the body is JSON.
    pub is_json: bool,
}

impl Record<'_> {
    /// Replaces `line` with a line break and the record's line, which ends with one. The first one is only written where
    /// it ends a torn line.
    pub(super) fn write(&self, content: RecordContent, line: &mut Vec<u8>) {
        line.clear();
        line.extend_from_slice(b"\n{\"time\":\"");
        let time = Timestamp::from_millisecond(self.received.0).unwrap_or_default();
        // Writing to a vector cannot fail.
        let _ = TIME.print_timestamp(&time, &mut *line);
        line.extend_from_slice(b"\",\"path\":");
        append_string(self.path, line);
        line.extend_from_slice(b",\"query\":");
        append_string(self.query, line);
        line.extend_from_slice(b",\"command\":");
        append_string(self.command, line);
        self.write_body(content, line);
        line.extend_from_slice(b"}\n");
    }

    fn write_body(&self, content: RecordContent, line: &mut Vec<u8>) {
        match (self.is_json, content) {
            (true, content) => {
                line.extend_from_slice(b",\"body\":");
                let begin = line.len();
                let body = self.body.trim_ascii_end();
                match content {
                    RecordContent::Full => line.extend_from_slice(body),
                    RecordContent::None => append_without_content(body, line),
                }
                // JSON has line breaks only between its tokens.
                line.iter_mut().skip(begin).filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
            }
            (false, RecordContent::Full) => {
                line.extend_from_slice(b",\"text\":");
                append_string(&String::from_utf8_lossy(self.body), line);
            }
            (false, RecordContent::None) => {
                line.extend_from_slice(b",\"bytes\":");
                line.extend_from_slice(itoa::Buffer::new().format(self.body.len()).as_bytes());
            }
        }
    }
}

/// Appends a JSON string.
fn append_string(text: &str, to: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = text.serialize(&mut serde_json::Serializer::new(to));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const RECORD: Record<'_> = Record {
        received: UnixMillis(1_795_897_041_067),
        path: "/callbackX",
        query: "key=\"1\"",
        command: "callbackX",
        body: b" {\"content\" :\r\n\"a\\n\",\n\"b\":[1.50]}\n",
        is_json: true,
    };

    fn line(record: Record<'_>, content: RecordContent) -> String {
        let mut line = b"before".to_vec();
        record.write(content, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_body_is_recorded_as_it_came_on_one_line() {
        let before = "\n{\"time\":\"2026-11-28T20:17:21.067Z\",\"path\":\"/callbackX\",\"query\":\"key=\\\"1\\\"\",\
                      \"command\":\"callbackX\",";
        let full = format!("{before}\"body\": {{\"content\" :  \"a\\n\", \"b\":[1.50]}}}}\n");
        assert_eq!(line(RECORD, RecordContent::Full), full);
        let none = format!("{before}\"body\": {{\"content\":\"\", \"b\":[1.50]}}}}\n");
        assert_eq!(line(RECORD, RecordContent::None), none);
    }

    #[test]
    fn a_body_that_is_not_json_is_text_or_a_length() {
        let record = Record { body: b"a\n\"\xff", is_json: false, ..RECORD };
        let of = |content| serde_json::from_str::<Value>(&line(record, content)).unwrap();
        assert_eq!(of(RecordContent::Full)["text"], "a\n\"\u{fffd}");
        let none = of(RecordContent::None);
        assert_eq!((&none["bytes"], none.get("text")), (&Value::from(4), None));
    }
}
