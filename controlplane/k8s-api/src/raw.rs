//! Objects as an API server writes them: JSON, one at a time, those of lists without `apiVersion` and `kind`.

use std::fmt;

use mesh_types::Strng;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

use crate::decode;
use crate::error::{ParseError, Position};
use crate::gateway::{ParentRef, PolicyTarget};
use crate::kinds::Group;
use crate::object::{Kind, Located, Object, ObjectRef};
use crate::parse::parse_object;
use crate::tree::{Entry, Placeless, Tree, Value};

/// An object that is not understood yet. Any JSON will do, so that one broken object never ends a watch.
#[derive(Clone, Debug)]
pub struct RawObject(Tree);

impl RawObject {
    /// A text in its `metadata`, such as `name` or `resourceVersion`.
    #[must_use]
    pub fn metadata(&self, field: &str) -> Option<&str> {
        self.0.field("metadata")?.text(field)
    }

    /// One of its labels.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.0.field("metadata")?.field("labels")?.text(key)
    }

    /// How often its specification was changed, where its source counts that.
    #[must_use]
    pub fn generation(&self) -> Option<i64> {
        match self.0.field("metadata")?.field("generation")?.value {
            Value::Unsigned(generation) => i64::try_from(generation).ok(),
            _ => None,
        }
    }

    /// A text in its specification, such as `gatewayClassName`.
    #[must_use]
    pub fn spec_text(&self, field: &str) -> Option<&str> {
        self.0.field("spec")?.text(field)
    }

    /// What it is attached to, as far as that can be read: a route's `parentRefs`, a policy's `targetRefs`, in their order.
    #[must_use]
    pub fn attached_to(&self) -> Vec<ParentRef> {
        let list = |field| match self.0.field("spec").and_then(|spec| spec.field(field)) {
            Some(Tree {
                value: Value::List(items),
                ..
            }) => items.as_slice(),
            _ => &[],
        };
        let parents = list("parentRefs").iter();
        let parents = parents.filter_map(|item| decode::lenient(item).ok());
        let targets = list("targetRefs").iter();
        let targets = targets.filter_map(|item| decode::lenient::<PolicyTarget>(item).ok());
        parents.chain(targets.map(ParentRef::from)).collect()
    }

    /// The object as messages name it.
    #[must_use]
    pub fn reference(&self, kind: Kind) -> ObjectRef {
        let text = |field| self.metadata(field).map(Strng::from).unwrap_or_default();
        ObjectRef {
            kind: kind.as_str().into(),
            namespace: text("namespace"),
            name: text("name"),
        }
    }

    /// What it says, as an object of this kind. Several faults give several errors, which have no place in a text.
    ///
    /// # Errors
    /// Fails when it is no object that is understood; each error names the object.
    pub fn understand(mut self, kind: Kind) -> Result<Located<Object>, Vec<ParseError>> {
        self.name_kind(kind);
        let mut results = Vec::new();
        parse_object(&self.0, &mut results);
        let mut errors = Vec::new();
        let mut object = None;
        for result in results {
            match result {
                Ok(located) => object = Some(located),
                Err(error) => errors.push(error),
            }
        }
        object.filter(|_| errors.is_empty()).ok_or(errors)
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.0
    }

    pub(crate) fn tree_mut(&mut self) -> &mut Tree {
        &mut self.0
    }

    /// The items of a list do not repeat what the list says.
    fn name_kind(&mut self, kind: Kind) {
        let Value::Map(entries) = &mut self.0.value else {
            return;
        };
        // The mesh's configuration has a kind of its own, and is a ConfigMap there.
        let (group, name) = match kind {
            Kind::MeshConfig => (Group::Core, Kind::ConfigMap.as_str()),
            kind => (kind.group(), kind.as_str()),
        };
        for (key, text) in [
            ("apiVersion", group.first_api_version()),
            ("kind", name.to_owned()),
        ] {
            if !entries.iter().any(|entry| entry.key == key) {
                let at = Position::START;
                let value = Tree {
                    at,
                    value: Value::String(text),
                };
                entries.push(Entry {
                    key: key.to_owned(),
                    key_at: at,
                    value,
                });
            }
        }
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Part::Object.deserialize(deserializer).map(Self)
    }
}

/// The parts of an object of which not everything is read.
#[derive(Clone, Copy)]
enum Part {
    Object,
    Metadata,
}

impl Part {
    /// Who wrote which field is often longer than the object, and of no use here.
    fn leaves_out(self, key: &str) -> bool {
        matches!(self, Self::Metadata) && key == "managedFields"
    }

    /// The part that a field is, if it is one.
    fn inner(self, key: &str) -> Option<Self> {
        (matches!(self, Self::Object) && key == "metadata").then_some(Self::Metadata)
    }
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = if self.leaves_out(&key) {
                map.next_value::<IgnoredAny>()?;
                continue;
            } else if let Some(inner) = self.inner(&key) {
                map.next_value_seed(inner)?
            } else {
                map.next_value::<Placeless>()?.0
            };
            entries.push(Entry {
                key,
                key_at: Position::START,
                value,
            });
        }
        Ok(placeless(Value::Map(entries)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(Placeless(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(placeless(Value::List(items)))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Tree, E> {
        Ok(placeless(Value::Null))
    }

    fn visit_bool<E: de::Error>(self, v: bool) -> Result<Tree, E> {
        Ok(placeless(Value::Bool(v)))
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Tree, E> {
        Ok(placeless(Value::Unsigned(v)))
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Tree, E> {
        let value = u64::try_from(v).map_or(Value::Signed(v), Value::Unsigned);
        Ok(placeless(value))
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Tree, E> {
        Ok(placeless(Value::Float(v)))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Tree, E> {
        Ok(placeless(Value::String(v.to_owned())))
    }
}

fn placeless(value: Value) -> Tree {
    Tree {
        at: Position::START,
        value,
    }
}

#[cfg(test)]
mod tests;
