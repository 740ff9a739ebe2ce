//! The encoding of protobuf: appends the fields of messages, each with its number.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

/// How a value is encoded: in the low bits of a field's key.
const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const DELIMITED: u8 = 2;

/// Bytes of the longest integer.
const MAX_VARINT: usize = 10;

/// Appends the fields of a message. Their numbers are below 16, so each key is one byte.
pub(super) struct Fields<'a>(pub(super) &'a mut Vec<u8>);

impl Fields<'_> {
    pub(super) fn integer(&mut self, field: u8, value: u64) {
        self.0.push(key(field, VARINT));
        self.varint(value);
    }

    /// An integer that may be negative: a small one is short, whatever its sign.
    pub(super) fn signed(&mut self, field: u8, value: i64) {
        self.integer(field, zigzag(value));
    }

    pub(super) fn float(&mut self, field: u8, value: f64) {
        let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
        self.0.extend_from_slice(&[key(field, FIXED_64), a, b, c, d, e, f, g, h]);
    }

    pub(super) fn text(&mut self, field: u8, text: &str) {
        self.0.push(key(field, DELIMITED));
        self.delimited_text(text);
    }

    /// A message with two texts: a constant one, and this value. `before` is from [`before_second`].
    pub(super) fn pair(&mut self, before: &[u8], value: &str) {
        let at = self.0.len() + 1;
        self.0.extend_from_slice(before);
        self.delimited_text(value);
        self.insert_length(at);
    }

    fn delimited_text(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A message, whose fields the function appends.
    pub(super) fn message(&mut self, field: u8, write: impl FnOnce(&mut Self)) {
        self.0.push(key(field, DELIMITED));
        let at = self.0.len();
        self.0.push(0);
        write(self);
        self.insert_length(at);
    }

    /// Integers that may be negative, in one field.
    pub(super) fn all_signed(&mut self, field: u8, values: &[i64]) {
        self.message(field, |packed| values.iter().for_each(|value| packed.varint(zigzag(*value))));
    }

    /// Replaces a byte with the length of what follows it. Most messages are so short that their length fits into this
    /// byte.
    pub(super) fn insert_length(&mut self, at: usize) {
        let len = self.0.len().saturating_sub(at + 1);
        match (u8::try_from(len), self.0.get_mut(at)) {
            (Ok(len @ 0..0x80), Some(byte)) => *byte = len,
            _ => self.insert_long_length(at, len),
        }
    }

    #[cold]
    fn insert_long_length(&mut self, at: usize, len: usize) {
        let mut varint = Vec::new();
        Fields(&mut varint).varint(len as u64);
        self.0.splice(at..=at, varint);
    }

    /// Seven bits in each byte, the lowest first. All but the last have the highest bit set.
    #[expect(clippy::cast_possible_truncation, reason = "the higher bits follow")]
    pub(super) fn varint(&mut self, mut value: u64) {
        let (mut bytes, mut length) = ([0; MAX_VARINT], 0);
        for byte in &mut bytes {
            length += 1;
            if value < 0x80 {
                *byte = value as u8;
                break;
            }
            *byte = value as u8 | 0x80;
            value >>= 7;
        }
        self.0.extend_from_slice(bytes.get(..length).unwrap_or_default());
    }
}

/// The beginning of a message with two texts, up to the second one. [`Fields::pair`] fills in its length.
pub(super) fn before_second(field: u8, first: (u8, &str), second: u8) -> Vec<u8> {
    // The second byte is a place for the length.
    let mut before = vec![key(field, DELIMITED), 0];
    Fields(&mut before).text(first.0, first.1);
    before.push(key(second, DELIMITED));
    before
}

/// What is before a field.
const fn key(field: u8, kind: u8) -> u8 {
    field << 3 | kind
}

/// The integers 0, -1, 1, -2, 2... are encoded as 0, 1, 2, 3, 4...
const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}
