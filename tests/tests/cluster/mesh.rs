//! The mesh on the cluster of the tests, and what tests ask about it.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use lab::access::AccessLine;
use lab::cluster::{Audit, Cluster, Kubectl, Lateen, Tools, mesh};
use lab::products::Products;
use lab::wait;
use serde_json::Value;

use crate::traffic::Captures;

/// A cluster with the mesh on it.
pub(crate) struct Mesh {
    pub(crate) cluster: Cluster,
    pub(crate) kubectl: Kubectl,
    pub(crate) lateen: Lateen,
    /// The CRDs of Gateway API, which no chart brings.
    pub(crate) gateway_api: PathBuf,
    /// Whether every test runs, so that whatever none of them needs is not needed.
    pub(crate) is_whole: bool,
    pub(crate) products: Products,
    app: PathBuf,
}

/// A pod of a test, as it runs.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) node: usize,
    pub(crate) ip: IpAddr,
    /// The name of its network on its node; nothing where it is the node's own.
    network: Option<String>,
}

impl Mesh {
    /// A cluster on which `lateen install` has put the mesh.
    pub(crate) fn start(
        tools: &Tools,
        products: &Products,
        gateway_api: PathBuf,
        is_whole: bool,
    ) -> Result<Self> {
        let helm = mesh::find_helm().context("helm")?;
        let made = {
            let products = products.clone();
            thread::spawn(move || mesh::images(&products, mesh::TAG))
        };
        let cluster = Cluster::start(tools, Audit::Kept).context("the cluster does not start")?;
        let app = products.path("lab-app");
        cluster.image("lab/app:1", &[(&app, "/lab-app")])?;
        let images = made.join().map_err(|_| anyhow!("making images panicked"))??;
        for (name, image) in &images {
            cluster.load(name, image).with_context(|| name.clone())?;
        }
        let mesh = Self {
            kubectl: cluster.kubectl(),
            lateen: Lateen::beside(&cluster, products, &helm),
            cluster,
            gateway_api,
            is_whole,
            products: products.clone(),
            app,
        };
        mesh.install().map_err(|error| error.context(mesh.tell()))?;
        Ok(mesh)
    }

    /// The lab's own program.
    pub(crate) fn app_program(&self) -> &Path {
        &self.app
    }

    /// Installs the mesh by `lateen install`, which waits until it runs.
    pub(crate) fn install(&self) -> Result<()> {
        self.lateen.install(VALUES).map(drop)
    }

    /// Brings what is installed to what the charts say, by `lateen upgrade`.
    pub(crate) fn upgrade(&self) -> Result<()> {
        self.lateen.upgrade(VALUES).map(drop)
    }

    /// Installs the mesh by Helm alone, from these charts.
    pub(crate) fn install_by_helm(&self, charts: &Path) -> Result<()> {
        let copy = tempfile::tempdir().context("a directory for charts")?;
        let mut cp = Command::new("cp");
        printed(cp.arg("-r").arg(charts).arg(copy.path()))?;
        let values = copy.path().join("values.yaml");
        fs::write(&values, VALUES).context("values")?;
        let chart = copy.path().join("charts/lateen").display().to_string();
        let values = values.display().to_string();
        self.lateen
            .helm(&["dependency", "update", "--skip-refresh", &chart])?;
        let install = ["install", "lateen", &chart, "-n", SYSTEM, "--create-namespace"];
        let how = ["--values", &values, "--wait", "--timeout", "600s"];
        self.lateen.helm(&[&install[..], &how].concat())?;
        self.wait_agents()
    }

    /// Gateway API's kinds, which no chart brings.
    pub(crate) fn with_gateway_api(&self) -> Result<()> {
        let definitions = self.gateway_api.display().to_string();
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", &definitions];
        self.kubectl.run(&apply).map(drop)
    }

    /// The same, with further values.
    pub(crate) fn upgrade_with(&self, more: &str) -> Result<()> {
        self.lateen.upgrade(&format!("{VALUES}{more}")).map(drop)
    }

