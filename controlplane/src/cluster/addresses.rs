//! Writes the addresses that hosts of ServiceEntries were given into `status.addresses`, where upstream writes them too: a
//! host keeps its address when every replica begins anew, and tools see it. One replica writes; the others, and it itself
//! after a restart, take what is written there before anything that they would give (`controlplane_index::allocation`).

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use controlplane_index::UnrecordedAddresses;
use controlplane_k8s_api::Kind;
use controlplane_kube::resources::{WATCHED, Watched};
use mesh_kube::{KubeClient, KubeError, ObjectName, Resource, Written};
use mesh_types::{NamespacedName, Strng};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::sync::watch::Receiver;
use tokio::time::{sleep, timeout};

use crate::cluster::duties;
use crate::control::Question;

/// Keeps the addresses written down, for as long as the duty is ours. Runs for good.
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
            resource: None,
            gone: BTreeSet::new(),
        };
        tokio::select! {
            () = duties::ends(&mut ours) => {}
            () = writer.keep_while_ours(&ask, &mut changed) => {}
        }
    }
}

struct Writer<'a> {
    client: &'a KubeClient,
    /// In the version that is served.
    resource: Option<Resource>,
    /// Instances that were not there when they were asked for: gone, or of a file.
    gone: BTreeSet<(NamespacedName, Strng)>,
}

impl Writer<'_> {
    async fn keep_while_ours(&mut self, ask: &mpsc::Sender<Question>, changed: &mut Receiver<u64>) {
        loop {
            changed.mark_unchanged();
            let unrecorded = duties::answer(ask, Question::UnrecordedAddresses).await;
            let all_written = self.write_all(unrecorded).await;
            if all_written {
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            } else {
                drop(timeout(RETRY, changed.changed()).await);
            }
            // What changes together is written together; and what was written is seen by then.
            sleep(TOGETHER).await;
        }
    }

    /// Whether everything is as it is to be.
    async fn write_all(&mut self, lacking: Vec<UnrecordedAddresses>) -> bool {
        // Objects of files have no id, and no status to write.
        let of_cluster = lacking.into_iter().filter_map(|unrecorded| {
            let UnrecordedAddresses {
                entry,
                uid,
                addresses,
            } = unrecorded;
            Some(((entry, uid?), addresses))
        });
        let lacking: BTreeMap<_, _> = of_cluster.collect();
        self.gone.retain(|instance| lacking.contains_key(instance));
        let mut well = true;
        for (instance, addresses) in lacking {
            if self.gone.contains(&instance) {
                continue;
            }
            let (entry, uid) = &instance;
            match self.write(entry, uid, &addresses).await {
                Ok(Written::Gone) => {
                    self.gone.insert(instance);
                }
                Ok(Written::Changed) => tracing::info!(%entry, "addresses of its hosts are in its status"),
                Ok(Written::Unchanged) => {}
                Err(e) => {
                    tracing::warn!("ServiceEntry {entry}: its addresses cannot be written: {e}");
                    well = false;
                }
            }
        }
        well
    }

    async fn write(
        &mut self,
        entry: &NamespacedName,
        uid: &str,
        addresses: &[(Strng, IpAddr)],
    ) -> Result<Written, KubeError> {
        let Some(resource) = self.resource().await? else {
            return Ok(Written::Gone);
        };
        let name = ObjectName::new(entry.namespace.as_str(), entry.name.as_str());
        let decide = |object: &Value| {
            // Another one of this name is looked at when it is seen.
            let is_it = object["metadata"]["uid"] == uid;
            is_it.then(|| with_addresses(object, addresses))
        };
        self.client.update_status(&resource, &name, decide).await
    }

    async fn resource(&mut self) -> Result<Option<Resource>, KubeError> {
        if self.resource.is_none() {
            let Some(watched) = WATCHED.iter().find(|watched| watched.kind == Kind::ServiceEntry) else {
                return Ok(None);
            };
            let Watched { plural, .. } = watched;
            let served = self
                .client
                .served_versions(watched.group().name(), plural)
                .await?;
            self.resource = watched.version(&served).map(|version| watched.resource(version));
        }
        Ok(self.resource.clone())
    }
}

/// The status that an object is to have: these addresses, and everything else as it was.
fn with_addresses(object: &Value, addresses: &[(Strng, IpAddr)]) -> Value {
    let mut status = match object.get("status") {
        Some(Value::Object(status)) => status.clone(),
        _ => Map::new(),
    };
    let address =
        |(host, address): &(Strng, IpAddr)| json!({"value": address.to_string(), "host": host.as_str()});
    if addresses.is_empty() {
        status.remove(FIELD);
    } else {
        status.insert(FIELD.to_owned(), addresses.iter().map(address).collect());
    }
    Value::Object(status)
}

const FIELD: &str = "addresses";
const TOGETHER: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
