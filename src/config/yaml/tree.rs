//! YAML as a tree of nodes with their line numbers: only what the web configuration needs.
//!
//! The tree is built here, from the parser's events, so that no error quotes the file, which has secrets.

use std::collections::HashSet;

use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span, Tag};

use crate::config::file::{FileError, redact_name};

/// Levels of nesting; the format has four.
const MAX_LEVELS: usize = 8;

type Events<'a> = dyn Iterator<Item = Result<(Event<'a>, Span), ScanError>> + 'a;

/// A value, and the line at which it begins, counted from 1.
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) value: YamlValue,
}

pub(crate) enum YamlValue {
    /// No value, or `null` in one of its spellings.
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Vec<MappingEntry>),
}

pub(crate) struct MappingEntry {
    /// The line of the key.
    pub(crate) line: usize,
    pub(crate) key: String,
    pub(crate) node: Node,
}

/// The only document of a text; an empty text is null.
///
/// # Errors
/// When it is not YAML, or has a second document, an alias, a tag, a duplicate key, or a key that is not text.
pub(crate) fn parse(text: &str) -> Result<Node, FileError> {
    let mut options = Options::default();
    options.disallow_directives = true;
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut root = Node { line: 1, value: YamlValue::Null };
    let mut documents = 0;
    loop {
        match next(&mut parser)? {
            (Event::StreamEnd, _) => return Ok(root),
            (Event::StreamStart | Event::DocumentEnd, _) => {}
            (Event::DocumentStart(..), line) => {
                documents += 1;
                if documents > 1 {
                    return Err(FileError::at_line(line, "", "a second document begins here; give only one"));
                }
            }
            (event, line) => root = node(event, line, &mut parser, MAX_LEVELS)?,
        }
    }
}

fn next<'a>(events: &mut Events<'a>) -> Result<(Event<'a>, usize), FileError> {
    match events.next() {
        Some(Ok((event, span))) => Ok((event, span.start.line())),
        Some(Err(error)) => {
            Err(FileError::at_line(error.marker().line(), "", format!("this is not YAML: {}", error.info())))
        }
        None => Ok((Event::StreamEnd, 1)),
    }
}

fn node<'a>(event: Event<'a>, line: usize, events: &mut Events<'a>, levels: usize) -> Result<Node, FileError> {
    let value = match event {
        Event::Scalar(text, style, _, tag) => {
            check_tag(tag.as_deref(), line)?;
            let null = style == ScalarStyle::Plain && ["", "~", "null", "Null", "NULL"].contains(&&*text);
            if null { YamlValue::Null } else { YamlValue::Text(text.into_owned()) }
        }
        Event::SequenceStart(_, _, tag) => {
            check_tag(tag.as_deref(), line)?;
            YamlValue::List(list(events, deeper(levels, line)?)?)
        }
        Event::MappingStart(_, _, tag) => {
            check_tag(tag.as_deref(), line)?;
            YamlValue::Map(map(events, deeper(levels, line)?)?)
        }
        _ => return Err(FileError::at_line(line, "", "aliases (*name) are not supported; write the value out")),
    };
    Ok(Node { line, value })
}

fn deeper(levels: usize, line: usize) -> Result<usize, FileError> {
    let too_deep = || FileError::at_line(line, "", format!("nesting exceeds {MAX_LEVELS} levels"));
    levels.checked_sub(1).ok_or_else(too_deep)
}

fn check_tag(tag: Option<&Tag>, line: usize) -> Result<(), FileError> {
    tag.map_or(Ok(()), |_| Err(FileError::at_line(line, "", "tags (!name) are not supported; remove this one")))
}

fn list(events: &mut Events<'_>, levels: usize) -> Result<Vec<Node>, FileError> {
    let mut nodes = Vec::new();
    loop {
        match next(events)? {
            (Event::SequenceEnd, _) => return Ok(nodes),
            (event, line) => nodes.push(node(event, line, events, levels)?),
        }
    }
}

fn map(events: &mut Events<'_>, levels: usize) -> Result<Vec<MappingEntry>, FileError> {
    let mut entries = Vec::new();
    let mut seen = HashSet::new();
    loop {
        let (event, line) = next(events)?;
        if matches!(event, Event::MappingEnd) {
            return Ok(entries);
        }
        let YamlValue::Text(key) = node(event, line, events, levels)?.value else {
            return Err(FileError::at_line(line, "", "a key must be text; put it in quotes"));
        };
        if !seen.insert(key.clone()) {
            return Err(FileError::at_line(line, redact_name(&key), "duplicate key; remove one"));
        }
        let (event, at) = next(events)?;
        entries.push(MappingEntry { line, key, node: node(event, at, events, levels)? });
    }
}
