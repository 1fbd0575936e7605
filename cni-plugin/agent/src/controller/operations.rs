//! What each operation does to the kernel, ztunnel and whoever is told of pods.
//!
//! # Layout
//! - this file: one operation on one pod. `leaving`: those of a pod that leaves the mesh. `running`: pods that run already,
//!   and the end of all of them.

mod leaving;
mod running;

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cni_rules::audit::Finding;
use cni_rules::plan::{HostOptions, PodOptions, ProbeAddresses};
use cni_rules::rule::{InterfaceName, InvalidInterfaceName};
use mesh_net::Netns;
use mesh_net::nftables::watch::RulesWatch;
use mesh_zds::{Pod, PodInfo, PodUid, ZdsError, ZdsServer};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::announce::Announcer;
use crate::enroll::{Failure, Operation, PodKey, Record, Role, Settings};
use crate::kernel::{Kernel, KernelError, Memory, NodeRules};
use crate::metrics::Metrics;
use crate::search::Places;
use crate::sockets::Connection;
pub use leaving::DrainTimes;

/// The world that operations act on. Cloning shares it.
#[derive(Clone)]
pub struct Operations {
    world: Arc<World>,
}

/// What operations need.
pub struct World {
    /// Rules.
    pub kernel: Kernel,
    /// ztunnel.
    pub zds: ZdsServer,
    /// Whoever is told what became of a pod.
    pub announcer: Announcer,
    /// Where pods that run are found.
    pub places: Places,
    /// The node's own rules.
    pub node: NodeRules,
    /// The addresses that the node's own processes have towards pods.
    pub probe: ProbeAddresses,
    /// Whether DNS is captured where a pod's annotations do not say.
    pub dns_capture: DnsCapture,
    /// How long the connections of a pod that leaves are given to end.
    pub drain: DrainTimes,
    /// Bounds how many namespaces are asked for their connections at once.
    pub looks: Semaphore,
    /// Counts repairs.
    pub metrics: Metrics,
    /// What is held for which pod.
    pub held: Mutex<Held>,
}

/// Whether ztunnel's DNS server may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DnsCapture {
    /// This ztunnel has no DNS server: no pod's DNS is captured, whatever its annotations say.
    Unavailable,
    /// Only for pods that ask for it.
    OnRequest,
    /// For every pod that does not refuse it.
    Default,
}

/// Namespaces that are held open, and what was put into them.
#[derive(Debug, Default)]
pub struct Held {
    namespaces: HashMap<PodKey, Netns>,
    /// Pods whose rules were in place, in the namespace that is held.
    ruled: HashMap<PodKey, RuledBy>,
    /// Subscriptions to the rules of pods, which end when this end is dropped; nothing where there can be none.
    watched: HashMap<PodKey, Option<oneshot::Sender<Infallible>>>,
    /// Subscriptions that nobody listens to yet.
    fresh: Vec<PodWatch>,
    /// Connections of each pod from before its rules.
    older: HashMap<PodKey, Vec<Connection>>,
    /// Those that were found since they were last asked for.
    found_older: Vec<(PodKey, Vec<Connection>)>,
    /// Connections of pods that are leaving, as they were when nothing new was redirected any more.
    released: HashMap<PodKey, BTreeSet<Connection>>,
    /// The addresses that the node's rules held for last.
    host: Option<BTreeSet<IpAddr>>,
}

/// Who put rules in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum RuledBy {
    /// This process: what is missing later was removed by somebody else.
    Ourselves,
    /// The agent before a restart, which may have been of a version with other rules.
    Predecessor,
}

/// A subscription to the rules of one pod.
#[derive(Debug)]
pub struct PodWatch {
    key: PodKey,
    watch: RulesWatch,
    ended: oneshot::Receiver<Infallible>,
    /// Nothing is told before: whoever changes rules without end must not keep the agent busy.
    rests_until: Instant,
}

impl Held {
    fn let_go(&mut self, key: &PodKey) -> Option<Netns> {
        self.unruled(key);
        self.namespaces.remove(key)
    }

    fn unruled(&mut self, key: &PodKey) {
        self.ruled.remove(key);
        self.watched.remove(key);
        self.older.remove(key);
        self.released.remove(key);
    }
}

// === impl PodWatch ===

