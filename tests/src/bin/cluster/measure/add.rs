//! What the plugin adds to ADD, of every pod one by one: the agent says how long it took to answer, and the program's own start and
//! end are timed apart.

use anyhow::{Context, Result, ensure};
use lab::cluster::{Cluster, Kubectl};

/// Durations in milliseconds, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Durations(Vec<f64>);

impl Durations {
    /// How long the agents took for each ADD of a namespace that they granted so far.
    pub(crate) fn of_agents(kubectl: &Kubectl, namespace: &str) -> Result<Self> {
        let logs = [
            "-n",
            "istio-system",
            "logs",
            "-l",
            "k8s-app=istio-cni-node",
            "--tail=-1",
        ];
        let said = kubectl.run(&logs)?;
        let of_namespace = format!("pod={namespace}/");
        let lines = said
            .lines()
            .filter(|line| line.contains(ANSWERED) && line.contains(&of_namespace));
        Self::parse(lines.filter_map(|line| line.split_once("microseconds=")?.1.split_whitespace().next()))
    }

    /// How long the program runs that asks the agent, from its start to its end: it answers for itself here.
    pub(crate) fn of_program(cluster: &Cluster) -> Result<Self> {
        let node = cluster.nodes().first().context("a node")?;
        let printed = node.output("bash", &["-c", PROGRAM])?;
        Self::parse(printed.lines())
    }

    fn parse<'a>(microseconds: impl Iterator<Item = &'a str>) -> Result<Self> {
        let parse = |text: &str| Ok(text.trim().parse::<f64>().with_context(|| text.to_owned())? / 1000.0);
        let mut all = microseconds.map(parse).collect::<Result<Vec<f64>>>()?;
        ensure!(!all.is_empty(), "nothing was measured");
        all.sort_by(f64::total_cmp);
        Ok(Self(all))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest of them that so many of a hundred do not exceed.
    pub(crate) fn percentile(&self, of_hundred: usize) -> f64 {
        let rank = (self.0.len() * of_hundred).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    /// At p50, at p99, the most.
    pub(crate) fn in_short(&self) -> String {
        let [middle, high, most] = [50, 99, 100].map(|percent| self.percentile(percent));
        format!("{middle:.1}, {high:.1}, {most:.1}")
    }
}

const ANSWERED: &str = "a starting pod is answered for";
const PROGRAM: &str = "for i in $(seq 200); do from=$EPOCHREALTIME; \
    CNI_COMMAND=VERSION /opt/cni/bin/istio-cni <<< '{\"cniVersion\":\"1.0.0\"}' >/dev/null; till=$EPOCHREALTIME; \
    echo $(( ${till/./} - ${from/./} )); done";

#[cfg(test)]
mod tests;
