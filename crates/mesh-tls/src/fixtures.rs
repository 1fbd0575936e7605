//! Authorities, certificates and handshakes for the tests of this crate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mesh_types::Identity;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ServerConfig};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::{PrivateKey, TlsSettings, WorkloadCertificate, mesh_server_name};

/// A self-signed root that signs whatever it is asked to.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate to be: valid for an hour, with the names given.
pub(crate) struct Leaf {
    params: CertificateParams,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        // A verifier finds an issuer by its name.
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name = named(&format!("test root {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    pub(crate) fn root_pem(&self) -> String {
        self.issuer.pem()
    }

    /// The leaf and its key, PEM.
    pub(crate) fn sign(&self, leaf: Leaf) -> (String, PrivateKey) {
        let key = KeyPair::generate().unwrap();
        let cert = leaf.params.signed_by(&key, &self.issuer).unwrap();
        (cert.pem(), PrivateKey::from_pem(&key.serialize_pem()).unwrap())
    }

    pub(crate) fn der(&self, leaf: Leaf) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        leaf.params.signed_by(&key, &self.issuer).unwrap().der().clone()
    }

    /// A whole workload certificate for this identity.
    pub(crate) fn workload(&self, id: &str) -> Arc<WorkloadCertificate> {
        self.workload_with(id, &TlsSettings::default())
    }

    pub(crate) fn workload_with(&self, id: &str, settings: &TlsSettings) -> Arc<WorkloadCertificate> {
        let (leaf, key) = self.sign(Leaf::of(&[id]));
        WorkloadCertificate::new(identity(id), &key, &[leaf, self.root_pem()], settings).unwrap()
    }
}

impl Leaf {
    pub(crate) fn of(uris: &[&str]) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = uris
            .iter()
            .map(|uri| SanType::URI((*uri).try_into().unwrap()))
            .collect();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.not_before = now() - time::Duration::minutes(30);
        params.not_after = now() + time::Duration::minutes(30);
        Self { params }
    }

    pub(crate) fn dns(mut self, name: &str) -> Self {
        self.params
            .subject_alt_names
            .push(SanType::DnsName(name.try_into().unwrap()));
        self
    }

    pub(crate) fn expired(mut self) -> Self {
        self.params.not_after = now() - time::Duration::minutes(1);
        self
    }

    pub(crate) fn not_yet_valid(mut self) -> Self {
        self.params.not_before = now() + time::Duration::minutes(10);
        self
    }
}

pub(crate) fn identity(id: &str) -> Identity {
    id.parse().unwrap()
}

/// What came of a handshake, at either end.
pub(crate) struct Handshake {
    pub(crate) client: std::io::Result<client::TlsStream<tokio::io::DuplexStream>>,
    pub(crate) server: std::io::Result<server::TlsStream<tokio::io::DuplexStream>>,
}

/// Both ends in one process. With TLS 1.3 a client believes itself connected before the server has judged its certificate,
/// so a byte goes each way.
pub(crate) async fn handshake(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Handshake {
    let (near, far) = tokio::io::duplex(1 << 20);
    let connect = async {
        let mut stream = TlsConnector::from(client)
            .connect(mesh_server_name(), near)
            .await?;
        stream.write_all(b"c").await?;
        stream.read_exact(&mut [0]).await?;
        Ok(stream)
    };
    let accept = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        stream.read_exact(&mut [0]).await?;
        stream.write_all(b"s").await?;
        Ok(stream)
    };
    let (client, server) = tokio::join!(connect, accept);
    Handshake { client, server }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

static MADE: AtomicU32 = AtomicU32::new(0);