impl PodWatch {
    /// Whose rules.
    #[must_use]
    pub fn key(&self) -> &PodKey {
        &self.key
    }

    /// Returns itself when the rules have changed, by whomever; nothing when the subscription has ended.
    pub async fn changed(mut self) -> Option<Self> {
        let changed = async {
            sleep_until(self.rests_until).await;
            self.watch.changed().await
        };
        let changed = tokio::select! {
            biased;
            _ = &mut self.ended => return None,
            changed = changed => changed,
        };
        if let Err(error) = changed {
            tracing::warn!(pod = %self.key.0, %error, "changes of a pod's rules are not heard of any more");
            return None;
        }
        self.rests_until = Instant::now() + BETWEEN_CHANGES;
        Some(self)
    }
}

// === impl Operations ===

impl Operations {
    /// Operations on this world.
    #[must_use]
    pub fn new(world: World) -> Self {
        Self {
            world: Arc::new(world),
        }
    }

    /// Holds a pod's namespace.
    pub fn hold(&self, key: PodKey, netns: Netns) {
        let mut held = self.world.held.lock();
        let id = netns.id();
        // While the one before is held, another namespace cannot have its number.
        if held
            .namespaces
            .insert(key.clone(), netns)
            .is_none_or(|before| before.id() != id)
        {
            held.unruled(&key);
        }
    }

    /// Subscriptions to pods' rules that were made since the last call.
    #[must_use]
    pub fn take_watches(&self) -> Vec<PodWatch> {
        std::mem::take(&mut self.world.held.lock().fresh)
    }

    /// Connections that are older than their pods' rules, found since the last call.
    #[must_use]
    pub fn take_older(&self) -> Vec<(PodKey, Vec<Connection>)> {
        std::mem::take(&mut self.world.held.lock().found_older)
    }

    /// Lets go of everything of a pod.
    pub fn let_go(&self, key: &PodKey) {
        self.world.let_go(key);
    }

    /// Lists the pods that were enrolled before a restart with ztunnel, before any ztunnel can ask.
    pub fn restore(&self, records: &[Record]) {
        for record in records {
            let Some(enrolment) = &record.enrolment else {
                continue;
            };
            let netns = match self.world.namespace(record) {
                Ok(netns) => Some(netns),
                Err(Failure::NamespaceGone) => continue,
                // What ztunnel has of it stays as it is.
                Err(Failure::Unavailable(_) | Failure::Refused(_)) => None,
            };
            if netns.is_some() {
                let mut held = self.world.held.lock();
                held.ruled.insert(record.key.clone(), RuledBy::Predecessor);
                held.older.insert(record.key.clone(), record.older.clone());
            }
            self.world.list(record, &enrolment.role, netns);
        }
    }

    /// Lists the pods that were found to be in the mesh with ztunnel, as [`Self::restore`] does; nothing is known of their
    /// rules.
    pub fn list<'a>(&self, records: impl Iterator<Item = &'a Record>) {
        for record in records {
            if let (Some(enrolment), Ok(netns)) = (&record.enrolment, self.world.namespace(record)) {
                self.world.list(record, &enrolment.role, Some(netns));
            }
        }
    }

    /// Runs one operation on a pod.
    pub fn run(
        &self,
        record: Record,
        operation: Operation,
    ) -> impl Future<Output = Result<(), Failure>> + Send + use<> {
        let world = self.world.clone();
        async move {
            match operation {
                Operation::EnsureRules(settings) => world.ensure_rules(&record, &settings).await,
                Operation::EnsureNamespace => world.namespace(&record).map(drop),
                Operation::ReleaseRules => world.release_rules(&record).await,
                Operation::Drain(pace) => world.drain(&record, pace).await,
                Operation::RemoveRules => world.remove_rules(&record).await,
                Operation::ProxyAdd(role) => world.proxy_add(&record, &role).await,
                Operation::ProxyDel => world.proxy_del(&record).await,
                Operation::Report(redirection) => world.announcer.report(&record, redirection).await,
                Operation::Withdraw => world.withdraw(&record).await,
            }
        }
    }

    /// Makes the node's probe rules hold for exactly these addresses.
    pub fn set_host(
        &self,
        pods: BTreeSet<IpAddr>,
    ) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let world = self.world.clone();
        async move {
            world
                .set_host(pods)
                .await
                .map_err(|e| format!("the node's probe rules: {e}"))
        }
    }
}

