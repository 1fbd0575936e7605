//! Objects of which nothing is sent by itself, by what carries them: a filter by reference goes with the routes that name it.
//! Pure.

use std::collections::BTreeMap;

use controlplane_k8s_api::references::{ReferenceRole, Referent, references};
use controlplane_k8s_api::{Group, Kind, Object, ObjectKey};

use crate::config::files::FileChange;

/// The filters of each route that has some.
#[derive(Clone, Debug, Default)]
pub struct Carried(BTreeMap<ObjectKey, Vec<ObjectKey>>);

impl Carried {
    /// Takes note of what changed.
    pub fn take(&mut self, changes: &[FileChange]) {
        for change in changes {
            match change {
                FileChange::Set(route, object) => match filters(&object.value) {
                    filters if filters.is_empty() => drop(self.0.remove(route)),
                    filters => drop(self.0.insert(route.clone(), filters)),
                },
                FileChange::Removed(route) => drop(self.0.remove(route)),
            }
        }
    }

    /// What an object carries.
    #[must_use]
    pub fn by(&self, route: &ObjectKey) -> &[ObjectKey] {
        self.0.get(route).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The filters that a route names, each once.
fn filters(object: &Object) -> Vec<ObjectKey> {
    if !matches!(object, Object::HttpRoute(_) | Object::GrpcRoute(_)) {
        return Vec::new();
    }
    let named = references(object).into_iter().filter_map(|reference| {
        let Referent::Object {
            group,
            kind,
            namespace,
            name,
        } = reference.to
        else {
            return None;
        };
        let is_filter = reference.role == ReferenceRole::Extension && group == Group::Lateen.name();
        let kind = FILTERS
            .into_iter()
            .find(|known| is_filter && known.as_str() == kind.as_str())?;
        Some(ObjectKey {
            kind,
            namespace,
            name,
        })
    });
    let mut filters: Vec<_> = named.collect();
    filters.sort();
    filters.dedup();
    filters
}

const FILTERS: [Kind; 2] = [Kind::FaultFilter, Kind::ExternalProcessorFilter];

#[cfg(test)]
mod tests;
