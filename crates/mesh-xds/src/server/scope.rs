//! Who may see a resource: everybody who asks for its type, or only the proxies of some gateways. A waypoint is sent what
//! belongs to it, and learns not even the names of others' resources.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::node::NodeInfo;

/// Who may see a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Everybody,
    /// The proxies of these gateways, `<namespace>/<name>`.
    Gateways(Arc<BTreeSet<String>>),
}

/// Who looks: a proxy of a gateway, or one of none.
#[derive(Clone, Debug, Default)]
pub(super) struct Viewer(Option<String>);

/// Who could see a resource that they cannot see any more, and at which sequence number that ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Departures(Vec<(u64, Scope)>);

impl Scope {
    pub(super) fn of_gateways<G: Into<String>>(gateways: impl IntoIterator<Item = G>) -> Self {
        Self::Gateways(Arc::new(gateways.into_iter().map(Into::into).collect()))
    }

    pub(super) fn includes(&self, viewer: &Viewer) -> bool {
        match (self, &viewer.0) {
            (Self::Everybody, _) => true,
            (Self::Gateways(gateways), Some(own)) => gateways.contains(own),
            (Self::Gateways(_), None) => false,
        }
    }

    fn union(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Gateways(a), Self::Gateways(b)) => Self::Gateways(Arc::new(a.union(b).cloned().collect())),
            _ => Self::Everybody,
        }
    }
}

impl Viewer {
    pub(super) fn of(node: &NodeInfo) -> Self {
        Self(node.gateway())
    }
}

impl Departures {
    /// Those of this scope may not see it any more since this sequence number, unless its present scope says otherwise.
    pub(super) fn note(&mut self, sequence: u64, scope: Scope) {
        self.0.push((sequence, scope));
        if self.0.len() > MAX_DEPARTURES {
            // Who left first is told again with those who left next: that a resource is gone which they do not hold.
            let (_, first) = self.0.remove(0);
            let (_, second) = &mut self.0[0];
            *second = second.union(&first);
        }
    }

    /// Whether a viewer that was told everything up to a position lost the resource after it.
    pub(super) fn after(&self, position: u64, viewer: &Viewer) -> bool {
        let lost = |(sequence, scope): &(u64, Scope)| *sequence > position && scope.includes(viewer);
        self.0.iter().any(lost)
    }
}

/// How often a resource may move before its history is shortened.
const MAX_DEPARTURES: usize = 8;
