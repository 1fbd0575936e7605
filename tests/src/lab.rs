//! The whole lab: an underlay, a control plane, two nodes with an agent and a ztunnel each, and pods.
//!
//! ```text
//!             bridge `wire` in the lab's own namespace: 10.240.0.0/24, fd00:240::/64
//!      ┌──────────────┬───────────────────┬───────────────────────────┐
//!   cp .10         node1 .11           node2 .12
//!   controlplane   lateen-node         lateen-node
//!                  ├─ node1-ztunnel    ├─ node2-ztunnel      (a namespace each, by ptp + host-local)
//!                  └─ pods 10.244.1/24 └─ pods 10.244.2/24   (by ptp + host-local + lateen-cni)
//! ```

mod node;
mod pod;
mod waypoint;

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::Instant;

use crate::config::{ConfigDir, PodSpec};
use crate::ip::{self, Namespace};
use crate::process::Process;
use crate::products::Products;

pub use node::Node;
pub use pod::{Pod, Said};
pub use waypoint::{Replica, Waypoint};

/// A running mesh; dropping it stops everything.
#[derive(Debug)]
pub struct Lab {
    products: Products,
    dir: PathBuf,
    config: ConfigDir,
    control: Namespace,
    controlplane: Option<Process>,
    nodes: Vec<Node>,
    options: Options,
    pods_started: u32,
}

/// What a lab may differ in.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Environment added to every ztunnel.
    pub ztunnel_env: BTreeMap<String, String>,
    /// Environment added to every agent.
    pub agent_env: BTreeMap<String, String>,
    /// Arguments added to the control plane's.
    pub controlplane_args: Vec<String>,
    /// Told of each part that has come up, and how long that took.
    pub progress: Option<fn(&str, Duration)>,
}

impl Lab {
    /// Starts a mesh of two nodes without pods: control plane, agents and ztunnels, all ready.
    ///
    /// The process must be alone in its namespaces ([`crate::world::enter`]).
    ///
    /// # Errors
    /// Fails with the first part that does not come up, and the end of its log.
    pub fn start(products: Products, options: Options) -> Result<Self> {
        let dir = PathBuf::from(LAB_DIR);
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let config = ConfigDir::create(&dir.join("config"))?;
        let mut clock = Clock::start(options.progress);
        lay_the_wire()?;
        let control = Namespace::create("cp")?;
        ip::plug(&control, WIRE, &underlay(CONTROL_HOST))?;
        let mut lab = Self {
            products,
            dir,
            config,
            control,
            controlplane: None,
            nodes: Vec::new(),
            options,
            pods_started: 0,
        };
        lab.write_hosts(&[])?;
        lab.config.namespace("istio-system", false)?;
        for index in 0..NODES {
            let file = format!("node-{}.yaml", node_name(index));
            lab.config.write(&file, &node_yaml(index))?;
        }
        // The slow parts side by side: the control plane comes up while the nodes are made.
        lab.start_controlplane()?;
        lab.nodes = thread::scope(|scope| {
            let made: Vec<_> = (0..NODES).map(|i| scope.spawn(move || Node::create(i))).collect();
            made.into_iter().map(join).collect::<Result<_>>()
        })?;
        lab.route_between_nodes()?;
        lab.wait_controlplane_ready()?;
        clock.done("two nodes and, beside them, the control plane with its certificate authority");
        for index in 0..NODES {
            lab.start_agent(index)?;
            lab.start_ztunnel(index)?;
        }
        lab.wait_ready()?;
        clock.done("an agent and a ztunnel on each node");
        Ok(lab)
    }

    /// Starts the control plane (again).
    ///
    /// # Errors
    /// Fails when it cannot be started.
    pub fn start_controlplane(&mut self) -> Result<()> {
        let mut command = self.control.command(self.products.path("lateen-controlplane"));
        command.arg("serve").arg("--config-dir").arg(self.config.path());
        command
            .arg("--state-dir")
            .arg(self.state_dir())
            .args(&self.options.controlplane_args);
        command.env("RUST_LOG", "info");
        self.controlplane = Some(Process::start("controlplane", command, &self.logs())?);
        Ok(())
    }

