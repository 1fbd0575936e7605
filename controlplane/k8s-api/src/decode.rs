//! From a [`Tree`] to typed objects, through serde's derived code: every error gets the place and the path of the
//! field that it is about.

mod error;
mod variant;

use std::cell::RefCell;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, Expected, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;

use crate::error::{FieldPath, Position, Reason, Segment};
use crate::kinds::UnknownFields;
use crate::tree::{Entry, Tree, Value};
pub(crate) use error::{DecodeError, nearest};
use variant::{Choice, Variant};

/// Decodes a value of a kind that is modelled only in part; a null field counts as absent, as it does for Kubernetes.
pub(crate) fn lenient<T: DeserializeOwned>(tree: &Tree) -> Result<T, DecodeError> {
    decode(tree, UnknownFields::Tolerated, &mut Vec::new())
}

/// Decodes a value. Where unknown fields are refused, null is an error too: `from:` with nothing behind it must not mean
/// "from everywhere". The paths of warnings are relative to `tree`.
pub(crate) fn decode<T: DeserializeOwned>(
    tree: &Tree,
    unknown_fields: UnknownFields,
    warnings: &mut Vec<Warning>,
) -> Result<T, DecodeError> {
    let rules = Rules {
        unknown_fields,
        warnings: RefCell::default(),
    };
    let result = T::deserialize(Decoder {
        tree,
        place: None,
        rules: &rules,
    });
    warnings.append(&mut rules.warnings.into_inner());
    result
}

/// What is probably not meant, and where.
#[derive(Debug)]
pub(crate) struct Warning {
    pub(crate) at: Position,
    pub(crate) path: FieldPath,
    pub(crate) reason: Reason,
}

/// How a value is decoded.
struct Rules {
    unknown_fields: UnknownFields,
    warnings: RefCell<Vec<Warning>>,
}

#[derive(Clone, Copy)]
struct Decoder<'a> {
    tree: &'a Tree,
    place: Option<&'a Place<'a>>,
    rules: &'a Rules,
}

/// The way to what is being decoded, for warnings; errors build theirs while they come up.
struct Place<'a> {
    outer: Option<&'a Self>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

// === impl Rules ===

impl Rules {
    fn nulls_are_absent(&self) -> bool {
        self.unknown_fields != UnknownFields::Refused
    }

    /// Whether a mapping's entry is to be passed over.
    fn passes_over(&self, entry: &Entry) -> bool {
        matches!(entry.value.value, Value::Null) && self.nulls_are_absent()
    }

    /// What becomes of an entry that is not among the known ones.
    fn unknown(&self, entry: &Entry, known: &[&str], place: Option<&Place<'_>>) -> Result<(), DecodeError> {
        let reason = || Reason::UnknownField {
            nearest: nearest(&entry.key, known),
        };
        match self.unknown_fields {
            UnknownFields::Tolerated => Ok(()),
            UnknownFields::Warned => {
                let outer = place.map(Place::path).unwrap_or_default();
                self.warnings.borrow_mut().push(Warning {
                    at: entry.key_at,
                    path: outer.field(&entry.key),
                    reason: reason(),
                });
                Ok(())
            }
            UnknownFields::Refused => {
                let mut error = DecodeError::new(reason()).inside(Segment::Field(entry.key.clone()));
                error.at = Some(entry.key_at);
                Err(error)
            }
        }
    }
}

impl Place<'_> {
    fn path(&self) -> FieldPath {
        let outer = self.outer.map(Self::path).unwrap_or_default();
        match self.step {
            Step::Field(name) => outer.field(name),
            Step::Item(index) => outer.item(index),
        }
    }
}

// === impl Decoder ===

impl<'a> Decoder<'a> {
    fn at<T>(self, result: Result<T, DecodeError>) -> Result<T, DecodeError> {
        result.map_err(|mut e| {
            e.at.get_or_insert(self.tree.at);
            e
        })
    }

    fn wrong_type<T>(self, expected: &dyn Expected) -> Result<T, DecodeError> {
        self.at(Err(DecodeError::invalid_type(
            self.tree.value.unexpected(),
            expected,
        )))
    }

