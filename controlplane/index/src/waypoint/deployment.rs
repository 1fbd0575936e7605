//! What a waypoint's Gateway becomes in a cluster: an account, a Deployment and a Service.
//!
//! Names, labels, ports, probes and mounts are those of Istio's own waypoints (its `waypoint.yaml` template), so that
//! dashboards, policies and people find what they look for. What only Envoy needs is left out. Where Kubernetes takes no
//! empty owner, none is named: a Gateway out of a file has no uid.
//!
//! # Layout
//! - [`render`], [`Settings`], [`Manifests`]: the way in and out.
//! - [`plan`]: the same in a cluster, with settings by reference; `overlay`: how those are laid over it.
//! - [`objects`]: the Kubernetes objects, as far as a waypoint needs them.
//! - `pod`: the pod's template: container, environment, probes, volumes.

pub mod objects;
mod overlay;
pub mod plan;
mod pod;

use std::collections::BTreeSet;
use std::fmt;

use controlplane_k8s_api::Labels;
use controlplane_k8s_api::gateway::{Gateway, GatewayClass};
use controlplane_k8s_api::validate::names;
use mesh_types::{NamespacedName, Strng, TrustDomain};

use super::classes;
use objects::{
    Deployment, DeploymentSpec, LabelSelector, ObjectMeta, OwnerReference, Service, ServiceAccount,
    ServicePort, ServiceSpec,
};

/// What is the same for every waypoint of a mesh.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The image that holds `lateen-waypoint`.
    pub image: Strng,
    /// When nodes fetch it; Kubernetes' own default where absent.
    pub image_pull_policy: Option<Strng>,
    /// Secrets with which they may fetch it, looked for in the waypoint's own namespace.
    pub image_pull_secrets: Vec<Strng>,
    /// As which user it runs.
    pub user: PodUser,
    /// Where the control plane and its certificate authority are found, `host:port`.
    pub control_plane: Strng,
    /// The ConfigMap in every namespace that holds the root certificate, `root-cert.pem`.
    pub root_certificate: Strng,
    /// The cluster's name.
    pub cluster_id: Strng,
    /// The domain of Services' host names.
    pub cluster_domain: Strng,
    /// The trust domain of every identity.
    pub trust_domain: TrustDomain,
    /// The network that waypoints are in where their Gateway names none; empty in a mesh of one network.
    pub network: Strng,
    /// The revision of the control plane; `default` where it has none.
    pub revision: Strng,
    /// What a pod is granted.
    pub resources: objects::Resources,
    /// How long a pod may take to end, in seconds.
    pub grace_seconds: u32,
}

/// Who says as which user a pod's containers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodUser {
    /// Its template does: upstream's user and group, 1337.
    Upstreams,
    /// The cluster does, from a range of the namespace's own, and refuses a template that names one. So does OpenShift
    /// (`restricted-v2`).
    Assigned,
}

/// What a Gateway becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifests {
    /// Whom its certificate names.
    pub service_account: ServiceAccount,
    /// Its pods.
    pub deployment: Deployment,
    /// How node proxies find them.
    pub service: Service,
}

/// Why a Gateway becomes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRendered {
    /// Another controller makes the Gateways of its class.
    ForeignClass(Strng),
    /// It names an address of its own: somebody else runs what is there.
    Unmanaged,
    /// It asks for settings that are not there, or cannot be read.
    Parameters {
        /// Where they are, or who names them.
        from: Strng,
        /// What is wrong with them.
        reason: String,
    },
    /// An annotation holds what it cannot.
    Annotation {
        /// Which.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing can be called as it is.
    Name {
        /// What is wrong with its name.
        reason: String,
    },
}

