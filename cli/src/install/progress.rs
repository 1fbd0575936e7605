//! What is told while helm waits, which says nothing itself for minutes: what keeps it, each time that this changes.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use super::standing::Step;
use crate::ask::cluster::Asked;
use crate::check::{counted, some};
use crate::leftovers;
use crate::verify::live;

/// Looks again and again, and tells what changed. A look that fails says nothing: helm sees the same cluster.
pub async fn follow(cluster: &Asked, step: Step, every: Duration, mut tell: impl FnMut(&str)) -> Infallible {
    let mut before = Vec::new();
    loop {
        sleep(every).await;
        let now = match step {
            Step::Install | Step::Upgrade => live::waiting(cluster).await,
            Step::Uninstall => leftovers::captured(cluster).await,
        };
        let Ok(now) = now else { continue };
        let lines = match step {
            Step::Install | Step::Upgrade => news(&before, &now),
            Step::Uninstall => left(&before, &now),
        };
        lines.iter().for_each(|line| tell(line));
        before = now;
    }
}

/// A pod, and why it is waited for.
type Waited = (String, String);

/// Of pods that are to be ready.
fn news(before: &[Waited], now: &[Waited]) -> Vec<String> {
    let mut lines: Vec<String> = now
        .iter()
        .filter(|pod| !before.contains(pod))
        .map(|(pod, why)| format!("waiting for Pod {pod}: {why}"))
        .collect();
    let more = lines.len().saturating_sub(SHOWN);
    if more > 0 {
        lines.truncate(SHOWN);
        lines.push(format!("and for {}", counted(more, "more pod")));
    }
    if now.is_empty() && !before.is_empty() {
        lines.push("every pod of the mesh is ready".to_owned());
    }
    lines
}

/// Of pods that are to leave the mesh.
fn left(before: &[Waited], now: &[Waited]) -> Vec<String> {
    if before == now {
        return Vec::new();
    }
    let names: Vec<&String> = now.iter().map(|(pod, _)| pod).collect();
    vec![match names.as_slice() {
        [] => "no pod is in the mesh any more".to_owned(),
        names => format!(
            "{} still in the mesh: {}",
            counted(names.len(), "pod"),
            some(names)
        ),
    }]
}

const SHOWN: usize = 5;

#[cfg(test)]
mod tests;
