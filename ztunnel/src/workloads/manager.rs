//! What the node agent says, carried out.
//!
//! A pod whose proxy cannot be started (a port in use, a namespace that is gone) is refused to the agent with the reason,
//! kept as pending, and tried again every few seconds. It never makes the node unready: one broken pod is that pod's
//! problem, shows in its refusal, in `/config_dump` and in `workload_manager_pending_proxy_count`, and new pods of the
//! node must still start. The node is ready once the agent's snapshot was taken.
//!
//! A pod that is removed is cut at once: its namespace is going. When the process stops, all pods drain.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use mesh_dataplane::identities::{Identities, KeepCertificates};
use mesh_net::Netns;
use mesh_runtime::drain::{DrainMode, DrainTrigger, Drained};
use mesh_runtime::readiness::BlockReady;
use mesh_runtime::supervise::Tasks;
use mesh_state::StateReader;
use mesh_types::Identity;
use mesh_zds::{Answer, Delivery, PodEvent, PodInfo, PodUid, Refused, ZdsClient};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::pod_proxy::{Running, StartPods};
use super::table::PodTable;

/// The pods of this node.
pub struct Manager<S: StartPods, K> {
    starter: S,
    identities: Identities<K>,
    state: StateReader,
    table: PodTable,
    tasks: Tasks,
    pods: BTreeMap<PodUid, Pod<S::Netns>>,
    /// Drains of removed pods; each ends with its other end.
    ending: Vec<oneshot::Receiver<()>>,
    /// The pods that the snapshot under way has listed.
    listed: Option<BTreeSet<PodUid>>,
    /// Closed by the first snapshot.
    unready: Option<BlockReady>,
    /// Why there is no connection to the agent, as it was last logged.
    disconnected: Option<String>,
}

struct Pod<N> {
    info: PodInfo,
    netns: N,
    phase: Phase,
}

enum Phase {
    Up {
        running: Running,
        /// Whose certificate is kept for it; known once the configuration has the pod.
        identity: Option<Identity>,
    },
    Pending,
}

impl<S: StartPods, K: KeepCertificates> Manager<S, K> {
    /// No pod yet. `unready` is closed when the first snapshot was taken.
    #[must_use]
    pub fn new(
        starter: S,
        keeper: K,
        state: StateReader,
        table: PodTable,
        tasks: Tasks,
        unready: BlockReady,
    ) -> Self {
        Self {
            starter,
            identities: Identities::new(keeper),
            state,
            table,
            tasks,
            pods: BTreeMap::new(),
            ending: Vec::new(),
            listed: None,
            unready: Some(unready),
            disconnected: None,
        }
    }

    /// A new connection to the agent: its snapshot follows.
    pub fn connected(&mut self) {
        self.listed = Some(BTreeSet::new());
    }

    /// Carries out what the agent says.
    ///
    /// # Errors
    /// The refusal is the answer to the agent.
    pub fn handle(&mut self, event: PodEvent<S::Netns>) -> Answer {
        match event {
            PodEvent::Add { uid, info, netns } => {
                self.list(&uid);
                self.add(uid, info, netns)
            }
            PodEvent::Keep { uid } => {
                self.list(&uid);
                match self.pods.contains_key(&uid) {
                    true => Ok(()),
                    false => Err(Refused(format!(
                        "pod {uid} is not known here, and came without its namespace"
                    ))),
                }
            }
            PodEvent::Del { uid } => {
                self.remove(&uid);
                Ok(())
            }
            PodEvent::SnapshotSent => {
                self.snapshot_sent();
                Ok(())
            }
        }
    }

    /// Tries the pods that could not be started.
    pub fn retry(&mut self) {
        let pending = self
            .pods
            .iter()
            .filter(|(_, pod)| matches!(pod.phase, Phase::Pending));
        let pending: Vec<_> = pending.map(|(uid, _)| uid.clone()).collect();
        for uid in pending {
            if let Err(refused) = self.start(&uid) {
                tracing::debug!(pod = %uid, "still pending: {refused}");
            }
        }
    }

    /// Keeps certificates for exactly the identities that the pods have, as the configuration has them now.
    pub fn refresh_identities(&mut self) {
        for pod in self.pods.values_mut() {
            let Phase::Up { running, identity } = &mut pod.phase else {
                continue;
            };
            let now = self.state.query(|view| running.pod.known_identity(view));
            if now == *identity {
                continue;
            }
            if let Some(now) = &now {
                self.identities.arrive(now.clone());
            }
            if let Some(before) = std::mem::replace(identity, now) {
                self.identities.leave(&before);
            }
        }
    }

    /// Lets all connections end, at most until `deadline` has passed.
    pub async fn shutdown(self, deadline: Duration) {
        let drains = self.pods.into_iter().filter_map(|(uid, pod)| match pod.phase {
            Phase::Up { running, .. } => Some((uid, running.drain)),
            Phase::Pending => None,
        });
        let drains = drains.map(|(uid, trigger)| async move {
            let drained = trigger.drain(DrainMode::Graceful, deadline).await;
            (uid, drained)
        });
        for (uid, drained) in join_all(drains).await {
            if drained != Drained::Complete {
                tracing::info!(pod = %uid, ?drained, "connections were cut at the end of the drain");
            }
        }
    }

