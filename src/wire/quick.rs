//! The quick way to decode a callback: OpenIM's fields in OpenIM's order, read in one pass.
//!
//! OpenIM encodes one Go struct, so the fields always stand in the same order, and a name is found by comparing it with
//! the next one instead of looking it up. Whatever is not so, or is any other way unusual, is left to `serde_json`, which
//! alone says what is wrong with a body: what is read here is exactly what it would have read, and it takes about a third as long
//! (`cargo bench --bench record`).
//!
//! One loop goes through a table of the fields. Code for each field in its place would be quicker where nothing else
//! runs, and is slower in a server: between two callbacks the kernel, hyper and tokio need more than the processor's
//! cache of instructions, so what is long has to come anew for each callback.

use wide::u8x16;

use super::escape::escape;
use super::field::{Measured, MentionList, Number, Plain, Skipped, Text, Verbatim, Whole};
use super::limits::MAX_ID_BYTES;
use crate::domain::Mentions;

/// A field that may come.
pub(super) struct Field {
    /// In quotes and before a colon, filled up with zeros.
    name: [[u8; BLOCK]; 2],
    name_len: usize,
    kind: Kind,
}

/// What a field's value is in JSON.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A string of at most so many bytes between its quotes.
    String(usize),
    /// A whole number.
    Integer,
    /// A list of IDs.
    Mentions,
}

/// What was read of a field: nothing if it is absent or `null`.
#[derive(Clone, Copy, Default)]
pub(super) enum Value {
    #[default]
    Absent,
    String(Quoted),
    Integer(i64),
    Mentions(Mentions),
}

/// A string as it stands between its quotes.
#[derive(Clone, Copy)]
pub(super) struct Quoted {
    begin: usize,
    end: usize,
    /// By how many bytes it would be shorter with its escapes undone; 0 only if it has none.
    saved: usize,
}

/// A type of fields that can be read quickly.
pub(super) trait Quick<'a>: Default {
    /// What it is in JSON.
    const KIND: Kind;

    /// What it is with this value of the body, which is of its kind.
    fn of(value: Value, body: &'a str) -> Option<Self>;
}

/// Bytes that are compared at once.
const BLOCK: usize = 16;

impl Field {
    /// A field, its name in quotes and before a colon.
    pub(super) const fn new(quoted: &str, kind: Kind) -> Self {
        let mut name = [[0; BLOCK]; 2];
        name.as_flattened_mut().split_at_mut(quoted.len()).0.copy_from_slice(quoted.as_bytes());
        Self { name, name_len: quoted.len(), kind }
    }

    /// Whether its name comes next.
    #[inline(always)]
    fn is_next(&self, bytes: &[u8]) -> bool {
        let alike = |left: &[u8; BLOCK], right: &[u8; BLOCK]| {
            u8x16::new(*left).simd_eq(u8x16::new(*right)).to_bitmask().trailing_ones() as usize
        };
        let [begin, end] = &self.name;
        match bytes.as_chunks().0 {
            [first, ..] if self.name_len <= BLOCK => alike(begin, first) >= self.name_len,
            [first, second, ..] => alike(begin, first) == BLOCK && alike(end, second) >= self.name_len - BLOCK,
            _ => self.name.as_flattened().get(..self.name_len).is_some_and(|name| bytes.starts_with(name)),
        }
    }
}

/// Reads a body that has these fields, or some of them, in this order, and no other.
// Not inlined: it is to be in the program once.
#[inline(never)]
pub(super) fn read(body: &str, fields: &[Field], values: &mut [Value]) -> Option<()> {
    let mut rest = Rest { body, at: 0 };
    rest.skip_space();
    rest.take(b'{')?;
    rest.skip_space();
    for (field, value) in fields.iter().zip(values) {
        if field.is_next(rest.bytes().get(rest.at..)?) {
            rest.at += field.name_len;
            rest.value(field.kind, value)?;
            rest.end_field()?;
        }
    }
    rest.take(b'}')?;
    rest.skip_space();
    (rest.at == body.len()).then_some(())
}

/// What is left of a body.
struct Rest<'a> {
    body: &'a str,
    at: usize,
}

