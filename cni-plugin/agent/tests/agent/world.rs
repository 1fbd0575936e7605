//! The agent's world: a control plane and a ztunnel that say what the test wants, and pods that are namespaces.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use cni_plugin::agent::{Answer, ask};
use cni_plugin::event::{AddEvent, Event, IpConfig, IpNet, SandboxEvent};
use mesh_grpc::{AuthenticateCaller, ConnectionInfo, Denied};
use mesh_net::Netns;
use mesh_register::server::{Assignments, RegisterServer, Registrar};
use mesh_register::{
    Assignment, Hello, Membership, Options, Outcome, Place, Redirection, Report, Withdrawal,
};
use mesh_types::NamespacedName;
use mesh_zds::client::Delivery;
use mesh_zds::{PodEvent, ZdsClient};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tonic::metadata::MetadataMap;

pub(crate) struct World {
    pub(crate) control: Arc<Control>,
    pub(crate) assignments: Assignments,
    pub(crate) dir: tempfile::TempDir,
    address: SocketAddr,
    agent: Option<Child>,
}

/// What the control plane was told.
#[derive(Default)]
pub(crate) struct Control {
    pub(crate) reported: Mutex<Vec<(String, Redirection)>>,
    pub(crate) withdrawn: Mutex<Vec<String>>,
}

/// A ztunnel that takes what it is given, or does not answer.
pub(crate) struct Ztunnel {
    pub(crate) pods: Arc<Mutex<BTreeSet<String>>>,
    pub(crate) snapshots: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ack {
    Yes,
    No,
    Never,
}

struct Anybody;

impl AuthenticateCaller for Anybody {
    type Caller = ();

    async fn authenticate(&self, _: &MetadataMap, _: Option<&ConnectionInfo>) -> Result<(), Denied> {
        Ok(())
    }
}

impl Registrar for Control {
    type Caller = ();

    fn place(&self, (): &()) -> Result<Place, Denied> {
        Ok(Place::new("node-1"))
    }

    fn lease(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn connected(&self, _: &Place, _: &Hello) {}

    async fn report(&self, _: &Place, report: Report) -> Outcome {
        self.reported.lock().push((report.uid, report.redirection));
        Outcome::Accepted
    }

    async fn withdraw(&self, _: &Place, withdrawal: Withdrawal) -> Outcome {
        self.withdrawn.lock().push(withdrawal.uid);
        Outcome::Accepted
    }

    fn renewed(&self, _: &Place) {}

    fn disconnected(&self, _: &Place) {}
}

impl World {
    /// A control plane, and no agent yet.
    pub(crate) async fn new() -> Self {
        let control = Arc::new(Control::default());
        let assignments = Assignments::new();
        assignments.set_ready();
        let service = RegisterServer::new(assignments.clone(), Anybody, control.clone()).into_service();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        tokio::spawn(
            mesh_grpc::serve::builder()
                .add_service(service)
                .serve_with_incoming(incoming),
        );
        Self {
            control,
            assignments,
            dir: tempfile::tempdir().expect("a directory"),
            address,
            agent: None,
        }
    }

    /// The agent as a process of its own, with short deadlines.
    pub(crate) async fn start_agent(&mut self) {
        let address = format!("http://{}", self.address);
        self.start_agent_of(&address).await;
    }

    pub(crate) async fn start_agent_of(&mut self, control_plane: &str) {
        let run = self.dir.path().join("run");
        let child = Command::new(env!("CARGO_BIN_EXE_lateen-node"))
            .args(["--run-dir", text(&run), "--control-plane", control_plane])
            .args(["--ztunnel-socket", text(&self.zds())])
            .args(["--monitoring", "127.0.0.1:15014", "--health", "127.0.0.1:8000"])
            .args(["--token", "a.b.c", "--node-name", "node-1"])
            .args(["--add-deadline", "3", "--audit-interval", "1"])
            .spawn()
            .expect("the agent starts");
        self.agent = Some(child);
        eventually("the agent's sockets", || {
            std::os::unix::net::UnixStream::connect(self.events()).is_ok()
        })
        .await;
    }

    /// As a crash would.
    pub(crate) fn kill_agent(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().expect("killed");
            agent.wait().expect("it ends");
        }
    }

    pub(crate) fn events(&self) -> PathBuf {
        self.dir.path().join("run/pluginevent.sock")
    }

    fn zds(&self) -> PathBuf {
        self.dir.path().join("run/z.sock")
    }

