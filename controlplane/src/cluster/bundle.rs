//! The root's certificate, where pods find it: the ConfigMap `istio-ca-root-cert` in every namespace of the mesh (MeshConfig
//! `discoverySelectors`), and a ClusterTrustBundle where the API server has those ([`cluster_wide`]). One replica writes, and
//! what others change is put back; ever more seldom where somebody changes it again and again. In a namespace that leaves the
//! mesh it stays as it is: pods there may hold it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use controlplane_k8s_api::Labels;
use controlplane_k8s_api::gateway::LabelSelector;
use controlplane_kube::Scope;
use futures_util::StreamExt as _;
use mesh_kube::write::Part;
use mesh_kube::{Apply, Event, KubeClient, KubeError, News, ObjectName, Resource, Selection, watch};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use crate::cluster::duties;
use crate::cluster::listed::Listed;
use crate::cluster::pace::{Pace, Round, Trouble};
use cluster_wide::ClusterBundle;

mod cluster_wide;

/// What is to be kept, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The mesh's own namespace: its proxies start with the root, so it is first.
    pub root_namespace: String,
    /// What pods trust, PEM.
    pub roots: Receiver<String>,
    /// Which namespaces belong to the mesh, once that is known ([`controlplane_kube::KubeSource::selectors`]).
    pub selectors: Receiver<Option<Vec<LabelSelector>>>,
    /// Whether it stands in a ClusterTrustBundle, too, where there are those.
    pub with_bundle: bool,
}

/// Keeps what pods trust in every namespace of the mesh, for as long as the duty is ours. Runs for good.
///
/// # Errors
/// Never; the type is the supervisor's.
pub async fn keep(
    client: KubeClient,
    mut settings: Settings,
    mut ours: Receiver<bool>,
) -> Result<(), Infallible> {
    loop {
        duties::begins(&mut ours).await;
        let root = settings.roots.borrow_and_update().clone();
        let keeper = Keeper::new(&client, &settings, root);
        tokio::select! {
            () = duties::ends(&mut ours) => {}
            () = keeper.keep_while_ours(settings.selectors.clone()) => {}
            // Begins anew with what is trusted now. Whoever signs is here until the process ends.
            Ok(()) = settings.roots.changed() => {}
        }
    }
}

struct Keeper {
    client: KubeClient,
    root: String,
    spread: Spread,
    pace: Pace,
    bundle: Option<ClusterBundle>,
    /// That the API server is away was told.
    told_away: bool,
}

impl Keeper {
    fn new(client: &KubeClient, settings: &Settings, root: String) -> Self {
        Self {
            client: client.clone(),
            spread: Spread::new(&settings.root_namespace, &root),
            pace: Pace::default(),
            bundle: settings.with_bundle.then(ClusterBundle::default),
            told_away: false,
            root,
        }
    }

    async fn keep_while_ours(mut self, mut selectors: Receiver<Option<Vec<LabelSelector>>>) {
        let maps = Selection::all(CONFIG_MAPS.clone()).with_fields(format!("metadata.name={NAME}"));
        let mut maps = watch::<RootMap>(&self.client, maps);
        let namespaces = Selection::all(NAMESPACES.clone()).metadata_only();
        let mut namespaces = watch::<Meta>(&self.client, namespaces);
        let mut round = Round::default();
        loop {
            let at = round.next().unwrap_or_else(Instant::now);
            tokio::select! {
                Some(news) = maps.next() => if let News::Event(event) = news { self.spread.map(event) },
                Some(news) = namespaces.next() => if let News::Event(event) = news { self.take_namespace(event) },
                // Whoever tells ends with the process.
                Ok(()) = selectors.changed() => {}
                () = sleep_until(at), if round.next().is_some() => {}
            }
            self.spread.select(selectors.borrow_and_update().as_deref());
            if round.resume.is_some_and(|at| at > Instant::now()) {
                continue;
            }
            round = self.write_all().await;
            // After the namespaces: nobody starts with a bundle.
            if round.resume.is_none()
                && self.spread.is_known()
                && let Some(bundle) = &mut self.bundle
            {
                round.wake_at(bundle.keep(&self.client, &self.root).await);
            }
        }
    }

    fn take_namespace(&mut self, event: Event<Meta>) {
        let some_may_be_gone = matches!(event, Event::Deleted(_) | Event::ListEnds);
        self.spread.namespace(event);
        if some_may_be_gone {
            let there: BTreeSet<&str> = self.spread.uids().collect();
            self.pace.retain(|uid| there.contains(uid));
        }
    }

    /// Writes what is lacking. A namespace that refuses keeps no other one from its root.
    async fn write_all(&mut self) -> Round {
        let mut round = Round::default();
        for namespace in self.spread.lacking() {
            let now = Instant::now();
            // By the namespace's uid: one that is made anew under its name, as for every run of a test, is fought over by nobody.
            let place = self.spread.uid(&namespace).to_owned();
            if let Some(at) = self.pace.not_before(&place).filter(|at| *at > now) {
                round.wake_at(at);
                continue;
            }
            let Err(error) = write(&self.client, &namespace, &self.root).await else {
                self.told_away = false;
                if self.pace.written(&place, Instant::now()) {
                    self.tell_of_another(&namespace);
                }
                self.spread.written(&namespace);
                continue;
            };
            // It is going away.
            if matches!(error, KubeError::NotFound(_)) {
                continue;
            }
            let trouble = Trouble::of(&error);
            if trouble == Trouble::Everywhere {
                if !std::mem::replace(&mut self.told_away, true) {
                    tracing::warn!(namespace, "ConfigMap {NAME} cannot be written: {error}");
                }
            } else if self.pace.refused(&place, Instant::now()) {
                tracing::warn!(
                    "ConfigMap {namespace}/{NAME} cannot be written: {error}; pods there do not get the mesh's root: let it be \
                     written (a quota, an admission rule or a role is in the way), or leave the namespace out \
                     (MeshConfig discoverySelectors)"
                );
            }
            if trouble == Trouble::Here {
                round.wake_at(self.pace.not_before(&place).unwrap_or(now + RETRY));
            } else {
                round.resume = Some(Instant::now() + RETRY);
                break;
            }
        }
        round
    }

