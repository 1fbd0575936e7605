//! What became of each object, in the words of Kubernetes: conditions with type, status, reason and message (Kubernetes
//! API conventions, "Typical status properties"; Gateway API, "Policy status" and "Route status").
//!
//! Derivations give conditions as data beside their values; [`Index::statuses`](crate::Index::statuses) gathers them by
//! object. Nothing here says where a status is written: `/status` shows it, an API server would keep it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use controlplane_k8s_api::ObjectKey;
use controlplane_k8s_api::gateway::ParentRef;
use mesh_types::Strng;

/// The status of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectStatus {
    /// The object.
    pub object: ObjectKey,
    /// The generation of the object that this is about, where its source counts them (an API server does).
    pub observed_generation: Option<i64>,
    /// What holds for the object as a whole.
    pub conditions: Vec<StatusCondition>,
    /// What holds with respect to one parent or ancestor each, in their order.
    pub parents: Vec<ParentStatus>,
    /// The addresses that were given to its hosts (`ServiceEntry.status.addresses`).
    pub addresses: Vec<(Strng, IpAddr)>,
    /// What holds for each of a Gateway's listeners, in their order.
    pub listeners: Vec<ListenerStatus>,
    /// The API server's id of the instance that this is about.
    pub uid: Option<Strng>,
    /// Where a Gateway of one of our classes is found; nothing for those of other controllers, and for what is none.
    pub served: Option<ServedGateway>,
}

/// A Gateway that this control plane answers for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServedGateway {
    /// Where it is found; empty until there is something.
    pub addresses: Vec<GivenAddress>,
}

/// Where a Gateway is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenAddress {
    /// At an address.
    Ip(IpAddr),
    /// By a host name.
    Hostname(Strng),
}

/// What holds for a listener of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerStatus {
    /// Its name.
    pub name: Strng,
    /// The kinds of routes that may attach to it, all of Gateway API's own group.
    pub supported_kinds: Vec<&'static str>,
    /// How many routes did.
    pub attached_routes: usize,
    /// What holds.
    pub conditions: Vec<StatusCondition>,
}

/// What holds for an object with respect to what it is attached to: a route's parent, a policy's ancestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentStatus {
    /// What it is attached to.
    pub parent: Parent,
    /// What holds.
    pub conditions: Vec<StatusCondition>,
}

/// What a route or a policy is attached to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parent {
    /// The API group; empty for the core group.
    pub group: Strng,
    /// The kind.
    pub kind: Strng,
    /// The namespace; empty for objects of the whole cluster.
    pub namespace: Strng,
    /// The name.
    pub name: Strng,
    /// The listener or named part, where it is attached to one.
    pub section_name: Option<Strng>,
    /// The port, where it is attached to one.
    pub port: Option<u16>,
}

impl Parent {
    /// The parent that a route of namespace `own` refers to.
    #[must_use]
    pub fn of(reference: &ParentRef, own: &Strng) -> Self {
        Self {
            group: reference.group.clone(),
            kind: reference.kind.clone(),
            namespace: reference.namespace.as_ref().unwrap_or(own).clone(),
            name: reference.name.clone(),
            section_name: reference.section_name.clone(),
            port: reference.port,
        }
    }
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusCondition {
    /// Which.
    pub kind: ConditionType,
    /// Whether it holds.
    pub holds: bool,
    /// Why, for programs.
    pub reason: StatusReason,
    /// Why, for people.
    pub message: String,
    /// The generation of the object that this is about, where the rest of the status is about another one: what counts may
    /// be an earlier content.
    pub generation: Option<i64>,
}

/// A condition and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stated {
    pub(crate) parent: Option<Parent>,
    pub(crate) condition: StatusCondition,
}

