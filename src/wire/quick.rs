//! The quick way to decode a callback: OpenIM's fields in OpenIM's order, read in one pass.
//!
//! OpenIM encodes one Go struct, so the fields always stand in the same order, and a name is found by comparing it with
//! the next one instead of looking it up. Whatever is not so, or is any other way unusual, is left to `serde_json`, which
//! alone says what is wrong with a body: what is read here is exactly what it would have read, and it takes about a third as long
//! (`cargo bench --bench record`).

use wide::u8x16;

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

    /// Sixteen bytes at a time, and of these only those that end the string, begin an escape or are forbidden in one.
    #[inline]
    fn string(&mut self) -> Option<Quoted<'a>> {
        self.take("\"")?;
        let bytes = self.0.as_bytes();
        let (mut at, mut saved) = (0, 0);
        loop {
            let mut special = special_bytes(block(bytes.get(at..)?));
            let mut next = at + BLOCK;
            while special != 0 {
                let place = at + special.trailing_zeros() as usize;
                match bytes.get(place)? {
                    b'"' => return self.quoted(place, saved),
                    b'\\' => {
                        let escape = escape(bytes.get(place..)?)?;
                        saved += escape.source - escape.target;
                        let end = place + escape.source;
                        // What is escaped is not special. The longest escape, twelve bytes, ends before the 32nd.
                        special &= u32::MAX << (end - at);
                        next = next.max(end);
                    }
                    _ => return None,
                }
            }
            at = next;
        }
    }

    /// The string that ends at a quote.
    #[inline]
    fn quoted(&mut self, quote: usize, saved: usize) -> Option<Quoted<'a>> {
        let inside = self.0.get(..quote)?;
        self.0 = self.0.get(quote + 1..)?;
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

/// Bytes that are looked at at once.
const BLOCK: usize = 16;

/// The first bytes; where there are fewer, others that are forbidden in a string.
#[inline]
fn block(bytes: &[u8]) -> u8x16 {
    u8x16::new(bytes.first_chunk::<BLOCK>().copied().unwrap_or_else(|| {
        let mut last = [0; BLOCK];
        last.iter_mut().zip(bytes).for_each(|(mine, byte)| *mine = *byte);
        last
    }))
}

/// A bit for each byte that is a quote, a backslash or a control character.
#[inline]
fn special_bytes(bytes: u8x16) -> u32 {
    let is = |byte| bytes.simd_eq(u8x16::splat(byte));
    let is_control = bytes.min(u8x16::splat(b' ' - 1)).simd_eq(bytes);
    (is(b'"') | is(b'\\') | is_control).to_bitmask()
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
