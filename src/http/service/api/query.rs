//! What stands behind the question mark, checked: a script that misspells a parameter is told so.

use percent_encoding::percent_decode_str;
use serde::Serialize;

/// The most groups of one page.
const MAX_LIMIT: usize = 1000;

/// The furthest that a page may begin: as many groups and a page are kept while they are sorted.
const MAX_OFFSET: usize = 100_000;

/// The longest text to be looked for, in bytes. A group's name has 64.
const MAX_SEARCH_BYTES: usize = 256;

/// The longest part in bytes of a wrong value that its refusal quotes.
const MAX_QUOTED_BYTES: usize = 40;

const SORT: &str = "sort";
const LIMIT: &str = "limit";
const OFFSET: &str = "offset";
const SEARCH: &str = "q";
const GROUPS: [&str; 4] = [SORT, LIMIT, OFFSET, SEARCH];

/// What groups are sorted by: the greatest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sort {
    /// Messages counted.
    Messages,
    /// Messages a second lately.
    Rate,
    /// Distinct senders in the last 24 hours.
    ActiveSenders,
    /// When the last message was received.
    LastSeen,
}

impl Sort {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "messages" => Some(Self::Messages),
            "rate" => Some(Self::Rate),
            "active_senders" => Some(Self::ActiveSenders),
            "last_seen" => Some(Self::LastSeen),
            _ => None,
        }
    }
}

/// Which groups are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupQuery {
    pub(super) sort: Sort,
    pub(super) limit: usize,
    pub(super) offset: usize,
    /// A part of the group's ID, of letters of either case; empty for all groups.
    pub(super) search: String,
}

/// Reads the query of the groups, or says what is wrong with it.
pub(super) fn parse_groups(query: &str) -> Result<GroupQuery, String> {
    let pairs = parse_pairs(query, &GROUPS)?;
    let of = |name| pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    Ok(GroupQuery {
        sort: of(SORT).map_or(Ok(Sort::Messages), parse_sort)?,
        limit: of(LIMIT).map_or(Ok(50), |value| parse_number(LIMIT, value, 1, MAX_LIMIT))?,
        offset: of(OFFSET).map_or(Ok(0), |value| parse_number(OFFSET, value, 0, MAX_OFFSET))?,
        search: of(SEARCH).map_or(Ok(String::new()), parse_search)?,
    })
}

/// Checks that there is no parameter.
pub(super) fn parse_none(query: &str) -> Result<(), String> {
    parse_pairs(query, &[]).map(drop)
}

/// The parameters with their values, each of which is known and stands once.
fn parse_pairs(query: &str, known: &[&str]) -> Result<Vec<(String, String)>, String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name, name)?, decode(name, value)?);
        if !known.contains(&name.as_str()) {
            let right = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!("{}: there is no such parameter; there is {right}", quote(&name)));
        }
        if pairs.iter().any(|(earlier, _)| *earlier == name) {
            return Err(format!("{name}: stands a second time, with the value {}; once is right", quote(&value)));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// Undoes what a form does to a text: `+` for a space, `%` and two digits for any byte.
fn decode(name: &str, text: &str) -> Result<String, String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(Into::into).map_err(|_| format!("{}: {} is not UTF-8, percent-encoded", shorten(name), quote(text)))
}

fn parse_sort(value: &str) -> Result<Sort, String> {
    let wrong = || format!("{SORT}: {} is not messages, rate, active_senders or last_seen", quote(value));
    Sort::from_name(value).ok_or_else(wrong)
}

fn parse_number(name: &str, value: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    // The standard library takes a sign as well.
    let number = number.filter(|_| value.bytes().all(|byte| byte.is_ascii_digit()));
    number.ok_or_else(|| format!("{name}: {} is not a whole number from {least} to {most}", quote(value)))
}

fn parse_search(value: &str) -> Result<String, String> {
    if value.len() > MAX_SEARCH_BYTES {
        let len = value.len();
        return Err(format!("{SEARCH}: {} has {len} bytes; at most {MAX_SEARCH_BYTES} are right", quote(value)));
    }
    Ok(value.to_owned())
}

fn quote(text: &str) -> String {
    format!("{:?}", shorten(text))
}