    pub(crate) fn assign(&self, n: u8, membership: Membership) {
        let assignment = Assignment {
            workload: name(n),
            service_account: "web".into(),
            membership,
            options: Options::default(),
        };
        self.assignments.assign(&Place::new("node-1"), assignment);
    }

    /// A pod's namespace.
    pub(crate) fn pod(&self, n: u8) -> Netns {
        let netns = Netns::create_at(&self.netns(n)).expect("a namespace");
        netns.run(|| sh("ip link set lo up")).expect("the namespace");
        netns
    }

    pub(crate) fn netns(&self, n: u8) -> PathBuf {
        self.dir.path().join(format!("pod-{n}"))
    }

    pub(crate) async fn ask(&self, event: Event) -> Answer {
        let socket = self.events();
        let asked = tokio::task::spawn_blocking(move || ask(&socket, &event, Duration::from_secs(60)));
        asked.await.expect("no panic").expect("the agent answers")
    }

    pub(crate) async fn add(&self, n: u8) -> Answer {
        self.ask(Event::Add(self.add_event(n))).await
    }

    pub(crate) fn add_event(&self, n: u8) -> AddEvent {
        let pod = name(n);
        AddEvent {
            netns: self.netns(n),
            pod_name: pod.name.to_string(),
            pod_namespace: pod.namespace.to_string(),
            ips: vec![IpConfig {
                interface: Some(0),
                address: IpNet {
                    ip: [10, 0, 0, n].into(),
                    prefix: 24,
                },
                gateway: None,
            }],
            pod_uid: Some(uid(n)),
            container_id: Some(format!("box-{n}")),
        }
    }

    pub(crate) fn sandbox(&self, n: u8) -> SandboxEvent {
        SandboxEvent {
            container_id: format!("box-{n}"),
            netns: Some(self.netns(n)),
            pod_name: None,
            pod_namespace: None,
            pod_uid: None,
        }
    }

    pub(crate) fn ztunnel(&self, ack: Ack) -> Ztunnel {
        let pods = Arc::new(Mutex::new(BTreeSet::new()));
        let snapshots = Arc::new(Mutex::new(0));
        let task = tokio::spawn(ztunnel(self.zds(), ack, pods.clone(), snapshots.clone()));
        Ztunnel {
            pods,
            snapshots,
            task,
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill_agent();
    }
}

impl Ztunnel {
    pub(crate) fn stop(self) {
        self.task.abort();
    }
}

async fn ztunnel(path: PathBuf, ack: Ack, pods: Arc<Mutex<BTreeSet<String>>>, snapshots: Arc<Mutex<usize>>) {
    let mut client = ZdsClient::new(path);
    loop {
        let (event, reply) = match client.next().await {
            Delivery::Connected => {
                pods.lock().clear();
                continue;
            }
            Delivery::Disconnected(_) => continue,
            Delivery::Pod(event, reply) => (event, reply),
        };
        if ack == Ack::Never && matches!(event, PodEvent::Add { .. }) {
            std::future::pending::<()>().await;
        }
        let refused = ack == Ack::No && matches!(event, PodEvent::Add { .. });
        match event {
            PodEvent::Add { .. } if refused => {}
            PodEvent::Add { uid, .. } | PodEvent::Keep { uid } => drop(pods.lock().insert(uid.to_string())),
            PodEvent::Del { uid } => drop(pods.lock().remove(uid.as_str())),
            PodEvent::SnapshotSent => *snapshots.lock() += 1,
        }
        let answer = if refused {
            Err(mesh_zds::Refused("port 15001 is taken".to_owned()))
        } else {
            Ok(())
        };
        // The next event says that the agent is gone.
        let _ = reply.send(answer).await;
    }
}

/// Whether the pod's rules are there.
pub(crate) fn is_captured(pod: &Netns) -> bool {
    let listing = pod.run(|| {
        let output = Command::new("nft")
            .args(["list", "ruleset"])
            .output()
            .expect("nft");
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    listing.expect("the namespace").contains("redirect to :15001")
}

pub(crate) fn sh(script: &str) {
    let output = Command::new("sh")
        .args(["-ec", script])
        .output()
        .expect("a shell");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {stderr}");
}

/// Waits for something that will come to be; how long it takes does not matter.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within a minute");
}

pub(crate) fn uid(n: u8) -> String {
    format!("uid-{n}")
}

fn name(n: u8) -> NamespacedName {
    NamespacedName::new("shop", format!("web-{n}"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}
