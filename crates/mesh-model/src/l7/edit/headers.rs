//! Headers that are set, added and removed (Gateway API, HTTPHeaderFilter).

use http::header::{HOST, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_types::Strng;

use crate::l7::filter::HeaderEdits;

/// [`HeaderEdits`], with names and values checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEditor {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
    authority: Option<Strng>,
}

/// Why edits are refused; the fault is their author's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEdit {
    /// It is no name of a header, or one that cannot be edited.
    #[error("{0:?} is no header that can be edited")]
    Name(Strng),
    /// It holds a byte that no header may hold.
    #[error("the value of header {0:?} holds a byte that no header may hold")]
    Value(Strng),
}

impl HeaderEditor {
    /// Checks.
    ///
    /// # Errors
    /// Names the first name or value that is none. Pseudo headers but `:authority`, and what frames a message
    /// (`Content-Length`, `Transfer-Encoding`, `Connection`), cannot be edited.
    pub fn compile(edits: &HeaderEdits) -> Result<Self, InvalidEdit> {
        let mut editor = Self::default();
        for name in &edits.remove {
            editor.remove.push(editable(name)?);
        }
        for (name, text) in &edits.set {
            match is_authority(name) {
                true => editor.authority = Some(text.clone()),
                false => editor.set.push((editable(name)?, value(name, text)?)),
            }
        }
        for (name, text) in &edits.add {
            editor.add.push((editable(name)?, value(name, text)?));
        }
        Ok(editor)
    }

    /// Edits: first removes, then sets, then adds. What is added is joined to what is there, with a comma and all of
    /// it in one line, but for cookies, of which each has its own (RFC 9110, section 5.3).
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            add(headers, name, value);
        }
    }

    /// What the request's `:authority` is set to, or its Host.
    #[must_use]
    pub fn authority(&self) -> Option<&Strng> {
        self.authority.as_ref()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty() && self.authority.is_none()
    }
}

fn add(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    if name == SET_COOKIE {
        headers.append(name, value.clone());
        return;
    }
    let there: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    let joined = match there.is_empty() {
        true => value.clone(),
        false => {
            let joined = [there.join(&b','), value.as_bytes().to_vec()].join(&b',');
            HeaderValue::from_bytes(&joined).expect("values that are joined with a comma are a value")
        }
    };
    headers.insert(name, joined);
}

fn editable(name: &Strng) -> Result<HeaderName, InvalidEdit> {
    let invalid = || InvalidEdit::Name(name.clone());
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
    match name == HOST || FRAMING.contains(&name.as_str()) {
        true => Err(invalid()),
        false => Ok(name),
    }
}

fn value(name: &Strng, text: &Strng) -> Result<HeaderValue, InvalidEdit> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| InvalidEdit::Value(name.clone()))
}

fn is_authority(name: &str) -> bool {
    name == ":authority" || name.eq_ignore_ascii_case("host")
}

/// What says where a message ends is nobody's but the proxy's.
const FRAMING: [&str; 4] = ["connection", "content-length", "te", "transfer-encoding"];

#[cfg(test)]
mod tests;