    /// Waits until the control plane says that it serves.
    ///
    /// # Errors
    /// Fails when it ended or does not get ready in time.
    pub fn wait_controlplane_ready(&mut self) -> Result<()> {
        let control = self.control.clone();
        let process = self
            .controlplane
            .as_mut()
            .context("the control plane was not started")?;
        let url = format!(
            "http://127.0.0.1:{}/readyz",
            mesh_types::ports::CONTROL_MONITORING
        );
        process
            .wait_until("/readyz", STARTUP, || control.output("curl", &["-sf", &url]).ok())
            .map(drop)
    }

    /// The control plane's process.
    ///
    /// # Errors
    /// Fails when it was not started.
    pub fn controlplane(&mut self) -> Result<&mut Process> {
        self.controlplane
            .as_mut()
            .context("the control plane was not started")
    }

    /// The namespace that the control plane runs in.
    #[must_use]
    pub fn control_namespace(&self) -> &Namespace {
        &self.control
    }

    /// Waits until agents and ztunnels say that they are ready.
    ///
    /// # Errors
    /// Fails with the first that does not.
    pub fn wait_ready(&mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(Node::wait_ready)
    }

    /// Starts a node's agent (again).
    ///
    /// # Errors
    /// Fails when it cannot be started.
    pub fn start_agent(&mut self, node: usize) -> Result<()> {
        let token = self.token("istio-system/istio-cni", node, "12h")?;
        let (root, logs) = (self.root_certificate(), self.logs());
        self.nodes[node].start_agent(&self.products, &token, &root, &logs, &self.options.agent_env)
    }

    /// Starts a node's ztunnel (again).
    ///
    /// # Errors
    /// Fails when it cannot be started.
    pub fn start_ztunnel(&mut self, node: usize) -> Result<()> {
        let products = self.products.clone();
        self.start_ztunnel_of(node, &products)
    }

    /// Starts a node's ztunnel from other products than the lab's own.
    ///
    /// # Errors
    /// Fails when it cannot be started.
    pub fn start_ztunnel_of(&mut self, node: usize, products: &Products) -> Result<()> {
        let token = self.token("istio-system/ztunnel", node, "12h")?;
        let (root, logs) = (self.root_certificate(), self.logs());
        self.nodes[node].start_ztunnel(products, &token, &root, &logs, &self.options.ztunnel_env)
    }

    /// Writes a pod's YAML and starts the pod: a namespace, joined to the network by the plugin chain.
    ///
    /// # Errors
    /// Fails when the chain does, after it was called to undo (DEL).
    pub fn start_pod(&mut self, spec: &PodSpec) -> Result<Pod> {
        self.config.pod(spec)?;
        self.attach_pod(spec)
    }

    /// Starts a pod whose YAML is there already.
    ///
    /// # Errors
    /// Fails when the chain does, after it was called to undo (DEL).
    pub fn attach_pod(&mut self, spec: &PodSpec) -> Result<Pod> {
        self.pods_started += 1;
        let node = &self.nodes[spec.node];
        Pod::start(spec, self.pods_started, node.chain(&self.products), &self.dir)
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node.
    pub fn node(&mut self, index: usize) -> &mut Node {
        &mut self.nodes[index]
    }

    /// The configuration that the control plane reads.
    #[must_use]
    pub fn config(&self) -> &ConfigDir {
        &self.config
    }

    /// The products.
    #[must_use]
    pub fn products(&self) -> &Products {
        &self.products
    }

    /// Where logs are.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// The lab's directory, private to it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The control plane's state.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// The certificate that clients of the control plane trust.
    #[must_use]
    pub fn root_certificate(&self) -> PathBuf {
        self.state_dir().join("root-cert.pem")
    }

    /// Names that programs in the lab can look up, beside the control plane's.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub fn write_hosts(&self, names: &[(IpAddr, &str)]) -> Result<()> {
        let mut text = format!(
            "127.0.0.1 localhost\n::1 localhost\n{} {CONTROL_NAME}\n",
            host_v4(CONTROL_HOST)
        );
        text.extend(names.iter().map(|(ip, name)| format!("{ip} {name}\n")));
        fs::write("/etc/hosts", text).context("/etc/hosts of the lab")
    }