    /// Waits until the agents of both nodes are ready.
    pub(crate) fn wait_agents(&self) -> Result<()> {
        self.wait_pods(SYSTEM, "k8s-app=istio-cni-node", 2, |pod| {
            pod["metadata"]["deletionTimestamp"].is_null() && is_ready(pod)
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

    /// A namespace goes, when it will.
    pub(crate) fn forget(&self, name: &str) -> Result<()> {
        let delete = ["delete", "namespace", name, "--wait=false"];
        self.kubectl.run(&delete).map(drop)
    }

    /// Nothing but mutual TLS is taken in a namespace.
    pub(crate) fn strict(&self, namespace: &str) -> Result<()> {
        let policy = format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: default, namespace: {namespace}}}\n\
             spec: {{mtls: {{mode: STRICT}}}}\n"
        );
        self.kubectl.apply(&policy).map(drop)
    }

    /// Waits until what one pod sends another is not seen in the clear: the client's proxy has learnt that the other is in
    /// the mesh.
    pub(crate) fn wait_tunnel(&self, from: &Pod, to: &Pod) -> Result<()> {
        let what = format!("{} reaches {} by a tunnel", from.name, to.name);
        let mut tries = 0;
        self.eventually(&what, || {
            tries += 1;
            let word = format!("is-there-a-tunnel-{tries}.");
            let captures = Captures::start(self, &[&word])?;
            let answer = self.send(from, to, &word);
            let seen = captures.stop();
            Ok(answer? == word && seen.found().is_empty())
        })
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
                network: None,
            })
        };
        let what = format!("pod {namespace}/{name} is ready");
        let object = ["pod", name, "-n", namespace];
        let mut pod = self.kubectl.wait(&what, &object, LIMIT, ready)?;
        pod.network = self.network(&pod)?;
        Ok(pod)
    }

    /// The ready pods that a label selects.
    pub(crate) fn pods(&self, namespace: &str, label: &str, count: usize) -> Result<Vec<Pod>> {
        self.wait_pods(namespace, label, count, is_ready)?;
        let list = self.kubectl.get(&["pods", "-n", namespace, "-l", label])?;
        let items = list["items"].as_array().context("pods")?;
        let names = items.iter().filter_map(|pod| pod["metadata"]["name"].as_str());
        names.map(|name| self.pod(namespace, name)).collect()
    }

    /// The proxy of a node.
    pub(crate) fn proxy(&self, node: usize) -> Result<Pod> {
        let proxies = self.pods(SYSTEM, "app=ztunnel", 2)?;
        let ours = proxies.into_iter().find(|pod| pod.node == node);
        ours.with_context(|| format!("no proxy on node {node}"))
    }

    /// Which of the node's networks has the pod's address.
    fn network(&self, pod: &Pod) -> Result<Option<String>> {
        let node = &self.cluster.nodes()[pod.node];
        for name in node.output("ls", &["/run/netns"])?.split_whitespace() {
            let inside = format!("--net=/run/netns/{name}");
            // One that ends meanwhile is not the pod's.
            let addresses = node.output("nsenter", &[&inside, "ip", "-o", "address"]);
            if addresses.is_ok_and(|a| a.contains(&format!(" {}/", pod.ip))) {
                return Ok(Some(name.to_owned()));
            }
        }
        Ok(None)
    }

    /// A command in a pod's network.
    pub(crate) fn inside(&self, pod: &Pod, program: &str) -> Result<Command> {
        let node = &self.cluster.nodes()[pod.node];
        match &pod.network {
            None => node.command(program),
            Some(network) => {
                let mut command = node.command("nsenter")?;
                command.arg(format!("--net=/run/netns/{network}")).arg(program);
                Ok(command)
            }
        }
    }

    /// The lab's own program in a pod's network.
    pub(crate) fn app(&self, pod: &Pod) -> Result<Command> {
        self.inside(pod, &self.app.display().to_string())
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
        printed(self.inside(pod, "nft")?.args(["list", "ruleset"]))
    }

    /// The rules of a node itself.
    pub(crate) fn node_rules(&self, node: usize) -> Result<String> {
        self.cluster.nodes()[node].output("nft", &["list", "ruleset"])
    }

    /// Sends a text from one pod to the echo server of another; what comes back, or how it failed.
    pub(crate) fn send(&self, from: &Pod, to: &Pod, text: &str) -> Result<String> {
        self.send_to(from, to.echo(), text)
    }

    /// Has Helm take the mesh away, if it is there.
    pub(crate) fn take_release_away(&self) -> Result<()> {
        let releases = self.lateen.helm(&["list", "-n", SYSTEM, "-q"])?;
        if releases.contains("lateen") {
            self.lateen
                .helm(&["uninstall", "lateen", "-n", SYSTEM, "--wait"])?;
        }
        Ok(())
    }

    /// Whether a text comes back.
    pub(crate) fn reaches(&self, from: &Pod, to: &Pod, text: &str) -> bool {
        self.send(from, to, text).is_ok_and(|answer| answer == text)
    }

    /// As [`Self::send`], to any address.
    pub(crate) fn send_to(&self, from: &Pod, to: SocketAddr, text: &str) -> Result<String> {
        let to = to.to_string();
        printed(self.app(from)?.args(["send", &to, "--text", text]))
    }

    /// What the proxies of a node said of connections so far.
    pub(crate) fn access(&self, node: usize) -> Result<Vec<AccessLine>> {
        let mut lines = Vec::new();
        for entry in fs::read_dir(self.host_file(node, "/var/log/pods")?)? {
            let folder = entry?;
            if !folder
                .file_name()
                .to_string_lossy()
                .starts_with("istio-system_ztunnel-")
            {
                continue;
            }
            for log in fs::read_dir(folder.path().join("istio-proxy"))
                .into_iter()
                .flatten()
            {
                let text = fs::read(log?.path())?;
                let text = String::from_utf8_lossy(&text);
                // Time, stream, whether it is whole, and what was written (the CRI's log format).
                let said = text.lines().filter_map(|line| line.splitn(4, ' ').nth(3));
                lines.extend(said.filter_map(AccessLine::parse));
            }
        }
        Ok(lines)
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
            "{}\n{}\n{}\n{}\n{}\n{}\n{}",
            pods.unwrap_or_default(),
            self.readiness(),
            lines[lines.len().saturating_sub(25)..].join("\n"),
            self.lateen.run(&["node", "services"]).unwrap_or_default(),
            of("app=istiod"),
            of("k8s-app=istio-cni-node"),
            of("app=ztunnel")
        )
    }

    /// Since when each pod is ready, or is not.
    fn readiness(&self) -> String {
        let since = "-o=jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.status.phase} \
                     {range .status.conditions[?(@.type==\"Ready\")]}{.status} since {.lastTransitionTime}{end}{\"\\n\"}{end}";
        let said = self.kubectl.run(&["get", "pods", "-A", since]);
        said.unwrap_or_default()
    }
}

