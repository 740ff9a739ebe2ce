//! The types of values in a callback. `null` means absent: Go writes it for an empty list.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Unexpected, Visitor};
use serde_json::value::RawValue;

use super::encode::MENTION_OF_ALL;
use super::escape::{Escape, escape};
use super::limits::MAX_ID_BYTES;
use crate::domain::Mentions;
use crate::domain::Reason;

/// Why a value is refused, and in which field: `serde`'s errors only have a text. Set where the error occurs.
#[derive(Debug)]
pub(super) struct ErrorContext {
    reason: Cell<Reason>,
    field: RefCell<String>,
}

impl ErrorContext {
    /// Errors of `serde` itself are about types.
    pub(super) const fn new() -> Self {
        Self { reason: Cell::new(Reason::WrongType), field: RefCell::new(String::new()) }
    }

    fn with_reason<E>(&self, reason: Reason, error: E) -> E {
        self.reason.set(reason);
        error
    }

    /// Adds the field to an error of its value, or the index to an error of a list's element.
    pub(super) fn in_field<E>(&self, name: &str, error: E) -> E {
        // The index of an element may already be there.
        self.field.borrow_mut().insert_str(0, name);
        error
    }

    /// The reason, and the field; an empty string if it is about the whole body.
    pub(super) fn into_parts(self) -> (Reason, String) {
        (self.reason.into_inner(), self.field.into_inner())
    }
}

/// Decodes a value of type `T` from any JSON.
pub(super) struct Seed<'c, T>(&'c ErrorContext, PhantomData<T>);

impl<'c, T> Seed<'c, T> {
    pub(super) const fn new(context: &'c ErrorContext) -> Self {
        Self(context, PhantomData)
    }
}

/// For the types that have a visitor. The others read the raw value.
impl<'de, T> DeserializeSeed<'de> for Seed<'_, T>
where
    Self: Visitor<'de>,
{
    type Value = <Self as Visitor<'de>>::Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<<Self as Visitor<'de>>::Value, D::Error> {
        json.deserialize_any(self)
    }
}

/// An ID, borrowed from the body unless it has escapes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de> Visitor<'de> for Seed<'_, Text<'de>> {
    type Value = Text<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        check_len(text.len(), MAX_ID_BYTES, self.0)?;
        Ok(Text(Cow::Borrowed(text)))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        check_len(text.len(), MAX_ID_BYTES, self.0)?;
        Ok(Text(Cow::Owned(text.to_owned())))
    }
    fn visit_unit<E: Error>(self) -> Result<Text<'de>, E> {
        Ok(Text::default())
    }
}

/// The length of a string in UTF-8 bytes. A message's content usually has many escapes, so unescaping it would copy it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Measured(pub(super) u64);

impl<'de> DeserializeSeed<'de> for Seed<'_, Measured> {
    type Value = Measured;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Measured, D::Error> {
        read_string(json, usize::MAX, self.0).map(|(_, unescaped_len)| Measured(unescaped_len))
    }
}

/// An ID without escapes, borrowed from the body. Empty if it has escapes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plain<'a>(pub(super) &'a str);

impl<'de> DeserializeSeed<'de> for Seed<'_, Plain<'de>> {
    type Value = Plain<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Plain<'de>, D::Error> {
        let (inside, _) = read_string(json, MAX_ID_BYTES, self.0)?;
        Ok(Plain(if inside.contains('\\') { "" } else { inside }))
    }
}

/// A string that is not used. It is only checked, and has at most `MAX` bytes, including escapes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Skipped<const MAX: usize = MAX_ID_BYTES>;

impl<'de, const MAX: usize> DeserializeSeed<'de> for Seed<'_, Skipped<MAX>> {
    type Value = Skipped<MAX>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Skipped<MAX>, D::Error> {
        read_string(json, MAX, self.0).map(|_| Skipped)
    }
}

/// A value of any type, in an unknown field.
pub(super) struct Unknown;

impl<'de> DeserializeSeed<'de> for Seed<'_, Unknown> {
    type Value = Unknown;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Unknown, D::Error> {
        // Only strings have backslashes, so all of them can be checked at once.
        measure(<&RawValue>::deserialize(json)?.get(), self.0).map(|_| Unknown)
    }
}

fn check_len<E: Error>(len: usize, max: usize, context: &ErrorContext) -> Result<(), E> {
    if len <= max {
        return Ok(());
    }
    let error = E::invalid_length(len, &format!("at most {max} bytes, so shorten it").as_str());
    Err(context.with_reason(Reason::ValueTooLong, error))
}