    /// A token for a service account on a node, in a file of its own.
    ///
    /// # Errors
    /// Fails with what the control plane's `token` command printed.
    pub fn token(&self, service_account: &str, node: usize, ttl: &str) -> Result<PathBuf> {
        let token = self.signed_token(service_account, node, ttl, &[])?;
        let name = format!("{}-{}", node_name(node), service_account.replace('/', "-"));
        let file = self.dir.join("tokens").join(name);
        fs::create_dir_all(self.dir.join("tokens"))?;
        fs::write(&file, token)?;
        Ok(file)
    }

    /// A token of a pod's account that is bound to the pod.
    ///
    /// # Errors
    /// Fails with what the control plane's `token` command printed.
    pub fn pod_token(&self, pod: &Pod, ttl: &str) -> Result<String> {
        let spec = pod.spec();
        let account = format!("{}/{}", spec.namespace, spec.service_account);
        let bound = ["--pod", &spec.name, "--pod-uid", &pod.attachment().pod_uid];
        self.signed_token(&account, spec.node, ttl, &bound)
    }

    fn signed_token(&self, account: &str, node: usize, ttl: &str, further: &[&str]) -> Result<String> {
        let (node, state) = (node_name(node), self.state_dir().display().to_string());
        let program = self.products.path("lateen-controlplane").display().to_string();
        let whose = ["--service-account", account, "--node", &node, "--ttl", ttl];
        let arguments = [&["token", "--state-dir", &state], &whose[..], further].concat();
        let token = self.control.output(&program, &arguments)?;
        Ok(token.trim().to_owned())
    }

    fn route_between_nodes(&self) -> Result<()> {
        for to in &self.nodes {
            let (via4, via6) = (host_v4(to.host()), host_v6(to.host()));
            let others = self
                .nodes
                .iter()
                .filter(|n| n.host() != to.host())
                .map(Node::namespace);
            for from in others.chain([&self.control]) {
                from.ip(&format!("route add {} via {via4}", node::pods_v4(to.index())))?;
                from.ip(&format!("-6 route add {} via {via6}", node::pods_v6(to.index())))?;
            }
        }
        Ok(())
    }
}

/// Tells how long each step took.
struct Clock {
    tell: Option<fn(&str, Duration)>,
    since: Instant,
}

impl Clock {
    fn start(tell: Option<fn(&str, Duration)>) -> Self {
        Self {
            tell,
            since: Instant::now(),
        }
    }

    fn done(&mut self, what: &str) {
        if let Some(tell) = self.tell {
            tell(what, self.since.elapsed());
        }
        self.since = Instant::now();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Proxies first: they must not log the end of everything else.
        self.nodes.clear();
        self.controlplane = None;
    }
}

/// The name of a node by its index: `node1`, `node2`.
#[must_use]
pub fn node_name(index: usize) -> String {
    format!("node{}", index + 1)
}

/// The bridge between the nodes; a capture on it sees all that leaves a node.
pub const WIRE: &str = "wire";

fn lay_the_wire() -> Result<()> {
    ip::ip("link set lo up")?;
    ip::ip(&format!("link add {WIRE} type bridge"))?;
    ip::ip(&format!("link set {WIRE} up"))?;
    for (address, length) in underlay(OWN_HOST) {
        let nodad = if address.is_ipv6() { " nodad" } else { "" };
        ip::ip(&format!("address add {address}/{length} dev {WIRE}{nodad}"))?;
    }
    Ok(())
}

fn node_yaml(index: usize) -> String {
    let (name, zone) = (node_name(index), ["a", "b"][index % 2]);
    let (v4, v6) = (node::pods_v4(index), node::pods_v6(index));
    format!(
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: {name}\n  labels: {{topology.kubernetes.io/region: lab, topology.kubernetes.io/zone: lab-{zone}}}\nspec:\n  podCIDRs: [{v4}, \"{v6}\"]\n"
    )
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn underlay(host: u8) -> [(IpAddr, u8); 2] {
    [(host_v4(host).into(), 24), (host_v6(host).into(), 64)]
}

fn host_v4(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 240, 0, host)
}

fn host_v6(host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x240, 0, 0, 0, 0, 0, host.into())
}

const LAB_DIR: &str = "/run/lateen";
const NODES: usize = 2;
const OWN_HOST: u8 = 1;
const CONTROL_HOST: u8 = 10;
const CONTROL_NAME: &str = "istiod.istio-system.svc";
const STARTUP: Duration = Duration::from_secs(30);
