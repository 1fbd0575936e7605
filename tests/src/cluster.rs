//! A real Kubernetes cluster on this machine: no virtual machine, no container engine around it, no registry.
//!
//! ```text
//!             bridge `wire` in the cluster's own namespace: 10.240.0.0/24, fd00:240::/64
//!      ┌─────────────────────┬─────────────────────────┬────────────────────────┐
//!   cp .10                node1 .11                 node2 .12
//!   etcd, API server,     containerd, kubelet,      containerd, kubelet,
//!   controllers,          kube-proxy                kube-proxy
//!   scheduler, CoreDNS    pods 10.244.1/24          pods 10.244.2/24
//! ```
//! Every node has its own mounts, processes, network and host name, and the host paths that a node agent or a container
//! runtime writes to are private to it. The whole lives in the namespaces of [`crate::world::enter`]: when its first process
//! ends, nothing is left. It needs the machine's root.
//!
//! # Layout
//! - [`tools`]: Kubernetes, the conformance suite and its servers, built from the Go modules in `tests/cluster`.
//! - [`release`]: which Kubernetes that is.
//! - [`gateway_api`]: Gateway API's CRDs and its suite.
//! - [`plan`]: names and addresses. [`keys`]: certificates and client configurations.
//! - [`control_plane`], [`node`]: what runs where. [`kubectl`]: how tests speak to it.
//! - [`audit`]: what the API server was asked for. [`rights`]: who may ask for what, and who did (pure).
//! - [`mesh`]: the mesh's images, and the command line that installs it.
//! - `balancer`: addresses for Services of type LoadBalancer. `cgroups`: cgroups for kubelets.

pub mod audit;
mod balancer;
mod cgroups;
pub mod control_plane;
pub mod gateway_api;
pub mod keys;
pub mod kubectl;
pub mod mesh;
pub mod node;
pub mod plan;
pub mod release;
pub mod rights;
pub mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use images::{Effort, Files, Image, ImageConfig};

use crate::ip;
use crate::wait;

pub use audit::{Audit, AuditLog};
pub use control_plane::ControlPlane;
pub use gateway_api::GatewayApi;
pub use kubectl::Kubectl;
pub use mesh::Lateen;
pub use node::Node;
pub use tools::Tools;

use balancer::Balancer;

/// A control plane without nodes, for what only an API server has to be asked. The process must be alone in its namespaces,
/// as for a whole cluster.
///
/// # Errors
/// Fails with the end of the log of the part that does not come up.
pub fn control_plane_alone(tools: &Tools) -> Result<ControlPlane> {
    let dir = Path::new(DIR);
    fs::create_dir_all(dir.join("logs"))?;
    lay_the_wire()?;
    ControlPlane::start(tools, dir, Audit::NotKept)
}

/// A running cluster; dropping it stops everything.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    balancer: Option<Balancer>,
    nodes: Vec<Node>,
    control: ControlPlane,
}