/// The types of conditions (control-plane.md, 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ConditionType {
    /// Service, ServiceEntry, WorkloadEntry, Pod: whether its connections pass the waypoint that its labels ask for.
    WaypointBound,
    /// ServiceEntry: it needs a waypoint to work, and has none.
    WaypointMissing,
    /// ServiceEntry: who may know of it.
    VisibilityApplied,
    /// Service, ServiceEntry, WorkloadEntry, Gateway, Pod, Namespace: whether its labels and annotations say what the mesh knows.
    SettingsUnderstood,
    /// Gateway: whether what it becomes is as it asks for; said where it is not.
    ObjectsMade,
    /// Service, ServiceEntry: whether there is a way to all of its endpoints.
    EndpointsReachable,
    /// ServiceEntry: whether its hosts are its own.
    HostsAccepted,
    /// Gateway, listener: whether it is one that this control plane serves. Route: whether it counts at a parent.
    Accepted,
    /// Route, listener: whether everything that it refers to is there and may be used.
    ResolvedRefs,
    /// Route, at a service: whether there is a waypoint that carries it out.
    ResolvedWaypoints,
    /// Route: some of its parts are left out.
    PartiallyInvalid,
    /// Listener: whether another one stands in its way.
    Conflicted,
    /// Gateway: whether proxies can reach it.
    Programmed,
    /// AuthorizationPolicy: whether node proxies enforce it as it is written.
    ZtunnelAccepted,
    /// Istio's policies: whether waypoints carry it out as it is written.
    WaypointAccepted,
    /// Policy, route: whether every proxy that is to carry it out has it.
    Delivered,
    /// Any object: whether what counts is what it says now.
    Current,
}

/// The reasons of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StatusReason {
    /// The object does what it says.
    Accepted,
    /// The binding holds.
    WaypointAccepted,
    /// The waypoint does not exist, or nobody can reach it yet.
    WaypointIsNotReady,
    /// The waypoint admits nobody from this namespace.
    AttachmentDenied,
    /// The waypoint is not for this sort of traffic.
    UnsupportedTrafficType,
    /// What only its own namespace may know of cannot be served by another one's waypoint.
    CrossNamespaceWaypointForbidden,
    /// The canary's weight is no percentage.
    CanaryInvalidWeight,
    /// The canary is the primary waypoint itself.
    CanarySameAsPrimary,
    /// There is a waypoint that carries it out.
    ResolvedWaypoints,
    /// Nobody asks for a waypoint there.
    MissingUseWaypointLabel,
    /// A wildcard host means nothing to a node proxy.
    NoWaypointForWildcardService,
    /// How endpoints are raced is a waypoint's business.
    NoWaypointForRacingConnectStrategy,
    /// Everybody may know of it.
    Public,
    /// Its own namespace may know of it.
    Namespace,
    /// Nobody may know of it.
    None,
    /// Another object has the host.
    HostTaken,
    /// Nothing of it can be served.
    Invalid,
    /// A part of it is left out.
    PartiallyInvalid,
    /// Proxies can reach it.
    Programmed,
    /// It has no address.
    AddressNotAssigned,
    /// It is not there yet.
    Pending,
    /// A proxy cannot do what it says.
    UnsupportedValue,
    /// What a policy is attached to is not there.
    TargetNotFound,
    /// What a policy is attached to is served by no waypoint.
    AncestorNotBound,
    /// Another object counts instead.
    Conflicted,
    /// None of its bundles of certificates can be used.
    NoValidCaCertificate,
    /// A bundle of certificates that is not there, or is none.
    InvalidCaCertificateRef,
    /// Everything that it refers to is there.
    ResolvedRefs,
    /// A reference to another namespace that no ReferenceGrant there allows.
    RefNotPermitted,
    /// A reference to a kind that cannot be used there.
    InvalidKind,
    /// A reference to something that does not exist.
    BackendNotFound,
    /// A filter by reference that does not exist.
    FilterNotFound,
    /// The parent, or the part of it that is named, does not exist.
    NoMatchingParent,
    /// The parent's listeners admit no routes of this kind or namespace.
    NotAllowedByListeners,
    /// The hosts of route and listener have nothing in common.
    NoMatchingListenerHostname,
    /// Another VirtualService that it delegates to does not exist or may not be used.
    DelegateNotFound,
    /// The listener's protocol is not served.
    UnsupportedProtocol,
    /// The listener's port cannot be served.
    PortUnavailable,
    /// Nothing stands in its way.
    NoConflicts,
    /// Another listener has its port, protocol and host.
    HostnameConflict,
    /// Another listener speaks something else on its port.
    ProtocolConflict,
    /// Its certificate does not exist, or is none.
    InvalidCertificateRef,
    /// It admits kinds of routes that it cannot serve.
    InvalidRouteKinds,
    /// Some of its listeners cannot be served.
    ListenersNotValid,
    /// Its settings by reference are not read.
    InvalidParameters,
    /// Every proxy that is to have it accepted it.
    Delivered,
    /// Some proxies did not accept it yet.
    UnderWay,
    /// Some proxies refused it.
    RefusedByProxies,
    /// Endpoints are in other networks.
    OtherNetwork,
    /// A label or an annotation has a value that is not known.
    UnknownValue,
    /// It bears the labels of a gateway's proxies, and does not run as they do.
    ForeignAccount,
    /// The API server does not take what it becomes.
    Refused,
    /// Something else has the name of what it becomes.
    NameTaken,
    /// Fields of it are not known, and without effect.
    UnknownFields,
    /// It is not understood; what it said before counts.
    LastGood,
    /// It is not understood; its strictest sense counts.
    Strictest,
    /// It is not understood, and never was: nothing of it counts.
    NeverGood,
}

