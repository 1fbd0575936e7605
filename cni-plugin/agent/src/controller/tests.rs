use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use mesh_kube::fake::FakeApi;
use mesh_kube::{KubeClient, Resource};
use mesh_net::Netns;
use mesh_net::process::in_namespaces;
use mesh_runtime::metrics as runtime_metrics;
use mesh_runtime::readiness::Readiness;
use mesh_types::NamespacedName;
use mesh_zds::client::Delivery;
use mesh_zds::{PodEvent, ServerOptions, ZdsClient, ZdsServer};
use parking_lot::Mutex;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::operations::{DnsCapture, DrainTimes, Held, World};
use super::*;
use crate::announce::settling::Settling;
use crate::announce::{Annotator, Announcer, POD};
use crate::app::serve_ztunnels;
use crate::enroll::{Enrolment, Role, Settings};
use crate::kernel::{Kernel, NodeRules};
use crate::roster::rules::Rules;
use crate::roster::selector::Enablement;
use crate::search::Places;
use crate::sockets::Connection;
use cni_rules::plan::ProbeAddresses;

const UID: &str = "2c48913c-b29f-11e7-9350-020968147796";
static NAMESPACE: Resource = Resource::cluster_wide("", "v1", "namespaces", "Namespace");

/// A running pod of the mesh, which the API server and `/proc` know.
fn running(api: &FakeApi, dir: &TempDir) {
    api.put(
        &NAMESPACE,
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": "shop", "labels": {"istio.io/dataplane-mode": "ambient"},
        }}),
    );
    api.put(
        &POD,
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web", "namespace": "shop", "uid": UID,
                "annotations": {"ambient.istio.io/redirection": "enabled"}},
            "spec": {"nodeName": "n1"}, "status": {"phase": "Running", "podIP": "10.0.0.1"},
        }),
    );
    let netns = Netns::create_at(&dir.path().join("web")).expect("a namespace");
    netns
        .run(|| {
            for command in ["link set lo up", "address add 10.0.0.1/32 dev lo"] {
                let status = Command::new("ip").args(command.split(' ')).status();
                assert!(status.expect("ip").success(), "{command}");
            }
        })
        .expect("entered");
    let process = dir.path().join("proc/7");
    fs::create_dir_all(process.join("ns")).expect("made");
    fs::write(process.join("cgroup"), format!("0::/kubepods/pod{UID}/box\n")).expect("written");
    let stat = "7 (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0\n";
    fs::write(process.join("stat"), stat).expect("written");
    symlink(dir.path().join("web"), process.join("ns/net")).expect("linked");
}

fn world(dir: &TempDir, zds: &ZdsServer, announcer: Announcer) -> World {
    let host = Netns::current().expect("own");
    let kernel = Kernel::new("nft");
    World {
        node: NodeRules::new(kernel.clone(), host.clone()),
        kernel,
        zds: zds.clone(),
        announcer,
        places: Places {
            proc: dir.path().join("proc"),
            named: dir.path().join("named"),
            host: host.id(),
        },
        probe: ProbeAddresses {
            v4: mesh_types::ports::HOST_PROBE_V4,
            v6: mesh_types::ports::HOST_PROBE_V6,
        },
        dns_capture: DnsCapture::Unavailable,
        drain: DrainTimes {
            usual: Duration::ZERO,
            leaving: Duration::ZERO,
        },
        looks: Semaphore::new(1),
        metrics: Metrics::register(&runtime_metrics::registry("cni", "0")),
        held: Mutex::new(Held::default()),
    }
}

fn source(client: &KubeClient, annotator: Annotator) -> Source {
    let rules = Rules {
        enablement: Enablement::default(),
        excluded: [].into(),
        own_namespace: "istio-system".to_owned(),
        own_daemonset: "istio-cni-node".to_owned(),
    };
    Source::api_server(client, "n1", rules, annotator)
}

/// What a ztunnel that serves pods is told first, up to the end of the snapshot: it drops whom that does not name.
async fn snapshot(mut ztunnel: ZdsClient) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let (event, reply) = match ztunnel.next().await {
            Delivery::Connected | Delivery::Disconnected(_) => continue,
            Delivery::Pod(event, reply) => (event, reply),
        };
        match event {
            PodEvent::Add { uid, .. } | PodEvent::Keep { uid } => told.push(uid.to_string()),
            PodEvent::Del { uid } => panic!("{uid} is dropped"),
            PodEvent::SnapshotSent => return told,
        }
        reply.send(Ok(())).await.expect("the agent is there");
    }
}

