use std::collections::HashMap;

use mesh_kube::fake::FakeApi;
use mesh_xds::{Change, ResourceCache, TypeUrl};
use parking_lot::Mutex;
use serde_json::json;

use super::*;
use crate::delivery::{Count, object};

/// Replicas by their addresses; those that are not there do not answer.
#[derive(Clone, Default)]
struct Peers(Arc<Mutex<HashMap<IpAddr, DeliveryBoard>>>);

impl AskReplica for Peers {
    async fn ask(&self, replica: SocketAddr) -> Result<Told> {
        let board = self.0.lock().get(&replica.ip()).cloned();
        Ok(board.context("no route to host")?.own())
    }
}

/// A replica that publishes one policy, to as many proxies, of which some accepted it.
fn replica(instance: &str, proxies: usize, accepted: usize) -> DeliveryBoard {
    let cache = ResourceCache::new(&TypeUrl::IN_ORDER);
    cache.publish(vec![Change::upsert(
        TypeUrl::AUTHORIZATION,
        "shop/p",
        "1".to_owned(),
    )]);
    let of = cache.clone();
    DeliveryBoard::new(instance, cache, move || {
        let mut subscribers = Vec::new();
        for number in 0..proxies {
            subscribers.push(subscriber(&of, number < accepted));
        }
        subscribers
    })
}

fn subscriber(cache: &ResourceCache, accepts: bool) -> mesh_xds::SubscriberStatus {
    use mesh_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
    let mut session = mesh_xds::server::ServerSession::new(cache.clone());
    let node = mesh_xds::NodeInfo::ztunnel(None, "z", "istio-system", "node-a");
    let ask = DeltaDiscoveryRequest {
        node: Some((&node).into()),
        type_url: TypeUrl::AUTHORIZATION.as_str().to_owned(),
        ..Default::default()
    };
    session.receive(ask).expect("a request");
    let push = session.next_push().expect("a stream").expect("a push");
    if accepts {
        let accept = DeltaDiscoveryRequest {
            type_url: TypeUrl::AUTHORIZATION.as_str().to_owned(),
            response_nonce: push.nonce,
            ..Default::default()
        };
        session.receive(accept).expect("an answer");
    }
    session.status()
}

struct Fixture {
    api: FakeApi,
    peers: Peers,
    board: DeliveryBoard,
    changed: watch::Receiver<u64>,
    ours: watch::Sender<bool>,
}

impl Fixture {
    /// The first of these replicas gathers.
    async fn start(replicas: &[(&str, DeliveryBoard)]) -> Self {
        let api = FakeApi::new();
        let endpoints: Vec<_> = replicas
            .iter()
            .map(|(address, _)| json!({"addresses": [address], "conditions": {"ready": true}}))
            .chain([json!({"addresses": ["10.0.0.99"], "conditions": {"ready": false}})])
            .collect();
        let metadata = json!({
            "namespace": "istio-system", "name": "istiod-1",
            "labels": {"kubernetes.io/service-name": "istiod"},
        });
        api.put(
            &SLICES,
            json!({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints}),
        );
        let other = json!({"namespace": "istio-system", "name": "other", "labels": {"kubernetes.io/service-name": "x"}});
        api.put(
            &SLICES,
            json!({"metadata": other, "endpoints": [{"addresses": ["10.0.0.98"]}]}),
        );
        let peers = Peers::default();
        for (address, board) in replicas {
            peers
                .0
                .lock()
                .insert(address.parse().expect("an address"), board.clone());
        }
        let board = replicas[0].1.clone();
        let (changed, seen) = watch::channel(0);
        let (ours, told) = watch::channel(true);
        let where_they_are = Replicas {
            namespace: "istio-system".to_owned(),
            service: "istiod".to_owned(),
            port: 15012,
        };
        tokio::spawn(keep(
            api.client(),
            where_they_are,
            board.clone(),
            peers.clone(),
            Arc::new(changed),
            told,
        ));
        // Between two rounds, as after any number of them.
        sleep(ROUND / 2).await;
        Self {
            api,
            peers,
            board,
            changed: seen,
            ours,
        }
    }

    fn said(&self) -> Option<String> {
        let policy = object::of(TypeUrl::AUTHORIZATION, "shop/p").expect("an object");
        let mut statuses = vec![controlplane_index::ObjectStatus::new(policy)];
        self.board.state(&mut statuses);
        statuses[0]
            .conditions
            .first()
            .map(|condition| condition.message.clone())
    }