// What is done at every field is inlined: between two of them, all stays in the processor's registers.
impl<'a> Rest<'a> {
    #[inline(always)]
    fn bytes(&self) -> &'a [u8] {
        self.body.as_bytes()
    }

    /// The next byte; 0, which may stand nowhere, at the end.
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

    /// Between two fields, Go writes none.
    #[cold]
    fn skip_space(&mut self) {
        while matches!(self.next(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Behind a field's value comes the next field or the end.
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
    fn value(&mut self, kind: Kind, value: &mut Value) -> Option<()> {
        if self.next() <= b' ' {
            self.skip_space();
        }
        *value = match (self.next(), kind) {
            (b'"', Kind::String(most)) => Value::String(self.string(most)?),
            (b'n', _) => self.null()?,
            (_, Kind::Integer) => Value::Integer(self.integer()?),
            (b'[', Kind::Mentions) => self.mentions()?,
            _ => return None,
        };
        Some(())
    }

    #[inline]
    fn null(&mut self) -> Option<Value> {
        self.at += self.bytes().get(self.at..)?.starts_with(b"null").then_some(4)?;
        Some(Value::Absent)
    }

    /// A string of at most so many bytes, of which the quote that it begins with is next.
    #[inline(always)]
    fn string(&mut self, most: usize) -> Option<Quoted> {
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
                        return (place - begin <= most).then_some(Quoted { begin, end: place, saved });
                    }
                    b'\\' => {
                        let escape = escape(self.bytes().get(place..)?)?;
                        saved += escape.source - escape.target;
                        let end = place + escape.source;
                        // What is escaped is not special. The longest escape, twelve bytes, ends before the 64th.
                        special &= u64::MAX << (end - at);
                        next = next.max(end);
                    }
                    _ => return None,
                }
            }
            at = next;
        }
    }

    /// A whole number of at most 18 digits, which fit into 64 bits; one more is what may not come next.
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
        // -0 is no whole number of Rust's: the thorough way knows.
        (is_json && !(is_negative && number == 0)).then_some(if is_negative { -number } else { number })
    }

    /// Most messages mention nobody, for which Go writes `null`.
    #[cold]
    fn mentions(&mut self) -> Option<Value> {
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
        Some(Value::Mentions(list.0))
    }
}

impl Quoted {
    /// What stands there, escapes and all.
    #[inline]
    fn verbatim(self, body: &str) -> Option<&str> {
        body.get(self.begin..self.end)
    }

    /// What stands there, if it has no escapes.
    #[inline]
    fn plain(self, body: &str) -> Option<&str> {
        if self.saved == 0 { self.verbatim(body) } else { None }
    }
}

/// Blocks of a string that are looked at at once.
const BLOCKS: usize = 3;

/// Their bytes: enough for OpenIM's IDs of messages, of 32.
const WIDE: usize = BLOCKS * BLOCK;

/// A bit for each of the next bytes of a body that is a quote, a backslash or a control character, and none for what is
/// behind its end. Nothing at the end, and for a body that is shorter than this is wide.
#[inline(always)]
fn special_bytes(body: &[u8], at: usize) -> Option<u64> {
    if at >= body.len() {
        return None;
    }
    // Near the end, some of the bytes before are looked at too.
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
    const KIND: Kind = Kind::String(MAX_ID_BYTES);

    #[inline]
    fn of(value: Value, body: &'a str) -> Option<Self> {
        Plain::of(value, body).map(|plain| Self(plain.0.into()))
    }
}

impl<'a> Quick<'a> for Plain<'a> {
    const KIND: Kind = Kind::String(MAX_ID_BYTES);

    #[inline]
    fn of(value: Value, body: &'a str) -> Option<Self> {
        if let Value::String(string) = value { string.plain(body).map(Self) } else { Some(Self::default()) }
    }
}

impl<'a> Quick<'a> for Verbatim<'a> {
    const KIND: Kind = Kind::String(MAX_ID_BYTES);

    #[inline]
    fn of(value: Value, body: &'a str) -> Option<Self> {
        if let Value::String(string) = value { string.verbatim(body).map(Self) } else { Some(Self::default()) }
    }
}

impl Quick<'_> for Measured {
    const KIND: Kind = Kind::String(usize::MAX);

    #[inline]
    fn of(value: Value, _: &str) -> Option<Self> {
        let Value::String(Quoted { begin, end, saved }) = value else { return Some(Self::default()) };
        Some(Self((end - begin - saved) as u64))
    }
}

impl<const MOST: usize> Quick<'_> for Skipped<MOST> {
    const KIND: Kind = Kind::String(MOST);

    #[inline]
    fn of(_: Value, _: &str) -> Option<Self> {
        Some(Self)
    }
}

impl<T: Whole> Quick<'_> for Number<T> {
    const KIND: Kind = Kind::Integer;

    #[inline]
    fn of(value: Value, _: &str) -> Option<Self> {
        if let Value::Integer(number) = value { T::try_from(number).ok().map(Self) } else { Some(Self::default()) }
    }
}

impl Quick<'_> for MentionList {
    const KIND: Kind = Kind::Mentions;

    #[inline]
    fn of(value: Value, _: &str) -> Option<Self> {
        Some(if let Value::Mentions(mentions) = value { Self(mentions) } else { Self::default() })
    }
}
