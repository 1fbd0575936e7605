//! The lab, its pods, their programs, and the files that the control plane reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::config::PodSpec;
use lab::lab::Options;
use lab::process::Process;
use lab::products::Products;
use lab::world::Rights;
use lab::{Lab, Pod};
use serde_json::Value;
use tokio::time::Instant;

use crate::programs::{self, Programs};
use crate::screen::{self, step};

/// Everything that runs.
pub(crate) struct Cast {
    pub(crate) lab: Lab,
    pub(crate) programs: Programs,
    pods: BTreeMap<&'static str, Pod>,
    // Only held: they end when this is dropped.
    _servers: Vec<Process>,
    left_out: Vec<String>,
    in_mesh: BTreeSet<&'static str>,
}

/// A pod as `examples/` says it.
struct Role {
    name: &'static str,
    namespace: &'static str,
    service_account: &'static str,
    node: usize,
    what: &'static str,
}

impl Cast {
    /// Starts the lab with the YAML of `examples`, its pods and their programs.
    pub(crate) fn start(products: Products, examples: &Path, rights: Rights) -> Result<Self> {
        let files = read(examples)?;
        screen::heading("Starting a mesh: two nodes on this machine, each a network namespace");
        screen::note(
            "A pod is a program with a network of its own. On each node an agent joins pods to the mesh, and a ztunnel, a \
             proxy that the programs know nothing of, carries their connections. The control plane reads YAML, tells \
             the ztunnels who is who and who may talk to whom, and signs certificates.",
        );
        screen::say("");
        let options = Options {
            progress: Some(step),
            ..Options::default()
        };
        let lab = Lab::start(products, options).context("the mesh does not start")?;
        publish(&lab, &files)?;
        let mut cast = Self {
            programs: Programs::find(rights, &lab),
            lab,
            pods: BTreeMap::new(),
            _servers: Vec::new(),
            left_out: Vec::new(),
            in_mesh: ROLES
                .iter()
                .filter(|r| r.namespace == "shop")
                .map(|r| r.name)
                .collect(),
        };
        for role in ROLES {
            cast.enter(role)?;
        }
        cast.serve()?;
        cast.wait_until_known()?;
        Ok(cast)
    }

    /// A pod by its name.
    pub(crate) fn pod(&self, name: &str) -> Result<&Pod> {
        self.pods.get(name).with_context(|| format!("no pod {name}"))
    }

    /// What is not shown, a sentence each.
    pub(crate) fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Whether a pod's connections go through its node's ztunnel.
    pub(crate) fn in_mesh(&self, name: &str) -> bool {
        self.in_mesh.contains(name)
    }

    /// A pod's label was changed, and took effect.
    pub(crate) fn set_in_mesh(&mut self, name: &'static str, enrolled: bool) {
        if enrolled {
            self.in_mesh.insert(name);
        } else {
            self.in_mesh.remove(name);
        }
    }

    /// All pods.
    pub(crate) fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    /// A pod starts as a container runtime starts it: its namespace, then the plugin chain.
    fn enter(&mut self, role: &Role) -> Result<()> {
        let spec = PodSpec::new(role.namespace, role.name, role.node).service_account(role.service_account);
        let start = Instant::now();
        let pod = self.lab.attach_pod(&spec)?;
        let what = format!(
            "pod {:<14} on node{}, {:<15} {}",
            pod.full_name(),
            role.node + 1,
            pod.v4(),
            role.what
        );
        step(&what, start.elapsed());
        self.pods.insert(role.name, pod);
        Ok(())
    }

    fn serve(&mut self) -> Result<()> {
        let start = Instant::now();
        let (servers, left_out) = programs::serve(self)?;
        self._servers = servers;
        self.left_out = left_out;
        step("the programs inside them", start.elapsed());
        for sentence in &self.left_out {
            screen::note(&format!("Left out: {sentence}"));
        }
        Ok(())
    }

    /// Both ztunnels hold every pod of both nodes; before that a connection may still go as if there were no mesh.
    fn wait_until_known(&self) -> Result<()> {
        let start = Instant::now();
        for node in self.lab.nodes() {
            node.wait_for_config("every pod of the shop", |dump| {
                self.pods.values().all(|pod| knows(dump, pod))
            })?;
        }
        step("both ztunnels know all of this", start.elapsed());
        Ok(())
    }
}