async fn without_a_state_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let api = FakeApi::new();
    running(&api, &dir);
    let client = api.client();
    let annotator = Annotator::new(client.clone(), Settling::blindly(Duration::ZERO));
    let socket = dir.path().join("z.sock");
    let options = ServerOptions {
        path: socket.clone(),
        ..ServerOptions::default()
    };
    let zds = ZdsServer::new(options, |_| {});
    let file = StateFile::new(dir.path().join("pods.json"));
    let known = file.read().expect("no file");
    assert!(!known.complete);
    let operations = Operations::new(world(&dir, &zds, Announcer::Annotation(annotator.clone())));
    let readiness = Readiness::new();
    let (controller, _requests) = Controller::new(
        known.records,
        Authority::ApiServer,
        file.clone(),
        operations,
        Deadlines {
            add: Duration::from_secs(10),
            del: Duration::from_secs(10),
            audit: Duration::from_secs(60),
        },
        Conditions {
            assignments: readiness.block("pods"),
            host: readiness.block("rules"),
        },
        Metrics::register(&runtime_metrics::registry("cni", "0")),
    );
    let (surveyed, survey) = oneshot::channel();
    let (_refusals, refused) = mpsc::unbounded_channel();
    let unbound: Option<std::future::Ready<()>> = None;
    tokio::spawn(serve_ztunnels(zds, unbound, survey));
    let told = tokio::spawn(snapshot(ZdsClient::new(socket)));
    let inputs = Inputs {
        refused,
        surveyed: Some(surveyed),
    };
    tokio::spawn(controller.run(source(&client, annotator), inputs));
    let told = timeout(Duration::from_secs(30), told).await.expect("in time");
    assert_eq!(told.expect("no panic"), [UID]);
    let known = file.read().expect("written");
    assert!(known.complete && known.records.len() == 1, "{known:?}");
}

#[test]
fn without_a_state_file_ztunnel_is_told_of_running_pods_before_its_snapshot_ends() {
    in_namespaces(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(without_a_state_file());
    });
}

/// Connects the namespaces, and opens a connection from the first address to the second.
fn connected(here: &Netns, there: &Netns, path: &std::path::Path) -> (TcpStream, TcpStream) {
    let ip = |command: &str| {
        let status = Command::new("ip").args(command.split(' ')).status();
        assert!(status.expect("ip").success(), "{command}");
    };
    here.run(|| {
        ip("link add here type veth peer name there");
        ip("address add 10.0.0.2/24 dev here");
        ip("link set here up");
        ip(&format!("link set there netns {}", path.display()));
    })
    .expect("entered");
    there
        .run(|| {
            ip("address add 10.0.0.1/24 dev there");
            ip("link set there up");
        })
        .expect("entered");
    let listener = TcpListener::bind("10.0.0.2:80").expect("a listener");
    let client = there.run(|| TcpStream::connect("10.0.0.2:80"));
    let (server, _) = listener.accept().expect("accepted");
    (client.expect("entered").expect("connected"), server)
}

async fn after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("web");
    let here = Netns::current().expect("own");
    let there = Netns::create_at(&path).expect("a namespace");
    let (client, server) = connected(&here, &there, &path);
    let open = Connection {
        local: client.local_addr().expect("an address"),
        remote: client.peer_addr().expect("an address"),
    };
    let ended = Connection {
        local: "10.0.0.1:8080".parse().expect("an address"),
        ..open
    };
    let record = Record {
        key: PodKey(UID.to_owned()),
        pod: NamespacedName::new("shop", "web"),
        container_id: None,
        netns_path: path,
        netns: there.id(),
        ips: vec!["10.0.0.1".parse().expect("an address")],
        enrolment: Some(Enrolment {
            role: Role {
                service_account: "web".to_owned(),
            },
            settings: Settings::default(),
        }),
        older: vec![ended, open],
    };
    let zds = ZdsServer::new(ServerOptions::default(), |_| {});
    let api = FakeApi::new();
    let announcer = Announcer::Annotation(Annotator::new(api.client(), Settling::blindly(Duration::ZERO)));
    let operations = Operations::new(world(&dir, &zds, announcer));
    operations.restore(&[record]);
    let older = operations.older();
    assert_eq!(older.get(UID), Some(&vec![open]), "{older:?}");
    drop((client, server));
    assert!(operations.older().is_empty());
}

#[test]
fn connections_of_before_are_told_after_a_restart_while_they_are_open() {
    in_namespaces(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(after_a_restart());
    });
}