/// What is between the quotes of a Unicode string of at most `max` bytes, and its length without escapes; empty for
/// `null`.
fn read_string<'de, D: Deserializer<'de>>(
    json: D,
    max: usize,
    context: &ErrorContext,
) -> Result<(&'de str, u64), D::Error> {
    let raw = <&RawValue>::deserialize(json)?.get();
    let inside = match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inside) => inside,
        None if raw == "null" => "",
        None => return Err(D::Error::invalid_type(json_type(raw), &"a string")),
    };
    check_len(inside.len(), max, context)?;
    Ok((inside, measure(inside, context)?))
}

/// The result of [`unescaped_len`], or an error.
fn measure<E: Error>(inside: &str, context: &ErrorContext) -> Result<u64, E> {
    unescaped_len(inside.as_bytes()).ok_or_else(|| {
        let error = E::invalid_value(Unexpected::Other("a lone surrogate in an escape"), &"a Unicode string");
        context.with_reason(Reason::OutOfRange, error)
    })
}

fn json_type(raw: &str) -> Unexpected<'static> {
    match raw.as_bytes().first() {
        Some(b'{') => Unexpected::Map,
        Some(b'[') => Unexpected::Seq,
        Some(b't' | b'f') => Unexpected::Other("boolean"),
        _ => Unexpected::Other("number"),
    }
}

/// Length in UTF-8 of the bytes between a string's quotes without the escapes. `None` if there is a lone surrogate,
/// which is not a character. The JSON parser has already checked the syntax of the escapes.
fn unescaped_len(inside: &[u8]) -> Option<u64> {
    let mut len = inside.len() as u64;
    let mut rest = inside;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let escaped = rest.get(at..)?;
        let Escape { source, target } = escape(escaped)?;
        len = len + target as u64 - source as u64;
        rest = escaped.get(source..)?;
    }
    Some(len)
}

/// An integer in the range of `T`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Number<T>(pub(super) T);

/// The integer types of OpenIM's fields, with their names in errors.
pub(super) trait Whole: TryFrom<i64> + TryFrom<u64> + Default {
    const NAME: &'static str;
}

impl Whole for i32 {
    const NAME: &'static str = "a whole number of 32 bits (int32)";
}

impl Whole for i64 {
    const NAME: &'static str = "a whole number of 64 bits (int64)";
}

impl Whole for u32 {
    const NAME: &'static str = "a whole number of 32 bits, not negative (uint32)";
}

/// Larger floats may have been rounded.
const MAX_EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;

impl<T: Whole> Seed<'_, Number<T>> {
    fn out_of_range<E: Error>(&self, number: Unexpected<'_>) -> E {
        self.0.with_reason(Reason::OutOfRange, E::invalid_value(number, self))
    }
}

impl<T: Whole> Visitor<'_> for Seed<'_, Number<T>> {
    type Value = Number<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::NAME)
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<Number<T>, E> {
        T::try_from(number).map(Number).map_err(|_| self.out_of_range(Unexpected::Signed(number)))
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<Number<T>, E> {
        T::try_from(number).map(Number).map_err(|_| self.out_of_range(Unexpected::Unsigned(number)))
    }
    /// Integers in a float's notation, such as `101.0` and `1.7E12` (Gson), -0, and integers of more than 64 bits.
    fn visit_f64<E: Error>(self, number: f64) -> Result<Number<T>, E> {
        if number.fract() != 0.0 {
            return Err(E::invalid_type(Unexpected::Float(number), &self));
        }
        #[expect(clippy::cast_possible_truncation, reason = "an integer of at most 53 bits")]
        let integer = (number.abs() <= MAX_EXACT).then_some(number as i64);
        let fitting = integer.and_then(|integer| T::try_from(integer).ok());
        fitting.map(Number).ok_or_else(|| self.out_of_range(Unexpected::Float(number)))
    }
    fn visit_unit<E: Error>(self) -> Result<Number<T>, E> {
        Ok(Number::default())
    }
}

/// A list of mentions. Only the number of entries is used.
#[derive(Debug, Default, PartialEq)]
pub(super) struct MentionList(pub(super) Mentions);

