//! Objects as an API server writes them: JSON, one at a time, those of lists without `apiVersion` and `kind`.

use mesh_types::Strng;
use serde::{Deserialize, Deserializer};

use crate::error::{ParseError, Position};
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
        Placeless::deserialize(deserializer).map(|Placeless(tree)| Self(tree))
    }
}

#[cfg(test)]
mod tests;
