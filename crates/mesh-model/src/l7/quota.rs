//! Limits that the mesh's own rate-limit service counts (`lateen.dev`, RateLimitPolicy, `global.limits`). Waypoints never
//! see them: they send what a request is counted as, and are told what is left.

mod wire;

use std::collections::BTreeSet;

use mesh_types::{NamespacedName, Strng};

/// The limits of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Its name space; also the resource's name.
    pub domain: Strng,
    /// Each by another name.
    pub limits: Vec<QuotaLimit>,
    /// The service accounts of the proxies that may count; never none.
    pub callers: BTreeSet<NamespacedName>,
}

/// A limit, for each combination of the values of its descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaLimit {
    /// The value of the descriptor's first entry, whose key is [`LIMIT`].
    pub name: Strng,
    /// The keys of its further entries, in order.
    pub keys: Vec<Strng>,
    /// How many requests; not 0.
    pub requests: u32,
    /// In which window.
    pub unit: QuotaUnit,
}

/// A window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuotaUnit {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// Seven days.
    Week,
    /// Thirty days.
    Month,
    /// 365 days.
    Year,
}

/// The domain of a RateLimitPolicy.
#[must_use]
pub fn domain(policy: &NamespacedName) -> Strng {
    format!("lateen.dev/{policy}").into()
}

/// The key of every descriptor's first entry.
pub const LIMIT: &str = "limit";