impl ConditionType {
    /// The type as an object's status has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WaypointBound => "istio.io/WaypointBound",
            Self::WaypointMissing => "istio.io/WaypointMissing",
            Self::VisibilityApplied => "istio.io/VisibilityApplied",
            Self::SettingsUnderstood => "lateen.dev/SettingsUnderstood",
            Self::ObjectsMade => "lateen.dev/ObjectsMade",
            Self::EndpointsReachable => "lateen.dev/EndpointsReachable",
            Self::HostsAccepted => "lateen.dev/HostsAccepted",
            Self::Accepted => "Accepted",
            Self::Programmed => "Programmed",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::ResolvedWaypoints => "ResolvedWaypoints",
            Self::PartiallyInvalid => "PartiallyInvalid",
            Self::Conflicted => "Conflicted",
            Self::ZtunnelAccepted => "ZtunnelAccepted",
            Self::WaypointAccepted => "WaypointAccepted",
            Self::Delivered => "lateen.dev/Delivered",
            Self::Current => "lateen.dev/Current",
        }
    }
}

impl StatusReason {
    /// The reason as an object's status has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::WaypointAccepted => "WaypointAccepted",
            Self::WaypointIsNotReady => "WaypointIsNotReady",
            Self::AttachmentDenied => "AttachmentDenied",
            Self::UnsupportedTrafficType => "UnsupportedTrafficType",
            Self::CrossNamespaceWaypointForbidden => "CrossNamespaceWaypointForbidden",
            Self::CanaryInvalidWeight => "CanaryInvalidWeight",
            Self::CanarySameAsPrimary => "CanarySameAsPrimary",
            Self::ResolvedWaypoints => "ResolvedWaypoints",
            Self::MissingUseWaypointLabel => "MissingUseWaypointLabel",
            Self::NoWaypointForWildcardService => "NoWaypointForWildcardService",
            Self::NoWaypointForRacingConnectStrategy => "NoWaypointForRacingConnectStrategy",
            Self::Public => "Public",
            Self::Namespace => "Namespace",
            Self::None => "None",
            Self::HostTaken => "HostTaken",
            Self::Invalid => "Invalid",
            Self::PartiallyInvalid => "PartiallyInvalid",
            Self::Programmed => "Programmed",
            Self::AddressNotAssigned => "AddressNotAssigned",
            Self::Pending => "Pending",
            Self::UnsupportedValue => "UnsupportedValue",
            Self::TargetNotFound => "TargetNotFound",
            Self::AncestorNotBound => "AncestorNotBound",
            Self::Conflicted => "Conflicted",
            Self::NoValidCaCertificate => "NoValidCACertificate",
            Self::InvalidCaCertificateRef => "InvalidCACertificateRef",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::RefNotPermitted => "RefNotPermitted",
            Self::InvalidKind => "InvalidKind",
            Self::BackendNotFound => "BackendNotFound",
            Self::FilterNotFound => "FilterNotFound",
            Self::NoMatchingParent => "NoMatchingParent",
            Self::NotAllowedByListeners => "NotAllowedByListeners",
            Self::NoMatchingListenerHostname => "NoMatchingListenerHostname",
            Self::DelegateNotFound => "DelegateNotFound",
            Self::UnsupportedProtocol => "UnsupportedProtocol",
            Self::PortUnavailable => "PortUnavailable",
            Self::NoConflicts => "NoConflicts",
            Self::HostnameConflict => "HostnameConflict",
            Self::ProtocolConflict => "ProtocolConflict",
            Self::InvalidCertificateRef => "InvalidCertificateRef",
            Self::InvalidRouteKinds => "InvalidRouteKinds",
            Self::ListenersNotValid => "ListenersNotValid",
            Self::InvalidParameters => "InvalidParameters",
            Self::Delivered => "Delivered",
            Self::UnderWay => "UnderWay",
            Self::RefusedByProxies => "RefusedByProxies",
            Self::OtherNetwork => "OtherNetwork",
            Self::UnknownValue => "UnknownValue",
            Self::ForeignAccount => "ForeignAccount",
            Self::Refused => "Refused",
            Self::NameTaken => "NameTaken",
            Self::UnknownFields => "UnknownFields",
            Self::LastGood => "LastGood",
            Self::Strictest => "Strictest",
            Self::NeverGood => "NeverGood",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for StatusReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl StatusCondition {
    /// A condition.
    #[must_use]
    pub fn new(kind: ConditionType, holds: bool, reason: StatusReason, message: impl Into<String>) -> Self {
        Self {
            kind,
            holds,
            reason,
            message: message.into(),
            generation: None,
        }
    }

    /// Whether it says that something is not as it should be: some types are bad news when they hold.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        let bad_news = matches!(
            self.kind,
            ConditionType::PartiallyInvalid | ConditionType::Conflicted | ConditionType::WaypointMissing
        );
        self.holds == bad_news
    }
}

