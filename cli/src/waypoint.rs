//! Waypoints: making, listing and deleting the Gateways that ask for them, and binding namespaces to them.
//!
//! # Layout
//! - this file: what the objects look like, and what is said of those that are there; pure.
//! - [`apply`]: carries it out. [`classes`]: whose Gateways are waypoints. [`inspect`]: how they stand, and what they carry out (pure).
//! - [`elsewhere`]: those of a control plane outside of a cluster. [`run`]: the commands.

pub mod apply;
pub mod classes;
pub mod elsewhere;
pub mod inspect;
pub mod run;

use clap::ValueEnum;
use mesh_kube::ObjectName;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::output::{Table, View};
use crate::validate::or_dash;

/// Whose traffic a waypoint takes (`istio.io/waypoint-for`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Traffic {
    /// That to services.
    #[default]
    Service,
    /// That to workloads by their own addresses.
    Workload,
    /// Both.
    All,
    /// None; for trials.
    None,
}

/// A waypoint that is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its namespace; where none is named, the place that it is applied to decides.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Whose traffic it takes; where nothing is said, its class decides.
    pub traffic: Option<Traffic>,
    /// The revision of the control plane that serves it.
    pub revision: Option<String>,
}

/// A Gateway that asks for a waypoint, as the cluster has it.
#[derive(Clone, Debug, Deserialize)]
pub struct Found {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Deserialize)]
struct Metadata {
    name: String,
    namespace: String,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    gateway_class_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

impl Traffic {
    fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Workload => "workload",
            Self::All => "all",
            Self::None => "none",
        }
    }
}

impl Wanted {
    /// The Gateway, ready to be applied.
    #[must_use]
    pub fn gateway(&self) -> Value {
        let mut metadata = json!({ "name": self.name });
        if let Some(namespace) = &self.namespace {
            metadata["namespace"] = namespace.as_str().into();
        }
        if let Some(traffic) = self.traffic {
            metadata["labels"][TRAFFIC] = traffic.as_str().into();
        }
        if let Some(revision) = &self.revision {
            metadata["labels"]["istio.io/rev"] = revision.as_str().into();
        }
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": metadata,
            "spec": {
                "gatewayClassName": CLASS,
                "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}],
            },
        })
    }

    /// The Gateway as text.
    #[must_use]
    pub fn view(&self) -> View {
        let mut table = Table::new(["GATEWAY"]);
        table.row([self.name.clone()]);
        View {
            table,
            data: self.gateway(),
        }
    }
}

impl Found {
    /// Its class.
    #[must_use]
    pub fn class(&self) -> &str {
        &self.spec.gateway_class_name
    }

    /// Whether the waypoint takes traffic.
    #[must_use]
    pub fn is_programmed(&self) -> bool {
        self.programmed()
            .is_some_and(|condition| condition.status == "True")
    }

    /// Why it does not, one line.
    #[must_use]
    pub fn why(&self) -> String {
        match self.programmed() {
            Some(condition) => format!("{}: {}", condition.reason, condition.message),
            None => "no control plane has looked at it yet; does one of its revision run?".to_owned(),
        }
    }

    /// Which one it is.
    #[must_use]
    pub fn name(&self) -> ObjectName {
        ObjectName::new(&self.metadata.namespace, &self.metadata.name)
    }

    fn programmed(&self) -> Option<&Condition> {
        self.status
            .conditions
            .iter()
            .find(|condition| condition.kind == "Programmed")
    }
}

/// Waypoints, for people and programs.
#[must_use]
pub fn view(found: &[Found]) -> View {
    let mut table =
        Table::new(["NAMESPACE", "NAME", "REVISION", "TRAFFIC", "PROGRAMMED"]).or("there is no waypoint");
    for waypoint in found {
        let label = |key| waypoint.metadata.labels.get(key).map_or("", String::as_str);
        let programmed = waypoint.programmed();
        table.row([
            waypoint.metadata.namespace.clone(),
            waypoint.metadata.name.clone(),
            match label("istio.io/rev") {
                "" => "default".to_owned(),
                revision => revision.to_owned(),
            },
            match label(TRAFFIC) {
                "" => Traffic::default().as_str().to_owned(),
                traffic => traffic.to_owned(),
            },
            or_dash(programmed.map_or("", |condition| &condition.status)),
        ]);
        if !waypoint.is_programmed() {
            let Metadata { namespace, name, .. } = &waypoint.metadata;
            table.foot(format!("{namespace}/{name}: {}", waypoint.why()));
        }
    }
    let data = found.iter().map(|waypoint| {
        json!({
            "namespace": waypoint.metadata.namespace,
            "name": waypoint.metadata.name,
            "class": waypoint.spec.gateway_class_name,
            "labels": waypoint.metadata.labels,
            "programmed": waypoint.is_programmed(),
        })
    });
    View {
        table,
        data: data.collect(),
    }
}

/// Upstream's class, which our control plane serves as well.
const CLASS: &str = "istio-waypoint";
const TRAFFIC: &str = "istio.io/waypoint-for";

#[cfg(test)]
mod tests;
