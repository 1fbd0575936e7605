//! Whether what runs is what was installed, and works. Pure.
//!
//! # Layout
//! - this file: the judgement. [`compare`]: an object that was rendered, beside the live one. [`live`]: asks a cluster.
//!   [`pods`]: why a pod is not ready.

pub mod compare;
pub mod live;
pub mod pods;

use serde_json::Value;

use crate::check::{Checks, some};
use crate::objects::shown;
use crate::status::Status;

/// What was seen of an installation.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Each object that helm rendered, and the live one.
    pub objects: Vec<(Value, Option<Value>)>,
    /// Pods of the mesh that are not ready, and why.
    pub waiting: Vec<(String, String)>,
    /// The replicas of the control plane, and what is wrong with each.
    pub control_planes: Vec<(String, Option<String>)>,
    /// The ztunnels that run, `<name>.<namespace>`.
    pub ztunnels: Vec<String>,
    /// How the control plane's clients stand; nothing where nobody could be asked.
    pub clients: Option<Status>,
    /// Whether the mesh's root is there for everybody to read.
    pub root: bool,
}

/// Judges.
#[must_use]
pub fn verify(observed: &Observed) -> Checks {
    let mut checks = Checks::default();
    objects(observed, &mut checks);
    workloads(observed, &mut checks);
    control_plane(observed, &mut checks);
    ztunnels(observed, &mut checks);
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
    for (pod, why) in &observed.waiting {
        checks.error(
            MATTER,
            format!("Pod {pod} is not ready: {why}"),
            format!("kubectl logs or describe {pod}"),
        );
    }
}

fn control_plane(observed: &Observed, checks: &mut Checks) {
    const MATTER: &str = "control plane";
    if observed.control_planes.is_empty() {
        checks.error(
            MATTER,
            "no replica runs",
            "kubectl get pods -l app=istiod in its namespace",
        );
    }
    for (pod, wrong) in &observed.control_planes {
        match wrong {
            None => checks.good(MATTER, format!("{pod} serves")),
            Some(why) => checks.error(
                MATTER,
                format!("{pod} does not serve: {why}"),
                "its log says more",
            ),
        }
    }
    if !observed.root {
        checks.error(
            MATTER,
            "ConfigMap istio-ca-root-cert is not in the mesh's namespace",
            "the control plane makes it; its log says why it does not",
        );
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
                    format!("kubectl logs of {ztunnel}, or lateen status"),
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
            "kubectl get pods -l app=ztunnel in the mesh's namespace",
        );
    }
}

const UPGRADE: &str = "lateen upgrade puts it back";

#[cfg(test)]
mod tests;
