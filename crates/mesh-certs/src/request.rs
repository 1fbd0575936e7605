//! The message that asks for a certificate, both directions.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_proto::google::protobuf::value::Kind;
use mesh_proto::google::protobuf::{Struct, Value};
use mesh_proto::istio::v1::auth::IstioCertificateRequest;
use mesh_tls::csr::{self, InvalidSigningRequest, SigningRequest};
use mesh_types::{Identity, InvalidIdentity};

/// What a caller asks for; whether it may have it is not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Who the certificate is to be for.
    pub identity: Identity,
    /// The caller asks in another's name: it must be that one's node proxy.
    pub impersonated: bool,
    /// The public key, of which the caller has shown that it holds the private one.
    pub request: SigningRequest,
    /// How long the certificate is to be valid.
    pub lifetime: Duration,
}

/// Why a request is refused; each names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrder {
    /// The signing request.
    #[error("csr: {0}")]
    Csr(#[from] InvalidSigningRequest),
    /// The identity asked for in the metadata.
    #[error("metadata.ImpersonatedIdentity: {0}")]
    Identity(#[from] InvalidIdentity),
    /// The identity asked for in the metadata is no string.
    #[error("metadata.ImpersonatedIdentity: is no string")]
    IdentityKind,
    /// The signing request is for another identity than the metadata asks for.
    #[error("csr: is for {csr}, but metadata.ImpersonatedIdentity is {metadata}")]
    OtherIdentity {
        /// In the signing request.
        csr: Identity,
        /// In the metadata.
        metadata: Identity,
    },
    /// Longer than any certificate is made for.
    #[error("validity_duration: {0} s is more than the 90 days that are allowed")]
    Lifetime(i64),
}

/// The message for a certificate.
#[must_use]
pub fn encode(
    csr_pem: String,
    lifetime: Duration,
    impersonate: Option<&Identity>,
) -> IstioCertificateRequest {
    let metadata = impersonate.map(|identity| Struct {
        fields: BTreeMap::from([(
            IMPERSONATED.to_owned(),
            Value {
                kind: Some(Kind::StringValue(identity.to_string())),
            },
        )]),
    });
    IstioCertificateRequest {
        csr: csr_pem,
        validity_duration: i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX),
        metadata,
    }
}

/// Takes a message apart. A lifetime of nothing or less means 24 hours, more than 90 days is refused, as istiod has it.
///
/// # Errors
/// Fails when a field is malformed, and names it.
pub fn decode(message: &IstioCertificateRequest) -> Result<Order, InvalidOrder> {
    let lifetime = lifetime(message.validity_duration)?;
    let impersonated = impersonated(message)?;
    let request = csr::decode(&message.csr)?;
    let identity = request.identity().clone();
    if let Some(metadata) = &impersonated
        && *metadata != identity
    {
        return Err(InvalidOrder::OtherIdentity {
            csr: identity,
            metadata: metadata.clone(),
        });
    }
    Ok(Order {
        identity,
        impersonated: impersonated.is_some(),
        request,
        lifetime,
    })
}

fn lifetime(seconds: i64) -> Result<Duration, InvalidOrder> {
    match u64::try_from(seconds) {
        Err(_) | Ok(0) => Ok(DEFAULT_LIFETIME),
        Ok(seconds) if seconds <= MAX_LIFETIME.as_secs() => Ok(Duration::from_secs(seconds)),
        Ok(_) => Err(InvalidOrder::Lifetime(seconds)),
    }
}

fn impersonated(message: &IstioCertificateRequest) -> Result<Option<Identity>, InvalidOrder> {
    let fields = message.metadata.as_ref().map(|m| &m.fields);
    match fields.and_then(|f| f.get(IMPERSONATED)).map(|value| &value.kind) {
        None => Ok(None),
        Some(Some(Kind::StringValue(text))) => Ok(Some(text.parse()?)),
        Some(_) => Err(InvalidOrder::IdentityKind),
    }
}

/// The key of the identity that a node proxy asks for (Istio's `security.ImpersonatedIdentity`).
const IMPERSONATED: &str = "ImpersonatedIdentity";
/// Istio's `DEFAULT_WORKLOAD_CERT_TTL`.
pub const DEFAULT_LIFETIME: Duration = Duration::from_hours(24);
/// Istio's `MAX_WORKLOAD_CERT_TTL`.
pub const MAX_LIFETIME: Duration = Duration::from_hours(90 * 24);

#[cfg(test)]
mod tests;
