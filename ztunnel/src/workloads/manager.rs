//! What the node agent says, carried out.
//!
//! A pod whose proxy cannot be started (a port in use, a namespace that is gone) is refused to the agent with the reason,
//! kept as pending, and tried again every few seconds. It never makes the node unready: one broken pod is that pod's
//! problem, shows in its refusal, in `/config_dump` and in `workload_manager_pending_proxy_count`, and new pods of the
//! node must still start. The node is ready once the agent's snapshot was taken.
//!
//! Where another proxy listens in a pod already, this one succeeds it (a rollout): it takes connections once it can serve
//! them ([`succession`](super::succession)), and the node is not ready before, so that the other one stays so long.
//!
//! A pod that is removed is cut at once: its namespace is going. When the process stops, all pods drain.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
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
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use super::pod_proxy::{Running, StartPods};
use super::succession::{Means, Turn, turn};
use super::table::PodTable;
use crate::local::LocalPod;

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
    /// Whether the configuration is complete.
    synced: watch::Receiver<bool>,
    /// Closed when the first snapshot was carried out and no pod of it is a predecessor's any more.
    unready: Option<BlockReady>,
    /// The first snapshot is complete.
    snapshot_taken: bool,
    /// Why there is no connection to the agent, as it was last logged.
    disconnected: Option<String>,
}

struct Pod<N> {
    info: PodInfo,
    netns: N,
    phase: Phase,
}

enum Phase {
    /// Still a predecessor's.
    Succeeding {
        pod: Arc<LocalPod>,
        member: Member,
    },
    Up {
        running: Running,
        member: Member,
    },
    Pending,
}

/// A pod as the configuration has it.
#[derive(Default)]
struct Member {
    /// Whose certificate is kept for it; known once the configuration has the pod.
    identity: Option<Identity>,
    /// Since when.
    since: Option<Instant>,
}

