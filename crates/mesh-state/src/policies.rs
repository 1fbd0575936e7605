//! The index of policies: by name, and compiled into the groups that apply together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use mesh_model::authz::{PolicyGroup, PolicySet};
use mesh_model::policy::Scope;
use mesh_model::{Authorization, Workload};
use mesh_types::{NamespacedName, Strng};

/// Policies; cheap to clone, so that the next state is made beside the present one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    by_name: BTreeMap<NamespacedName, Arc<Authorization>>,
    groups: HashMap<GroupKey, Arc<PolicyGroup>>,
}

/// The groups. A policy that is listed by a workload is asked for by name whatever its scope; one that also applies by
/// its scope is then asked twice and says the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum GroupKey {
    Global,
    Namespace(Strng),
    Listed(NamespacedName),
}

impl Policies {
    /// The policies after some changes; only groups that these concern are compiled again.
    pub(crate) fn updated(mut self, changes: Vec<(NamespacedName, Option<Arc<Authorization>>)>) -> Self {
        let mut stale = HashSet::new();
        for (name, policy) in changes {
            let previous = match &policy {
                Some(policy) => self.by_name.insert(name.clone(), policy.clone()),
                None => self.by_name.remove(&name),
            };
            if previous != policy {
                stale.extend(previous.iter().chain(&policy).map(|p| GroupKey::of(p)));
            }
        }
        self.compile(stale);
        self
    }

    /// The policies that apply to a workload: the mesh's, its namespace's, and those it lists.
    pub(crate) fn of(&self, workload: &Workload) -> PolicySet {
        let namespace = GroupKey::Namespace(workload.namespace().clone());
        let by_scope = [GroupKey::Global, namespace];
        let mut set = PolicySet {
            groups: by_scope
                .iter()
                .filter_map(|key| self.groups.get(key).cloned())
                .collect(),
            unknown: Vec::new(),
        };
        for name in &workload.authorization_policies {
            match self.by_name.get(name) {
                None => set.unknown.push(name.clone()),
                Some(policy) => set.groups.push(self.listed(policy)),
            }
        }
        set
    }

    pub(crate) fn get(&self, name: &NamespacedName) -> Option<&Arc<Authorization>> {
        self.by_name.get(name)
    }

    /// All policies, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Authorization>> {
        self.by_name.values()
    }

    /// A policy that a workload lists although its scope is another is rare, and compiled when asked for.
    fn listed(&self, policy: &Arc<Authorization>) -> Arc<PolicyGroup> {
        let key = GroupKey::Listed(policy.name.clone());
        self.groups
            .get(&key)
            .cloned()
            .unwrap_or_else(|| Arc::new(PolicyGroup::compile([policy.clone()])))
    }

    fn compile(&mut self, stale: HashSet<GroupKey>) {
        if stale.is_empty() {
            return;
        }
        let mut members: HashMap<GroupKey, Vec<Arc<Authorization>>> =
            stale.into_iter().map(|key| (key, Vec::new())).collect();
        for policy in self.by_name.values() {
            if let Some(group) = members.get_mut(&GroupKey::of(policy)) {
                group.push(policy.clone());
            }
        }
        for (key, policies) in members {
            match policies.is_empty() {
                true => self.groups.remove(&key),
                false => self.groups.insert(key, Arc::new(PolicyGroup::compile(policies))),
            };
        }
    }
}

impl PartialEq for Policies {
    /// The groups follow from the policies.
    fn eq(&self, other: &Self) -> bool {
        self.by_name == other.by_name
    }
}

impl GroupKey {
    fn of(policy: &Authorization) -> Self {
        match policy.scope {
            Scope::Global => Self::Global,
            Scope::Namespace => Self::Namespace(policy.name.namespace.clone()),
            Scope::WorkloadSelector => Self::Listed(policy.name.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
