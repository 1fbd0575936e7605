//! Whether what runs is what was installed, and works. Pure.
//!
//! # Layout
//! - this file: the judgement. [`compare`]: an object that was rendered, beside the live one. [`live`]: asks a cluster.
//!   [`pods`]: why a pod is not ready.

pub mod compare;
pub mod live;
pub mod pods;

use serde_json::Value;

use crate::check::{Checks, counted, some};
use crate::objects::shown;
use crate::status::Status;

/// What was seen of an installation.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Each object that helm rendered, and the live one.
    pub objects: Vec<(Value, Option<Value>)>,
    /// What of the mesh is not ready, and why.
    pub waiting: Vec<pods::Waiting>,
    /// The replicas of the control plane, and what is wrong with each.
    pub control_planes: Vec<(String, Option<String>)>,
    /// The ztunnels that run, `<name>.<namespace>`.
    pub ztunnels: Vec<String>,
    /// How the control plane's clients stand; nothing where nobody could be asked.
    pub clients: Option<Status>,
    /// What ztunnels and node agents that run say of being ready: which (`ztunnel`, `node agent`), `<name>.<namespace>`, and what
    /// is wrong.
    pub nodes: Vec<(&'static str, String, Option<String>)>,
    /// Namespaces in which the mesh's root is not there for everybody to read.
    pub rootless: Vec<String>,
    /// The namespace that the mesh runs in.
    pub system: String,
}

/// Judges.
#[must_use]
pub fn verify(observed: &Observed) -> Checks {
    let mut checks = Checks::default();
    objects(observed, &mut checks);
    workloads(observed, &mut checks);
    control_plane(observed, &mut checks);
    ztunnels(observed, &mut checks);
    nodes(observed, &mut checks);
    checks
}

/// Each object is there and has what was rendered.
fn objects(observed: &Observed, checks: &mut Checks) {
    const MATTER: &str = "objects";
    let mut same = 0;
    for (rendered, live) in &observed.objects {
        let Some(live) = live else {
            checks.error(MATTER, format!("{} is not there", shown(rendered)), UPGRADE);
            continue;
        };
        let differences = compare::differences(rendered, live);
        if differences.is_empty() {
            same += 1;
            continue;
        }
        let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
        checks.warning(
            MATTER,
            format!("{}: {}", shown(rendered), some(&differences)),
            UPGRADE,
        );
    }
    checks.good(
        MATTER,
        format!("{same} of {} are as they were rendered", observed.objects.len()),
    );
}

/// Deployments and DaemonSets have as many pods as they want, all of the newest kind.
fn workloads(observed: &Observed, checks: &mut Checks) {
    const MATTER: &str = "pods";
    for (_, live) in &observed.objects {
        let Some(live) = live else { continue };
        let Some((wanted, ready)) = pods::wanted_and_ready(live) else {
            continue;
        };
        let found = format!("{}: {ready} of {wanted} ready", shown(live));
        if ready >= wanted && pods::is_current(live) {
            checks.good(MATTER, found);
        } else {
            checks.error(
                MATTER,
                found,
                "the lines below say why, or kubectl rollout status",
            );
        }
    }
    for waiting in &observed.waiting {
        checks.error(MATTER, waiting.to_string(), waiting.object.describe());
    }
}

fn control_plane(observed: &Observed, checks: &mut Checks) {
    const MATTER: &str = "control plane";
    if observed.control_planes.is_empty() {
        checks.error(
            MATTER,
            "no replica runs",
            format!("kubectl -n {} get pods -l app=istiod", observed.system),
        );
    }
    for (pod, wrong) in &observed.control_planes {
        match wrong {
            None => checks.good(MATTER, format!("{pod} serves")),
            Some(why) => checks.error(MATTER, format!("{pod} does not serve: {why}"), logs(pod)),
        }
    }
    if observed.rootless.is_empty() {
        checks.good(MATTER, "the mesh's root is in every namespace");
    } else {
        checks.error(
            MATTER,
            format!(
                "ConfigMap istio-ca-root-cert is missing in {}: {}",
                counted(observed.rootless.len(), "namespace"),
                some(&observed.rootless)
            ),
            format!(
                "the control plane makes it, and says why it does not: kubectl -n {} logs -l app=istiod",
                observed.system
            ),
        );
    }
}

/// What ztunnels and node agents say of themselves.
fn nodes(observed: &Observed, checks: &mut Checks) {
    for (matter, part) in [("ztunnels", "ztunnel"), ("node agents", "node agent")] {
        let all: Vec<_> = observed.nodes.iter().filter(|(what, ..)| *what == part).collect();
        let mut ready = 0;
        for (_, pod, wrong) in &all {
            match wrong {
                None => ready += 1,
                Some(why) => checks.error(matter, format!("{pod} is not ready: {why}"), logs(pod)),
            }
        }
        if all.is_empty() && part == "node agent" {
            checks.error(
                matter,
                "none runs",
                format!(
                    "kubectl -n {} get pods -l k8s-app=istio-cni-node",
                    observed.system
                ),
            );
        } else if ready == all.len() && ready > 0 {
            checks.good(matter, format!("{ready}, and all say that they are ready"));
        }
    }
}

/// The command that shows the log of `<name>.<namespace>`.
fn logs(pod: &str) -> String {
    match pod.rsplit_once('.') {
        Some((name, namespace)) => format!("kubectl -n {namespace} logs {name}"),
        None => format!("kubectl logs {pod}"),
    }
}

fn ztunnels(observed: &Observed, checks: &mut Checks) {
    const MATTER: &str = "ztunnels";
    let Some(clients) = &observed.clients else {
        checks.error(
            MATTER,
            "nobody could be asked how they stand",
            "see the control plane above",
        );
        return;
    };
    let mut synced = 0;
    for ztunnel in &observed.ztunnels {
        match clients.trouble_of(ztunnel) {
            None => synced += 1,
            Some(why) => {
                checks.error(
                    MATTER,
                    format!("{ztunnel} {why}"),
                    format!("lateen status, or {}", logs(ztunnel)),
                );
            }
        }
    }
    if synced == observed.ztunnels.len() && synced > 0 {
        checks.good(MATTER, format!("{synced}, all in step with the control plane"));
    } else if observed.ztunnels.is_empty() {
        checks.error(
            MATTER,
            "none runs",
            format!("kubectl -n {} get pods -l app=ztunnel", observed.system),
        );
    }
}

const UPGRADE: &str = "lateen upgrade puts it back";

#[cfg(test)]
mod tests;
