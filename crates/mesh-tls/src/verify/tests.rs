//! Both ends of a mesh connection in one process.

use std::io;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, NamedGroup, ProtocolVersion};

use super::*;
use crate::fixtures::{Authority, Handshake, Leaf, handshake, identity};
use crate::{KeyExchangeGroup, PrivateKey, TlsSettings, WorkloadCertificate, mesh_server_name, provider};

const A: &str = "spiffe://cluster.local/ns/a/sa/client";
const B: &str = "spiffe://cluster.local/ns/b/sa/server";
const C: &str = "spiffe://cluster.local/ns/c/sa/other";
const FOREIGN: &str = "spiffe://elsewhere/ns/a/sa/client";

#[tokio::test]
async fn the_right_peers_meet() {
    let authority = Authority::new();
    let (a, b) = (authority.workload(A), authority.workload(B));
    let met = handshake(
        a.client_config(&ExpectedPeers::one(&identity(B))),
        b.server_config(),
    )
    .await;
    let (client, server) = (met.client.unwrap(), met.server.unwrap());
    assert_eq!(
        peer_identity(client.get_ref().1.peer_certificates().unwrap()).unwrap(),
        identity(B)
    );
    assert_eq!(
        peer_identity(server.get_ref().1.peer_certificates().unwrap()).unwrap(),
        identity(A)
    );
    let tls = server.get_ref().1;
    assert_eq!(tls.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(tls.server_name(), None, "no SNI is sent");
    assert_eq!(tls.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let group = tls.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn one_of_several_expected_peers_is_enough_and_may_be_foreign() {
    let authority = Authority::new();
    let a = authority.workload(A);
    let expected = ExpectedPeers::identity_or(&identity(C), ["spiffe://vm.example/db", B]);
    let met = handshake(a.client_config(&expected), authority.workload(B).server_config()).await;
    met.client.unwrap();

    // A service's own name for its endpoints need not have the mesh's form.
    let server = server_showing(&authority, Leaf::of(&["spiffe://vm.example/db"]));
    let met = handshake(a.client_config(&expected), server).await;
    met.client.unwrap();
}

#[tokio::test]
async fn somebody_else_is_turned_away_by_the_client() {
    let authority = Authority::new();
    let a = authority.workload(A);
    let met = handshake(
        a.client_config(&ExpectedPeers::one(&identity(B))),
        authority.workload(C).server_config(),
    );
    let met = met.await;
    assert_eq!(
        rejection_by_client(&met),
        RejectedPeer::NotExpected {
            shown: C.to_owned(),
            expected: ExpectedPeers::one(&identity(B)),
        }
    );
    assert!(met.server.is_err());
}

#[tokio::test]
async fn another_trust_domain_is_turned_away_by_the_server() {
    // The roots are shared, as two meshes under one company's root have it.
    let authority = Authority::new();
    let (foreign, b) = (authority.workload(FOREIGN), authority.workload(B));
    let met = handshake(
        foreign.client_config(&ExpectedPeers::one(&identity(B))),
        b.server_config(),
    )
    .await;
    assert_eq!(
        rejection_by_server(&met),
        RejectedPeer::TrustDomain {
            shown: identity(FOREIGN),
            ours: "cluster.local".parse().unwrap(),
        }
    );
    assert!(met.client.is_err());
}

#[tokio::test]
async fn a_foreign_root_is_turned_away_by_both() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let expected = ExpectedPeers::one(&identity(B));
    let met = handshake(
        ours.workload(A).client_config(&expected),
        theirs.workload(B).server_config(),
    )
    .await;
    assert_eq!(
        certificate_error(met.client.unwrap_err()),
        CertificateError::UnknownIssuer
    );

    // A client that believes the server, and shows a certificate of a root that the server does not know.
    let client = client_showing(&theirs, Leaf::of(&[A]), &ours.root_pem(), B);
    let met = handshake(client, ours.workload(B).server_config()).await;
    assert_eq!(
        certificate_error(met.server.unwrap_err()),
        CertificateError::UnknownIssuer
    );
}

#[tokio::test]
async fn expired_and_early_certificates_are_turned_away() {
    let authority = Authority::new();
    let a = authority.workload(A);
    let expected = ExpectedPeers::one(&identity(B));
    let leaves: [fn() -> Leaf; 2] = [|| Leaf::of(&[B]).expired(), || Leaf::of(&[B]).not_yet_valid()];
    for leaf in leaves {
        let met = handshake(a.client_config(&expected), server_showing(&authority, leaf())).await;
        let error = certificate_error(met.client.unwrap_err());
        let timely = matches!(
            error,
            CertificateError::ExpiredContext { .. } | CertificateError::NotValidYetContext { .. }
        );
        assert!(timely, "{error:?}");
    }
    let client = client_showing(&authority, Leaf::of(&[A]).expired(), &authority.root_pem(), B);
    let met = handshake(client, authority.workload(B).server_config()).await;
    let error = certificate_error(met.server.unwrap_err());
    assert!(
        matches!(error, CertificateError::ExpiredContext { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_client_without_certificate_is_turned_away() {
    let authority = Authority::new();
    let verifier = expect(&authority.root_pem(), B);
    let client = ClientConfig::builder_with_provider(provider(&TlsSettings::default()))
        .with_protocol_versions(TlsSettings::default().versions())
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let met = handshake(Arc::new(client), authority.workload(B).server_config()).await;
    assert_eq!(tls_error(met.server.unwrap_err()), Error::NoCertificatesPresented);
    assert!(met.client.is_err());
}

#[tokio::test]
async fn two_uris_are_turned_away_by_both_whatever_their_order() {
    let authority = Authority::new();
    let a = authority.workload(A);
    for uris in [[B, C], [C, B], [B, B]] {
        let server = server_showing(&authority, Leaf::of(&uris));
        let met = handshake(a.client_config(&ExpectedPeers::one(&identity(B))), server).await;
        let two = RejectedPeer::NoIdentity(PeerIdentityError::SeveralUris(2));
        assert_eq!(rejection_by_client(&met), two);

        let client = client_showing(&authority, Leaf::of(&uris), &authority.root_pem(), B);
        let met = handshake(client, authority.workload(B).server_config()).await;
        assert_eq!(rejection_by_server(&met), two);
    }
}

#[tokio::test]
async fn a_nul_byte_ends_no_identity() {
    let authority = Authority::new();
    let disguised = format!("{B}\0.elsewhere");
    let server = server_showing(&authority, Leaf::of(&[&disguised]));
    let met = handshake(
        authority
            .workload(A)
            .client_config(&ExpectedPeers::one(&identity(B))),
        server,
    )
    .await;
    let control = RejectedPeer::NoIdentity(PeerIdentityError::ControlCharacter);
    assert_eq!(rejection_by_client(&met), control);

    let disguised = format!("{A}\0");
    let client = client_showing(&authority, Leaf::of(&[&disguised]), &authority.root_pem(), B);
    let met = handshake(client, authority.workload(B).server_config()).await;
    assert_eq!(rejection_by_server(&met), control);
}

#[tokio::test]
async fn a_name_that_is_no_uri_is_no_identity() {
    let authority = Authority::new();
    let client = client_showing(
        &authority,
        Leaf::of(&[]).dns("client.a.svc"),
        &authority.root_pem(),
        B,
    );
    let met = handshake(client, authority.workload(B).server_config()).await;
    assert_eq!(
        rejection_by_server(&met),
        RejectedPeer::NoIdentity(PeerIdentityError::NoUri)
    );
}

#[tokio::test]
async fn groups_and_versions_are_those_of_the_settings() {
    let authority = Authority::new();
    let expected = ExpectedPeers::one(&identity(B));
    let only = |group| TlsSettings {
        groups: vec![group],
        ..TlsSettings::default()
    };
    for (group, name) in [
        (KeyExchangeGroup::X25519, NamedGroup::X25519),
        (KeyExchangeGroup::Secp256r1, NamedGroup::secp256r1),
    ] {
        let a = authority.workload_with(A, &only(group));
        let met = handshake(a.client_config(&expected), authority.workload(B).server_config()).await;
        let server = met.server.unwrap();
        assert_eq!(
            server.get_ref().1.negotiated_key_exchange_group().unwrap().name(),
            name
        );
    }
    // Nothing in common: no connection, rather than a weaker one.
    let a = authority.workload_with(A, &only(KeyExchangeGroup::X25519));
    let b = authority.workload_with(B, &only(KeyExchangeGroup::Secp256r1));
    assert!(
        handshake(a.client_config(&expected), b.server_config())
            .await
            .server
            .is_err()
    );

    let old = TlsSettings {
        tls12: true,
        ..TlsSettings::default()
    };
    let mut client = ClientConfig::clone(&authority.workload_with(A, &old).client_config(&expected));
    client.alpn_protocols.clear();
    let b = authority.workload_with(B, &old);
    let met = handshake(Arc::new(client), b.server_config()).await;
    let version = met.server.unwrap().get_ref().1.protocol_version();
    assert_eq!(version, Some(ProtocolVersion::TLSv1_3), "newest first");
}

#[tokio::test]
async fn nothing_is_resumed() {
    let authority = Authority::new();
    let (a, b) = (authority.workload(A), authority.workload(B));
    let config = a.client_config(&ExpectedPeers::one(&identity(B)));
    for _ in 0..3 {
        let met = handshake(Arc::clone(&config), b.server_config()).await;
        let client = met.client.unwrap();
        let kind = client.get_ref().1.handshake_kind().unwrap();
        assert_eq!(kind, rustls::HandshakeKind::Full);
        assert_eq!(client.get_ref().1.tls13_tickets_received(), 0);
    }
}

/// A server that shows what no mesh authority would sign.
fn server_showing(authority: &Authority, leaf: Leaf) -> Arc<rustls::ServerConfig> {
    let (pem, key) = authority.sign(leaf);
    let (certs, key) = (crate::pem::certificates(&pem).unwrap(), der(&key));
    let config = rustls::ServerConfig::builder_with_provider(provider(&TlsSettings::default()))
        .with_protocol_versions(TlsSettings::default().versions())
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certs, key);
    Arc::new(config.unwrap())
}

/// A client that shows what no mesh authority would sign, and itself trusts `roots` and expects `server`.
fn client_showing(authority: &Authority, leaf: Leaf, roots: &str, server: &str) -> Arc<ClientConfig> {
    let (pem, key) = authority.sign(leaf);
    let config = ClientConfig::builder_with_provider(provider(&TlsSettings::default()))
        .with_protocol_versions(TlsSettings::default().versions())
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(expect(roots, server))
        .with_client_auth_cert(crate::pem::certificates(&pem).unwrap(), der(&key));
    Arc::new(config.unwrap())
}

fn expect(roots: &str, server: &str) -> Arc<ExpectPeer> {
    let mut store = RootCertStore::empty();
    for root in crate::pem::certificates(roots).unwrap() {
        store.add(root).unwrap();
    }
    Arc::new(ExpectPeer {
        expected: ExpectedPeers::one(&identity(server)),
        roots: Arc::new(store),
        provider: provider(&TlsSettings::default()),
    })
}

fn der(key: &PrivateKey) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(key.expose_pkcs8_der().to_vec().into())
}

fn rejection_by_client(met: &Handshake) -> RejectedPeer {
    RejectedPeer::among(met.client.as_ref().unwrap_err())
        .unwrap()
        .clone()
}

fn rejection_by_server(met: &Handshake) -> RejectedPeer {
    RejectedPeer::among(met.server.as_ref().unwrap_err())
        .unwrap()
        .clone()
}

fn tls_error(error: io::Error) -> Error {
    *error.into_inner().unwrap().downcast::<Error>().unwrap()
}

fn certificate_error(error: io::Error) -> CertificateError {
    match tls_error(error) {
        Error::InvalidCertificate(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_name_given_to_rustls_is_no_dns_name() {
    // An IP address is never sent as SNI (RFC 6066, section 3), even where SNI is on.
    assert!(matches!(mesh_server_name(), ServerName::IpAddress(_)));
    let _: Arc<WorkloadCertificate> = Authority::new().workload(A);
}
