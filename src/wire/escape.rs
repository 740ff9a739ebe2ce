//! Measuring the escapes in a JSON string, without unescaping it.

/// The length of an escape in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Escape {
    /// In JSON.
    pub(super) source: usize,
    /// As a character in UTF-8.
    pub(super) target: usize,
}

/// The escape at the start of some bytes. A surrogate pair counts as one. `None` if it is malformed, incomplete, or a
/// lone surrogate, which is not a character.
#[inline]
pub(super) fn escape(bytes: &[u8]) -> Option<Escape> {
    match bytes {
        [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Some(Escape { source: 2, target: 1 }),
        [b'\\', b'u', ..] => unicode(bytes),
        _ => None,
    }
}

fn unicode(bytes: &[u8]) -> Option<Escape> {
    let first = code_unit(bytes)?;
    let (source, character) = match first {
        0xd800..0xdc00 => (12, char::decode_utf16([first, code_unit(bytes.get(6..)?)?]).next()?.ok()?),
        _ => (6, char::from_u32(first.into())?),
    };
    Some(Escape { source, target: character.len_utf8() })
}

fn code_unit(bytes: &[u8]) -> Option<u16> {
    let [b'\\', b'u', digits @ ..] = bytes.get(..6)? else {
        return None;
    };
    digits.iter().try_fold(0, |unit, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(value).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_is_measured_in_json_and_in_utf_8() {
        let cases = [
            (r"\n", 2, 1),
            (r"\/rest", 2, 1),
            (r"\u0041", 6, 1),
            (r"\u00e9f", 6, 2),
            (r"\u7FA4", 6, 3),
            (r"\u0000", 6, 1),
            (r"\ud83d\udc4b\n", 12, 4),
        ];
        for (bytes, source, target) in cases {
            assert_eq!(escape(bytes.as_bytes()), Some(Escape { source, target }), "{bytes}");
        }
    }

    #[test]
    fn an_invalid_escape_is_none() {
        let cases = [
            "",
            "n",
            r"\",
            r"\x",
            r"\U0041",
            r"\u",
            r"\u004",
            r"\u+041",
            r"\u004g",
            r"\ud800",
            r"\udc00",
            r"\ud83dx",
            r"\ud83d\n",
            r"\ud83d\ud83d",
            r"\ud800\u0041",
            r"\ud83d\u",
        ];
        for bytes in cases {
            assert_eq!(escape(bytes.as_bytes()), None, "{bytes}");
        }
    }
}
