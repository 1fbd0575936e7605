//! NetworkPolicies that keep the mesh's tunnels from its pods. Policies add up: what any of those that select a pod lets
//! through passes (Kubernetes, "Network Policies").

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Code, Said, is_captured, selects, text};

/// Which way it goes, as the pod sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    Ingress,
    Egress,
}

/// The pods that the same policies keep apart from the mesh: the first one's name, and how many there are.
type Kept = (String, usize);

/// Judges.
pub(super) fn judge(policies: &[Value], pods: &[Value]) -> Vec<Said> {
    let mut kept: BTreeMap<(Direction, Vec<String>), Kept> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| is_captured(pod)) {
        let metadata = &pod["metadata"];
        let selecting = policies.iter().filter(|policy| {
            policy["metadata"]["namespace"] == metadata["namespace"]
                && selects(&policy["spec"]["podSelector"], &metadata["labels"])
        });
        let selecting: Vec<&Value> = selecting.collect();
        for direction in [Direction::Ingress, Direction::Egress] {
            let holding = selecting.iter().filter(|policy| direction.holds(&policy["spec"]));
            let holding: Vec<&&Value> = holding.collect();
            if direction.is_blocked(&holding) {
                let names = holding.iter().map(|policy| name(policy));
                let seen = kept.entry((direction, names.collect()));
                let (_, count) = seen.or_insert_with(|| (text(&metadata["name"]).to_owned(), 0));
                *count += 1;
            }
        }
    }
    let said = kept
        .iter()
        .map(|((direction, names), kept)| direction.said(names, kept));
    said.collect()
}

impl Direction {
    /// Whether a policy says anything of this direction: `policyTypes`, else what comes in, and what goes out where there is
    /// a list of it.
    pub(crate) fn holds(self, spec: &Value) -> bool {
        match (spec["policyTypes"].as_array(), self) {
            (Some(types), Self::Ingress) => types.iter().any(|kind| kind == "Ingress"),
            (Some(types), Self::Egress) => types.iter().any(|kind| kind == "Egress"),
            (None, Self::Ingress) => true,
            (None, Self::Egress) => spec["egress"].is_array(),
        }
    }

    /// Whether all that hold for a pod together keep tunnels away. Where nothing at all may come from pods, or go out to them, the
    /// mesh is not what is kept from it.
    fn is_blocked(self, holding: &[&&Value]) -> bool {
        let rules = || holding.iter().flat_map(|policy| self.rules(&policy["spec"]));
        let passes = rules().any(|rule| admits(rule, |port| is_port(port, TUNNELS)));
        let is_meant = |rule: &Value| {
            is_of_pods(self.peers(rule))
                && match self {
                    Self::Ingress => admits(rule, |_| true),
                    Self::Egress => admits(rule, |port| !is_port(port, DNS)),
                }
        };
        !passes && rules().any(is_meant)
    }

    /// What a policy lets through.
    pub(crate) fn rules(self, spec: &Value) -> &[Value] {
        let list = match self {
            Self::Ingress => &spec["ingress"],
            Self::Egress => &spec["egress"],
        };
        list.as_array().map_or(&[], Vec::as_slice)
    }

    /// For whom a rule is.
    pub(crate) fn peers(self, rule: &Value) -> &Value {
        match self {
            Self::Ingress => &rule["from"],
            Self::Egress => &rule["to"],
        }
    }

    fn said(self, names: &[String], (pod, count): &Kept) -> Said {
        let (first, others) = names
            .split_first()
            .map_or(("", &[][..]), |(a, b)| (a.as_str(), b));
        let with = match others {
            [] => String::new(),
            others => format!("together with {} ", others.join(", ")),
        };
        let pods = match count {
            1 => format!("pod {pod} of the mesh"),
            count => format!("{count} pods of the mesh, such as {pod},"),
        };
        let text = match self {
            Self::Ingress => format!(
                "it selects {with}{pods} and lets pods in, but not at port 15008, where the mesh's tunnels end; add an ingress \
                 rule for TCP 15008"
            ),
            Self::Egress => format!(
                "it selects {with}{pods} and lets it out to ports of pods, but not to 15008, through which the mesh sends all \
                 of it; add an egress rule for TCP 15008"
            ),
        };
        let object = format!("NetworkPolicy {first}");
        (Code::NetworkPolicyBlocksTunnels, object, text)
    }
}

/// Whether a rule lets a TCP port through that is asked for; a rule without ports lets all.
pub(crate) fn admits(rule: &Value, asked: impl Fn(&Value) -> bool) -> bool {
    match rule["ports"].as_array().map(Vec::as_slice) {
        None | Some([]) => true,
        Some(ports) => ports.iter().any(|port| {
            let protocol = port["protocol"].as_str();
            protocol.is_none_or(|protocol| protocol == "TCP") && asked(port)
        }),
    }
}

/// Whether a rule's port, or its range, is or has this one.
pub(crate) fn is_port(port: &Value, wanted: u64) -> bool {
    let from = port["port"].as_u64();
    let to = port["endPort"].as_u64().or(from);
    let within = from.is_none_or(|from| from <= wanted && to.is_some_and(|to| wanted <= to));
    // A name is that of a container's port, and no container has these.
    within && !port["port"].is_string()
}

/// Whether a rule's peers are pods: no list of them, and selectors. Addresses are mostly those of others.
fn is_of_pods(peers: &Value) -> bool {
    let is_pods = |peer: &Value| peer["podSelector"].is_object() || peer["namespaceSelector"].is_object();
    match peers.as_array().map(Vec::as_slice) {
        None | Some([]) => true,
        Some(peers) => peers.iter().any(is_pods),
    }
}

fn name(policy: &Value) -> String {
    let metadata = &policy["metadata"];
    format!("{}/{}", text(&metadata["namespace"]), text(&metadata["name"]))
}

/// HBONE.
const TUNNELS: u64 = 15008;
const DNS: u64 = 53;

#[cfg(test)]
mod tests;
