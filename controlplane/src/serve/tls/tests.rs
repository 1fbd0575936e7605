use std::fs;

use controlplane_ca::root::Root;
use mesh_types::TrustDomain;
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

fn issuer() -> Arc<Issuer> {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::load_or_create(dir.path(), &TrustDomain::default(), SystemTime::now()).unwrap();
    Arc::new(Issuer::new(root))
}

fn names() -> Vec<String> {
    vec!["istiod.istio-system.svc".to_owned()]
}

/// Mounts another certificate for a name, and gives it.
fn mount(dir: &TempDir, name: &str) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    fs::write(dir.path().join(CERTIFICATE), certificate.pem()).unwrap();
    fs::write(dir.path().join(KEY), key.serialize_pem()).unwrap();
    certificate.der().clone()
}

/// What a client is shown in a handshake.
fn shown(tls: &ServingTls) -> CertificateDer<'static> {
    let provider = provider(&TlsSettings::default());
    let seen = Arc::new(parking_lot::Mutex::new(None));
    let client = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Seen(seen.clone(), provider)))
        .with_no_client_auth();
    let name = "istiod.istio-system.svc".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = rustls::ServerConnection::new(tls.config()).unwrap();
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    while client.is_handshaking() {
        client.write_tls(&mut to_server).unwrap();
        server.read_tls(&mut to_server.as_slice()).unwrap();
        to_server.clear();
        server.process_new_packets().unwrap();
        server.write_tls(&mut to_client).unwrap();
        client.read_tls(&mut to_client.as_slice()).unwrap();
        to_client.clear();
        client.process_new_packets().unwrap();
    }
    let seen = seen.lock().take();
    seen.expect("a certificate was shown")
}

#[derive(Debug)]
struct Seen(
    Arc<parking_lot::Mutex<Option<CertificateDer<'static>>>>,
    Arc<rustls::crypto::CryptoProvider>,
);

impl rustls::client::danger::ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        *self.0.lock() = Some(end_entity.clone().into_owned());
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.1.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.1.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.1.signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn what_is_mounted_serves_and_what_replaces_it_does_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = mount(&dir, "one.example.com");
    let now = SystemTime::now();
    let tls = ServingTls::new(issuer(), names(), dir.path().to_owned(), now).unwrap();
    assert_eq!(shown(&tls), first);
    assert!(!tls.look(false, now).unwrap(), "nothing changed");
    let second = mount(&dir, "two.example.com");
    assert!(tls.look(false, now).unwrap());
    assert_eq!(shown(&tls), second);
}

#[test]
fn our_own_serves_until_one_is_mounted_and_when_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let tls = ServingTls::new(issuer(), names(), dir.path().to_owned(), now).unwrap();
    let own = shown(&tls);
    let mounted = mount(&dir, "one.example.com");
    assert!(tls.look(false, now).unwrap());
    assert_eq!(shown(&tls), mounted);
    fs::remove_file(dir.path().join(CERTIFICATE)).unwrap();
    assert!(tls.look(false, now).unwrap());
    let again = shown(&tls);
    assert!(again != own && again != mounted);
}

#[test]
fn a_half_written_certificate_changes_nothing_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let first = mount(&dir, "one.example.com");
    let now = SystemTime::now();
    let tls = ServingTls::new(issuer(), names(), dir.path().to_owned(), now).unwrap();
    let key = fs::read(dir.path().join(KEY)).unwrap();
    let second = mount(&dir, "two.example.com");
    // The key of the one before it.
    let new_key = fs::read(dir.path().join(KEY)).unwrap();
    fs::write(dir.path().join(KEY), key).unwrap();
    assert!(tls.look(false, now).is_err());
    assert_eq!(shown(&tls), first);
    fs::write(dir.path().join(KEY), new_key).unwrap();
    assert!(tls.look(false, now).unwrap());
    assert_eq!(shown(&tls), second);
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_at_the_start_by_its_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(CERTIFICATE), "hello").unwrap();
    let error = ServingTls::new(issuer(), names(), dir.path().to_owned(), SystemTime::now());
    let text = error.map(drop).unwrap_err().to_string();
    assert!(text.contains("tls.key"), "{text}");
}

#[test]
fn our_own_is_made_anew_at_half_of_its_life_and_for_another_root() {
    let now = SystemTime::now();
    let issuer = issuer();
    let nowhere = PathBuf::from("/nonexistent");
    let tls = ServingTls::new(issuer.clone(), names(), nowhere, now).unwrap();
    let first = shown(&tls);
    let half = now + Duration::from_secs(16 * 24 * 3600);
    assert!(tls.look(false, half).unwrap());
    let second = shown(&tls);
    assert_ne!(second, first);
    assert!(tls.look(true, half).unwrap());
    assert_ne!(shown(&tls), second);
}
