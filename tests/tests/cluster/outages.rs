//! Parts of the mesh that are killed, restarted and kept away while applications go on sending.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::wait;
use serde_json::Value;
use tokio::time::Instant;

use crate::Test;
use crate::mesh::{AMBIENT, LIMIT, Mesh, Pod, SYSTEM, is_ready, printed};
use crate::traffic::{Captures, Held, Ledger, Load};

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "while_parts_of_the_mesh_are_killed_not_one_byte_crosses_in_the_clear",
        run: killed,
    },
    Test {
        name: "agent_control_plane_and_ztunnel_roll_under_load_and_no_new_connection_fails",
        run: rolled,
    },
    Test {
        name: "an_application_of_two_replicas_rolls_under_load_and_no_connection_fails",
        run: application_rolled,
    },
    Test {
        name: "while_the_api_server_is_away_traffic_goes_on_and_certificates_are_renewed",
        run: api_server_away,
    },
    Test {
        name: "when_the_leading_control_plane_is_killed_the_other_does_its_duties",
        run: leader_killed,
    },
];

/// Connections a second of each load.
const RATE: u32 = 20;

/// A client and two servers, one beside it and one on the other node, where nothing but mutual TLS is taken.
struct Three {
    client: Pod,
    near: Pod,
    far: Pod,
}

impl Three {
    fn start(mesh: &Mesh, namespace: &str) -> Result<Self> {
        mesh.namespace(namespace, AMBIENT)?;
        mesh.strict(namespace)?;
        for (name, node) in [("client", 0), ("near", 0), ("far", 1)] {
            mesh.start_server(namespace, name, node, "")?;
        }
        let [client, near, far] = ["client", "near", "far"].map(|name| mesh.pod(namespace, name));
        let three = Self {
            client: client?,
            near: near?,
            far: far?,
        };
        for server in [&three.near, &three.far] {
            mesh.wait_tunnel(&three.client, server)?;
        }
        Ok(three)
    }

    /// New connections to both servers while something happens.
    fn under_load(
        &self,
        mesh: &Mesh,
        text: &str,
        happens: impl FnOnce() -> Result<()>,
    ) -> Result<[Ledger; 2]> {
        let near = Load::start(mesh, &self.client, self.near.echo(), RATE, text)?;
        let far = Load::start(mesh, &self.client, self.far.echo(), RATE, text)?;
        let happened = happens();
        let ledgers = [near.finish()?, far.finish()?];
        happened.map(|()| ledgers)
    }
}

/// A part that is killed, all of it at once.
struct Part {
    name: &'static str,
    selector: &'static str,
    /// Its program, as the kernel calls it.
    process: &'static str,
    pods: usize,
    /// Whether those who send are not to notice.
    unnoticed: bool,
}

const PARTS: &[Part] = &[
    Part {
        name: "agent",
        selector: "k8s-app=istio-cni-node",
        process: "lateen-node",
        pods: 2,
        unnoticed: true,
    },
    Part {
        name: "control plane",
        selector: "app=istiod",
        process: "lateen-controlp",
        pods: 2,
        unnoticed: true,
    },
    // Its pods cannot connect until the next one is there; they never fall back to plain text.
    Part {
        name: "ztunnel",
        selector: "app=ztunnel",
        process: "ztunnel",
        pods: 2,
        unnoticed: false,
    },
];

/// How a part is killed.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Its processes, without a word before; the kubelets start them again in the same pods.
    Processes,
    /// Its pods, with hardly any time to say goodbye; there are others afterwards.
    Pods,
}

impl Part {
    fn kill(&self, mesh: &Mesh, way: Way) -> Result<()> {
        match way {
            Way::Processes => self.kill_processes(mesh),
            Way::Pods => self.delete_pods(mesh),
        }
    }

    fn kill_processes(&self, mesh: &Mesh) -> Result<()> {
        let before = restarts(mesh, self.selector)?;
        let mut killed = 0;
        for node in mesh.cluster.nodes() {
            // Not every node need have one.
            if node.output("pkill", &["-KILL", "-x", self.process]).is_ok() {
                killed += 1;
            }
        }
        ensure!(killed > 0, "no node has a process {}", self.process);
        mesh.eventually(&format!("all of {} is started again", self.name), || {
            let now = restarts(mesh, self.selector)?;
            Ok(before
                .iter()
                .all(|(pod, count)| now.get(pod).is_some_and(|now| now > count)))
        })?;
        mesh.wait_pods(SYSTEM, self.selector, self.pods, is_ready)
    }

