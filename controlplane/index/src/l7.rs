//! What waypoints and gateways are sent: binds, routes, backends and policies, each with the gateways that it is for.
//!
//! ```text
//!   [Secret] --> [Gateway] --> listeners --> bind (one for each listener that is served)
//!                                  |
//!   [ReferenceGrant]               |            [Service] [ServiceEntry] --> host (ports), serving (whose waypoint)
//!          \                       |           /
//!   [HTTPRoute] [GRPCRoute] [TLSRoute] [TCPRoute] [VirtualService] --> route (one for each part of the object)
//! ```
//! A route is for the gateways that serve what it is attached to, and nobody else: what a service's waypoint is, is a
//! collection of its own ([`hosts`]), so that a namespace that opts in sends what it needs, and a changed route moves one
//! message. Nothing is merged here: the proxy does that by a pure function.
//!
//! # Layout
//! - this file: what comes out. [`graph`]: which collection follows from which.
//! - [`hosts`]: services as routes see them. [`grants`]: who may name whom.
//! - [`account`]: whom a gateway's proxies run as.
//! - [`listeners`]: a Gateway's listeners: which are served, whom they admit. `certificates`: what they show. [`bind`]:
//!   what they become.
//! - [`parents`]: what a route is attached to. [`destinations`]: where it sends. [`findings`]: what is to be said.
//!   `lowering`: what all kinds of routes share.
//! - `filter_status`: what the authors of filters by reference are told.
//! - One file per kind: [`http_route`], [`grpc_route`], [`l4_route`] (TLSRoute, TCPRoute), [`virtual_service`].
//! - [`policy`]: what is attached to services, routes and gateways, and the labels of endpoints.

pub(crate) mod account;
pub(crate) mod bind;
pub(crate) mod destinations;
mod filter_status;
pub(crate) mod findings;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod grants;
pub(crate) mod graph;
pub(crate) mod grpc_route;
pub(crate) mod hosts;
pub(crate) mod http_route;
pub(crate) mod l4_route;
pub(crate) mod listeners;
mod lowering;
pub(crate) mod parents;
pub(crate) mod policy;
pub(crate) mod virtual_service;

use std::collections::BTreeSet;

use mesh_model::l7::{Backend, Bind, EndpointLabels, Policy, Quota, Route};
use mesh_types::{NamespacedName, Strng};

use crate::index::ResourceChange;

pub(crate) use graph::L7Graph;
pub use policy::quota::{PORT as RATE_LIMIT_PORT, SERVICE as RATE_LIMIT_SERVICE};

/// A resource, and the gateways whose proxies are sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scoped<T> {
    /// The resource.
    pub value: T,
    /// The Gateways; never none.
    pub gateways: BTreeSet<NamespacedName>,
}

/// What changed for waypoints and gateways since the last look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct L7Changes {
    /// Ports that gateways listen on.
    pub binds: Vec<ResourceChange<Scoped<Bind>>>,
    /// Which requests go where.
    pub routes: Vec<ResourceChange<Scoped<Route>>>,
    /// Destinations that are no services.
    pub backends: Vec<ResourceChange<Scoped<Backend>>>,
    /// What is attached to services, routes and gateways.
    pub policies: Vec<ResourceChange<Scoped<Policy>>>,
    /// Labels of endpoints, as far as subsets and preferences name them.
    pub endpoint_labels: Vec<ResourceChange<Scoped<EndpointLabels>>>,
    /// Limits that the mesh's own rate-limit service counts, for that service.
    pub quotas: Vec<ResourceChange<Scoped<Quota>>>,
    /// Whom the proxies of each Gateway run as, by `<namespace>/<name>`: the name of a service account in its namespace.
    pub accounts: Vec<ResourceChange<Strng>>,
}

impl<T> Scoped<T> {
    /// A resource for some gateways; nothing if there are none.
    pub(crate) fn of(value: T, gateways: BTreeSet<NamespacedName>) -> Option<Self> {
        (!gateways.is_empty()).then_some(Self { value, gateways })
    }
}

impl L7Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.binds.is_empty()
            && self.routes.is_empty()
            && self.backends.is_empty()
            && self.policies.is_empty()
            && self.endpoint_labels.is_empty()
            && self.quotas.is_empty()
            && self.accounts.is_empty()
    }
}

#[cfg(test)]
mod tests;