/// The virtual address behind a service's name.
pub(crate) fn virtual_address(service: &str) -> Result<&'static str> {
    let known = SERVICES.iter().find(|(name, _)| *name == service);
    known
        .map(|(_, vip)| *vip)
        .with_context(|| format!("no service {service}"))
}

fn knows(dump: &Value, pod: &Pod) -> bool {
    let address = pod.v4().to_string();
    let is_pod = |w: &&Value| w["name"] == pod.spec().name.as_str();
    let listed = |w: &Value| {
        w["workloadIps"]
            .as_array()
            .is_some_and(|ips| ips.iter().any(|ip| ip == address.as_str()))
    };
    let protocol = if pod.spec().namespace == "shop" {
        "HBONE"
    } else {
        "TCP"
    };
    let workloads = dump["workloads"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    workloads
        .iter()
        .find(is_pod)
        .is_some_and(|w| listed(w) && w["protocol"] == protocol)
}

/// The files of the directory that the demo shows, by name.
fn read(examples: &Path) -> Result<Vec<(&'static str, String)>> {
    let text = |name: &'static str| {
        let path = examples.join("mesh").join(name);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("{} (run from the repository, or give --examples)", path.display()))?;
        Ok((name, text))
    };
    FILES.iter().chain(&[STRICT]).map(|name| text(name)).collect()
}

/// What the lab wrote for itself gives way to the same objects of the examples. `strict.yaml` waits for its act.
fn publish(lab: &Lab, files: &[(&'static str, String)]) -> Result<()> {
    let start = Instant::now();
    for (name, text) in files {
        if *name == STRICT {
            fs::write(lab.dir().join(STRICT), text).context(STRICT)?;
        } else {
            lab.config().write(name, text)?;
        }
    }
    for own in [
        "node-node1.yaml",
        "node-node2.yaml",
        "namespace-istio-system.yaml",
    ] {
        lab.config().remove(own)?;
    }
    let names: Vec<(IpAddr, &str)> = SERVICES
        .iter()
        .chain(&LATER)
        .map(|(name, vip)| Ok((vip.parse()?, *name)))
        .collect::<Result<_>>()?;
    lab.write_hosts(&names)?;
    for (name, vip) in SERVICES {
        let known = files
            .iter()
            .any(|(_, text)| text.contains(&format!("clusterIP: {vip}\n")));
        ensure!(known, "the examples have no service {name} at {vip}");
    }
    step(
        &format!("the YAML of examples/mesh: {}", FILES.join(", ")),
        start.elapsed(),
    );
    Ok(())
}

/// The files that count from the start.
const FILES: [&str; 5] = [
    "nodes.yaml",
    "namespaces.yaml",
    "shop.yaml",
    "legacy.yaml",
    "policies.yaml",
];
/// The file that act 2 adds.
pub(crate) const STRICT: &str = "strict.yaml";
/// Names of services that later acts add.
const LATER: [(&str, &str); 3] = [
    ("reviews.store", "10.96.2.1"),
    ("reviews-v2.store", "10.96.2.3"),
    ("partner.example", "10.96.2.50"),
];
/// Names that programs may use, and the virtual addresses that `examples/` gives them.
const SERVICES: [(&str, &str); 4] = [
    ("web.shop", "10.96.0.9"),
    ("cart.shop", "10.96.0.10"),
    ("database.shop", "10.96.0.11"),
    ("cache.shop", "10.96.0.12"),
];

const ROLES: &[Role] = &[
    Role::new("shop", "web", "web", 0, "nginx; calls others with curl"),
    Role::new("shop", "cart-a", "cart", 0, "echo server, TCP and HTTP"),
    Role::new("shop", "cart-b", "cart", 1, "echo server, TCP and HTTP"),
    Role::new("shop", "cache", "cache", 1, "redis-server"),
    Role::new("shop", "database", "database", 1, "postgres"),
    Role::new("legacy", "batch", "batch", 0, "outside the mesh; calls others"),
    Role::new("legacy", "printer", "printer", 1, "outside the mesh; echo server"),
];

impl Role {
    const fn new(
        namespace: &'static str,
        name: &'static str,
        service_account: &'static str,
        node: usize,
        what: &'static str,
    ) -> Self {
        Self {
            name,
            namespace,
            service_account,
            node,
            what,
        }
    }
}
