//! What one stream has been sent and is owed; no IO, no clock.
//!
//! ```text
//!            request (first of a type)                      answer with the outstanding nonce
//!  unknown ----------------------------> owed a push --push--> outstanding ------------------> idle
//!                                            ^                                                  |
//!                                            +---------- a change, or a subscription -----------+
//! ```
//! One push per type is outstanding; whatever changes meanwhile is merged into the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use serde::Serialize;
use tracing::{debug, info, warn};

use super::cache::{Reader, ResourceCache, Table, Tables};
use super::push::Push;
use crate::node::{InvalidNode, NodeInfo};
use crate::resource::TypeUrl;

/// The server's side of one stream.
#[derive(Debug)]
pub struct ServerSession {
    cache: ResourceCache,
    reader: Arc<Reader>,
    node: Option<NodeInfo>,
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
    /// The sequence number that it was sent everything up to.
    pub sent: u64,
    /// The sequence number that it accepted everything up to.
    pub acknowledged: u64,
    /// A push was sent and not answered yet.
    pub outstanding: bool,
    /// How many pushes it refused.
    pub refusals: u64,
    /// What it refused last, if that was its last answer.
    pub refused: Option<String>,
}

#[derive(Debug)]
struct Subscription {
    scope: Scope,
    owed: Owed,
    /// Everything up to here was sent: upserts and removals, apart because they may go out apart.
    upserts: u64,
    removals: u64,
    outstanding: Option<Outstanding>,
    acknowledged: u64,
    refusals: u64,
    refused: Option<String>,
}

#[derive(Debug)]
enum Scope {
    All,
    Names(BTreeSet<String>),
}

/// What must be sent even if nothing changed.
#[derive(Debug)]
enum Owed {
    Nothing,
    /// The answer to the first request: what differs from what the client holds.
    First(BTreeMap<String, String>),
    /// The answer to a later one: these names, or an empty push.
    Names(BTreeSet<String>),
}

#[derive(Debug)]
struct Outstanding {
    nonce: String,
    brings_to: u64,
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
            self.node = Some(NodeInfo::try_from(
                request.node.as_ref().ok_or(InvalidNode::Missing)?,
            )?);
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
        let type_url = self.cache.read(|tables| tables.tables[index].type_url);
        match &mut self.subscriptions[index] {
            Some(subscription) => subscription.receive(type_url, request),
            none => {
                *none = Some(Subscription::first(type_url, request)?);
                Ok(())
            }
        }
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
        let types: Vec<_> = self
            .cache
            .read(|tables| tables.tables.iter().map(|t| t.type_url).collect());
        let subscriptions = self.subscriptions.iter().zip(types);
        SubscriberStatus {
            node: self.node.clone(),
            subscriptions: subscriptions
                .filter_map(|(s, type_url)| Some(s.as_ref()?.status(type_url)))
                .collect(),
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
        let pending = self.pending(tables);
        for (index, table) in tables.tables.iter().enumerate() {
            let Some(subscription) = &mut self.subscriptions[index] else {
                continue;
            };
            if !subscription.is_first() && !table.remembers(subscription.removals) {
                return Err(Ended::Behind(table.type_url));
            }
            let referents_wait = pending[..index].contains(&Waiting::Upserts);
            if subscription.outstanding.is_some() || referents_wait {
                continue;
            }
            let referrers_wait = pending[index + 1..].iter().any(|p| *p != Waiting::Nothing);
            let contents = subscription.take(table, tables.sequence, !referrers_wait);
            self.reader.advance(index, subscription.removals);
            if let Some(contents) = contents {
                let push = self.number(Arc::from(table.type_url.as_str()), tables.sequence, contents);
                // Just taken from: it is there.
                if let Some(subscription) = &mut self.subscriptions[index] {
                    subscription.outstanding = Some(Outstanding {
                        nonce: push.nonce.clone(),
                        brings_to: subscription.upserts.min(subscription.removals),
                    });
                }
                return Ok(Some(push));
            }
        }
        Ok(None)
    }

    fn pending(&self, tables: &Tables) -> Vec<Waiting> {
        let waiting = |(subscription, table): (&Option<Subscription>, &Table)| match subscription {
            Some(s) if s.is_first() || table.last_upsert() > s.upserts => Waiting::Upserts,
            Some(s) if table.last_change() > s.removals => Waiting::Removals,
            _ => Waiting::Nothing,
        };
        self.subscriptions
            .iter()
            .zip(&tables.tables)
            .map(waiting)
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Nothing,
    Removals,
    Upserts,
}

#[derive(Default)]
struct Contents {
    resources: Vec<bytes::Bytes>,
    removed: Vec<Arc<str>>,
}

// === impl Subscription ===

impl Subscription {
    fn first(type_url: TypeUrl, request: DeltaDiscoveryRequest) -> Result<Self, Ended> {
        let stars = |names: &[String]| names.iter().any(|n| n == WILDCARD);
        if stars(&request.resource_names_unsubscribe) {
            return Err(Ended::OnDemand(type_url));
        }
        // "The client subscribes to nothing by name" is the older spelling of `*` (xDS protocol, "Wildcard").
        let names = request.resource_names_subscribe;
        let scope = if names.is_empty() || stars(&names) {
            Scope::All
        } else {
            Scope::Names(names.into_iter().collect())
        };
        Ok(Self {
            scope,
            owed: Owed::First(request.initial_resource_versions),
            upserts: 0,
            removals: 0,
            outstanding: None,
            acknowledged: 0,
            refusals: 0,
            refused: None,
        })
    }

