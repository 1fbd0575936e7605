//! What travels: named, versioned bytes of a type.

use std::fmt;

use bytes::Bytes;
use mesh_proto::type_url;
use serde::Serialize;

/// The type of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TypeUrl(&'static str);

/// A resource as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its name; never empty.
    pub name: String,
    /// Its version as the server gave it; some servers give none.
    pub version: String,
    /// The encoded message.
    pub body: Bytes,
}

/// One response of the server: all of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The type of every resource in it.
    pub type_url: TypeUrl,
    /// New and changed resources; no name stands twice.
    pub resources: Vec<Resource>,
    /// Names of resources that are gone; none of them is in `resources`.
    pub removed: Vec<String>,
}

/// A resource that was not applied, and why; the server is told both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The resource's name.
    pub name: String,
    /// One line that names the field.
    pub reason: String,
}

/// Takes batches into state.
pub trait ApplyBatch: Send {
    /// Applies every good resource of the batch and all removals, and leaves what it had for the bad ones.
    ///
    /// # Errors
    /// Names every bad resource.
    fn apply(&mut self, batch: Batch) -> Result<(), Vec<Rejected>>;
}

// === impl TypeUrl ===

impl TypeUrl {
    /// Workloads and services.
    pub const ADDRESS: Self = Self(type_url::ADDRESS);
    /// L4 authorization policies.
    pub const AUTHORIZATION: Self = Self(type_url::AUTHORIZATION);

    /// Ports that gateways listen on.
    pub const BIND: Self = Self(type_url::BIND);
    /// Which requests go where.
    pub const ROUTE: Self = Self(type_url::ROUTE);
    /// Destinations that are no services.
    pub const BACKEND: Self = Self(type_url::BACKEND);
    /// What endpoints are labelled with.
    pub const ENDPOINT_LABELS: Self = Self(type_url::ENDPOINT_LABELS);
    /// What is attached to services, routes and gateways.
    pub const POLICY: Self = Self(type_url::POLICY);
    /// Limits that the mesh's own rate-limit service counts; nobody else follows them.
    pub const QUOTA: Self = Self(type_url::QUOTA);

    /// Every type that a control plane publishes, in the order of their references (see the crate's documentation).
    /// Policies come before the addresses that they guard: a service that is bound to a waypoint is served from the
    /// moment when its address says so. A route comes after the services that it names, a bind after the routes that it
    /// serves.
    pub const IN_ORDER: [Self; 8] = [
        Self::AUTHORIZATION,
        Self::QUOTA,
        Self::BACKEND,
        Self::POLICY,
        Self::ADDRESS,
        Self::ENDPOINT_LABELS,
        Self::ROUTE,
        Self::BIND,
    ];

    /// Another type.
    #[must_use]
    pub const fn of(url: &'static str) -> Self {
        Self(url)
    }

    /// The URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for TypeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
