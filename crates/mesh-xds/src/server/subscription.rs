//! How one subscriber stands with one type: what it asked for, what it was sent, what it is owed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tracing::{debug, warn};

use super::record::Record;
use super::refused::Refused;
use super::scope::Viewer;
use super::session::{Ended, Refusal, SubscriptionStatus};
use super::table::Table;
use crate::refusal;
use crate::resource::TypeUrl;

#[derive(Debug)]
pub(super) struct Subscription {
    scope: Scope,
    owed: Owed,
    /// Everything up to here was sent: upserts and removals, apart because they may go out apart.
    upserts: u64,
    removals: u64,
    outstanding: Option<Outstanding>,
    answered: u64,
    refusals: u64,
    last_refusal: Option<Arc<str>>,
    refused: Refused,
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
    /// It brings changes after this one, and those in `again`.
    after: u64,
    brings_to: u64,
    /// Changes before that were asked for once more.
    again: Vec<u64>,
}

/// What of a type waits to be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    Nothing,
    Removals,
    Upserts,
}

#[derive(Default)]
pub(super) struct Contents {
    pub(super) resources: Vec<Arc<Record>>,
    pub(super) removed: Vec<Arc<str>>,
    /// As in [`Outstanding`].
    after: u64,
    again: Vec<u64>,
}

// === impl Subscription ===

