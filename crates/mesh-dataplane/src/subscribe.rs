//! xDS batches become updates of the state.

use std::fmt::Display;
use std::sync::Arc;

use mesh_model::l7::{Backend, Bind, EndpointLabels, Policy, PolicyKind, Route};
use mesh_model::{Address, Authorization};
use mesh_state::l7::{L7Kind, L7Snapshot};
use mesh_state::{L7Update, L7Writer, StateWriter, Update};
use mesh_types::Strng;
use mesh_xds::{ApplyBatch, Batch, Rejected, Resource, TypeUrl};

/// Takes what the control plane sends into the state.
///
/// Decoding happens before the state is touched and holds nobody up. A resource that cannot be decoded is refused by
/// name and what was there before stays in force; all others of its batch are applied. Of a policy that is refused and was
/// not there before, an unusable one is put in force in its place.
#[derive(Debug)]
pub struct Subscription {
    state: StateWriter,
    l7: Option<L7Writer>,
}

/// What a proxy follows, in the order of references: a policy before the workloads that name it.
pub const TYPES: [TypeUrl; 2] = [TypeUrl::AUTHORIZATION, TypeUrl::ADDRESS];

/// What a gateway's proxy follows: also what it serves, of which the control plane sends it what is its own.
pub const GATEWAY_TYPES: [TypeUrl; 7] = [
    TypeUrl::AUTHORIZATION,
    TypeUrl::BACKEND,
    TypeUrl::POLICY,
    TypeUrl::ADDRESS,
    TypeUrl::ENDPOINT_LABELS,
    TypeUrl::ROUTE,
    TypeUrl::BIND,
];

impl Subscription {
    /// Writes into this state; for [`TYPES`].
    #[must_use]
    pub fn new(state: StateWriter) -> Self {
        Self { state, l7: None }
    }

    /// Writes into both; for [`GATEWAY_TYPES`].
    #[must_use]
    pub fn of_gateway(state: StateWriter, l7: L7Writer) -> Self {
        Self { state, l7: Some(l7) }
    }
}

impl ApplyBatch for Subscription {
    fn apply(&mut self, batch: Batch) -> Result<(), Vec<Rejected>> {
        match Kind::of(batch.type_url) {
            Some(Kind::Address) => self.apply_mesh(batch, decode_address, Update::RemoveAddress),
            Some(Kind::Authorization) => {
                self.apply_mesh(batch, decode_authorization, Update::RemoveAuthorization)
            }
            Some(Kind::Gateway(kind)) => self.apply_l7(batch, kind),
            None => Err(refuse_all(&batch)),
        }
    }
}

impl Subscription {
    fn apply_mesh(
        &mut self,
        batch: Batch,
        decode: fn(Resource) -> Result<Update, String>,
        remove: fn(Strng) -> Update,
    ) -> Result<(), Vec<Rejected>> {
        let (updates, outcome) = decode_all(batch, decode, remove);
        self.state.apply(updates);
        outcome
    }

    fn apply_l7(&mut self, batch: Batch, kind: L7Kind) -> Result<(), Vec<Rejected>> {
        let Some(l7) = &mut self.l7 else {
            return Err(refuse_all(&batch));
        };
        let policies = match kind {
            L7Kind::Policy => batch.resources.clone(),
            L7Kind::Bind | L7Kind::Route | L7Kind::Backend | L7Kind::EndpointLabels => Vec::new(),
        };
        let decode = match kind {
            L7Kind::Bind => decode_bind,
            L7Kind::Route => decode_route,
            L7Kind::Backend => decode_backend,
            L7Kind::Policy => decode_policy,
            L7Kind::EndpointLabels => decode_labels,
        };
        let (mut updates, outcome) = decode_all(batch, decode, |name| L7Update::Remove(kind, name));
        if let Err(rejected) = &outcome {
            updates.extend(in_place_of(rejected, policies, &l7.snapshot(), &updates));
        }
        l7.apply(updates);
        outcome
    }
}

/// What the resources of a type become.
enum Kind {
    Address,
    Authorization,
    Gateway(L7Kind),
}

