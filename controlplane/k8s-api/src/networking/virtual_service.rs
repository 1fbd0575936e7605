//! VirtualService: where requests and connections to a host go (Istio reference, "Virtual Service").

use mesh_types::Strng;
use serde::Deserialize;

use super::destination_rule::PortSelector;
use super::http_rule::VsHttpRoute;
use crate::object::{Labels, Resource};

/// Where requests and connections to a host go.
pub type VirtualService = Resource<VirtualServiceSpec>;

/// What a [`VirtualService`] says. Of HTTP, TLS and TCP routes, in this order, the first that matches counts.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualServiceSpec {
    /// The hosts that it is for; short names are of its own namespace. Empty for one that others delegate to.
    pub hosts: Vec<Strng>,
    /// Where it counts: `mesh` is every proxy of the mesh, which empty means too; others are Istio's Gateways.
    pub gateways: Vec<Strng>,
    /// HTTP requests.
    pub http: Vec<VsHttpRoute>,
    /// TLS connections, by the host that they ask for.
    pub tls: Vec<VsTlsRoute>,
    /// Connections.
    pub tcp: Vec<VsTcpRoute>,
    /// The namespaces that see it: `*`, `.` or a name.
    pub export_to: Vec<Strng>,
}

/// Where traffic goes.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Destination {
    /// The service: a host name, short ones are of the object's own namespace.
    pub host: Strng,
    /// A subset of it, as its DestinationRule names them.
    pub subset: Strng,
    /// Its port; required where it has several.
    pub port: Option<PortSelector>,
}

/// Where TLS connections go.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct VsTlsRoute {
    /// Those that one of these fits.
    #[serde(rename = "match")]
    pub matches: Vec<VsTlsMatch>,
    /// Where they go.
    pub route: Vec<RouteDestination>,
}

/// Where connections go.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct VsTcpRoute {
    /// Those that one of these fits; all where empty.
    #[serde(rename = "match")]
    pub matches: Vec<VsL4Match>,
    /// Where they go.
    pub route: Vec<RouteDestination>,
}

/// Where connections go, and which share of them.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct RouteDestination {
    /// Where.
    pub destination: Destination,
    /// The share, relative to those beside it; the only one takes everything.
    pub weight: u32,
}

/// What a TLS connection must be; everything that is given must match.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VsTlsMatch {
    /// The hosts that it may ask for; `*.` may stand in front.
    pub sni_hosts: Vec<Strng>,
    /// The addresses that it may go to.
    pub destination_subnets: Vec<Strng>,
    /// The port that it goes to; any where 0.
    pub port: u16,
    /// Labels of the client's workload.
    pub source_labels: Labels,
    /// The Gateways at which it counts.
    pub gateways: Vec<Strng>,
    /// The client's namespace.
    pub source_namespace: Strng,
}

/// What a connection must be; everything that is given must match.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VsL4Match {
    /// The addresses that it may go to.
    pub destination_subnets: Vec<Strng>,
    /// The port that it goes to; any where 0.
    pub port: u16,
    /// The addresses that it may come from; deprecated upstream.
    pub source_subnet: Strng,
    /// Labels of the client's workload.
    pub source_labels: Labels,
    /// The Gateways at which it counts.
    pub gateways: Vec<Strng>,
    /// The client's namespace.
    pub source_namespace: Strng,
}
