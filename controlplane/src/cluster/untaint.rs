//! Takes a taint off nodes once the mesh's agent on them is ready (Istio, `PILOT_ENABLE_NODE_UNTAINT_CONTROLLERS`): whoever
//! makes nodes puts it on, so that no pod starts there before it can be enrolled. One replica does it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use futures_util::StreamExt as _;
use mesh_kube::write::Part;
use mesh_kube::{Event, KubeClient, KubeError, News, ObjectName, Resource, Selection, watch};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use crate::args::ServeArgs;
use crate::cluster::duties;
use crate::cluster::listed::Listed;
use crate::cluster::pace::{Pace, Round, Trouble};

/// Which taint waits for which pods.
#[derive(Clone, Debug)]
pub struct Untaint {
    /// The taint's key.
    pub taint: String,
    /// The namespace of the agents' pods.
    pub namespace: String,
    /// What selects them.
    pub agents: String,
}

impl Untaint {
    /// As the command line says.
    #[must_use]
    pub fn of(args: &ServeArgs) -> Self {
        Self {
            taint: args.node_taint.clone(),
            namespace: args.root_namespace.clone(),
            agents: args.node_agents.clone(),
        }
    }
}

/// Takes the taint off, for as long as the duty is ours. Runs for good.
///
/// # Errors
/// Never; the type is the supervisor's.
pub async fn keep(client: KubeClient, untaint: Untaint, mut ours: Receiver<bool>) -> Result<(), Infallible> {
    loop {
        duties::begins(&mut ours).await;
        tokio::select! {
            () = duties::ends(&mut ours) => {}
            () = keep_while_ours(&client, &untaint) => {}
        }
    }
}

async fn keep_while_ours(client: &KubeClient, untaint: &Untaint) {
    let agents = Selection::all(PODS.clone()).in_namespace(&untaint.namespace);
    let mut agents = watch::<Agent>(client, agents.with_labels(&untaint.agents));
    let mut nodes = watch::<Node>(client, Selection::all(NODES.clone()));
    let mut keeper = Keeper {
        client,
        waiting: Waiting::new(&untaint.taint),
        pace: Pace::default(),
        told_away: false,
    };
    let mut round = Round::default();
    loop {
        let at = round.next().unwrap_or_else(Instant::now);
        tokio::select! {
            Some(news) = agents.next() => if let News::Event(event) = news { keeper.waiting.agent(event) },
            Some(news) = nodes.next() => if let News::Event(event) = news { keeper.waiting.node(event) },
            () = sleep_until(at), if round.next().is_some() => {}
        }
        if round.resume.is_none_or(|at| at <= Instant::now()) {
            round = keeper.untaint_all().await;
        }
    }
}

struct Keeper<'a> {
    client: &'a KubeClient,
    waiting: Waiting,
    pace: Pace,
    /// That the API server is away was told.
    told_away: bool,
}

impl Keeper<'_> {
    /// Takes the taint off all nodes that need not wait. A node that refuses keeps no other one waiting.
    async fn untaint_all(&mut self) -> Round {
        let mut round = Round::default();
        for (node, patch) in self.waiting.over() {
            let now = Instant::now();
            if let Some(at) = self.pace.not_before(&node).filter(|at| *at > now) {
                round.wake_at(at);
                continue;
            }
            let name = ObjectName::cluster(&node);
            let patched = self.client.merge_patch(&NODES, &name, Part::Main, &patch);
            let error = match patched.await {
                Ok(()) => {
                    self.told_away = false;
                    let taint = &self.waiting.taint;
                    tracing::info!(node, taint, "its agent is ready: it takes pods");
                    self.done(&node);
                    continue;
                }
                // It is going away.
                Err(KubeError::NotFound(_)) => {
                    self.done(&node);
                    continue;
                }
                // Somebody was quicker: what the node has now is on its way.
                Err(KubeError::Conflict(_)) => {
                    round.wake_at(Instant::now() + AGAIN);
                    continue;
                }
                Err(error) => error,
            };
            let trouble = Trouble::of(&error);
            let is_new = match trouble {
                Trouble::Everywhere => !std::mem::replace(&mut self.told_away, true),
                Trouble::Perhaps | Trouble::Here => self.pace.refused(&node, Instant::now()),
            };
            if is_new {
                let taint = &self.waiting.taint;
                tracing::warn!(
                    "Node {node}: its taint {taint} cannot be taken off, and pods are kept from it: {error}; let the control \
                     plane `patch` nodes, or take it off: kubectl taint node {node} {taint}-"
                );
            }
            if trouble == Trouble::Here {
                round.wake_at(self.pace.not_before(&node).unwrap_or(now + RETRY));
            } else {
                round.resume = Some(Instant::now() + RETRY);
                break;
            }
        }
        round
    }

    fn done(&mut self, node: &str) {
        self.waiting.forget(node);
        self.pace.forget(node);
    }
}