impl MentionList {
    /// Counts an entry. An empty one, or `null`, mentions nobody.
    pub(super) fn count(&mut self, entry: &str) {
        if entry == MENTION_OF_ALL {
            self.0.all = true;
        } else if !entry.is_empty() {
            self.0.users = self.0.users.saturating_add(1);
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_, MentionList> {
    type Value = MentionList;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of strings")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<MentionList, A::Error> {
        let mut mentions = MentionList::default();
        for index in 0.. {
            let entry = list.next_element_seed(Seed::<Text<'_>>::new(self.0));
            let entry = entry.map_err(|error| self.0.in_field(&format!("[{index}]"), error))?;
            let Some(Text(entry)) = entry else { break };
            mentions.count(&entry);
        }
        Ok(mentions)
    }
    fn visit_unit<E: Error>(self) -> Result<MentionList, E> {
        Ok(MentionList::default())
    }
}

/// The number of entries in a list.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Length(pub(super) u64);

impl<'de> Visitor<'de> for Seed<'_, Length> {
    type Value = Length;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Length, A::Error> {
        let mut length = 0;
        while list.next_element_seed(Seed::<Unknown>::new(self.0))?.is_some() {
            length += 1;
        }
        Ok(Length(length))
    }
    fn visit_unit<E: Error>(self) -> Result<Length, E> {
        Ok(Length::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode<'a, T>(json: &'a str) -> Result<T, (Reason, String)>
    where
        for<'c> Seed<'c, T>: DeserializeSeed<'a, Value = T>,
    {
        let context = ErrorContext::new();
        let decoded = Seed::<T>::new(&context).deserialize(&mut serde_json::Deserializer::from_str(json));
        decoded.map_err(|error| (context.into_parts().0, error.to_string()))
    }

    fn measured(json: &str) -> Result<u64, (Reason, String)> {
        decode::<Measured>(json).map(|measured| measured.0)
    }

    #[test]
    fn a_string_is_measured_without_its_escapes() {
        let texts =
            ["", "plain", "{\"content\":\"hi\"}", "\n\t\u{8}\u{c}\r/\\\"", "\u{e9}\u{7fa4}\u{1f44b}", "<&>\u{2028}"];
        for text in texts {
            let plain = serde_json::to_string(text).unwrap();
            let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            assert_eq!(measured(&plain), Ok(text.len() as u64), "{plain}");
            assert_eq!(measured(&format!("\"{units}\"")), Ok(text.len() as u64), "{units}");
        }
        assert_eq!(measured(r#""\/""#), Ok(1));
        assert_eq!(measured("null"), Ok(0));
    }

    #[test]
    fn only_a_unicode_string_has_a_length() {
        for json in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#""\ud83dx""#, "1", "true", "{}", "[]"] {
            assert!(measured(json).is_err(), "{json}");
        }
    }

    #[test]
    fn numbers_are_integers_in_range() {
        let number = |json| decode::<Number<i32>>(json).map(|number| number.0);
        assert_eq!(number("2147483647"), Ok(i32::MAX));
        assert_eq!(number("-2147483648"), Ok(i32::MIN));
        assert_eq!(number("null"), Ok(0));
        for out_of_range in [
            "2147483648",
            "-2147483649",
            "18446744073709551616",
            "-9223372036854775809",
            "1e300",
            "2147483648.0",
            "-1e10",
        ] {
            let (reason, detail) = number(out_of_range).unwrap_err();
            assert!(reason == Reason::OutOfRange && detail.starts_with("invalid value"), "{out_of_range}");
        }
        for (json, expected) in
            [("101.0", 101), ("1.7E3", 1700), ("-0", 0), ("-0.0", 0), ("0.0", 0), ("2147483647.0", i32::MAX)]
        {
            assert_eq!(number(json), Ok(expected), "{json}");
        }
        for wrong_type in ["1.5", "\"1\"", "true", "{}", "[1]"] {
            let (reason, detail) = number(wrong_type).unwrap_err();
            assert!(reason == Reason::WrongType && detail.starts_with("invalid type"), "{wrong_type}");
        }
    }

    #[test]
    fn mentions_of_users_and_of_everyone_are_counted_separately() {
        let mentions = |json| decode::<MentionList>(json).map(|list| (list.0.users, list.0.all)).ok();
        assert_eq!(mentions(r#"["AtAllTag","1002"]"#), Some((1, true)));
        assert_eq!(mentions(r#"["a","b","a"]"#), Some((3, false)));
        assert_eq!(mentions(r#"[null,"","b"]"#), Some((1, false)));
        assert_eq!(mentions("null"), Some((0, false)));
        assert_eq!(mentions("[]"), Some((0, false)));
        assert_eq!(mentions("[1]"), None);
        assert_eq!(mentions("\"AtAllTag\""), None);
    }
}
