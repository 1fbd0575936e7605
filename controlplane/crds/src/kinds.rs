//! Which CRDs there are: Istio's kinds that are read, with the names, versions and columns that they have upstream
//! (`istio/api`, `kubernetes/customresourcedefinitions.gen.yaml`), and our own.

use anyhow::Result;
use controlplane_k8s_api::Kind;
use controlplane_k8s_api::lateen::{
    ExternalProcessorFilterSpec, FaultFilterSpec, HealthCheckPolicySpec, RateLimitPolicySpec,
    SessionPolicySpec,
};
use controlplane_k8s_api::networking::{
    DestinationRuleSpec, ProxyConfigSpec, ServiceEntrySpec, ServiceEntryStatus, VirtualServiceSpec,
    WorkloadEntrySpec, WorkloadGroupSpec,
};
use controlplane_k8s_api::security::{
    AuthorizationPolicySpec, PeerAuthenticationSpec, RequestAuthenticationSpec,
};
use controlplane_k8s_api::telemetry::TelemetrySpec;
use serde_json::{Value, json};

use crate::schema::{self, Status};
use crate::sources::Sources;
use crate::trace::{Shape, shape};

/// A CRD.
#[derive(Debug)]
pub struct Crd {
    /// The kind.
    pub kind: Kind,
    /// What its `spec` is read into.
    pub spec: fn() -> Shape,
    /// What is read of its `status`.
    pub read_status: Option<fn() -> Shape>,
    /// Whether it says nothing without a `spec`.
    pub needs_spec: bool,
    /// Several of them, in lower case.
    pub plural: &'static str,
    /// For `kubectl get`.
    pub short: &'static [&'static str],
    /// The versions that are served; all say the same. The first is stored.
    pub versions: &'static [&'static str],
    /// What `kubectl get` shows: a name, a path and a type.
    pub columns: &'static [(&'static str, &'static str, &'static str)],
    /// Where its status stands.
    pub status: Status,
}

/// All of them.
pub const CRDS: &[Crd] = &[
    istio(Kind::AuthorizationPolicy, shape::<AuthorizationPolicySpec>)
        .called("authorizationpolicies", &["ap"])
        .served(&["v1", "v1beta1"])
        .shown(&[("Action", ".spec.action", "string"), AGE]),
    istio(Kind::PeerAuthentication, shape::<PeerAuthenticationSpec>)
        .called("peerauthentications", &["pa"])
        .served(&["v1", "v1beta1"])
        .shown(&[("Mode", ".spec.mtls.mode", "string"), AGE]),
    istio(Kind::RequestAuthentication, shape::<RequestAuthenticationSpec>)
        .called("requestauthentications", &["ra"])
        .served(&["v1", "v1beta1"]),
    istio(Kind::DestinationRule, shape::<DestinationRuleSpec>)
        .called("destinationrules", &["dr"])
        .needing_a_spec()
        .served(&["v1", "v1alpha3", "v1beta1"])
        .shown(&[("Host", ".spec.host", "string"), AGE]),
    istio(Kind::ProxyConfig, shape::<ProxyConfigSpec>)
        .called("proxyconfigs", &[])
        .served(&["v1beta1"]),
    istio(Kind::ServiceEntry, shape::<ServiceEntrySpec>)
        .called("serviceentries", &["se"])
        .needing_a_spec()
        .served(&["v1", "v1alpha3", "v1beta1"])
        .shown(&[
            ("Hosts", ".spec.hosts", "string"),
            ("Location", ".spec.location", "string"),
            ("Resolution", ".spec.resolution", "string"),
            AGE,
        ])
        .reading(shape::<ServiceEntryStatus>),
    istio(Kind::VirtualService, shape::<VirtualServiceSpec>)
        .called("virtualservices", &["vs"])
        .served(&["v1", "v1alpha3", "v1beta1"])
        .shown(&[
            ("Gateways", ".spec.gateways", "string"),
            ("Hosts", ".spec.hosts", "string"),
            AGE,
        ]),
    istio(Kind::WorkloadEntry, shape::<WorkloadEntrySpec>)
        .called("workloadentries", &["we"])
        .needing_a_spec()
        .served(&["v1", "v1alpha3", "v1beta1"])
        .shown(&[AGE, ("Address", ".spec.address", "string")]),
    istio(Kind::WorkloadGroup, shape::<WorkloadGroupSpec>)
        .called("workloadgroups", &["wg"])
        .served(&["v1", "v1alpha3", "v1beta1"])
        .shown(&[AGE]),
    istio(Kind::Telemetry, shape::<TelemetrySpec>)
        .called("telemetries", &["telemetry"])
        .served(&["v1alpha1", "v1"])
        .shown(&[AGE]),
    ours(
        Kind::RateLimitPolicy,
        shape::<RateLimitPolicySpec>,
        Status::OfAncestors,
    )
    .called("ratelimitpolicies", &["rlp"])
    .needing_a_spec(),
    ours(
        Kind::HealthCheckPolicy,
        shape::<HealthCheckPolicySpec>,
        Status::OfAncestors,
    )
    .called("healthcheckpolicies", &["hcp"])
    .needing_a_spec(),
    ours(
        Kind::SessionPolicy,
        shape::<SessionPolicySpec>,
        Status::OfAncestors,
    )
    .called("sessionpolicies", &["sp"])
    .needing_a_spec(),
    ours(Kind::FaultFilter, shape::<FaultFilterSpec>, Status::Conditions)
        .called("faultfilters", &[])
        .needing_a_spec(),
    ours(
        Kind::ExternalProcessorFilter,
        shape::<ExternalProcessorFilterSpec>,
        Status::Conditions,
    )
    .called("externalprocessorfilters", &["epf"])
    .needing_a_spec(),
];

