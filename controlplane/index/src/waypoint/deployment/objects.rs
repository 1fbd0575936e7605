//! The Kubernetes objects of a waypoint, as far as it needs them; fields stand in the order in which people read them.
//!
//! Field names and meanings are those of the Kubernetes API reference (`core/v1`, `apps/v1`, `meta/v1`).

use std::collections::BTreeMap;

use controlplane_k8s_api::Labels;
use mesh_types::Strng;
use serde::Serialize;

macro_rules! object {
    ($(#[$doc:meta])* $name:ident, $version:literal, $kind:literal $(, $field:ident: $spec:ty)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            api_version: &'static str,
            kind: &'static str,
            /// Who it is.
            pub metadata: ObjectMeta,
            $(
                /// What it is to be.
                pub $field: $spec,
            )?
        }

        impl $name {
            pub(super) fn new(metadata: ObjectMeta $(, $field: $spec)?) -> Self {
                Self { api_version: $version, kind: $kind, metadata $(, $field)? }
            }
        }
    };
}

object!(
    /// An account.
    ServiceAccount, "v1", "ServiceAccount"
);
object!(
    /// Pods of one template.
    Deployment, "apps/v1", "Deployment", spec: DeploymentSpec
);
object!(
    /// An address for pods.
    Service, "v1", "Service", spec: ServiceSpec
);

/// `metadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectMeta {
    /// The name; pods of a Deployment get theirs when they are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Strng>,
    /// The namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Strng>,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Labels,
    /// With whom it goes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owner_references: Vec<OwnerReference>,
}

/// With whom an object goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference {
    api_version: &'static str,
    kind: &'static str,
    /// Its name.
    pub name: Strng,
    /// The API server's id of it.
    pub uid: Strng,
}

impl OwnerReference {
    pub(super) fn gateway(name: Strng, uid: Strng) -> Self {
        Self {
            api_version: "gateway.networking.k8s.io/v1",
            kind: "Gateway",
            name,
            uid,
        }
    }
}

/// What a Deployment is to be. It has no number of replicas: that is the autoscaler's, or one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentSpec {
    /// How long a new pod must be ready before it stands in for an old one.
    pub min_ready_seconds: u32,
    /// Which pods are its own.
    pub selector: LabelSelector,
    /// What they are like.
    pub template: PodTemplate,
}

/// Labels that must be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// All of them.
    pub match_labels: Labels,
}

/// What pods are like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PodTemplate {
    /// Labels and annotations.
    pub metadata: ObjectMeta,
    /// The rest.
    pub spec: PodSpec,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// Whom it speaks for.
    pub service_account_name: Strng,
    /// Whether its containers are given the account's token for the API server.
    pub automount_service_account_token: bool,
    /// Secrets of its namespace with which nodes may fetch its images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalReference>,
    /// What holds for all of its containers.
    pub security_context: PodSecurityContext,
    /// How long it may take to end.
    pub termination_grace_period_seconds: u32,
    /// What runs in it.
    pub containers: Vec<Container>,
    /// What containers may mount.
    pub volumes: Vec<Volume>,
}

/// An object of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalReference {
    /// Its name.
    pub name: Strng,
}

/// What all containers of a pod may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSecurityContext {
    /// Yes.
    pub run_as_non_root: bool,
    /// Which system calls there are for them.
    pub seccomp_profile: SeccompProfile,
}

/// Which system calls there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeccompProfile {
    /// `RuntimeDefault`: those that the container runtime leaves everybody.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// A program of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Its name.
    pub name: &'static str,
    /// What to run.
    pub image: Strng,
    /// When nodes fetch it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<Strng>,
    /// Arguments.
    pub args: Vec<&'static str>,
    /// Environment.
    pub env: Vec<EnvVar>,
    /// Ports that it serves.
    pub ports: Vec<ContainerPort>,
    /// What it is granted.
    pub resources: Resources,
    /// Until this holds for the first time, nothing else is asked.
    pub startup_probe: Probe,
    /// Whether connections may be sent to it.
    pub readiness_probe: Probe,
    /// What it may do.
    pub security_context: SecurityContext,
    /// What it sees of the pod's volumes.
    pub volume_mounts: Vec<VolumeMount>,
}

/// A variable of the environment: text, or where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    #[serde(flatten)]
    pub value: EnvValue,
}

