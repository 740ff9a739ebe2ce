//! The kinds of values in a callback, each with the errors that an operator can act on. `null` counts as absent:
//! Go writes it for an empty list.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Unexpected, Visitor};
use serde_json::value::RawValue;

use super::encode::MENTION_OF_ALL;
use super::escape::{Escape, escape};
use super::limits::MAX_ID_BYTES;
use crate::domain::Mentions;

/// An ID that is looked at: borrowed from the body unless it holds escapes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                check_len(text.len(), MAX_ID_BYTES)?;
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                check_len(text.len(), MAX_ID_BYTES)?;
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// A string of which only the length in UTF-8 bytes is kept. It is measured where it stands in the body: a message's
/// content is nearly always full of escapes, and undoing them would copy it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Measured(pub(super) u64);

impl<'de> Deserialize<'de> for Measured {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        measure(string_inside(deserializer)?).map(Self)
    }
}

/// An ID that is wanted only if it can be had where it stands: without escapes. Empty otherwise.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plain<'a>(pub(super) &'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Plain<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let inside = string_up_to(MAX_ID_BYTES, deserializer)?;
        let plain = if memchr::memchr(b'\\', inside).is_some() { &[] } else { inside };
        Ok(Self(std::str::from_utf8(plain).unwrap_or_default()))
    }
}

/// An ID as it stands between its quotes, escapes and all: to be compared with itself.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Verbatim<'a>(pub(super) &'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Verbatim<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(std::str::from_utf8(string_up_to(MAX_ID_BYTES, deserializer)?).unwrap_or_default()))
    }
}

/// A string of which nothing is kept, but that it is one of at most so many bytes between its quotes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Skipped<const MOST: usize = MAX_ID_BYTES>;

impl<'de, const MOST: usize> Deserialize<'de> for Skipped<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        string_up_to(MOST, deserializer).map(|_| Self)
    }
}

/// A value of any kind, of a field that is not known.
pub(super) struct Unknown;

impl<'de> Deserialize<'de> for Unknown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A backslash stands in strings alone, so all of them are measured at once.
        measure(<&RawValue>::deserialize(deserializer)?.get().as_bytes()).map(|_| Self)
    }
}

fn check_len<E: Error>(len: usize, most: usize) -> Result<(), E> {
    if len <= most {
        return Ok(());
    }
    Err(E::invalid_length(len, &format!("at most {most} bytes, so shorten it").as_str()))
}

/// What stands between the quotes of a string of Unicode that is no longer than that; nothing for `null`.
fn string_up_to<'de, D: Deserializer<'de>>(most: usize, deserializer: D) -> Result<&'de [u8], D::Error> {
    let inside = string_inside(deserializer)?;
    check_len(inside.len(), most)?;
    measure(inside).map(|_: u64| inside)
}

/// [`unescaped_len`], or the error that there is none.
fn measure<E: Error>(inside: &[u8]) -> Result<u64, E> {
    unescaped_len(inside)
        .ok_or_else(|| E::invalid_value(Unexpected::Other("a lone surrogate in an escape"), &"a Unicode string"))
}

/// What stands between the quotes of a string, escapes and all; nothing for `null`.
fn string_inside<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'de [u8], D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    match raw.as_bytes() {
        [b'"', inside @ .., b'"'] => Ok(inside),
        b"null" => Ok(&[]),
        other => Err(D::Error::invalid_type(kind_of(other), &"a string")),
    }
}

fn kind_of(raw: &[u8]) -> Unexpected<'static> {
    match raw.first() {
        Some(b'{') => Unexpected::Map,
        Some(b'[') => Unexpected::Seq,
        Some(b't' | b'f') => Unexpected::Other("boolean"),
        _ => Unexpected::Other("number"),
    }
}

/// Length in UTF-8 of a JSON string's inside, once its escapes are undone; `None` where it holds a lone surrogate,
/// which is no character. The JSON parser has checked that the escapes are well-formed.
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

/// A whole number in the range of `T`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Number<T>(pub(super) T);

/// The number types of OpenIM's fields, with the name by which an error calls them.
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

impl<'de, T: Whole> Deserialize<'de> for Number<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor<T>(PhantomData<T>);
        impl<T: Whole> Visitor<'_> for NumberVisitor<T> {
            type Value = Number<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(T::NAME)
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                T::try_from(number).map(Number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                T::try_from(number).map(Number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
                // The JSON parser turns -0 into this, and a whole number of more than 64 bits.
                if number == 0.0 && number.is_sign_negative() {
                    return Ok(Number::default());
                }
                let unexpected = Unexpected::Float(number);
                if number.fract() == 0.0 && number.abs() >= i64::MAX as f64 {
                    return Err(E::invalid_value(unexpected, &self));
                }
                Err(E::invalid_type(unexpected, &self))
            }
            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Number::default())
            }
        }
        deserializer.deserialize_any(NumberVisitor(PhantomData))
    }
}

/// A mention list, of which only the number of entries is kept.
#[derive(Debug, Default, PartialEq)]
pub(super) struct MentionList(pub(super) Mentions);

impl MentionList {
    /// Counts an entry.
    pub(super) fn count(&mut self, entry: &str) {
        if entry == MENTION_OF_ALL {
            self.0.all = true;
        } else {
            self.0.users = self.0.users.saturating_add(1);
        }
    }
}

impl<'de> Deserialize<'de> for MentionList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = MentionList;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of strings")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut mentions = MentionList::default();
                while let Some(Text(entry)) = list.next_element()? {
                    mentions.count(&entry);
                }
                Ok(mentions)
            }
            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(MentionList::default())
            }
        }
        deserializer.deserialize_any(ListVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(json: &str) -> Result<u64, String> {
        serde_json::from_str::<Measured>(json).map(|measured| measured.0).map_err(|error| error.to_string())
    }

    #[test]
    fn a_string_is_measured_as_if_its_escapes_were_undone() {
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
    fn what_is_no_string_has_no_length() {
        for json in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#""\ud83dx""#, "1", "true", "{}", "[]"] {
            assert!(measured(json).is_err(), "{json}");
        }
    }

    #[test]
    fn numbers_are_whole_and_in_range() {
        let number = |json| serde_json::from_str::<Number<i32>>(json).map(|number| number.0).map_err(|e| e.to_string());
        assert_eq!(number("2147483647"), Ok(i32::MAX));
        assert_eq!(number("-2147483648"), Ok(i32::MIN));
        assert_eq!(number("null"), Ok(0));
        for out_of_range in ["2147483648", "-2147483649", "18446744073709551616", "-9223372036854775809", "1e300"] {
            assert!(number(out_of_range).unwrap_err().starts_with("invalid value"), "{out_of_range}");
        }
        for wrong_type in ["1.5", "101.0", "\"1\"", "true", "{}", "[1]"] {
            assert!(number(wrong_type).unwrap_err().starts_with("invalid type"), "{wrong_type}");
        }
    }

    #[test]
    fn mentions_are_counted_and_everyone_counts_apart() {
        let mentions = |json| serde_json::from_str::<MentionList>(json).map(|list| (list.0.users, list.0.all)).ok();
        assert_eq!(mentions(r#"["AtAllTag","1002"]"#), Some((1, true)));
        assert_eq!(mentions(r#"["a","b","a"]"#), Some((3, false)));
        assert_eq!(mentions("null"), Some((0, false)));
        assert_eq!(mentions("[]"), Some((0, false)));
        assert_eq!(mentions("[1]"), None);
        assert_eq!(mentions("\"AtAllTag\""), None);
    }
}
