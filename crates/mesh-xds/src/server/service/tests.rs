//! Both ends in one process, over in-memory pipes.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use hyper_util::rt::TokioIo;
use mesh_grpc::{ConnectionInfo, Credentials, GrpcChannel, TokenSource, channel_over};
use mesh_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::client::{ClientConfig, ClientHandle, client};
use crate::resource::{ApplyBatch, Batch, Rejected, TypeUrl};
use crate::server::Change;

const ADDRESS: TypeUrl = TypeUrl::ADDRESS;
const AUTHORIZATION: TypeUrl = TypeUrl::AUTHORIZATION;

/// Lets in whoever has the token `good`, and only nodes in its namespace. The token `brief` is good for a minute.
struct Gate;

impl AuthenticateCaller for Gate {
    type Caller = &'static str;

    async fn authenticate(
        &self,
        metadata: &MetadataMap,
        _: Option<&ConnectionInfo>,
    ) -> Result<&'static str, Denied> {
        match mesh_grpc::caller::bearer_token(metadata)? {
            "good" | "brief" => Ok("istio-system"),
            _ => Err(Denied::Unauthenticated("bad token".to_owned())),
        }
    }

    fn good_for(&self, metadata: &MetadataMap, _: Option<&ConnectionInfo>) -> Option<Duration> {
        let brief = mesh_grpc::caller::bearer_token(metadata) == Ok("brief");
        brief.then_some(Duration::from_secs(60))
    }
}

impl AdmitNode for Gate {
    fn admit(&self, caller: &&'static str, node: &NodeInfo) -> Result<(), Denied> {
        if node.namespace == **caller {
            Ok(())
        } else {
            Err(Denied::Forbidden("another namespace".to_owned()))
        }
    }
}

fn pipes(token: &str) -> (GrpcChannel, mpsc::Receiver<DuplexStream>) {
    let (connections, accepted) = mpsc::channel::<DuplexStream>(16);
    let connector = tower::service_fn(move |_: http::Uri| {
        let connections = connections.clone();
        async move {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let refused = |_| std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            connections.send(far).await.map_err(refused)?;
            Ok::<_, std::io::Error>(TokioIo::new(near))
        }
    });
    (
        channel_over(connector, Credentials::new(TokenSource::literal(token))),
        accepted,
    )
}

fn serve(cache: &ResourceCache, accepted: mpsc::Receiver<DuplexStream>) -> XdsServer<Gate> {
    let server = XdsServer::new(cache.clone(), Gate);
    let router = mesh_grpc::serve::builder().add_service(server.clone());
    let incoming = tokio_stream::StreamExt::map(ReceiverStream::new(accepted), Ok::<_, std::io::Error>);
    tokio::spawn(router.serve_with_incoming(incoming));
    server
}

/// Keeps what it is sent, and refuses bodies that say so.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<HeldState>>);

#[derive(Default)]
struct HeldState {
    resources: BTreeMap<String, String>,
    batches: Vec<String>,
    seen: watch::Sender<usize>,
}

impl ApplyBatch for Held {
    fn apply(&mut self, batch: Batch) -> Result<(), Vec<Rejected>> {
        let mut state = self.0.lock();
        let mut bad = Vec::new();
        let kind = batch.type_url.as_str().rsplit('.').next().unwrap_or_default();
        state.batches.push(format!(
            "{kind} +{} -{}",
            batch.resources.len(),
            batch.removed.len()
        ));
        for resource in batch.resources {
            let body = String::from_utf8(resource.body.to_vec()).unwrap();
            if body == "bad" {
                bad.push(Rejected {
                    name: resource.name,
                    reason: "says so".to_owned(),
                });
            } else {
                state.resources.insert(resource.name, body);
            }
        }
        for name in &batch.removed {
            state.resources.remove(name);
        }
        let count = state.batches.len();
        state.seen.send_replace(count);
        if bad.is_empty() { Ok(()) } else { Err(bad) }
    }
}