impl Subscription {
    pub(super) fn first(type_url: TypeUrl, request: DeltaDiscoveryRequest) -> Result<Self, Ended> {
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
            answered: 0,
            refusals: 0,
            last_refusal: None,
            refused: Refused::default(),
        })
    }

    pub(super) fn receive(
        &mut self,
        table: &Table,
        viewer: &Viewer,
        request: DeltaDiscoveryRequest,
    ) -> Result<(), Ended> {
        let subscribes =
            !request.resource_names_subscribe.is_empty() || !request.resource_names_unsubscribe.is_empty();
        let answers = !request.response_nonce.is_empty();
        if answers {
            self.answered(table, viewer, &request);
        }
        if subscribes {
            self.subscribe(table.type_url, request)?;
        } else if !answers {
            // A request with nothing to say still gets an answer, as istiod gives it.
            self.owe(BTreeSet::new());
        }
        Ok(())
    }

    fn answered(&mut self, table: &Table, viewer: &Viewer, request: &DeltaDiscoveryRequest) {
        let type_url = table.type_url;
        let expected = self.outstanding.take_if(|o| o.nonce == request.response_nonce);
        let Some(outstanding) = expected else {
            debug!(%type_url, "an answer to a push that is not outstanding is ignored");
            return;
        };
        self.answered = outstanding.brings_to;
        self.refused.accept(&outstanding.again);
        if let Some(error) = &request.error_detail {
            let message: String = error.message.chars().take(MAX_REFUSAL).collect();
            let message: Arc<str> = message.into();
            warn!(%type_url, "a client refused resources: {message}");
            self.refusals += 1;
            let named = refusal::from_details(&error.details);
            let changes = self.refused_by(table, viewer, &outstanding, named.as_deref());
            self.refused.add(changes, &message);
            self.last_refusal = Some(message);
        }
    }

    /// The changes of a push that a refusal of it means: those that it names, or all. What has changed since is sent anyway.
    fn refused_by(
        &self,
        table: &Table,
        viewer: &Viewer,
        outstanding: &Outstanding,
        named: Option<&[String]>,
    ) -> Vec<u64> {
        let named = named.unwrap_or_default().iter();
        let named: Vec<u64> = named.filter_map(|name| table.change_of(name, viewer)).collect();
        // Who names nothing that is there has told nothing.
        if !named.is_empty() {
            return named
                .into_iter()
                .filter(|change| *change <= self.upserts)
                .collect();
        }
        let changes = outstanding.after.saturating_add(1)..=self.upserts;
        let sent = table.standing(changes, viewer, |name| self.scope.includes(name));
        sent.chain(outstanding.again.iter().copied()).collect()
    }

    /// What was refused and has changed since, or is gone, is refused no more: what came after it is another matter.
    pub(super) fn forget_refused(&mut self, table: &Table, viewer: &Viewer) {
        if self.refused.is_empty() {
            return;
        }
        let scope = &self.scope;
        let wanted = |name: &str| scope.includes(name);
        self.refused
            .retain(|changes| table.standing(changes, viewer, wanted).next().is_some());
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

    /// What waits to be sent.
    pub(super) fn waiting(&self, table: &Table) -> Waiting {
        if self.is_first() || table.last_upsert() > self.upserts {
            Waiting::Upserts
        } else if table.last_change() > self.removals {
            Waiting::Removals
        } else {
            Waiting::Nothing
        }
    }

    /// It missed removals that are no longer remembered.
    pub(super) fn is_behind(&self, table: &Table) -> bool {
        !self.is_first() && !table.remembers(self.removals)
    }

    pub(super) fn is_outstanding(&self) -> bool {
        self.outstanding.is_some()
    }

    /// Removals up to here were sent.
    pub(super) fn removals(&self) -> u64 {
        self.removals
    }

    fn is_first(&self) -> bool {
        matches!(self.owed, Owed::First(_))
    }

    /// What to send under this nonce, which then counts as sent; nothing when nothing is owed and nothing changed.
    pub(super) fn take(
        &mut self,
        table: &Table,
        viewer: &Viewer,
        sequence: u64,
        removals_may_go: bool,
        nonce: &str,
    ) -> Option<Contents> {
        let Some(contents) = self.contents(table, viewer, sequence, removals_may_go) else {
            // Changes of which nothing is for it need no answer.
            self.answered = self.upserts.min(self.removals);
            return None;
        };
        self.outstanding = Some(Outstanding {
            nonce: nonce.to_owned(),
            after: contents.after,
            brings_to: self.upserts.min(self.removals),
            again: contents.again.clone(),
        });
        Some(contents)
    }

    fn contents(
        &mut self,
        table: &Table,
        viewer: &Viewer,
        sequence: u64,
        removals_may_go: bool,
    ) -> Option<Contents> {
        let owed = std::mem::replace(&mut self.owed, Owed::Nothing);
        let scope = &self.scope;
        let wanted = |name: &str| scope.includes(name);
        if let Owed::First(held) = &owed {
            let (resources, mut removed) = table.difference(held, viewer, wanted);
            if let Scope::Names(names) = scope {
                let absent = names
                    .iter()
                    .filter(|n| table.get(n, viewer).is_none() && !held.contains_key(*n));
                removed.extend(absent.map(|n| Arc::from(n.as_str())));
            }
            (self.upserts, self.removals) = (sequence, sequence);
            return Some(Contents {
                resources,
                removed,
                ..Contents::default()
            });
        }
        let mut contents = Contents {
            resources: table.upserts_after(self.upserts, viewer, wanted),
            removed: Vec::new(),
            after: self.upserts,
            again: Vec::new(),
        };
        if removals_may_go {
            contents.removed = table.removals_after(self.removals, viewer, wanted);
        }
        let mut answer = false;
        if let Owed::Names(names) = owed {
            answer = true;
            for name in names {
                let change = table.change_of(&name, viewer);
                let included = change.is_some_and(|change| change > self.upserts) && wanted(&name);
                match table.get(&name, viewer) {
                    Some(_) if included => {}
                    Some(record) => {
                        contents.resources.push(record);
                        contents.again.extend(change);
                    }
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

    pub(super) fn status(&self, table: &Table) -> SubscriptionStatus {
        let refused = self.refused.first();
        let last_refusal = self.last_refusal.as_ref();
        SubscriptionStatus {
            type_url: table.type_url,
            wildcard: matches!(self.scope, Scope::All),
            published: table.last_change(),
            sent: self.upserts.min(self.removals),
            answered: self.answered,
            acknowledged: refused.map_or(self.answered, |first| self.answered.min(first.saturating_sub(1))),
            outstanding: self.outstanding.is_some(),
            refusals: self.refusals,
            refused: self.refused.why().map(str::to_owned),
            refused_changes: self.refused.clone(),
            last_refusal: last_refusal.map(|message| Refusal {
                message: message.to_string(),
                at: None,
            }),
            pushed: None,
        }
    }
}

impl Scope {
    fn includes(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.contains(name),
        }
    }
}

/// Everything of a type (xDS protocol, "Wildcard").
const WILDCARD: &str = "*";
/// How much of a client's refusal is kept.
const MAX_REFUSAL: usize = 4096;
