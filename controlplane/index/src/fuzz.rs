//! The fuzz target: objects of any text in, resources out that a proxy takes.

use controlplane_k8s_api::Located;
use mesh_model::l7::{Backend, Bind, EndpointLabels, Policy, Quota, Route};
use mesh_model::{Address, Authorization};

use crate::{Index, MeshConfig, ObjectChange};

/// Derives from any text. Every resource must survive the wire as it is: what our own proxy refuses is our fault.
///
/// # Panics
/// Panics when a resource does not.
pub fn fuzz(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let objects = controlplane_k8s_api::parse(text)
        .into_iter()
        .filter_map(Result::ok);
    let mut index = Index::new(MeshConfig::default());
    index.apply(objects.map(|Located { value, .. }| ObjectChange::Set(value)));
    let changes = index.take_changes();
    for change in changes.addresses {
        let body = change.value.expect("nothing was there to be removed");
        let decoded = Address::decode(&change.name, body.clone());
        assert_eq!(decoded.map(|d| d.encode()), Ok(body));
    }
    for change in changes.authorizations {
        let policy = change.value.expect("nothing was there to be removed");
        assert_eq!(
            Authorization::decode(&change.name, policy.encode()).as_ref(),
            Ok(&policy)
        );
    }
    for change in changes.l7.binds {
        let bind = change.value.expect("nothing was there to be removed").value;
        let decoded = Bind::decode(&change.name, bind.encode());
        assert_eq!(decoded.map(|d| d.encode()), Ok(bind.encode()));
    }
    for change in changes.l7.routes {
        let route = change.value.expect("nothing was there to be removed").value;
        // Times beyond what the wire can say are shortened there.
        let decoded = Route::decode(&change.name, route.encode());
        assert_eq!(decoded.map(|d| d.encode()), Ok(route.encode()), "{route:?}");
    }
    for change in changes.l7.policies {
        let policy = change.value.expect("nothing was there to be removed").value;
        // Times beyond what the wire can say are shortened there.
        let decoded = Policy::decode(&change.name, policy.encode());
        assert_eq!(decoded.map(|d| d.encode()), Ok(policy.encode()), "{policy:?}");
    }
    for change in changes.l7.endpoint_labels {
        let labels = change.value.expect("nothing was there to be removed").value;
        assert_eq!(
            EndpointLabels::decode(&change.name, labels.encode()).as_ref(),
            Ok(&labels)
        );
    }
    for change in changes.l7.backends {
        let backend = change.value.expect("nothing was there to be removed").value;
        let decoded = Backend::decode(&change.name, backend.encode());
        assert_eq!(decoded.map(|d| d.encode()), Ok(backend.encode()), "{backend:?}");
    }
    for change in changes.l7.quotas {
        let quota = change.value.expect("nothing was there to be removed").value;
        assert_eq!(Quota::decode(&change.name, quota.encode()).as_ref(), Ok(&quota));
    }
    for (_, condition) in index.conditions() {
        assert!(!condition.message.is_empty());
    }
    for status in index.statuses() {
        let parents = status.parents.iter().flat_map(|p| &p.conditions);
        assert!(
            status
                .conditions
                .iter()
                .chain(parents)
                .all(|c| !c.message.is_empty())
        );
    }
}

#[cfg(test)]
mod tests;
