//! Messages that are not counted: by content type, and by sender.

use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;

use super::file::{self, FileError};
use crate::domain::codes::CONTENT_TYPES;

/// Maximum number of items in a list: each message is compared with all of them.
const MAX_ITEMS: usize = 100;

/// Maximum size of a file with senders, in bytes: a hundred thousand IDs.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The longest ID of a sender in bytes: no message with a longer one is accepted.
const MAX_ID_BYTES: usize = 8 * 1024;

/// A list of content types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentTypes(Vec<RangeInclusive<i32>>);

impl fmt::Display for ContentTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for range in &self.0 {
            write!(f, "{separator}{}", range.start())?;
            if range.start() != range.end() {
                write!(f, "-{}", range.end())?;
            }
            separator = ",";
        }
        Ok(())
    }
}

impl ContentTypes {
    /// Parses a comma-separated list of names, numbers and ranges such as `1000-5000`.
    ///
    /// # Errors
    /// When an item is none of these, or the list is too long.
    pub fn parse(list: &str) -> Result<Self, String> {
        let ranges = list.split(',').map(|item| range(item.trim())).collect::<Result<Vec<_>, _>>()?;
        if ranges.len() > MAX_ITEMS {
            return Err(format!("{} content types are too many; give at most {MAX_ITEMS}, or ranges", ranges.len()));
        }
        Ok(Self(ranges))
    }

    /// Whether a content type is in the list.
    #[must_use]
    pub fn contains(&self, content_type: i32) -> bool {
        self.0.iter().any(|range| range.contains(&content_type))
    }
}

fn range(item: &str) -> Result<RangeInclusive<i32>, String> {
    let named = CONTENT_TYPES.iter().find(|(_, name)| *name == item).map(|(code, _)| *code..=*code);
    let numbers = || {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    let range: Option<RangeInclusive<i32>> = named.or_else(numbers);
    if let Some(reversed) = range.as_ref().filter(|range| range.is_empty()) {
        return Err(format!(
            "{item:?}: the first number is the larger one; give {}-{}",
            reversed.end(),
            reversed.start()
        ));
    }
    range.ok_or_else(|| {
        format!(
            "{item:?}: not a content type; give names (the label values of content_type, such as typing), numbers, or \
             ranges such as 1000-5000"
        )
    })
}

/// The IDs of senders whose messages are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Senders(HashSet<String>);

impl Senders {
    /// Reads a file with an ID on each line. Empty lines, and lines that begin with `#`, are ignored.
    ///
    /// # Errors
    /// When it cannot be read, or an ID is too long; names the file and the line.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        file::read(path, MAX_FILE_BYTES).and_then(|text| Self::parse(&text)).map_err(|error| error.in_file(path))
    }

    /// Parses the text of such a file.
    ///
    /// # Errors
    /// When an ID is too long.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = (1..).zip(text.lines().map(str::trim));
        let ids = lines.filter(|(_, id)| !id.is_empty() && !id.starts_with('#')).map(|(line, id)| {
            if id.len() <= MAX_ID_BYTES {
                return Ok(id.to_owned());
            }
            let problem = format!("an ID has at most {MAX_ID_BYTES} bytes; write one ID on each line");
            Err(FileError::at_line(line, "", problem))
        });
        ids.collect::<Result<_, _>>().map(Self)
    }

    /// Whether a sender is listed.
    #[must_use]
    pub fn contains(&self, sender: &str) -> bool {
        self.0.contains(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_names_numbers_and_ranges() {
        let types = ContentTypes::parse("typing, 110,1000-5000").unwrap();
        for (content_type, expected) in [
            (113, true),
            (110, true),
            (1000, true),
            (3141, true),
            (5000, true),
            (101, false),
            (999, false),
            (5001, false),
        ] {
            assert_eq!(types.contains(content_type), expected, "{content_type}");
        }
        assert_eq!(types.to_string(), "113,110,1000-5000");
        for wrong in ["", "tpying", "1-", "-", "1,,2", "99999999999", "1.5"] {
            let error = ContentTypes::parse(wrong).unwrap_err();
            assert!(error.contains("not a content type; give names"), "{wrong}: {error}");
        }
        assert_eq!(
            ContentTypes::parse("typing,5000-1000").unwrap_err(),
            "\"5000-1000\": the first number is the larger one; give 1000-5000"
        );
        assert!(ContentTypes::parse(&vec!["1"; 101].join(",")).unwrap_err().contains("101 content types are too many"));
    }

    #[test]
    fn senders_are_on_lines_of_their_own() {
        let senders = Senders::parse("\u{feff}# bots\nbot-1\r\n\n  imAdmin \n#bot-3").unwrap();
        assert!(["bot-1", "imAdmin"].iter().all(|sender| senders.contains(sender)));
        assert!(["", "# bots", "bot-3", "bot-1\r"].iter().all(|sender| !senders.contains(sender)));
        let long = Senders::parse(&format!("a\n{}\n", "x".repeat(8193))).unwrap_err().to_string();
        assert_eq!(long, "line 2: an ID has at most 8192 bytes; write one ID on each line");
    }
}
