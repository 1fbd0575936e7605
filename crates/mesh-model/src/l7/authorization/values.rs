//! Compiled lists of texts.

use mesh_types::Strng;

use crate::l7::TextMatch;

/// Texts; equal ones are found however many there are.
#[derive(Debug)]
pub(super) struct Texts {
    exact: Vec<Strng>,
    others: Vec<TextMatch>,
}

impl Texts {
    /// For an attribute that ignores case the values are kept in lower case, in which it is then asked.
    pub(super) fn compile(values: &[TextMatch], ignoring_case: bool) -> Self {
        let folded = |text: &Strng| match ignoring_case {
            true => text.to_ascii_lowercase().into(),
            false => text.clone(),
        };
        let mut texts = Self {
            exact: Vec::new(),
            others: Vec::new(),
        };
        for value in values {
            match value {
                TextMatch::Exact(text) => texts.exact.push(folded(text)),
                TextMatch::Prefix(text) => texts.others.push(TextMatch::Prefix(folded(text))),
                TextMatch::Suffix(text) => texts.others.push(TextMatch::Suffix(folded(text))),
                TextMatch::Regex(_) | TextMatch::Present => texts.others.push(value.clone()),
            }
        }
        texts.exact.sort();
        texts.exact.dedup();
        texts
    }

    pub(super) fn contain(&self, text: &str) -> bool {
        self.exact
            .binary_search_by(|exact| exact.as_str().cmp(text))
            .is_ok()
            || self.others.iter().any(|other| other.matches(text))
    }

    /// All of them, if each is one text.
    pub(super) fn all_exact(&self) -> Option<&[Strng]> {
        self.others.is_empty().then_some(self.exact.as_slice())
    }
}