    fn delete_pods(&self, mesh: &Mesh) -> Result<()> {
        let before = uids(mesh, self.selector)?;
        let pods = ["-n", SYSTEM, "delete", "pods", "-l", self.selector];
        mesh.kubectl
            .run(&[&pods[..], &["--force", "--grace-period=0"]].concat())?;
        let what = format!("all of {} is there again", self.name);
        mesh.eventually(&what, || {
            let now = uids(mesh, self.selector)?;
            Ok(now.keys().all(|uid| !before.contains_key(uid)))
        })?;
        mesh.wait_pods(SYSTEM, self.selector, self.pods, is_ready)
    }
}

/// How often the containers of a part's pods were started again.
fn restarts(mesh: &Mesh, selector: &str) -> Result<BTreeMap<String, u64>> {
    of_pods(mesh, selector, |pod| {
        let containers = pod["status"]["containerStatuses"].as_array()?;
        let counts = containers.iter().filter_map(|c| c["restartCount"].as_u64());
        Some((pod["metadata"]["name"].as_str()?.to_owned(), counts.sum()))
    })
}

/// The pods of a part: uid and name.
fn uids(mesh: &Mesh, selector: &str) -> Result<BTreeMap<String, String>> {
    of_pods(mesh, selector, |pod| {
        let text = |key: &str| pod["metadata"][key].as_str().map(str::to_owned);
        Some((text("uid")?, text("name")?))
    })
}

/// Something of each pod of a part, under something that tells them apart.
fn of_pods<T>(
    mesh: &Mesh,
    selector: &str,
    of: impl Fn(&Value) -> Option<(String, T)>,
) -> Result<BTreeMap<String, T>> {
    let pods = mesh.kubectl.get(&["pods", "-n", SYSTEM, "-l", selector])?;
    let pods = pods["items"].as_array().context("pods")?;
    Ok(pods.iter().filter_map(of).collect())
}

fn killed(mesh: &mut Mesh) -> Result<()> {
    let three = Three::start(mesh, "steel")?;
    for part in PARTS {
        for way in [Way::Processes, Way::Pods] {
            let what = format!("{}, {way:?} killed", part.name);
            unseen_while_killed(mesh, &three, part, way).context(what)?;
        }
    }
    mesh.forget("steel")
}

fn unseen_while_killed(mesh: &Mesh, three: &Three, part: &Part, way: Way) -> Result<()> {
    let captures = Captures::start(mesh, &["canary-of-steel"])?;
    let ledgers = three.under_load(mesh, "canary-of-steel", || part.kill(mesh, way))?;
    let seen = captures.stop();
    for (place, ledger) in ["same node", "other node"].iter().zip(&ledgers) {
        println!(
            "  {}, {way:?} killed, {place}: {} connections, {} failed {:?}",
            part.name,
            ledger.ok + ledger.failed,
            ledger.failed,
            ledger.failures
        );
    }
    seen.nothing_in_the_clear()?;
    if part.unnoticed {
        ledgers.iter().try_for_each(Ledger::nobody_noticed)?;
    }
    // Whatever failed meanwhile: what is made now does not.
    for server in [&three.near, &three.far] {
        mesh.eventually("connections are made again", || {
            Ok(mesh.reaches(&three.client, server, "again"))
        })?;
    }
    let after = three.under_load(mesh, "canary-of-steel", || {
        (0..20).try_for_each(|_| mesh.send(&three.client, &three.far, "tick").map(drop))
    })?;
    after
        .iter()
        .try_for_each(Ledger::nobody_noticed)
        .context("afterwards")
}

