//! DestinationRule: how a service is reached (Istio reference, "Destination Rule").

use mesh_types::Strng;
use serde::Deserialize;

use super::connection_pool::{ConnectionPool, OutlierDetection};
use super::load_balancer::LoadBalancer;
use crate::object::{Labels, Resource};
use crate::security::WorkloadSelector;
use crate::value::IstioDuration;

/// How a service is reached.
pub type DestinationRule = Resource<DestinationRuleSpec>;

/// What a [`DestinationRule`] says.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DestinationRuleSpec {
    /// The service: a host name, short ones are of the rule's own namespace; `*.example.com` is all below it.
    pub host: Strng,
    /// For the service as a whole.
    pub traffic_policy: Option<TrafficPolicy>,
    /// Parts of its endpoints.
    pub subsets: Vec<Subset>,
    /// The namespaces that see it: `*`, `.` or a name.
    pub export_to: Vec<Strng>,
    /// The clients that it is for; a choice of the client's proxy, which there is none of in ambient mode.
    pub workload_selector: Option<WorkloadSelector>,
}

/// A part of a service's endpoints.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subset {
    /// The name, unique in the rule.
    pub name: Strng,
    /// The labels of those endpoints; empty for all of them.
    pub labels: Labels,
    /// What differs from the service as a whole.
    pub traffic_policy: Option<TrafficPolicy>,
}

/// How traffic is sent. An absent block is inherited.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficPolicy {
    /// Which endpoint gets a request.
    pub load_balancer: Option<LoadBalancer>,
    /// How many connections and requests there may be.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is left out.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS towards the endpoints.
    pub tls: Option<ClientTls>,
    /// For single ports; replaces all of the above there, what is absent has its default.
    pub port_level_settings: Vec<PortTrafficPolicy>,
    /// A proxy in between.
    pub tunnel: Option<Tunnel>,
    /// The header that connections begin with.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How many retries there may be at once.
    pub retry_budget: Option<RetryBudget>,
}

/// How traffic to one port is sent.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortTrafficPolicy {
    /// The service's port.
    pub port: PortSelector,
    /// Which endpoint gets a request.
    pub load_balancer: Option<LoadBalancer>,
    /// How many connections and requests there may be.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is left out.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS towards the endpoints.
    pub tls: Option<ClientTls>,
}

/// A port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct PortSelector {
    /// Its number.
    pub number: u16,
}

/// TLS towards endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientTls {
    /// Which sort.
    pub mode: ClientTlsMode,
    /// A file with our certificate.
    pub client_certificate: Strng,
    /// A file with its key.
    pub private_key: Strng,
    /// A file with those who may sign the endpoint's; the system's where empty.
    pub ca_certificates: Strng,
    /// A file with certificates that count no more.
    pub ca_crl: Strng,
    /// A Secret, or for `SIMPLE` also a ConfigMap (`configmap://name`), in place of the files.
    pub credential_name: Strng,
    /// The names of which the endpoint's certificate must have one.
    pub subject_alt_names: Vec<Strng>,
    /// The host that the handshake names.
    pub sni: Strng,
    /// Whether any certificate will do.
    pub insecure_skip_verify: Option<bool>,
}

/// Which sort of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClientTlsMode {
    /// None.
    #[default]
    Disable,
    /// The endpoint shows a certificate.
    Simple,
    /// Both do.
    Mutual,
    /// Both do, with the mesh's; in ambient mode that is so anyhow.
    IstioMutual,
}

/// A proxy in between.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tunnel {
    /// `CONNECT` or `POST`; the former where empty.
    pub protocol: Strng,
    /// The host that it is asked for.
    pub target_host: Strng,
    /// The port that it is asked for.
    pub target_port: u16,
}

/// The header that connections begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ProxyProtocol {
    /// Which version.
    pub version: ProxyProtocolVersion,
}

/// Versions of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
pub enum ProxyProtocolVersion {
    /// Text.
    #[default]
    V1,
    /// Binary.
    V2,
}

/// How many retries there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryBudget {
    /// In per cent of the requests at once; 20 where absent.
    pub percent: Option<f64>,
    /// As many are always allowed; 3 where 0.
    pub min_retry_concurrency: u32,
    /// For how long requests that ended count too; not at all where absent.
    pub budget_interval: Option<IstioDuration>,
}
