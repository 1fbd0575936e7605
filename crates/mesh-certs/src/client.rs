//! Fetches certificates from the authority.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_grpc::GrpcChannel;
use mesh_proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use mesh_tls::{InvalidCertificate, TlsSettings, WorkloadCertificate, csr};
use mesh_types::Identity;
use tonic::{Code, Status};

use crate::request;

/// Fetches one certificate with a new key.
pub trait FetchCertificate: Send + Sync + 'static {
    /// Fetches the certificate of an identity. Ends within a bounded time.
    fn fetch(
        &self,
        identity: &Identity,
    ) -> impl Future<Output = Result<Arc<WorkloadCertificate>, FetchError>> + Send;
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The authority says that this process may not have it. It may later: the authority may not know yet that the
    /// workload is here.
    #[error("the authority refused: {0}")]
    Refused(String),
    /// The authority cannot be reached, is busy, or does not accept the token; a later attempt may succeed.
    #[error("the authority is not available: {0}")]
    Unavailable(String),
    /// The authority's answer is not usable.
    #[error("the authority's answer is not usable: {0}")]
    Invalid(String),
    /// This machine cannot make a key.
    #[error("no key can be made: {0}")]
    Local(String),
}

/// The authority's client.
#[derive(Clone, Debug)]
pub struct CaClient {
    channel: GrpcChannel,
    settings: CaClientSettings,
}

/// How certificates are asked for.
#[derive(Clone, Debug)]
pub struct CaClientSettings {
    /// How long they are to be valid (`SECRET_TTL`).
    pub lifetime: Duration,
    /// Whether the caller asks in its workloads' names (a shared node proxy) or in its own.
    pub impersonate: bool,
    /// For the certificates' TLS configurations.
    pub tls: TlsSettings,
}

impl CaClient {
    /// A client over a channel.
    #[must_use]
    pub fn new(channel: GrpcChannel, settings: CaClientSettings) -> Self {
        Self { channel, settings }
    }
}

impl FetchCertificate for CaClient {
    async fn fetch(&self, identity: &Identity) -> Result<Arc<WorkloadCertificate>, FetchError> {
        let (key, csr) = csr::encode(identity).map_err(|e| FetchError::Local(e.to_string()))?;
        let asked_for = self.settings.impersonate.then_some(identity);
        let message = request::encode(csr, self.settings.lifetime, asked_for);
        let mut client =
            IstioCertificateServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_RESPONSE);
        let answer = tokio::time::timeout(DEADLINE, client.create_certificate(message)).await;
        let answer = answer.map_err(|_| FetchError::Unavailable(format!("no answer within {DEADLINE:?}")))?;
        let chain = answer
            .map_err(|status| FetchError::from(&status))?
            .into_inner()
            .cert_chain;
        if chain.len() > MAX_CHAIN {
            return Err(FetchError::Invalid(format!(
                "a chain of {} elements",
                chain.len()
            )));
        }
        // Also checks that it is for this identity and this key.
        Ok(WorkloadCertificate::new(
            identity.clone(),
            &key,
            &chain,
            &self.settings.tls,
        )?)
    }
}

/// Whether a certificate can be used at all.
///
/// # Errors
/// Fails when it has expired.
pub(crate) fn check_validity(certificate: &WorkloadCertificate, wall: SystemTime) -> Result<(), FetchError> {
    if certificate.not_after() <= wall {
        return Err(FetchError::Invalid(
            "the certificate has expired already".to_owned(),
        ));
    }
    Ok(())
}

impl From<&Status> for FetchError {
    fn from(status: &Status) -> Self {
        let text = format!("{:?}: {}", status.code(), mesh_grpc::channel::explain(status));
        match status.code() {
            Code::PermissionDenied | Code::InvalidArgument | Code::FailedPrecondition => Self::Refused(text),
            _ => Self::Unavailable(text),
        }
    }
}

impl From<InvalidCertificate> for FetchError {
    fn from(reason: InvalidCertificate) -> Self {
        Self::Invalid(reason.to_string())
    }
}

/// For one request, including connecting.
const DEADLINE: Duration = Duration::from_secs(10);
/// A chain is a few KiB; whatever the authority sends, no more is held.
const MAX_RESPONSE: usize = 1024 * 1024;
const MAX_CHAIN: usize = 16;
