//! How long pods take into the mesh: those that run, from the label to mutual TLS; those that start, what it adds to their
//! start. And what the mesh's parts hold in memory. The figures of `docs/performance.md`.

mod add;
mod memory;

use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::cluster::{Cluster, Kubectl};
use lab::wait;
use serde_json::Value;
use tokio::time::Instant;

/// Measures, and prints one table of it all.
pub(crate) fn run(cluster: &Cluster) -> Result<()> {
    let kubectl = cluster.kubectl();
    for node in cluster.nodes() {
        // One that comes after the other measures nothing but how pods start.
        kubectl.run(&[
            "wait",
            "--for=condition=Ready",
            "--timeout=60s",
            &format!("node/{}", node.name()),
        ])?;
    }
    let mut table = Table::default();
    println!("== at rest, for {} s", REST.as_secs());
    thread::sleep(REST);
    table.memory("at rest", &memory::held(cluster, &kubectl)?);
    println!("== {PODS} pods without the mesh");
    let before = Sandboxes::now(cluster, &kubectl)?;
    start(&kubectl, "measured", "")?;
    let without = Sandboxes::now(cluster, &kubectl)?.each_since(before);
    labels(cluster, &kubectl, &mut table)?;
    table.memory(
        &format!("with {PODS} pods in the mesh"),
        &in_the_mesh(cluster, &kubectl)?,
    );
    kubectl.run(&["delete", "namespace", "measured", "--wait=true"])?;
    let mut adds = add::Durations::default();
    let before = Sandboxes::now(cluster, &kubectl)?;
    for round in 1..=STARTS {
        println!("== {PODS} pods that start in the mesh, {round} of {STARTS}");
        let namespace = format!("starting-{round}");
        start(&kubectl, &namespace, "istio.io/dataplane-mode: ambient")?;
        adds.extend(add::Durations::of_agents(&kubectl, &namespace)?);
        kubectl.run(&["delete", "namespace", &namespace, "--wait=true"])?;
    }
    let with = Sandboxes::now(cluster, &kubectl)?.each_since(before);
    let program = add::Durations::of_program(cluster)?;
    let added = adds.percentile(99) + program.percentile(99);
    table.row(
        "added to ADD at p99, ms: agent and program",
        "150",
        &format!("{added:.1}"),
    );
    for (what, durations) in [("agent's answer", &adds), ("program's start and end", &program)] {
        let of = |percent| durations.percentile(percent);
        table.row(
            &format!(
                "of that the {what}, ms at p50, p99, most of {}",
                durations.count()
            ),
            "",
            &format!("{:.1}, {:.1}, {:.1}", of(50), of(99), of(100)),
        );
    }
    table.row(
        "a sandbox, mean by the kubelets, ms: without, with the mesh",
        "",
        &format!("{}, {}", without.as_millis(), with.as_millis()),
    );
    println!("{}", table.0);
    Ok(())
}

/// From the label of a namespace until all of its pods are marked, and until all proxies would reach them by a tunnel.
fn labels(cluster: &Cluster, kubectl: &Kubectl, table: &mut Table) -> Result<()> {
    let proxies = proxies(cluster)?;
    for round in 1..=ROUNDS {
        println!("== the label, {round} of {ROUNDS}");
        let begun = Instant::now();
        label(kubectl, "istio.io/dataplane-mode=ambient")?;
        let labelled = begun.elapsed();
        let enrolled = until(|| Ok(annotated(kubectl)? == PODS), begun)?;
        let known = until(
            || {
                let known = proxies.iter().map(|proxy| proxy.tunnelled(cluster));
                Ok(known
                    .collect::<Result<Vec<_>>>()?
                    .iter()
                    .all(|count| *count == PODS))
            },
            begun,
        )?;
        table.row(
            &format!("label to mutual TLS of {PODS} pods, ms, round {round}: label written, all marked, both proxies know"),
            "2000",
            &format!("{}, {}, {}", labelled.as_millis(), enrolled.as_millis(), known.as_millis()),
        );
        label(kubectl, "istio.io/dataplane-mode-")?;
        until(|| Ok(annotated(kubectl)? == 0), Instant::now())?;
    }
    Ok(())
}

fn in_the_mesh(cluster: &Cluster, kubectl: &Kubectl) -> Result<Vec<memory::Held>> {
    label(kubectl, "istio.io/dataplane-mode=ambient")?;
    until(|| Ok(annotated(kubectl)? == PODS), Instant::now())?;
    thread::sleep(REST);
    memory::held(cluster, kubectl)
}

fn label(kubectl: &Kubectl, label: &str) -> Result<()> {
    kubectl.run(&["label", "namespace", "measured", label]).map(drop)
}

/// What was measured, beside what is asked for.
#[derive(Debug)]
struct Table(String);

impl Default for Table {
    fn default() -> Self {
        Self("| what | at most | measured |\n|---|---|---|\n".to_owned())
    }
}

impl Table {
    fn row(&mut self, what: &str, required: &str, measured: &str) {
        self.0
            .push_str(&format!("| {what} | {required} | {measured} |\n"));
    }

    fn memory(&mut self, when: &str, all: &[memory::Held]) {
        for held in all {
            let half = HALF_OF_UPSTREAM
                .iter()
                .find(|(container, _)| *container == held.container);
            let required = half.map(|(_, mb)| format!("{mb:.1}")).unwrap_or_default();
            let what = format!("memory {when}, MB: {}, working set (RSS)", held.container);
            self.row(
                &what,
                &required,
                &format!("{:.1} ({:.1})", held.working_set, held.rss),
            );
        }
    }
}

