//! Both ends in one process, over an in-memory pipe.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper_util::rt::TokioIo;
use mesh_grpc::{ConnectionInfo, Credentials, Denied, TokenSource, channel_over};
use mesh_proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use mesh_tls::{TlsSettings, csr};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::metadata::MetadataMap;

use super::*;
use crate::client::{CaClient, CaClientSettings, FetchCertificate, FetchError};
use crate::testing::{TestCa, identity};

/// The token is the caller's name; `expired` is what the name says.
struct Tokens;

impl AuthenticateCaller for Tokens {
    type Caller = String;

    async fn authenticate(
        &self,
        metadata: &MetadataMap,
        _: Option<&ConnectionInfo>,
    ) -> Result<String, Denied> {
        match mesh_grpc::caller::bearer_token(metadata)? {
            "expired" => Err(Denied::Unauthenticated("token expired at noon".to_owned())),
            caller => Ok(caller.to_owned()),
        }
    }
}

/// Signs according to the service account that is asked for.
struct Authority {
    ca: TestCa,
    asked: mpsc::UnboundedSender<(String, bool, Duration)>,
}

impl Issue for Authority {
    type Caller = String;

    async fn issue(&self, caller: &String, order: Order) -> Result<Vec<String>, Refused> {
        self.asked
            .send((caller.clone(), order.impersonated, order.lifetime))
            .unwrap();
        let sign = |identity| {
            self.ca
                .sign(identity, &order.request, SystemTime::now(), order.lifetime)
        };
        match order.identity.service_account().as_str() {
            "elsewhere" => Err(Refused::Forbidden("no pod of it on n1".to_owned())),
            "busy" => Err(Refused::Throttled("n1".to_owned())),
            "not-yet" => Err(Refused::Unavailable("loading".to_owned())),
            "broken" => Err(Refused::Internal("disk".to_owned())),
            "other-name" => Ok(sign(&identity("somebody-else"))),
            "garbage" => Ok(vec!["no certificate".to_owned(), String::new()]),
            "empty" => Ok(Vec::new()),
            "long" => Ok(vec![sign(&order.identity)[0].clone(); 100]),
            "huge" => Ok(vec!["x".repeat(10 * 1024 * 1024)]),
            _ => Ok(sign(&order.identity)),
        }
    }
}

fn start(
    token: &str,
) -> (
    CaClient,
    mesh_grpc::GrpcChannel,
    mpsc::UnboundedReceiver<(String, bool, Duration)>,
) {
    let (connections, accepted) = mpsc::channel::<DuplexStream>(16);
    let connector = tower::service_fn(move |_| {
        let connections = connections.clone();
        async move {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let refused = |_| std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            connections.send(far).await.map_err(refused)?;
            Ok::<_, std::io::Error>(TokioIo::new(near))
        }
    });
    let channel = channel_over(connector, Credentials::new(TokenSource::literal(token)));
    let (log, asked) = mpsc::unbounded_channel();
    let authority = Authority {
        ca: TestCa::new(),
        asked: log,
    };
    let service = CaServer::new(Tokens, authority).into_service();
    let router = mesh_grpc::serve::builder().add_service(service);
    tokio::spawn(router.serve_with_incoming(ReceiverStream::new(accepted).map(Ok::<_, std::io::Error>)));
    let settings = CaClientSettings {
        lifetime: Duration::from_hours(1),
        impersonate: true,
        tls: TlsSettings::default(),
    };
    (CaClient::new(channel.clone(), settings), channel, asked)
}

#[tokio::test]
async fn a_certificate_is_fetched_for_another_identity() {
    let (client, _, mut asked) = start("ztunnel");
    let certificate = client.fetch(&identity("web")).await.unwrap();
    assert_eq!(*certificate.identity(), identity("web"));
    assert_eq!(
        asked.recv().await,
        Some(("ztunnel".to_owned(), true, Duration::from_hours(1)))
    );
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let (client, _, _asked) = start("ztunnel");
    let fetch = async |account: &str| client.fetch(&identity(account)).await.unwrap_err();
    let refused = fetch("elsewhere").await;
    // The kind is told, the reason is not.
    assert!(
        matches!(&refused, FetchError::Refused(why) if !why.contains("n1")),
        "{refused}"
    );
    for account in ["busy", "not-yet", "broken"] {
        assert!(
            matches!(fetch(account).await, FetchError::Unavailable(_)),
            "{account}"
        );
    }
    for account in ["other-name", "garbage", "empty", "long"] {
        assert!(
            matches!(fetch(account).await, FetchError::Invalid(_)),
            "{account}"
        );
    }
    assert!(matches!(fetch("huge").await, FetchError::Unavailable(_)));
}

#[tokio::test]
async fn an_expired_token_is_refused_before_the_request_is_looked_at() {
    let (client, channel, mut asked) = start("expired");
    let refused = client.fetch(&identity("web")).await.unwrap_err();
    // A token file is replaced: a later attempt may succeed.
    assert!(matches!(&refused, FetchError::Unavailable(why)
            if why.contains("Unauthenticated") && why.contains("expired at noon")));
    let garbage = IstioCertificateRequest::default();
    let refused = IstioCertificateServiceClient::new(channel)
        .create_certificate(garbage)
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    drop(client);
    assert_eq!(asked.try_recv().ok(), None);
}

#[tokio::test]
async fn malformed_requests_name_the_field() {
    let (_client, channel, mut asked) = start("ztunnel");
    let mut client = IstioCertificateServiceClient::new(channel);
    let (_, pem) = csr::encode(&identity("web")).unwrap();
    let too_long = request::encode(pem, Duration::from_hours(91 * 24), None);
    let refused = client.create_certificate(too_long).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().starts_with("validity_duration: "), "{refused}");
    let refused = client
        .create_certificate(IstioCertificateRequest::default())
        .await
        .unwrap_err();
    assert!(refused.message().starts_with("csr: "), "{refused}");
    let huge = IstioCertificateRequest {
        csr: "x".repeat(1_000_000),
        ..Default::default()
    };
    let refused = client.create_certificate(huge).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    assert_eq!(asked.try_recv().ok(), None);
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_does_not_answer_is_given_up_after_a_while() {
    let connector =
        tower::service_fn(|_| std::future::pending::<Result<TokioIo<DuplexStream>, std::io::Error>>());
    let channel = channel_over(connector, Credentials::new(TokenSource::Anonymous));
    let settings = CaClientSettings {
        lifetime: Duration::from_hours(1),
        impersonate: false,
        tls: TlsSettings::default(),
    };
    let fetched = CaClient::new(channel, settings).fetch(&identity("web")).await;
    assert!(matches!(fetched, Err(FetchError::Unavailable(_))));
}

#[test]
fn the_service_can_be_shared() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    let (log, _) = mpsc::unbounded_channel();
    let authority = Authority {
        ca: TestCa::new(),
        asked: log,
    };
    shared(&Arc::new(CaServer::new(Tokens, authority)));
}
