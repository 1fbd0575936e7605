//! Names: the DNS server of every pod, on port 15053, and host names of workloads without an address.
//!
//! Rules in the pod send its DNS here (`ambient.istio.io/dns-capture`). Names of the mesh are answered from the
//! configuration, so that hosts which no DNS knows have addresses (ServiceEntries with automatic ones), as in Istio's
//! documentation of DNS proxying. Everything else goes to the machine's servers as it is, out of the pod's namespace.
//!
//! # Layout
//! - this file: what the workers share; resolving for the outbound side.
//! - [`lookup`]: what the mesh knows about a name. Pure.
//! - `server`: datagrams and streams of the pods.
//! - [`metrics`]: the `istio_dns_*` families.

pub mod lookup;
pub mod metrics;
mod server;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use mesh_dns::resolv_conf::ResolvConf;
use mesh_dns::resolver::FromHere;
use mesh_dns::{Link, ResolveError, Resolver, ResolverOptions, Servers};
use mesh_model::Workload;
use mesh_types::Strng;
use prometheus::Registry;

use metrics::DnsMetrics;
pub(crate) use server::{serve_datagrams, serve_stream};

/// Names, for all workers.
#[derive(Clone, Debug)]
pub struct Dns {
    domain: Strng,
    servers: Servers,
    resolver: Resolver,
    metrics: DnsMetrics,
}

impl Dns {
    /// For this cluster domain, with the servers of a `resolv.conf`.
    ///
    /// # Panics
    /// Panics when `registry` has families of these names already.
    #[must_use]
    pub fn new(domain: Strng, resolv_conf: &Path, registry: &Registry) -> Self {
        let servers = Servers::new(ResolvConf::at(resolv_conf));
        // Workloads with host names are the mesh's, not a pod's: they are resolved where this process is.
        let here = FromHere {
            servers: servers.clone(),
            link: Link::default(),
        };
        Self {
            domain,
            servers,
            resolver: Resolver::new(here, ResolverOptions::default()),
            metrics: DnsMetrics::new(registry),
        }
    }

    /// What a workload's host name stands for, for a connection of `client`.
    ///
    /// # Errors
    /// Says why it stands for nothing.
    pub async fn resolve(&self, client: &Workload, name: &Strng) -> Result<Arc<[IpAddr]>, ResolveError> {
        self.metrics.on_demand(client, name);
        self.resolver.resolve(name).await
    }
}
