use std::net::IpAddr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use mesh_grpc::{AuthenticateCaller, ConnectionInfo, Credentials, Denied, TokenSource, channel_over};
use mesh_kube::Resource;
use mesh_kube::fake::FakeApi;
use mesh_register::settled::{Settle, SettledServer, Standing};
use mesh_types::NamespacedName;
use serde_json::json;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::metadata::MetadataMap;

use super::*;

/// Replicas by their addresses; those that are not there take no connection.
#[derive(Clone, Default)]
struct Places(Arc<Mutex<BTreeMap<IpAddr, mpsc::Sender<DuplexStream>>>>);

impl Reach for Places {
    fn reach(&self, replica: SocketAddr) -> Result<GrpcChannel> {
        let places = self.clone();
        let connector = tower::service_fn(move |_: http::Uri| {
            let place = places.0.lock().get(&replica.ip()).cloned();
            async move {
                let refused = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
                let (near, far) = tokio::io::duplex(64 * 1024);
                let sent = place.ok_or_else(refused)?.send(far).await;
                sent.map_err(|_| refused())?;
                Ok::<_, std::io::Error>(TokioIo::new(near))
            }
        });
        Ok(channel_over(connector, Credentials::new(TokenSource::Anonymous)))
    }
}

struct Anybody;

impl AuthenticateCaller for Anybody {
    type Caller = ();

    async fn authenticate(&self, _: &MetadataMap, _: Option<&ConnectionInfo>) -> Result<(), Denied> {
        Ok(())
    }
}

struct Replica(String);

impl Settle for Replica {
    type Caller = ();
    type Scope = ();

    fn scope(&self, (): &()) -> Result<(), Denied> {
        Ok(())
    }

    async fn await_plain(&self, (): (), _: Question) -> Answer {
        Answer {
            instance: self.0.clone(),
            standing: Standing::default(),
        }
    }
}

impl Places {
    fn start(&self, address: &str) {
        let (connections, accepted) = mpsc::channel::<DuplexStream>(16);
        let server = SettledServer::new(Anybody, Replica(address.to_owned()));
        let router = mesh_grpc::serve::builder().add_service(server.into_service());
        let incoming = futures_util::stream::unfold(accepted, |mut accepted| async move {
            let connection = accepted.recv().await?;
            Some((Ok::<_, std::io::Error>(connection), accepted))
        });
        tokio::spawn(router.serve_with_incoming(incoming));
        let address = address.parse().expect("an address");
        self.0.lock().insert(address, connections);
    }
}

fn service(api: &FakeApi, addresses: &[&str]) {
    let slices = Resource::namespaced("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice");
    let endpoints: Vec<_> = addresses
        .iter()
        .map(|address| json!({"addresses": [address], "conditions": {"ready": true}}))
        .collect();
    let metadata = json!({
        "namespace": "istio-system", "name": "istiod-1",
        "labels": {"kubernetes.io/service-name": "istiod"},
    });
    api.put(
        &slices,
        json!({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints}),
    );
}

fn peers(api: &FakeApi, places: &Places) -> BehindService<Places> {
    let replicas = Replicas {
        namespace: "istio-system".to_owned(),
        service: "istiod".to_owned(),
        port: 15012,
    };
    BehindService::new(api.client(), replicas, places.clone())
}

fn question() -> Question {
    Question {
        workload: NamespacedName::new("shop", "web"),
        addresses: Vec::new(),
        wait: Duration::from_secs(10),
    }
}

fn instances(answers: &[Option<Answer>]) -> Vec<Option<&str>> {
    let answers = answers.iter();
    answers
        .map(|answer| answer.as_ref().map(|answer| answer.instance.as_str()))
        .collect()
}

#[tokio::test]
async fn every_replica_behind_the_service_is_asked_and_the_api_server_once_for_many_pods() {
    let (api, places) = (FakeApi::new(), Places::default());
    service(&api, &["10.0.0.1", "10.0.0.2"]);
    for address in ["10.0.0.1", "10.0.0.2"] {
        places.start(address);
    }
    let peers = peers(&api, &places);
    for _ in 0..3 {
        let answers = peers.ask(question()).await;
        assert_eq!(instances(&answers), [Some("10.0.0.1"), Some("10.0.0.2")]);
    }
    assert_eq!(api.requests().len(), 1);
}

#[tokio::test]
async fn a_replica_that_comes_late_is_asked_again() {
    let (api, places) = (FakeApi::new(), Places::default());
    service(&api, &["10.0.0.1", "10.0.0.2"]);
    places.start("10.0.0.1");
    let peers = peers(&api, &places);
    let late = async {
        sleep(Duration::from_millis(700)).await;
        places.start("10.0.0.2");
    };
    let (answers, ()) = tokio::join!(peers.ask(question()), late);
    assert_eq!(instances(&answers), [Some("10.0.0.1"), Some("10.0.0.2")]);
}

#[tokio::test]
async fn one_that_is_away_to_the_end_says_nothing() {
    let (api, places) = (FakeApi::new(), Places::default());
    service(&api, &["10.0.0.1", "10.0.0.2"]);
    places.start("10.0.0.1");
    let soon = Question {
        wait: Duration::from_secs(1),
        ..question()
    };
    let began = Instant::now();
    let answers = peers(&api, &places).ask(soon.clone()).await;
    assert_eq!(instances(&answers), [Some("10.0.0.1"), None]);
    assert!(began.elapsed() < Duration::from_secs(3));
    // Nor does anybody where it is not known who there is.
    api.away(true);
    let answers = peers(&api, &places).ask(soon).await;
    assert_eq!(instances(&answers), [None]);
}
