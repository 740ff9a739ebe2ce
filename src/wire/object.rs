//! Decoding a JSON object into a struct, field by field, in place.
//!
//! `serde`'s derived code decodes into options and moves them into the struct at the end. For a struct of twenty
//! fields, that made decoding a tenth slower (`cargo bench --bench record`). It would also accept a list of the fields'
//! values, which OpenIM does not send.

use serde::de::Deserializer;

use super::field::Refusal;

/// A struct whose fields can be set one by one from a JSON object. [`fields!`] implements it.
pub(super) trait Fill<'a>: Default {
    /// Sets the fields that the object has.
    fn fill_from<D: Deserializer<'a>>(&mut self, object: D, refusal: &Refusal) -> Result<(), D::Error>;

    /// The fields of a body in OpenIM's own form, see [`quick`](super::quick).
    fn quick(body: &'a str) -> Option<Self>;
}

/// Defines a struct with the fields' names in JSON. Their types implement `Decode`, `Quick` and `Default`.
macro_rules! fields {
    ($(#[$doc:meta])* struct $name:ident { $($json:literal => $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Default, PartialEq)]
        struct $name<'a> {
            $($field: $type,)+
            _body: std::marker::PhantomData<&'a str>,
        }

        impl<'a> $name<'a> {
            /// The fields for [`quick`]($crate::wire::quick).
            const FIELDS: &'static [$crate::wire::quick::Field] = &[$($crate::wire::quick::Field::new(
                concat!("\"", $json, "\":"),
                <$type as $crate::wire::quick::Quick<'a>>::KIND,
            ),)+];
        }

        impl<'a> $crate::wire::object::Fill<'a> for $name<'a> {
            fn fill_from<D: serde::Deserializer<'a>>(
                &mut self,
                object: D,
                refusal: &$crate::wire::field::Refusal,
            ) -> Result<(), D::Error> {
                use $crate::wire::field::{Refusal, Seed, Unknown};

                /// The known fields, and the name of an unknown one.
                #[allow(non_camel_case_types, reason = "named after the fields")]
                enum Key<'k> { $($field,)+ Other(std::borrow::Cow<'k, str>) }

                impl<'de: 'k, 'k> serde::Deserialize<'de> for Key<'k> {
                    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                        deserializer.deserialize_identifier(KeyVisitor)
                    }
                }

                struct KeyVisitor;
                impl<'de> serde::de::Visitor<'de> for KeyVisitor {
                    type Value = Key<'de>;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        formatter.write_str("a field's name")
                    }
                    fn visit_borrowed_str<E: serde::de::Error>(self, name: &'de str) -> Result<Key<'de>, E> {
                        Ok(match name { $($json => Key::$field,)+ _ => Key::Other(name.into()) })
                    }
                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Key<'de>, E> {
                        Ok(match name { $($json => Key::$field,)+ _ => Key::Other(name.to_owned().into()) })
                    }
                }

                struct Visitor<'f, 'a>(&'f mut $name<'a>, &'f Refusal);
                impl<'a> serde::de::Visitor<'a> for Visitor<'_, 'a> {
                    type Value = ();

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        formatter.write_str("a JSON object")
                    }
                    fn visit_map<A: serde::de::MapAccess<'a>>(self, mut object: A) -> Result<(), A::Error> {
                        use serde::de::Error;
                        // One flag per field.
                        $(let mut $field = false;)+
                        while let Some(key) = object.next_key::<Key<'a>>()? {
                            match key {
                                $(Key::$field => {
                                    if std::mem::replace(&mut $field, true) {
                                        return Err(A::Error::duplicate_field($json));
                                    }
                                    let value = object.next_value_seed(Seed::new(self.1));
                                    self.0.$field = value.map_err(|error| self.1.in_field($json, error))?;
                                })+
                                Key::Other(name) => {
                                    let value = object.next_value_seed(Seed::<Unknown>::new(self.1));
                                    value.map_err(|error| self.1.in_field(&name, error))?;
                                }
                            }
                        }
                        Ok(())
                    }
                }

                object.deserialize_any(Visitor(self, refusal))
            }

            #[inline]
            fn quick(body: &'a str) -> Option<Self> {
                use $crate::wire::quick::{Quick, Value, read};

                let mut values = [Value::default(); [$($json),+].len()];
                read(body, Self::FIELDS, &mut values)?;
                let [$($field),+] = values;
                Some(Self { $($field: Quick::from_value($field, body)?,)+ _body: std::marker::PhantomData })
            }
        }
    };
}

pub(super) use fields;