impl Kind {
    fn of(type_url: TypeUrl) -> Option<Self> {
        match type_url {
            TypeUrl::ADDRESS => Some(Self::Address),
            TypeUrl::AUTHORIZATION => Some(Self::Authorization),
            TypeUrl::BIND => Some(Self::Gateway(L7Kind::Bind)),
            TypeUrl::ROUTE => Some(Self::Gateway(L7Kind::Route)),
            TypeUrl::BACKEND => Some(Self::Gateway(L7Kind::Backend)),
            TypeUrl::POLICY => Some(Self::Gateway(L7Kind::Policy)),
            TypeUrl::ENDPOINT_LABELS => Some(Self::Gateway(L7Kind::EndpointLabels)),
            _ => None,
        }
    }
}

/// What is good becomes updates; what is not is named.
fn decode_all<U>(
    batch: Batch,
    decode: fn(Resource) -> Result<U, String>,
    remove: impl Fn(Strng) -> U,
) -> (Vec<U>, Result<(), Vec<Rejected>>) {
    let mut updates = Vec::with_capacity(batch.resources.len() + batch.removed.len());
    let mut rejected = Vec::new();
    updates.extend(batch.removed.into_iter().map(|name| remove(name.into())));
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
    let outcome = match rejected.is_empty() {
        true => Ok(()),
        false => Err(rejected),
    };
    (updates, outcome)
}

fn decode_address(resource: Resource) -> Result<Update, String> {
    Address::decode(&resource.name, resource.body)
        .map(Update::from)
        .map_err(text)
}

fn decode_authorization(resource: Resource) -> Result<Update, String> {
    Authorization::decode(&resource.name, resource.body)
        .map(Update::Authorization)
        .map_err(text)
}

fn decode_bind(resource: Resource) -> Result<L7Update, String> {
    Bind::decode(&resource.name, resource.body)
        .map(|bind| L7Update::Bind(Arc::new(bind)))
        .map_err(text)
}

fn decode_route(resource: Resource) -> Result<L7Update, String> {
    Route::decode(&resource.name, resource.body)
        .map(|route| L7Update::Route(Arc::new(route)))
        .map_err(text)
}

fn decode_backend(resource: Resource) -> Result<L7Update, String> {
    Backend::decode(&resource.name, resource.body)
        .map(|backend| L7Update::Backend(Arc::new(backend)))
        .map_err(text)
}

fn decode_policy(resource: Resource) -> Result<L7Update, String> {
    Policy::decode(&resource.name, resource.body)
        .map(|policy| L7Update::Policy(Arc::new(policy)))
        .map_err(text)
}

/// Of policies that were refused and of which nothing better is in force: what they are attached to must not be served
/// as if nobody had said anything.
fn in_place_of(
    rejected: &[Rejected],
    policies: Vec<Resource>,
    snapshot: &L7Snapshot,
    updates: &[L7Update],
) -> Vec<L7Update> {
    let in_force = |name: &str| {
        let removal = L7Update::Remove(L7Kind::Policy, name.into());
        let policy = snapshot.policy(name).filter(|_| !updates.contains(&removal));
        policy.is_some_and(|policy| !matches!(policy.kind, PolicyKind::Unusable(_)))
    };
    let refused = policies.into_iter().filter_map(|resource| {
        let rejected = rejected.iter().find(|rejected| rejected.name == resource.name)?;
        if in_force(&resource.name) {
            return None;
        }
        Policy::unusable(&resource.name, resource.body, &rejected.reason)
    });
    refused.map(|policy| L7Update::Policy(Arc::new(policy))).collect()
}

fn decode_labels(resource: Resource) -> Result<L7Update, String> {
    EndpointLabels::decode(&resource.name, resource.body)
        .map(|labels| L7Update::EndpointLabels(Arc::new(labels)))
        .map_err(text)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

fn refuse_all(batch: &Batch) -> Vec<Rejected> {
    let refuse = |resource: &Resource| Rejected {
        name: resource.name.clone(),
        reason: format!("type {} is not known here", batch.type_url),
    };
    batch.resources.iter().map(refuse).collect()
}

#[cfg(test)]
mod tests;
