//! Connections that are open, whose bytes count while they flow: a connection of days must not show all of them at its end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::hub::Hub;
use super::series::Series;

/// Tells how much a connection has carried so far.
pub trait ByteCounts: Send + Sync {
    /// Bytes from the client, and to it.
    fn bytes(&self) -> (u64, u64);
}

/// An open connection; it counts as long as this is held.
pub struct OpenFlow {
    hub: Arc<Hub>,
    key: u64,
}

#[derive(Default)]
pub(super) struct Flows {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    flows: BTreeMap<u64, Flow>,
}

struct Flow {
    counts: Arc<dyn ByteCounts>,
    received: Option<Arc<Series>>,
    sent: Option<Arc<Series>>,
    told: (u64, u64),
}

impl Flows {
    /// Counts what has flowed since the last time.
    pub(super) fn report(&self, now: u32) {
        for flow in self.open.lock().flows.values_mut() {
            flow.report(now);
        }
    }
}

impl OpenFlow {
    pub(super) fn new(
        hub: Arc<Hub>,
        counts: Arc<dyn ByteCounts>,
        received: Option<Arc<Series>>,
        sent: Option<Arc<Series>>,
    ) -> Self {
        let mut open = hub.flows.open.lock();
        let key = open.next;
        open.next += 1;
        let flow = Flow {
            counts,
            received,
            sent,
            told: (0, 0),
        };
        open.flows.insert(key, flow);
        drop(open);
        Self { hub, key }
    }
}

impl Drop for OpenFlow {
    fn drop(&mut self) {
        let flow = self.hub.flows.open.lock().flows.remove(&self.key);
        if let Some(mut flow) = flow {
            flow.report(self.hub.now());
        }
    }
}

impl Flow {
    fn report(&mut self, now: u32) {
        let (received, sent) = self.counts.bytes();
        let (told_received, told_sent) = std::mem::replace(&mut self.told, (received, sent));
        // Also without news: a series of an open connection is not idle.
        if let Some(series) = &self.received {
            series.add_shared(received.saturating_sub(told_received), now);
        }
        if let Some(series) = &self.sent {
            series.add_shared(sent.saturating_sub(told_sent), now);
        }
    }
}

impl fmt::Debug for Flows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flows").finish_non_exhaustive()
    }
}

impl fmt::Debug for OpenFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFlow")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
