//! Writes what became of a cluster's objects into their statuses: one replica, what differs, and only when something
//! changed.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use controlplane_index::ObjectStatus;
use controlplane_k8s_api::{Group, Kind, ObjectKey};
use controlplane_kube::resources::WATCHED;
use mesh_kube::{KubeClient, KubeError, ObjectName, Resource, Written};
use mesh_types::Strng;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::mpsc;
use tokio::sync::watch::Receiver;
use tokio::time::{sleep, timeout};

use crate::cluster::conditions::{flattened, merged};
use crate::cluster::duties;
use crate::cluster::gateway_api;
use crate::control::Question;

/// Keeps the statuses of objects as they are, for as long as the duty is ours. Runs for good.
///
/// # Errors
/// Never; the type is the supervisor's.
pub async fn keep(
    client: KubeClient,
    ask: mpsc::Sender<Question>,
    mut changed: Receiver<u64>,
    mut ours: Receiver<bool>,
) -> Result<(), Infallible> {
    loop {
        duties::begins(&mut ours).await;
        let mut writer = Writer {
            client: &client,
            // Whoever had the duty before may have written something else.
            written: HashMap::new(),
            resources: HashMap::new(),
        };
        tokio::select! {
            () = duties::ends(&mut ours) => {}
            () = writer.keep_while_ours(&ask, &mut changed) => {}
        }
    }
}

struct Writer<'a> {
    client: &'a KubeClient,
    written: HashMap<ObjectKey, ObjectStatus>,
    /// In which version each kind is served.
    resources: HashMap<Kind, Resource>,
}

impl Writer<'_> {
    async fn keep_while_ours(&mut self, ask: &mpsc::Sender<Question>, changed: &mut Receiver<u64>) {
        loop {
            changed.mark_unchanged();
            let all_written = match duties::answer(ask, Question::KnownStatuses).await {
                Some(statuses) => self.write_all(statuses).await,
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

    /// Whether everything is as it is to be.
    async fn write_all(&mut self, statuses: Vec<ObjectStatus>) -> bool {
        let statuses = to_write(statuses);
        let stated: HashSet<ObjectKey> = statuses.iter().map(|s| s.object.clone()).collect();
        let unsaid = self.written.keys().filter(|key| !stated.contains(*key));
        let unsaid: Vec<ObjectKey> = unsaid.cloned().collect();
        let mut well = true;
        for status in statuses {
            if self.written.get(&status.object) != Some(&status) {
                well &= self.write(status).await;
            }
        }
        for key in unsaid {
            well &= self.write(ObjectStatus::new(key)).await;
        }
        well
    }

    async fn write(&mut self, said: ObjectStatus) -> bool {
        match self.try_write(&said).await {
            Ok(Written::Changed | Written::Unchanged) if says_something(&said) => {
                self.written.insert(said.object.clone(), said);
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

    async fn try_write(&mut self, said: &ObjectStatus) -> Result<Written, KubeError> {
        let key = &said.object;
        let Some(resource) = self.resource(key.kind).await? else {
            return Ok(Written::Gone);
        };
        let name = ObjectName::new(key.namespace.as_str(), key.name.as_str());
        let now = OffsetDateTime::from(SystemTime::now()).replace_nanosecond(0);
        let now = now
            .ok()
            .and_then(|now| now.format(&Rfc3339).ok())
            .unwrap_or_default();
        let decide = |object: &serde_json::Value| decide(object, said, &now);
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
fn decide(object: &serde_json::Value, said: &ObjectStatus, now: &str) -> Option<serde_json::Value> {
    let uid = object["metadata"]["uid"].as_str();
    if said.uid.as_deref().is_some_and(|said| uid != Some(said)) {
        return None;
    }
    if gateway_api::is_of_this_shape(said.object.kind) {
        return gateway_api::status(object, said, now);
    }
    Some(merged(object, &said.conditions, said.observed_generation, now))
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
const WRITTEN: [Kind; 22] = [
    Kind::Service,
    Kind::ServiceEntry,
    Kind::WorkloadEntry,
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
