//! Headers that are lists. RFC 9110, 5.6.

/// Whether each quoted string has an end.
pub(super) fn is_balanced(text: &str) -> bool {
    // Within a string without an end, no separator is found.
    let with_end = format!("{text};");
    split_unquoted(&with_end, b';').last() == Some("")
}

/// Splits at a separator, but not within a quoted string. RFC 9110, 5.6.4.
pub(super) fn split_unquoted(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |char: char| {
        let was_escaped = std::mem::replace(&mut is_escaped, false);
        match char {
            '"' if !was_escaped => is_quoted = !is_quoted,
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            _ => {}
        }
        !is_quoted && char == char::from(separator)
    })
}