/// Half of the pods on each node, all running.
fn start(kubectl: &Kubectl, namespace: &str, labels: &str) -> Result<()> {
    kubectl.apply(&format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}, labels: {{{labels}}}}}\n---\napiVersion: apps/v1\n\
         kind: Deployment\nmetadata: {{name: app, namespace: {namespace}}}\nspec:\n  replicas: {PODS}\n  \
         selector: {{matchLabels: {{app: app}}}}\n  template:\n    metadata: {{labels: {{app: app}}}}\n    spec:\n      \
         terminationGracePeriodSeconds: 0\n      automountServiceAccountToken: false\n      topologySpreadConstraints:\n      - \
         {{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, \
         labelSelector: {{matchLabels: {{app: app}}}}}}\n      containers:\n      - {{name: app, image: lab/app:1, \
         imagePullPolicy: Never, args: [serve, --tcp, \"9000\"]}}\n"
    ))?;
    let status = [
        "-n",
        namespace,
        "rollout",
        "status",
        "deployment/app",
        "--timeout=600s",
    ];
    kubectl.run(&status).map(drop)
}

/// How many pods say that their traffic is captured.
fn annotated(kubectl: &Kubectl) -> Result<usize> {
    let pods = ["get", "pods", "-n", "measured", "-o", ANNOTATIONS];
    Ok(kubectl
        .run(&pods)?
        .split_whitespace()
        .filter(|word| *word == "enabled")
        .count())
}

/// A node's proxy: on which node, and the id of its process there.
struct Proxy {
    node: usize,
    process: String,
}

fn proxies(cluster: &Cluster) -> Result<Vec<Proxy>> {
    let of = |(node, it): (usize, &lab::cluster::Node)| {
        let process = it.output("pidof", &["-s", "ztunnel"])?.trim().to_owned();
        Ok(Proxy { node, process })
    };
    cluster.nodes().iter().enumerate().map(of).collect()
}

impl Proxy {
    /// How many of the pods it would reach by a tunnel.
    fn tunnelled(&self, cluster: &Cluster) -> Result<usize> {
        let mut command: Command = cluster.nodes()[self.node].command("nsenter")?;
        command.args([
            "--net",
            "-t",
            &self.process,
            "curl",
            "-sf",
            "http://127.0.0.1:15000/config_dump",
        ]);
        let out = command.output().context("curl")?;
        let dump: Value = serde_json::from_slice(&out.stdout).context("a proxy's page")?;
        let workloads = dump["workloads"].as_array().context("workloads")?;
        let ours = |w: &&Value| w["namespace"] == "measured" && w["protocol"] == "HBONE";
        Ok(workloads.iter().filter(ours).count())
    }
}

fn until(mut holds: impl FnMut() -> Result<bool>, since: Instant) -> Result<Duration> {
    wait::until("every pod is where it belongs", LIMIT, || match holds() {
        Ok(true) => Some(Ok(())),
        Ok(false) => None,
        Err(error) => Some(Err(error)),
    })??;
    Ok(since.elapsed())
}

/// What kubelets have measured of sandboxes so far: how many they made, and how long that took in all, in seconds. The CNI
/// plugins' ADD is a part of it.
#[derive(Clone, Copy, Debug, Default)]
struct Sandboxes {
    count: f64,
    seconds: f64,
}

impl Sandboxes {
    fn now(cluster: &Cluster, kubectl: &Kubectl) -> Result<Self> {
        let mut all = Self::default();
        for node in cluster.nodes() {
            let page = format!("/api/v1/nodes/{}/proxy/metrics", node.name());
            let text = kubectl.run(&["get", "--raw", &page])?;
            let value = |name: &str| {
                let line = text.lines().find(|line| line.starts_with(name))?;
                line.rsplit_once(' ')?.1.parse::<f64>().ok()
            };
            all.count += value(SANDBOX_COUNT).context(SANDBOX_COUNT)?;
            all.seconds += value(SANDBOX_SECONDS).context(SANDBOX_SECONDS)?;
        }
        Ok(all)
    }

    /// How long one took, of those that were made since.
    fn each_since(self, before: Self) -> Duration {
        let count = (self.count - before.count).max(1.0);
        Duration::from_secs_f64((self.seconds - before.seconds).max(0.0) / count)
    }
}

const SANDBOX_COUNT: &str = "kubelet_run_podsandbox_duration_seconds_count";
const SANDBOX_SECONDS: &str = "kubelet_run_podsandbox_duration_seconds_sum";
const PODS: usize = 100;
const ROUNDS: usize = 5;
/// So many times pods start.
const STARTS: usize = 3;
/// Until memory is looked at; kubelets look every ten seconds.
const REST: Duration = Duration::from_secs(30);
/// Half of what upstream's parts hold (129, 75 and 18 MB), by the container's name.
const HALF_OF_UPSTREAM: [(&str, f64); 3] = [("discovery", 64.5), ("install-cni", 37.5), ("istio-proxy", 9.0)];
const LIMIT: Duration = Duration::from_secs(120);
const ANNOTATIONS: &str =
    r#"jsonpath={range .items[*]}{.metadata.annotations.ambient\.istio\.io/redirection}{"\n"}{end}"#;