fn rolled(mesh: &mut Mesh) -> Result<()> {
    let three = Three::start(mesh, "rolling")?;
    for (part, drains) in [
        ("daemonset/istio-cni-node", false),
        ("deployment/istiod", false),
        ("daemonset/ztunnel", true),
    ] {
        let captures = Captures::start(mesh, &["canary-rolls"])?;
        let held = [
            three.near.echo(),
            three.near.echo(),
            three.far.echo(),
            three.far.echo(),
        ];
        let held = Held::open(mesh, &three.client, &held, Duration::from_secs(900))?;
        let began = held.age();
        let ledgers = three.under_load(mesh, "canary-rolls", || {
            mesh.kubectl.run(&["-n", SYSTEM, "rollout", "restart", part])?;
            mesh.rolled_out(SYSTEM, part)
        })?;
        let ends = held.look()?;
        captures.stop().nothing_in_the_clear().context(part)?;
        for ledger in &ledgers {
            println!(
                "  {part} rolled: {} connections, {} failed, slowest {} ms",
                ledger.ok + ledger.failed,
                ledger.failed,
                ledger.max_us / 1000
            );
            ledger.nobody_noticed().context(part)?;
        }
        println!("  {part} rolled, of 4 held connections: {ends:?}");
        // Whoever does not carry connections ends none. ztunnel goes on with those that it has for as long as it may.
        ensure!(drains || ends.still_open == 4, "{part}: {ends:?}");
        ensure!(
            ends.ended.iter().all(|(after, _)| *after >= began + DRAINED),
            "cut instead of drained: {ends:?}"
        );
    }
    mesh.forget("rolling")
}

fn application_rolled(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("shop", AMBIENT)?;
    mesh.strict("shop")?;
    mesh.kubectl.apply(SHOP)?;
    mesh.start_server("shop", "client", 0, "")?;
    let client = mesh.pod("shop", "client")?;
    for server in mesh.pods("shop", "app=cart", 2)? {
        mesh.wait_tunnel(&client, &server)?;
    }
    let service = mesh.kubectl.get(&["service", "cart", "-n", "shop"])?;
    let address = service["spec"]["clusterIP"].as_str().context("an address")?;
    let to = SocketAddr::new(address.parse()?, 9000);
    mesh.eventually("the Service answers", || {
        Ok(mesh.send_to(&client, to, "hello").is_ok_and(|a| a == "hello"))
    })?;
    let load = Load::start(mesh, &client, to, RATE, "a new cart")?;
    mesh.kubectl
        .run(&["-n", "shop", "rollout", "restart", "deployment/cart"])?;
    let rolled = mesh.rolled_out("shop", "deployment/cart");
    let ledger = load.finish()?;
    rolled?;
    println!(
        "  application rolled: {} connections, {} failed",
        ledger.ok + ledger.failed,
        ledger.failed
    );
    ledger.nobody_noticed()?;
    mesh.forget("shop")
}

fn api_server_away(mesh: &mut Mesh) -> Result<()> {
    let three = Three::start(mesh, "alone")?;
    let proxy = mesh.proxy(three.client.node)?;
    let identity = three.client.identity("default");
    let before = mesh.serial(&proxy, &identity)?;
    let captures = Captures::start(mesh, &["all alone"])?;
    let near = Load::start(mesh, &three.client, three.near.echo(), RATE, "all alone")?;
    let far = Load::start(mesh, &three.client, three.far.echo(), RATE, "all alone")?;
    mesh.cluster.control_plane().stop_api_server();
    // They live for a minute and are renewed after half of it, by a control plane that has nobody to ask.
    let stopped = Instant::now();
    let renewed = wait::until("a certificate is renewed", 2 * AWAY, || {
        let now = mesh.serial(&proxy, &identity).ok()?;
        (now != before && stopped.elapsed() >= AWAY).then_some(())
    });
    let back = mesh.cluster.control_plane().start_api_server();
    let ledgers = [near.finish()?, far.finish()?];
    back?;
    mesh.cluster.control_plane().start_controllers()?;
    renewed?;
    captures.stop().nothing_in_the_clear()?;
    ledgers.iter().try_for_each(Ledger::nobody_noticed)?;
    // What was asked for meanwhile, and what is asked for from now on, takes its course.
    for node in 0..2 {
        mesh.cluster.wait_node_ready(node)?;
    }
    mesh.start_server("alone", "late", 1, "")?;
    let late = mesh.pod("alone", "late")?;
    mesh.wait_tunnel(&three.client, &late)?;
    mesh.forget("alone")
}

