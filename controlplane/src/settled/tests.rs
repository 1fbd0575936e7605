//! An agent, a control plane and its proxies in one process, over in-memory pipes.

use std::sync::atomic::{AtomicUsize, Ordering};

use controlplane_ca::token::TokenSubject;
use futures_util::StreamExt as _;
use hyper_util::rt::TokioIo;
use mesh_grpc::{AuthenticateCaller, ConnectionInfo, Credentials, GrpcChannel, TokenSource, channel_over};
use mesh_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use mesh_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use mesh_proto::istio::workload::Workload;
use mesh_register::settled::{AskError, SettledServer, await_plain};
use mesh_types::{NamespacedName, TrustDomain};
use mesh_xds::{ApplyBatch, Batch, Change, ClientConfig, NodeInfo, Rejected, client};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::metadata::MetadataMap;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const UID: &str = "Kubernetes//Pod/shop/web";

fn workload(tunnel: TunnelProtocol, address: [u8; 4]) -> Vec<u8> {
    let workload = Workload {
        uid: UID.to_owned(),
        name: "web".to_owned(),
        namespace: "shop".to_owned(),
        addresses: vec![address.to_vec().into()],
        tunnel_protocol: tunnel.into(),
        ..Workload::default()
    };
    let address = Address {
        r#type: Some(Type::Workload(workload)),
    };
    address.encode_to_vec()
}

fn publish(cache: &ResourceCache, tunnel: TunnelProtocol) {
    let body = workload(tunnel, [10, 0, 0, 1]);
    cache.publish(vec![Change::upsert(TypeUrl::ADDRESS, UID, body)]);
}

fn question(wait: Duration) -> Question {
    Question {
        workload: NamespacedName::new("shop", "web"),
        addresses: vec!["10.0.0.1".parse().expect("an address")],
        wait,
    }
}

fn account(name: &str) -> ServiceAccount {
    ServiceAccount::new("istio-system", name).expect("an account")
}

fn replica() -> Identity {
    Identity::new(TrustDomain::default(), "istio-system", "istiod").expect("an identity")
}

/// The token is the name of a service account, or `replica`.
struct Gate;

impl AuthenticateCaller for Gate {
    type Caller = Caller;

    async fn authenticate(
        &self,
        metadata: &MetadataMap,
        _: Option<&ConnectionInfo>,
    ) -> Result<Caller, Denied> {
        Ok(match mesh_grpc::caller::bearer_token(metadata)? {
            "replica" => Caller::Mesh(replica()),
            name => Caller::Token(TokenSubject {
                account: account(name),
                node: "n1".to_owned(),
                pod: None,
            }),
        })
    }
}

impl AdmitNode for Gate {
    fn admit(&self, _: &Caller, _: &NodeInfo) -> Result<(), Denied> {
        Ok(())
    }
}

/// Other replicas, which say this at once.
#[derive(Default)]
struct Others {
    say: Vec<Option<Answer>>,
    asked: Arc<AtomicUsize>,
}

impl Peers for Others {
    async fn ask(&self, _: Question) -> Vec<Option<Answer>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.say.clone()
    }
}

struct Plane {
    cache: ResourceCache,
    connections: mpsc::Sender<DuplexStream>,
}

impl Plane {
    fn start(others: Others) -> Self {
        let cache = ResourceCache::new(&[TypeUrl::ADDRESS]);
        publish(&cache, TunnelProtocol::Hbone);
        cache.set_ready();
        let xds = XdsServer::new(cache.clone(), Gate);
        let settling = Settling {
            own: Own {
                instance: "own".into(),
                cluster_id: "Kubernetes".to_owned(),
                cache: cache.clone(),
                xds: xds.clone(),
            },
            peers: others,
            agents: [account("istio-cni")].into(),
            replica: replica(),
        };
        let (connections, accepted) = mpsc::channel::<DuplexStream>(16);
        let router = mesh_grpc::serve::builder()
            .add_service(xds)
            .add_service(SettledServer::new(Gate, settling).into_service());
        let incoming = futures_util::stream::unfold(accepted, |mut accepted| async move {
            let connection = accepted.recv().await?;
            Some((Ok::<_, std::io::Error>(connection), accepted))
        });
        tokio::spawn(router.serve_with_incoming(incoming));
        Self { cache, connections }
    }

    fn channel(&self, token: &str) -> GrpcChannel {
        let connections = self.connections.clone();
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
    }

    /// A proxy that takes everything, or refuses a pod that has left.
    async fn proxy(&self, name: &str, refuses: bool) {
        let config = ClientConfig {
            node: NodeInfo::ztunnel(None, name, "istio-system", "n1"),
            types: vec![TypeUrl::ADDRESS],
        };
        let (handle, driver) = client(&config, self.channel("ztunnel"), Takes { refuses });
        tokio::spawn(async move { match driver.await {} });
        let mut ready = handle.ready();
        ready.wait_for(|ready| *ready).await.expect("in step");
    }

    /// A proxy that asks and never answers.
    async fn hanging_proxy(&self, name: &str) -> impl Sized + use<> {
        let mut client = AggregatedDiscoveryServiceClient::new(self.channel("ztunnel"));
        let request = DeltaDiscoveryRequest {
            node: Some((&NodeInfo::ztunnel(None, name, "istio-system", "n2")).into()),
            type_url: TypeUrl::ADDRESS.as_str().to_owned(),
            ..DeltaDiscoveryRequest::default()
        };
        let requests = futures_util::stream::once(async { request }).chain(futures_util::stream::pending());
        let opened = client.delta_aggregated_resources(requests).await;
        let mut answers = opened.expect("a stream").into_inner();
        answers.message().await.expect("a push");
        answers
    }

