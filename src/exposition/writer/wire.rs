//! The encoding of protobuf: appends the fields of messages, each with its number.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

/// How a value is encoded: in the low bits of a field's key.
const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const DELIMITED: u32 = 2;

/// Appends the fields of a message.
pub(super) struct Fields<'a>(pub(super) &'a mut Vec<u8>);

impl Fields<'_> {
    pub(super) fn integer(&mut self, field: u32, value: u64) {
        self.key(field, VARINT);
        self.varint(value);
    }

    /// An integer that may be negative: a small one is short, whatever its sign.
    pub(super) fn signed(&mut self, field: u32, value: i64) {
        self.integer(field, zigzag(value));
    }

    pub(super) fn float(&mut self, field: u32, value: f64) {
        self.key(field, FIXED_64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn text(&mut self, field: u32, text: &str) {
        self.key(field, DELIMITED);
        self.varint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A message, whose fields the function appends.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        self.key(field, DELIMITED);
        self.delimited(write);
    }

    /// Integers that may be negative, in one field.
    pub(super) fn all_signed(&mut self, field: u32, values: &[i64]) {
        self.message(field, |packed| values.iter().for_each(|value| packed.varint(zigzag(*value))));
    }

    /// A length, and then what the function appends.
    pub(super) fn delimited(&mut self, write: impl FnOnce(&mut Self)) {
        let at = self.0.len();
        self.0.push(0);
        write(self);
        self.insert_length(at);
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
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u32, kind: u32) {
        self.varint((field << 3 | kind).into());
    }
}

/// The integers 0, -1, 1, -2, 2... are encoded as 0, 1, 2, 3, 4...
const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}
