//! What is kept of an object: nothing that nobody reads, and each text once. Pure.
//!
//! A cluster has ten thousand Pods of a hundred shapes. What tells them apart is short; the rest are the same labels, nodes,
//! accounts and ports again and again, and fields of which a mesh reads nothing.

use std::collections::HashSet;

use controlplane_k8s_api::core::{Container, Node, Pod};
use controlplane_k8s_api::service::EndpointSlice;
use controlplane_k8s_api::{Labels, Metadata, Object};
use mesh_types::Strng;

/// The texts of all objects, each once for as long as somebody has it.
#[derive(Debug, Default)]
pub struct Texts {
    known: HashSet<Strng>,
    /// At how many those that nobody has any more are forgotten.
    sweep_at: usize,
}

impl Texts {
    /// Leaves of an object what is read of it, and shares its texts with other objects.
    pub fn spare(&mut self, object: &mut Object) {
        match object {
            Object::Pod(pod) => self.pod(pod),
            Object::Node(node) => {
                forget_of_node(node);
                self.metadata(&mut node.metadata);
            }
            Object::EndpointSlice(slice) => self.slice(slice),
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
        for container in spec.containers.iter_mut().chain(&mut spec.init_containers) {
            self.container(container);
        }
        for condition in &mut pod.status.conditions {
            self.share(&mut condition.kind);
            self.share(&mut condition.status);
        }
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
        metadata.owner_references.shrink_to_fit();
        for owner in &mut metadata.owner_references {
            self.share(&mut owner.api_version);
            self.share(&mut owner.kind);
            self.share(&mut owner.name);
        }
    }

    fn labels(&mut self, labels: &mut Labels) {
        let all = std::mem::take(labels).into_iter();
        *labels = all
            .map(|(mut key, mut value)| {
                self.share(&mut key);
                self.share(&mut value);
                (key, value)
            })
            .collect();
    }

    fn share(&mut self, text: &mut Strng) {
        if let Some(known) = self.known.get(text.as_str()) {
            *text = known.clone();
            return;
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(Strng::is_shared);
            self.sweep_at = (self.known.len() * 2).max(SWEEP_FROM);
        }
        self.known.insert(text.clone());
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

/// Such as `ambient.istio.io/redirection`.
fn is_of_mesh(annotation: &str) -> bool {
    let domain = annotation.split_once('/').map_or("", |(domain, _)| domain);
    ["istio.io", "lateen.dev"].into_iter().any(|own| {
        let rest = domain.strip_suffix(own);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// kubectl's copy of the whole object: longer than the object, and of no use here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Fewer are not worth looking through.
const SWEEP_FROM: usize = 4096;

#[cfg(test)]
mod tests;