/// Renders a Gateway; pure, and the same for equal input, so that whoever applies it sees what changed.
///
/// # Errors
/// Says why nothing is to be made of it.
pub fn render(
    gateway: &Gateway,
    class: Option<&GatewayClass>,
    settings: &Settings,
) -> Result<Manifests, NotRendered> {
    let shape = shape(gateway, class, settings)?;
    let infrastructure = gateway.spec.infrastructure.as_ref();
    if let Some(parameters) = infrastructure.and_then(|i| i.parameters_ref.as_ref()) {
        let (kind, name) = (&parameters.kind, &parameters.name);
        return Err(NotRendered::Parameters {
            from: "spec.infrastructure.parametersRef".into(),
            reason: format!("{kind} {name}: settings by reference are read in a cluster only"),
        });
    }
    base(gateway, &shape, settings)
}

fn shape<'a>(
    gateway: &'a Gateway,
    class: Option<&GatewayClass>,
    settings: &Settings,
) -> Result<Shape<'a>, NotRendered> {
    let of_class = &gateway.spec.gateway_class_name;
    let controller = classes::controller(of_class, class);
    let controller = controller.ok_or_else(|| NotRendered::ForeignClass(of_class.clone()))?;
    if is_unmanaged(gateway) {
        return Err(NotRendered::Unmanaged);
    }
    well_named(gateway)?;
    Ok(Shape::of(gateway, controller, settings))
}

/// Whether objects can be called as the Gateway has it: what an API server would refuse anyway is told where its author looks.
fn well_named(gateway: &Gateway) -> Result<(), NotRendered> {
    let own = &gateway.metadata.name;
    if own.len() > LONGEST_NAME {
        let reason = format!("has more than the {LONGEST_NAME} bytes of a label, which its pods bear it in");
        return Err(NotRendered::Name { reason });
    }
    let annotation = |name| gateway.metadata.annotations.get(name);
    match annotation(NAME_OVERRIDE) {
        Some(over) => names::service(over).map_err(|reason| NotRendered::Annotation {
            name: NAME_OVERRIDE,
            reason,
        })?,
        None => names::service(own).map_err(|reason| NotRendered::Name {
            reason: format!(
                "{reason}, as a Service's must be; {NAME_OVERRIDE} may say how it is called instead"
            ),
        })?,
    }
    match annotation(SERVICE_ACCOUNT) {
        Some(account) => names::subdomain(account).map_err(|reason| NotRendered::Annotation {
            name: SERVICE_ACCOUNT,
            reason,
        }),
        None => Ok(()),
    }
}

/// What becomes of it without settings by reference.
fn base(gateway: &Gateway, shape: &Shape<'_>, settings: &Settings) -> Result<Manifests, NotRendered> {
    Ok(Manifests {
        service_account: ServiceAccount::new(shape.meta(&shape.account, shape.annotations.clone())),
        deployment: Deployment::new(
            shape.meta(&shape.name, shape.annotations.clone()),
            DeploymentSpec {
                min_ready_seconds: MIN_READY_SECONDS,
                selector: LabelSelector {
                    match_labels: shape.selector(),
                },
                template: pod::template(gateway, shape, settings)?,
            },
        ),
        service: service(gateway, shape)?,
    })
}

/// The name of a Gateway's Deployment and Service: its own, or what its annotation says.
pub(crate) fn name_of(gateway: &Gateway) -> Strng {
    let over = gateway.metadata.annotations.get(NAME_OVERRIDE);
    over.unwrap_or(&gateway.metadata.name).clone()
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            image: concat!("lateen/waypoint:", env!("CARGO_PKG_VERSION")).into(),
            image_pull_policy: None,
            image_pull_secrets: Vec::new(),
            user: PodUser::Upstreams,
            control_plane: "istiod.istio-system.svc:15012".into(),
            root_certificate: "istio-ca-root-cert".into(),
            cluster_id: "Kubernetes".into(),
            cluster_domain: "cluster.local".into(),
            trust_domain: TrustDomain::default(),
            network: Strng::default(),
            revision: "default".into(),
            resources: objects::Resources::default(),
            grace_seconds: 30,
        }
    }
}

