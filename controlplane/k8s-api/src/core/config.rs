//! ConfigMap and Secret: what other objects name for certificates and settings (Kubernetes API reference, "core/v1").

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesh_types::Strng;
use serde::Deserialize;

use crate::object::Metadata;

/// Texts by name.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ConfigMap {
    /// Metadata.
    pub metadata: Metadata,
    /// The texts.
    pub data: BTreeMap<Strng, Strng>,
}

/// Secret bytes by name.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Secret {
    /// Metadata.
    pub metadata: Metadata,
    /// What it holds.
    pub content: SecretContent,
}

/// What a [`Secret`] holds; in the object these fields stand beside `metadata`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "SecretFields")]
pub struct SecretContent {
    /// What it is for: `kubernetes.io/tls`, `Opaque`, …
    pub kind: Strng,
    /// The bytes.
    pub data: BTreeMap<Strng, SecretBytes>,
}

/// Bytes that no message and no log shows.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "Strng")]
pub struct SecretBytes(pub Vec<u8>);

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecretFields {
    #[serde(rename = "type")]
    kind: Strng,
    data: BTreeMap<Strng, SecretBytes>,
    string_data: BTreeMap<Strng, Strng>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ConfigMapFields {
    pub(crate) data: BTreeMap<Strng, Strng>,
}

impl From<SecretFields> for SecretContent {
    fn from(fields: SecretFields) -> Self {
        let mut data = fields.data;
        let texts = fields.string_data.into_iter();
        data.extend(texts.map(|(name, text)| (name, SecretBytes(text.as_bytes().to_vec()))));
        Self {
            kind: fields.kind,
            data,
        }
    }
}

impl TryFrom<Strng> for SecretBytes {
    type Error = &'static str;

    fn try_from(text: Strng) -> Result<Self, &'static str> {
        let text: String = text.split_whitespace().collect();
        STANDARD
            .decode(text)
            .map(Self)
            .map_err(|_| "is not base64; plain text belongs into stringData")
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}
