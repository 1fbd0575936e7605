//! The mesh's parts of every node on the cluster of the tests, and what tests ask about them.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lab::cluster::{Cluster, Kubectl};
use lab::products::Products;
use lab::wait;
use serde_json::Value;

/// A cluster with the mesh's DaemonSets.
pub(crate) struct Mesh {
    pub(crate) cluster: Cluster,
    pub(crate) kubectl: Kubectl,
}

/// A pod of a test, as it runs.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) node: usize,
    pub(crate) ip: IpAddr,
}

impl Mesh {
    pub(crate) fn install(cluster: Cluster, products: &Products) -> Result<Self> {
        let program = |name: &str| products.path(name);
        cluster.image("lab/app:1", &[(&program("lab-app"), "/lab-app")])?;
        cluster.image(
            "lab/ztunnel:1",
            &[(&program("ztunnel"), "/usr/local/bin/ztunnel")],
        )?;
        cluster.image(
            "lab/cni:1",
            &[
                (&program("lateen-node"), "/usr/local/bin/lateen-node"),
                (&program("lateen-cni"), "/opt/cni/bin/lateen-cni"),
                (&nft()?, "/usr/local/bin/nft"),
            ],
        )?;
        let kubectl = cluster.kubectl();
        let mesh = Self { cluster, kubectl };
        mesh.kubectl.apply(NODE_PARTS)?;
        mesh.wait_agents()?;
        mesh.wait_pods(SYSTEM, "app=ztunnel", 2, |pod| {
            pod["status"]["phase"] == "Running"
        })?;
        Ok(mesh)
    }

    /// Waits until the agents of both nodes are ready.
    pub(crate) fn wait_agents(&self) -> Result<()> {
        self.wait_pods(SYSTEM, "k8s-app=istio-cni-node", 2, |pod| {
            let conditions = pod["status"]["conditions"].as_array();
            let ready = |c: &Value| c["type"] == "Ready" && c["status"] == "True";
            pod["metadata"]["deletionTimestamp"].is_null()
                && conditions.is_some_and(|all| all.iter().any(ready))
        })
    }

    /// Waits until so many pods are such, and there are no others.
    pub(crate) fn wait_pods(
        &self,
        namespace: &str,
        selector: &str,
        count: usize,
        is_such: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let what = format!("{count} pods of {namespace} with {selector}");
        self.kubectl
            .wait(&what, &["pods", "-n", namespace, "-l", selector], LIMIT, |list| {
                let pods = list["items"].as_array()?;
                (pods.len() == count && pods.iter().all(&is_such)).then_some(())
            })
    }

    /// A namespace of a test; what an earlier one left is gone first.
    pub(crate) fn namespace(&self, name: &str, labels: &str) -> Result<()> {
        let yaml =
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n");
        self.kubectl.apply(&yaml)?;
        // Pods need it, and it is made by a controller.
        let account = ["serviceaccount", "default", "-n", name];
        self.kubectl
            .wait("the default account", &account, LIMIT, |_| Some(()))
    }

    /// A server on one node: TCP echo on 9000, HTTP on 8080; `more` is further fields of its container.
    pub(crate) fn server(&self, namespace: &str, name: &str, node: usize, more: &str) -> Result<Pod> {
        self.start_server(namespace, name, node, more)?;
        self.pod(namespace, name)
    }

