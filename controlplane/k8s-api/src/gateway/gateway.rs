//! Gateway: where traffic enters, waypoints included (Gateway API reference, "Gateway").

use std::collections::BTreeMap;

use mesh_types::Strng;
use serde::Deserialize;

use super::LabelSelector;
use crate::object::{Labels, Resource};

/// Where traffic enters; a waypoint is one with a listener for HBONE.
pub type Gateway = Resource<GatewaySpec, GatewayStatus>;

/// What a [`Gateway`] is to be.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewaySpec {
    /// Its class.
    pub gateway_class_name: Strng,
    /// What it listens for.
    pub listeners: Vec<Listener>,
    /// The addresses that are asked for.
    pub addresses: Vec<GatewayAddress>,
    /// What its Deployment and Service get.
    pub infrastructure: Option<GatewayInfrastructure>,
    /// Whose ListenerSets may add listeners.
    pub allowed_listeners: Option<AllowedListeners>,
    /// TLS beyond single listeners.
    pub tls: Option<GatewayTls>,
}

/// One thing that a Gateway listens for.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// The name that routes attach to, unique in the Gateway.
    pub name: Strng,
    /// The host that it is for, may begin with `*.`; absent means any.
    #[serde(default)]
    pub hostname: Option<Strng>,
    /// The port.
    pub port: u16,
    /// `HTTP`, `HTTPS`, `TLS`, `TCP`, `UDP`, or one with a domain of its own; Istio's waypoints have `HBONE`.
    pub protocol: Strng,
    /// TLS.
    #[serde(default)]
    pub tls: Option<ListenerTls>,
    /// Which routes may attach.
    #[serde(default)]
    pub allowed_routes: AllowedRoutes,
}

/// TLS of one listener.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerTls {
    /// Who ends TLS.
    pub mode: TlsMode,
    /// Certificates with their keys.
    pub certificate_refs: Vec<SecretRef>,
    /// Settings of an implementation's own.
    pub options: BTreeMap<Strng, Strng>,
}

/// Who ends TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
pub enum TlsMode {
    /// The Gateway.
    #[default]
    Terminate,
    /// The backend.
    Passthrough,
}

/// A certificate, a key or a bundle somewhere; a Secret where no kind is given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SecretRef {
    /// The API group; empty for the core group.
    #[serde(default)]
    pub group: Strng,
    /// The kind.
    #[serde(default = "secret")]
    pub kind: Strng,
    /// The name.
    pub name: Strng,
    /// Its namespace; another than the referrer's needs a ReferenceGrant.
    #[serde(default)]
    pub namespace: Option<Strng>,
}

/// Which routes may attach to a listener.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct AllowedRoutes {
    /// From which namespaces.
    pub namespaces: RouteNamespaces,
    /// Of which kinds; empty means those that fit the protocol.
    pub kinds: Vec<RouteGroupKind>,
}

/// From which namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct RouteNamespaces {
    /// From which.
    pub from: FromNamespaces,
    /// Labels of the namespace, when `from` says `Selector`.
    pub selector: Option<LabelSelector>,
}

/// From which namespaces something may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
pub enum FromNamespaces {
    /// From the Gateway's own.
    #[default]
    Same,
    /// From all.
    All,
    /// From those with certain labels.
    Selector,
    /// From none.
    None,
}

/// A kind of routes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RouteGroupKind {
    /// The API group; that of Gateway API where absent.
    #[serde(default = "gateway_group")]
    pub group: Strng,
    /// The kind.
    pub kind: Strng,
}

/// An address of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GatewayAddress {
    /// `IPAddress`, `Hostname`, or one with a domain of its own.
    #[serde(rename = "type", default = "ip_address")]
    pub kind: Strng,
    /// The address; empty asks for any of this type.
    #[serde(default)]
    pub value: Strng,
}

/// What a Gateway's Deployment and Service get.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayInfrastructure {
    /// Labels.
    pub labels: Labels,
    /// Annotations.
    pub annotations: Labels,
    /// Where it has its settings.
    pub parameters_ref: Option<LocalParametersRef>,
}

/// Where a Gateway has its settings, in its own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LocalParametersRef {
    /// The API group; empty for the core group.
    #[serde(default)]
    pub group: Strng,
    /// The kind.
    pub kind: Strng,
    /// The name.
    pub name: Strng,
}

/// Whose ListenerSets may add listeners.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct AllowedListeners {
    /// From which namespaces; none where absent.
    pub namespaces: Option<RouteNamespaces>,
}

/// TLS beyond single listeners.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct GatewayTls {
    /// Towards backends.
    pub backend: Option<BackendTls>,
    /// Towards clients.
    pub frontend: Option<FrontendTls>,
}

/// TLS towards backends.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTls {
    /// The certificate that the Gateway shows them.
    pub client_certificate_ref: Option<SecretRef>,
}

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendTls {
    /// For every port.
    pub default: PortValidation,
    /// For single ports.
    pub per_port: Vec<FrontendTlsPort>,
}

/// TLS towards clients, on one port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FrontendTlsPort {
    /// The port.
    pub port: u16,
    /// What holds on it.
    pub tls: PortValidation,
}

/// How clients are checked on a port.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct PortValidation {
    /// Their certificates; absent means that none is asked for.
    pub validation: Option<FrontendValidation>,
}

/// How clients' certificates are checked.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendValidation {
    /// The bundles of those who may sign them.
    pub ca_certificate_refs: Vec<SecretRef>,
    /// What a bad certificate means.
    pub mode: FrontendValidationMode,
}

/// What a client's bad certificate means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
pub enum FrontendValidationMode {
    /// The connection is refused.
    #[default]
    AllowValidOnly,
    /// The connection is taken nonetheless.
    AllowInsecureFallback,
}

/// What was found out about a [`Gateway`].
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct GatewayStatus {
    /// The addresses that it has; a waypoint is used from the moment when there is one.
    pub addresses: Vec<GatewayAddress>,
}

fn secret() -> Strng {
    "Secret".into()
}

fn gateway_group() -> Strng {
    crate::kinds::Group::Gateway.name().into()
}

fn ip_address() -> Strng {
    "IPAddress".into()
}
