//! What a waypoint or gateway serves at L7: one type per object that a user writes, children naming their parents.
//!
//! # Layout
//! - [`bind`]: a port that a gateway listens on, and what it speaks there.
//! - [`route`]: which requests go where; HTTPRoute, GRPCRoute, TLSRoute, TCPRoute and VirtualService all become this.
//! - [`filter`]: what is done to a request or its answer on the way.
//! - [`resilience`]: timeouts, retries and their budgets.
//! - [`backend`]: destinations that are no Service of the mesh.
//! - [`endpoint_labels`]: what endpoints are labelled with.
//! - [`policy`]: everything that is attached to something: [`authorization`], [`authentication`], [`traffic`]
//!   (DestinationRule), [`tls`] towards backends, [`rate_limit`], [`health`], [`session`], [`telemetry`],
//!   [`processing`] by others.
//! - [`quota`]: limits that the mesh's own rate-limit service counts; not for waypoints.
//! - [`matching`]: how texts are compared.
//! - `wire`: what the wire forms of these share; each stands in a `wire.rs` beside its type.
//! - [`request`]: what decisions are made about.
//! - [`attach`]: which policies count where, and how they merge.
//! - [`edit`]: what filters do to requests and answers.
//! - [`select`]: which rule takes a request or connection.
//!
//! Services, their ports and endpoints are [`crate::Address`]es, as for every proxy. Merging is not done here nor in
//! the control plane: a changed object is one changed resource, and the proxy merges by a pure function.

pub mod attach;
pub mod authentication;
pub mod authorization;
pub mod backend;
pub mod bind;
pub mod edit;
pub mod endpoint_labels;
pub mod filter;
pub mod health;
pub mod matching;
pub mod policy;
mod prefixes;
pub mod processing;
pub mod quota;
pub mod rate_limit;
pub mod request;
pub mod resilience;
pub mod route;
pub mod select;
pub mod session;
pub mod telemetry;
pub mod tls;
pub mod traffic;
pub(crate) mod wire;

use mesh_types::{NamespacedHostname, NamespacedName, Strng};

pub use backend::Backend;
pub use bind::Bind;
pub use endpoint_labels::EndpointLabels;
pub use matching::{Pattern, TextMatch};
pub use policy::{Policy, PolicyKind, Target};
pub use quota::Quota;
pub use request::{Claims, Client, Local, Request};
pub use route::Route;

/// An object that a user wrote: what errors, logs and `explain` name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Its kind, as written: `HTTPRoute`.
    pub kind: Strng,
    /// Its namespace and name.
    pub name: NamespacedName,
}

/// A port of a Service or ServiceEntry, which is a key among [`crate::Address`]es.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePort {
    /// The service.
    pub service: NamespacedHostname,
    /// The service's port, not the endpoint's; never 0.
    pub port: u16,
}

/// Age decides between objects of equal rank: seconds since 1970, then namespace and name. Objects from files have no
/// age and count as the youngest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Created(u64);

impl Created {
    /// At a time, in seconds since 1970.
    #[must_use]
    pub fn at(seconds: u64) -> Self {
        Self(seconds)
    }

    /// At a time that is not known.
    #[must_use]
    pub fn unknown() -> Self {
        Self(u64::MAX)
    }

    /// Seconds since 1970, if known.
    #[must_use]
    pub fn seconds(self) -> Option<u64> {
        (self.0 != u64::MAX).then_some(self.0)
    }
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

#[cfg(test)]
pub(crate) mod tests;
