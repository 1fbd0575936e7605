//! Which PeerAuthentication refuses what comes in the clear. Proxies are told policies, not the objects that these were
//! made of: the objects come from the cluster, or from files.

use controlplane_index::MeshConfig;
use controlplane_index::peer_authentication::deciding::{Converted, Level, converted, deciding};
use controlplane_k8s_api::security::{MutualTlsMode, PeerAuthentication};
use controlplane_k8s_api::{Labels, Object};
use mesh_kube::ObjectName;
use mesh_types::NamespacedName;
use serde_json::{Value, json};

use super::Denial;

/// What is known of PeerAuthentications, and of the workload that is asked about.
#[derive(Clone, Debug, Default)]
pub struct Authentications {
    /// All that are known.
    pub peers: Vec<PeerAuthentication>,
    /// The workload's labels; nothing where they are not known.
    pub labels: Option<Labels>,
    /// What holds for the whole mesh.
    pub config: MeshConfig,
}

/// What refuses, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blame {
    /// The object, where it is known.
    object: Option<ObjectName>,
    level: Option<Level>,
    /// The field of the object that says so.
    field: String,
    /// In one line.
    pub(super) text: String,
    /// What to do.
    pub(super) remedy: String,
}

/// Whether a PeerAuthentication refuses this, and so the objects are worth asking for.
#[must_use]
pub fn is_about(denial: &Denial, config: &MeshConfig) -> bool {
    source(denial, config).is_some()
}

fn source(denial: &Denial, config: &MeshConfig) -> Option<Converted> {
    let (namespace, name) = denial.policy.split_once('/')?;
    converted(&NamespacedName::new(namespace, name), config)
}

impl Authentications {
    /// Those among some objects, and the labels of the workload.
    #[must_use]
    pub fn among<'a>(
        objects: impl Iterator<Item = &'a Object>,
        workload: &ObjectName,
        config: MeshConfig,
    ) -> Self {
        let mut found = Self {
            config,
            ..Self::default()
        };
        for object in objects {
            match object {
                Object::PeerAuthentication(peer) => found.peers.push(peer.clone()),
                Object::Pod(pod)
                    if *pod.metadata.namespace == *workload.namespace
                        && *pod.metadata.name == *workload.name =>
                {
                    found.labels = Some(pod.metadata.labels.clone());
                }
                _ => {}
            }
        }
        found
    }

    /// The object that refuses; nothing where a policy does that somebody wrote.
    #[must_use]
    pub fn blame(&self, denial: &Denial) -> Option<Blame> {
        let source = source(denial, &self.config)?;
        let (namespace, port) = (denial.workload.namespace.as_str(), denial.port);
        let peers: Vec<&PeerAuthentication> = self.peers.iter().collect();
        let labels = self.labels.clone().unwrap_or_default();
        let decided = deciding(&peers, &self.config, namespace, &labels, port);
        let decided = decided.filter(|decided| decided.mode == MutualTlsMode::Strict);
        let (object, level) = match (decided, source) {
            // Without its labels nobody knows what selects the workload.
            (Some(decided), Converted::Shared) if self.labels.is_some() => {
                let metadata = &decided.object.metadata;
                let object = ObjectName::new(&*metadata.namespace, &*metadata.name);
                (Some(object), Some(decided.level))
            }
            (decided, Converted::Of(name)) => {
                // Its ports differ; where the mode of the others counts, that may be a wider object's.
                let known = decided.filter(|_| self.labels.is_some());
                match known {
                    Some(decided) => {
                        let metadata = &decided.object.metadata;
                        let object = ObjectName::new(&*metadata.namespace, &*metadata.name);
                        (Some(object), Some(decided.level))
                    }
                    None => (Some(ObjectName::new(&*name.namespace, &*name.name)), None),
                }
            }
            (_, Converted::Shared) => (None, None),
        };
        Some(Blame::new(denial, object, level))
    }
}

impl Blame {
    fn new(denial: &Denial, object: Option<ObjectName>, level: Option<Level>) -> Self {
        let Denial { workload, port, .. } = denial;
        let namespace = &workload.namespace;
        let field = match level {
            Some(Level::Port) => format!("spec.portLevelMtls[{port}].mode"),
            _ => "spec.mtls.mode".to_owned(),
        };
        let text = match (&object, level) {
            (Some(object), Some(level)) => {
                let holds = match level {
                    Level::Mesh => "for the whole mesh".to_owned(),
                    Level::Namespace => format!("for namespace {namespace}"),
                    Level::Workload => "for the workloads that it selects".to_owned(),
                    Level::Port => format!("for port {port} of the workloads that it selects"),
                };
                format!("PeerAuthentication {object} ({level} level): {field} is STRICT {holds}")
            }
            (Some(object), None) => {
                format!("PeerAuthentication {object}, which selects the workload, is STRICT at port {port}")
            }
            (None, _) => format!(
                "a PeerAuthentication of the workload, of namespace {namespace} or of the mesh is STRICT; -f FILE with the \
                 objects, or a cluster, would say which"
            ),
        };
        let enroll = match &denial.client {
            Some(client) => format!(
                "take the client into the mesh (kubectl label namespace {} istio.io/dataplane-mode=ambient)",
                client.namespace
            ),
            None => "let it come from a pod of the mesh".to_owned(),
        };
        let relax = match level {
            Some(Level::Mesh) => format!(
                "a PeerAuthentication in namespace {namespace} with spec.mtls.mode PERMISSIVE takes plaintext there"
            ),
            Some(Level::Namespace) => {
                "PERMISSIVE there, or in a PeerAuthentication whose selector chooses the workload, \
                                       takes plaintext"
                    .to_owned()
            }
            Some(Level::Workload) | None => {
                format!(
                    "PERMISSIVE there, or for this port alone in spec.portLevelMtls[{port}].mode, takes plaintext"
                )
            }
            Some(Level::Port) => "PERMISSIVE there takes plaintext at this port".to_owned(),
        };
        Self {
            object,
            level,
            field,
            text,
            remedy: format!("{enroll}; {relax}"),
        }
    }

    pub(super) fn data(&self) -> Value {
        json!({
            "kind": "PeerAuthentication",
            "object": self.object.as_ref().map(ToString::to_string),
            "level": self.level.map(|level| level.to_string()),
            "field": self.field,
            "remedy": self.remedy,
        })
    }
}

#[cfg(test)]
mod tests;
