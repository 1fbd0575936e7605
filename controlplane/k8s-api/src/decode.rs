//! From a [`Tree`] to typed objects, through serde's derived code: every error gets the place and the path of the
//! field that it is about.

use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::error::{FieldPath, Position, Reason, Segment};
use crate::tree::{Entry, Tree, Value};

/// Decodes a value; a null field counts as absent, as it does for Kubernetes.
pub(crate) fn lenient<T: DeserializeOwned>(tree: &Tree) -> Result<T, DecodeError> {
    T::deserialize(Decoder {
        tree,
        nulls: Nulls::Absent,
    })
}

/// Decodes a value in which null is an error: `from:` with nothing behind it must not mean "from everywhere".
pub(crate) fn strict<T: DeserializeOwned>(tree: &Tree) -> Result<T, DecodeError> {
    T::deserialize(Decoder {
        tree,
        nulls: Nulls::Refused,
    })
}

/// What is wrong, and where; the path is relative to what was decoded.
#[derive(Debug)]
pub(crate) struct DecodeError {
    pub(crate) at: Option<Position>,
    pub(crate) path: FieldPath,
    pub(crate) reason: Reason,
}

#[derive(Clone, Copy)]
enum Nulls {
    Absent,
    Refused,
}

#[derive(Clone, Copy)]
struct Decoder<'a> {
    tree: &'a Tree,
    nulls: Nulls,
}

// === impl Decoder ===

impl Decoder<'_> {
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
                nulls: self.nulls,
            }),
            Value::Map(entries) => visitor.visit_map(Fields {
                entries: entries.iter(),
                value: None,
                nulls: self.nulls,
            }),
        };
        self.at(result)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match (&self.tree.value, self.nulls) {
            (Value::Null, Nulls::Absent) => visitor.visit_none(),
            (Value::Null, Nulls::Refused) => self.wrong_type(&"a value; leave the field out otherwise"),
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

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.tree.value {
            Value::String(name) => self.at(visitor.visit_enum(Variant(name))),
            _ => self.wrong_type(&"a string"),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct identifier
    }
}

struct Items<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Tree>>,
    nulls: Nulls,
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
        let decoder = Decoder {
            tree,
            nulls: self.nulls,
        };
        seed.deserialize(decoder)
            .map(Some)
            .map_err(|e| e.inside(Segment::Item(index)))
    }
}

struct Fields<'a> {
    entries: std::slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
    nulls: Nulls,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let entry = loop {
            let Some(entry) = self.entries.next() else {
                return Ok(None);
            };
            if !matches!((&entry.value.value, self.nulls), (Value::Null, Nulls::Absent)) {
                break entry;
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
        let decoder = Decoder {
            tree: &entry.value,
            nulls: self.nulls,
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

/// The name of a variant without content.
struct Variant<'a>(&'a str);

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), DecodeError> {
        let value = seed.deserialize(self.0.into_deserializer())?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _seed: T) -> Result<T::Value, DecodeError> {
        Err(DecodeError::invalid_type(Unexpected::Str(self.0), &"a mapping"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        Err(DecodeError::invalid_type(Unexpected::Str(self.0), &visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        Err(DecodeError::invalid_type(Unexpected::Str(self.0), &visitor))
    }
}

// === impl DecodeError ===

impl DecodeError {
    fn new(reason: Reason) -> Self {
        Self {
            at: None,
            path: FieldPath::default(),
            reason,
        }
    }

    fn inside(mut self, segment: Segment) -> Self {
        self.path.prepend(segment);
        self
    }
}

impl serde::de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Reason::Invalid(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Reason::WrongType {
            found: match found {
                Unexpected::Unit => "null".to_owned(),
                other => other.to_string(),
            },
            expected: expected.to_string(),
        })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Reason::Invalid(format!("is {found}, but must be {expected}")))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Reason::UnknownValue {
            found: variant.to_owned(),
            nearest: nearest(variant, expected),
            known: expected.iter().map(|&s| s.to_owned()).collect(),
        })
    }

    /// Raised while the key is decoded: [`Fields`] adds its name and place.
    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Reason::UnknownField {
            nearest: nearest(field, expected),
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Reason::Missing).inside(Segment::Field(field.to_owned()))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(Reason::DuplicateKey).inside(Segment::Field(field.to_owned()))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

impl std::error::Error for DecodeError {}

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

/// The known name that a misspelt one is closest to, when it is close enough to have been meant.
pub(crate) fn nearest(name: &str, known: &[&str]) -> Option<String> {
    let close_enough = (name.chars().count() / 3).max(2);
    known
        .iter()
        .map(|k| (distance(&name.to_lowercase(), &k.to_lowercase()), *k))
        .min()
        .filter(|(d, _)| *d <= close_enough)
        .map(|(_, k)| k.to_owned())
}

/// Levenshtein's distance, row by row.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(LONGEST_NAME).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(LONGEST_NAME).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// No field is longer; a hostile key costs no more than this squared.
const LONGEST_NAME: usize = 64;
