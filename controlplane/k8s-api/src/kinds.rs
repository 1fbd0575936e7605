//! What an `apiVersion` and `kind` stand for: one table of every group that a mesh has to do with.

use crate::decode::nearest;
use crate::error::Reason;
use crate::object::{IgnoredReason, Kind};

/// What an object is to us.
#[derive(Debug)]
pub(crate) enum Known {
    /// It is read.
    Kind(Kind),
    /// It changes nothing.
    Ignored(IgnoredReason),
}

/// An API group that has to do with a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The core group, which has no name.
    Core,
    /// `discovery.k8s.io`.
    Discovery,
    /// `gateway.networking.k8s.io`.
    Gateway,
    /// `networking.istio.io`.
    Networking,
    /// `security.istio.io`.
    Security,
    /// `telemetry.istio.io`.
    Telemetry,
    /// `extensions.istio.io`.
    Extensions,
    /// `lateen.dev`: our own.
    Lateen,
}

/// What becomes of fields that a kind does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnknownFields {
    /// They are passed over: the kind is modelled only in part.
    Tolerated,
    /// They are passed over, and the author is told.
    Warned,
    /// They are errors: without them the object would say something else.
    Refused,
}

/// What an `apiVersion` and `kind` stand for. Groups that are not ours are none of our business; in ours, a kind that
/// does not exist is a misspelling.
pub(crate) fn known(api_version: &str, kind: &str) -> Result<Known, (&'static str, Reason)> {
    let (name, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    if name == EXPERIMENTAL_GATEWAY {
        return Ok(Known::Ignored(IgnoredReason::UnsupportedKind));
    }
    let Some(group) = Group::ALL.into_iter().find(|g| g.name() == name) else {
        return Ok(Known::Ignored(IgnoredReason::NotNeeded));
    };
    if !group.versions().contains(&version) {
        let versions = group.versions().iter().map(|v| group.join(v)).collect();
        return Err(("apiVersion", unknown_value(api_version, versions)));
    }
    let kinds = Kind::ALL.iter().filter(|k| k.group() == group);
    if let Some(kind) = kinds.clone().find(|k| k.as_str() == kind) {
        return Ok(Known::Kind(*kind));
    }
    if let Some((_, reason)) = group.others().iter().find(|(k, _)| *k == kind) {
        return Ok(Known::Ignored(*reason));
    }
    let others = group.others().iter().map(|(k, _)| *k);
    let names = kinds.map(|k| k.as_str()).chain(others).map(str::to_owned);
    Err(("kind", unknown_value(kind, names.collect())))
}

fn unknown_value(found: &str, known: Vec<String>) -> Reason {
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    Reason::UnknownValue {
        found: found.to_owned(),
        nearest: nearest(found, &names),
        known,
    }
}

impl Group {
    const ALL: [Self; 8] = [
        Self::Core,
        Self::Discovery,
        Self::Gateway,
        Self::Networking,
        Self::Security,
        Self::Telemetry,
        Self::Extensions,
        Self::Lateen,
    ];

    /// The group's name; empty for the core group.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "",
            Self::Discovery => "discovery.k8s.io",
            Self::Gateway => "gateway.networking.k8s.io",
            Self::Networking => "networking.istio.io",
            Self::Security => "security.istio.io",
            Self::Telemetry => "telemetry.istio.io",
            Self::Extensions => "extensions.istio.io",
            Self::Lateen => "lateen.dev",
        }
    }

    /// What `apiVersion` says with the group's first version.
    pub(crate) fn first_api_version(self) -> String {
        let first = self.versions().first().copied().unwrap_or_default();
        self.join(first)
    }

    /// Every version that is served somewhere; what a kind says does not depend on it.
    #[must_use]
    pub fn versions(self) -> &'static [&'static str] {
        match self {
            Self::Core | Self::Discovery => &["v1"],
            Self::Gateway => &["v1", "v1beta1", "v1alpha3", "v1alpha2"],
            Self::Networking => &["v1", "v1beta1", "v1alpha3"],
            Self::Security => &["v1", "v1beta1"],
            Self::Telemetry => &["v1", "v1alpha1"],
            Self::Extensions | Self::Lateen => &["v1alpha1"],
        }
    }

    /// The kinds of a group that are not read, and why.
    fn others(self) -> &'static [(&'static str, IgnoredReason)] {
        use IgnoredReason::{NotNeeded, Refused, UnsupportedKind};
        match self {
            Self::Core => &[
                ("Binding", NotNeeded),
                ("ComponentStatus", NotNeeded),
                ("Endpoints", NotNeeded),
                ("Event", NotNeeded),
                ("LimitRange", NotNeeded),
                ("PersistentVolume", NotNeeded),
                ("PersistentVolumeClaim", NotNeeded),
                ("PodTemplate", NotNeeded),
                ("ReplicationController", NotNeeded),
                ("ResourceQuota", NotNeeded),
                ("Status", NotNeeded),
            ],
            Self::Discovery => &[],
            Self::Gateway => &[("ListenerSet", UnsupportedKind), ("UDPRoute", UnsupportedKind)],
            Self::Networking => &[
                ("EnvoyFilter", Refused { instead: NO_ENVOY }),
                ("Gateway", Refused { instead: NO_GATEWAY }),
                ("Sidecar", Refused { instead: NO_SIDECAR }),
            ],
            Self::Security | Self::Telemetry | Self::Lateen => &[],
            Self::Extensions => &[
                (
                    "TrafficExtension",
                    Refused {
                        instead: NO_EXTENSION,
                    },
                ),
                (
                    "WasmPlugin",
                    Refused {
                        instead: NO_EXTENSION,
                    },
                ),
            ],
        }
    }

    fn join(self, version: &str) -> String {
        if self.name().is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.name())
        }
    }
}

impl Kind {
    /// A policy that is misread opens a door; a route that is misread sends traffic elsewhere, and says so.
    pub(crate) fn unknown_fields(self) -> UnknownFields {
        match (self, self.group()) {
            (Self::ReferenceGrant | Self::BackendTlsPolicy, _) | (_, Group::Security) => {
                UnknownFields::Refused
            }
            // Most of Istio's mesh configuration is about proxies and parts that there are none of here.
            (Self::MeshConfig, _) => UnknownFields::Warned,
            (_, Group::Lateen) => UnknownFields::Refused,
            (_, Group::Core | Group::Discovery) => UnknownFields::Tolerated,
            (_, Group::Gateway | Group::Networking | Group::Telemetry | Group::Extensions) => {
                UnknownFields::Warned
            }
        }
    }
}

const NO_ENVOY: &str = "there is no Envoy to patch; see RateLimitPolicy, HealthCheckPolicy, SessionPolicy, FaultFilter and \
                        ExternalProcessorFilter of lateen.dev, external authorization by providers, header filters of \
                        routes";
const NO_GATEWAY: &str = "use a Gateway of gateway.networking.k8s.io";
const NO_SIDECAR: &str =
    "there are no sidecars to configure; what a proxy needs to know follows from what it serves";
const NO_EXTENSION: &str =
    "proxies run no foreign code; use external authorization (action CUSTOM) or an ExternalProcessorFilter";

/// Gateway API's kinds that may still change (XBackendTrafficPolicy, XMesh, XListenerSet): none of them is read.
const EXPERIMENTAL_GATEWAY: &str = "gateway.networking.x-k8s.io";
