//! The quick way to decode a callback: OpenIM's fields in OpenIM's order, read in one pass.
//!
//! OpenIM encodes one Go struct, so the fields always stand in the same order, and a name is found by comparing it with
//! the next one instead of looking it up. Whatever is not so, or is any other way unusual, is left to `serde_json`, which
//! alone says what is wrong with a body: what is read here is exactly what it would have read, and it takes half as long
//! (`cargo bench --bench record`).

use super::escape::escape;
use super::field::{Measured, MentionList, Number, Plain, Skipped, Text, Verbatim, Whole};
use super::limits::MAX_ID_BYTES;

/// A value that can be read quickly.
pub(super) trait Quick<'a>: Default {
    /// Reads the value that the rest begins with, and which is not `null`.
    fn read(rest: &mut Rest<'a>) -> Option<Self>;
}

/// What is left of a body.
#[derive(Clone, Copy)]
pub(super) struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// What comes after the brace that opens a body.
    #[inline]
    pub(super) fn open(body: &'a str) -> Option<Self> {
        let mut rest = Self(body);
        rest.skip_space();
        rest.take("{")?;
        rest.skip_space();
        Some(rest)
    }

    /// The value of the next field if it has this name, which stands in quotes and before a colon; nothing's otherwise.
    // Always inlined, for the name to be compared as the constant that it is.
    #[inline(always)]
    pub(super) fn field<T: Quick<'a>>(&mut self, name: &str) -> Option<T> {
        if self.take(name).is_none() {
            return Some(T::default());
        }
        self.skip_space();
        let value = if self.take("null").is_some() { T::default() } else { T::read(self)? };
        self.skip_space();
        if self.take(",").is_some() {
            self.skip_space();
            self.begins_with(b'"').then_some(value)
        } else {
            self.begins_with(b'}').then_some(value)
        }
    }

    /// Whether nothing comes but the brace that closes the body, and space.
    #[inline]
    pub(super) fn closes(mut self) -> bool {
        let closes = self.take("}").is_some();
        self.skip_space();
        closes && self.0.is_empty()
    }

    #[inline]
    fn begins_with(&self, byte: u8) -> bool {
        self.0.as_bytes().first() == Some(&byte)
    }

    #[inline(always)]
    fn take(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    #[inline]
    fn skip_space(&mut self) {
        // Between two fields, Go writes none.
        if self.0.as_bytes().first().is_some_and(|byte| *byte <= b' ') {
            self.0 = self.0.trim_start_matches([' ', '\n', '\r', '\t']);
        }
    }

    #[inline]
    fn string(&mut self) -> Option<Quoted<'a>> {
        self.take("\"")?;
        let bytes = self.0.as_bytes();
        let (mut at, mut saved) = (0, 0);
        loop {
            let special = bytes.get(at..)?;
            at += plain_len(special);
            match bytes.get(at)? {
                b'"' => break,
                b'\\' => {
                    let escape = escape(bytes.get(at..)?)?;
                    at += escape.source;
                    saved += escape.source - escape.target;
                }
                _ => return None,
            }
        }
        let inside = self.0.get(..at)?;
        self.0 = self.0.get(at + 1..)?;
        Some(Quoted { inside, saved })
    }

    /// A string of at most so many bytes between its quotes.
    #[inline]
    fn string_up_to(&mut self, most: usize) -> Option<Quoted<'a>> {
        self.string().filter(|string| string.inside.len() <= most)
    }

    /// An ID without escapes.
    #[inline]
    fn plain_id(&mut self) -> Option<&'a str> {
        self.string_up_to(MAX_ID_BYTES).filter(|string| string.saved == 0).map(|string| string.inside)
    }

    /// A whole number of at most 18 digits, which fit into 64 bits; one more is what may not come next.
    #[inline]
    fn integer(&mut self) -> Option<i64> {
        let is_negative = self.take("-").is_some();
        let begins_with_0 = self.begins_with(b'0');
        let (mut number, mut len) = (0, 0);
        for digit in self.0.bytes().take(18).take_while(u8::is_ascii_digit) {
            number = number * 10 + i64::from(digit - b'0');
            len += 1;
        }
        self.0 = self.0.get(len..)?;
        let is_json = len == 1 || (len > 1 && !begins_with_0);
        // -0 is no whole number of Rust's: the thorough way knows.
        (is_json && !(is_negative && number == 0)).then_some(if is_negative { -number } else { number })
    }
}

/// A string as it stands between its quotes.
struct Quoted<'a> {
    inside: &'a str,
    /// By how many bytes it would be shorter with its escapes undone; 0 only if it has none.
    saved: usize,
}

/// How many bytes there are before the first that ends a string, begins an escape or is forbidden in one.
#[inline]
fn plain_len(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return number * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let plain = tail.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..b' ')).count();
    words.len() * 8 + plain
}

/// The top bit of each byte that is a quote, a backslash or a control character; of bytes behind the first such one
/// perhaps more. After "Determine if a word has a byte less than n", Sean Eron Anderson, "Bit Twiddling Hacks".
#[inline]
const fn special_bytes(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // With this bit turned, the quote (0x22) changes places with the space, so what lies up to there is special.
    let turned = word ^ (0x02 * EACH);
    let quote_or_control = turned.wrapping_sub(0x21 * EACH) & !turned;
    let backslash = word ^ (b'\\' as u64 * EACH);
    (quote_or_control | (backslash.wrapping_sub(EACH) & !backslash)) & (0x80 * EACH)
}

impl<'a> Quick<'a> for Text<'a> {
    #[inline]
    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        rest.plain_id().map(|text| Self(text.into()))
    }
}

impl<'a> Quick<'a> for Plain<'a> {
    #[inline]
    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        rest.plain_id().map(Self)
    }
}

impl<'a> Quick<'a> for Verbatim<'a> {
    #[inline]
    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        rest.string_up_to(MAX_ID_BYTES).map(|string| Self(string.inside))
    }
}

impl<'a> Quick<'a> for Measured {
    #[inline]
    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        rest.string().map(|string| Self((string.inside.len() - string.saved) as u64))
    }
}

impl<'a, const MOST: usize> Quick<'a> for Skipped<MOST> {
    #[inline]
    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        rest.string_up_to(MOST).map(|_| Self)
    }
}

impl<'a, T: Whole> Quick<'a> for Number<T> {
    #[inline]
    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        T::try_from(rest.integer()?).ok().map(Self)
    }
}

impl<'a> Quick<'a> for MentionList {
    fn read(rest: &mut Rest<'a>) -> Option<Self> {
        let mut list = Self::default();
        rest.take("[")?;
        rest.skip_space();
        if rest.take("]").is_some() {
            return Some(list);
        }
        loop {
            list.count(rest.plain_id()?);
            rest.skip_space();
            if rest.take("]").is_some() {
                return Some(list);
            }
            rest.take(",")?;
            rest.skip_space();
        }
    }
}
