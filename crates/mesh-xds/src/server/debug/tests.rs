//! Both ends in one process: a client that asks as istioctl does.

use hyper_util::rt::TokioIo;
use mesh_grpc::{
    AuthenticateCaller, ConnectionInfo, Credentials, Denied, GrpcChannel, TokenSource, channel_over,
};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::client::{ClientConfig, client};
use crate::node::NodeInfo;
use crate::resource::{ApplyBatch, Batch, Rejected, TypeUrl};
use crate::server::{Change, ResourceCache, XdsServer};

/// Lets everybody in as a client; the token says who may look.
struct Gate;

impl AuthenticateCaller for Gate {
    type Caller = ();

    async fn authenticate(&self, _: &MetadataMap, _: Option<&ConnectionInfo>) -> Result<(), Denied> {
        Ok(())
    }
}

impl AdmitNode for Gate {
    fn admit(&self, (): &(), _: &NodeInfo) -> Result<(), Denied> {
        Ok(())
    }

    async fn may_look(&self, metadata: &MetadataMap, _: Option<&ConnectionInfo>) -> Result<Audience, Denied> {
        match mesh_grpc::caller::bearer_token(metadata)? {
            "operator" => Ok(Audience::Everybody),
            "shop" => Ok(Audience::Namespace("shop".to_owned())),
            _ => Err(Denied::Forbidden("not an operator".to_owned())),
        }
    }
}

struct Accepts;

impl ApplyBatch for Accepts {
    fn apply(&mut self, _: Batch) -> Result<(), Vec<Rejected>> {
        Ok(())
    }
}

fn pipes() -> (impl Fn(&str) -> GrpcChannel, mpsc::Receiver<DuplexStream>) {
    let (connections, accepted) = mpsc::channel::<DuplexStream>(16);
    let channel = move |token: &str| {
        let connections = connections.clone();
        let connector = tower::service_fn(move |_: http::Uri| {
            let connections = connections.clone();
            async move {
                let (near, far) = tokio::io::duplex(64 * 1024);
                let refused = |_| std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
                connections.send(far).await.map_err(refused)?;
                Ok::<_, std::io::Error>(TokioIo::new(near))
            }
        });
        channel_over(connector, Credentials::new(TokenSource::literal(token)))
    };
    (channel, accepted)
}

/// As istioctl asks: the first request carries a nonce that nobody sent.
fn request(type_url: &str, nonce: &str) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: type_url.to_owned(),
        response_nonce: nonce.to_owned(),
        ..DiscoveryRequest::default()
    }
}

async fn ask(
    channel: GrpcChannel,
    requests: Vec<DiscoveryRequest>,
) -> Result<Vec<DiscoveryResponse>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.expect("a channel");
    let codec = ProstCodec::<DiscoveryRequest, DiscoveryResponse>::default();
    let path = http::uri::PathAndQuery::from_static(PATH);
    let asked = tonic::Request::new(stream::iter(requests));
    let mut answers = grpc.streaming(asked, path, codec).await?.into_inner();
    let mut all = Vec::new();
    while let Some(answer) = answers.message().await? {
        all.push(answer);
    }
    Ok(all)
}

/// A server with a client in each of two namespaces, both in step.
async fn serving() -> (impl Fn(&str) -> GrpcChannel, XdsServer<Gate>) {
    let cache = ResourceCache::new(&[TypeUrl::AUTHORIZATION, TypeUrl::ADDRESS]);
    cache.publish(vec![Change::upsert(TypeUrl::ADDRESS, "w1", "body")]);
    cache.set_ready();
    let server = XdsServer::called("{\"ID\":\"one\"}".to_owned(), cache, Gate);
    let (channel, accepted) = pipes();
    let router = mesh_grpc::serve::builder().add_service(server.clone());
    let incoming = tokio_stream::StreamExt::map(ReceiverStream::new(accepted), Ok::<_, std::io::Error>);
    tokio::spawn(router.serve_with_incoming(incoming));
    for (name, namespace) in [("z", "istio-system"), ("w", "shop")] {
        let config = ClientConfig {
            node: NodeInfo::ztunnel(None, name, namespace, "n1").described("1.2.3", "c1"),
            types: vec![TypeUrl::ADDRESS],
        };
        let (handle, driver) = client(&config, channel("anybody"), Accepts);
        tokio::spawn(async move { match driver.await {} });
        let mut ready = handle.ready();
        ready.wait_for(|ready| *ready).await.expect("in step");
    }
    (channel, server)
}