    /// As [`Self::server`], and does not wait until it runs.
    pub(crate) fn start_server(&self, namespace: &str, name: &str, node: usize, more: &str) -> Result<()> {
        let node_name = self.cluster.nodes()[node].name();
        self.kubectl.apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}\nspec:\n  \
             nodeName: {node_name}\n  terminationGracePeriodSeconds: 0\n  containers:\n  - name: app\n    image: lab/app:1\n    \
             imagePullPolicy: Never\n    args: [serve, --tcp, \"9000\", --http, \"8080\"]\n{more}"
        ))?;
        Ok(())
    }

    /// A pod once it is ready.
    pub(crate) fn pod(&self, namespace: &str, name: &str) -> Result<Pod> {
        let ready = |pod: &Value| {
            let conditions = pod["status"]["conditions"].as_array()?;
            conditions
                .iter()
                .find(|c| c["type"] == "Ready" && c["status"] == "True")?;
            let node = pod["spec"]["nodeName"]
                .as_str()?
                .strip_prefix("node")?
                .parse::<usize>()
                .ok()?;
            let ip = pod["status"]["podIP"].as_str()?.parse().ok()?;
            Some(Pod {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                node: node - 1,
                ip,
            })
        };
        let what = format!("pod {namespace}/{name} is ready");
        self.kubectl
            .wait(&what, &["pod", name, "-n", namespace], LIMIT, ready)
    }

    /// Waits until a pod's annotation says this.
    pub(crate) fn wait_redirection(&self, pod: &Pod, wanted: Option<&str>) -> Result<()> {
        let what = format!("pod {} is marked {wanted:?}", pod.name);
        let object = ["pod", pod.name.as_str(), "-n", pod.namespace.as_str()];
        self.kubectl.wait(&what, &object, LIMIT, |object| {
            let annotation = object["metadata"]["annotations"]["ambient.istio.io/redirection"].as_str();
            (annotation == wanted).then_some(())
        })
    }

    /// The rules in a pod's network.
    pub(crate) fn rules(&self, pod: &Pod) -> Result<String> {
        let node = &self.cluster.nodes()[pod.node];
        let ip = pod.ip.to_string();
        for name in node.output("ls", &["/run/netns"])?.split_whitespace() {
            let inside = format!("--net=/run/netns/{name}");
            let addresses = node.output("nsenter", &[&inside, "ip", "-o", "address"])?;
            if addresses.contains(&format!(" {ip}/")) {
                return node.output("nsenter", &[&inside, "nft", "list", "ruleset"]);
            }
        }
        bail!(
            "no network on {} has the address {ip} of pod {}",
            node.name(),
            pod.name
        )
    }

    /// The rules of a node itself.
    pub(crate) fn node_rules(&self, node: usize) -> Result<String> {
        self.cluster.nodes()[node].output("nft", &["list", "ruleset"])
    }

    /// Sends a text from one pod to the echo server of another; what comes back, or how it failed.
    pub(crate) fn send(&self, from: &Pod, to: &Pod, text: &str) -> Result<String> {
        let address = format!("{}:9000", to.ip);
        let command = ["/lab-app", "send", &address, "--text", text];
        self.kubectl.exec(&from.namespace, &from.name, &command)
    }

    /// A file of a node's CNI directories.
    pub(crate) fn host_file(&self, node: usize, path: &str) -> Result<PathBuf> {
        self.cluster.nodes()[node].host_path(path)
    }

    /// Waits until something holds.
    pub(crate) fn eventually(&self, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
        let mut last = None;
        let result = wait::until(what, LIMIT, || match holds() {
            Ok(true) => Some(()),
            Ok(false) => None,
            Err(error) => {
                last = Some(error);
                None
            }
        });
        match (result, last) {
            (Err(error), Some(last)) => Err(error.context(format!("{last:#}"))),
            (result, _) => result,
        }
    }

    /// What the mesh's parts said, for a test that failed.
    pub(crate) fn tell(&self) -> String {
        let logs = ["-n", SYSTEM, "logs", "--tail=60", "--prefix", "-l"];
        let of = |selector: &str| {
            let said = self.kubectl.run(&[&logs[..], &[selector]].concat());
            said.unwrap_or_else(|error| format!("{error:#}"))
        };
        let pods = self.kubectl.run(&["get", "pods", "-A", "-o", "wide"]);
        let events = self
            .kubectl
            .run(&["get", "events", "-A", "--sort-by=.lastTimestamp"]);
        let events = events.unwrap_or_default();
        let lines: Vec<_> = events.lines().collect();
        format!(
            "{}\n{}\n{}\n{}",
            pods.unwrap_or_default(),
            lines[lines.len().saturating_sub(25)..].join("\n"),
            of("k8s-app=istio-cni-node"),
            of("app=ztunnel")
        )
    }
}

fn nft() -> Result<PathBuf> {
    let found = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"].map(Path::new);
    let found = found.into_iter().find(|path| fs::metadata(path).is_ok());
    found
        .map(Path::to_owned)
        .context("nft is missing: apt-get install nftables")
}

pub(crate) const SYSTEM: &str = "istio-system";
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
/// The agent and the proxy with the rights that `docs/least-privilege.md` gives them, and no others.
pub(crate) const NODE_PARTS: &str = include_str!("node-parts.yaml");
