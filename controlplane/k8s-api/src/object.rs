//! What every object has, and the sum of all kinds.

use std::collections::BTreeMap;
use std::fmt;

use mesh_types::Strng;
use serde::Deserialize;

use crate::core::{ConfigMap, Namespace, Node, Pod, Secret, ServiceAccount};
use crate::error::{ParseError, Position};
use crate::gateway::{
    BackendTlsPolicy, Gateway, GatewayClass, GrpcRoute, HttpRoute, ReferenceGrant, TcpRoute, TlsRoute,
};
use crate::kinds::Group;
use crate::lateen::{
    ExternalProcessorFilter, FaultFilter, HealthCheckPolicy, RateLimitPolicy, SessionPolicy,
};
use crate::mesh::MeshConfig;
use crate::networking::{
    DestinationRule, ProxyConfig, ServiceEntry, VirtualService, WorkloadEntry, WorkloadGroup,
};
use crate::security::{AuthorizationPolicy, PeerAuthentication, RequestAuthentication};
use crate::service::{EndpointSlice, Service};
use crate::shared::Shared;
use crate::telemetry::Telemetry;

/// Labels or annotations.
pub type Labels = Shared<BTreeMap<Strng, Strng>>;

/// An object and where in its file it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Located<T> {
    /// Where its document begins.
    pub at: Position,
    /// The object.
    pub value: T,
    /// What is not wrong, and probably not meant either: fields that do not exist, or have no effect here.
    pub warnings: Vec<ParseError>,
}

/// An object as the API server stores it: what its author wants, beside who it is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Resource<Spec, Status = ()> {
    /// Metadata.
    pub metadata: Metadata,
    /// What it is to be.
    pub spec: Spec,
    /// What somebody found it to be, where that is of use to others; empty in most files.
    pub status: Status,
}

/// An object that is well-formed and changes nothing; whoever reads the file says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredObject {
    /// Which object.
    pub object: ObjectRef,
    /// Its `apiVersion`.
    pub api_version: Strng,
    /// Why it changes nothing.
    pub reason: IgnoredReason,
}

/// Why an object changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgnoredReason {
    /// The mesh needs nothing of this kind (Deployment, Event, …).
    NotNeeded,
    /// The kind configures a mesh, but not this one yet: worth a warning.
    UnsupportedKind,
    /// The kind configures a mesh, but will not configure this one: worth a warning.
    Refused {
        /// What serves its purposes here.
        instead: &'static str,
    },
}

/// Which object of the understood kinds: what a source removes an object by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The kind.
    pub kind: Kind,
    /// The namespace; empty for Namespaces and Nodes.
    pub namespace: Strng,
    /// The name.
    pub name: Strng,
}

/// An object as messages name it: `Pod shop/web-1`. The name may be missing when the object is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// The kind, as written.
    pub kind: Strng,
    /// The namespace; empty for objects of the whole cluster.
    pub namespace: Strng,
    /// The name; empty when it is missing.
    pub name: Strng,
}

/// `metadata`, as far as it is used (Kubernetes API conventions, "Metadata").
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// The name, unique for its kind and namespace.
    pub name: Strng,
    /// The namespace; `default` is filled in where a namespaced object names none, as kubectl does.
    pub namespace: Strng,
    /// What the name was generated from.
    pub generate_name: Option<Strng>,
    /// The API server's id of this very instance.
    pub uid: Option<Strng>,
    /// How often the API server saw `spec` change; absent in files.
    pub generation: Option<i64>,
    /// RFC 3339; absent in files.
    pub creation_timestamp: Option<Strng>,
    /// RFC 3339; set while the object is being deleted.
    pub deletion_timestamp: Option<Strng>,
    /// Labels.
    pub labels: Labels,
    /// Annotations.
    pub annotations: Labels,
    /// The objects that made this one.
    pub owner_references: Shared<Vec<OwnerReference>>,
}

/// One of an object's makers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference {
    /// The maker's group and version.
    pub api_version: Strng,
    /// The maker's kind.
    pub kind: Strng,
    /// The maker's name.
    pub name: Strng,
    /// Whether this maker manages the object.
    #[serde(default)]
    pub controller: bool,
}

