//! What messages are about, and how grave that is.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;

/// How grave a message is, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Level {
    /// It will not do what its author meant.
    Error,
    /// It probably does not.
    Warning,
    /// Worth knowing.
    Info,
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Code {
    /// Something that is referred to is not there, or may not be used.
    ReferencedResourceNotFound,
    /// The object will be refused, or a part of it.
    SchemaValidationError,
    /// No workload is selected.
    NoMatchingWorkloadsFound,
    /// A part of the object has no effect.
    SchemaWarning,
    /// A policy, or a part of it, does not do what it says.
    IneffectivePolicy,
    /// A condition of the object's status will say that something is wrong.
    NegativeConditionStatus,
    /// The waypoint that is asked for cannot be used.
    WaypointUnusable,
    /// Another object counts instead.
    Conflict,
    /// A Service's target port has a name that no container gives a port.
    UnknownTargetPort,
    /// A label or an annotation of the mesh has a value that it does not know.
    InvalidAnnotation,
    /// The Kubernetes is too old.
    UnsupportedKubernetesVersion,
    /// Gateway API's CRDs are not there, or kinds or versions of theirs are not.
    UnsupportedGatewayApiVersion,
    /// A selector chooses pods that the policy has no effect on.
    IneffectiveSelector,
    /// Two ServiceEntries say different things of a port of one host.
    ConflictingServiceEntryProtocol,
    /// A NetworkPolicy keeps the mesh's tunnels out.
    NetworkPolicyBlocksTunnels,
    /// The namespace is enrolled, and the control plane does not look at it.
    HiddenNamespace,
    /// The pod says that it is in the mesh, and its ztunnel does not serve it.
    PodNotServed,
    /// A policy names identities of a trust domain that is not the mesh's.
    TrustDomainMismatch,
    /// A certificate ends soon and was not renewed.
    CertificateNearExpiry,
    /// Two control planes may claim one namespace.
    SeveralControlPlanes,
    /// An annotation of Istio's that nobody knows.
    UnknownAnnotation,
    /// Services choose the same pods, and give one port several transport protocols.
    DeploymentAssociatedToMultipleServices,
    /// Services choose the same pods, and reach one port of theirs by several ports of their own.
    DeploymentConflictingPorts,
    /// A ServiceEntry has no address, so that connections to its TCP ports are told apart by nothing.
    ServiceEntryAddressesRequired,
    /// A webhook of Istio's asks for what is not there, or two of them do the same.
    InvalidWebhook,
    /// Rights to install the mesh are missing.
    InsufficientPermissions,
    /// A port that a Service names is open on the loopback address only.
    LocalhostListener,
    /// A port of an ExternalName Service has a name by which what it carries is not known.
    ExternalNameServiceTypeInvalidPortName,
    /// Services of one name differ between clusters.
    MultiClusterInconsistentService,
    /// A later version will not understand the installed version of Gateway API.
    FutureUnsupportedGatewayApiVersion,
    /// Plaintext is refused, and a pod of that namespace is not in the mesh, so nothing of the kind holds for it.
    StrictOutsideMesh,
    /// Plaintext was refused at a workload that demands mutual TLS: some of its clients are outside of the mesh.
    StrictRefusesPlaintext,
    /// A kind of Gateway API is there in versions that are not read, or of a release that is not supported any more.
    GatewayApiCrdVersionBelowMinimum,
}

/// A code that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such code; there are {}", Code::ALL.map(Code::id).join(", "))]
pub struct UnknownCode;

impl Code {
    /// Every code.
    pub const ALL: [Self; 33] = [
        Self::ReferencedResourceNotFound,
        Self::SchemaValidationError,
        Self::NoMatchingWorkloadsFound,
        Self::SchemaWarning,
        Self::IneffectivePolicy,
        Self::NegativeConditionStatus,
        Self::WaypointUnusable,
        Self::Conflict,
        Self::UnknownTargetPort,
        Self::InvalidAnnotation,
        Self::UnsupportedKubernetesVersion,
        Self::UnsupportedGatewayApiVersion,
        Self::IneffectiveSelector,
        Self::ConflictingServiceEntryProtocol,
        Self::NetworkPolicyBlocksTunnels,
        Self::HiddenNamespace,
        Self::PodNotServed,
        Self::TrustDomainMismatch,
        Self::CertificateNearExpiry,
        Self::SeveralControlPlanes,
        Self::UnknownAnnotation,
        Self::DeploymentAssociatedToMultipleServices,
        Self::DeploymentConflictingPorts,
        Self::ServiceEntryAddressesRequired,
        Self::InvalidWebhook,
        Self::InsufficientPermissions,
        Self::LocalhostListener,
        Self::ExternalNameServiceTypeInvalidPortName,
        Self::MultiClusterInconsistentService,
        Self::FutureUnsupportedGatewayApiVersion,
        Self::StrictOutsideMesh,
        Self::StrictRefusesPlaintext,
        Self::GatewayApiCrdVersionBelowMinimum,
    ];

