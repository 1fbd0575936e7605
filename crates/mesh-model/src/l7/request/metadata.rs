//! What somebody who was asked about a request said of it, beside yes or no.

use std::sync::Arc;

use serde_json::{Map, Value};

/// What external authorization said (`dynamic_metadata` of `envoy.service.auth.v3.CheckResponse`). Clones are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(Arc<Map<String, Value>>);

impl Metadata {
    /// What was said.
    #[must_use]
    pub fn new(said: Map<String, Value>) -> Self {
        Self(Arc::new(said))
    }

    /// With what somebody else said, which counts where both said something.
    #[must_use]
    pub fn and(&self, other: Self) -> Self {
        let mut all = Map::clone(&self.0);
        all.extend(Map::clone(&other.0));
        Self::new(all)
    }

    /// Nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is said under these names, each inside the one before; all of it without any.
    #[must_use]
    pub fn get(&self, path: &[impl AsRef<str>]) -> Option<Value> {
        let Some((first, rest)) = path.split_first() else {
            return (!self.is_empty()).then(|| Value::Object(Map::clone(&self.0)));
        };
        let mut at = self.0.get(first.as_ref())?;
        for name in rest {
            at = at.as_object()?.get(name.as_ref())?;
        }
        Some(at.clone())
    }

    /// The text under a name, or the texts of a list.
    pub(crate) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let (one, list) = match self.0.get(name) {
            Some(Value::Array(list)) => (None, list.as_slice()),
            other => (other, &[][..]),
        };
        one.into_iter().chain(list).filter_map(Value::as_str)
    }
}
