//! Pods that run already: finding them, what of theirs is older than their rules, and letting go of all of them.

use std::collections::BTreeMap;

use mesh_net::Netns;
use tokio::task::spawn_blocking;

use super::{Held, Operations, World};
use crate::enroll::Record;
use crate::older;
use crate::search::{self, Sought};
use crate::sockets::Connection;

impl Operations {
    /// Looks for pods that run, and holds the namespaces of those that it finds.
    pub fn search(&self, sought: Vec<Sought>) -> impl Future<Output = Vec<Record>> + Send + use<> {
        let world = self.world.clone();
        async move {
            let places = world.places.clone();
            let searched = spawn_blocking(move || search::search(&places, &sought)).await;
            let findings = match searched {
                Ok(Ok(findings)) => findings,
                Ok(Err(error)) => {
                    tracing::error!(%error, "pods that run cannot be looked for");
                    return Vec::new();
                }
                Err(error) => {
                    tracing::error!(%error, "the search for pods that run has failed");
                    return Vec::new();
                }
            };
            for (key, why) in &findings.missing {
                tracing::warn!(pod = %key.0, why, "a pod that is to be in the mesh is not found; it is looked for again");
            }
            let mut records = Vec::new();
            let mut held = world.held.lock();
            for (record, netns) in findings.found {
                held.namespaces.entry(record.key.clone()).or_insert(netns);
                records.push(record);
            }
            records
        }
    }

    /// The connections of each pod that were open before its rules and still are.
    #[must_use]
    pub fn older(&self) -> BTreeMap<String, Vec<Connection>> {
        let mut held = self.world.held.lock();
        let Held {
            namespaces, older, ..
        } = &mut *held;
        for (key, connections) in older
            .iter_mut()
            .filter(|(_, connections)| !connections.is_empty())
        {
            if let Some(Ok(open)) = namespaces.get(key).map(older::open) {
                connections.retain(|connection| open.binary_search(connection).is_ok());
            }
        }
        let some = older.iter().filter(|(_, connections)| !connections.is_empty());
        some.map(|(key, connections)| (key.0.clone(), connections.clone()))
            .collect()
    }

    /// Takes every rule away without asking anybody: nobody of the mesh stays on this node.
    pub async fn abandon(&self, records: &[Record]) {
        let world = &self.world;
        for record in records.iter().filter(|record| record.enrolment.is_some()) {
            if let Ok(netns) = world.namespace(record)
                && let Err(error) = world.kernel.clear_pod(&netns).await
            {
                tracing::error!(pod = %record.pod, %error, "the rules of a pod cannot be removed");
            }
        }
        if let Err(error) = world.node.leave().await {
            tracing::error!(%error, "the node's probe rules cannot be removed");
        }
    }
}

impl World {
    /// What was open before the rules goes on past ztunnel until it ends.
    pub(super) fn note_older(&self, record: &Record, netns: &Netns) {
        match older::open(netns) {
            Ok(mut connections) => {
                // It was on its way out: what was open then is ztunnel's, or known.
                if let Some(open) = self.held.lock().released.remove(&record.key) {
                    connections
                        .retain(|connection| !open.contains(connection) || record.older.contains(connection));
                }
                if !connections.is_empty() {
                    tracing::warn!(
                        pod = %record.pod,
                        connections = connections.len(),
                        "connections of before the pod's enrolment are outside the mesh until they end; /connections lists them"
                    );
                }
                let mut held = self.held.lock();
                held.older.insert(record.key.clone(), connections.clone());
                held.found_older.push((record.key.clone(), connections));
            }
            Err(error) => {
                tracing::warn!(pod = %record.pod, %error, "which connections are older than the pod's enrolment is unknown");
            }
        }
    }
}
