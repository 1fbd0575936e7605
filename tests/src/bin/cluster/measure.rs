//! How long pods take into the mesh: those that run, from the label to mutual TLS; those that start, what it adds to their
//! start. The figures of `docs/performance.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::cluster::{Cluster, Kubectl};
use lab::wait;
use serde_json::Value;
use tokio::time::Instant;

/// Measures, and prints a table.
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
    println!("== {PODS} pods without the mesh");
    start(&kubectl, "measured", "")?;
    let proxies = proxies(cluster)?;
    println!("| round | annotated, all {PODS}, ms | mutual TLS known at both proxies, ms |");
    println!("|---|---|---|");
    for round in 1..=ROUNDS {
        let begun = Instant::now();
        kubectl.run(&[
            "label",
            "namespace",
            "measured",
            "istio.io/dataplane-mode=ambient",
        ])?;
        let labelled = begun.elapsed();
        let enrolled = until(|| Ok(annotated(&kubectl)? == PODS), begun)?;
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
        println!(
            "| {round} (the label itself: {} ms) | {} | {} |",
            labelled.as_millis(),
            enrolled.as_millis(),
            known.as_millis()
        );
        kubectl.run(&["label", "namespace", "measured", "istio.io/dataplane-mode-"])?;
        until(|| Ok(annotated(&kubectl)? == 0), Instant::now())?;
    }
    kubectl.run(&["delete", "namespace", "measured", "--wait=true"])?;
    println!("== {PODS} pods that start in the mesh");
    start(&kubectl, "starting", "istio.io/dataplane-mode: ambient")?;
    adds(cluster)
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

/// What the agents counted of starting pods.
fn adds(cluster: &Cluster) -> Result<()> {
    let mut buckets = BTreeMap::new();
    let mut nodes = BTreeSet::new();
    for node in cluster.nodes() {
        let process = node.output("pidof", &["-s", "lateen-node"])?;
        let page = [
            "--net",
            "-t",
            process.trim(),
            "curl",
            "-sf",
            "http://127.0.0.1:15014/metrics",
        ];
        for line in node.output("nsenter", &page)?.lines() {
            let Some((bucket, count)) = bucket(line) else {
                continue;
            };
            *buckets.entry(bucket).or_insert(0) += count;
            nodes.insert(node.index());
        }
    }
    if nodes.len() != cluster.nodes().len() {
        bail!("an agent counted nothing");
    }
    let all = buckets.values().copied().max().unwrap_or(0);
    println!("| ADD at most, ms | of {all} | share |\n|---|---|---|");
    for (micros, count) in buckets {
        let bound = match micros {
            u64::MAX => "more".to_owned(),
            micros => (micros as f64 / 1000.0).to_string(),
        };
        println!(
            "| {bound} | {count} | {:.1} % |",
            100.0 * count as f64 / all.max(1) as f64
        );
    }
    Ok(())
}

/// A bucket of the agent's histogram of ADD: its bound in microseconds, and its count.
fn bucket(line: &str) -> Option<(u64, u64)> {
    let rest = line.strip_prefix("lateen_node_plugin_request_seconds_bucket{")?;
    let (labels, count) = rest.split_once("} ")?;
    if !labels.contains("command=\"add\"") {
        return None;
    }
    let (_, bound) = labels.split_once("le=\"")?;
    let seconds: f64 = bound.split('"').next()?.parse().ok()?;
    // The last one has no bound.
    let micros = if seconds.is_finite() {
        (seconds * 1e6) as u64
    } else {
        u64::MAX
    };
    Some((micros, count.trim().parse().ok()?))
}

const PODS: usize = 100;
const ROUNDS: usize = 5;
const LIMIT: Duration = Duration::from_secs(120);
const ANNOTATIONS: &str =
    r#"jsonpath={range .items[*]}{.metadata.annotations.ambient\.istio\.io/redirection}{"\n"}{end}"#;
