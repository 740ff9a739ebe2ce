//! Decoding a JSON object into a struct, field by field, in place.
//!
//! `serde`'s derived code decodes into options and moves them into the struct at the end. For a struct of twenty
//! fields, that made decoding a tenth slower (`cargo bench --bench record`). It would also accept a list of the fields'
//! values, which OpenIM does not send.

use serde::de::Deserializer;

use super::field::ErrorContext;

/// A struct whose fields can be set one by one from a JSON object. [`fields!`] implements it.
pub(super) trait Fill<'a>: Default {
    /// Sets the fields that the object has.
    fn fill_from<D: Deserializer<'a>>(&mut self, object: D, context: &ErrorContext) -> Result<(), D::Error>;

    /// The fields of a body in OpenIM's own form, see [`quick`](super::quick). `None` if the struct has no quick decoder.
    fn quick(_body: &'a str) -> Option<Self> {
        None
    }
}

/// Defines a struct with the fields' names in JSON. Their types implement `Quick` and `Default`, and
/// their [`Seed`](super::field::Seed) decodes them. A `rare` struct has no quick decoder, so its types need no `Quick`.
macro_rules! fields {
    ($(#[$doc:meta])* struct $name:ident { $($json:literal => $field:ident: $type:ty,)+ }) => {
        $crate::wire::object::fields! { @ $(#[$doc])* struct $name { $($json => $field: $type,)+ } {
            #[inline]
            fn quick(body: &'a str) -> Option<Self> {
                use $crate::wire::quick::{ExpectedField, FieldValue, Quick, read};

                let fields =
                    const { &[$(ExpectedField::new(concat!("\"", $json, "\":"), <$type as Quick<'a>>::JSON_TYPE)),+] };
                let mut values = [FieldValue::default(); [$($json),+].len()];
                read(body, fields, &mut values)?;
                let [$($field),+] = values;
                Some(Self { $($field: Quick::from_value($field, body)?,)+ _body: std::marker::PhantomData })
            }
        } }
    };
    ($(#[$doc:meta])* rare struct $name:ident { $($json:literal => $field:ident: $type:ty,)+ }) => {
        $crate::wire::object::fields! { @ $(#[$doc])* struct $name { $($json => $field: $type,)+ } {} }
    };
    (@ $(#[$doc:meta])* struct $name:ident { $($json:literal => $field:ident: $type:ty,)+ } { $($quick:tt)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default, PartialEq)]
        struct $name<'a> {
            $($field: $type,)+
            _body: std::marker::PhantomData<&'a str>,
        }

        impl<'a> $crate::wire::object::Fill<'a> for $name<'a> {
            fn fill_from<D: serde::Deserializer<'a>>(
                &mut self,
                object: D,
                context: &$crate::wire::field::ErrorContext,
            ) -> Result<(), D::Error> {
                use $crate::wire::field::{ErrorContext, Seed, Unknown};

                /// The known fields, and the name of an unknown one.
                #[allow(non_camel_case_types, reason = "named after the fields")]
                enum FieldName<'k> { $($field,)+ Other(std::borrow::Cow<'k, str>) }

                impl<'de: 'k, 'k> serde::Deserialize<'de> for FieldName<'k> {
                    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                        deserializer.deserialize_identifier(KeyVisitor)
                    }
                }

                struct KeyVisitor;
                impl<'de> serde::de::Visitor<'de> for KeyVisitor {
                    type Value = FieldName<'de>;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        formatter.write_str("a field's name")
                    }
                    fn visit_borrowed_str<E: serde::de::Error>(self, name: &'de str) -> Result<FieldName<'de>, E> {
                        Ok(match name { $($json => FieldName::$field,)+ _ => FieldName::Other(name.into()) })
                    }
                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<FieldName<'de>, E> {
                        Ok(match name { $($json => FieldName::$field,)+ _ => FieldName::Other(name.to_owned().into()) })
                    }
                }

                struct Visitor<'f, 'a>(&'f mut $name<'a>, &'f ErrorContext);
                impl<'a> serde::de::Visitor<'a> for Visitor<'_, 'a> {
                    type Value = ();

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        formatter.write_str("a JSON object")
                    }
                    fn visit_map<A: serde::de::MapAccess<'a>>(self, mut object: A) -> Result<(), A::Error> {
                        use serde::de::Error;
                        // One flag per field.
                        $(let mut $field = false;)+
                        while let Some(key) = object.next_key::<FieldName<'a>>()? {
                            match key {
                                $(FieldName::$field => {
                                    if std::mem::replace(&mut $field, true) {
                                        return Err(A::Error::duplicate_field($json));
                                    }
                                    let value = object.next_value_seed(Seed::<$type>::new(self.1));
                                    self.0.$field = value.map_err(|error| self.1.in_field($json, error))?;
                                })+
                                FieldName::Other(name) => {
                                    let value = object.next_value_seed(Seed::<Unknown>::new(self.1));
                                    value.map_err(|error| self.1.in_field(&name, error))?;
                                }
                            }
                        }
                        Ok(())
                    }
                }

                object.deserialize_any(Visitor(self, context))
            }

            $($quick)*
        }
    };
}

pub(super) use fields;
