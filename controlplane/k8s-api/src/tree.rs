//! YAML as a tree whose every node knows where it stands, so that an error found after parsing still has its line.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::error::{FieldPath, Position, Reason, Segment};

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

/// What YAML's core schema tells apart.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    String(String),
    List(Vec<Tree>),
    Map(Vec<Entry>),
}

/// A key of a mapping with its value, in the text's order.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Position,
    pub(crate) value: Tree,
}

/// Why a text has no tree.
#[derive(Debug)]
pub(crate) struct NoTree {
    pub(crate) at: Position,
    pub(crate) field: FieldPath,
    pub(crate) reason: Reason,
}

impl Tree {
    /// The tree of a text with one document that begins in `line` of its file.
    pub(crate) fn parse(text: &str, line: u64) -> Result<Self, NoTree> {
        let options = serde_saphyr::options! {
            with_snippet: false,
            // YAML 1.2's booleans only: a namespace may be called `on`, a label may be `y`.
            strict_booleans: true,
        };
        let mut tree: Self = serde_saphyr::from_str_with_options(text, options).map_err(|e| {
            let at = e.location().map_or(Position::START, Position::from);
            NoTree {
                at: at.moved(line),
                field: FieldPath::default(),
                reason: Reason::Syntax(e.without_snippet().to_string()),
            }
        })?;
        tree.move_down(line);
        tree.check_duplicates(&FieldPath::default())?;
        Ok(tree)
    }

    /// The value of a mapping's field; nothing when this is no mapping, or the field is absent or null.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        self.field_or_null(name)
            .filter(|v| !matches!(v.value, Value::Null))
    }

    /// The value of a mapping's field, null included.
    pub(crate) fn field_or_null(&self, name: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else {
            return None;
        };
        entries.iter().find(|e| e.key == name).map(|e| &e.value)
    }

    /// The string in a field.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match &self.field(name)?.value {
            Value::String(s) => Some(s),
            _ => None,
        }
    }

    /// Where a field stands; where its innermost existing ancestor stands when it is absent.
    pub(crate) fn position_of(&self, path: &FieldPath) -> Position {
        let mut here = self;
        let mut at = self.at;
        for segment in path.segments() {
            let next = match (segment, &here.value) {
                (Segment::Field(name), Value::Map(entries)) => entries
                    .iter()
                    .find(|e| e.key == *name)
                    .map(|e| (e.key_at, &e.value)),
                (Segment::Item(index), Value::List(items)) => items.get(*index).map(|t| (t.at, t)),
                _ => None,
            };
            let Some((next_at, next)) = next else {
                return at;
            };
            (at, here) = (next_at, next);
        }
        at
    }

    fn move_down(&mut self, line: u64) {
        self.at = self.at.moved(line);
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|t| t.move_down(line)),
            Value::Map(entries) => {
                for entry in entries {
                    entry.key_at = entry.key_at.moved(line);
                    entry.value.move_down(line);
                }
            }
            _ => {}
        }
    }

    fn check_duplicates(&self, path: &FieldPath) -> Result<(), NoTree> {
        match &self.value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .try_for_each(|(i, t)| t.check_duplicates(&path.item(i))),
            Value::Map(entries) => {
                let mut seen = std::collections::HashSet::new();
                for entry in entries {
                    let field = path.field(&entry.key);
                    if !seen.insert(entry.key.as_str()) {
                        return Err(NoTree {
                            at: entry.key_at,
                            field,
                            reason: Reason::DuplicateKey,
                        });
                    }
                    entry.value.check_duplicates(&field)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Position {
    /// The same place in a file of which this text begins in `line`.
    fn moved(self, line: u64) -> Self {
        Self {
            line: self.line.max(1) + line - 1,
            column: self.column.max(1),
        }
    }
}

impl From<serde_saphyr::Location> for Position {
    fn from(location: serde_saphyr::Location) -> Self {
        Self {
            line: location.line(),
            column: location.column(),
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            at: spanned.referenced.into(),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor::<Yaml>(PhantomData))
    }
}

/// A tree of which no part has a place: of JSON, whose text nobody reads but the API server and us.
#[derive(Clone, Debug)]
pub(crate) struct Placeless(pub(crate) Tree);

impl<'de> Deserialize<'de> for Placeless {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = deserializer.deserialize_any(ValueVisitor::<Json>(PhantomData))?;
        Ok(Self(Tree {
            at: Position::START,
            value,
        }))
    }
}

impl From<Placeless> for Tree {
    fn from(placeless: Placeless) -> Self {
        placeless.0
    }
}

/// What tells the formats apart: who knows the places of values and keys.
trait Format {
    type Node: for<'de> Deserialize<'de> + Into<Tree>;
    type Key: for<'de> Deserialize<'de>;

    fn key(key: Self::Key) -> (String, Position);
}

struct Yaml;

impl Format for Yaml {
    type Node = Tree;
    type Key = Spanned<String>;

    fn key(key: Spanned<String>) -> (String, Position) {
        (key.value, key.referenced.into())
    }
}

struct Json;

impl Format for Json {
    type Node = Placeless;
    type Key = String;

    fn key(key: String) -> (String, Position) {
        (key, Position::START)
    }
}

struct ValueVisitor<F>(PhantomData<F>);

impl<'de, F: Format> Visitor<'de> for ValueVisitor<F> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(u64::try_from(v).map_or(Value::Signed(v), Value::Unsigned))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Value::Float(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<F::Node>()? {
            items.push(item.into());
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<F::Key, F::Node>()? {
            let (key, key_at) = F::key(key);
            let value = value.into();
            entries.push(Entry { key, key_at, value });
        }
        Ok(Value::Map(entries))
    }
}
