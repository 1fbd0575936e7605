//! Proxies that run, and that no replica of the control plane knows.

use mesh_kube::ObjectName;
use serde_json::{Value, json};

use super::lifetimes::Lifetimes;
use crate::clock::span;

/// A proxy of the cluster that runs, whether it is connected or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its pod.
    pub name: ObjectName,
    /// What it is.
    pub kind: Kind,
    /// The node that it runs on.
    pub node: String,
    /// Since when, in seconds since 1970.
    pub since: i64,
}

/// What a proxy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The proxy of a node.
    Ztunnel,
    /// One of a waypoint's.
    Waypoint,
}

impl Running {
    /// Whether it had the time to find the control plane.
    pub(super) fn had_time(&self, now: i64) -> bool {
        now - self.since >= TO_CONNECT
    }

    /// `<name>.<namespace>`, as connected ones are shown.
    pub(super) fn shown(&self) -> String {
        format!("{}.{}", self.name.name, self.name.namespace)
    }

    /// What is to be said below the table.
    pub(super) fn remark(&self) -> String {
        let ObjectName { namespace, name } = &self.name;
        format!(
            "{} runs, and is not connected to any replica of the control plane: what changes does not reach it, and its \
             certificates are not renewed; kubectl logs -n {namespace} {name} says why",
            self.shown()
        )
    }

    pub(super) fn data(&self, lifetimes: &Lifetimes, now: i64) -> Value {
        json!({
            "name": self.name.name,
            "namespace": self.name.namespace,
            "kind": self.kind.as_str(),
            "node": self.node,
            "runs": span((now - self.since).max(0)),
            "certificates": lifetimes.data(now),
        })
    }
}

impl Kind {
    /// As proxies call themselves.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ztunnel => "ztunnel",
            Self::Waypoint => "waypoint",
        }
    }
}

/// In seconds: it has a certificate first.
const TO_CONNECT: i64 = 10;
