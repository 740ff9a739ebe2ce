//! The quick decoder, which reads OpenIM's fields in OpenIM's order in one pass.
//!
//! OpenIM encodes one Go struct, so the fields always have the same order, and a name is compared with the next
//! expected one instead of being looked up. Any other body is left to `serde_json`, which alone decides what is refused
//! and why. This decoder reads exactly what `serde_json` would read, in about a third of the time (`cargo bench --bench
//! record`).
//!
//! One loop goes through a table of the fields. Separate code for each field is faster in isolation, but slower in a
//! server: between two callbacks, the kernel, hyper and tokio use more code than the processor's instruction cache
//! holds, so long code has to be loaded again for each callback.

use wide::u8x16;

use super::escape::escape;
use super::field::{Measured, MentionList, Number, Plain, Skipped, Text, Whole};
use super::limits::MAX_ID_BYTES;
use crate::domain::Mentions;

/// An expected field.
pub(super) struct ExpectedField {
    /// With quotes and a colon, padded with zeros.
    name: [[u8; BLOCK]; 2],
    name_len: usize,
    json_type: JsonType,
}

/// The JSON type of a field.
#[derive(Clone, Copy)]
pub(super) enum JsonType {
    /// A string with at most this many bytes between its quotes.
    String(usize),
    /// An integer.
    Integer,
    /// A list of IDs.
    Mentions,
}

/// A field's value.
#[derive(Clone, Copy, Default)]
pub(super) enum FieldValue {
    /// Absent or `null`.
    #[default]
    Absent,
    String(StringSpan),
    Integer(i64),
    Mentions(Mentions),
}

/// The position of a string between its quotes.
#[derive(Clone, Copy)]
pub(super) struct StringSpan {
    begin: usize,
    end: usize,
    /// How many bytes shorter the string is without its escapes; 0 only if it has none.
    saved: usize,
}

/// A type of values that the quick decoder supports.
pub(super) trait Quick<'a>: Default {
    /// The type in JSON.
    const JSON_TYPE: JsonType;

    /// Converts a value of this type; `None` if it is left to `serde_json`.
    fn from_value(value: FieldValue, body: &'a str) -> Option<Self>;
}

/// Bytes per comparison.
const BLOCK: usize = 16;

impl ExpectedField {
    /// A field with this name, which includes the quotes and the colon.
    pub(super) const fn new(quoted: &str, json_type: JsonType) -> Self {
        let mut name = [[0; BLOCK]; 2];
        name.as_flattened_mut().split_at_mut(quoted.len()).0.copy_from_slice(quoted.as_bytes());
        Self { name, name_len: quoted.len(), json_type }
    }

    /// Whether the bytes start with the field's name.
    #[inline(always)]
    fn is_next(&self, bytes: &[u8]) -> bool {
        let equal = |left: &[u8; BLOCK], right: &[u8; BLOCK]| {
            u8x16::new(*left).simd_eq(u8x16::new(*right)).to_bitmask().trailing_ones() as usize
        };
        let [begin, end] = &self.name;
        match bytes.as_chunks().0 {
            [first, ..] if self.name_len <= BLOCK => equal(begin, first) >= self.name_len,
            [first, second, ..] => equal(begin, first) == BLOCK && equal(end, second) >= self.name_len - BLOCK,
            _ => self.name.as_flattened().get(..self.name_len).is_some_and(|name| bytes.starts_with(name)),
        }
    }
}

/// Reads a body that has some of these fields, in this order, and no others.
// Not inlined, so that there is only one copy of the code.
#[inline(never)]
pub(super) fn read(body: &str, fields: &[ExpectedField], values: &mut [FieldValue]) -> Option<()> {
    let mut cursor = Cursor { body, at: 0 };
    cursor.skip_space();
    cursor.take(b'{')?;
    cursor.skip_space();
    for (field, value) in fields.iter().zip(values) {
        if field.is_next(cursor.bytes().get(cursor.at..)?) {
            cursor.at += field.name_len;
            cursor.value(field.json_type, value)?;
            cursor.end_field()?;
        }
    }
    cursor.take(b'}')?;
    cursor.skip_space();
    (cursor.at == body.len()).then_some(())
}