fn leader_killed(mesh: &mut Mesh) -> Result<()> {
    mesh.with_gateway_api()?;
    let leader = mesh.kubectl.wait("a leader", &lease(DUTIES[0]), LIMIT, holder)?;
    let pods = uids(mesh, "app=istiod")?;
    let pod = pods
        .values()
        .find(|name| leader.contains(name.as_str()))
        .with_context(|| format!("{leader} is none of {pods:?}"))?;
    let kill = ["-n", SYSTEM, "delete", "pod", pod, "--force", "--grace-period=0"];
    mesh.kubectl.run(&kill)?;
    // What it could not give back ends by itself.
    for duty in DUTIES {
        mesh.kubectl.wait(
            &format!("another holder of {duty}"),
            &lease(duty),
            LIMIT,
            |lease| holder(lease).filter(|next| *next != leader),
        )?;
    }
    mesh.namespace("heirs", AMBIENT)?;
    let root = ["configmap", "istio-ca-root-cert", "-n", "heirs"];
    mesh.kubectl
        .wait("the root is in a new namespace", &root, LIMIT, |_| Some(()))?;
    mesh.kubectl.apply(HEIRS)?;
    let service = ["service", "orphan", "-n", "heirs"];
    mesh.kubectl
        .wait("a status is written", &service, LIMIT, |service| {
            let conditions = service["status"]["conditions"].as_array()?;
            let bound = conditions
                .iter()
                .find(|c| c["type"] == "istio.io/WaypointBound")?;
            (bound["status"] == "False").then_some(())
        })?;
    mesh.lateen.run(&["waypoint", "apply", "-n", "heirs", "--wait"])?;
    mesh.wait_pods(SYSTEM, "app=istiod", 2, is_ready)?;
    mesh.forget("heirs")
}

fn lease(duty: &str) -> [&str; 4] {
    ["lease", duty, "-n", SYSTEM]
}

fn holder(lease: &Value) -> Option<String> {
    lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
}

impl Mesh {
    /// Waits until a rollout has ended.
    pub(crate) fn rolled_out(&self, namespace: &str, what: &str) -> Result<()> {
        let status = ["-n", namespace, "rollout", "status", what, "--timeout=120s"];
        self.kubectl.run(&status).map(drop)
    }

    /// The serial number of an identity's certificate, as a proxy shows it; nobody but the proxy is asked.
    fn serial(&self, proxy: &Pod, identity: &str) -> Result<String> {
        let page = ["-sf", "--max-time", "5", "http://127.0.0.1:15000/config_dump"];
        let dump: Value = serde_json::from_str(&printed(self.inside(proxy, "curl")?.args(page))?)?;
        let certificates = dump["certificates"].as_array().context("certificates")?;
        let ours = certificates.iter().find(|c| c["identity"] == identity);
        let serial = ours.context("the pod's identity")?["certChain"][0]["serialNumber"].as_str();
        serial.map(str::to_owned).context("a serial number")
    }
}

/// What replicas of the control plane share by Leases.
pub(crate) const DUTIES: &[&str] = &[
    "lateen-root-cert",
    "lateen-status",
    "lateen-gateways",
    "lateen-addresses",
];
/// A Service whose waypoint is missing.
const HEIRS: &str = "
apiVersion: v1
kind: Service
metadata: {name: orphan, namespace: heirs, labels: {istio.io/use-waypoint: nobody}}
spec: {selector: {app: orphan}, ports: [{port: 80}]}
";
/// What a certificate lives, so that each is renewed meanwhile.
const AWAY: Duration = Duration::from_secs(60);
/// Less than ztunnel's grace period here, of which the drain takes the most.
const DRAINED: Duration = Duration::from_secs(4);
/// An application as its owner would write it: it says when it can serve, and goes on serving until nobody sends to it.
const SHOP: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: cart}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  template:
    metadata: {labels: {app: cart}}
    spec:
      terminationGracePeriodSeconds: 4
      containers:
      - name: app
        image: lab/app:1
        imagePullPolicy: Never
        args: [serve, --tcp, "9000"]
        readinessProbe: {tcpSocket: {port: 9000}, periodSeconds: 1}
        lifecycle: {preStop: {sleep: {seconds: 3}}}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  selector: {app: cart}
  ports: [{name: tcp, port: 9000}]
"#;
