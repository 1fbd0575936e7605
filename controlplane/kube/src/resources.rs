//! Which kinds are watched, and in which version (pure).

use controlplane_k8s_api::{Group, Kind};
use mesh_kube::{Resource, Selection};

/// A kind as a resource of the API.
#[derive(Debug, PartialEq, Eq)]
pub struct Watched {
    /// The kind.
    pub kind: Kind,
    /// Its name in paths.
    pub plural: &'static str,
    /// Whether every API server serves it; the others come with CRDs.
    pub built_in: bool,
    /// What it is watched for; each is a right of its own in the role.
    pub need: Need,
    /// What is left to the API server to leave out: a field selector.
    without: Option<&'static str>,
}

/// Why a resource is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing is served without.
    Always,
    /// Only for what some objects refer to: a mesh that has none of those does without the right to read it.
    IfAllowed,
}

/// Every kind that is watched. Namespaces and ConfigMaps come first: they say whose business the others are.
pub const WATCHED: &[Watched] = &[
    built_in(Kind::Namespace, "namespaces"),
    Watched {
        // Copies of the roots are in every namespace, one of them our own.
        without: Some("metadata.name!=istio-ca-root-cert,metadata.name!=kube-root-ca.crt"),
        ..built_in(Kind::ConfigMap, "configmaps")
    },
    built_in(Kind::Node, "nodes"),
    built_in(Kind::Pod, "pods"),
    built_in(Kind::Service, "services"),
    built_in(Kind::EndpointSlice, "endpointslices"),
    Watched {
        need: Need::IfAllowed,
        // What Helm keeps is as large as charts; tokens are nobody's business.
        without: Some(
            "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,type!=istio.io/ca-root",
        ),
        ..built_in(Kind::Secret, "secrets")
    },
    custom(Kind::GatewayClass, "gatewayclasses"),
    custom(Kind::Gateway, "gateways"),
    custom(Kind::HttpRoute, "httproutes"),
    custom(Kind::GrpcRoute, "grpcroutes"),
    custom(Kind::TlsRoute, "tlsroutes"),
    custom(Kind::TcpRoute, "tcproutes"),
    custom(Kind::ReferenceGrant, "referencegrants"),
    custom(Kind::BackendTlsPolicy, "backendtlspolicies"),
    custom(Kind::ServiceEntry, "serviceentries"),
    custom(Kind::WorkloadEntry, "workloadentries"),
    // Nothing is made of a group; what is wrong with one is said in its status.
    custom(Kind::WorkloadGroup, "workloadgroups"),
    custom(Kind::DestinationRule, "destinationrules"),
    custom(Kind::VirtualService, "virtualservices"),
    custom(Kind::ProxyConfig, "proxyconfigs"),
    custom(Kind::AuthorizationPolicy, "authorizationpolicies"),
    custom(Kind::PeerAuthentication, "peerauthentications"),
    custom(Kind::RequestAuthentication, "requestauthentications"),
    custom(Kind::Telemetry, "telemetries"),
    custom(Kind::RateLimitPolicy, "ratelimitpolicies"),
    custom(Kind::HealthCheckPolicy, "healthcheckpolicies"),
    custom(Kind::SessionPolicy, "sessionpolicies"),
    custom(Kind::FaultFilter, "faultfilters"),
    custom(Kind::ExternalProcessorFilter, "externalprocessorfilters"),
];

/// What is made known of kinds that come late.
pub static CRDS: Resource = Resource::cluster_wide(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
);

const fn built_in(kind: Kind, plural: &'static str) -> Watched {
    Watched {
        kind,
        plural,
        built_in: true,
        need: Need::Always,
        without: None,
    }
}

const fn custom(kind: Kind, plural: &'static str) -> Watched {
    Watched {
        built_in: false,
        ..built_in(kind, plural)
    }
}

impl Watched {
    /// The group it belongs to.
    #[must_use]
    pub fn group(&self) -> Group {
        self.kind.group()
    }

    /// The version to watch it in: the first of ours that the API server serves.
    #[must_use]
    pub fn version<S: AsRef<str>>(&self, served: &[S]) -> Option<&'static str> {
        let known = self.group().versions().iter();
        known
            .copied()
            .find(|version| served.iter().any(|served| served.as_ref() == *version))
    }

    /// The resource in a version.
    #[must_use]
    pub fn resource(&self, version: &'static str) -> Resource {
        let (group, kind) = (self.group().name(), self.kind.as_str());
        if self.kind.is_namespaced() {
            Resource::namespaced(group, version, self.plural, kind)
        } else {
            Resource::cluster_wide(group, version, self.plural, kind)
        }
    }

    /// What is watched of it.
    #[must_use]
    pub fn selection(&self, version: &'static str) -> Selection {
        let all = Selection::all(self.resource(version));
        match self.without {
            Some(selector) => all.with_fields(selector),
            None => all,
        }
    }
}

#[cfg(test)]
mod tests;
