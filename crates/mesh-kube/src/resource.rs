//! What the API serves: resources, and their paths.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// A resource in one version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// The version in which it is read and written.
    pub version: Cow<'static, str>,
    /// Its name in paths: `pods`.
    pub plural: Cow<'static, str>,
    /// Its name in objects: `Pod`.
    pub kind: Cow<'static, str>,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

/// Which object of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Empty for what is in no namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Resource {
    /// A resource whose objects are in namespaces.
    #[must_use]
    pub const fn namespaced(
        group: &'static str,
        version: &'static str,
        plural: &'static str,
        kind: &'static str,
    ) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            plural: Cow::Borrowed(plural),
            kind: Cow::Borrowed(kind),
            namespaced: true,
        }
    }

    /// A resource whose objects are the cluster's.
    #[must_use]
    pub const fn cluster_wide(
        group: &'static str,
        version: &'static str,
        plural: &'static str,
        kind: &'static str,
    ) -> Self {
        let mut resource = Self::namespaced(group, version, plural, kind);
        resource.namespaced = false;
        resource
    }

    /// What `apiVersion` says in its objects.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The path of all its objects, or those of a namespace.
    pub(crate) fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let mut path = format!("{root}/{}", self.api_version());
        if let Some(namespace) = namespace.filter(|n| self.namespaced && !n.is_empty()) {
            path.push_str("/namespaces/");
            escape(&mut path, namespace);
        }
        path.push('/');
        path.push_str(&self.plural);
        path
    }

    /// The path of one object, or of a part of it such as its `status`.
    pub(crate) fn object_path(&self, object: &ObjectName, part: Option<&str>) -> String {
        let mut path = self.path(Some(&object.namespace));
        path.push('/');
        escape(&mut path, &object.name);
        if let Some(part) = part {
            path.push('/');
            path.push_str(part);
        }
        path
    }
}

impl ObjectName {
    /// An object in a namespace; in none, where that is empty.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// An object of the cluster.
    pub fn cluster(name: impl Into<String>) -> Self {
        Self::new("", name)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Appends a text so that it cannot be taken for another part of a path or query (RFC 3986, section 2).
pub(crate) fn escape(path: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            write!(path, "%{byte:02X}").expect("a String takes everything");
        }
    }
}

#[cfg(test)]
mod tests;
