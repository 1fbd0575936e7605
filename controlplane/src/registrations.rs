//! What is registered, for those who only look: the certificate authority, the debug pages, the metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use controlplane_ca::node_authorizer::NodeWorkloads;
use controlplane_ca::token::TokenSubject;
use mesh_register::Place;
use mesh_register::server::Assignments;
use mesh_types::NamespacedName;
use parking_lot::RwLock;

use crate::leases::{LeaseChange, Record};
use crate::pods::PodBoard;

/// The registrations, as the control loop last pinned them up.
#[derive(Clone, Debug, Default)]
pub struct RegistrationBoard(Arc<RwLock<BTreeMap<NamespacedName, Record>>>);

/// What runs where: the manifests say what belongs on a node, the registrations which instance it is.
#[derive(Clone, Debug)]
pub struct NodeView {
    assignments: Assignments,
    registrations: RegistrationBoard,
    pods: PodBoard,
}

impl RegistrationBoard {
    /// Pins up changes.
    pub fn update(&self, changes: &[LeaseChange]) {
        if changes.is_empty() {
            return;
        }
        let mut records = self.0.write();
        for change in changes {
            match change {
                LeaseChange::Set(record) => {
                    records.insert(record.report.workload.clone(), record.clone());
                }
                LeaseChange::Removed(workload) => {
                    records.remove(workload);
                }
            }
        }
    }

    /// Everything, by workload.
    #[must_use]
    pub fn all(&self) -> Vec<Record> {
        self.0.read().values().cloned().collect()
    }

    /// How many are live, and how many are not.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let records = self.0.read();
        let live = records.values().filter(|r| r.live).count();
        (live, records.len() - live)
    }

    /// The uid of the instance that a place reported.
    fn uid(&self, place: &Place, workload: &NamespacedName) -> Option<String> {
        let records = self.0.read();
        let record = records.get(workload).filter(|r| r.place == *place)?;
        Some(record.report.uid.clone())
    }
}

impl NodeView {
    /// A view of all.
    #[must_use]
    pub fn new(assignments: Assignments, registrations: RegistrationBoard, pods: PodBoard) -> Self {
        Self {
            assignments,
            registrations,
            pods,
        }
    }
}

impl NodeWorkloads for NodeView {
    fn runs(&self, node: &str, namespace: &str, service_account: &str) -> bool {
        self.assignments.on(&Place::new(node)).iter().any(|a| {
            a.workload.namespace.as_str() == namespace && a.service_account.as_str() == service_account
        })
    }

    fn identities(&self, node: &str) -> usize {
        let assigned = self.assignments.on(&Place::new(node));
        let identities: BTreeSet<_> = assigned
            .iter()
            .map(|a| (a.workload.namespace.as_str(), a.service_account.as_str()))
            .collect();
        identities.len()
    }

    /// The uid is compared where the cluster or the node's agent told one.
    fn is_current(&self, caller: &TokenSubject) -> bool {
        let Some(pod) = &caller.pod else { return true };
        if let Some(current) = self.pods.is_current(caller) {
            return current;
        }
        let place = Place::new(caller.node.as_str());
        let name = NamespacedName::new(caller.account.namespace.as_str(), pod.name.as_str());
        let assigned = self.assignments.on(&place);
        let belongs = assigned
            .iter()
            .any(|a| a.workload == name && a.service_account.as_str() == caller.account.name);
        belongs
            && self
                .registrations
                .uid(&place, &name)
                .is_none_or(|uid| uid == pod.uid)
    }
}
