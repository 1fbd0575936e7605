//! Parts of the mesh that are killed, restarted and kept away while applications go on sending.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::wait;
use serde_json::Value;

use crate::Test;
use crate::mesh::{AMBIENT, LIMIT, Mesh, Pod, SYSTEM, is_ready, printed};
use crate::traffic::{Captures, Ledger, Load};

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

/// A part that is killed, all of it at once, without a word before.
struct Part {
    name: &'static str,
    selector: &'static str,
    pods: usize,
    /// Whether those who send are not to notice.
    unnoticed: bool,
}

const PARTS: &[Part] = &[
    Part {
        name: "agent",
        selector: "k8s-app=istio-cni-node",
        pods: 2,
        unnoticed: true,
    },
    Part {
        name: "control plane",
        selector: "app=istiod",
        pods: 2,
        unnoticed: true,
    },
    // Its pods cannot connect until the next one is there; they never fall back to plain text.
    Part {
        name: "ztunnel",
        selector: "app=ztunnel",
        pods: 2,
        unnoticed: false,
    },
];

impl Part {
    fn kill(&self, mesh: &Mesh) -> Result<()> {
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

/// The pods of a part: uid and name.
fn uids(mesh: &Mesh, selector: &str) -> Result<BTreeMap<String, String>> {
    let pods = mesh.kubectl.get(&["pods", "-n", SYSTEM, "-l", selector])?;
    let of = |pod: &Value| {
        let metadata = &pod["metadata"];
        Some((
            metadata["uid"].as_str()?.to_owned(),
            metadata["name"].as_str()?.to_owned(),
        ))
    };
    Ok(pods["items"]
        .as_array()
        .context("pods")?
        .iter()
        .filter_map(of)
        .collect())
}

fn killed(mesh: &mut Mesh) -> Result<()> {
    let three = Three::start(mesh, "steel")?;
    for part in PARTS {
        let captures = Captures::start(mesh, &["canary-of-steel"])?;
        let ledgers = three.under_load(mesh, "canary-of-steel", || part.kill(mesh))?;
        let seen = captures.stop();
        for (place, ledger) in ["same node", "other node"].iter().zip(&ledgers) {
            println!(
                "  {} killed, {place}: {} connections, {} failed {:?}",
                part.name,
                ledger.ok + ledger.failed,
                ledger.failed,
                ledger.failures
            );
        }
        seen.nothing_in_the_clear().context(part.name)?;
        if part.unnoticed {
            ledgers
                .iter()
                .try_for_each(Ledger::nobody_noticed)
                .context(part.name)?;
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
            .with_context(|| format!("after {}", part.name))?;
    }
    mesh.forget("steel")
}

fn rolled(mesh: &mut Mesh) -> Result<()> {
    let three = Three::start(mesh, "rolling")?;
    for part in [
        "daemonset/istio-cni-node",
        "deployment/istiod",
        "daemonset/ztunnel",
    ] {
        let captures = Captures::start(mesh, &["canary-rolls"])?;
        let ledgers = three.under_load(mesh, "canary-rolls", || {
            mesh.kubectl.run(&["-n", SYSTEM, "rollout", "restart", part])?;
            mesh.rolled_out(SYSTEM, part)
        })?;
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
    let near = Load::start(mesh, &three.client, three.near.echo(), RATE, "all alone")?;
    let far = Load::start(mesh, &three.client, three.far.echo(), RATE, "all alone")?;
    mesh.cluster.control_plane().stop_api_server();
    // They live for a minute and are renewed after half of it, by a control plane that has nobody to ask.
    let renewed = wait::until("a certificate is renewed", AWAY, || {
        let now = mesh.serial(&proxy, &identity).ok()?;
        (now != before).then_some(())
    });
    let back = mesh.cluster.control_plane().start_api_server();
    let ledgers = [near.finish()?, far.finish()?];
    back?;
    renewed?;
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
    let lease = ["lease", "lateen-root-cert", "-n", SYSTEM];
    let holder = |lease: &Value| lease["spec"]["holderIdentity"].as_str().map(str::to_owned);
    let leader = mesh.kubectl.wait("a leader", &lease, LIMIT, holder)?;
    let pods = uids(mesh, "app=istiod")?;
    let pod = pods
        .values()
        .find(|name| leader.contains(name.as_str()))
        .with_context(|| format!("{leader} is none of {pods:?}"))?;
    let kill = ["-n", SYSTEM, "delete", "pod", pod, "--force", "--grace-period=0"];
    mesh.kubectl.run(&kill)?;
    // Its Lease ends by itself: it could not give it back.
    mesh.kubectl.wait("another leader", &lease, LIMIT, |lease| {
        holder(lease).filter(|next| *next != leader)
    })?;
    mesh.namespace("heirs", AMBIENT)?;
    let root = ["configmap", "istio-ca-root-cert", "-n", "heirs"];
    mesh.kubectl
        .wait("the root is in a new namespace", &root, LIMIT, |_| Some(()))?;
    mesh.wait_pods(SYSTEM, "app=istiod", 2, is_ready)?;
    mesh.forget("heirs")
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

/// Twice what a certificate lives.
const AWAY: Duration = Duration::from_secs(120);
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
