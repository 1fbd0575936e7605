//! What is kept of an object: nothing that nobody reads, and what it has in common with others once. Pure.
//!
//! A cluster has ten thousand Pods of a hundred shapes. What tells them apart is short; the rest are the same labels, nodes,
//! accounts and ports again and again, and fields of which a mesh reads nothing.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;

use controlplane_k8s_api::core::{ConfigMap, Container, Node, Pod, PodCondition};
use controlplane_k8s_api::object::OwnerReference;
use controlplane_k8s_api::service::EndpointSlice;
use controlplane_k8s_api::{Labels, Metadata, Object, Shared};
use mesh_types::Strng;

/// The texts of all objects, and what else they have alike, each once for as long as somebody has it.
#[derive(Debug, Default)]
pub struct Texts {
    texts: Known<Strng>,
    labels: Known<Labels>,
    owners: Known<Shared<Vec<OwnerReference>>>,
    containers: Known<Shared<Vec<Container>>>,
    conditions: Known<Shared<Vec<PodCondition>>>,
}

/// Things that are kept once.
#[derive(Debug)]
struct Known<T> {
    known: HashSet<T>,
    /// At how many those that nobody has any more are forgotten.
    sweep_at: usize,
}

/// Something that several may have.
trait Common: Clone + Eq + Hash {
    /// Whether somebody else has it too.
    fn is_shared(&self) -> bool;
}

impl Texts {
    /// A text, as others have it.
    pub fn text(&mut self, text: &str) -> Strng {
        match self.texts.known.get(text) {
            Some(known) => known.clone(),
            None => {
                let text = Strng::from(text);
                self.texts.keep(&text);
                text
            }
        }
    }

    /// Leaves of an object what is read of it, and shares with other objects what they have in common.
    pub fn spare(&mut self, object: &mut Object) {
        match object {
            Object::Pod(pod) => self.pod(pod),
            Object::Node(node) => {
                forget_of_node(node);
                self.metadata(&mut node.metadata);
            }
            Object::EndpointSlice(slice) => self.slice(slice),
            Object::ConfigMap(map) => {
                forget_of_config_map(map);
                self.metadata(&mut map.metadata);
            }
            Object::Secret(secret) => {
                let read = |key: &Strng| SECRET_KEYS.contains(&key.as_str());
                secret.content.data.retain(|key, _| read(key));
                secret.metadata.annotations = Labels::new();
                self.metadata(&mut secret.metadata);
            }
            other => {
                if let Some(metadata) = other.metadata_mut() {
                    metadata.annotations.remove(LAST_APPLIED);
                    self.metadata(metadata);
                }
            }
        }
    }

    fn pod(&mut self, pod: &mut Pod) {
        forget_of_pod(pod);
        self.metadata(&mut pod.metadata);
        let spec = &mut pod.spec;
        self.share(&mut spec.node_name);
        self.share(&mut spec.service_account_name.0);
        self.containers(&mut spec.containers);
        self.containers(&mut spec.init_containers);
        let conditions = &mut pod.status.conditions;
        if !self.conditions.share(conditions) {
            self.conditions.keep(conditions);
        }
    }

    fn containers(&mut self, containers: &mut Shared<Vec<Container>>) {
        if self.containers.share(containers) {
            return;
        }
        let mut own = containers.to_vec();
        own.iter_mut().for_each(|container| self.container(container));
        *containers = own.into();
        self.containers.keep(containers);
    }

    fn container(&mut self, container: &mut Container) {
        self.share(&mut container.name);
        if let Some(policy) = &mut container.restart_policy {
            self.share(policy);
        }
        container.ports.shrink_to_fit();
        container
            .ports
            .iter_mut()
            .for_each(|port| self.share(&mut port.name));
    }

    fn slice(&mut self, slice: &mut EndpointSlice) {
        slice.metadata.annotations = Labels::new();
        self.metadata(&mut slice.metadata);
        slice.spec.endpoints.shrink_to_fit();
        for endpoint in &mut slice.spec.endpoints {
            endpoint.addresses.shrink_to_fit();
            if let Some(target) = &mut endpoint.target_ref {
                self.share(&mut target.kind);
                self.share(&mut target.namespace);
                self.share(&mut target.name);
                if let Some(uid) = &mut target.uid {
                    self.share(uid);
                }
            }
        }
    }

