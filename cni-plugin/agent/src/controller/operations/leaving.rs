//! A pod that leaves the mesh: nothing new is redirected, what is open ends or its time does, then ztunnel lets go of it.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::{World, rules_failure};
use crate::drain::{Drain, Verdict, through_ztunnel};
use crate::enroll::{Failure, Pace, Record};
use crate::sockets;

/// How long the connections of a pod that leaves are given to end; zero cuts them at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DrainTimes {
    /// As a rule.
    pub usual: Duration,
    /// When the mesh leaves the node.
    pub leaving: Duration,
}

impl DrainTimes {
    fn of(self, pace: Pace) -> Duration {
        match pace {
            Pace::Usual => self.usual,
            Pace::Leaving => self.leaving.min(self.usual),
        }
    }
}

impl World {
    /// What opens a connection is redirected no more; what is under way stays translated and routed.
    pub(super) async fn release_rules(&self, record: &Record) -> Result<(), Failure> {
        let netns = self.namespace(record)?;
        self.held.lock().watched.remove(&record.key);
        let released = self.kernel.release_pod(&netns).await;
        released.map_err(|e| rules_failure(record, &e))?;
        let open = sockets::read(&netns).unwrap_or_default();
        let mut held = self.held.lock();
        // Other rules than these are to be put in place now, should it stay.
        held.ruled.remove(&record.key);
        let open = open.iter().map(|socket| socket.connection).collect();
        held.released.insert(record.key.clone(), open);
        Ok(())
    }

    /// Waits until nothing of the pod passes ztunnel. Nothing else is done, so that it may be overtaken: by the pod's end,
    /// or when it is to stay.
    pub(super) async fn drain(&self, record: &Record, pace: Pace) -> Result<(), Failure> {
        let limit = self.drain.of(pace);
        if limit.is_zero() {
            return Ok(());
        }
        let (begun, mut drain) = (Instant::now(), Drain::default());
        loop {
            if !self.is_released(record) {
                return Ok(());
            }
            let open = self.look(record).await;
            match drain.look(open, begun.elapsed(), limit) {
                Verdict::Wait(pause) => sleep(pause).await,
                Verdict::Quiet | Verdict::Overdue => return Ok(()),
            }
        }
    }

    /// ztunnel lets go of what it carries, and only then the rest of the rules goes: without it the ends of those
    /// connections would not hear that they were cut, and send on, in the clear.
    pub(super) async fn remove_rules(&self, record: &Record) -> Result<(), Failure> {
        let netns = self.namespace(record)?;
        let cut = self.look(record).await;
        self.proxy_del(record).await?;
        self.kernel
            .clear_pod(&netns)
            .await
            .map_err(|e| rules_failure(record, &e))?;
        self.held.lock().unruled(&record.key);
        match cut {
            Some(0) => tracing::info!(pod = %record.pod, "a running pod has left the mesh"),
            Some(connections) => {
                self.metrics.cut(connections);
                tracing::warn!(
                    pod = %record.pod,
                    connections,
                    "a running pod has left the mesh; connections that were still open after UNENROLL_DRAIN_SECONDS were cut"
                );
            }
            None => {
                tracing::warn!(pod = %record.pod, "a running pod has left the mesh; how many connections were cut is unknown");
            }
        }
        Ok(())
    }

    /// Whether it still is on its way out, in the namespace that is held.
    fn is_released(&self, record: &Record) -> bool {
        let held = self.held.lock();
        let namespace = held.namespaces.get(&record.key);
        namespace.is_some_and(|netns| netns.id() == record.netns) && held.released.contains_key(&record.key)
    }

    /// How many connections of the pod pass ztunnel; nothing where that cannot be told.
    async fn look(&self, record: &Record) -> Option<usize> {
        let netns = self.held.lock().namespaces.get(&record.key).cloned()?;
        // Never closed. The kernel looks through every connection of the machine for this.
        let _permit = self.looks.acquire().await;
        let open = spawn_blocking(move || sockets::read(&netns)).await;
        match open {
            Ok(Ok(open)) => Some(through_ztunnel(&open, &record.ips)),
            Ok(Err(error)) => {
                tracing::warn!(pod = %record.pod, %error, "which connections of a pod are open is unknown");
                None
            }
            Err(error) => {
                tracing::error!(pod = %record.pod, %error, "the look at a pod's connections has failed");
                None
            }
        }
    }
}