    fn add(&mut self, uid: PodUid, info: PodInfo, netns: S::Netns) -> Answer {
        if let Some(known) = self.pods.get(&uid) {
            let same = known.info == info && S::id(&known.netns) == S::id(&netns);
            if same && matches!(known.phase, Phase::Up { .. }) {
                return Ok(());
            }
            // Another namespace under the same uid: the sandbox was made anew, and the old one is gone or going.
            self.remove(&uid);
        }
        let pod = Pod {
            info,
            netns,
            phase: Phase::Pending,
        };
        self.pods.insert(uid.clone(), pod);
        self.start(&uid)
    }

    fn start(&mut self, uid: &PodUid) -> Answer {
        let Some(pod) = self.pods.get_mut(uid) else {
            return Ok(());
        };
        let PodInfo { name, namespace, .. } = &pod.info;
        match self.starter.start(&pod.info, &pod.netns) {
            Ok(running) => {
                tracing::info!(pod = %uid, %namespace, %name, "pod proxy started");
                self.table.up(uid, &pod.info, &running);
                let identity = None;
                pod.phase = Phase::Up { running, identity };
                self.refresh_identities();
                Ok(())
            }
            Err(error) => {
                tracing::warn!(pod = %uid, %namespace, %name, %error, "pod proxy cannot be started, trying again");
                self.table.pending(uid, &pod.info);
                Err(Refused(error.to_string()))
            }
        }
    }

    fn remove(&mut self, uid: &PodUid) {
        let Some(pod) = self.pods.remove(uid) else {
            return;
        };
        match pod.phase {
            Phase::Up { running, identity } => {
                tracing::info!(pod = %uid, name = %pod.info.name, namespace = %pod.info.namespace, "pod proxy stopped");
                self.table.stopped(uid);
                if let Some(identity) = identity {
                    self.identities.leave(&identity);
                }
                let (over, ended) = oneshot::channel();
                self.tasks.spawn("pod drain", async move {
                    cut(running.drain).await;
                    drop(over);
                });
                self.ending.push(ended);
            }
            Phase::Pending => self.table.gone(uid),
        }
    }

    /// Waits until the pods that were removed have no listener and no connection left. The agent is answered only then:
    /// it tells everybody next that nobody is there, and whoever connects in the clear because of that must not be let
    /// in here; and it takes away the rules that carry the ends of connections to their clients.
    pub async fn ended(&mut self) {
        for ended in std::mem::take(&mut self.ending) {
            // Nothing is ever sent; the other end goes when all is over.
            let _ = ended.await;
        }
    }

    fn list(&mut self, uid: &PodUid) {
        if let Some(listed) = &mut self.listed {
            listed.insert(uid.clone());
        }
    }

    fn snapshot_sent(&mut self) {
        if let Some(listed) = self.listed.take() {
            let gone: Vec<_> = self
                .pods
                .keys()
                .filter(|uid| !listed.contains(*uid))
                .cloned()
                .collect();
            for uid in gone {
                self.remove(&uid);
            }
        }
        if let Some(unready) = self.unready.take() {
            tracing::info!(pods = self.pods.len(), "the node agent's snapshot is complete");
            unready.ready();
        }
    }
}

impl<S: StartPods<Netns = Netns>, K: KeepCertificates> Manager<S, K> {
    /// Follows the node agent until `stop` resolves, then drains.
    pub async fn run(mut self, mut agent: ZdsClient, stop: impl Future<Output = ()>, deadline: Duration) {
        let mut generation = self.state.generation();
        let mut retry = interval_at(Instant::now() + RETRY, RETRY);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                delivery = agent.next() => self.take(delivery).await,
                Ok(()) = generation.changed() => self.refresh_identities(),
                _ = retry.tick() => self.retry(),
            }
        }
        // Gone from the agent's view first, so that it hands new pods to the next ztunnel.
        drop(agent);
        self.shutdown(deadline).await;
    }

    async fn take(&mut self, delivery: Delivery<'_>) {
        match delivery {
            Delivery::Connected => {
                tracing::info!("connected to the node agent");
                self.disconnected = None;
                self.connected();
            }
            Delivery::Disconnected(error) => self.say_disconnected(error.to_string()),
            Delivery::Pod(event, reply) => {
                let answer = self.handle(event);
                self.ended().await;
                if let Err(error) = reply.send(answer).await {
                    tracing::warn!(%error, "answer to the node agent");
                }
            }
        }
    }
}

impl<S: StartPods, K> Manager<S, K> {
    /// Attempts follow each other quickly; the same reason is said once.
    fn say_disconnected(&mut self, error: String) {
        if self.disconnected.as_ref() != Some(&error) {
            tracing::warn!(%error, "no connection to the node agent, trying again");
            self.disconnected = Some(error);
        }
    }
}

async fn cut(trigger: DrainTrigger) {
    if trigger.drain(DrainMode::Immediate, Duration::ZERO).await == Drained::Stuck {
        tracing::warn!("a removed pod's connections did not end at once");
    }
}

/// How often pods that could not be started are tried again; upstream's figure.
const RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
