//! The HTTP servers of the control thread: admin, metrics, readiness.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use mesh_net::{ListenOptions, listen};
use mesh_runtime::admin::{self, AdminLimits, Routes};
use mesh_runtime::drain::DrainWatcher;
use mesh_runtime::metrics;
use mesh_runtime::readiness::Readiness;
use mesh_runtime::supervise::Tasks;
use prometheus::Registry;
use tokio::net::TcpListener;

use crate::config::Pages;

/// Starts all three; admin is reachable from this machine's own loopback only.
///
/// # Errors
/// Names the port that cannot be had.
pub(super) fn start(
    tasks: &Tasks,
    drain: &DrainWatcher,
    pages: Pages,
    admin: Routes,
    registry: &Registry,
    readiness: &Readiness,
) -> anyhow::Result<()> {
    let serve = |name: &'static str, listener, routes| {
        let server = admin::serve(listener, routes, AdminLimits::default(), drain.clone());
        tasks.critical(name, server);
    };
    let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), pages.admin);
    serve("admin", bind(local, "admin")?, admin);
    serve(
        "metrics",
        bind_any(pages.stats, "metrics")?,
        metrics::routes(registry),
    );
    serve(
        "readiness",
        bind_any(pages.readiness, "readiness")?,
        readiness.routes(),
    );
    Ok(())
}

/// On all addresses of both families, or of IPv4 where there is no other.
fn bind_any(port: u16, what: &str) -> anyhow::Result<TcpListener> {
    let on = |ip| bind(SocketAddr::new(ip, port), what);
    on(IpAddr::V6(Ipv6Addr::UNSPECIFIED)).or_else(|_| on(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}

fn bind(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    let listener = listen(&ListenOptions::new(address)).and_then(TcpListener::from_std);
    listener.with_context(|| format!("{what} server on {address}"))
}