    /// What it is suppressed by.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.about().0
    }

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.about().1
    }

    /// How grave it is.
    #[must_use]
    pub fn level(self) -> Level {
        self.about().2
    }

    fn about(self) -> (&'static str, &'static str, Level) {
        match self {
            Self::ReferencedResourceNotFound => ("IST0101", "ReferencedResourceNotFound", Level::Error),
            Self::SchemaValidationError => ("IST0106", "SchemaValidationError", Level::Error),
            Self::NoMatchingWorkloadsFound => ("IST0127", "NoMatchingWorkloadsFound", Level::Warning),
            Self::SchemaWarning => ("IST0133", "SchemaWarning", Level::Warning),
            Self::IneffectivePolicy => ("IST0167", "IneffectivePolicy", Level::Warning),
            Self::NegativeConditionStatus => ("IST0171", "NegativeConditionStatus", Level::Warning),
            Self::WaypointUnusable => ("LAT0001", "WaypointUnusable", Level::Error),
            Self::Conflict => ("LAT0002", "Conflict", Level::Warning),
            Self::UnknownTargetPort => ("LAT0003", "UnknownTargetPort", Level::Warning),
            Self::InvalidAnnotation => ("IST0125", "InvalidAnnotation", Level::Warning),
            Self::UnsupportedKubernetesVersion => ("IST0142", "UnsupportedKubernetesVersion", Level::Error),
            Self::UnsupportedGatewayApiVersion => ("IST0156", "UnsupportedGatewayAPIVersion", Level::Warning),
            Self::IneffectiveSelector => ("IST0166", "IneffectiveSelector", Level::Warning),
            Self::ConflictingServiceEntryProtocol => {
                ("IST0177", "ConflictingServiceEntryProtocol", Level::Warning)
            }
            Self::NetworkPolicyBlocksTunnels => ("LAT0004", "NetworkPolicyBlocksTunnels", Level::Error),
            Self::HiddenNamespace => ("LAT0005", "HiddenNamespace", Level::Error),
            Self::PodNotServed => ("LAT0006", "PodNotServed", Level::Error),
            Self::TrustDomainMismatch => ("LAT0007", "TrustDomainMismatch", Level::Warning),
            Self::CertificateNearExpiry => ("LAT0008", "CertificateNearExpiry", Level::Warning),
            Self::SeveralControlPlanes => ("LAT0009", "SeveralControlPlanes", Level::Warning),
            Self::UnknownAnnotation => ("IST0108", "UnknownAnnotation", Level::Warning),
            Self::DeploymentAssociatedToMultipleServices => (
                "IST0116",
                "DeploymentAssociatedToMultipleServices",
                Level::Warning,
            ),
            Self::ServiceEntryAddressesRequired => {
                ("IST0134", "ServiceEntryAddressesRequired", Level::Warning)
            }
            Self::DeploymentConflictingPorts => ("IST0137", "DeploymentConflictingPorts", Level::Warning),
            Self::InvalidWebhook => ("IST0139", "InvalidWebhook", Level::Error),
            Self::InsufficientPermissions => ("IST0141", "InsufficientPermissions", Level::Error),
            Self::LocalhostListener => ("IST0143", "LocalhostListener", Level::Warning),
            Self::ExternalNameServiceTypeInvalidPortName => (
                "IST0150",
                "ExternalNameServiceTypeInvalidPortName",
                Level::Warning,
            ),
            Self::MultiClusterInconsistentService => {
                ("IST0170", "MultiClusterInconsistentService", Level::Warning)
            }
            Self::FutureUnsupportedGatewayApiVersion => {
                ("IST0172", "FutureUnsupportedGatewayAPIVersion", Level::Warning)
            }
            Self::GatewayApiCrdVersionBelowMinimum => {
                ("IST0176", "GatewayAPICRDVersionBelowMinimum", Level::Warning)
            }
            Self::StrictOutsideMesh => ("LAT0010", "StrictOutsideMesh", Level::Warning),
            Self::StrictRefusesPlaintext => ("LAT0011", "StrictRefusesPlaintext", Level::Warning),
        }
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let mut all = Self::ALL.into_iter();
        all.find(|code| code.id().eq_ignore_ascii_case(text) || code.name() == text)
            .ok_or(UnknownCode)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id(), self.name())
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}
