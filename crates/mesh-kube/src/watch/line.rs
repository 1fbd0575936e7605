//! One line of a watch: an envelope with an object in it. Pure.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::{KubeError, Told};
use crate::resource::ObjectName;

/// Cuts what comes into lines.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: BytesMut,
    /// There is no end of a line before this.
    searched: usize,
}

/// A line that is longer than any object can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// What a line says.
#[derive(Debug, PartialEq)]
pub enum Line<T> {
    /// Something about an object.
    Said {
        /// Where the watch goes on after it.
        version: Option<String>,
        /// What.
        said: Said<T>,
    },
    /// The watch has failed.
    Error(KubeError),
}

/// What is said about an object.
#[derive(Debug, PartialEq, Eq)]
pub enum Said<T> {
    /// It was made or changed.
    Applied(T),
    /// It was deleted.
    Deleted(T),
    /// It is no `T`.
    Malformed(ObjectName, String),
    /// Nothing but how far the watch is, or something that is not known to us.
    Nothing,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Default, Deserialize)]
struct Head {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    resource_version: Option<String>,
}

impl Lines {
    /// Takes what came.
    pub fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// The next whole line that is not empty.
    ///
    /// # Errors
    /// Fails when what has come of it is too long already.
    pub fn next_line(&mut self) -> Result<Option<Bytes>, TooLong> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                return if self.searched > MAX_LINE {
                    Err(TooLong)
                } else {
                    Ok(None)
                };
            };
            let line = self.buffer.split_to(self.searched + end + 1);
            self.searched = 0;
            if line.iter().any(|byte| !byte.is_ascii_whitespace()) {
                return Ok(Some(line.freeze()));
            }
        }
    }
}

/// Reads a line.
///
/// # Errors
/// Fails when it is no envelope; one line says why.
pub fn read<T: DeserializeOwned>(line: &[u8]) -> Result<Line<T>, String> {
    let envelope: Envelope<'_> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    if envelope.kind == "ERROR" {
        let told: Told = serde_json::from_str(envelope.object.get()).unwrap_or_default();
        return Ok(Line::Error(KubeError::of_told(&told)));
    }
    let head = head(envelope.object);
    let said = match &*envelope.kind {
        "ADDED" | "MODIFIED" => typed(envelope.object, &head, Said::Applied),
        "DELETED" => typed(envelope.object, &head, Said::Deleted),
        _ => Said::Nothing,
    };
    let version = head.resource_version;
    Ok(Line::Said { version, said })
}

/// An object of a list, or its name and what is wrong with it.
pub(crate) fn object<T: DeserializeOwned>(item: &[u8]) -> Result<T, (ObjectName, String)> {
    serde_json::from_slice(item).map_err(|e| {
        let head: Head = serde_json::from_slice(item).unwrap_or_default();
        let head = head.metadata;
        (ObjectName::new(head.namespace, head.name), e.to_string())
    })
}

fn typed<T: DeserializeOwned>(raw: &RawValue, head: &Metadata, said: impl Fn(T) -> Said<T>) -> Said<T> {
    match serde_json::from_str(raw.get()) {
        Ok(object) => said(object),
        Err(e) => {
            let name = ObjectName::new(head.namespace.clone(), head.name.clone());
            Said::Malformed(name, e.to_string())
        }
    }
}

fn head(raw: &RawValue) -> Metadata {
    let head: Head = serde_json::from_str(raw.get()).unwrap_or_default();
    head.metadata
}

/// Bytes. etcd takes objects of 1.5 MiB; escapes make JSON of them that is longer.
const MAX_LINE: usize = 16 << 20;

#[cfg(test)]
mod tests;