impl Cluster {
    /// Starts a cluster of two nodes, both ready.
    ///
    /// The process must be alone in its namespaces ([`crate::world::enter`]) and have the machine's root.
    ///
    /// # Errors
    /// Fails with the first part that does not come up, and the end of its log.
    pub fn start(tools: &Tools, audit: Audit) -> Result<Self> {
        let dir = PathBuf::from(DIR);
        for folder in ["logs", "images"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        require_programs()?;
        let cgroup = cgroups::mount_all()?;
        lay_the_wire()?;
        let control = ControlPlane::start(tools, &dir, audit)?;
        let mut cluster = Self {
            dir,
            balancer: None,
            nodes: Vec::new(),
            control,
        };
        cluster.image("lab/pause:1", &[(&tools.path("pause"), "/pause")])?;
        for index in 0..NODES {
            let node = Node::create(index, &cluster.control, tools, &cluster.dir, &cgroup)?;
            cluster.nodes.push(node);
        }
        cluster.route()?;
        cluster.nodes.iter_mut().try_for_each(Node::start)?;
        for index in 0..NODES {
            cluster.wait_node_ready(index)?;
        }
        let clients = cluster.control.namespace().clone();
        cluster.balancer = Some(Balancer::start(cluster.kubectl(), clients)?);
        Ok(cluster)
    }

    /// `kubectl` as administrator.
    #[must_use]
    pub fn kubectl(&self) -> Kubectl {
        self.control.kubectl()
    }

    /// What the API server was asked for, where that is kept.
    #[must_use]
    pub fn audit(&self) -> Option<&AuditLog> {
        self.control.audit()
    }

    /// The control plane.
    pub fn control_plane(&mut self) -> &mut ControlPlane {
        &mut self.control
    }

    /// One node.
    pub fn node(&mut self, index: usize) -> &mut Node {
        &mut self.nodes[index]
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The cluster's folder, private to it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes an image of programs of this machine and the libraries that they need, and gives it to every node. The first
    /// is what it starts.
    ///
    /// # Errors
    /// Fails when a program is missing or a node does not take the image.
    pub fn image(&self, name: &str, programs: &[(&Path, &str)]) -> Result<()> {
        let mut files = Files::base();
        for (program, at) in programs {
            files.program(*at, program)?;
        }
        let config = ImageConfig {
            entrypoint: programs.iter().take(1).map(|(_, at)| (*at).to_owned()).collect(),
            env: vec!["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/".to_owned()],
            ..ImageConfig::default()
        };
        self.load(name, &Image::with(&files, &config, Effort::Quickest)?)
    }

    /// Gives an image to every node that runs, and to each that starts later.
    ///
    /// # Errors
    /// Fails when a node does not take it.
    pub fn load(&self, name: &str, image: &Image) -> Result<()> {
        let full = qualified(name);
        let archive = self
            .dir
            .join("images")
            .join(format!("{}.tar", full.replace(['/', ':'], "_")));
        fs::write(&archive, image.archive(&full)?).with_context(|| archive.display().to_string())?;
        self.nodes.iter().try_for_each(|node| node.import(&archive))
    }

    /// Waits until the API server says that a node is ready.
    ///
    /// # Errors
    /// Fails after a while, with the end of its kubelet's log.
    pub fn wait_node_ready(&self, index: usize) -> Result<()> {
        let name = plan::node_name(index);
        let kubectl = self.kubectl();
        let ready = wait::until(&format!("{name} is ready"), plan::STARTUP, || {
            let node = kubectl.get(&["node", &name]).ok()?;
            let conditions = node["status"]["conditions"].as_array()?;
            conditions
                .iter()
                .find(|c| c["type"] == "Ready" && c["status"] == "True")
                .map(drop)
        });
        ready.with_context(|| self.tail(&format!("{name}-kubelet.log")))
    }

    /// The last lines of a log of the cluster.
    #[must_use]
    pub fn tail(&self, log: &str) -> String {
        let text = fs::read_to_string(self.dir.join("logs").join(log)).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    fn route(&self) -> Result<()> {
        let control = self.control.namespace();
        for to in 0..NODES {
            let (v4, v6) = (plan::node_v4(to), plan::node_v6(to));
            let others = self.nodes.iter().filter(|n| n.index() != to).map(Node::namespace);
            for from in others.chain([control]) {
                from.ip(&format!("route add {} via {v4}", plan::pods_v4(to)))?;
                from.ip(&format!("-6 route add {} via {v6}", plan::pods_v6(to)))?;
            }
        }
        control.ip(&format!(
            "route add {} via {}",
            plan::SERVICES_V4,
            plan::node_v4(0)
        ))?;
        control.ip(&format!(
            "-6 route add {} via {}",
            plan::SERVICES_V6,
            plan::node_v6(0)
        ))?;
        for node in &self.nodes {
            // A host process reaches a Service only if some route leads there before its address is translated.
            let ns = node.namespace();
            ns.ip(&format!(
                "route add default via {}",
                plan::host_v4(plan::CONTROL_HOST)
            ))?;
            ns.ip(&format!(
                "-6 route add default via {}",
                plan::host_v6(plan::CONTROL_HOST)
            ))?;
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.balancer = None;
        self.nodes.clear();
    }
}

fn require_programs() -> Result<()> {
    for (program, package) in PROGRAMS {
        let found = std::env::split_paths("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .any(|dir| dir.join(program).is_file());
        if !found {
            bail!("{program} is missing: apt-get install {package}");
        }
    }
    Ok(())
}

fn lay_the_wire() -> Result<()> {
    ip::ip("link set lo up")?;
    ip::ip(&format!("link add {} type bridge", plan::WIRE))?;
    ip::ip(&format!("link set {} up", plan::WIRE))?;
    for (address, length) in plan::underlay(plan::OWN_HOST) {
        let nodad = if address.is_ipv6() { " nodad" } else { "" };
        ip::ip(&format!(
            "address add {address}/{length} dev {}{nodad}",
            plan::WIRE
        ))?;
    }
    Ok(())
}

/// As container runtimes complete names.
fn qualified(name: &str) -> String {
    match name.split('/').next() {
        Some(first) if first.contains('.') || first.contains(':') => name.to_owned(),
        _ => format!("docker.io/{name}"),
    }
}

const DIR: &str = "/run/lateen";
const NODES: usize = 2;
const TAIL: usize = 25;
const PROGRAMS: &[(&str, &str)] = &[
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("ctr", "containerd"),
];
