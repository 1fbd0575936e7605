//! Writes what became of a cluster's objects into their statuses: one replica, what differs, and only when something
//! changed. When the duty begins, what was said before it is looked for ([`earlier`]). Where lists of conditions are maps to the API
//! server, what is ours is applied ([`own`]); elsewhere a status is read, changed and written in the version that was read.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::time::Duration;

use controlplane_index::ObjectStatus;
use controlplane_k8s_api::gateway::LabelSelector;
use controlplane_k8s_api::{Group, Kind, ObjectKey};
use controlplane_kube::resources::WATCHED;
use mesh_kube::{KubeClient, KubeError, ObjectName, Resource, Selection, SharedStatus, Written};
use mesh_types::Strng;
use tokio::sync::mpsc;
use tokio::sync::watch::Receiver;
use tokio::time::{sleep, timeout};

use crate::cluster::conditions::{At, flattened, merged};
use crate::cluster::duties;
use crate::cluster::gateway_api;
use crate::control::{KnownStatuses, Question};
use crate::delivery::Count;
use crate::delivery::object::is_told;
use earlier::Earlier;

mod earlier;
mod own;

/// Whose statuses are written.
#[derive(Clone, Debug)]
pub struct Whose {
    /// The control plane's revision.
    pub revision: String,
    /// The mesh's own namespace.
    pub root_namespace: String,
    /// Which namespaces belong to the mesh, once that is known.
    pub selectors: Receiver<Option<Vec<LabelSelector>>>,
    /// Whether what names no revision is the revision `default`'s to tell of. Both see it, and each knows only what its own
    /// proxies made of it.
    pub shared_is_defaults: Receiver<bool>,
}

/// Keeps the statuses of objects as they are, for as long as the duty is ours. Runs for good.
///
/// # Errors
/// Never; the type is the supervisor's.
pub async fn keep(
    client: KubeClient,
    whose: Whose,
    ask: mpsc::Sender<Question>,
    mut changed: Receiver<u64>,
    mut ours: Receiver<bool>,
) -> Result<(), Infallible> {
    let mut shared = whose.shared_is_defaults.clone();
    loop {
        duties::begins(&mut ours).await;
        shared.mark_unchanged();
        let mut writer = Writer {
            client: &client,
            whose: &whose,
            // Whoever had the duty before may have written something else.
            written: HashMap::new(),
            earlier: Earlier::default(),
            resources: HashMap::new(),
        };
        tokio::select! {
            () = duties::ends(&mut ours) => {}
            // Something else is ours from now on; what was written meanwhile is somebody's.
            Ok(()) = shared.changed() => {}
            () = writer.keep_while_ours(&ask, &mut changed) => {}
        }
    }
}

impl Whose {
    fn shared_is_defaults(&self) -> bool {
        *self.shared_is_defaults.borrow()
    }
}

struct Writer<'a> {
    client: &'a KubeClient,
    whose: &'a Whose,
    written: HashMap<ObjectKey, Last>,
    earlier: Earlier,
    /// In which version each kind is served.
    resources: HashMap<Kind, Resource>,
}

/// What an object's status says of us.
#[derive(Clone, Debug, PartialEq)]
enum Last {
    /// Something, written by whoever had the duty before.
    Earlier,
    /// This.
    Written(ObjectStatus, Count),
}

