//! What istioctl asks: how proxies stand, over state-of-the-world xDS, and which version this is.

use futures_util::stream;
use mesh_grpc::GrpcChannel;
use mesh_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use mesh_xds::server::debug::SYNCZ;
use mesh_xds::server::debug::wire::{ClientStanding, Standing};
use serde_json::Value;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use crate::fixture::{Plane, Proxy, ZTUNNEL, until};

async fn ask(channel: GrpcChannel, type_url: &str) -> Result<DiscoveryResponse, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<DiscoveryRequest, DiscoveryResponse>::default();
    let path = http::uri::PathAndQuery::from_static(
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
    );
    let request = DiscoveryRequest {
        type_url: type_url.to_owned(),
        // istioctl writes the time here.
        response_nonce: "2026-11-21 21:00:00".to_owned(),
        ..DiscoveryRequest::default()
    };
    let asked = tonic::Request::new(stream::iter([request]));
    let mut answers = grpc.streaming(asked, path, codec).await?.into_inner();
    Ok(answers.message().await?.unwrap())
}

fn standings(answer: &DiscoveryResponse) -> Vec<ClientStanding> {
    let all = answer.resources.iter().map(ClientStanding::from_any);
    all.collect::<Result<_, _>>().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_told_how_proxies_stand_and_others_of_their_own_namespace() {
    let mut plane = Plane::new();
    crate::shop(&plane);
    plane.start().await;
    let _proxy = Proxy::connect(&plane, "node-a");
    let operator = || plane.channel(&plane.token("istio-system/default", "anywhere"));
    let answer = until("the proxy is in step", || async {
        let answer = ask(operator(), SYNCZ).await.unwrap();
        let clients = standings(&answer);
        let in_step = |client: &ClientStanding| client.types.iter().all(|of| of.standing == Standing::Synced);
        (clients.len() == 1 && !clients[0].types.is_empty() && clients.iter().all(in_step)).then_some(answer)
    })
    .await;
    assert_eq!(standings(&answer)[0].namespace, "istio-system");
    let who: Value = serde_json::from_str(&answer.control_plane.unwrap().identifier).unwrap();
    assert_eq!(who["Component"], "istiod");
    assert_eq!(who["Info"]["version"], env!("CARGO_PKG_VERSION"));

    let stranger = plane.channel(&plane.token("shop/cart", "node-a"));
    assert_eq!(standings(&ask(stranger, SYNCZ).await.unwrap()), []);
    let nobody = plane.channel("no token");
    assert_eq!(
        ask(nobody, SYNCZ).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    let expired = plane.channel(&plane.expired_token(ZTUNNEL, "node-a"));
    assert_eq!(
        ask(expired, SYNCZ).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    let other = ask(operator(), "type.googleapis.com/istio.workload.Address")
        .await
        .unwrap_err();
    assert_eq!(other.code(), Code::Unimplemented);
    assert!(other.message().contains(SYNCZ), "{}", other.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_is_a_line_as_istiods() {
    let mut plane = Plane::new();
    crate::shop(&plane);
    plane.start().await;
    let (status, line) = plane.get("/version").await;
    assert_eq!(status, 200);
    assert!(
        line.starts_with(&format!("{}-", env!("CARGO_PKG_VERSION"))),
        "{line}"
    );
}
