use rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::fixtures::{Authority, Leaf};

const NAME: &str = "istiod.istio-system.svc";

#[test]
fn settings_are_read_as_upstream_reads_them() {
    assert_eq!(RootSource::from_setting("SYSTEM"), RootSource::System);
    let path = RootSource::from_setting("./var/run/secrets/istio/root-cert.pem");
    assert_eq!(
        path,
        RootSource::Path("./var/run/secrets/istio/root-cert.pem".into())
    );
    let pem = Authority::new().root_pem();
    assert!(matches!(RootSource::from_setting(&pem), RootSource::Inline(_)));
}

#[test]
fn what_is_wrong_with_the_roots_is_named() {
    let missing = RootSource::Path("/nowhere/root.pem".into()).load().unwrap_err();
    assert!(
        missing.to_string().starts_with("/nowhere/root.pem: "),
        "{missing}"
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.pem");
    fs::write(&path, "not PEM").unwrap();
    let empty = RootSource::Path(path.clone()).load().unwrap_err();
    assert_eq!(
        empty.to_string(),
        format!("{}: no certificate in the PEM text", path.display())
    );
    let broken = RootSource::Inline("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into());
    assert!(matches!(
        broken.load().unwrap_err(),
        ServiceTlsError::Malformed { .. }
    ));
}

#[test]
fn a_system_without_roots_says_where_they_are_looked_for_and_what_helps() {
    let error = ServiceTlsError::NoSystemRoots.to_string();
    for path in SYSTEM_BUNDLES {
        assert!(error.contains(path), "{error}");
    }
    assert!(
        error.contains("mount a PEM bundle at one of them, or name the roots"),
        "{error}"
    );
}

#[tokio::test]
async fn a_replaced_root_file_counts_from_the_next_connection() {
    let (old, new) = (Authority::new(), Authority::new());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.pem");
    let roots = RootSource::Path(path.clone());
    let server = serving(&new);
    fs::write(&path, old.root_pem()).unwrap();
    connect(&roots, &server, NAME).await.unwrap_err();
    fs::write(&path, new.root_pem()).unwrap();
    connect(&roots, &server, NAME).await.unwrap();
}

#[tokio::test]
async fn the_name_must_be_the_servers() {
    let authority = Authority::new();
    let roots = RootSource::Inline(authority.root_pem());
    connect(&roots, &serving(&authority), NAME).await.unwrap();
    connect(&roots, &serving(&authority), "other.svc")
        .await
        .unwrap_err();
}

#[test]
fn a_serving_certificate_of_another_key_is_refused() {
    let authority = Authority::new();
    let (chain, _) = authority.sign(Leaf::of(&[]).dns(NAME));
    let (_, other) = authority.sign(Leaf::of(&[]).dns(NAME));
    let made = server_config(&chain, &other, &TlsSettings::default());
    assert!(matches!(made, Err(ServiceTlsError::Key)));
}

fn serving(authority: &Authority) -> Arc<ServerConfig> {
    let (chain, key) = authority.sign(Leaf::of(&[]).dns(NAME));
    server_config(&chain, &key, &TlsSettings::default()).unwrap()
}

async fn connect(roots: &RootSource, server: &Arc<ServerConfig>, name: &str) -> io::Result<()> {
    let client = client_config(roots, &TlsSettings::default()).unwrap();
    let (near, far) = tokio::io::duplex(1 << 16);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let (client, _server) = tokio::join!(
        TlsConnector::from(client).connect(name, near),
        TlsAcceptor::from(Arc::clone(server)).accept(far)
    );
    let client = client?;
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(ALPN_H2));
    Ok(())
}
