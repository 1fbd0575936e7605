//! How long pods take into the mesh: those that run, from the label to mutual TLS; those that start, what it adds to their
//! start. And what the mesh's parts hold in memory. The figures of `docs/performance.md`.

mod add;
mod marks;
mod memory;
mod sandboxes;

use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::cluster::{Cluster, Kubectl};
use lab::wait;
use marks::Marks;
use sandboxes::Sandboxes;
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
    println!("== {PODS} pods at once without the mesh");
    let before = Sandboxes::now(cluster, &kubectl)?;
    start(&kubectl, "measured", "", PODS)?;
    let without = Sandboxes::now(cluster, &kubectl)?.each_since(before)?;
    // Kubelets and controllers are busy with the new pods for a while.
    thread::sleep(REST);
    labels(cluster, &kubectl, &mut table)?;
    label(&kubectl, "istio.io/dataplane-mode=ambient")?;
    thread::sleep(REST);
    let held = memory::held(cluster, &kubectl)?;
    table.memory(&format!("with {PODS} pods in the mesh"), &held);
    kubectl.run(&["delete", "namespace", "measured", "--wait=true"])?;
    adds(cluster, &kubectl, without, &mut table)?;
    println!("{}", table.0);
    Ok(())
}

/// From the label of a namespace until all of its pods are marked, and until all proxies would reach them by a tunnel.
fn labels(cluster: &Cluster, kubectl: &Kubectl, table: &mut Table) -> Result<()> {
    let proxies = proxies(cluster)?;
    let mut marks = Marks::watch(kubectl, "measured")?;
    for round in 1..=ROUNDS {
        println!("== the label, {round} of {ROUNDS}");
        let begun = Instant::now();
        label(kubectl, "istio.io/dataplane-mode=ambient")?;
        let labelled = begun.elapsed();
        let enrolled = marks.until(PODS, LIMIT)? - begun;
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
        marks.until(0, LIMIT)?;
        thread::sleep(BETWEEN);
    }
    Ok(())
}

/// What the mesh adds to the start of pods: where they come two by two, and where all of them come at once.
fn adds(cluster: &Cluster, kubectl: &Kubectl, without: Duration, table: &mut Table) -> Result<()> {
    println!("== {PODS} pods that start in the mesh, {AT_A_TIME} at a time");
    start(
        kubectl,
        "one-by-one",
        "istio.io/dataplane-mode: ambient",
        AT_A_TIME,
    )?;
    for replicas in (AT_A_TIME..=PODS).step_by(AT_A_TIME) {
        let replicas = format!("--replicas={replicas}");
        kubectl.run(&["scale", "-n", "one-by-one", "deployment/app", &replicas])?;
        rolled_out(kubectl, "one-by-one")?;
    }
    let program = add::Durations::of_program(cluster)?;
    let agent = add::Durations::of_agents(kubectl, "one-by-one")?;
    kubectl.run(&["delete", "namespace", "one-by-one", "--wait=true"])?;
    let added = agent.percentile(99) + program.percentile(99);
    table.row(
        &format!("added to ADD at p99, ms, of {PODS} pods, {AT_A_TIME} at a time: agent and program"),
        "150",
        &format!("{added:.1}"),
    );
    for (what, durations) in [("agent's answer", &agent), ("program's start and end", &program)] {
        let what = format!(
            "of that the {what}, ms at p50, p99, most of {}",
            durations.count()
        );
        table.row(&what, "", &durations.in_short());
    }
    println!("== {PODS} pods that start in the mesh at once");
    let before = Sandboxes::now(cluster, kubectl)?;
    start(kubectl, "at-once", "istio.io/dataplane-mode: ambient", PODS)?;
    let with = Sandboxes::now(cluster, kubectl)?.each_since(before)?;
    let agent = add::Durations::of_agents(kubectl, "at-once")?;
    kubectl.run(&["delete", "namespace", "at-once", "--wait=true"])?;
    table.row(
        &format!("{PODS} pods at once: a sandbox, mean by the kubelets, ms: without, with the mesh"),
        "",
        &format!("{}, {}", without.as_millis(), with.as_millis()),
    );
    table.row(
        "of that the agent's answer, ms at p50, p99, most",
        "",
        &agent.in_short(),
    );
    Ok(())
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
fn start(kubectl: &Kubectl, namespace: &str, labels: &str, pods: usize) -> Result<()> {
    kubectl.apply(&format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}, labels: {{{labels}}}}}\n---\napiVersion: apps/v1\n\
         kind: Deployment\nmetadata: {{name: app, namespace: {namespace}}}\nspec:\n  replicas: {pods}\n  \
         selector: {{matchLabels: {{app: app}}}}\n  template:\n    metadata: {{labels: {{app: app}}}}\n    spec:\n      \
         terminationGracePeriodSeconds: 0\n      automountServiceAccountToken: false\n      topologySpreadConstraints:\n      - \
         {{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, \
         labelSelector: {{matchLabels: {{app: app}}}}}}\n      containers:\n      - {{name: app, image: lab/app:1, \
         imagePullPolicy: Never, args: [serve, --tcp, \"9000\"]}}\n"
    ))?;
    rolled_out(kubectl, namespace)
}

fn rolled_out(kubectl: &Kubectl, namespace: &str) -> Result<()> {
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

const PODS: usize = 100;
const ROUNDS: usize = 5;
/// Pods that start together where not all do: one on each node.
const AT_A_TIME: usize = 2;
/// Until memory is looked at; kubelets look every ten seconds.
const REST: Duration = Duration::from_secs(30);
/// Half of what upstream's parts hold (129, 75 and 18 MB), by the container's name.
const HALF_OF_UPSTREAM: [(&str, f64); 3] = [("discovery", 64.5), ("install-cni", 37.5), ("istio-proxy", 9.0)];
/// Between two rounds.
const BETWEEN: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(120);
