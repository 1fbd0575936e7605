//! Whether NetworkPolicies let a connection's proxies reach each other (Kubernetes, "Network Policies"). A network that carries them
//! out sees tunnels between pods, and no port of an application. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use mesh_kube::ObjectName;
use serde_json::Value;

use crate::analyze::live::network::{Direction, admits, is_port};
use crate::analyze::live::{selects, text};

/// A connection between two proxies, or of one to an application, as the network sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Who dials.
    pub from: End,
    /// Who is dialled.
    pub to: End,
    /// The TCP port that is dialled.
    pub port: u16,
}

/// One of its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Its address, where that is known.
    pub address: Option<IpAddr>,
    /// The Pod, where it is one.
    pub pod: Option<ObjectName>,
}

/// What a cluster has that matters for some flows.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The NetworkPolicies of the namespaces that the ends are in.
    pub policies: Vec<Value>,
    /// The ends that are Pods.
    pub pods: BTreeMap<ObjectName, Value>,
    /// The labels of those namespaces.
    pub namespaces: BTreeMap<String, Value>,
}

impl Network {
    /// What keeps a connection from arriving, if the network carries NetworkPolicies out.
    #[must_use]
    pub fn judge(&self, flows: &[Flow]) -> Vec<String> {
        let kept = flows.iter().flat_map(|flow| {
            let directions = [Direction::Egress, Direction::Ingress].into_iter();
            directions.filter_map(|direction| self.kept(flow, direction))
        });
        kept.collect()
    }

    fn kept(&self, flow: &Flow, direction: Direction) -> Option<String> {
        let (own, other) = match direction {
            Direction::Egress => (&flow.from, &flow.to),
            Direction::Ingress => (&flow.to, &flow.from),
        };
        let name = own.pod.as_ref()?;
        let pod = self.pods.get(name)?;
        // Policies are for networks of pods; what such a pod has is its node's.
        if pod["spec"]["hostNetwork"] == true {
            return None;
        }
        let holding = self.policies.iter().filter(|policy| {
            policy["metadata"]["namespace"] == *name.namespace
                && selects(&policy["spec"]["podSelector"], &pod["metadata"]["labels"])
                && direction.holds(&policy["spec"])
        });
        let holding: Vec<&Value> = holding.collect();
        let passes = holding.iter().any(|policy| {
            let mut rules = direction.rules(&policy["spec"]).iter();
            rules.any(|rule| {
                self.is_for(direction.peers(rule), &name.namespace, other) && self.has_port(rule, flow)
            })
        });
        if holding.is_empty() || passes {
            return None;
        }
        let names = holding.iter().map(|policy| text(&policy["metadata"]["name"]));
        let names = names.collect::<Vec<_>>().join(", ");
        let (namespace, port, other) = (&name.namespace, flow.port, other.shown());
        Some(match direction {
            Direction::Egress => {
                format!(
                    "NetworkPolicy {names} of {namespace}: nothing goes out of {name} to {other} at TCP {port}"
                )
            }
            Direction::Ingress => {
                format!(
                    "NetworkPolicy {names} of {namespace}: nothing from {other} comes into {name} at TCP {port}"
                )
            }
        })
    }

    /// Whether a rule is for this other end.
    fn is_for(&self, peers: &Value, namespace: &str, other: &End) -> bool {
        match peers.as_array().map(Vec::as_slice) {
            None | Some([]) => true,
            Some(peers) => peers.iter().any(|peer| match &peer["ipBlock"] {
                Value::Null => self.is_selected(peer, namespace, other),
                block => is_within(block, other),
            }),
        }
    }

    fn is_selected(&self, peer: &Value, namespace: &str, other: &End) -> bool {
        let Some((name, pod)) = other.pod.as_ref().and_then(|name| self.pods.get_key_value(name)) else {
            return false;
        };
        let in_namespace = match &peer["namespaceSelector"] {
            Value::Null => *name.namespace == *namespace,
            selector => {
                let labels = self.namespaces.get(&*name.namespace);
                labels.is_some_and(|labels| selects(selector, labels))
            }
        };
        // A node's own addresses are no pod's.
        let is_pods = pod["spec"]["hostNetwork"] != true;
        in_namespace && is_pods && selects(&peer["podSelector"], &pod["metadata"]["labels"])
    }

    fn has_port(&self, rule: &Value, flow: &Flow) -> bool {
        admits(rule, |port| match port["port"].as_str() {
            Some(name) => self.is_called(flow, name),
            None => is_port(port, u64::from(flow.port)),
        })
    }

    /// Whether the port that is dialled has this name at the Pod that is dialled.
    fn is_called(&self, flow: &Flow, wanted: &str) -> bool {
        let pod = flow.to.pod.as_ref().and_then(|name| self.pods.get(name));
        let containers = pod.and_then(|pod| pod["spec"]["containers"].as_array());
        let mut ports = containers
            .into_iter()
            .flatten()
            .filter_map(|container| container["ports"].as_array())
            .flatten();
        ports.any(|port| port["name"] == wanted && port["containerPort"] == flow.port)
    }
}

fn is_within(block: &Value, other: &End) -> bool {
    let Some(address) = other.address else {
        return false;
    };
    let holds = |net: &Value| {
        let net = net.as_str().and_then(|net| net.parse::<IpNet>().ok());
        net.is_some_and(|net| net.contains(&address))
    };
    let except = block["except"].as_array();
    holds(&block["cidr"]) && !except.is_some_and(|except| except.iter().any(holds))
}

impl End {
    fn shown(&self) -> String {
        match (&self.pod, self.address) {
            (Some(pod), _) => pod.to_string(),
            (None, Some(address)) => address.to_string(),
            (None, None) => "there".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
