//! Connections that are older than their pod's enrolment: no rule took them, so they run outside the mesh until they end, and
//! ztunnel knows nothing of them. The node agent does (`/connections`). Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Filter, PodInfo};
use crate::output::Table;

/// What the node agent says.
#[derive(Clone, Debug, Default)]
pub struct Older {
    pods: BTreeMap<String, Vec<Connection>>,
    /// Why nothing is known.
    unknown: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Connection {
    local: String,
    remote: String,
}

impl Older {
    /// Reads the page: connections by their pod's uid, as the runtime and so ztunnel know it.
    ///
    /// # Errors
    /// Fails when it is another one.
    pub fn read(page: &Value) -> Result<Self, serde_json::Error> {
        Ok(Self {
            pods: BTreeMap::deserialize(page)?,
            unknown: None,
        })
    }

    /// Nobody could be asked.
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        Self {
            unknown: Some(why.to_owned()),
            ..Self::default()
        }
    }

    /// Adds a row for each, and a line where some are there or nothing is known. `names` has the pods that ztunnel knows.
    pub(super) fn rows(&self, table: &mut Table, filter: &Filter, names: &BTreeMap<String, PodInfo>) {
        let mut are_there = false;
        for (uid, connections) in &self.pods {
            let workload = match names.get(uid) {
                Some(pod) if filter.takes(&pod.namespace, &pod.name) => {
                    format!("{}.{}", pod.name, pod.namespace)
                }
                // The proxy has let go of it, or does not have it yet.
                None if filter.is_empty() => uid.clone(),
                _ => continue,
            };
            for connection in connections {
                are_there = true;
                table.row([
                    workload.clone(),
                    OUTSIDE.to_owned(),
                    connection.local.clone(),
                    connection.remote.clone(),
                    "-".to_owned(),
                ]);
            }
        }
        if are_there {
            table.foot(
                "outside the mesh: older than the pod's enrolment, in the clear and past every policy until it ends; a restart \
                 of the pod ends it",
            );
        }
        if let Some(why) = &self.unknown {
            table.foot(format!(
                "connections that are older than their pod's enrolment are not known: {why}"
            ));
        }
    }

    /// Adds them to those pods of the node that were chosen, and those of pods that ztunnel does not know where all were.
    pub(super) fn add_to(&self, chosen: &mut Value, filter: &Filter, names: &BTreeMap<String, PodInfo>) {
        let Value::Object(chosen) = chosen else { return };
        for (uid, connections) in &self.pods {
            let all = connections
                .iter()
                .map(|connection| json!({"local": connection.local, "remote": connection.remote}));
            let all: Vec<Value> = all.collect();
            match chosen.get_mut(uid) {
                Some(pod) => pod[FIELD] = all.into(),
                None if filter.is_empty() && !names.contains_key(uid) => {
                    chosen.insert(uid.clone(), json!({ FIELD: all }));
                }
                None => {}
            }
        }
    }
}

const OUTSIDE: &str = "Outside the mesh";
const FIELD: &str = "olderThanEnrolment";

#[cfg(test)]
mod tests;