    fn metadata(&mut self, metadata: &mut Metadata) {
        self.share(&mut metadata.name);
        self.share(&mut metadata.namespace);
        for text in [&mut metadata.uid, &mut metadata.generate_name]
            .into_iter()
            .flatten()
        {
            self.share(text);
        }
        self.labels(&mut metadata.labels);
        self.labels(&mut metadata.annotations);
        if !self.owners.share(&mut metadata.owner_references) {
            let mut own = metadata.owner_references.to_vec();
            for owner in &mut own {
                self.share(&mut owner.api_version);
                self.share(&mut owner.kind);
                self.share(&mut owner.name);
            }
            metadata.owner_references = own.into();
            self.owners.keep(&metadata.owner_references);
        }
    }

    /// Whole sets are the same for all Pods of a Deployment, texts for many more.
    fn labels(&mut self, labels: &mut Labels) {
        if self.labels.share(labels) {
            return;
        }
        let own = labels.iter();
        let own: BTreeMap<Strng, Strng> = own
            .map(|(key, value)| (self.text(key), self.text(value)))
            .collect();
        *labels = own.into();
        self.labels.keep(labels);
    }

    fn share(&mut self, text: &mut Strng) {
        if !self.texts.share(text) {
            self.texts.keep(text);
        }
    }
}

impl<T: Common> Known<T> {
    /// Puts what is known already in the place of an equal one. Says whether it is known.
    fn share(&self, thing: &mut T) -> bool {
        let known = self.known.get(thing);
        if let Some(known) = known {
            *thing = known.clone();
        }
        known.is_some()
    }

    fn keep(&mut self, thing: &T) {
        if self.known.len() >= self.sweep_at {
            self.known.retain(T::is_shared);
            self.sweep_at = (self.known.len() * 2).max(SWEEP_FROM);
        }
        self.known.insert(thing.clone());
    }
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self {
            known: HashSet::new(),
            sweep_at: SWEEP_FROM,
        }
    }
}

impl Common for Strng {
    fn is_shared(&self) -> bool {
        Self::is_shared(self)
    }
}

impl<T: Clone + Eq + Hash> Common for Shared<T> {
    fn is_shared(&self) -> bool {
        Self::is_shared(self)
    }
}

/// Nothing is derived from the age of a Pod, from containers without ports and from conditions but whether it is ready; and of
/// annotations, only the mesh's own are read.
fn forget_of_pod(pod: &mut Pod) {
    pod.metadata.creation_timestamp = None;
    pod.metadata.annotations.retain(|key, _| is_of_mesh(key));
    let spec = &mut pod.spec;
    spec.containers.retain(|container| !container.ports.is_empty());
    spec.containers.shrink_to_fit();
    spec.init_containers
        .retain(|container| !container.ports.is_empty());
    spec.init_containers.shrink_to_fit();
    let status = &mut pod.status;
    status.conditions.retain(|condition| condition.kind == "Ready");
    status.conditions.shrink_to_fit();
    if !status.pod_ips.is_empty() {
        status.pod_ip = None;
    }
    status.pod_ips.shrink_to_fit();
}

fn forget_of_node(node: &mut Node) {
    node.metadata.annotations = Labels::new();
    node.metadata.creation_timestamp = None;
}

/// What a ConfigMap may hold is a megabyte, most of it nobody's business here. Its keys stay: one that is strange where settings
/// are expected is named to its author.
fn forget_of_config_map(map: &mut ConfigMap) {
    map.metadata.annotations = Labels::new();
    for (key, value) in &mut map.data {
        if !CONFIG_MAP_KEYS.contains(&key.as_str()) {
            *value = Strng::default();
        }
    }
}

/// Such as `ambient.istio.io/redirection`.
fn is_of_mesh(annotation: &str) -> bool {
    let domain = annotation.split_once('/').map_or("", |(domain, _)| domain);
    ["istio.io", "lateen.dev"].into_iter().any(|own| {
        let rest = domain.strip_suffix(own);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// What is read of ConfigMaps: authorities (BackendTLSPolicy, DestinationRule), and what is laid over a waypoint's objects
/// (`parametersRef`, defaults of a class). The mesh's configuration is an object of its own.
pub const CONFIG_MAP_KEYS: [&str; 6] = [
    "ca.crt",
    "serviceAccount",
    "deployment",
    "service",
    "horizontalPodAutoscaler",
    "podDisruptionBudget",
];
/// What is read of Secrets: certificates, keys and authorities, by the names of both of Istio's layouts.
pub const SECRET_KEYS: [&str; 6] = ["ca.crt", "cacert", "tls.crt", "cert", "tls.key", "key"];
/// kubectl's copy of the whole object: longer than the object, and of no use here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Fewer are not worth looking through.
const SWEEP_FROM: usize = 4096;

#[cfg(test)]
mod tests;