impl Held {
    async fn batches(&self, count: usize) -> Vec<String> {
        let mut seen = self.0.lock().seen.subscribe();
        seen.wait_for(|n| *n >= count).await.unwrap();
        self.0.lock().batches.clone()
    }

    fn resources(&self) -> String {
        let state = self.0.lock();
        let all: Vec<_> = state.resources.iter().map(|(n, b)| format!("{n}={b}")).collect();
        all.join(" ")
    }
}

fn start(channel: GrpcChannel) -> (Held, ClientHandle, tokio::task::JoinHandle<()>) {
    let held = Held::default();
    let config = ClientConfig {
        node: NodeInfo::ztunnel(None, "z", "istio-system", "n1"),
        types: vec![AUTHORIZATION, ADDRESS],
    };
    let (handle, driver) = client(&config, channel, held.clone());
    let running = tokio::spawn(async move {
        driver.await;
    });
    (held, handle, running)
}

fn cache() -> ResourceCache {
    ResourceCache::new(&[AUTHORIZATION, ADDRESS])
}

fn put(type_url: TypeUrl, name: &str, body: &str) -> Change {
    Change::upsert(type_url, name, body.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_client_is_refused_until_everything_is_loaded_and_then_ready() {
    let cache = cache();
    let (channel, accepted) = pipes("good");
    let server = serve(&cache, accepted);
    let (held, handle, _running) = start(channel);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!*handle.ready().borrow());
    assert!(
        handle
            .status()
            .last_error
            .unwrap()
            .contains("not loaded everything")
    );
    cache.publish(vec![put(ADDRESS, "w", "1"), put(AUTHORIZATION, "p", "1")]);
    cache.set_ready();
    handle.ready().wait_for(|ready| *ready).await.unwrap();
    assert_eq!(held.batches(2).await, ["Authorization +1 -0", "Address +1 -0"]);
    assert_eq!(held.resources(), "p=1 w=1");
    assert!(handle.status().connected);
    let subscribers = server.subscribers();
    assert_eq!(subscribers.len(), 1);
    assert_eq!(subscribers[0].node.as_ref().unwrap().node, "n1");
}

#[tokio::test(start_paused = true)]
async fn changes_arrive_and_a_refusal_reaches_the_server() {
    let cache = cache();
    cache.set_ready();
    let (channel, accepted) = pipes("good");
    let server = serve(&cache, accepted);
    let (held, handle, _running) = start(channel);
    handle.ready().wait_for(|ready| *ready).await.unwrap();
    cache.publish(vec![put(ADDRESS, "a", "1"), put(ADDRESS, "b", "bad")]);
    held.batches(3).await;
    // The good one is applied.
    assert_eq!(held.resources(), "a=1");
    let refused = async {
        loop {
            let status = server.subscribers().remove(0);
            if let Some(refused) = &status.subscriptions[1].refused {
                return refused.clone();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert_eq!(refused.await, "b: says so");
    assert_eq!(handle.status().types[1].refused.as_deref(), Some("b: says so"));
    let addresses = || server.subscribers().remove(0).subscriptions.remove(1);
    let at = addresses().last_refusal.and_then(|last| last.at);
    assert!(at.is_some(), "who carries the stream has a clock");
    // What else is accepted takes nothing back.
    cache.publish(vec![put(ADDRESS, "c", "1")]);
    held.batches(4).await;
    while addresses().outstanding {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(addresses().refused.as_deref(), Some("b: says so"));
    assert_eq!(addresses().last_refusal.and_then(|last| last.at), at);
    cache.publish(vec![
        put(ADDRESS, "b", "2"),
        Change::remove(ADDRESS, "a"),
        Change::remove(ADDRESS, "c"),
    ]);
    held.batches(5).await;
    assert_eq!(held.resources(), "b=2");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_told_of_as_far_behind_all_the_same() {
    let cache = cache();
    cache.set_ready();
    let (channel, accepted) = pipes("good");
    let server = serve(&cache, accepted);
    let mut client = AggregatedDiscoveryServiceClient::new(channel);
    let request = DeltaDiscoveryRequest {
        node: Some((&NodeInfo::ztunnel(None, "z", "istio-system", "n1")).into()),
        type_url: ADDRESS.as_str().to_owned(),
        ..Default::default()
    };
    let requests = futures_util::stream::once(async { request }).chain(futures_util::stream::pending());
    let _unread = client.delta_aggregated_resources(requests).await.unwrap();
    let behind = || {
        server
            .subscribers()
            .remove(0)
            .subscriptions
            .first()
            .map(|s| s.behind())
    };
    for round in 1..=10_u64 {
        // More than the connection holds: the stream is not polled any more.
        let body = round.to_string().repeat(1 << 20);
        let published = cache.publish(vec![put(ADDRESS, "w", &body)]);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(behind(), Some(published.sequence));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_resumes_without_a_resend_and_learns_what_went_meanwhile() {
    let first = cache();
    first.publish(vec![
        put(ADDRESS, "kept", "1"),
        put(ADDRESS, "goes", "1"),
        put(AUTHORIZATION, "p", "1"),
    ]);
    first.set_ready();
    let (channel, accepted) = pipes("good");
    let accepted = Arc::new(tokio::sync::Mutex::new(accepted));
    let serving = serve_for_a_while(&first, &accepted);
    let (held, handle, _running) = start(channel);
    handle.ready().wait_for(|ready| *ready).await.unwrap();
    assert_eq!(held.batches(2).await, ["Authorization +1 -0", "Address +2 -0"]);
    serving.abort();
    // A restarted control plane: another cache, the same content but for one.
    let second = cache();
    second.publish(vec![
        put(AUTHORIZATION, "p", "1"),
        put(ADDRESS, "kept", "1"),
        put(ADDRESS, "new", "1"),
    ]);
    second.set_ready();
    let _serving = serve_for_a_while(&second, &accepted);
    assert_eq!(
        held.batches(4).await[2..],
        ["Authorization +0 -0", "Address +1 -1"]
    );
    assert_eq!(held.resources(), "kept=1 new=1 p=1");
    assert!(*handle.ready().borrow());
}

/// Serves until it is aborted, which ends every connection; another one may serve then.
/// When each stream opened and ended: changes of the handle's state, a moment after they happened.
async fn ends(handle: &ClientHandle, during: Duration) -> Vec<Duration> {
    let begun = tokio::time::Instant::now();
    let mut ends = Vec::new();
    let mut connected = handle.status().connected;
    while begun.elapsed() < during {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let now = handle.status().connected;
        if connected && !now {
            ends.push(begun.elapsed());
        }
        connected = now;
    }
    ends
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_credentials_and_the_next_one_resumes() {
    let cache = cache();
    cache.publish(vec![put(ADDRESS, "w", "1"), put(AUTHORIZATION, "p", "1")]);
    cache.set_ready();
    let (channel, accepted) = pipes("brief");
    let server = serve(&cache, accepted);
    let (held, handle, _running) = start(channel);
    handle.ready().wait_for(|ready| *ready).await.unwrap();
    let begun = tokio::time::Instant::now();
    let (ends, ()) = tokio::join!(ends(&handle, Duration::from_secs(100)), async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        cache.publish(vec![put(ADDRESS, "w", "2")]);
        // About when the stream ends.
        while begun.elapsed() < Duration::from_secs(66) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            cache.publish(vec![put(ADDRESS, "clock", &format!("{:?}", begun.elapsed()))]);
        }
        cache.publish(vec![put(ADDRESS, "clock", "last")]);
    });
    assert_eq!(ends.len(), 1, "{ends:?}");
    let spread = Duration::from_secs(59)..Duration::from_millis(65_500);
    assert!(spread.contains(&ends[0]), "{ends:?}");
    assert_eq!(held.resources(), "clock=last p=1 w=2");
    assert!(
        handle.status().last_error.unwrap().contains("have expired"),
        "the client is told why"
    );
    assert_eq!(server.subscribers().len(), 1);
    // The policy, which did not change, was sent once.
    let sent = held.0.lock().batches.clone();
    let policies = sent.iter().filter(|b| *b == "Authorization +1 -0");
    assert_eq!(policies.count(), 1, "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn an_old_stream_ends_before_half_an_hour() {
    let cache = cache();
    cache.set_ready();
    let (channel, accepted) = pipes("good");
    let _server = serve(&cache, accepted);
    let (_, handle, _running) = start(channel);
    handle.ready().wait_for(|ready| *ready).await.unwrap();
    let ends = ends(&handle, Duration::from_secs(31 * 60)).await;
    let spread = Duration::from_secs(24 * 60 - 1)..Duration::from_secs(30 * 60 + 1);
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert!(spread.contains(&ends[0]), "{ends:?}");
    assert_eq!(handle.status().last_error, None, "nothing is wrong");
}

fn serve_for_a_while(
    cache: &ResourceCache,
    accepted: &Arc<tokio::sync::Mutex<mpsc::Receiver<DuplexStream>>>,
) -> tokio::task::JoinHandle<()> {
    let (server, accepted) = (XdsServer::new(cache.clone(), Gate), accepted.clone());
    tokio::spawn(async move {
        let mut accepted = accepted.lock().await;
        let mut connections = tokio::task::JoinSet::new();
        while let Some(io) = accepted.recv().await {
            let service = server.clone();
            let service =
                tower::ServiceExt::map_request(service, |request: Request<hyper::body::Incoming>| {
                    request.map(Body::new)
                });
            let service = hyper_util::service::TowerToHyperService::new(service);
            let http2 = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
            connections.spawn(async move {
                // How a connection ends is seen by the client.
                let _ = http2.serve_connection(TokioIo::new(io), service).await;
            });
        }
    })
}

#[tokio::test(start_paused = true)]
async fn callers_without_a_good_token_or_with_a_false_name_are_refused() {
    let cache = cache();
    cache.set_ready();
    let (channel, accepted) = pipes("bad");
    let _server = serve(&cache, accepted);
    let (_held, handle, _running) = start(channel);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        handle.status().last_error.as_deref(),
        Some("not authenticated: bad token")
    );

    let (channel, accepted) = pipes("good");
    let _server = serve(&cache, accepted);
    let config = ClientConfig {
        node: NodeInfo::ztunnel(None, "z", "another", "n1"),
        types: vec![ADDRESS],
    };
    let (handle, driver) = client(&config, channel, Held::default());
    let _running = tokio::spawn(async move {
        driver.await;
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        handle.status().last_error.as_deref(),
        Some("the caller may not do this")
    );
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_resources_arrive_and_slow_changes_merge() {
    let cache = cache();
    let body = "x".repeat(300);
    cache.publish(
        (0..10_000)
            .map(|n| put(ADDRESS, &format!("w{n}"), &body))
            .collect(),
    );
    cache.set_ready();
    let (channel, accepted) = pipes("good");
    let _server = serve(&cache, accepted);
    let (held, handle, _running) = start(channel);
    handle.ready().wait_for(|ready| *ready).await.unwrap();
    assert_eq!(
        held.batches(2).await,
        ["Authorization +0 -0", "Address +10000 -0"]
    );
    for n in 0..1_000 {
        cache.publish(vec![put(ADDRESS, "w1", &n.to_string())]);
    }
    // The stream was not polled meanwhile: one push brings the last of the thousand.
    assert_eq!(held.batches(3).await[2], "Address +1 -0");
    assert!(held.resources().contains("w1=999"));
}

#[tokio::test(start_paused = true)]
async fn another_method_is_not_served() {
    let (channel, accepted) = pipes("good");
    let _server = serve(&cache(), accepted);
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/FetchResources",
    );
    let codec = ProstCodec::<DeltaDiscoveryRequest, DeltaDiscoveryResponse>::default();
    let answer = grpc
        .unary(tonic::Request::new(DeltaDiscoveryRequest::default()), path, codec)
        .await;
    assert_eq!(answer.unwrap_err().code(), Code::Unimplemented);
}
