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
    const ALL: [Self; 7] = [
        Self::Core,
        Self::Discovery,
        Self::Gateway,
        Self::Networking,
        Self::Security,
        Self::Telemetry,
        Self::Extensions,
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
        }
    }

    /// Every version that is served somewhere; what a kind says does not depend on it.
    fn versions(self) -> &'static [&'static str] {
        match self {
            Self::Core | Self::Discovery => &["v1"],
            Self::Gateway => &["v1", "v1beta1", "v1alpha3", "v1alpha2"],
            Self::Networking => &["v1", "v1beta1", "v1alpha3"],
            Self::Security => &["v1", "v1beta1"],
            Self::Telemetry => &["v1", "v1alpha1"],
            Self::Extensions => &["v1alpha1"],
        }
    }

    /// A policy that is misread opens a door; a route that is misread sends traffic elsewhere, and says so.
    pub(crate) fn unknown_fields(self) -> UnknownFields {
        match self {
            Self::Core | Self::Discovery => UnknownFields::Tolerated,
            Self::Gateway | Self::Networking | Self::Telemetry | Self::Extensions => UnknownFields::Warned,
            Self::Security => UnknownFields::Refused,
        }
    }

    /// The kinds of a group that are not read, and why.
    fn others(self) -> &'static [(&'static str, IgnoredReason)] {
        use IgnoredReason::{NotNeeded, UnsupportedKind};
        match self {
            Self::Core => &[
                ("Binding", NotNeeded),
                ("ComponentStatus", NotNeeded),
                ("ConfigMap", NotNeeded),
                ("Endpoints", NotNeeded),
                ("Event", NotNeeded),
                ("LimitRange", NotNeeded),
                ("PersistentVolume", NotNeeded),
                ("PersistentVolumeClaim", NotNeeded),
                ("PodTemplate", NotNeeded),
                ("ReplicationController", NotNeeded),
                ("ResourceQuota", NotNeeded),
                ("Secret", NotNeeded),
                ("Status", NotNeeded),
            ],
            Self::Discovery => &[],
            Self::Gateway => &[
                ("BackendTLSPolicy", UnsupportedKind),
                ("GRPCRoute", UnsupportedKind),
                ("HTTPRoute", UnsupportedKind),
                ("ListenerSet", UnsupportedKind),
                ("ReferenceGrant", UnsupportedKind),
                ("TCPRoute", UnsupportedKind),
                ("TLSRoute", UnsupportedKind),
                ("UDPRoute", UnsupportedKind),
            ],
            Self::Networking => &[
                ("DestinationRule", UnsupportedKind),
                ("EnvoyFilter", UnsupportedKind),
                ("Gateway", UnsupportedKind),
                ("ProxyConfig", UnsupportedKind),
                ("Sidecar", UnsupportedKind),
                ("VirtualService", UnsupportedKind),
            ],
            Self::Security => &[("RequestAuthentication", UnsupportedKind)],
            Self::Telemetry => &[("Telemetry", UnsupportedKind)],
            Self::Extensions => &[
                ("TrafficExtension", UnsupportedKind),
                ("WasmPlugin", UnsupportedKind),
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