/// The table of kinds: variant, type, name, group, and where its objects live.
macro_rules! kinds {
    ($($(#[$doc:meta])+ $variant:ident($type:ty) = $name:literal, $group:ident, $scope:ident;)+) => {
        /// One object of any kind.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        #[expect(clippy::large_enum_variant, reason = "an object is moved once, from its file to its place")]
        pub enum Object {
            $($(#[$doc])+ $variant($type),)+
            /// A kind that changes nothing.
            Ignored(IgnoredObject),
        }

        /// The kinds that are understood.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])+ $variant,)+
        }

        impl Object {
            /// The kind and the metadata of an understood object.
            fn identity(&self) -> Option<(Kind, &Metadata)> {
                match self {
                    $(Self::$variant(o) => Some((Kind::$variant, &o.metadata)),)+
                    Self::Ignored(_) => None,
                }
            }

            /// The metadata of an understood object, for sources that leave out what nobody reads.
            pub fn metadata_mut(&mut self) -> Option<&mut Metadata> {
                match self {
                    $(Self::$variant(o) => Some(&mut o.metadata),)+
                    Self::Ignored(_) => None,
                }
            }
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The kind as users write it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The API group that it belongs to.
            #[must_use]
            pub fn group(self) -> Group {
                match self {
                    $(Self::$variant => Group::$group,)+
                }
            }

            fn scope(self) -> Scope {
                match self {
                    $(Self::$variant => Scope::$scope,)+
                }
            }
        }
    };
}

kinds! {
    /// `v1` Namespace.
    Namespace(Namespace) = "Namespace", Core, Cluster;
    /// `v1` Node.
    Node(Node) = "Node", Core, Cluster;
    /// `v1` Pod.
    Pod(Pod) = "Pod", Core, Namespaced;
    /// `v1` Service.
    Service(Service) = "Service", Core, Namespaced;
    /// `v1` ServiceAccount.
    ServiceAccount(ServiceAccount) = "ServiceAccount", Core, Namespaced;
    /// `v1` ConfigMap.
    ConfigMap(ConfigMap) = "ConfigMap", Core, Namespaced;
    /// `v1` Secret.
    Secret(Secret) = "Secret", Core, Namespaced;
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice(EndpointSlice) = "EndpointSlice", Discovery, Namespaced;
    /// `gateway.networking.k8s.io/v1` GatewayClass.
    GatewayClass(GatewayClass) = "GatewayClass", Gateway, Cluster;
    /// `gateway.networking.k8s.io/v1` Gateway.
    Gateway(Gateway) = "Gateway", Gateway, Namespaced;
    /// `gateway.networking.k8s.io/v1` HTTPRoute.
    HttpRoute(HttpRoute) = "HTTPRoute", Gateway, Namespaced;
    /// `gateway.networking.k8s.io/v1` GRPCRoute.
    GrpcRoute(GrpcRoute) = "GRPCRoute", Gateway, Namespaced;
    /// `gateway.networking.k8s.io/v1` TLSRoute.
    TlsRoute(TlsRoute) = "TLSRoute", Gateway, Namespaced;
    /// `gateway.networking.k8s.io/v1alpha2` TCPRoute.
    TcpRoute(TcpRoute) = "TCPRoute", Gateway, Namespaced;
    /// `gateway.networking.k8s.io/v1beta1` ReferenceGrant.
    ReferenceGrant(ReferenceGrant) = "ReferenceGrant", Gateway, Namespaced;
    /// `gateway.networking.k8s.io/v1` BackendTLSPolicy.
    BackendTlsPolicy(BackendTlsPolicy) = "BackendTLSPolicy", Gateway, Namespaced;
    /// `networking.istio.io/v1` ServiceEntry.
    ServiceEntry(ServiceEntry) = "ServiceEntry", Networking, Namespaced;
    /// `networking.istio.io/v1` WorkloadEntry.
    WorkloadEntry(WorkloadEntry) = "WorkloadEntry", Networking, Namespaced;
    /// `networking.istio.io/v1` WorkloadGroup.
    WorkloadGroup(WorkloadGroup) = "WorkloadGroup", Networking, Namespaced;
    /// `networking.istio.io/v1` DestinationRule.
    DestinationRule(DestinationRule) = "DestinationRule", Networking, Namespaced;
    /// `networking.istio.io/v1` VirtualService.
    VirtualService(VirtualService) = "VirtualService", Networking, Namespaced;
    /// `networking.istio.io/v1beta1` ProxyConfig.
    ProxyConfig(ProxyConfig) = "ProxyConfig", Networking, Namespaced;
    /// `security.istio.io/v1` AuthorizationPolicy.
    AuthorizationPolicy(AuthorizationPolicy) = "AuthorizationPolicy", Security, Namespaced;
    /// `security.istio.io/v1` PeerAuthentication.
    PeerAuthentication(PeerAuthentication) = "PeerAuthentication", Security, Namespaced;
    /// `security.istio.io/v1` RequestAuthentication.
    RequestAuthentication(RequestAuthentication) = "RequestAuthentication", Security, Namespaced;
    /// `telemetry.istio.io/v1` Telemetry.
    Telemetry(Telemetry) = "Telemetry", Telemetry, Namespaced;
    /// `lateen.dev/v1alpha1` RateLimitPolicy.
    RateLimitPolicy(RateLimitPolicy) = "RateLimitPolicy", Lateen, Namespaced;
    /// `lateen.dev/v1alpha1` HealthCheckPolicy.
    HealthCheckPolicy(HealthCheckPolicy) = "HealthCheckPolicy", Lateen, Namespaced;
    /// `lateen.dev/v1alpha1` SessionPolicy.
    SessionPolicy(SessionPolicy) = "SessionPolicy", Lateen, Namespaced;
    /// `lateen.dev/v1alpha1` FaultFilter.
    FaultFilter(FaultFilter) = "FaultFilter", Lateen, Namespaced;
    /// `lateen.dev/v1alpha1` ExternalProcessorFilter.
    ExternalProcessorFilter(ExternalProcessorFilter) = "ExternalProcessorFilter", Lateen, Namespaced;
    /// The mesh's own configuration: the `v1` ConfigMap `istio`, or `lateen.dev/v1alpha1` MeshConfig.
    MeshConfig(Box<MeshConfig>) = "MeshConfig", Lateen, Namespaced;
}

/// Where the objects of a kind live.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Cluster,
    Namespaced,
}

// === impl Object ===

impl Object {
    /// The key of an understood object.
    #[must_use]
    pub fn key(&self) -> Option<ObjectKey> {
        let (kind, metadata) = self.identity()?;
        Some(ObjectKey {
            kind,
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
        })
    }

    /// The metadata of an understood object.
    #[must_use]
    pub fn metadata(&self) -> Option<&Metadata> {
        self.identity().map(|(_, metadata)| metadata)
    }

    /// The object as messages name it.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        match (self, self.key()) {
            (Self::Ignored(ignored), _) => ignored.object.clone(),
            (_, Some(key)) => key.reference(),
            (_, None) => ObjectRef::default(),
        }
    }
}

// === impl Kind ===

impl Kind {
    /// Whether its objects live in namespaces.
    #[must_use]
    pub fn is_namespaced(self) -> bool {
        self.scope() == Scope::Namespaced
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for IgnoredReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNeeded => f.write_str("the mesh needs nothing of this kind"),
            Self::UnsupportedKind => f.write_str("this kind is not supported"),
            Self::Refused { instead } => write!(f, "this kind is not supported: {instead}"),
        }
    }
}

// === impl ObjectKey, ObjectRef ===

impl ObjectKey {
    /// The object as messages name it.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        ObjectRef {
            kind: self.kind.as_str().into(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

impl Default for ObjectRef {
    fn default() -> Self {
        Self {
            kind: Strng::from("object"),
            namespace: Strng::default(),
            name: Strng::default(),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        match (self.namespace.is_empty(), self.name.is_empty()) {
            (_, true) => f.write_str(" without a name"),
            (true, false) => write!(f, " {}", self.name),
            (false, false) => write!(f, " {}/{}", self.namespace, self.name),
        }
    }
}