impl Writer<'_> {
    async fn keep_while_ours(&mut self, ask: &mpsc::Sender<Question>, changed: &mut Receiver<u64>) {
        loop {
            changed.mark_unchanged();
            let all_written = match duties::answer(ask, Question::KnownStatuses).await {
                Some(known) => {
                    let looked = self.look(&known.statuses).await;
                    let written = self.write_all(known).await;
                    looked && written
                }
                None => true,
            };
            if all_written {
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                // What changes together is written together.
                sleep(TOGETHER).await;
            } else {
                drop(timeout(RETRY, changed.changed()).await);
                sleep(TOGETHER).await;
            }
        }
    }

    /// Looks once for what was said before this duty began: what is not said any more has to go. Says whether nothing is left
    /// to look at.
    async fn look(&mut self, statuses: &[ObjectStatus]) -> bool {
        let mut well = true;
        // What is not ours any more of a Gateway or a class is whoever's they are now.
        let kinds = WRITTEN
            .into_iter()
            .filter(|kind| !matches!(kind, Kind::GatewayClass | Kind::Gateway));
        for kind in kinds {
            if self.earlier.has(kind) {
                continue;
            }
            match self.look_at(kind, statuses).await {
                Ok(found) => {
                    for key in found {
                        self.written.entry(key).or_insert(Last::Earlier);
                    }
                }
                Err(e) => {
                    if self.earlier.missed(kind) {
                        tracing::warn!("{kind}: what earlier statuses say cannot be looked at: {e}");
                    }
                    well = false;
                }
            }
        }
        well
    }

    async fn look_at(&mut self, kind: Kind, statuses: &[ObjectStatus]) -> Result<Vec<ObjectKey>, KubeError> {
        let Some(resource) = self.resource(kind).await? else {
            self.earlier.take(kind, Vec::new(), &[]);
            return Ok(Vec::new());
        };
        let gateways = self.resource(Kind::Gateway).await?;
        self.earlier.begin(self.client, self.whose, gateways).await?;
        let listed = self.client.list(&Selection::all(resource)).await?;
        Ok(self.earlier.take(kind, listed, statuses))
    }

    /// Whether everything is as it is to be.
    async fn write_all(&mut self, known: KnownStatuses) -> bool {
        let KnownStatuses { statuses, count } = known;
        let statuses = to_write(statuses);
        let stated: HashSet<ObjectKey> = statuses.iter().map(|s| s.object.clone()).collect();
        let unsaid = self.written.keys().filter(|key| !stated.contains(*key));
        let unsaid: Vec<ObjectStatus> = unsaid.cloned().map(ObjectStatus::new).collect();
        let mut well = true;
        for status in statuses.into_iter().chain(unsaid) {
            if !self.is_written(&status, count) {
                well &= self.write(status, count).await;
            }
        }
        well
    }

    fn is_written(&self, status: &ObjectStatus, count: Count) -> bool {
        let Some(Last::Written(last, counted)) = self.written.get(&status.object) else {
            return false;
        };
        // What was left as it stood is looked at once it is known.
        last == status && (*counted == count || count == Count::NotYet || !is_told(status.object.kind))
    }

    async fn write(&mut self, said: ObjectStatus, count: Count) -> bool {
        let is_left = count == Count::NotYet && is_told(said.object.kind);
        match self.try_write(&said, count).await {
            Ok(Written::Changed | Written::Unchanged) if says_something(&said) || is_left => {
                self.written
                    .insert(said.object.clone(), Last::Written(said, count));
                true
            }
            // It is not the cluster's, or gone, or has nothing of ours any more.
            Ok(_) => {
                self.written.remove(&said.object);
                true
            }
            Err(e) => {
                let object = said.object.reference();
                tracing::warn!("{object}: its status cannot be written: {e}");
                false
            }
        }
    }

    async fn try_write(&mut self, said: &ObjectStatus, count: Count) -> Result<Written, KubeError> {
        let key = &said.object;
        let Some(resource) = self.resource(key.kind).await? else {
            return Ok(Written::Gone);
        };
        let name = ObjectName::new(key.namespace.as_str(), key.name.as_str());
        let now = duties::now();
        let at = At { now: &now, count };
        let decide = |object: &serde_json::Value| decide(object, said, self.whose, at);
        if own::is_applied(key.kind) {
            let manager = duties::status_manager(&self.whose.revision);
            let shared = |object: &serde_json::Value| {
                let whole = decide(object)?;
                let own = own::part(said, &whole);
                Some(SharedStatus { whole, own })
            };
            return self.client.apply_status(&resource, &name, &manager, shared).await;
        }
        self.client.update_status(&resource, &name, decide).await
    }

    async fn resource(&mut self, kind: Kind) -> Result<Option<Resource>, KubeError> {
        if let Some(known) = self.resources.get(&kind) {
            return Ok(Some(known.clone()));
        }
        let Some(watched) = WATCHED.iter().find(|watched| watched.kind == kind) else {
            return Ok(None);
        };
        let served = self
            .client
            .served_versions(watched.group().name(), watched.plural)
            .await?;
        let Some(version) = watched.version(&served) else {
            return Ok(None);
        };
        let resource = watched.resource(version);
        self.resources.insert(kind, resource.clone());
        Ok(Some(resource))
    }
}