/// Which nodes have the taint, and on which an agent is ready. Pure.
#[derive(Debug)]
struct Waiting {
    taint: String,
    nodes: Listed<Option<Tainted>>,
    /// Where each pod of an agent is, if it is ready.
    agents: Listed<Option<String>>,
}

/// A node that has the taint.
#[derive(Debug)]
struct Tainted {
    version: String,
    /// The others, which stay.
    others: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Agent {
    metadata: Metadata,
    #[serde(default)]
    spec: AgentSpec,
    #[serde(default)]
    status: AgentStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AgentSpec {
    node_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AgentStatus {
    conditions: Vec<PodCondition>,
}

#[derive(Debug, Deserialize)]
struct PodCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Debug, Deserialize)]
struct Node {
    metadata: Metadata,
    #[serde(default)]
    spec: NodeSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    /// As they are: what is not known of them stays with them.
    taints: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    deletion_timestamp: Option<String>,
}

impl Waiting {
    fn new(taint: &str) -> Self {
        Self {
            taint: taint.to_owned(),
            nodes: Listed::default(),
            agents: Listed::default(),
        }
    }

    fn agent(&mut self, event: Event<Agent>) {
        self.agents.take(event, |agent| {
            let leaves = agent.metadata.deletion_timestamp.is_some();
            let mut conditions = agent.status.conditions.iter();
            let is_ready = conditions.any(|c| c.kind == "Ready" && c.status == "True");
            let at = Some(agent.spec.node_name).filter(|_| is_ready && !leaves);
            (agent.metadata.name, at)
        });
    }

    fn node(&mut self, event: Event<Node>) {
        let taint = &self.taint;
        self.nodes.take(event, |node| {
            let all = node.spec.taints.unwrap_or_default();
            let (ours, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|t| t["key"] == taint.as_str());
            let tainted = (!ours.is_empty()).then_some(Tainted {
                version: node.metadata.resource_version,
                others,
            });
            (node.metadata.name, tainted)
        });
    }

    /// What was written: the watch says so a moment later.
    fn forget(&mut self, node: &str) {
        if let Some(known) = self.nodes.known.get_mut(node) {
            *known = None;
        }
    }

    /// Nodes that need not wait any more, and what takes the taint off each: only while the node is as it was seen.
    fn over(&self) -> Vec<(String, Value)> {
        let ready: BTreeSet<&String> = self.agents.known.values().flatten().collect();
        let tainted = self.nodes.known.iter();
        let tainted = tainted.filter_map(|(name, node)| Some((name, node.as_ref()?)));
        let over = tainted.filter(|(name, _)| ready.contains(name));
        over.map(|(name, node)| {
            let patch = json!({
                "metadata": {"resourceVersion": node.version},
                "spec": {"taints": node.others},
            });
            (name.clone(), patch)
        })
        .collect()
    }
}

static PODS: Resource = Resource::namespaced("", "v1", "pods", "Pod");
static NODES: Resource = Resource::cluster_wide("", "v1", "nodes", "Node");
const RETRY: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
