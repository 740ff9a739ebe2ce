//! Decoding a JSON object into a struct, field by field, in place.
//!
//! `serde`'s derived code decodes into a row of options and moves them into the struct at the end; for this struct of
//! twenty fields that made decoding a tenth slower (`cargo bench --bench record`). It would also take a list for the
//! fields in their order, and OpenIM sends none.

use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer};

/// A struct whose fields can be set one by one from a JSON object. [`fields!`] makes them.
pub(super) trait Fill<'a>: Default {
    /// Sets the fields that the object has.
    fn fill_from<D: Deserializer<'a>>(&mut self, object: D) -> Result<(), D::Error>;

    /// The fields of a body that is as OpenIM writes them; see [`quick`](super::quick).
    fn quick(body: &'a str) -> Option<Self>;
}

/// The same, for whoever wants a [`Deserialize`].
pub(super) struct Filled<T>(PhantomData<T>);

impl<'a, T: Fill<'a>> Deserialize<'a> for Filled<T> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        T::default().fill_from(deserializer).map(|()| Self(PhantomData))
    }
}

/// Makes a struct of fields with their names in JSON, each of a type that can be deserialized and has a default.
macro_rules! fields {
    ($(#[$doc:meta])* struct $name:ident { $($json:literal => $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Default, PartialEq)]
        struct $name<'a> {
            $($field: $type,)+
            _body: std::marker::PhantomData<&'a str>,
        }

        impl<'a> $name<'a> {
            /// Its fields, as [`quick`]($crate::wire::quick) looks for them.
            const FIELDS: &'static [$crate::wire::quick::Field] = &[$($crate::wire::quick::Field::new(
                concat!("\"", $json, "\":"),
                <$type as $crate::wire::quick::Quick<'a>>::KIND,
            ),)+];
        }

        impl<'a> $crate::wire::object::Fill<'a> for $name<'a> {
            fn fill_from<D: serde::Deserializer<'a>>(&mut self, object: D) -> Result<(), D::Error> {
                /// The fields, and what is none of them.
                #[allow(non_camel_case_types, reason = "named as the fields are")]
                #[derive(Clone, Copy)]
                enum Key { $($field,)+ Unknown }

                impl<'de> serde::Deserialize<'de> for Key {
                    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                        deserializer.deserialize_identifier(KeyVisitor)
                    }
                }

                struct KeyVisitor;
                impl serde::de::Visitor<'_> for KeyVisitor {
                    type Value = Key;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        formatter.write_str("a field's name")
                    }
                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Key, E> {
                        Ok(match name { $($json => Key::$field,)+ _ => Key::Unknown })
                    }
                }

                struct Visitor<'f, 'a>(&'f mut $name<'a>);
                impl<'a> serde::de::Visitor<'a> for Visitor<'_, 'a> {
                    type Value = ();

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        formatter.write_str("a JSON object")
                    }
                    fn visit_map<A: serde::de::MapAccess<'a>>(self, mut object: A) -> Result<(), A::Error> {
                        use serde::de::Error;
                        const NAMES: &[&str] = &[$($json),+];
                        let mut seen = 0_u32;
                        while let Some(key) = object.next_key::<Key>()? {
                            if let Some(name) = NAMES.get(key as usize) {
                                let bit = 1 << key as u32;
                                if seen & bit != 0 {
                                    return Err(A::Error::duplicate_field(name));
                                }
                                seen |= bit;
                            }
                            match key {
                                $(Key::$field => self.0.$field = object.next_value()?,)+
                                Key::Unknown => {
                                    object.next_value::<$crate::wire::field::Unknown>()?;
                                }
                            }
                        }
                        Ok(())
                    }
                }

                object.deserialize_any(Visitor(self))
            }

            #[inline]
            fn quick(body: &'a str) -> Option<Self> {
                use $crate::wire::quick::{Quick, Value, read};

                let mut values = [Value::default(); [$($json),+].len()];
                read(body, Self::FIELDS, &mut values)?;
                let [$($field),+] = values;
                Some(Self { $($field: Quick::of($field, body)?,)+ _body: std::marker::PhantomData })
            }
        }
    };
}

pub(super) use fields;
