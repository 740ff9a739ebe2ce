//! Parses queries of the API. Unknown parameters are errors, so that a misspelled one does not go unnoticed.

use std::borrow::Cow;

use crate::http::service::form;
use crate::view::groups::{GroupQuery, Sort};

/// The largest page, in groups.
const MAX_LIMIT: usize = 1000;

/// The largest offset. Sorting needs memory for this many groups plus a page.
const MAX_OFFSET: usize = 100_000;

/// The longest search text in bytes. The name of a group has at most 64.
const MAX_SEARCH_BYTES: usize = 256;

/// The most bytes of an invalid value that a refusal quotes.
const MAX_QUOTED_BYTES: usize = 40;

const SORT: &str = "sort";
const LIMIT: &str = "limit";
const OFFSET: &str = "offset";
const SEARCH: &str = "q";
pub(super) const FORMAT: &str = "format";
const GROUPS: [&str; 4] = [SORT, LIMIT, OFFSET, SEARCH];

/// Parses a query for groups.
///
/// # Errors
/// The detail of the refusal.
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

/// How the live page's numbers are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LiveFormat {
    /// Server-sent events.
    Events,
    /// One snapshot.
    Json,
}

/// Parses a query for the live page's numbers.
///
/// # Errors
/// The detail of the refusal.
pub(super) fn parse_live(query: &str) -> Result<LiveFormat, String> {
    match parse_pairs(query, &[FORMAT])?.first().map(|(_, value)| value.as_str()) {
        None => Ok(LiveFormat::Events),
        Some("json") => Ok(LiveFormat::Json),
        Some(value) => Err(format!("{FORMAT}: {} is not json; leave it out for events", quote(value))),
    }
}

/// Checks that there are no parameters.
pub(in crate::http::service) fn parse_none(query: &str) -> Result<(), String> {
    parse_pairs(query, &[]).map(drop)
}

