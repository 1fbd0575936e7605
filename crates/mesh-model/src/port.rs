//! Ports of services, and what they are called on the workloads behind them.

mod wire;

use std::sync::Arc;

pub(crate) use wire::{decode_port_number, decode_ports, encode_ports};

/// One port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// The port at the service's address.
    pub service_port: u16,
    /// The port at the workload; `None` on a Service whose target port is a name and so differs per workload.
    pub target_port: Option<u16>,
    /// What is spoken on it.
    pub app_protocol: AppProtocol,
}

/// The ports of a service, or of a workload within a service, in the order of their source. A clone shares them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ports(Arc<[Port]>);

/// The application protocol of a port, as far as the configuration tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AppProtocol {
    /// Not told, or told in a word that this version does not know.
    #[default]
    Unknown,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2 without TLS.
    Http2,
    /// gRPC.
    Grpc,
    /// gRPC for browsers: clients of gRPC-web, and servers of gRPC.
    GrpcWeb,
    /// Bytes.
    Tcp,
    /// TLS, passed through.
    Tls,
}

impl Ports {
    /// The port with this number at the service. Where a number occurs twice (TCP and UDP), the last one counts, as in
    /// Istio's proxy.
    #[must_use]
    pub fn get(&self, service_port: u16) -> Option<&Port> {
        self.0.iter().rev().find(|p| p.service_port == service_port)
    }

    /// All ports, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Port> {
        self.0.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Port> for Ports {
    fn from_iter<I: IntoIterator<Item = Port>>(ports: I) -> Self {
        Self(ports.into_iter().collect())
    }
}

impl From<Vec<Port>> for Ports {
    fn from(ports: Vec<Port>) -> Self {
        Self(ports.into())
    }
}

impl<'a> IntoIterator for &'a Ports {
    type Item = &'a Port;
    type IntoIter = std::slice::Iter<'a, Port>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