/// A variable's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum EnvValue {
    /// Text.
    Value(Strng),
    /// Known only when the pod is made.
    ValueFrom(EnvSource),
}

/// What is known only when the pod is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum EnvSource {
    /// A field of the pod.
    FieldRef {
        /// Its path, such as `status.podIP`.
        field_path: &'static str,
    },
    /// What the container is granted.
    ResourceFieldRef {
        /// Of what, such as `limits.cpu`.
        resource: &'static str,
        /// In which unit.
        divisor: &'static str,
    },
}

/// A port that a container serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// Its name.
    pub name: &'static str,
    /// Its number.
    pub container_port: u16,
    /// `TCP`.
    pub protocol: &'static str,
}

/// What a container is granted (`requests`) and may take at most (`limits`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Granted.
    pub requests: Quantities,
    /// At most.
    pub limits: Quantities,
}

/// Amounts, as Kubernetes writes them; nothing where there is no bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quantities {
    /// Cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Strng>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Strng>,
}

impl Default for Resources {
    /// What Istio grants its waypoints.
    fn default() -> Self {
        let amounts = |cpu: &str, memory: &str| Quantities {
            cpu: Some(cpu.into()),
            memory: Some(memory.into()),
        };
        Self {
            requests: amounts("100m", "128Mi"),
            limits: amounts("2", "1Gi"),
        }
    }
}

/// A question that the node asks a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// What is asked.
    pub http_get: HttpGet,
    /// Before the first time.
    pub initial_delay_seconds: u32,
    /// Between two times.
    pub period_seconds: u32,
    /// For an answer.
    pub timeout_seconds: u32,
    /// How often it must hold to count as holding.
    pub success_threshold: u32,
    /// How often it must not, to count as not holding.
    pub failure_threshold: u32,
}

/// A page that must be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpGet {
    /// Its path.
    pub path: &'static str,
    /// The port.
    pub port: u16,
    /// `HTTP`.
    pub scheme: &'static str,
}

/// What a container may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityContext {
    /// No.
    pub privileged: bool,
    /// No.
    pub allow_privilege_escalation: bool,
    /// Its user; where there is none, the namespace's or the image's counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_as_user: Option<u32>,
    /// Its group, in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_as_group: Option<u32>,
    /// Yes.
    pub run_as_non_root: bool,
    /// Nothing can be written but volumes.
    pub read_only_root_filesystem: bool,
    /// What it may do beyond that.
    pub capabilities: Capabilities,
}

/// What a container may do beyond what everybody may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// What is taken away.
    pub drop: Vec<&'static str>,
}

/// Where a container sees a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeMount {
    /// The volume.
    pub name: &'static str,
    /// The directory.
    pub mount_path: &'static str,
    /// Whether it can only be read.
    pub read_only: bool,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// Its name.
    pub name: &'static str,
    /// What is in it.
    #[serde(flatten)]
    pub source: VolumeSource,
}

/// What is in a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum VolumeSource {
    /// A ConfigMap's keys, a file each.
    ConfigMap {
        /// Its name.
        name: Strng,
    },
    /// Files that the node makes and renews.
    Projected {
        /// Of what.
        sources: Vec<Projection>,
    },
}

/// A file that the node makes and renews.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Projection {
    /// A token of the pod's account.
    ServiceAccountToken {
        /// For whom it is.
        audience: &'static str,
        /// How long it is good for.
        expiration_seconds: u32,
        /// The file.
        path: &'static str,
    },
}

/// How a Service's pods are reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// `ClusterIP`, `LoadBalancer` or `NodePort`.
    #[serde(rename = "type")]
    pub kind: Strng,
    /// Both families where the cluster has them.
    pub ip_family_policy: Strng,
    /// The address that is asked for.
    #[serde(rename = "loadBalancerIP", skip_serializing_if = "Option::is_none")]
    pub load_balancer_ip: Option<Strng>,
    /// Which pods.
    pub selector: Labels,
    /// On which ports.
    pub ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Its name.
    pub name: Strng,
    /// Its number, of Service and pods.
    pub port: u16,
    /// `TCP`.
    pub protocol: &'static str,
    /// What is spoken.
    pub app_protocol: Strng,
}

impl ServicePort {
    pub(super) fn tcp(name: Strng, port: u16, speaks: &str) -> Self {
        Self {
            name,
            port,
            protocol: "TCP",
            app_protocol: speaks.into(),
        }
    }
}