// === impl World ===

impl World {
    fn list(&self, record: &Record, role: &Role, netns: Option<Netns>) {
        if let Err(error) = self.zds.restore(pod(record, role, netns)) {
            tracing::error!(pod = %record.pod, %error, "a pod cannot be handed to ztunnel again");
        }
    }

    /// The pod's namespace, if the one at its path still is the one that it was.
    fn namespace(&self, record: &Record) -> Result<Netns, Failure> {
        let found = Netns::open(&record.netns_path).map_err(|e| match e.kind() {
            // InvalidInput: something else than a namespace stands there now.
            io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => Failure::NamespaceGone,
            _ => Failure::Unavailable(format!("{}: {e}", record.netns_path.display())),
        })?;
        if found.id() != record.netns {
            return Err(Failure::NamespaceGone);
        }
        let mut held = self.held.lock();
        let kept = held
            .namespaces
            .entry(record.key.clone())
            .or_insert_with(|| found.clone());
        // The key may have passed to another sandbox meanwhile, whose namespace is held.
        Ok(if kept.id() == found.id() {
            kept.clone()
        } else {
            found
        })
    }

    async fn ensure_rules(&self, record: &Record, settings: &Settings) -> Result<(), Failure> {
        let netns = self.namespace(record)?;
        let options = self.options(record, settings).map_err(|e| {
            Failure::Refused(format!(
                "pod {}: annotation istio.io/reroute-virtual-interfaces: {e}",
                record.pod
            ))
        })?;
        let had_them = self.held.lock().ruled.get(&record.key).copied();
        // Before they are looked at: nothing is missed in between.
        self.watch(record, &netns);
        let memory = match had_them {
            Some(_) => Memory::Valid,
            None => Memory::Stale,
        };
        let findings = self.kernel.ensure_pod(&netns, &options, memory).await;
        let findings = findings.map_err(|e| rules_failure(record, &e))?;
        let by = RuledBy::Ourselves;
        self.held.lock().ruled.insert(record.key.clone(), by);
        match had_them {
            Some(RuledBy::Ourselves) => self.repaired(&format!("pod {}", record.pod), &findings),
            Some(RuledBy::Predecessor) => renewed(record, &findings),
            None => self.note_older(record, &netns),
        }
        Ok(())
    }

    /// Subscribes to the pod's rules, once; the regular look goes on in any case.
    fn watch(&self, record: &Record, netns: &Netns) {
        let key = &record.key;
        if self.held.lock().watched.contains_key(key) {
            return;
        }
        let (end, ended) = oneshot::channel();
        let mut end = Some(end);
        match RulesWatch::open(netns) {
            Ok(watch) => self.held.lock().fresh.push(PodWatch {
                key: key.clone(),
                watch,
                ended,
                rests_until: Instant::now(),
            }),
            Err(error) => {
                tracing::warn!(pod = %record.pod, %error, "changes of the pod's rules are only found by the regular look");
                end = None;
            }
        }
        self.held.lock().watched.insert(key.clone(), end);
    }

    async fn proxy_add(&self, record: &Record, role: &Role) -> Result<(), Failure> {
        let added = self.hand_over(record, role).await;
        if let Err(failure) = &added
            && self.held.lock().ruled.contains_key(&record.key)
        {
            self.announcer.report_pending(record, failure).await;
        }
        added
    }

