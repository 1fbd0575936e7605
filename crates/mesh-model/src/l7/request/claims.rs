//! What a verified token says.

use std::borrow::Cow;

use mesh_types::Strng;
use serde_json::{Map, Value};

/// The claims of the one token of a request that was verified (RFC 7519, section 4); empty without one.
///
/// A request with several valid tokens counts by one of them: claims of two tokens never add up to one identity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    payload: Map<String, Value>,
    principal: Option<Strng>,
    lists: Vec<Strng>,
}

impl Claims {
    /// Of a request without a token.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Of a token that was verified. `lists` names claims that are lists in one text, beside `scope` and `permission`.
    #[must_use]
    pub fn new(payload: Map<String, Value>, lists: &[Strng]) -> Self {
        let text = |claim: &str| payload.get(claim).and_then(Value::as_str);
        let principal = text("iss").zip(text("sub"));
        let principal = principal.map(|(issuer, subject)| format!("{issuer}/{subject}").into());
        Self {
            principal,
            lists: lists.to_vec(),
            payload,
        }
    }

    /// Whether there is no token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// Everything that the token says.
    #[must_use]
    pub fn payload(&self) -> &Map<String, Value> {
        &self.payload
    }

    /// `<iss>/<sub>` (`request.auth.principal`).
    #[must_use]
    pub fn principal(&self) -> Option<&Strng> {
        self.principal.as_ref()
    }

    /// `aud`: a text or a list of them (`request.auth.audiences`).
    pub fn audiences(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.values(&["aud"])
    }

    /// `azp` (`request.auth.presenter`).
    #[must_use]
    pub fn presenter(&self) -> Option<&str> {
        self.payload.get("azp").and_then(Value::as_str)
    }

    /// A claim by the names on the way to it.
    #[must_use]
    pub fn get<S: AsRef<str>>(&self, path: &[S]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        let first = self.payload.get(first.as_ref())?;
        rest.iter()
            .try_fold(first, |value, name| value.get(name.as_ref()))
    }

    /// The texts that a claim stands for: of a list its items, of a text with several words in it its words if the
    /// claim is such a list, of a number or truth value its JSON. Objects and lists in lists stand for none.
    pub fn values<S: AsRef<str>>(&self, path: &[S]) -> impl Iterator<Item = Cow<'_, str>> {
        let words = matches!(path, [name] if self.is_word_list(name.as_ref()));
        let value = self.get(path);
        let items = match value {
            Some(Value::Array(items)) => items.as_slice(),
            Some(value) => std::slice::from_ref(value),
            None => &[],
        };
        items.iter().flat_map(move |item| texts(item, words))
    }

    fn is_word_list(&self, claim: &str) -> bool {
        matches!(claim, "scope" | "permission") || self.lists.iter().any(|list| list.as_str() == claim)
    }
}

fn texts(value: &Value, words: bool) -> impl Iterator<Item = Cow<'_, str>> {
    let (words, whole) = match value {
        Value::String(text) if words => (text.as_str(), None),
        Value::String(text) => ("", Some(text.as_str().into())),
        Value::Number(_) | Value::Bool(_) => ("", Some(value.to_string().into())),
        Value::Null | Value::Array(_) | Value::Object(_) => ("", None),
    };
    words.split_ascii_whitespace().map(Cow::from).chain(whole)
}