    fn tell_of_another(&self, namespace: &str) {
        let writer = self.spread.writer(namespace);
        let writer = writer.unwrap_or("another control plane of this kind");
        tracing::warn!(
            "ConfigMap {namespace}/{NAME}: {writer} writes another root again and again; ours is put back ever more seldom: \
             leave the namespace to one mesh (MeshConfig discoverySelectors)"
        );
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

/// Which namespaces there are, and which have what they need. Pure.
#[derive(Debug)]
struct Spread {
    root: String,
    /// Served first.
    first: String,
    /// Which namespaces belong to the mesh; while that is not known, its own alone.
    scope: Option<Scope>,
    namespaces: Listed<Namespace>,
    maps: Listed<Map>,
}

#[derive(Debug)]
struct Namespace {
    uid: String,
    stays: bool,
    labels: Labels,
}

#[derive(Debug)]
struct Map {
    /// It says what it has to.
    is_right: bool,
    /// Who else wrote what it says.
    writer: Option<String>,
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
    uid: String,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    deletion_timestamp: Option<String>,
    #[serde(default)]
    managed_fields: Vec<ManagedFields>,
}

/// Who set which fields (Kubernetes, "Server-Side Apply").
#[derive(Debug, Deserialize)]
struct ManagedFields {
    #[serde(default)]
    manager: String,
    #[serde(default, rename = "fieldsV1")]
    fields: Value,
}

impl Spread {
    fn new(first: &str, root: &str) -> Self {
        Self {
            root: root.to_owned(),
            first: first.to_owned(),
            scope: None,
            namespaces: Listed::default(),
            maps: Listed::default(),
        }
    }

    fn select(&mut self, selectors: Option<&[LabelSelector]>) {
        self.scope = selectors.map(|selectors| {
            let mut scope = Scope::new(&self.first, "");
            scope.select(selectors.to_vec());
            scope
        });
    }

    fn namespace(&mut self, event: Event<Meta>) {
        self.namespaces.take(event, |Meta { metadata }| {
            let namespace = Namespace {
                uid: metadata.uid,
                stays: metadata.deletion_timestamp.is_none(),
                labels: metadata.labels,
            };
            (metadata.name, namespace)
        });
    }

    /// The uids of all that there are.
    fn uids(&self) -> impl Iterator<Item = &str> {
        self.namespaces.known.values().map(|known| known.uid.as_str())
    }

    /// Nothing of one that is not there.
    fn uid(&self, namespace: &str) -> &str {
        self.namespaces
            .known
            .get(namespace)
            .map_or("", |known| &known.uid)
    }

    fn map(&mut self, event: Event<RootMap>) {
        let root = &self.root;
        self.maps.take(event, |map| {
            let others = map.metadata.managed_fields.into_iter();
            let mut others = others.filter(|m| m.manager != HOW.manager && m.fields.get("f:data").is_some());
            let known = Map {
                is_right: map.data.get(KEY) == Some(root),
                writer: others.next_back().map(|other| other.manager),
            };
            (map.metadata.namespace, known)
        });
    }

    fn written(&mut self, namespace: &str) {
        let map = Map {
            is_right: true,
            writer: None,
        };
        self.maps.known.insert(namespace.to_owned(), map);
    }

    /// Who else wrote a namespace's ConfigMap.
    fn writer(&self, namespace: &str) -> Option<&str> {
        self.maps.known.get(namespace)?.writer.as_deref()
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
        let staying = self.namespaces.known.iter().filter(|(_, known)| known.stays);
        let in_mesh = staying.filter(|(name, known)| self.is_in_mesh(name, &known.labels));
        let names = in_mesh
            .map(|(name, _)| name)
            .filter(|name| !LEFT_OUT.contains(&name.as_str()));
        let is_right = |name: &String| self.maps.known.get(name).is_some_and(|map| map.is_right);
        let lacking = names.filter(|name| !is_right(name));
        let mut lacking: Vec<String> = lacking.cloned().collect();
        // Stable: the others stay in their order.
        lacking.sort_by_key(|name| *name != self.first);
        lacking
    }

    fn is_in_mesh(&self, name: &str, labels: &Labels) -> bool {
        match &self.scope {
            Some(scope) => scope.selects(name, Some(labels)),
            None => name == self.first,
        }
    }
}

static CONFIG_MAPS: Resource = Resource::namespaced("", "v1", "configmaps", "ConfigMap");
static NAMESPACES: Resource = Resource::cluster_wide("", "v1", "namespaces", "Namespace");
const NAME: &str = "istio-ca-root-cert";
const KEY: &str = "root-cert.pem";
const HOW: Apply<'static> = Apply {
    manager: "lateen-root-cert",
    force: true,
};
/// Namespaces that run nothing.
const LEFT_OUT: [&str; 3] = ["kube-public", "kube-node-lease", "local-path-storage"];
const RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
