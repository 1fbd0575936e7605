//! What a type reads, found out from its own `Deserialize`.
//!
//! The type is asked once for each place: it is given just enough to come there (one field, one item, one variant), what it
//! asks for at that place is noted, and it is told to stop. Values are never made up, so no check of theirs can fail, and a
//! field behind a conversion (`#[serde(try_from = …)]`) is found like any other.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

/// What is read at a place.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Text.
    Text,
    /// Text of a certain form, by the name of the type that reads it.
    Formed(&'static str),
    /// Yes or no.
    Boolean,
    /// A whole number in these bounds.
    Integer {
        /// The least.
        least: i64,
        /// The greatest; nothing where only 64 bits bound it.
        greatest: Option<i64>,
    },
    /// A number.
    Number,
    /// A number or text.
    Any,
    /// One of these texts.
    Word(Vec<&'static str>),
    /// A list.
    List(Box<Self>),
    /// A mapping with keys of its author's own.
    Map(Box<Self>),
    /// A mapping with these fields.
    Object(Object),
    /// A mapping with just one of these fields.
    Choice(Object),
}

/// A mapping with known fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The type that reads it.
    pub name: &'static str,
    /// Its fields.
    pub fields: Vec<(&'static str, Shape)>,
}

/// Texts of a certain form; their types say so by being called this.
pub const FORMED: [&str; 2] = ["GatewayDuration", "IstioDuration"];

/// What a type reads.
///
/// # Panics
/// Panics when the type is recursive, or reads by something that has no place in a schema, such as a tuple.
#[must_use]
pub fn shape<T: DeserializeOwned>() -> Shape {
    shape_at::<T>(&mut Vec::new())
}

fn shape_at<T: DeserializeOwned>(path: &mut Vec<Step>) -> Shape {
    assert!(path.len() < MAX_DEPTH, "a type that contains itself: {path:?}");
    let below = |path: &mut Vec<Step>, step| {
        path.push(step);
        let shape = shape_at::<T>(path);
        path.pop();
        shape
    };
    match ask::<T>(path) {
        Asked::Shape(shape) => shape,
        Asked::List => Shape::List(Box::new(below(path, Step::Item))),
        Asked::Map => Shape::Map(Box::new(below(path, Step::Entry))),
        Asked::Struct(name, fields) => {
            let fields = fields
                .iter()
                .map(|field| (*field, below(path, Step::Field(field))));
            Shape::Object(Object {
                name,
                fields: fields.collect(),
            })
        }
        Asked::Enum(name, variants) => {
            let mut fields = Vec::new();
            for variant in variants {
                path.push(Step::Variant(variant));
                if !matches!(ask::<T>(path), Asked::NoContent) {
                    fields.push((*variant, shape_at::<T>(path)));
                }
                path.pop();
            }
            if fields.is_empty() {
                return Shape::Word(variants.to_vec());
            }
            assert_eq!(fields.len(), variants.len(), "{name} has variants of both sorts");
            Shape::Choice(Object { name, fields })
        }
        Asked::NoContent => unreachable!("variants are asked for their content above"),
    }
}

/// Nothing that we read is deeper.
const MAX_DEPTH: usize = 40;

/// One step on the way to a place.
#[derive(Clone, Copy, Debug)]
enum Step {
    Field(&'static str),
    Item,
    Entry,
    Variant(&'static str),
}

/// What a type asked for at a place.
enum Asked {
    Shape(Shape),
    List,
    Map,
    Struct(&'static str, &'static [&'static str]),
    Enum(&'static str, &'static [&'static str]),
    NoContent,
}

fn ask<T: DeserializeOwned>(path: &[Step]) -> Asked {
    let asked = RefCell::new(None);
    let end = T::deserialize(Asker { path, asked: &asked });
    let why = end.err().map_or_else(|| "nothing".to_owned(), |e| e.to_string());
    asked
        .into_inner()
        .unwrap_or_else(|| panic!("{path:?} was never read: {why}"))
}

#[derive(Clone, Copy)]
struct Asker<'a> {
    path: &'a [Step],
    asked: &'a RefCell<Option<Asked>>,
}

/// That the place was reached, or why it could not be.
#[derive(Debug)]
struct Stop(String);

impl<'a> Asker<'a> {
    /// Notes what is asked for, where this is the place.
    fn note(self, asked: Asked) -> Stop {
        match self.path {
            [] => {
                *self.asked.borrow_mut() = Some(asked);
                Stop("reached".to_owned())
            }
            [step, ..] => Stop(format!("{step:?} leads nowhere")),
        }
    }

    fn scalar<T>(self, shape: Shape) -> Result<T, Stop> {
        Err(self.note(Asked::Shape(shape)))
    }

    fn integer<T>(self, least: i64, greatest: Option<i64>) -> Result<T, Stop> {
        self.scalar(Shape::Integer { least, greatest })
    }

    /// One step further.
    fn further(self) -> Self {
        Self {
            path: self.path.get(1..).unwrap_or_default(),
            ..self
        }
    }
}

macro_rules! integers {
    ($($method:ident: $least:expr, $greatest:expr;)*) => {
        $(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
            self.integer($least, $greatest)
        })*
    };
}

macro_rules! no_place_in_a_schema {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
            Err(Stop(concat!(stringify!($method), " has no place in a schema").to_owned()))
        })*
    };
}

impl<'de> Deserializer<'de> for Asker<'_> {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.scalar(Shape::Any)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.scalar(Shape::Boolean)
    }

    integers! {
        deserialize_i8: i64::from(i8::MIN), Some(i64::from(i8::MAX));
        deserialize_i16: i64::from(i16::MIN), Some(i64::from(i16::MAX));
        deserialize_i32: i64::from(i32::MIN), Some(i64::from(i32::MAX));
        deserialize_i64: i64::MIN, None;
        deserialize_u8: 0, Some(i64::from(u8::MAX));
        deserialize_u16: 0, Some(i64::from(u16::MAX));
        deserialize_u32: 0, Some(i64::from(u32::MAX));
        deserialize_u64: 0, None;
    }

    fn deserialize_f32<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.scalar(Shape::Number)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.scalar(Shape::Number)
    }

    fn deserialize_str<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.scalar(Shape::Text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.scalar(Shape::Text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match FORMED.contains(&name) {
            true => self.scalar(Shape::Formed(name)),
            false => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.path {
            [Step::Item, ..] => visitor.visit_seq(self),
            _ => Err(self.note(Asked::List)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.path {
            [Step::Entry, ..] => visitor.visit_map(Entry(self)),
            _ => Err(self.note(Asked::Map)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match self.path {
            [Step::Field(field), ..] => visitor.visit_map(Field {
                name: field,
                asker: self,
            }),
            _ => Err(self.note(Asked::Struct(name, fields))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match self.path {
            [Step::Variant(_), ..] => visitor.visit_enum(self),
            _ => Err(self.note(Asked::Enum(name, variants))),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, _: V) -> Result<V::Value, Stop> {
        Err(Stop("a unit struct has no place in a schema".to_owned()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Stop> {
        Err(Stop("a tuple has no place in a schema".to_owned()))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        _: V,
    ) -> Result<V::Value, Stop> {
        Err(Stop("a tuple has no place in a schema".to_owned()))
    }

    no_place_in_a_schema! {
        deserialize_char deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier
        deserialize_ignored_any
    }
}

/// One item.
impl<'de> SeqAccess<'de> for Asker<'_> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Stop> {
        seed.deserialize(self.further()).map(Some)
    }
}

/// One field.
struct Field<'a> {
    name: &'static str,
    asker: Asker<'a>,
}

impl<'de> MapAccess<'de> for Field<'_> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Stop> {
        let name: StrDeserializer<'_, Stop> = self.name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Stop> {
        seed.deserialize(self.asker.further())
    }
}

/// One entry, with a key that does as text and as a number.
struct Entry<'a>(Asker<'a>);

impl<'de> MapAccess<'de> for Entry<'_> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Stop> {
        seed.deserialize(EntryKey).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Stop> {
        seed.deserialize(self.0.further())
    }
}

struct EntryKey;

impl<'de> Deserializer<'de> for EntryKey {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_str("1")
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_u32(1)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Asker<'_> {
    type Error = Stop;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Stop> {
        let [Step::Variant(name), ..] = self.path else {
            return Err(Stop("no variant is asked for".to_owned()));
        };
        let name: StrDeserializer<'_, Stop> = (*name).into_deserializer();
        Ok((seed.deserialize(name)?, self.further()))
    }
}

impl<'de> VariantAccess<'de> for Asker<'_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        Err(self.note(Asked::NoContent))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Stop> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Stop> {
        Err(Stop("a tuple has no place in a schema".to_owned()))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.deserialize_struct("", fields, visitor)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Stop {}

impl Error for Stop {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}
