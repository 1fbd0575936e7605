//! What one stream has been sent and is owed; no IO, no clock.
//!
//! ```text
//!            request (first of a type)                      answer with the outstanding nonce
//!  unknown ----------------------------> owed a push --push--> outstanding ------------------> idle
//!                                            ^                                                  |
//!                                            +---------- a change, or a subscription -----------+
//! ```
//! One push per type is outstanding; whatever changes meanwhile is merged into the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use mesh_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use serde::Serialize;
use tracing::info;

use super::cache::{Reader, ResourceCache, Tables};
use super::push::Push;
use super::refused::Refused;
use super::scope::Viewer;
use super::subscription::{Contents, Subscription, Waiting};
use crate::node::{InvalidNode, NodeInfo};
use crate::resource::TypeUrl;

/// The server's side of one stream.
#[derive(Debug)]
pub struct ServerSession {
    cache: ResourceCache,
    reader: Arc<Reader>,
    node: Option<NodeInfo>,
    viewer: Viewer,
    subscriptions: Vec<Option<Subscription>>,
    /// Types that are not served; each is answered once, with nothing.
    unknown: BTreeMap<String, bool>,
    pushes: u64,
}

/// Why a stream must end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The first request does not say who the client is.
    #[error(transparent)]
    Node(#[from] InvalidNode),
    /// The request names no type.
    #[error("type_url is missing")]
    NoType,
    /// The client asked for more types that do not exist than any client would.
    #[error("type_url: more than {MAX_UNKNOWN} types that are not served")]
    TooManyTypes,
    /// On-demand subscriptions are not served.
    #[error(
        "resource_names_unsubscribe: on-demand subscription (subscribe and unsubscribe \"*\") to {0} is not served; \
         unset XDS_ON_DEMAND"
    )]
    OnDemand(TypeUrl),
    /// The subscriber did not take what was sent for so long that what it missed is forgotten: it must ask anew.
    #[error("too far behind in {0}: connect again")]
    Behind(TypeUrl),
}

/// What is known of one subscriber.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubscriberStatus {
    /// Who it is; unset before its first request.
    pub node: Option<NodeInfo>,
    /// What it follows.
    pub subscriptions: Vec<SubscriptionStatus>,
}

/// How one subscriber stands with one type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubscriptionStatus {
    /// The type.
    pub type_url: TypeUrl,
    /// Everything, or names.
    pub wildcard: bool,
    /// The sequence number of the last change of the type, whether it was sent or not.
    pub published: u64,
    /// The sequence number that it was sent everything up to.
    pub sent: u64,
    /// The sequence number that it answered everything up to: what of that it did not accept is in `refused_changes`.
    pub answered: u64,
    /// The sequence number that it accepted everything up to.
    pub acknowledged: u64,
    /// A push was sent and not answered yet.
    pub outstanding: bool,
    /// How many pushes it refused.
    pub refusals: u64,
    /// Why it refuses what it refuses still, whatever it accepted since: of that it keeps what it had before.
    pub refused: Option<String>,
    /// Which changes those are.
    #[serde(skip)]
    pub refused_changes: Refused,
    /// What it refused last, be it mended since or not.
    pub last_refusal: Option<Refusal>,
    /// When it was last sent anything, as far as whoever carries the stream has a clock.
    #[serde(skip)]
    pub pushed: Option<SystemTime>,
}

/// A push that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// In the client's words.
    pub message: String,
    /// When that was, as far as whoever carries the stream has a clock.
    #[serde(skip)]
    pub at: Option<SystemTime>,
}

impl SubscriptionStatus {
    /// How far it is behind what is published, in sequence numbers.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.published.saturating_sub(self.acknowledged)
    }

    /// What it says of a change.
    #[must_use]
    pub fn verdict(&self, change: u64) -> Verdict {
        if self.refused_changes.contains(change) {
            Verdict::Refused
        } else if self.answered >= change {
            Verdict::Accepted
        } else {
            Verdict::UnderWay
        }
    }
}

/// What a subscriber says of a change; the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It has it.
    Accepted,
    /// It was not sent it, or has not answered yet.
    UnderWay,
    /// It keeps what it had before.
    Refused,
}

impl ServerSession {
    /// A stream that has not said anything yet.
    #[must_use]
    pub fn new(cache: ResourceCache) -> Self {
        let types = cache.read(|tables| tables.tables.len());
        Self {
            reader: cache.reader(),
            cache,
            node: None,
            viewer: Viewer::default(),
            subscriptions: (0..types).map(|_| None).collect(),
            unknown: BTreeMap::new(),
            pushes: 0,
        }
    }

    /// Who the client says it is; known after the first request.
    #[must_use]
    pub fn node(&self) -> Option<&NodeInfo> {
        self.node.as_ref()
    }

