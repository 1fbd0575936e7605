//! Which instance each pod is, as the cluster's objects say it: whoever shows a token of a pod has to be that one.

use std::collections::HashMap;
use std::sync::Arc;

use controlplane_ca::token::TokenSubject;
use controlplane_k8s_api::{Kind, Object};
use mesh_types::{NamespacedName, Strng};
use parking_lot::RwLock;

use crate::config::files::FileChange;

/// The pods that an API server gave a uid, as the control loop last pinned them up.
#[derive(Clone, Debug, Default)]
pub struct PodBoard(Arc<RwLock<HashMap<NamespacedName, Instance>>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Instance {
    uid: Strng,
    node: Strng,
    account: Strng,
}

impl PodBoard {
    /// Pins up changes. A pod that ended speaks for nobody.
    pub fn update(&self, changes: &[FileChange]) {
        let mut pods = None;
        for change in changes {
            let (key, instance) = match change {
                FileChange::Set(key, object) => match &object.value {
                    Object::Pod(pod) => (key, Some(pod).filter(|pod| !pod.is_terminal())),
                    _ => continue,
                },
                FileChange::Removed(key) if key.kind == Kind::Pod => (key, None),
                FileChange::Removed(_) => continue,
            };
            let instance = instance.and_then(|pod| {
                Some(Instance {
                    uid: pod.metadata.uid.clone()?,
                    node: pod.spec.node_name.clone(),
                    account: pod.spec.service_account_name.0.clone(),
                })
            });
            let pods = pods.get_or_insert_with(|| self.0.write());
            let name = NamespacedName::new(key.namespace.clone(), key.name.clone());
            match instance {
                Some(instance) => drop(pods.insert(name, instance)),
                None => drop(pods.remove(&name)),
            }
        }
    }

    /// Whether this pod is known, and has not ended.
    #[must_use]
    pub fn runs(&self, name: &NamespacedName, uid: &str) -> bool {
        let pods = self.0.read();
        pods.get(name).is_some_and(|instance| *instance.uid == *uid)
    }

    /// Whether the pod that a token is bound to is there, and still that pod: of that uid and account, on that node.
    /// Nothing where no pod of this name is known to have a uid.
    #[must_use]
    pub fn is_current(&self, subject: &TokenSubject) -> Option<bool> {
        let pod = subject.pod.as_ref()?;
        let name = NamespacedName::new(subject.account.namespace.as_str(), pod.name.as_str());
        let pods = self.0.read();
        let instance = pods.get(&name)?;
        Some(
            *instance.uid == *pod.uid
                && *instance.node == *subject.node
                && *instance.account == *subject.account.name,
        )
    }
}

#[cfg(test)]
mod tests;