/// What all three objects share.
struct Shape<'a> {
    gateway: &'a Gateway,
    /// Of Deployment and Service.
    name: Strng,
    account: Strng,
    /// The labels that the Gateway's author wants on everything.
    labels: Labels,
    /// The same for annotations.
    annotations: Labels,
    /// Who made this, as a label says it.
    managed_by: Strng,
    network: Strng,
}

impl<'a> Shape<'a> {
    fn of(gateway: &'a Gateway, controller: &str, settings: &Settings) -> Self {
        let meta = &gateway.metadata;
        let infrastructure = gateway.spec.infrastructure.as_ref();
        let wanted = |own: &Labels, of: Option<&Labels>| -> Labels {
            let of = of.filter(|l| !l.is_empty()).unwrap_or(own);
            let keep = |(k, _): &(&Strng, &Strng)| !k.starts_with(RESERVED);
            of.iter()
                .filter(keep)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect()
        };
        let mut labels = wanted(&meta.labels, infrastructure.map(|i| &i.labels));
        let mut annotations = wanted(&meta.annotations, infrastructure.map(|i| &i.annotations));
        annotations.retain(|key, _| !ABOUT_THE_GATEWAY.contains(&key.as_str()));
        if !meta.labels.contains_key(NETWORK) && !settings.network.is_empty() {
            labels.insert(NETWORK.into(), settings.network.clone());
        }
        let name = name_of(gateway);
        Self {
            gateway,
            account: meta
                .annotations
                .get(SERVICE_ACCOUNT)
                .unwrap_or(&meta.name)
                .clone(),
            network: labels.get(NETWORK).cloned().unwrap_or_default(),
            name,
            labels,
            annotations,
            managed_by: controller.replace('/', "-").into(),
        }
    }

    fn meta(&self, name: &Strng, annotations: Labels) -> ObjectMeta {
        let owner = self.gateway.metadata.uid.as_ref().filter(|u| !u.is_empty());
        ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(self.gateway.metadata.namespace.clone()),
            labels: self.labelled(self.labels.clone()),
            annotations,
            owner_references: owner
                .map(|uid| OwnerReference::gateway(self.gateway.metadata.name.clone(), uid.clone()))
                .into_iter()
                .collect(),
        }
    }

    /// What tells that an object is this Gateway's; nothing that its author wants goes over it.
    fn labelled(&self, mut labels: Labels) -> Labels {
        labels.extend(self.selector());
        labels.insert(CLASS_LABEL.into(), self.gateway.spec.gateway_class_name.clone());
        labels.insert(MANAGED.into(), self.managed_by.clone());
        labels
    }

    fn selector(&self) -> Labels {
        Labels::from([(NAME_LABEL.into(), self.gateway.metadata.name.clone())])
    }
}

/// A host name, or several addresses: there is something already. One IP address is a wish for the Service.
pub(crate) fn is_unmanaged(gateway: &Gateway) -> bool {
    match gateway.spec.addresses.as_slice() {
        [] => false,
        [one] => one.kind != "IPAddress",
        _ => true,
    }
}

fn service(gateway: &Gateway, shape: &Shape<'_>) -> Result<Service, NotRendered> {
    let kind = gateway.metadata.annotations.get(SERVICE_TYPE);
    let kind = kind.map_or(DEFAULT_SERVICE_TYPE, Strng::as_str);
    if !SERVICE_TYPES.contains(&kind) {
        return Err(NotRendered::Annotation {
            name: SERVICE_TYPE,
            reason: format!("{kind:?} is none of {}", SERVICE_TYPES.join(", ")),
        });
    }
    let mut annotations = Labels::from([(TRAFFIC_DISTRIBUTION.into(), "PreferClose".into())]);
    annotations.extend(shape.annotations.clone());
    let asked = gateway.spec.addresses.first().map(|a| a.value.clone());
    Ok(Service::new(
        shape.meta(&shape.name, annotations),
        ServiceSpec {
            ip_family_policy: "PreferDualStack".into(),
            ports: ports(gateway),
            selector: shape.selector(),
            load_balancer_ip: asked.filter(|_| kind == "LoadBalancer"),
            kind: kind.into(),
        },
    ))
}

