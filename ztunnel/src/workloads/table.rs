//! The pods and how they stand, for people and metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_net::Netns;
use mesh_zds::{PodInfo, PodUid};
use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::{IntCounter, IntGauge, Registry};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::connections::Connections;
use crate::workloads::pod_proxy::Running;

/// Every pod that the node agent named. Clones are the same.
#[derive(Clone, Debug)]
pub struct PodTable {
    pods: Arc<Mutex<BTreeMap<PodUid, Row>>>,
    active: IntGauge,
    pending: IntGauge,
    started: IntCounter,
    stopped: IntCounter,
}

#[derive(Clone, Debug)]
struct Row {
    info: PodInfo,
    served: Option<Served>,
}

/// A pod that is served.
#[derive(Clone, Debug)]
struct Served {
    connections: Connections,
    netns: Option<Netns>,
}

impl PodTable {
    /// No pod yet.
    ///
    /// # Panics
    /// Panics when `registry` has metrics of these names already.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let gauge = |name, help| IntGauge::new(name, help).expect("constant names are valid");
        let counter = |name, help| IntCounter::new(name, help).expect("constant names are valid");
        let table = Self {
            pods: Arc::default(),
            active: gauge(
                "workload_manager_active_proxy_count",
                "The total number current workloads with active proxies (unstable)",
            ),
            pending: gauge(
                "workload_manager_pending_proxy_count",
                "The total number current workloads with pending proxies (unstable)",
            ),
            started: counter(
                "workload_manager_proxies_started_total",
                "The total number of proxies that were started (unstable)",
            ),
            stopped: counter(
                "workload_manager_proxies_stopped_total",
                "The total number of proxies that were stopped (unstable)",
            ),
        };
        let collectors: [Box<dyn Collector>; 4] = [
            Box::new(table.active.clone()),
            Box::new(table.pending.clone()),
            Box::new(table.started.clone()),
            Box::new(table.stopped.clone()),
        ];
        for collector in collectors {
            registry
                .register(collector)
                .expect("the manager's metrics are registered once");
        }
        table
    }

    /// The pod is served.
    pub fn up(&self, uid: &PodUid, info: &PodInfo, running: &Running) {
        self.started.inc();
        let served = Served {
            connections: running.connections.clone(),
            netns: running.netns.clone(),
        };
        self.put(uid, info, Some(served));
    }

    /// The pod cannot be served now.
    pub fn pending(&self, uid: &PodUid, info: &PodInfo) {
        self.put(uid, info, None);
    }

    /// The pod's proxy was stopped.
    pub fn stopped(&self, uid: &PodUid) {
        self.stopped.inc();
        self.gone(uid);
    }

    /// The pod is not there any more.
    pub fn gone(&self, uid: &PodUid) {
        let mut pods = self.pods.lock();
        pods.remove(uid);
        self.count(&pods);
    }

    /// The pods that are served, with their network namespaces.
    #[must_use]
    pub fn namespaces(&self) -> Vec<(PodInfo, Netns)> {
        let pods = self.pods.lock();
        let served = pods.values().filter_map(|row| {
            let netns = row.served.as_ref()?.netns.clone()?;
            Some((row.info.clone(), netns))
        });
        served.collect()
    }

    fn put(&self, uid: &PodUid, info: &PodInfo, served: Option<Served>) {
        let mut pods = self.pods.lock();
        let row = Row {
            info: info.clone(),
            served,
        };
        pods.insert(uid.clone(), row);
        self.count(&pods);
    }

    fn count(&self, pods: &BTreeMap<PodUid, Row>) {
        let active = pods.values().filter(|row| row.served.is_some()).count();
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.active.set(number(active));
        self.pending.set(number(pods.len() - active));
    }
}

/// Upstream's `workloadState`: by uid, `Up` with its connections or `Pending`.
impl Serialize for PodTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            state: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            connections: Option<&'a Connections>,
            info: Info<'a>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Info<'a> {
            name: &'a str,
            namespace: &'a str,
            service_account: &'a str,
        }
        let pods = self.pods.lock().clone();
        let mut map = serializer.serialize_map(Some(pods.len()))?;
        for (uid, row) in &pods {
            let shown = Shown {
                state: if row.served.is_some() { "Up" } else { "Pending" },
                connections: row.served.as_ref().map(|served| &served.connections),
                info: Info {
                    name: &row.info.name,
                    namespace: &row.info.namespace,
                    service_account: &row.info.service_account,
                },
            };
            map.serialize_entry(uid.as_str(), &shown)?;
        }
        map.end()
    }
}
