//! BackendTLSPolicy: how a Service's TLS is checked (Gateway API reference, "BackendTLSPolicy").

use std::collections::BTreeMap;

use mesh_types::Strng;
use serde::Deserialize;

use super::reference::{LocalObjectRef, PolicyTarget};
use crate::object::Resource;

/// How a Service's TLS is checked. A field that does not exist is an error.
pub type BackendTlsPolicy = Resource<BackendTlsPolicySpec>;

/// What a [`BackendTlsPolicy`] says.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTlsPolicySpec {
    /// The Services, or ports of them, that it is for.
    pub target_refs: Vec<PolicyTarget>,
    /// What is checked.
    pub validation: BackendTlsValidation,
    /// Settings of an implementation's own.
    pub options: BTreeMap<Strng, Strng>,
}

/// What is checked.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTlsValidation {
    /// The bundles of those who may sign the certificate.
    pub ca_certificate_refs: Vec<LocalObjectRef>,
    /// A bundle that is there without being named.
    #[serde(rename = "wellKnownCACertificates")]
    pub well_known_ca_certificates: Option<WellKnownBundle>,
    /// The host that the handshake names, and the certificate must be for unless names are given.
    pub hostname: Strng,
    /// The names of which the certificate must have one.
    pub subject_alt_names: Vec<SubjectAltName>,
}

/// A bundle that is there without being named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum WellKnownBundle {
    /// The system's.
    System,
}

/// A name that a certificate must have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "SubjectAltNameFields")]
pub enum SubjectAltName {
    /// A host.
    Hostname(Strng),
    /// A URI, as SPIFFE identities are.
    Uri(Strng),
}

#[derive(Deserialize)]
struct SubjectAltNameFields {
    #[serde(rename = "type")]
    kind: SubjectAltNameType,
    #[serde(default)]
    hostname: Option<Strng>,
    #[serde(default)]
    uri: Option<Strng>,
}

#[derive(Deserialize)]
enum SubjectAltNameType {
    Hostname,
    #[serde(rename = "URI")]
    Uri,
}

impl TryFrom<SubjectAltNameFields> for SubjectAltName {
    type Error = &'static str;

    fn try_from(fields: SubjectAltNameFields) -> Result<Self, &'static str> {
        match (fields.kind, fields.hostname, fields.uri) {
            (SubjectAltNameType::Hostname, Some(host), None) => Ok(Self::Hostname(host)),
            (SubjectAltNameType::Uri, None, Some(uri)) => Ok(Self::Uri(uri)),
            (SubjectAltNameType::Hostname, ..) => {
                Err("must have hostname and nothing else, as its type says")
            }
            (SubjectAltNameType::Uri, ..) => Err("must have uri and nothing else, as its type says"),
        }
    }
}
