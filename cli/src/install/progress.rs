//! What is told while helm waits, which says nothing itself for minutes: what keeps it, each time that this changes.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use super::standing::Step;
use crate::ask::cluster::Asked;
use crate::check::{counted, some};
use crate::leftovers;
use crate::verify::live;
use crate::verify::pods::Waiting;

/// Looks again and again, and tells what changed. A look that fails says nothing: helm sees the same cluster.
pub async fn follow(cluster: &Asked, step: Step, every: Duration, tell: impl FnMut(&str)) -> Infallible {
    match step {
        Step::Install | Step::Upgrade => {
            let look = async || live::waiting(cluster).await.ok();
            again_and_again(look, news, every, tell).await
        }
        Step::Uninstall => {
            let look = async || leftovers::captured(cluster).await.ok();
            again_and_again(look, left, every, tell).await
        }
    }
}

async fn again_and_again<T>(
    look: impl AsyncFn() -> Option<Vec<T>>,
    news: impl Fn(&[T], &[T]) -> Vec<String>,
    every: Duration,
    mut tell: impl FnMut(&str),
) -> Infallible {
    let mut before = Vec::new();
    loop {
        sleep(every).await;
        let Some(now) = look().await else { continue };
        news(&before, &now).iter().for_each(|line| tell(line));
        before = now;
    }
}

/// Of what is to be ready.
fn news(before: &[Waiting], now: &[Waiting]) -> Vec<String> {
    let mut lines: Vec<String> = now
        .iter()
        .filter(|waiting| !before.contains(waiting))
        .map(|Waiting { object, why }| format!("waiting for {object}: {why}"))
        .collect();
    let more = lines.len().saturating_sub(SHOWN);
    if more > 0 {
        lines.truncate(SHOWN);
        lines.push(format!("and for {more} more"));
    }
    if now.is_empty() && !before.is_empty() {
        lines.push("every pod of the mesh is ready".to_owned());
    }
    lines
}

/// Of pods that are to leave the mesh.
fn left(before: &[(String, String)], now: &[(String, String)]) -> Vec<String> {
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
