//! Changes of headers (`envoy.config.core.v3.HeaderValueOption`).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_proto::envoy::config::core::v3 as pb;
use mesh_proto::google::protobuf::BoolValue;

use crate::Misunderstood;

/// A change of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderChange {
    /// Which one.
    pub name: ChangedName,
    /// The value.
    pub value: HeaderValue,
    /// What becomes of the one that is there.
    pub action: HeaderAction,
}

/// The name of a header that is to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangedName {
    /// A header.
    Header(HeaderName),
    /// The host that is asked for: `:authority`, or `host`.
    Authority,
    /// `:path`, with the query.
    Path,
    /// `:method`.
    Method,
    /// `:status`, of an answer.
    Status,
    /// `:scheme`.
    Scheme,
}

/// What becomes of a header that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderAction {
    /// It stays, and there is one more.
    Append,
    /// It stays, and nothing is added.
    AddIfAbsent,
    /// It is replaced.
    Overwrite,
    /// It is replaced, and nothing is added if there is none.
    OverwriteIfPresent,
}

impl HeaderChange {
    /// Replaces a header.
    #[must_use]
    pub fn overwrite(name: HeaderName, value: HeaderValue) -> Self {
        Self {
            name: ChangedName::Header(name),
            value,
            action: HeaderAction::Overwrite,
        }
    }

    /// Carries it out, if it is about a header proper; says whether it is.
    pub fn apply(&self, headers: &mut HeaderMap) -> bool {
        let ChangedName::Header(name) = &self.name else {
            return false;
        };
        let present = headers.contains_key(name);
        match self.action {
            HeaderAction::Append => drop(headers.append(name.clone(), self.value.clone())),
            HeaderAction::AddIfAbsent if present => {}
            HeaderAction::OverwriteIfPresent if !present => {}
            HeaderAction::AddIfAbsent | HeaderAction::Overwrite | HeaderAction::OverwriteIfPresent => {
                headers.insert(name.clone(), self.value.clone());
            }
        }
        true
    }

    pub(crate) fn from_wire(message: &pb::HeaderValueOption) -> Result<Self, Misunderstood> {
        let header = message
            .header
            .as_ref()
            .ok_or_else(|| Misunderstood::new("header", "is missing"))?;
        let value = match header.value.is_empty() {
            true => &header.raw_value[..],
            false => header.value.as_bytes(),
        };
        let action = match (message.append, message.append_action()) {
            (Some(BoolValue { value: true }), _) => HeaderAction::Append,
            (None, pb::HeaderAppendAction::AddIfAbsent) => HeaderAction::AddIfAbsent,
            (None, pb::HeaderAppendAction::OverwriteIfExists) => HeaderAction::OverwriteIfPresent,
            // Not said, it is to replace (Envoy, `OkHttpResponse`): what nobody chose must not be the value 0.
            _ => HeaderAction::Overwrite,
        };
        Ok(Self {
            name: ChangedName::read(&header.key)?,
            value: HeaderValue::from_bytes(value)
                .map_err(|_| Misunderstood::new("header.value", "is no header value"))?,
            action,
        })
    }

    pub(crate) fn to_wire(&self) -> pb::HeaderValueOption {
        let (append, action) = match self.action {
            HeaderAction::Append => (Some(true), pb::HeaderAppendAction::AppendIfExistsOrAdd),
            HeaderAction::AddIfAbsent => (None, pb::HeaderAppendAction::AddIfAbsent),
            HeaderAction::Overwrite => (None, pb::HeaderAppendAction::OverwriteIfExistsOrAdd),
            HeaderAction::OverwriteIfPresent => (None, pb::HeaderAppendAction::OverwriteIfExists),
        };
        pb::HeaderValueOption {
            header: Some(header_to_wire(self.name.as_str(), &self.value)),
            append: append.map(|value| BoolValue { value }),
            append_action: action.into(),
            keep_empty_value: false,
        }
    }
}

impl ChangedName {
    fn read(name: &str) -> Result<Self, Misunderstood> {
        Ok(match name.to_ascii_lowercase().as_str() {
            ":authority" | "host" => Self::Authority,
            ":path" => Self::Path,
            ":method" => Self::Method,
            ":status" => Self::Status,
            ":scheme" => Self::Scheme,
            name => Self::Header(
                HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| Misunderstood::new("header.key", "is no header name"))?,
            ),
        })
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Header(name) => name.as_str(),
            Self::Authority => ":authority",
            Self::Path => ":path",
            Self::Method => ":method",
            Self::Status => ":status",
            Self::Scheme => ":scheme",
        }
    }
}

pub(crate) fn changes(
    messages: &[pb::HeaderValueOption],
    most: usize,
) -> Result<Vec<HeaderChange>, Misunderstood> {
    if messages.len() > most {
        return Err(Misunderstood::new("headers", "are too many"));
    }
    messages.iter().map(HeaderChange::from_wire).collect()
}

pub(crate) fn changes_to_wire(changes: &[HeaderChange]) -> Vec<pb::HeaderValueOption> {
    changes.iter().map(HeaderChange::to_wire).collect()
}

/// Names of headers that are to go; those that cannot go (pseudo headers, Host) are left out, as Envoy does.
pub(crate) fn removals(names: &[String], most: usize) -> Result<Vec<HeaderName>, Misunderstood> {
    if names.len() > most {
        return Err(Misunderstood::new("headers_to_remove", "are too many"));
    }
    let stays = |name: &&String| !name.starts_with(':') && !name.eq_ignore_ascii_case("host");
    let read = |name: &String| {
        HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Misunderstood::new("headers_to_remove", "is no header name"))
    };
    names.iter().filter(stays).map(read).collect()
}

/// Headers that are to be added, without more (`HeaderValue`).
pub(crate) fn plain(
    messages: &[pb::HeaderValue],
    most: usize,
) -> Result<Vec<(HeaderName, HeaderValue)>, Misunderstood> {
    if messages.len() > most {
        return Err(Misunderstood::new("headers", "are too many"));
    }
    let read = |message: &pb::HeaderValue| {
        let value = match message.value.is_empty() {
            true => &message.raw_value[..],
            false => message.value.as_bytes(),
        };
        Ok((
            HeaderName::from_bytes(message.key.as_bytes())
                .map_err(|_| Misunderstood::new("header.key", "is no header name"))?,
            HeaderValue::from_bytes(value)
                .map_err(|_| Misunderstood::new("header.value", "is no header value"))?,
        ))
    };
    messages.iter().map(read).collect()
}

/// The other direction of [`plain`].
pub(crate) fn plain_to_wire(headers: &[(HeaderName, HeaderValue)]) -> Vec<pb::HeaderValue> {
    let write = |(name, value): &(HeaderName, HeaderValue)| header_to_wire(name.as_str(), value);
    headers.iter().map(write).collect()
}

/// Text where it is some.
pub(crate) fn header_to_wire(name: &str, value: &HeaderValue) -> pb::HeaderValue {
    let (text, raw) = match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => (text.to_owned(), Bytes::new()),
        Err(_) => (String::new(), Bytes::copy_from_slice(value.as_bytes())),
    };
    pb::HeaderValue {
        key: name.to_owned(),
        value: text,
        raw_value: raw,
    }
}

/// How many headers an answer may change: more than requests may have.
pub(crate) const MOST_CHANGES: usize = 256;

#[cfg(test)]
mod tests;