    fn receive(&mut self, type_url: TypeUrl, request: DeltaDiscoveryRequest) -> Result<(), Ended> {
        let subscribes =
            !request.resource_names_subscribe.is_empty() || !request.resource_names_unsubscribe.is_empty();
        let answers = !request.response_nonce.is_empty();
        if answers {
            self.answered(type_url, &request);
        }
        if subscribes {
            self.subscribe(type_url, request)?;
        } else if !answers {
            // A request with nothing to say still gets an answer, as istiod gives it.
            self.owe(BTreeSet::new());
        }
        Ok(())
    }

    fn answered(&mut self, type_url: TypeUrl, request: &DeltaDiscoveryRequest) {
        let expected = self.outstanding.take_if(|o| o.nonce == request.response_nonce);
        let Some(outstanding) = expected else {
            debug!(%type_url, "an answer to a push that is not outstanding is ignored");
            return;
        };
        match &request.error_detail {
            None => {
                self.acknowledged = outstanding.brings_to;
                self.refused = None;
            }
            Some(error) => {
                let message: String = error.message.chars().take(MAX_REFUSAL).collect();
                warn!(%type_url, "a client refused resources: {message}");
                self.refusals += 1;
                self.refused = Some(message);
            }
        }
    }

    fn subscribe(&mut self, type_url: TypeUrl, request: DeltaDiscoveryRequest) -> Result<(), Ended> {
        let (add, drop) = (
            request.resource_names_subscribe,
            request.resource_names_unsubscribe,
        );
        if drop.iter().any(|n| n == WILDCARD) {
            return Err(Ended::OnDemand(type_url));
        }
        match &mut self.scope {
            // Names within everything change nothing, but are answered.
            Scope::All => {}
            scope if add.iter().any(|n| n == WILDCARD) => {
                *scope = Scope::All;
                self.owed = Owed::First(BTreeMap::new());
                return Ok(());
            }
            Scope::Names(names) => {
                for name in &drop {
                    names.remove(name);
                }
                names.extend(add.iter().cloned());
            }
        }
        if !add.is_empty() {
            self.owe(add.into_iter().collect());
        }
        Ok(())
    }

    fn owe(&mut self, more: BTreeSet<String>) {
        match &mut self.owed {
            Owed::Nothing => self.owed = Owed::Names(more),
            // It brings everything anyway.
            Owed::First(_) => {}
            Owed::Names(names) => names.extend(more),
        }
    }

    fn is_first(&self) -> bool {
        matches!(self.owed, Owed::First(_))
    }

    /// What to send, which then counts as sent; nothing when nothing is owed and nothing changed.
    fn take(&mut self, table: &Table, sequence: u64, removals_may_go: bool) -> Option<Contents> {
        let owed = std::mem::replace(&mut self.owed, Owed::Nothing);
        let scope = &self.scope;
        let wanted = |name: &str| match scope {
            Scope::All => true,
            Scope::Names(names) => names.contains(name),
        };
        if let Owed::First(held) = &owed {
            let (resources, mut removed) = table.difference(held, wanted);
            if let Scope::Names(names) = scope {
                let absent = names
                    .iter()
                    .filter(|n| table.get(n).is_none() && !held.contains_key(*n));
                removed.extend(absent.map(|n| Arc::from(n.as_str())));
            }
            (self.upserts, self.removals) = (sequence, sequence);
            return Some(Contents { resources, removed });
        }
        let mut contents = Contents {
            resources: table.upserts_after(self.upserts, wanted),
            removed: Vec::new(),
        };
        if removals_may_go {
            contents.removed = table.removals_after(self.removals, wanted);
        }
        let mut answer = false;
        if let Owed::Names(names) = owed {
            answer = true;
            for name in names {
                let included = table.changed_after(self.upserts, &name) && wanted(&name);
                match table.get(&name) {
                    Some(_) if included => {}
                    Some(record) => contents.resources.push(record),
                    None if contents.removed.iter().any(|n| **n == *name) => {}
                    None => contents.removed.push(name.into()),
                }
            }
        }
        self.upserts = sequence;
        if removals_may_go {
            self.removals = sequence;
        }
        let anything = answer || !contents.resources.is_empty() || !contents.removed.is_empty();
        anything.then_some(contents)
    }

    fn status(&self, type_url: TypeUrl) -> SubscriptionStatus {
        SubscriptionStatus {
            type_url,
            wildcard: matches!(self.scope, Scope::All),
            sent: self.upserts.min(self.removals),
            acknowledged: self.acknowledged,
            outstanding: self.outstanding.is_some(),
            refusals: self.refusals,
            refused: self.refused.clone(),
        }
    }
}

/// Everything of a type (xDS protocol, "Wildcard").
const WILDCARD: &str = "*";
const MAX_UNKNOWN: usize = 16;
/// How much of a client's refusal is kept.
const MAX_REFUSAL: usize = 4096;