    fn requests(&self) -> usize {
        self.api.requests().len()
    }
}

async fn rounds(count: u32) {
    sleep(ROUND * count).await;
}

#[tokio::test(start_paused = true)]
async fn proxies_of_all_replicas_are_told_of_together() {
    let fixture = Fixture::start(&[
        ("10.0.0.1", replica("a", 2, 2)),
        ("10.0.0.2", replica("b", 3, 1)),
        ("10.0.0.3", replica("c", 0, 0)),
    ])
    .await;
    assert_eq!(fixture.said(), None);
    rounds(1).await;
    assert_eq!(fixture.said().as_deref(), Some("Delivered 3/5 proxies"));
    fixture
        .peers
        .0
        .lock()
        .insert([10, 0, 0, 2].into(), replica("b", 3, 3));
    assert_eq!(
        fixture.said().as_deref(),
        Some("Delivered 3/5 proxies"),
        "not before the next round"
    );
    rounds(1).await;
    assert_eq!(fixture.said().as_deref(), Some("Delivered 5/5 proxies"));
    assert_eq!(
        *fixture.changed.borrow(),
        2,
        "statuses are looked at when something is new"
    );
    rounds(3).await;
    assert_eq!(*fixture.changed.borrow(), 2);
    assert_eq!(fixture.requests(), 5, "one list a round");
}

#[tokio::test(start_paused = true)]
async fn whoever_gets_the_duty_asks_at_once_and_whoever_loses_it_forgets() {
    let fixture = Fixture::start(&[("10.0.0.1", replica("a", 1, 1)), ("10.0.0.2", replica("b", 1, 1))]).await;
    rounds(1).await;
    assert_eq!(fixture.said().as_deref(), Some("Delivered 2/2 proxies"));
    fixture.ours.send_replace(false);
    rounds(1).await;
    assert_eq!(
        fixture.board.state(&mut []),
        Count::NotYet,
        "another one asks now"
    );
    let other = replica("b", 5, 1);
    fixture.peers.0.lock().insert([10, 0, 0, 2].into(), other);
    fixture.ours.send_replace(true);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(fixture.said().as_deref(), Some("Delivered 2/6 proxies"));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_answer_leaves_what_was_said() {
    let fixture = Fixture::start(&[("10.0.0.1", replica("a", 1, 1)), ("10.0.0.2", replica("b", 1, 1))]).await;
    rounds(1).await;
    assert_eq!(fixture.said().as_deref(), Some("Delivered 2/2 proxies"));
    fixture.peers.0.lock().remove(&IpAddr::from([10, 0, 0, 2]));
    rounds(2).await;
    assert_eq!(fixture.said().as_deref(), Some("Delivered 2/2 proxies"));
}

#[tokio::test]
async fn replicas_are_asked_on_the_port_that_their_service_says() {
    let api = FakeApi::new();
    let slice = |name: &str, ports: serde_json::Value| {
        let labels = json!({"kubernetes.io/service-name": "istiod"});
        let metadata = json!({"namespace": "istio-system", "name": name, "labels": labels});
        json!({"metadata": metadata, "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": ports})
    };
    api.put(
        &SLICES,
        slice(
            "a",
            json!([{"name": "http", "port": 1}, {"name": PORT, "port": 2}]),
        ),
    );
    api.put(&SLICES, slice("b", json!(null)));
    let replicas = Replicas {
        namespace: "istio-system".to_owned(),
        service: "istiod".to_owned(),
        port: 15012,
    };
    let found = replicas.find(&api.client()).await.expect("slices");
    assert_eq!(
        found,
        ["10.0.0.1:2".parse().unwrap(), "10.0.0.1:15012".parse().unwrap()]
    );
}

#[tokio::test(start_paused = true)]
async fn only_whose_duty_it_is_asks() {
    let fixture = Fixture::start(&[("10.0.0.1", replica("a", 1, 1))]).await;
    fixture.ours.send_replace(false);
    rounds(3).await;
    assert_eq!((fixture.requests(), fixture.said()), (0, None));
    fixture.ours.send_replace(true);
    rounds(2).await;
    assert_eq!(fixture.said().as_deref(), Some("Delivered 1/1 proxies"));
}
