//! How long sandboxes take to be made, by the kubelets' account; the CNI plugins' ADD is a part of it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::cluster::{Cluster, Kubectl};

/// How many were made so far, and how long that took in all, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sandboxes {
    count: f64,
    seconds: f64,
}

impl Sandboxes {
    pub(crate) fn now(cluster: &Cluster, kubectl: &Kubectl) -> Result<Self> {
        let mut all = Self::default();
        for node in cluster.nodes() {
            let page = format!("/api/v1/nodes/{}/proxy/metrics", node.name());
            let of_node = of(&kubectl.run(&["get", "--raw", &page])?)?;
            all.count += of_node.count;
            all.seconds += of_node.seconds;
        }
        Ok(all)
    }

    /// How long one took, of those that were made since.
    pub(crate) fn each_since(self, before: Self) -> Result<Duration> {
        let count = self.count - before.count;
        ensure!(count > 0.0, "no sandbox was made");
        Ok(Duration::from_secs_f64(
            (self.seconds - before.seconds).max(0.0) / count,
        ))
    }
}

fn of(page: &str) -> Result<Sandboxes> {
    let value = |name: &str| {
        let line = page.lines().find(|line| line.starts_with(name))?;
        line.rsplit_once(' ')?.1.parse::<f64>().ok()
    };
    Ok(Sandboxes {
        count: value(COUNT).context(COUNT)?,
        seconds: value(SECONDS).context(SECONDS)?,
    })
}

const COUNT: &str = r#"kubelet_runtime_operations_duration_seconds_count{operation_type="run_podsandbox"}"#;
const SECONDS: &str = r#"kubelet_runtime_operations_duration_seconds_sum{operation_type="run_podsandbox"}"#;

#[cfg(test)]
mod tests;