/// A body, and the position of the next byte.
struct Cursor<'a> {
    body: &'a str,
    at: usize,
}

// Everything that each field needs is inlined, so that the values stay in registers.
impl<'a> Cursor<'a> {
    #[inline(always)]
    fn bytes(&self) -> &'a [u8] {
        self.body.as_bytes()
    }

    /// The next byte. At the end 0, which is not valid anywhere.
    #[inline(always)]
    fn next(&self) -> u8 {
        self.bytes().get(self.at).copied().unwrap_or_default()
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> Option<()> {
        let is_next = self.next() == byte;
        self.at += usize::from(is_next);
        is_next.then_some(())
    }

    /// Cold, because Go writes no whitespace.
    #[cold]
    fn skip_space(&mut self) {
        while matches!(self.next(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// After a field's value, there must be another field or the end.
    #[inline(always)]
    fn end_field(&mut self) -> Option<()> {
        if self.bytes().get(self.at..)?.starts_with(b",\"") {
            self.at += 1;
            return Some(());
        }
        self.skip_space();
        if self.take(b',').is_none() {
            return (self.next() == b'}').then_some(());
        }
        self.skip_space();
        (self.next() == b'"').then_some(())
    }

    #[inline(always)]
    fn value(&mut self, json_type: JsonType, value: &mut FieldValue) -> Option<()> {
        if self.next() <= b' ' {
            self.skip_space();
        }
        *value = match (self.next(), json_type) {
            (b'"', JsonType::String(max)) => FieldValue::String(self.string(max)?),
            (b'n', _) => self.null()?,
            (_, JsonType::Integer) => FieldValue::Integer(self.integer()?),
            (b'[', JsonType::Mentions) => self.mentions()?,
            _ => return None,
        };
        Some(())
    }

    #[inline]
    fn null(&mut self) -> Option<FieldValue> {
        self.at += self.bytes().get(self.at..)?.starts_with(b"null").then_some(4)?;
        Some(FieldValue::Absent)
    }

    /// Reads a string of at most `max` bytes. The next byte is its first quote.
    #[inline(always)]
    fn string(&mut self, max: usize) -> Option<StringSpan> {
        let begin = self.at + 1;
        let (mut at, mut saved) = (begin, 0);
        loop {
            let mut special = special_bytes(self.bytes(), at)?;
            let mut next = at + WIDE;
            while special != 0 {
                let place = at + special.trailing_zeros() as usize;
                match self.bytes().get(place)? {
                    b'"' => {
                        self.at = place + 1;
                        return (place - begin <= max).then_some(StringSpan { begin, end: place, saved });
                    }
                    b'\\' => {
                        let escape = escape(self.bytes().get(place..)?)?;
                        saved += escape.source - escape.target;
                        let end = place + escape.source;
                        // Escaped bytes are not special. The longest escape, of twelve bytes, ends before the 64th.
                        special &= u64::MAX << (end - at);
                        next = next.max(end);
                    }
                    _ => return None,
                }
            }
            at = next;
        }
    }

    /// Reads an integer of at most 18 digits, which fits into 64 bits. A further digit is not a valid next byte.
    #[inline(always)]
    fn integer(&mut self) -> Option<i64> {
        let is_negative = self.take(b'-').is_some();
        let begins_with_0 = self.next() == b'0';
        let (mut number, mut len) = (0, 0);
        for byte in self.bytes().get(self.at..)?.iter().take(18) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            number = number * 10 + i64::from(digit);
            len += 1;
        }
        self.at += len;
        let is_json = len == 1 || (len > 1 && !begins_with_0);
        // -0 is left to `serde_json`.
        (is_json && !(is_negative && number == 0)).then_some(if is_negative { -number } else { number })
    }

    /// Cold, because most messages have no mentions, and then Go writes `null`.
    #[cold]
    fn mentions(&mut self) -> Option<FieldValue> {
        let mut list = MentionList::default();
        self.take(b'[')?;
        self.skip_space();
        if self.take(b']').is_none() {
            loop {
                let id = if self.next() == b'"' { self.string(MAX_ID_BYTES)? } else { return None };
                list.count(id.plain(self.body)?);
                self.skip_space();
                if self.take(b']').is_some() {
                    break;
                }
                self.take(b',')?;
                self.skip_space();
            }
        }
        Some(FieldValue::Mentions(list.0))
    }
}

impl StringSpan {
    /// The string, if it has no escapes.
    #[inline]
    fn plain(self, body: &str) -> Option<&str> {
        if self.saved == 0 { body.get(self.begin..self.end) } else { None }
    }
}

/// Blocks of a string that are searched at once.
const BLOCKS: usize = 3;

/// Their bytes: more than the 32 of OpenIM's message IDs.
const WIDE: usize = BLOCKS * BLOCK;

/// The special bytes among the next [`WIDE`] ones of a body, as bits: quotes, backslashes and control characters.
/// `None` at the body's end, and if the body is shorter than [`WIDE`].
#[inline(always)]
fn special_bytes(body: &[u8], at: usize) -> Option<u64> {
    if at >= body.len() {
        return None;
    }
    // Near the end, earlier bytes are searched too.
    let begin = at.min(body.len().checked_sub(WIDE)?);
    let blocks = body.get(begin..)?.first_chunk::<WIDE>()?.as_chunks::<BLOCK>().0;
    let bits = blocks.iter().rev().fold(0, |bits, block| bits << BLOCK | special_in(u8x16::new(*block)));
    Some(bits >> (at - begin))
}

#[inline(always)]
fn special_in(block: u8x16) -> u64 {
    let is = |byte| block.simd_eq(u8x16::splat(byte));
    let is_control = block.min(u8x16::splat(b' ' - 1)).simd_eq(block);
    (is(b'"') | is(b'\\') | is_control).to_bitmask().into()
}

impl<'a> Quick<'a> for Text<'a> {
    const JSON_TYPE: JsonType = JsonType::String(MAX_ID_BYTES);

    #[inline]
    fn from_value(value: FieldValue, body: &'a str) -> Option<Self> {
        Plain::from_value(value, body).map(|plain| Self(plain.0.into()))
    }
}

impl<'a> Quick<'a> for Plain<'a> {
    const JSON_TYPE: JsonType = JsonType::String(MAX_ID_BYTES);

    #[inline]
    fn from_value(value: FieldValue, body: &'a str) -> Option<Self> {
        if let FieldValue::String(string) = value { string.plain(body).map(Self) } else { Some(Self::default()) }
    }
}