const AGE: (&str, &str, &str) = ("Age", ".metadata.creationTimestamp", "date");

const fn istio(kind: Kind, spec: fn() -> Shape) -> Crd {
    Crd {
        kind,
        spec,
        read_status: None,
        needs_spec: false,
        plural: "",
        short: &[],
        versions: &[],
        columns: &[],
        status: Status::Conditions,
    }
}

const fn ours(kind: Kind, spec: fn() -> Shape, status: Status) -> Crd {
    Crd {
        versions: &["v1alpha1"],
        columns: &[AGE],
        status,
        ..istio(kind, spec)
    }
}

impl Crd {
    const fn called(self, plural: &'static str, short: &'static [&'static str]) -> Self {
        Self {
            plural,
            short,
            ..self
        }
    }

    const fn served(self, versions: &'static [&'static str]) -> Self {
        Self { versions, ..self }
    }

    const fn shown(self, columns: &'static [(&'static str, &'static str, &'static str)]) -> Self {
        Self { columns, ..self }
    }

    const fn reading(self, status: fn() -> Shape) -> Self {
        Self {
            read_status: Some(status),
            ..self
        }
    }

    const fn needing_a_spec(self) -> Self {
        Self {
            needs_spec: true,
            ..self
        }
    }

    /// Its name in the cluster.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.plural, self.group())
    }

    /// Its API group.
    #[must_use]
    pub fn group(&self) -> &'static str {
        self.kind.group().name()
    }

    /// The object as it is installed.
    ///
    /// # Errors
    /// Fails when a field has no description in the sources.
    pub fn manifest(&self, sources: &Sources) -> Result<Value> {
        let schema = schema::of(self, sources)?;
        let columns = self
            .columns
            .iter()
            .map(|(name, path, kind)| json!({ "name": name, "jsonPath": path, "type": kind }));
        let columns: Vec<Value> = columns.collect();
        let version = |(i, name): (usize, &&str)| {
            let mut version = json!({
                "name": name,
                "served": true,
                "storage": i == 0,
                "schema": { "openAPIV3Schema": schema },
                "subresources": { "status": {} },
            });
            if !columns.is_empty() {
                version["additionalPrinterColumns"] = json!(columns);
            }
            version
        };
        let versions: Vec<Value> = self.versions.iter().enumerate().map(version).collect();
        let kind = self.kind.as_str();
        let mut names = json!({
            "kind": kind,
            "listKind": format!("{kind}List"),
            "plural": self.plural,
            "singular": kind.to_ascii_lowercase(),
            "categories": self.categories(),
        });
        if !self.short.is_empty() {
            names["shortNames"] = json!(self.short);
        }
        Ok(json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": self.name(),
                "annotations": { "helm.sh/resource-policy": "keep" },
                "labels": self.labels(),
            },
            "spec": {
                "group": self.group(),
                "names": names,
                "scope": "Namespaced",
                "versions": versions,
            },
        }))
    }

    fn categories(&self) -> Vec<String> {
        let whole = if self.is_ours() { "lateen" } else { "istio-io" };
        vec![whole.to_owned(), self.group().replace('.', "-")]
    }

    fn labels(&self) -> Value {
        let mut labels = json!({
            "app.kubernetes.io/name": "lateen-crds",
            "app.kubernetes.io/part-of": "lateen",
        });
        if matches!(self.status, Status::OfAncestors) {
            // GEP-713, "Discoverability".
            labels["gateway.networking.k8s.io/policy"] = json!("Direct");
        }
        labels
    }

    fn is_ours(&self) -> bool {
        self.group() == "lateen.dev"
    }
}
