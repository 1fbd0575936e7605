//! Pods that run already and that no plugin told of: what is wanted of them, and the search for their namespaces.

use std::collections::BTreeSet;
use std::time::Duration;

use mesh_register::{Assignment, Membership, Options};
use mesh_types::NamespacedName;

use super::pod::Pod;
use super::{Action, PodKey, Record, State};
use crate::roster::Instance;
use crate::search::Sought;

/// What is wanted of a pod.
#[derive(Debug)]
pub(super) struct Wanted {
    assignment: Assignment,
    /// Which pod of this name, where that is told.
    instance: Option<Instance>,
}

/// The search for pods that run: one at a time.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// Who is being looked for.
    under_way: Option<BTreeSet<PodKey>>,
    /// Who was not found: they are not looked for again before a while is over. Nobody else waits for them.
    missing: BTreeSet<PodKey>,
    /// The mesh leaves this node.
    leaving: bool,
}

impl Wanted {
    /// What is wanted of the pod of this record; nothing when another pod of its name is meant, before or after it.
    pub(super) fn of(&self, record: &Record) -> Option<&Assignment> {
        let meant = self.instance.as_ref().map(|instance| instance.uid.as_str());
        match (meant, record.uid()) {
            (Some(meant), Some(uid)) if meant != uid => None,
            _ => Some(&self.assignment),
        }
    }

    fn is_member(&self) -> bool {
        self.assignment.membership == Membership::Member
    }
}

impl Search {
    pub(super) fn rested(&mut self) {
        self.missing.clear();
    }
}

impl State {
    pub(super) fn want(
        &mut self,
        mut assignment: Assignment,
        instance: Option<Instance>,
        actions: &mut Vec<Action>,
    ) {
        self.control_plane.connected = true;
        if self.search.leaving {
            assignment.membership = Membership::Outside;
        }
        let name = assignment.workload.clone();
        let mut drifted = Vec::new();
        for pod in self.pods.values_mut().filter(|pod| pod.record.pod == name) {
            pod.try_now();
            if assignment.membership == Membership::Member {
                pod.stays();
            }
            if instance.as_ref().is_some_and(|instance| pod.announced(instance)) {
                drifted.push(pod.record.key.clone());
            }
        }
        for key in drifted {
            self.drifted(&key, actions);
        }
        self.wanted.insert(name, Wanted { assignment, instance });
    }

    /// From now on no pod belongs to the mesh.
    pub(super) fn leave(&mut self) {
        self.search.leaving = true;
        for wanted in self.wanted.values_mut() {
            wanted.assignment.membership = Membership::Outside;
        }
        for pod in self.pods.values_mut() {
            pod.try_now();
            pod.hurry();
            let (name, enrolment) = (&pod.record.pod, &pod.record.enrolment);
            let Some(enrolment) = enrolment else { continue };
            let assignment = || Assignment {
                workload: name.clone(),
                service_account: enrolment.role.service_account.as_str().into(),
                membership: Membership::Outside,
                options: Options::default(),
            };
            self.wanted.entry(name.clone()).or_insert_with(|| Wanted {
                assignment: assignment(),
                instance: None,
            });
        }
    }

    /// Whether no pod has anything of the mesh any more.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.pods.values().all(|pod| pod.record.enrolment.is_none())
    }

    /// Whether every pod that is to be in the mesh, or says that it is, was looked for once.
    #[must_use]
    pub fn is_surveyed(&self) -> bool {
        self.control_plane.told_everything && self.search.under_way.is_none()
    }

    /// Looks for the pods that are to be in the mesh, or say that they are, and are not known.
    pub(super) fn proceed_search(&mut self, actions: &mut Vec<Action>) {
        if self.search.under_way.is_some() {
            return;
        }
        let wanted = self.wanted.iter();
        let mut sought: Vec<_> = wanted
            .filter_map(|(name, wanted)| self.sought(name, wanted))
            .collect();
        sought.retain(|pod| !self.search.missing.contains(&pod.key));
        if !sought.is_empty() {
            let keys = sought.iter().map(|pod| pod.key.clone());
            self.search.under_way = Some(keys.collect());
            actions.push(Action::Search(sought));
        }
    }

    fn sought(&self, name: &NamespacedName, wanted: &Wanted) -> Option<Sought> {
        let instance = wanted.instance.as_ref()?;
        let concerned = wanted.is_member() || instance.redirection.is_some();
        // Without addresses its network is not there yet: its ADD is still to come.
        if !concerned || instance.ips.is_empty() {
            return None;
        }
        let key = PodKey(instance.uid.clone());
        let known = self.pods.contains_key(&key)
            || self
                .pods
                .values()
                .any(|pod| pod.record.pod == *name && pod.record.uid().is_none());
        (!known).then(|| Sought {
            key,
            pod: name.clone(),
            ips: instance.ips.clone(),
        })
    }

    pub(super) fn searched(&mut self, found: Vec<Record>, actions: &mut Vec<Action>) {
        let mut missing = self.search.under_way.take().unwrap_or_default();
        for record in found {
            missing.remove(&record.key);
            let Some(wanted) = self.wanted.get(&record.pod) else {
                continue;
            };
            if self
                .sought(&record.pod, wanted)
                .is_none_or(|sought| sought.key != record.key)
            {
                continue;
            }
            let marked = wanted
                .instance
                .as_ref()
                .is_some_and(|instance| instance.redirection.is_some());
            let pod = Pod::found(record.clone(), marked, &wanted.assignment);
            for other in self.pods.values_mut() {
                // The runtime gives an address to one sandbox at a time.
                if other.record.ips.iter().any(|ip| record.ips.contains(ip)) {
                    other.gone();
                }
            }
            self.pods.insert(record.key, pod);
            actions.push(Action::Persist);
        }
        if !missing.is_empty() {
            if self.search.missing.is_empty() {
                actions.push(Action::RetrySearchAfter(SEARCH_RETRY));
            }
            self.search.missing.append(&mut missing);
        }
    }
}

/// A pod that is not found is about to end, or has just begun.
const SEARCH_RETRY: Duration = Duration::from_secs(1);