impl Pod {
    /// Where it echoes.
    pub(crate) fn echo(&self) -> SocketAddr {
        SocketAddr::new(self.ip, 9000)
    }

    /// The identity of its service account.
    pub(crate) fn identity(&self, account: &str) -> String {
        format!("spiffe://cluster.local/ns/{}/sa/{account}", self.namespace)
    }
}

/// Whether the API server says that a pod is ready.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let ready = |c: &Value| c["type"] == "Ready" && c["status"] == "True";
    conditions.is_some_and(|all| all.iter().any(ready))
}

/// What a command prints; fails when it does, with what it said.
pub(crate) fn printed(command: &mut Command) -> Result<String> {
    let out = command.output().context("a command of a pod")?;
    if !out.status.success() {
        bail!("{}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// The label of a namespace whose pods belong to the mesh.
pub(crate) const AMBIENT: &str = "istio.io/dataplane-mode: ambient";
pub(crate) const SYSTEM: &str = "istio-system";
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
/// The charts as they are, but for times: tests want to see certificates end and pods leave.
pub(crate) const VALUES: &str = "
global: {logFormat: json}
cni:
  addDeadlineSeconds: 5
  env: {UNENROLL_SETTLE_SECONDS: \"1\"}
ztunnel:
  terminationGracePeriodSeconds: 10
  env: {SECRET_TTL: 60s}
";