    async fn ask(&self, token: &str) -> Result<Standing, AskError> {
        let answer = await_plain(self.channel(token), &question(10 * SECOND)).await;
        answer.map(|answer| answer.standing)
    }
}

struct Takes {
    refuses: bool,
}

impl ApplyBatch for Takes {
    fn apply(&mut self, batch: Batch) -> Result<(), Vec<Rejected>> {
        let plain = workload(TunnelProtocol::None, [10, 0, 0, 1]);
        let bad = batch
            .resources
            .iter()
            .filter(|r| self.refuses && *r.body == *plain);
        let bad: Vec<_> = bad
            .map(|resource| Rejected {
                name: resource.name.clone(),
                reason: "no".to_owned(),
            })
            .collect();
        if bad.is_empty() { Ok(()) } else { Err(bad) }
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_told_once_every_proxy_has_accepted_that_the_pod_left() {
    let plane = Plane::start(Others::default());
    plane.proxy("a", false).await;
    plane.proxy("b", false).await;
    let began = Instant::now();
    let (cache, leave) = (plane.cache.clone(), async |cache: ResourceCache| {
        sleep(SECOND).await;
        publish(&cache, TunnelProtocol::None);
    });
    let (standing, ()) = tokio::join!(plane.ask("istio-cni"), leave(cache));
    let standing = standing.expect("an answer");
    assert!(standing.is_settled(), "{standing}");
    assert_eq!((standing.proxies, standing.acknowledged), (2, 2));
    assert!(
        (SECOND..2 * SECOND).contains(&began.elapsed()),
        "not before it is published, and at once then: {:?}",
        began.elapsed()
    );
    // That the pod is gone altogether is as good.
    plane.cache.publish(vec![Change::remove(TypeUrl::ADDRESS, UID)]);
    assert!(plane.ask("istio-cni").await.expect("an answer").is_settled());
}

#[tokio::test(start_paused = true)]
async fn who_hangs_or_refuses_is_named_when_the_time_is_over() {
    let plane = Plane::start(Others::default());
    plane.proxy("a", false).await;
    plane.proxy("refuses", true).await;
    let _hanging = plane.hanging_proxy("hangs").await;
    publish(&plane.cache, TunnelProtocol::None);
    let began = Instant::now();
    let standing = plane.ask("istio-cni").await.expect("an answer");
    assert!(began.elapsed() >= 10 * SECOND);
    assert_eq!((standing.proxies, standing.acknowledged), (3, 1));
    let mut missing = standing.missing.clone();
    missing.sort();
    assert_eq!(missing, ["hangs.istio-system", "refuses.istio-system"]);
    assert_eq!(standing.behind, 0);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_still_publishes_the_pod_in_the_mesh_is_behind() {
    let plane = Plane::start(Others::default());
    plane.proxy("a", false).await;
    let standing = plane.ask("istio-cni").await.expect("an answer");
    assert_eq!(
        (standing.behind, standing.proxies, standing.acknowledged),
        (1, 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn other_replicas_count_and_this_one_counts_once() {
    let other = |instance: &str, acknowledged| {
        Some(Answer {
            instance: instance.to_owned(),
            standing: Standing {
                proxies: 2,
                acknowledged,
                ..Standing::default()
            },
        })
    };
    for (say, proxies, settled) in [
        (vec![other("own", 2), other("b", 2)], 3, true),
        (vec![other("b", 2), other("b", 2)], 3, true),
        (vec![other("b", 1)], 3, false),
        (vec![other("b", 2), None], 3, false),
    ] {
        let asked = Arc::new(AtomicUsize::new(0));
        let others = Others {
            say,
            asked: asked.clone(),
        };
        let plane = Plane::start(others);
        plane.proxy("a", false).await;
        publish(&plane.cache, TunnelProtocol::None);
        let standing = plane.ask("istio-cni").await.expect("an answer");
        assert_eq!(
            (standing.proxies, standing.is_settled()),
            (proxies, settled),
            "{standing}"
        );
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        // A replica is told of this one's own, and asks nobody through it.
        let standing = plane.ask("replica").await.expect("an answer");
        assert_eq!((standing.proxies, asked.load(Ordering::Relaxed)), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_else_is_told() {
    let plane = Plane::start(Others::default());
    let refused = plane.ask("ztunnel").await;
    assert!(
        matches!(&refused, Err(AskError::Refused(why)) if why.contains("ztunnel")),
        "{refused:?}"
    );
}

#[test]
fn what_is_published_of_a_pods_name_is_plain_unless_it_is_reached_by_mutual_tls_at_its_address() {
    let of: Vec<IpAddr> = vec!["10.0.0.1".parse().expect("an address")];
    let plain = |body: &[u8]| is_plain(Some(body), &of);
    assert!(is_plain(None, &of));
    assert!(plain(&workload(TunnelProtocol::None, [10, 0, 0, 1])));
    assert!(!plain(&workload(TunnelProtocol::Hbone, [10, 0, 0, 1])));
    assert!(!plain(&workload(TunnelProtocol::LegacyIstioMtls, [10, 0, 0, 1])));
    // Its successor of the same name.
    assert!(plain(&workload(TunnelProtocol::Hbone, [10, 0, 0, 2])));
    assert!(!is_plain(
        Some(&workload(TunnelProtocol::Hbone, [10, 0, 0, 2])),
        &[]
    ));
    // Whatever is not understood may be one of the mesh.
    assert!(!plain(&[0xff]) && !plain(&[]));
}