fn standings(answer: &DiscoveryResponse) -> Vec<ClientStanding> {
    let all = answer.resources.iter().map(ClientStanding::from_any);
    all.collect::<Result<_, _>>().expect("standings")
}

#[tokio::test(start_paused = true)]
async fn an_operator_is_told_how_everybody_stands_and_by_whom() {
    let (channel, _server) = serving().await;
    let answers = ask(channel("operator"), vec![request(SYNCZ, "a time of day")])
        .await
        .expect("answers");
    assert_eq!(answers.len(), 1);
    let answer = &answers[0];
    assert_eq!((answer.type_url.as_str(), answer.nonce.as_str()), (SYNCZ, "1"));
    let said = answer
        .control_plane
        .as_ref()
        .map(|plane| plane.identifier.as_str());
    assert_eq!(said, Some("{\"ID\":\"one\"}"));
    let clients = standings(answer);
    let ids: Vec<String> = clients.iter().map(ClientStanding::id).collect();
    assert_eq!(ids, ["z.istio-system", "w.shop"]);
    for client in clients {
        assert_eq!(
            (client.version.as_str(), client.cluster.as_str()),
            ("1.2.3", "c1")
        );
        assert_eq!(client.types.len(), 1);
        assert_eq!(client.types[0].type_url, TypeUrl::ADDRESS.as_str());
        assert!(client.types[0].pushed.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_of_one_namespace_is_told_of_that_one() {
    let (channel, _server) = serving().await;
    let answers = ask(channel("shop"), vec![request(SYNCZ, "")])
        .await
        .expect("answers");
    let ids: Vec<String> = standings(&answers[0]).iter().map(ClientStanding::id).collect();
    assert_eq!(ids, ["w.shop"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_else_is_told_anything() {
    let (channel, _server) = serving().await;
    let refused = ask(channel("anybody"), vec![request(SYNCZ, "")])
        .await
        .expect_err("refused");
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test(start_paused = true)]
async fn other_types_are_refused_by_name() {
    let (channel, _server) = serving().await;
    for type_url in [
        TypeUrl::ADDRESS.as_str(),
        "istio.io/debug/config_dump",
        "istio.io/debug",
    ] {
        let refused = ask(channel("operator"), vec![request(type_url, "")])
            .await
            .expect_err("refused");
        assert_eq!(refused.code(), Code::Unimplemented);
        let message = refused.message();
        assert!(message.contains(type_url) && message.contains(SYNCZ), "{message}");
        assert!(message.contains("DeltaAggregatedResources"), "{message}");
    }
    let refused = ask(channel("operator"), vec![request("", "")])
        .await
        .expect_err("refused");
    assert!(refused.message().contains("type_url is missing"));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_is_not_answered_and_another_question_is() {
    let (channel, _server) = serving().await;
    let asked = vec![request(SYNCZ, ""), request(SYNCZ, "1"), request(SYNCZ, "")];
    let answers = ask(channel("operator"), asked).await.expect("answers");
    let nonces: Vec<&str> = answers.iter().map(|answer| answer.nonce.as_str()).collect();
    assert_eq!(nonces, ["1", "2"]);
}

#[tokio::test]
async fn whoever_keeps_no_gate_for_operators_tells_nobody() {
    struct Closed;
    impl AuthenticateCaller for Closed {
        type Caller = ();
        async fn authenticate(&self, _: &MetadataMap, _: Option<&ConnectionInfo>) -> Result<(), Denied> {
            Ok(())
        }
    }
    impl AdmitNode for Closed {
        fn admit(&self, (): &(), _: &NodeInfo) -> Result<(), Denied> {
            Ok(())
        }
    }
    let looked = Closed.may_look(&MetadataMap::new(), None).await;
    assert!(matches!(looked, Err(Denied::Forbidden(_))));
}
