//! Pods with servers, as the tests use them.

use std::net::SocketAddr;

use anyhow::Result;
use lab::config::PodSpec;
use lab::ip::Namespace;
use lab::process::Process;
use lab::{Lab, Pod};

/// A pod, whether it is enrolled, and its servers on every address: an echo on port 9000, one that speaks first on
/// 9001, datagrams on 9002, HTTP on 8080.
pub(crate) struct Party {
    pub(crate) pod: Pod,
    pub(crate) captured: bool,
    _server: Process,
}

impl Party {
    /// Starts one in the enrolled or the plain namespace.
    pub(crate) fn start(lab: &mut Lab, name: &str, node: usize, captured: bool) -> Result<Self> {
        let namespace = if captured { ENROLLED } else { PLAIN };
        Self::of(lab, &PodSpec::new(namespace, name, node), captured)
    }

    /// Starts one as specified.
    pub(crate) fn of(lab: &mut Lab, spec: &PodSpec, captured: bool) -> Result<Self> {
        let pod = lab.start_pod(spec)?;
        let ports = [
            "--tcp", "9000", "--greet", "9001", "--udp", "9002", "--http", "8080",
        ];
        let server = pod.serve(lab.products(), &ports)?;
        Ok(Self {
            pod,
            captured,
            _server: server,
        })
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        self.pod.namespace()
    }

    /// Its echo server, at its IPv4 address.
    pub(crate) fn echo(&self) -> SocketAddr {
        self.at(9000)
    }

    /// One of its ports, at its IPv4 address.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.pod.v4(), port)
    }

    pub(crate) fn node(&self) -> usize {
        self.pod.spec().node
    }

    pub(crate) fn name(&self) -> &str {
        &self.pod.spec().name
    }

    /// Its identity, as certificates name it.
    pub(crate) fn identity(&self) -> String {
        let spec = self.pod.spec();
        format!(
            "spiffe://cluster.local/ns/{}/sa/{}",
            spec.namespace, spec.service_account
        )
    }
}

/// Writes the enrolled and the plain namespace.
pub(crate) fn namespaces(lab: &Lab) -> Result<()> {
    lab.config().namespace(ENROLLED, true)?;
    lab.config().namespace(PLAIN, false)
}

/// Waits until a node's ztunnel has a service.
pub(crate) fn knows_service(lab: &Lab, node: usize, name: &str) -> Result<()> {
    lab.nodes()[node].wait_for_config(&format!("service {name}"), |dump| {
        let services = dump["services"].as_array().into_iter().flatten();
        services.into_iter().any(|s| s["name"] == name)
    })
}

pub(crate) const ENROLLED: &str = "shop";
pub(crate) const PLAIN: &str = "plain";