/// The parameters and their values. Each must be known, and must not be repeated.
pub(super) fn parse_pairs(query: &str, known: &[&str]) -> Result<Vec<(String, String)>, String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (name, value) in form::pairs(query) {
        let (name, value) = (decode(name, name)?, decode(name, value)?);
        if !known.contains(&name.as_str()) {
            let valid = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!("{}: unknown parameter; known parameters: {valid}", quote(&name)));
        }
        if pairs.iter().any(|(earlier, _)| *earlier == name) {
            return Err(format!("{name}: repeated, with the value {}; give it once", quote(&value)));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn decode(name: &str, text: &str) -> Result<String, String> {
    let decoded = form::decode(text).map(Cow::into_owned);
    decoded.map_err(|_| format!("{}: {} is not percent-encoded UTF-8", shorten(name), quote(text)))
}

fn parse_sort(value: &str) -> Result<Sort, String> {
    let wrong = || format!("{SORT}: {} is not one of messages, rate, active_senders, last_seen, growth", quote(value));
    Sort::from_name(value).ok_or_else(wrong)
}

fn parse_number(name: &str, value: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    // `parse` also accepts a sign.
    let number = number.filter(|_| value.bytes().all(|byte| byte.is_ascii_digit()));
    number.ok_or_else(|| format!("{name}: {} is not a whole number from {least} to {most}", quote(value)))
}

fn parse_search(value: &str) -> Result<String, String> {
    if value.len() > MAX_SEARCH_BYTES {
        let len = value.len();
        return Err(format!("{SEARCH}: {} has {len} bytes; the maximum is {MAX_SEARCH_BYTES}", quote(value)));
    }
    Ok(value.to_owned())
}

pub(super) fn quote(text: &str) -> String {
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
    fn omitted_parameters_have_defaults() {
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
    fn a_sort_has_the_same_name_in_queries_and_answers() {
        for sort in [Sort::Messages, Sort::Rate, Sort::ActiveSenders, Sort::LastSeen, Sort::Growth] {
            let name = serde_json::to_value(sort).unwrap();
            assert_eq!(parse_groups(&format!("sort={}", name.as_str().unwrap())).unwrap().sort, sort);
        }
    }

    #[test]
    fn a_search_is_form_decoded() {
        for (query, text) in [
            ("q=a+b%2Bc%26d%3De", "a b+c&d=e"),
            ("q=%E7%BE%A4", "群"),
            ("q=群", "群"),
            ("q=a=b", "a=b"),
            // A percent sign that starts no escape is literal, as in browsers.
            ("q=100%", "100%"),
            ("q=%zz", "%zz"),
            ("q=%00", "\0"),
        ] {
            assert_eq!(parse_groups(query).unwrap().search, text, "{query}");
        }
        assert_eq!(parse_groups(&format!("q={}", "%61".repeat(256))).unwrap().search, "a".repeat(256));
    }

    #[test]
    fn an_error_names_the_parameter_its_value_and_what_is_valid() {
        for (query, expected) in [
            ("limits=5", "\"limits\": unknown parameter; known parameters: sort, limit, offset, q"),
            ("limit=5&limit=5", "limit: repeated, with the value \"5\"; give it once"),
            ("q=a&%71=b", "q: repeated, with the value \"b\"; give it once"),
            ("sort=Rate", "sort: \"Rate\" is not one of messages, rate, active_senders, last_seen, growth"),
            ("sort=", "sort: \"\" is not one of messages, rate, active_senders, last_seen, growth"),
            ("limit=0", "limit: \"0\" is not a whole number from 1 to 1000"),
            ("limit=1001", "limit: \"1001\" is not a whole number from 1 to 1000"),
            ("limit=", "limit: \"\" is not a whole number from 1 to 1000"),
            ("limit=1e2", "limit: \"1e2\" is not a whole number from 1 to 1000"),
            ("limit=%2B5", "limit: \"+5\" is not a whole number from 1 to 1000"),
            ("limit=18446744073709551617", "limit: \"18446744073709551617\" is not a whole number from 1 to 1000"),
            ("offset=100001", "offset: \"100001\" is not a whole number from 0 to 100000"),
            ("offset=-1", "offset: \"-1\" is not a whole number from 0 to 100000"),
            ("q=%ff", "q: \"%ff\" is not percent-encoded UTF-8"),
            ("%ff=q", "%ff: \"%ff\" is not percent-encoded UTF-8"),
        ] {
            assert_eq!(parse_groups(query).unwrap_err(), expected, "{query}");
        }
    }

    #[test]
    fn only_the_start_of_a_long_value_is_quoted() {
        let detail = parse_groups(&format!("q={}", "群".repeat(86))).unwrap_err();
        assert_eq!(detail, format!("q: \"{}...\" has 258 bytes; the maximum is 256", "群".repeat(13)));
        let detail = parse_groups(&format!("{}=1", "x".repeat(5000))).unwrap_err();
        assert!(detail.starts_with(&format!("\"{}...\": ", "x".repeat(40))) && detail.len() < 150, "{detail}");
        let detail = parse_groups(&format!("{}=%ff", "x".repeat(5000))).unwrap_err();
        assert!(detail.len() < 150, "{detail}");
    }

    #[test]
    fn live_numbers_are_events_or_json() {
        assert_eq!(parse_live(""), Ok(LiveFormat::Events));
        assert_eq!(parse_live("format=json"), Ok(LiveFormat::Json));
        assert_eq!(parse_live("format=csv").unwrap_err(), "format: \"csv\" is not json; leave it out for events");
        assert_eq!(parse_live("x=1").unwrap_err(), "\"x\": unknown parameter; known parameters: format");
    }

    #[test]
    fn every_parameter_is_unknown_where_none_is_expected() {
        assert_eq!(parse_none(""), Ok(()));
        assert_eq!(parse_none("x=1").unwrap_err(), "\"x\": unknown parameter; known parameters: none");
    }
}