/// The status that an object is to have; nothing where it is not ours to say, or another object of the same name.
fn decide(
    object: &serde_json::Value,
    said: &ObjectStatus,
    whose: &Whose,
    at: At<'_>,
) -> Option<serde_json::Value> {
    let uid = object["metadata"]["uid"].as_str();
    if said.uid.as_deref().is_some_and(|said| uid != Some(said)) {
        return None;
    }
    let kind = said.object.kind;
    let label = |key: &str| object["metadata"]["labels"][key].as_str();
    let is_ours = match kind {
        // Whoever makes what a Gateway becomes says whether it is there.
        Kind::Gateway => duties::is_of_revision(label, &whose.revision),
        // What says what is there is for every revision, whatever it names.
        _ if kind.group() == Group::Core => !whose.shared_is_defaults(),
        _ => duties::names_revision(label) || !whose.shared_is_defaults(),
    };
    if !is_ours {
        return None;
    }
    if gateway_api::is_of_this_shape(said.object.kind) {
        return gateway_api::status(object, said, at);
    }
    Some(merged(object, &said.conditions, said.observed_generation, at))
}

/// What is to be written of all that is said. Of a route only what is ours to say; of Istio's policies, whose statuses know
/// no ancestors, one condition of each type.
fn to_write(statuses: Vec<ObjectStatus>) -> Vec<ObjectStatus> {
    let served = statuses.iter().filter(|status| status.served.is_some());
    let served: HashSet<(Strng, Strng)> = served
        .map(|status| (status.object.namespace.clone(), status.object.name.clone()))
        .collect();
    let is_served = |namespace: &str, name: &str| served.contains(&(namespace.into(), name.into()));
    let written = statuses.into_iter().filter_map(|mut status| {
        let kind = status.object.kind;
        if !gateway_api::is_of_this_shape(kind) {
            let flat = flattened(&status.parents);
            status.conditions.extend(flat);
            status.parents.clear();
        } else if kind.group() == Group::Gateway {
            status
                .parents
                .retain(|p| gateway_api::is_ours(&p.parent, is_served));
        }
        let kept = WRITTEN.contains(&kind) && says_something(&status);
        kept.then_some(status)
    });
    written.collect()
}

fn says_something(status: &ObjectStatus) -> bool {
    match status.object.kind {
        Kind::Gateway => status.served.is_some(),
        _ => !status.conditions.is_empty() || !status.parents.is_empty(),
    }
}

/// Kinds whose statuses are this control plane's to write.
const WRITTEN: [Kind; 23] = [
    Kind::Service,
    Kind::ServiceEntry,
    Kind::WorkloadEntry,
    Kind::WorkloadGroup,
    Kind::AuthorizationPolicy,
    Kind::PeerAuthentication,
    Kind::RequestAuthentication,
    Kind::DestinationRule,
    Kind::VirtualService,
    Kind::Telemetry,
    Kind::ProxyConfig,
    Kind::GatewayClass,
    Kind::Gateway,
    Kind::HttpRoute,
    Kind::GrpcRoute,
    Kind::TlsRoute,
    Kind::TcpRoute,
    Kind::BackendTlsPolicy,
    Kind::RateLimitPolicy,
    Kind::HealthCheckPolicy,
    Kind::SessionPolicy,
    Kind::FaultFilter,
    Kind::ExternalProcessorFilter,
];
const TOGETHER: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