impl<S: StartPods, K: KeepCertificates> Manager<S, K> {
    /// No pod yet. `synced` tells when the configuration is complete; `unready` is closed when the first snapshot was
    /// carried out.
    #[must_use]
    pub fn new(
        starter: S,
        keeper: K,
        state: StateReader,
        synced: watch::Receiver<bool>,
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
            synced,
            unready: Some(unready),
            snapshot_taken: false,
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

    /// Takes the pods that are a predecessor's so far, where it is time.
    pub fn succeed(&mut self) {
        for uid in self.succeeding() {
            // Refused pods are pending, and tried again with the others.
            let _ = self.start(&uid);
        }
        self.tell_ready();
    }

    fn is_succeeding(&self) -> bool {
        self.pods
            .values()
            .any(|pod| matches!(pod.phase, Phase::Succeeding { .. }))
    }

    fn succeeding(&self) -> Vec<PodUid> {
        let succeeding = self
            .pods
            .iter()
            .filter(|(_, pod)| matches!(pod.phase, Phase::Succeeding { .. }));
        succeeding.map(|(uid, _)| uid.clone()).collect()
    }

    /// Keeps certificates for exactly the identities that the pods have, as the configuration has them now.
    pub fn refresh_identities(&mut self) {
        for pod in self.pods.values_mut() {
            let (pod, member) = match &mut pod.phase {
                Phase::Up { running, member } => (&running.pod, member),
                Phase::Succeeding { pod, member } => (&*pod, member),
                Phase::Pending => continue,
            };
            let now = self.state.query(|view| pod.known_identity(view));
            if now == member.identity {
                continue;
            }
            if let Some(now) = &now {
                self.identities.arrive(now.clone());
            }
            member.since = now.is_some().then(Instant::now);
            if let Some(before) = std::mem::replace(&mut member.identity, now) {
                self.identities.leave(&before);
            }
        }
    }

    /// Lets all connections end, at most until `deadline` has passed.
    pub async fn shutdown(self, deadline: Duration) {
        let drains = self.pods.into_iter().filter_map(|(uid, pod)| match pod.phase {
            Phase::Up { running, .. } => Some((uid, running.drain)),
            Phase::Succeeding { .. } | Phase::Pending => None,
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
            if same && matches!(known.phase, Phase::Up { .. } | Phase::Succeeding { .. }) {
                return Ok(());
            }
            // Another namespace under the same uid: the sandbox was made anew, and the old one is gone or going.
            self.remove(&uid);
        }
        let phase = match self.starter.is_served(&netns) {
            true => Phase::Succeeding {
                pod: self.starter.local(&info),
                member: Member::default(),
            },
            false => Phase::Pending,
        };
        self.pods.insert(uid.clone(), Pod { info, netns, phase });
        self.refresh_identities();
        self.start(&uid)
    }

    /// Starts the proxy of a pod that has none, unless it is a predecessor's for now.
    fn start(&mut self, uid: &PodUid) -> Answer {
        let Some(pod) = self.pods.get_mut(uid) else {
            return Ok(());
        };
        let PodInfo { name, namespace, .. } = &pod.info;
        if let Phase::Succeeding { member, .. } = &pod.phase {
            let means = Means {
                predecessor: self.starter.is_served(&pod.netns),
                synced: *self.synced.borrow(),
                certificate: member
                    .identity
                    .as_ref()
                    .is_none_or(|id| self.identities.holds(id)),
                asked_for: member.since.map(|since| since.elapsed()).unwrap_or_default(),
            };
            if turn(means) == Turn::Predecessors {
                self.table.pending(uid, &pod.info);
                return Ok(());
            }
        }
        let (local, member) = match std::mem::replace(&mut pod.phase, Phase::Pending) {
            Phase::Succeeding { pod, member } => (pod, member),
            Phase::Up { .. } | Phase::Pending => (self.starter.local(&pod.info), Member::default()),
        };
        match self.starter.start(local, &pod.netns) {
            Ok(running) => {
                tracing::info!(pod = %uid, %namespace, %name, "pod proxy started");
                self.table.up(uid, &pod.info, &running);
                pod.phase = Phase::Up { running, member };
                self.refresh_identities();
                Ok(())
            }
            Err(error) => {
                tracing::warn!(pod = %uid, %namespace, %name, %error, "pod proxy cannot be started, trying again");
                self.table.pending(uid, &pod.info);
                self.leave(member);
                Err(Refused(error.to_string()))
            }
        }
    }

    fn remove(&mut self, uid: &PodUid) {
        let Some(pod) = self.pods.remove(uid) else {
            return;
        };
        match pod.phase {
            Phase::Up { running, member } => {
                tracing::info!(pod = %uid, name = %pod.info.name, namespace = %pod.info.namespace, "pod proxy stopped");
                self.table.stopped(uid);
                self.leave(member);
                let (over, ended) = oneshot::channel();
                self.tasks.spawn("pod drain", async move {
                    cut(running.drain).await;
                    drop(over);
                });
                self.ending.push(ended);
            }
            Phase::Succeeding { member, .. } => {
                self.table.gone(uid);
                self.leave(member);
            }
            Phase::Pending => self.table.gone(uid),
        }
    }

    fn leave(&mut self, member: Member) {
        if let Some(identity) = member.identity {
            self.identities.leave(&identity);
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
        if !self.snapshot_taken {
            tracing::info!(pods = self.pods.len(), "the node agent's snapshot is complete");
            self.snapshot_taken = true;
        }
        self.tell_ready();
    }

    fn tell_ready(&mut self) {
        if self.snapshot_taken
            && !self.is_succeeding()
            && let Some(unready) = self.unready.take()
        {
            tracing::info!(
                pods = self.pods.len(),
                "every pod of the node is served by this proxy"
            );
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
        let mut succeed = interval(SUCCEED);
        succeed.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                delivery = agent.next() => self.take(delivery).await,
                Ok(()) = generation.changed() => self.refresh_identities(),
                _ = retry.tick() => self.retry(),
                _ = succeed.tick(), if self.is_succeeding() => self.succeed(),
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
/// How often a successor looks whether it is time; only while it is one.
const SUCCEED: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