    async fn hand_over(&self, record: &Record, role: &Role) -> Result<(), Failure> {
        let netns = self.namespace(record)?;
        let name = &record.pod;
        match timeout(PROXY_DEADLINE, self.zds.add(pod(record, role, Some(netns)))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error @ (ZdsError::Refused(_) | ZdsError::Invalid(_)))) => {
                Err(Failure::Refused(format!("pod {name}: {error}")))
            }
            Ok(Err(error)) => Err(Failure::Unavailable(format!("pod {name}: {error}"))),
            Err(_) if self.zds.connected() == 0 => Err(Failure::Unavailable(format!(
                "no ztunnel is connected to the node agent, so pod {name} cannot be handed over; its pods: {SHOW_ZTUNNEL}"
            ))),
            Err(_) => Err(Failure::Unavailable(format!(
                "ztunnel has not taken pod {name} in time"
            ))),
        }
    }

    async fn proxy_del(&self, record: &Record) -> Result<(), Failure> {
        let deleted = timeout(
            PROXY_DEL_DEADLINE,
            self.zds.del(&PodUid::new(record.key.0.as_str())),
        )
        .await;
        deleted.map_err(|_| {
            Failure::Unavailable(format!("ztunnel has not let go of pod {} in time", record.pod))
        })
    }

    async fn withdraw(&self, record: &Record) -> Result<(), Failure> {
        // Nothing is done inside the namespace any more, and held it would not end.
        self.let_go(&record.key);
        self.announcer.withdraw(record).await
    }

    fn let_go(&self, key: &PodKey) {
        let netns = self.held.lock().let_go(key);
        if let Some(netns) = netns {
            self.kernel.forget(netns.id());
        }
    }

    async fn set_host(&self, pods: BTreeSet<IpAddr>) -> Result<(), KernelError> {
        let options = HostOptions {
            probe: self.probe,
            pods: pods.clone(),
        };
        // Other ones than last time: they are to be set in any case.
        let memory = match self.held.lock().host.as_ref() == Some(&pods) {
            true => Memory::Valid,
            false => Memory::Stale,
        };
        let findings = self.node.ensure(&options, memory).await?;
        self.held.lock().host = Some(pods);
        self.repaired("the node", &findings);
        Ok(())
    }

    fn options(&self, record: &Record, settings: &Settings) -> Result<PodOptions, InvalidInterfaceName> {
        let interfaces = settings.reroute_virtual_interfaces.iter();
        let dns_capture = match (self.dns_capture, settings.dns_capture) {
            (DnsCapture::Unavailable, Some(true)) => {
                tracing::warn!(pod = %record.pod, "the pod asks for DNS capture, which this ztunnel does not offer");
                false
            }
            (DnsCapture::Unavailable, _) => false,
            (DnsCapture::OnRequest, asked) => asked.unwrap_or(false),
            (DnsCapture::Default, asked) => asked.unwrap_or(true),
        };
        Ok(PodOptions {
            bypass_inbound_capture: settings.bypass_inbound_capture,
            dns_capture,
            reroute_virtual_interfaces: interfaces
                .map(|name| InterfaceName::new(name))
                .collect::<Result<_, _>>()?,
            probe: self.probe,
        })
    }

    fn repaired(&self, of: &str, findings: &[Finding]) {
        for finding in findings {
            let Finding { table, what } = finding;
            tracing::error!(
                of,
                table,
                what,
                "rules were changed by somebody else, and have been put right"
            );
        }
        if !findings.is_empty() {
            self.metrics.repaired();
        }
    }
}

fn renewed(record: &Record, findings: &[Finding]) {
    for Finding { table, what } in findings {
        tracing::warn!(
            pod = %record.pod,
            table,
            what,
            "rules from before this agent's start were other ones, and have been brought up to date"
        );
    }
}

fn pod(record: &Record, role: &Role, netns: Option<Netns>) -> Pod {
    Pod {
        uid: PodUid::new(record.key.0.as_str()),
        info: PodInfo {
            name: record.pod.name.clone(),
            namespace: record.pod.namespace.clone(),
            service_account: role.service_account.as_str().into(),
        },
        netns,
    }
}

fn rules_failure(record: &Record, error: &KernelError) -> Failure {
    let text = format!("the rules of pod {}: {error}", record.pod);
    match error {
        KernelError::TimedOut => Failure::Unavailable(text),
        _ => Failure::Refused(text),
    }
}

/// Shows ztunnel's pods and what became of them.
pub(crate) const SHOW_ZTUNNEL: &str = "kubectl get pods -A -o wide -l app=ztunnel";
/// ztunnel has 5 s to answer, and may just be restarting.
const PROXY_DEADLINE: Duration = Duration::from_secs(6);
/// Every connected ztunnel answers within 5 s or is cut off; another message may be ahead.
const PROXY_DEL_DEADLINE: Duration = Duration::from_secs(12);
/// Between two times that the rules of one pod are looked at because they changed.
const BETWEEN_CHANGES: Duration = Duration::from_millis(50);