fn shorten(text: &str) -> String {
    let start = &text[..text.floor_char_boundary(MAX_QUOTED_BYTES)];
    if start.len() < text.len() { format!("{start}...") } else { start.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_a_default() {
        let defaults = GroupQuery { sort: Sort::Messages, limit: 50, offset: 0, search: String::new() };
        for query in ["", "&", "&&", "q=", "q", "sort=messages&limit=50&offset=0"] {
            assert_eq!(parse_groups(query).unwrap(), defaults, "{query}");
        }
    }

    #[test]
    fn every_parameter_is_read_in_any_order() {
        let all = parse_groups("q=a%20b&offset=100000&limit=1000&sort=last_seen").unwrap();
        assert_eq!(all, GroupQuery { sort: Sort::LastSeen, limit: 1000, offset: 100_000, search: "a b".into() });
        assert_eq!(parse_groups("%73ort=rate").unwrap().sort, Sort::Rate);
        assert_eq!(parse_groups("limit=1").unwrap().limit, 1);
    }

    #[test]
    fn a_sort_is_told_by_the_name_that_it_is_shown_by() {
        for sort in [Sort::Messages, Sort::Rate, Sort::ActiveSenders, Sort::LastSeen] {
            let name = serde_json::to_value(sort).unwrap();
            assert_eq!(parse_groups(&format!("sort={}", name.as_str().unwrap())).unwrap().sort, sort);
        }
    }

    #[test]
    fn a_search_is_decoded_as_forms_are_encoded() {
        for (query, text) in [
            ("q=a+b%2Bc%26d%3De", "a b+c&d=e"),
            ("q=%E7%BE%A4", "群"),
            ("q=群", "群"),
            ("q=a=b", "a=b"),
            // A percent sign that begins nothing stands for itself, as in browsers.
            ("q=100%", "100%"),
            ("q=%zz", "%zz"),
            ("q=%00", "\0"),
        ] {
            assert_eq!(parse_groups(query).unwrap().search, text, "{query}");
        }
        assert_eq!(parse_groups(&format!("q={}", "%61".repeat(256))).unwrap().search, "a".repeat(256));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_value_and_with_what_is_right() {
        for (query, expected) in [
            ("limits=5", "\"limits\": there is no such parameter; there is sort, limit, offset, q"),
            ("limit=5&limit=5", "limit: stands a second time, with the value \"5\"; once is right"),
            ("q=a&%71=b", "q: stands a second time, with the value \"b\"; once is right"),
            ("sort=Rate", "sort: \"Rate\" is not messages, rate, active_senders or last_seen"),
            ("sort=", "sort: \"\" is not messages, rate, active_senders or last_seen"),
            ("limit=0", "limit: \"0\" is not a whole number from 1 to 1000"),
            ("limit=1001", "limit: \"1001\" is not a whole number from 1 to 1000"),
            ("limit=", "limit: \"\" is not a whole number from 1 to 1000"),
            ("limit=1e2", "limit: \"1e2\" is not a whole number from 1 to 1000"),
            ("limit=%2B5", "limit: \"+5\" is not a whole number from 1 to 1000"),
            ("limit=18446744073709551617", "limit: \"18446744073709551617\" is not a whole number from 1 to 1000"),
            ("offset=100001", "offset: \"100001\" is not a whole number from 0 to 100000"),
            ("offset=-1", "offset: \"-1\" is not a whole number from 0 to 100000"),
            ("q=%ff", "q: \"%ff\" is not UTF-8, percent-encoded"),
            ("%ff=q", "%ff: \"%ff\" is not UTF-8, percent-encoded"),
        ] {
            assert_eq!(parse_groups(query).unwrap_err(), expected, "{query}");
        }
    }

    #[test]
    fn a_long_value_is_quoted_by_its_start() {
        let detail = parse_groups(&format!("q={}", "群".repeat(86))).unwrap_err();
        assert_eq!(detail, format!("q: \"{}...\" has 258 bytes; at most 256 are right", "群".repeat(13)));
        let detail = parse_groups(&format!("{}=1", "x".repeat(5000))).unwrap_err();
        assert!(detail.starts_with(&format!("\"{}...\": ", "x".repeat(40))) && detail.len() < 150, "{detail}");
        let detail = parse_groups(&format!("{}=%ff", "x".repeat(5000))).unwrap_err();
        assert!(detail.len() < 150, "{detail}");
    }

    #[test]
    fn where_there_is_no_parameter_each_is_wrong() {
        assert_eq!(parse_none(""), Ok(()));
        assert_eq!(parse_none("x=1").unwrap_err(), "\"x\": there is no such parameter; there is none");
    }
}