/// The readiness port, then every listener's, each once.
fn ports(gateway: &Gateway) -> Vec<ServicePort> {
    let mut ports = vec![ServicePort::tcp(
        "status-port".into(),
        mesh_types::ports::READINESS,
        "tcp",
    )];
    let mut numbers = BTreeSet::new();
    let mut names = BTreeSet::from(["status-port".to_owned()]);
    for listener in &gateway.spec.listeners {
        if !numbers.insert(listener.port) {
            continue;
        }
        // Listeners' names may have dots and be long, those of ports may not (RFC 6335, section 5.1, with 63 letters).
        let wanted: String = listener
            .name
            .replace('.', "-")
            .chars()
            .take(LONGEST_NAME)
            .collect();
        let mut name = wanted.clone();
        let mut suffix = format!("-{}", listener.port);
        while !names.insert(name.clone()) {
            let kept = LONGEST_NAME.saturating_sub(suffix.len());
            name = wanted.chars().take(kept).chain(suffix.chars()).collect();
            suffix.push('x');
        }
        let speaks = listener.protocol.to_ascii_lowercase();
        ports.push(ServicePort::tcp(name.into(), listener.port, &speaks));
    }
    ports
}

impl Manifests {
    /// Where the waypoint is found.
    #[must_use]
    pub fn name(&self) -> NamespacedName {
        let of = |text: &Option<Strng>| text.clone().unwrap_or_default();
        let meta = &self.service.metadata;
        NamespacedName::new(of(&meta.namespace), of(&meta.name))
    }
}

impl fmt::Display for NotRendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignClass(class) => {
                write!(
                    f,
                    "spec.gatewayClassName: {class} is no class of waypoints that are made here"
                )
            }
            Self::Unmanaged => f.write_str("spec.addresses: it stands for something that runs already"),
            Self::Parameters { from, reason } => write!(f, "{from}: {reason}"),
            Self::Annotation { name, reason } => write!(f, "metadata.annotations[{name}]: {reason}"),
            Self::Name { reason } => write!(f, "metadata.name: {reason}"),
        }
    }
}

impl std::error::Error for NotRendered {}

const NAME_LABEL: &str = "gateway.networking.k8s.io/gateway-name";
const CLASS_LABEL: &str = "gateway.networking.k8s.io/gateway-class-name";
const MANAGED: &str = "gateway.istio.io/managed";
const NETWORK: &str = "topology.istio.io/network";
/// Labels and annotations of this domain say what the Gateway itself is.
const RESERVED: &str = "gateway.networking.k8s.io/";
const NAME_OVERRIDE: &str = "gateway.istio.io/name-override";
const SERVICE_ACCOUNT: &str = "gateway.istio.io/service-account";
/// Annotations that are about the Gateway, not about what it becomes.
const ABOUT_THE_GATEWAY: [&str; 4] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    NAME_OVERRIDE,
    SERVICE_ACCOUNT,
    "gateway.istio.io/controller-version",
];
const SERVICE_TYPE: &str = "networking.istio.io/service-type";
const SERVICE_TYPES: [&str; 3] = [DEFAULT_SERVICE_TYPE, "LoadBalancer", "NodePort"];
const DEFAULT_SERVICE_TYPE: &str = "ClusterIP";
const TRAFFIC_DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";
const LONGEST_NAME: usize = 63;
/// Longer than a kubelet takes readiness back for, just after it gave it (docs/decisions/waypoint-readiness.md).
const MIN_READY_SECONDS: u32 = 3;

#[cfg(test)]
mod tests;