impl Quick<'_> for Measured {
    const JSON_TYPE: JsonType = JsonType::String(usize::MAX);

    #[inline]
    fn from_value(value: FieldValue, _: &str) -> Option<Self> {
        let FieldValue::String(StringSpan { begin, end, saved }) = value else { return Some(Self::default()) };
        Some(Self((end - begin - saved) as u64))
    }
}

impl<const MAX: usize> Quick<'_> for Skipped<MAX> {
    const JSON_TYPE: JsonType = JsonType::String(MAX);

    #[inline]
    fn from_value(_: FieldValue, _: &str) -> Option<Self> {
        Some(Self)
    }
}

impl<T: Whole> Quick<'_> for Number<T> {
    const JSON_TYPE: JsonType = JsonType::Integer;

    #[inline]
    fn from_value(value: FieldValue, _: &str) -> Option<Self> {
        if let FieldValue::Integer(number) = value { T::try_from(number).ok().map(Self) } else { Some(Self::default()) }
    }
}

impl Quick<'_> for MentionList {
    const JSON_TYPE: JsonType = JsonType::Mentions;

    #[inline]
    fn from_value(value: FieldValue, _: &str) -> Option<Self> {
        Some(if let FieldValue::Mentions(mentions) = value { Self(mentions) } else { Self::default() })
    }
}
