//! Writes conditions into the statuses of a cluster's objects: one replica, what differs, and only when something changed.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use controlplane_index::ObjectStatus;
use controlplane_index::status::StatusCondition;
use controlplane_k8s_api::{Kind, ObjectKey};
use controlplane_kube::resources::WATCHED;
use mesh_kube::{KubeClient, KubeError, ObjectName, Resource, Written};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch::Receiver;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::cluster::conditions::merged;
use crate::control::Question;

/// What was said of an object.
type Said = (Vec<StatusCondition>, Option<i64>);

/// Keeps the conditions of objects as they are, for as long as the duty is ours. Runs for good.
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
        // Whoever told us ends with the process.
        if ours.wait_for(|ours| *ours).await.is_err() {
            std::future::pending::<()>().await;
        }
        let mut writer = Writer {
            client: &client,
            // Whoever had the duty before may have written something else.
            written: HashMap::new(),
            resources: HashMap::new(),
        };
        let over = tokio::select! {
            ended = ours.wait_for(|ours| !*ours) => ended.is_err(),
            () = writer.keep_while_ours(&ask, &mut changed) => false,
        };
        if over {
            std::future::pending::<()>().await;
        }
    }
}

struct Writer<'a> {
    client: &'a KubeClient,
    written: HashMap<ObjectKey, Said>,
    /// In which version each kind is served.
    resources: HashMap<Kind, Resource>,
}

impl Writer<'_> {
    async fn keep_while_ours(&mut self, ask: &mpsc::Sender<Question>, changed: &mut Receiver<u64>) {
        loop {
            changed.mark_unchanged();
            let (answer, answered) = oneshot::channel();
            if ask.send(Question::Statuses(answer)).await.is_err() {
                // The loop is gone only while the process ends.
                std::future::pending::<()>().await;
            }
            let all_written = self.write_all(answered.await.unwrap_or_default()).await;
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
        let statuses = statuses.into_iter().filter(|s| WRITTEN.contains(&s.object.kind));
        let statuses: Vec<ObjectStatus> = statuses.filter(|s| !s.conditions.is_empty()).collect();
        let stated: HashSet<ObjectKey> = statuses.iter().map(|s| s.object.clone()).collect();
        let unsaid = self.written.keys().filter(|key| !stated.contains(*key));
        let unsaid: Vec<ObjectKey> = unsaid.cloned().collect();
        let mut well = true;
        for status in statuses {
            let said = (status.conditions, status.observed_generation);
            if self.written.get(&status.object) != Some(&said) {
                well &= self.write(status.object, said).await;
            }
        }
        for key in unsaid {
            well &= self.write(key, (Vec::new(), None)).await;
        }
        well
    }

    async fn write(&mut self, key: ObjectKey, said: Said) -> bool {
        match self.try_write(&key, &said).await {
            Ok(Written::Changed | Written::Unchanged) if !said.0.is_empty() => {
                self.written.insert(key, said);
                true
            }
            // It is not the cluster's, or gone, or has nothing of ours any more.
            Ok(_) => {
                self.written.remove(&key);
                true
            }
            Err(e) => {
                tracing::warn!("{}: its status cannot be written: {e}", key.reference());
                false
            }
        }
    }

    async fn try_write(&mut self, key: &ObjectKey, said: &Said) -> Result<Written, KubeError> {
        let Some(resource) = self.resource(key.kind).await? else {
            return Ok(Written::Gone);
        };
        let name = ObjectName::new(key.namespace.as_str(), key.name.as_str());
        let (conditions, generation) = said;
        let now = OffsetDateTime::from(SystemTime::now()).replace_nanosecond(0);
        let now = now
            .ok()
            .and_then(|now| now.format(&Rfc3339).ok())
            .unwrap_or_default();
        let decide = |object: &serde_json::Value| Some(merged(object, conditions, *generation, &now));
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

/// Kinds whose conditions are a list in their status, and this control plane's to write. Gateway API's kinds need the
/// name of their controller beside each condition, and are not written yet.
const WRITTEN: [Kind; 9] = [
    Kind::Service,
    Kind::ServiceEntry,
    Kind::WorkloadEntry,
    Kind::AuthorizationPolicy,
    Kind::PeerAuthentication,
    Kind::RequestAuthentication,
    Kind::DestinationRule,
    Kind::VirtualService,
    Kind::Telemetry,
];
const TOGETHER: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
