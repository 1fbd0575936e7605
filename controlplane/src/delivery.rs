//! `Delivered N/M proxies`: how many of the proxies that are to carry an object out have it, over all replicas.
//!
//! Each replica knows what its own streams accepted ([`mesh_xds::server::Delivery`]). The one that writes statuses asks the
//! others now and then ([`gather`]), over the port that proxies use, as a member of the mesh that only a replica can be; adds
//! up ([`merged`], pure); and says it as a condition of the object. What changed since the last round counts as delivered to
//! nobody until the next: a condition never says more than was seen.
//!
//! # Layout
//! - this file: what is known, and what is said of it. [`object`]: which object a resource was made of (pure). [`carried`]:
//!   which go with others (pure).
//! - [`gather`]: asking the other replicas. [`service`]: answering them.

pub mod carried;
pub mod gather;
pub mod object;
pub mod service;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use controlplane_index::ObjectStatus;
use controlplane_index::status::{ConditionType, StatusCondition, StatusReason};
use controlplane_k8s_api::{Kind, ObjectKey};
use mesh_xds::server::Delivery;
use mesh_xds::{ResourceCache, SubscriberStatus, TypeUrl};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config::files::FileChange;
use carried::Carried;

/// How far each object came.
pub type Deliveries = BTreeMap<ObjectKey, Delivery>;

/// What one replica tells of its proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Which run of which replica.
    pub instance: String,
    /// How far each object came.
    pub deliveries: Deliveries,
}

/// What is known of deliveries. Clones share it.
#[derive(Clone, Default)]
pub struct DeliveryBoard {
    own: Option<Own>,
    carried: Arc<Mutex<Carried>>,
    /// Of all replicas, as of the last round; nothing before one, and where this one does not gather.
    all: Arc<Mutex<Option<Deliveries>>>,
}

/// Whether it was counted how far each object came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Count {
    /// It was: of whatever nothing is said, there is nothing to say.
    #[default]
    Done,
    /// Nobody asked yet: what objects say of it may be as true as ever.
    NotYet,
}

/// This replica's proxies.
#[derive(Clone)]
struct Own {
    instance: Arc<str>,
    /// When it began to take proxies.
    since: Instant,
    cache: ResourceCache,
    subscribers: Arc<dyn Fn() -> Vec<SubscriberStatus> + Send + Sync>,
}

impl DeliveryBoard {
    /// A board of what `cache` publishes to these subscribers.
    #[must_use]
    pub fn new(
        instance: &str,
        cache: ResourceCache,
        subscribers: impl Fn() -> Vec<SubscriberStatus> + Send + Sync + 'static,
    ) -> Self {
        Self {
            own: Some(Own {
                instance: instance.into(),
                since: Instant::now(),
                cache,
                subscribers: Arc::new(subscribers),
            }),
            carried: Arc::default(),
            all: Arc::default(),
        }
    }

    /// Takes note of which objects go with others.
    pub fn take(&self, changes: &[FileChange]) {
        self.carried.lock().take(changes);
    }

    /// How it stands with this replica's own proxies.
    #[must_use]
    pub fn own(&self) -> Told {
        let Some(own) = &self.own else {
            return Told::default();
        };
        let subscribers = (own.subscribers)();
        let carried = self.carried.lock();
        Told {
            instance: own.instance.to_string(),
            deliveries: own.cache.deliveries(&TYPES, &subscribers, |type_url, name| {
                let made_of = object::of(type_url, name);
                let with_it = made_of.iter().flat_map(|object| carried.by(object)).cloned();
                let with_it: Vec<_> = with_it.collect();
                made_of.into_iter().chain(with_it)
            }),
        }
    }

    /// Since when this replica takes proxies; nothing where it takes none.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        self.own.as_ref().map(|own| own.since)
    }

    /// Pins up what a round gave. Says whether that is anything new.
    pub fn pin_up(&self, all: Deliveries) -> bool {
        let mut pinned = self.all.lock();
        let is_new = pinned.as_ref() != Some(&all);
        *pinned = Some(all);
        is_new
    }

    /// Takes down what the last round gave: from now on somebody else asks, and what is known here grows old.
    pub fn clear(&self) {
        *self.all.lock() = None;
    }

    /// Says of each object how far it came, as of the last round, if there was one.
    pub fn state(&self, statuses: &mut [ObjectStatus]) -> Count {
        let all = self.all.lock();
        let Some(all) = all.as_ref() else {
            return Count::NotYet;
        };
        if all.is_empty() {
            return Count::Done;
        }
        let own = self.own().deliveries;
        for status in statuses {
            let Some(delivery) = all.get(&status.object).filter(|delivery| delivery.proxies > 0) else {
                continue;
            };
            let is_current = own.get(&status.object).map(|own| own.content) == Some(delivery.content);
            let condition = condition(delivery, is_current);
            if is_of_parents(status.object.kind) {
                for parent in &mut status.parents {
                    parent.conditions.push(condition.clone());
                }
            } else {
                status.conditions.push(condition);
            }
        }
        Count::Done
    }
}

impl fmt::Debug for DeliveryBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryBoard")
            .field("known", &self.all.lock().as_ref().map(BTreeMap::len))
            .finish_non_exhaustive()
    }
}

/// What all replicas together tell: of the objects that the first one knows, in the content that it knows. A proxy of a
/// replica that has another content is one that is still to have this one. Whoever tells twice counts once.
#[must_use]
pub fn merged(own: Told, others: Vec<Told>) -> Deliveries {
    let mut instances = vec![own.instance];
    let mut all = own.deliveries;
    for told in others {
        if instances.contains(&told.instance) {
            continue;
        }
        instances.push(told.instance);
        for (object, there) in told.deliveries {
            let Some(here) = all.get_mut(&object) else {
                continue;
            };
            here.proxies += there.proxies;
            if there.content == here.content {
                here.delivered += there.delivered;
                here.refused += there.refused;
            }
        }
    }
    all
}

fn condition(delivery: &Delivery, is_current: bool) -> StatusCondition {
    let Delivery {
        proxies,
        delivered,
        refused,
        ..
    } = *delivery;
    let delivered = if is_current { delivered } else { 0 };
    let refused = if is_current { refused } else { 0 };
    let message = format!("Delivered {delivered}/{proxies} proxies");
    let (holds, reason, message) = match (delivered == proxies, refused) {
        (true, _) => (true, StatusReason::Delivered, message),
        (false, 0) => (false, StatusReason::UnderWay, message),
        (false, refused) => (
            false,
            StatusReason::RefusedByProxies,
            format!("{message}; {refused} refused it: their logs and the control plane's say why"),
        ),
    };
    StatusCondition::new(ConditionType::Delivered, holds, reason, message)
}

/// Whether what holds for an object of this kind is said of each thing that it is attached to.
fn is_of_parents(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::HttpRoute
            | Kind::GrpcRoute
            | Kind::TlsRoute
            | Kind::TcpRoute
            | Kind::BackendTlsPolicy
            | Kind::RateLimitPolicy
            | Kind::HealthCheckPolicy
            | Kind::SessionPolicy
    )
}

/// What policies and routes become.
const TYPES: [TypeUrl; 3] = [TypeUrl::AUTHORIZATION, TypeUrl::POLICY, TypeUrl::ROUTE];

#[cfg(test)]
mod tests;
