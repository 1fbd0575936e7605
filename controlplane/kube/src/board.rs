//! How each watch stands, for those who only look.

use std::collections::BTreeMap;
use std::sync::Arc;

use controlplane_k8s_api::Kind;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use crate::mirror::Broken;

/// The board.
#[derive(Clone, Debug, Default)]
pub struct KubeBoard(Arc<Mutex<BTreeMap<Which, Pinned>>>);

/// A kind, and the namespace where only those of one are watched.
pub type Which = (Kind, Option<String>);

#[derive(Clone, Debug)]
struct Pinned {
    state: WatchState,
    since: Instant,
    objects: usize,
    broken: Vec<Broken>,
}

/// How a watch stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// It was not listed yet.
    Listing,
    /// Everything is known.
    Current,
    /// The API server cannot be asked; what was known stays. One line says why.
    Away(String),
    /// The kind is not served.
    NotServed,
}

/// How the watch of a kind stands, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WatchView {
    /// The kind.
    pub kind: &'static str,
    /// The namespace, where only the objects of one are watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `Listing`, `Current`, `Away` or `NotServed`.
    pub state: &'static str,
    /// For how many seconds.
    pub for_seconds: u64,
    /// Why it is away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many objects are known.
    pub objects: usize,
}

impl KubeBoard {
    /// Pins up how a watch stands. A state that lasts keeps its age.
    pub fn pin_up(&self, which: Which, state: WatchState, objects: usize, broken: Vec<Broken>) {
        let mut pinned = self.0.lock();
        let before = pinned.get(&which);
        let lasts = before.filter(|b| b.state.name() == state.name());
        let since = lasts.map_or_else(Instant::now, |b| b.since);
        let now = Pinned {
            state,
            since,
            objects,
            broken,
        };
        pinned.insert(which, now);
    }

    /// How every watch stands.
    #[must_use]
    pub fn watches(&self) -> Vec<WatchView> {
        let pinned = self.0.lock();
        let view = |((kind, namespace), pinned): (&Which, &Pinned)| WatchView {
            kind: kind.as_str(),
            namespace: namespace.clone(),
            state: pinned.state.name(),
            for_seconds: pinned.since.elapsed().as_secs(),
            reason: match &pinned.state {
                WatchState::Away(reason) => Some(reason.clone()),
                WatchState::Listing | WatchState::Current | WatchState::NotServed => None,
            },
            objects: pinned.objects,
        };
        pinned.iter().map(view).collect()
    }

    /// The objects that are not understood.
    #[must_use]
    pub fn broken(&self) -> Vec<Broken> {
        let pinned = self.0.lock();
        pinned.values().flat_map(|p| p.broken.iter().cloned()).collect()
    }

    /// For how many seconds the watch that is worst off has been away; 0 while none is.
    #[must_use]
    pub fn away_seconds(&self) -> u64 {
        let pinned = self.0.lock();
        let away = pinned.values().filter(|p| matches!(p.state, WatchState::Away(_)));
        away.map(|p| p.since.elapsed().as_secs().max(1))
            .max()
            .unwrap_or(0)
    }
}

impl WatchState {
    /// The state as people and metrics name it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Listing => "Listing",
            Self::Current => "Current",
            Self::Away(_) => "Away",
            Self::NotServed => "NotServed",
        }
    }
}
