//! Texts by which others begin.

use std::collections::BTreeMap;

use mesh_types::Strng;

/// Something for prefixes, in the order of their bytes.
///
/// The longest prefix of a text is the last one that is not behind the text in this order, or one of that one's own
/// prefixes: whatever stands between a prefix and a text begins with that prefix as well.
#[derive(Debug)]
pub(super) struct PrefixMap<T>(Vec<Prefix<T>>);

#[derive(Debug)]
struct Prefix<T> {
    text: Strng,
    /// The longest other one that it begins with.
    parent: Option<usize>,
    value: T,
}

impl<T> PrefixMap<T> {
    /// All prefixes of a text, the longest first.
    pub(super) fn of<'t>(&'t self, text: &str) -> impl Iterator<Item = (&'t Strng, &'t T)> {
        let behind = self.0.partition_point(|prefix| prefix.text.as_str() <= text);
        let last = self.0[..behind].last();
        let up = std::iter::successors(last, |prefix| prefix.parent.map(|at| &self.0[at]));
        up.skip_while(move |prefix| !text.starts_with(prefix.text.as_str()))
            .map(|prefix| (&prefix.text, &prefix.value))
    }
}

impl<K: AsRef<str>, T> From<BTreeMap<K, T>> for PrefixMap<T> {
    fn from(map: BTreeMap<K, T>) -> Self {
        let mut prefixes: Vec<Prefix<T>> = Vec::with_capacity(map.len());
        for (text, value) in map {
            let text: Strng = text.as_ref().into();
            let mut parent = prefixes.len().checked_sub(1);
            while let Some(at) = parent.filter(|at| !text.starts_with(prefixes[*at].text.as_str())) {
                parent = prefixes[at].parent;
            }
            prefixes.push(Prefix { text, parent, value });
        }
        Self(prefixes)
    }
}

impl<T> Default for PrefixMap<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
