//! Who gets a connection.

use std::rc::Rc;

use mesh_tls::ExpectedPeers;
use tokio::time::Instant;

use crate::client::establish;
use crate::error::{AcceptError, ConnectError, ConnectStep, ResponseFlag};
use crate::server::serve_tls;
use crate::testing::{Ends, Mesh, handshakes, identity, local, pipe, request};
use crate::{HboneOptions, ReceiveBudget};

#[tokio::test(start_paused = true)]
async fn a_server_with_another_identity_is_refused() {
    local(async {
        let mesh = Mesh::new();
        let expected = ExpectedPeers::one(&identity("somebody-else"));
        let (client, server) = (mesh.certificate("client"), mesh.certificate("server"));
        let (client, server) = handshakes(&client, &expected, &server, Ends::default()).await;
        let error = client.err().expect("a refusal");
        assert!(matches!(error, ConnectError::WrongPeer(_)), "{error}");
        assert_eq!(error.flag(), ResponseFlag::IdentityError);
        // The server is told why.
        let error = server.err().expect("a refusal");
        assert!(error.to_string().contains("alert"), "{error}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_of_several_expected_identities_is_enough() {
    local(async {
        let mesh = Mesh::new();
        let expected = ExpectedPeers::identity_or(&identity("gateway"), [identity("server").to_string()]);
        let (client, server) = (mesh.certificate("client"), mesh.certificate("server"));
        let (client, server) = handshakes(&client, &expected, &server, Ends::default()).await;
        assert_eq!(client.unwrap().0.peer(), Some(&identity("server")));
        assert_eq!(server.unwrap().peer(), &identity("client"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn another_root_is_a_tls_failure() {
    local(async {
        let expected = ExpectedPeers::one(&identity("server"));
        let (client, server) = (
            Mesh::new().certificate("client"),
            Mesh::new().certificate("server"),
        );
        let (client, _) = handshakes(&client, &expected, &server, Ends::default()).await;
        let error = client.err().expect("a refusal");
        assert!(matches!(error, ConnectError::Tls(_)), "{error}");
        assert_eq!(error.flag(), ResponseFlag::TlsFailure);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_of_another_trust_domain_gets_no_stream() {
    local(async {
        let mesh = Mesh::new();
        let server = mesh.certificate("server");
        let client = mesh.renamed("other.example").certificate("client");
        let expected = ExpectedPeers::one(&identity("server"));
        let (client, server) = handshakes(&client, &expected, &server, Ends::default()).await;
        assert!(matches!(server, Err(AcceptError::Tls(_))));
        // TLS 1.3: the client's own handshake is over by then.
        let (client, driver) = client.unwrap();
        let (answer, _end) = {
            let asked = request();
            let answer = client.tunnel(&asked);
            let (answer, end) = tokio::join!(answer, driver);
            (answer, end)
        };
        let error = answer.err().expect("a refusal");
        assert!(matches!(error, ConnectError::Tls(_)), "{error}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_does_not_hold_the_server_up() {
    local(async {
        let (_silent, far) = pipe();
        let start = Instant::now();
        let config = Mesh::new().certificate("server").server_config();
        let options = HboneOptions::default();
        let error = serve_tls(far, config, &options, &ReceiveBudget::default())
            .await
            .err()
            .expect("nobody spoke");
        assert!(
            matches!(
                error,
                AcceptError::TimedOut {
                    step: ConnectStep::Tls
                }
            ),
            "{error}"
        );
        assert_eq!(start.elapsed(), options.handshake_deadline);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_does_not_hold_the_client_up() {
    local(async {
        let (near, _silent) = pipe();
        let start = Instant::now();
        let config = Mesh::new()
            .certificate("client")
            .client_config(&ExpectedPeers::one(&identity("server")));
        let options = Rc::new(HboneOptions::default());
        let error = establish(near, config, &options, &ReceiveBudget::default())
            .await
            .err()
            .expect("nobody spoke");
        assert!(
            matches!(
                error,
                ConnectError::TimedOut {
                    step: ConnectStep::Tls
                }
            ),
            "{error}"
        );
        assert_eq!(error.flag(), ResponseFlag::TlsFailure);
        assert_eq!(start.elapsed(), options.handshake_deadline);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_hangs_up_or_talks_nonsense_is_a_tls_failure() {
    local(async {
        for nonsense in [
            &b""[..],
            b"GET / HTTP/1.1\r\n\r\n",
            &[22, 3, 1, 0xff, 0xff],
            &[0; 4096],
        ] {
            let (mut near, far) = pipe();
            tokio::io::AsyncWriteExt::write_all(&mut near, nonsense)
                .await
                .unwrap();
            drop(near);
            let config = Mesh::new().certificate("server").server_config();
            let accepted = serve_tls(far, config, &HboneOptions::default(), &ReceiveBudget::default()).await;
            assert!(
                matches!(accepted.err(), Some(AcceptError::Tls(_))),
                "{nonsense:?}"
            );
        }
    })
    .await;
}