    /// Takes a request in; what it leads to comes from [`ServerSession::next_push`].
    ///
    /// # Errors
    /// Fails when the request breaks the protocol: the stream must end.
    pub fn receive(&mut self, request: DeltaDiscoveryRequest) -> Result<(), Ended> {
        if self.node.is_none() {
            let node = NodeInfo::try_from(request.node.as_ref().ok_or(InvalidNode::Missing)?)?;
            self.viewer = Viewer::of(&node);
            self.node = Some(node);
        }
        if request.type_url.is_empty() {
            return Err(Ended::NoType);
        }
        let types = |tables: &Tables| {
            tables
                .tables
                .iter()
                .position(|t| t.type_url.as_str() == request.type_url)
        };
        let Some(index) = self.cache.read(types) else {
            return self.receive_unknown(request);
        };
        let (subscription, viewer) = (&mut self.subscriptions[index], &self.viewer);
        self.cache.read(|tables| {
            let table = &tables.tables[index];
            match subscription {
                Some(subscription) => subscription.receive(table, viewer, request),
                none => {
                    *none = Some(Subscription::first(table.type_url, request)?);
                    Ok(())
                }
            }
        })
    }

    /// What is to be sent now; call until there is nothing. The order of types is that of the crate's documentation.
    ///
    /// # Errors
    /// Fails when the subscriber cannot be brought up to date on this stream.
    pub fn next_push(&mut self) -> Result<Option<Push>, Ended> {
        if let Some((type_url, answered)) = self.unknown.iter_mut().find(|(_, answered)| !**answered) {
            *answered = true;
            let type_url = Arc::from(type_url.as_str());
            return Ok(Some(self.number(type_url, 0, Contents::default())));
        }
        let cache = self.cache.clone();
        cache.read(|tables| self.next_of(tables))
    }

    /// How the subscriber stands.
    #[must_use]
    pub fn status(&self) -> SubscriberStatus {
        let subscriptions = self.cache.read(|tables| {
            let subscriptions = self.subscriptions.iter().zip(&tables.tables);
            let status = subscriptions.filter_map(|(s, table)| Some(s.as_ref()?.status(table)));
            status.collect()
        });
        SubscriberStatus {
            node: self.node.clone(),
            subscriptions,
        }
    }

    fn receive_unknown(&mut self, request: DeltaDiscoveryRequest) -> Result<(), Ended> {
        if self.unknown.contains_key(&request.type_url) {
            return Ok(());
        }
        if self.unknown.len() >= MAX_UNKNOWN {
            return Err(Ended::TooManyTypes);
        }
        info!(
            type_url = request.type_url,
            "a client asks for a type that is not served, it is answered with nothing"
        );
        self.unknown.insert(request.type_url, false);
        Ok(())
    }

    fn next_of(&mut self, tables: &Tables) -> Result<Option<Push>, Ended> {
        loop {
            let before = self.pending(tables);
            for index in 0..tables.tables.len() {
                if let Some(push) = self.next_of_type(tables, index)? {
                    return Ok(Some(push));
                }
            }
            // Changes that do not concern the subscriber were passed over, which may let another type go.
            if self.pending(tables) == before {
                return Ok(None);
            }
        }
    }

    fn next_of_type(&mut self, tables: &Tables, index: usize) -> Result<Option<Push>, Ended> {
        let pending = self.pending(tables);
        let table = &tables.tables[index];
        let Some(subscription) = &mut self.subscriptions[index] else {
            return Ok(None);
        };
        if subscription.is_behind(table) {
            return Err(Ended::Behind(table.type_url));
        }
        subscription.forget_refused(table, &self.viewer);
        let referents_wait = pending[..index].contains(&Waiting::Upserts);
        if subscription.is_outstanding() || referents_wait {
            return Ok(None);
        }
        let referrers_wait = pending[index + 1..].iter().any(|p| *p != Waiting::Nothing);
        let nonce = (self.pushes + 1).to_string();
        let contents = subscription.take(table, &self.viewer, tables.sequence, !referrers_wait, &nonce);
        self.reader.advance(index, subscription.removals());
        Ok(contents.map(|contents| self.number(table.type_url.as_str().into(), tables.sequence, contents)))
    }

    fn pending(&self, tables: &Tables) -> Vec<Waiting> {
        let types = self.subscriptions.iter().zip(&tables.tables);
        types
            .map(|(s, table)| s.as_ref().map_or(Waiting::Nothing, |s| s.waiting(table)))
            .collect()
    }

    fn number(&mut self, type_url: Arc<str>, system_version: u64, contents: Contents) -> Push {
        self.pushes += 1;
        Push {
            type_url,
            nonce: self.pushes.to_string(),
            system_version,
            resources: contents.resources,
            removed: contents.removed,
        }
    }
}

const MAX_UNKNOWN: usize = 16;

#[cfg(test)]
mod tests;
