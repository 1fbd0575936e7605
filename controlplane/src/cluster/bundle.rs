//! The root's certificate, where pods find it: the ConfigMap `istio-ca-root-cert` in every namespace, and a
//! ClusterTrustBundle where the API server has those. One replica writes, and what others change is put back.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use futures_util::StreamExt as _;
use mesh_kube::write::Part;
use mesh_kube::{Apply, Event, KubeClient, KubeError, News, ObjectName, Resource, Selection, watch};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use crate::cluster::duties;
use crate::cluster::listed::Listed;

/// Keeps what pods trust (PEM) in every namespace, in the mesh's own first: its proxies start with it. For as long as the
/// duty is ours. Runs for good.
///
/// # Errors
/// Never; the type is the supervisor's.
pub async fn keep(
    client: KubeClient,
    root_namespace: String,
    mut roots: Receiver<String>,
    with_bundle: bool,
    mut ours: Receiver<bool>,
) -> Result<(), Infallible> {
    loop {
        duties::begins(&mut ours).await;
        let root = roots.borrow_and_update().clone();
        tokio::select! {
            () = duties::ends(&mut ours) => {}
            () = keep_while_ours(&client, &root_namespace, &root, with_bundle) => {}
            // Begins anew with what is trusted now. Whoever signs is here until the process ends.
            Ok(()) = roots.changed() => {}
        }
    }
}

async fn keep_while_ours(client: &KubeClient, root_namespace: &str, root: &str, with_bundle: bool) {
    let maps = Selection::all(CONFIG_MAPS.clone()).with_fields(format!("metadata.name={NAME}"));
    let mut maps = watch::<RootMap>(client, maps);
    let mut namespaces = watch::<Meta>(client, Selection::all(NAMESPACES.clone()).metadata_only());
    let mut spread = Spread::new(root_namespace, root);
    let mut retry = None;
    // Nothing is to be bundled where nobody wants it.
    let mut bundled = !with_bundle;
    loop {
        let again = retry.unwrap_or_else(Instant::now);
        tokio::select! {
            Some(news) = maps.next() => if let News::Event(event) = news { spread.map(event) },
            Some(news) = namespaces.next() => if let News::Event(event) = news { spread.namespace(event) },
            () = sleep_until(again), if retry.is_some() => {}
        }
        if retry.is_some_and(|at| at > Instant::now()) {
            continue;
        }
        retry = None;
        for namespace in spread.lacking() {
            match write(client, &namespace, root).await {
                Ok(()) => spread.written(&namespace),
                // It is going away.
                Err(KubeError::NotFound(_)) => {}
                Err(e) => {
                    tracing::warn!(namespace, "ConfigMap {NAME} cannot be written: {e}");
                    retry = Some(Instant::now() + RETRY);
                    break;
                }
            }
        }
        // After the namespaces: an API server without such bundles says so late, and nobody starts with one.
        if !bundled && spread.is_known() {
            bundled = true;
            if let Err(e) = bundle(client, root).await {
                tracing::warn!("ClusterTrustBundle: {e}");
            }
        }
    }
}

async fn write(client: &KubeClient, namespace: &str, root: &str) -> Result<(), KubeError> {
    let name = ObjectName::new(namespace, NAME);
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": NAME, "labels": {"istio.io/config": "true"}},
        "data": {KEY: root},
    });
    let applied = client.apply::<Value>(&CONFIG_MAPS, &name, Part::Main, HOW, &object);
    applied.await.map(drop)
}

async fn bundle(client: &KubeClient, root: &str) -> Result<(), KubeError> {
    let served = client.served_versions(BUNDLES_GROUP, BUNDLES).await?;
    let known = ["v1", "v1beta1"]
        .into_iter()
        .find(|known| served.iter().any(|s| s == known));
    let Some(version) = known else {
        return Ok(());
    };
    let resource = Resource::cluster_wide(BUNDLES_GROUP, version, BUNDLES, "ClusterTrustBundle");
    let object = json!({
        "apiVersion": resource.api_version(),
        "kind": "ClusterTrustBundle",
        "metadata": {"name": BUNDLE},
        "spec": {"signerName": SIGNER, "trustBundle": root},
    });
    let name = ObjectName::cluster(BUNDLE);
    let applied = client.apply::<Value>(&resource, &name, Part::Main, HOW, &object);
    applied.await.map(drop)
}

/// Which namespaces there are, and which have what they need. Pure.
#[derive(Debug)]
struct Spread {
    root: String,
    /// Served first.
    first: String,
    namespaces: Listed<bool>,
    /// Whether each one's ConfigMap says what it has to.
    maps: Listed<bool>,
}

#[derive(Debug, Deserialize)]
struct Meta {
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct RootMap {
    metadata: Metadata,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    deletion_timestamp: Option<String>,
}

impl Spread {
    fn new(first: &str, root: &str) -> Self {
        Self {
            root: root.to_owned(),
            first: first.to_owned(),
            namespaces: Listed::default(),
            maps: Listed::default(),
        }
    }

    fn namespace(&mut self, event: Event<Meta>) {
        self.namespaces.take(event, |meta| {
            let stays = meta.metadata.deletion_timestamp.is_none();
            (meta.metadata.name, stays)
        });
    }

    fn map(&mut self, event: Event<RootMap>) {
        let root = &self.root;
        self.maps.take(event, |map| {
            let is_right = map.data.get(KEY) == Some(root);
            (map.metadata.namespace, is_right)
        });
    }

    fn written(&mut self, namespace: &str) {
        self.maps.known.insert(namespace.to_owned(), true);
    }

    /// Whether everything was listed once.
    fn is_known(&self) -> bool {
        self.namespaces.is_complete() && self.maps.is_complete()
    }

    /// The namespaces that need a ConfigMap and have none, or one that says something else.
    fn lacking(&self) -> Vec<String> {
        if !self.is_known() {
            return Vec::new();
        }
        let staying = self.namespaces.known.iter().filter(|(_, stays)| **stays);
        let names = staying
            .map(|(name, _)| name)
            .filter(|name| !LEFT_OUT.contains(&name.as_str()));
        let lacking = names.filter(|name| self.maps.known.get(*name) != Some(&true));
        let mut lacking: Vec<String> = lacking.cloned().collect();
        // Stable: the others stay in their order.
        lacking.sort_by_key(|name| *name != self.first);
        lacking
    }
}

static CONFIG_MAPS: Resource = Resource::namespaced("", "v1", "configmaps", "ConfigMap");
static NAMESPACES: Resource = Resource::cluster_wide("", "v1", "namespaces", "Namespace");
const BUNDLES_GROUP: &str = "certificates.k8s.io";
const BUNDLES: &str = "clustertrustbundles";
/// Upstream's names: what mounts them need not know whose they are.
const BUNDLE: &str = "istio.io:istiod-ca:root-cert";
const SIGNER: &str = "istio.io/istiod-ca";
const NAME: &str = "istio-ca-root-cert";
const KEY: &str = "root-cert.pem";
const HOW: Apply = Apply {
    manager: "lateen-root-cert",
    force: true,
};
/// Namespaces that run nothing.
const LEFT_OUT: [&str; 3] = ["kube-public", "kube-node-lease", "local-path-storage"];
const RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
