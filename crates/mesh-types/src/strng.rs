//! [`Strng`]: a shared, immutable string.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An immutable string whose clone is one reference count: names are copied into every record, index and label.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Strng(Arc<str>);

impl Strng {
    /// The string itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether somebody else has it too: a clone of this very string, not an equal one.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl Default for Strng {
    fn default() -> Self {
        Self(Arc::from(""))
    }
}

impl Deref for Strng {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Strng {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Strng {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Strng {
    fn from(s: &str) -> Self {
        Self(Arc::from(s))
    }
}

impl From<String> for Strng {
    fn from(s: String) -> Self {
        Self(Arc::from(s))
    }
}

impl From<&String> for Strng {
    fn from(s: &String) -> Self {
        Self(Arc::from(s.as_str()))
    }
}

impl From<Strng> for Arc<str> {
    fn from(s: Strng) -> Self {
        s.0
    }
}

impl From<Strng> for String {
    fn from(s: Strng) -> Self {
        s.0.as_ref().to_owned()
    }
}

impl PartialEq<str> for Strng {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Strng {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Strng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Strng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Strng {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Strng {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}
