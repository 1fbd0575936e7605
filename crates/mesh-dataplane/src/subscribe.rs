//! xDS batches become updates of the state.

use mesh_model::{Address, Authorization};
use mesh_state::{StateWriter, Update};
use mesh_types::Strng;
use mesh_xds::{ApplyBatch, Batch, Rejected, Resource, TypeUrl};

/// Takes what the control plane sends into the state.
///
/// Decoding happens before the state is touched and holds nobody up. A resource that cannot be decoded is refused by
/// name and what was there before stays in force; all others of its batch are applied.
#[derive(Debug)]
pub struct Subscription {
    state: StateWriter,
}

/// What a proxy follows, in the order of references: a policy before the workloads that name it.
pub const TYPES: [TypeUrl; 2] = [TypeUrl::AUTHORIZATION, TypeUrl::ADDRESS];

impl Subscription {
    /// Writes into this state.
    #[must_use]
    pub fn new(state: StateWriter) -> Self {
        Self { state }
    }
}

impl ApplyBatch for Subscription {
    fn apply(&mut self, batch: Batch) -> Result<(), Vec<Rejected>> {
        let decode = match batch.type_url {
            TypeUrl::ADDRESS => decode_address,
            TypeUrl::AUTHORIZATION => decode_authorization,
            other => return Err(refuse_all(&batch, other)),
        };
        let mut updates = Vec::with_capacity(batch.resources.len() + batch.removed.len());
        let mut rejected = Vec::new();
        for name in batch.removed {
            updates.push(removal(batch.type_url, name));
        }
        for resource in batch.resources {
            let name = resource.name.clone();
            match decode(resource) {
                Ok(update) => updates.push(update),
                Err(reason) => {
                    tracing::warn!(%name, %reason, "refused a resource of the control plane");
                    rejected.push(Rejected { name, reason });
                }
            }
        }
        self.state.apply(updates);
        if rejected.is_empty() {
            Ok(())
        } else {
            Err(rejected)
        }
    }
}

fn decode_address(resource: Resource) -> Result<Update, String> {
    Address::decode(&resource.name, resource.body)
        .map(Update::from)
        .map_err(|e| e.to_string())
}

fn decode_authorization(resource: Resource) -> Result<Update, String> {
    Authorization::decode(&resource.name, resource.body)
        .map(Update::Authorization)
        .map_err(|e| e.to_string())
}

fn removal(type_url: TypeUrl, name: String) -> Update {
    let name = Strng::from(name);
    if type_url == TypeUrl::AUTHORIZATION {
        Update::RemoveAuthorization(name)
    } else {
        Update::RemoveAddress(name)
    }
}

fn refuse_all(batch: &Batch, type_url: TypeUrl) -> Vec<Rejected> {
    let refuse = |resource: &Resource| Rejected {
        name: resource.name.clone(),
        reason: format!("type {type_url} is not known here"),
    };
    batch.resources.iter().map(refuse).collect()
}

#[cfg(test)]
mod tests;
