//! Who the two ends of a connection are, as metrics and logs name them.

use mesh_model::{Service, Workload};
use mesh_types::{Identity, Strng};

use super::ResponseFlag;

/// Which proxy reports a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reporter {
    /// The client's.
    Source,
    /// The server's.
    Destination,
}

/// How a connection is secured on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// Not by us.
    Unknown,
    /// By mutual TLS.
    MutualTls,
}

/// One end of a connection; what is `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct End {
    /// The name of the Pod; in logs only, since metrics name the owner.
    pub name: Option<Strng>,
    /// The name of the owner: a Deployment.
    pub workload: Option<Strng>,
    /// The canonical service (and the label `app`).
    pub canonical_service: Option<Strng>,
    /// Its revision (and the label `version`).
    pub canonical_revision: Option<Strng>,
    /// The namespace.
    pub namespace: Option<Strng>,
    /// The identity; that of the certificate where there was one.
    pub principal: Option<Identity>,
    /// The cluster.
    pub cluster: Option<Strng>,
    /// The region.
    pub region: Option<Strng>,
    /// The zone.
    pub zone: Option<Strng>,
}

/// A service as labels name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceName {
    /// The host name: the label `destination_service`.
    pub hostname: Strng,
    /// The namespace: `destination_service_namespace`.
    pub namespace: Strng,
    /// The object's name: `destination_service_name`.
    pub name: Strng,
}

/// Every label of a time series of `istio_tcp_*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrafficLabels {
    /// `reporter`
    pub reporter: Reporter,
    /// `source_*`
    pub source: End,
    /// `destination_*`
    pub destination: End,
    /// `destination_service*`
    pub service: Option<ServiceName>,
    /// `response_flags`
    pub flag: ResponseFlag,
    /// `connection_security_policy`
    pub security: Security,
}

// === impl Reporter ===

impl Reporter {
    /// The value of the label `reporter`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
        }
    }

    /// The value of the access log's `direction`.
    #[must_use]
    pub fn direction(self) -> &'static str {
        match self {
            Self::Source => "outbound",
            Self::Destination => "inbound",
        }
    }
}

// === impl Security ===

impl Security {
    fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::MutualTls => "mutual_tls",
        }
    }
}

// === impl End ===

impl End {
    /// What the configuration says of a workload, its principal left out: that is known from a certificate only, or
    /// claimed for the destination, which [`End::with_principal`] adds.
    #[must_use]
    pub fn of_workload(workload: &Workload) -> Self {
        let known = |s: &Strng| (!s.is_empty()).then(|| s.clone());
        Self {
            name: known(&workload.name),
            workload: known(&workload.workload_name),
            canonical_service: known(&workload.canonical_name),
            canonical_revision: known(&workload.canonical_revision),
            namespace: known(workload.namespace()),
            principal: None,
            cluster: known(&workload.cluster_id),
            region: known(&workload.locality.region),
            zone: known(&workload.locality.zone),
        }
    }

    /// The same end with an identity.
    #[must_use]
    pub fn with_principal(mut self, principal: Option<Identity>) -> Self {
        self.principal = principal;
        self
    }

    pub(super) fn without_name(mut self) -> Self {
        self.name = None;
        self
    }
}

// === impl ServiceName ===

impl From<&Service> for ServiceName {
    fn from(service: &Service) -> Self {
        Self {
            hostname: service.hostname.hostname.clone(),
            namespace: service.hostname.namespace.clone(),
            name: service.name.clone(),
        }
    }
}

// === impl TrafficLabels ===

impl TrafficLabels {
    /// The names of the labels, in the order of [`TrafficLabels::values`].
    pub const NAMES: [&'static str; 27] = [
        "reporter",
        "source_workload",
        "source_canonical_service",
        "source_canonical_revision",
        "source_workload_namespace",
        "source_principal",
        "source_app",
        "source_version",
        "source_cluster",
        "destination_service",
        "destination_service_namespace",
        "destination_service_name",
        "destination_workload",
        "destination_canonical_service",
        "destination_canonical_revision",
        "destination_workload_namespace",
        "destination_principal",
        "destination_app",
        "destination_version",
        "destination_cluster",
        "request_protocol",
        "response_flags",
        "connection_security_policy",
        "source_region",
        "source_zone",
        "destination_region",
        "destination_zone",
    ];

    /// The labels of a series that stands for many: who the ends are is not told.
    pub(super) fn without_ends(&self) -> Self {
        Self {
            reporter: self.reporter,
            source: End::default(),
            destination: End::default(),
            service: None,
            flag: self.flag,
            security: self.security,
        }
    }

    /// The values of the labels; what is unknown reads `unknown`.
    #[must_use]
    pub fn values(&self) -> [String; 27] {
        let (source, destination) = (&self.source, &self.destination);
        let text = |s: &Option<Strng>| s.as_deref().unwrap_or(UNKNOWN).to_owned();
        let principal =
            |i: &Option<Identity>| i.as_ref().map_or_else(|| UNKNOWN.to_owned(), Identity::to_string);
        let service = |part: fn(&ServiceName) -> &Strng| {
            self.service
                .as_ref()
                .map_or(UNKNOWN, |s| part(s).as_str())
                .to_owned()
        };
        [
            self.reporter.as_str().to_owned(),
            text(&source.workload),
            text(&source.canonical_service),
            text(&source.canonical_revision),
            text(&source.namespace),
            principal(&source.principal),
            text(&source.canonical_service),
            text(&source.canonical_revision),
            text(&source.cluster),
            service(|s| &s.hostname),
            service(|s| &s.namespace),
            service(|s| &s.name),
            text(&destination.workload),
            text(&destination.canonical_service),
            text(&destination.canonical_revision),
            text(&destination.namespace),
            principal(&destination.principal),
            text(&destination.canonical_service),
            text(&destination.canonical_revision),
            text(&destination.cluster),
            "tcp".to_owned(),
            self.flag.as_str().to_owned(),
            self.security.as_str().to_owned(),
            text(&source.region),
            text(&source.zone),
            text(&destination.region),
            text(&destination.zone),
        ]
    }
}

const UNKNOWN: &str = "unknown";
