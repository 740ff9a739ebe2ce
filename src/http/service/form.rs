//! Decoding `application/x-www-form-urlencoded`, the encoding of a query.

use std::borrow::Cow;
use std::str::Utf8Error;

use percent_encoding::percent_decode_str;

/// Decodes a name or a value: `+` is a space, `%` and two digits are a byte. Does not allocate if there is neither.
///
/// # Errors
/// When it is not UTF-8.
pub(super) fn decode(text: &str) -> Result<Cow<'_, str>, Utf8Error> {
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8();
    }
    percent_decode_str(&text.replace('+', " ")).decode_utf8().map(|decoded| Cow::Owned(decoded.into_owned()))
}

/// The names and values of a query, not decoded yet.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_bytes_are_decoded_once() {
        for (text, expected) in
            [("", ""), ("a", "a"), ("a+b%2Bc", "a b+c"), ("%2541", "%41"), ("%e7%be%a4", "\u{7fa4}"), ("%zz", "%zz")]
        {
            assert_eq!(decode(text).unwrap(), expected);
        }
        assert!(decode("%ff").is_err() && decode("+%ff").is_err());
        assert!(matches!(decode("callbackCommand"), Ok(Cow::Borrowed(_))));
    }
}