impl From<StatusCondition> for Stated {
    /// About the object as a whole.
    fn from(condition: StatusCondition) -> Self {
        Self {
            parent: None,
            condition,
        }
    }
}

impl ObjectStatus {
    /// The status of an object of which nothing is said yet.
    #[must_use]
    pub fn new(object: ObjectKey) -> Self {
        Self {
            object,
            observed_generation: None,
            conditions: Vec::new(),
            parents: Vec::new(),
            addresses: Vec::new(),
            listeners: Vec::new(),
            uid: None,
            served: None,
        }
    }

    /// The condition of a type, about the object as a whole.
    #[must_use]
    pub fn condition(&self, kind: ConditionType) -> Option<&StatusCondition> {
        self.conditions.iter().find(|c| c.kind == kind)
    }
}

/// Gathers what was stated about objects; what several derivations state about one object stands together.
#[derive(Default)]
pub(crate) struct Statuses(BTreeMap<ObjectKey, ObjectStatus>);

impl Statuses {
    pub(crate) fn add(&mut self, object: &ObjectKey, stated: &[Stated]) {
        for Stated { parent, condition } in stated {
            let status = self.of(object);
            let conditions = match parent {
                None => &mut status.conditions,
                Some(parent) => match status.parents.binary_search_by(|p| p.parent.cmp(parent)) {
                    Ok(at) => &mut status.parents[at].conditions,
                    Err(at) => {
                        let new = ParentStatus {
                            parent: parent.clone(),
                            conditions: Vec::new(),
                        };
                        status.parents.insert(at, new);
                        &mut status.parents[at].conditions
                    }
                },
            };
            if !conditions.contains(condition) {
                conditions.push(condition.clone());
            }
        }
    }

    /// The status of an object, begun where there is none yet.
    pub(crate) fn of(&mut self, object: &ObjectKey) -> &mut ObjectStatus {
        self.0
            .entry(object.clone())
            .or_insert_with(|| ObjectStatus::new(object.clone()))
    }

    /// All of them, in the order of objects.
    pub(crate) fn into_vec(self) -> Vec<ObjectStatus> {
        self.0.into_values().collect()
    }
}

#[cfg(test)]
mod tests;