    fn fields(self, entries: &'a [Entry], known: Option<&'static [&'static str]>) -> Fields<'a> {
        Fields {
            entries: entries.iter(),
            known,
            value: None,
            place: self.place,
            rules: self.rules,
        }
    }

    /// The only entry of a mapping that stands for one of several things.
    fn choice(self, entries: &'a [Entry], variants: &[&str]) -> Result<&'a Entry, DecodeError> {
        let mut chosen: Option<&Entry> = None;
        for entry in entries.iter().filter(|e| !self.rules.passes_over(e)) {
            if !variants.contains(&entry.key.as_str()) {
                self.rules.unknown(entry, variants, self.place)?;
            } else if let Some(first) = chosen {
                let message = format!("has both {} and {}; give one of them", first.key, entry.key);
                return Err(DecodeError::custom(message));
            } else {
                chosen = Some(entry);
            }
        }
        chosen.ok_or_else(|| DecodeError::custom(format!("needs one of {}", variants.join(", "))))
    }
}

impl<'de> Deserializer<'de> for Decoder<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let result = match &self.tree.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(v) => visitor.visit_bool(*v),
            Value::Unsigned(v) => visitor.visit_u64(*v),
            Value::Signed(v) => visitor.visit_i64(*v),
            Value::Float(v) => visitor.visit_f64(*v),
            Value::String(v) => visitor.visit_str(v),
            Value::List(items) => visitor.visit_seq(Items {
                items: items.iter().enumerate(),
                place: self.place,
                rules: self.rules,
            }),
            Value::Map(entries) => visitor.visit_map(self.fields(entries, None)),
        };
        self.at(result)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.tree.value {
            Value::Map(entries) => self.at(visitor.visit_map(self.fields(entries, Some(known)))),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.tree.value {
            Value::Null if self.rules.nulls_are_absent() => visitor.visit_none(),
            Value::Null => self.wrong_type(&"a value; leave the field out otherwise"),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    /// A name, or a mapping with one entry: `prefix: /a` as one of `exact`, `prefix` and `regex`.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.tree.value {
            Value::String(name) => self.at(visitor.visit_enum(Variant(name))),
            Value::Map(entries) => {
                let entry = self.at(self.choice(entries, variants))?;
                let place = Place {
                    outer: self.place,
                    step: Step::Field(&entry.key),
                };
                let content = Decoder {
                    tree: &entry.value,
                    place: Some(&place),
                    rules: self.rules,
                };
                self.at(visitor.visit_enum(Choice {
                    name: &entry.key,
                    content,
                }))
            }
            _ => self.wrong_type(&"a string"),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map identifier
    }
}

struct Items<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Tree>>,
    place: Option<&'a Place<'a>>,
    rules: &'a Rules,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let Some((index, tree)) = self.items.next() else {
            return Ok(None);
        };
        let place = Place {
            outer: self.place,
            step: Step::Item(index),
        };
        let decoder = Decoder {
            tree,
            place: Some(&place),
            rules: self.rules,
        };
        seed.deserialize(decoder)
            .map(Some)
            .map_err(|e| e.inside(Segment::Item(index)))
    }
}

struct Fields<'a> {
    entries: std::slice::Iter<'a, Entry>,
    /// The fields that there are; nothing for a mapping with keys of its author's own.
    known: Option<&'static [&'static str]>,
    value: Option<&'a Entry>,
    place: Option<&'a Place<'a>>,
    rules: &'a Rules,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let entry = loop {
            let Some(entry) = self.entries.next() else {
                return Ok(None);
            };
            if self.rules.passes_over(entry) {
                continue;
            }
            match self.known {
                Some(known) if !known.contains(&entry.key.as_str()) => {
                    self.rules.unknown(entry, known, self.place)?;
                }
                _ => break entry,
            }
        };
        self.value = Some(entry);
        seed.deserialize(Key(entry)).map(Some).map_err(|mut e| {
            e.at.get_or_insert(entry.key_at);
            e.inside(Segment::Field(entry.key.clone()))
        })
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        let entry = self
            .value
            .take()
            .ok_or_else(|| DecodeError::custom("value asked for before its key"))?;
        let place = Place {
            outer: self.place,
            step: Step::Field(&entry.key),
        };
        let decoder = Decoder {
            tree: &entry.value,
            place: Some(&place),
            rules: self.rules,
        };
        seed.deserialize(decoder)
            .map_err(|e| e.inside(Segment::Field(entry.key.clone())))
    }
}

/// A mapping's key. JSON has string keys only, so a number (`portLevelMtls`) is read out of the string.
struct Key<'a>(&'a Entry);

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_str(&self.0.key)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0.key.parse() {
            Ok(number) => visitor.visit_u32(number),
            Err(_) => Err(DecodeError::invalid_type(
                Unexpected::Str(&self.0.key),
                &"a number",
            )),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

// === impl Value ===

impl Value {
    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Self::Null => Unexpected::Unit,
            Self::Bool(v) => Unexpected::Bool(*v),
            Self::Unsigned(v) => Unexpected::Unsigned(*v),
            Self::Signed(v) => Unexpected::Signed(*v),
            Self::Float(v) => Unexpected::Float(*v),
            Self::String(v) => Unexpected::Str(v),
            Self::List(_) => Unexpected::Seq,
            Self::Map(_) => Unexpected::Map,
        }
    }
}
