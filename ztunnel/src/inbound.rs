//! Connections to the pods through tunnels, on port 15008: accept → admit → forward → relay → record.
//!
//! # Layout
//! - this file: one HBONE connection, and its requests handed out.
//! - [`admit`]: may a connection come in, and where does it go? Pure.
//! - [`forward`]: one tunnel to the application.

pub mod admit;
pub mod forward;

use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mesh_dataplane::record::{Reporter, refused_early};
use mesh_hbone::expiry::renewed;
use mesh_hbone::{ConnectionEnd, ServeError, ServerConnection, serve_tls};
use mesh_net::orig_dst::local_addr;
use mesh_tls::{CertSource, WorkloadCertificate};
use mesh_types::{LocalAddr, Peer};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::worker::PodProxy;

/// Serves one HBONE connection to its end.
pub async fn serve<C: CertSource>(proxy: Rc<PodProxy<C>>, stream: TcpStream, peer: Peer) {
    let traffic = &proxy.worker.seed.traffic;
    let _socket = traffic.socket(Reporter::Destination);
    let local = match local_addr(&stream) {
        Ok(local) => local,
        Err(error) => {
            tracing::debug!(%peer, %error, "connection is gone before it was served");
            return;
        }
    };
    // Boxed: the handshake is over soon, and what it needs is not to be held while the connection is open.
    match Box::pin(shake_hands(&proxy, stream, local)).await {
        Ok((connection, shown)) => hand_out(&proxy, connection, &shown, local, peer).await,
        Err((reason, error)) => {
            refused_early(traffic, Reporter::Destination, peer, local.addr(), reason, &error);
        }
    }
}

/// The pod's certificate, then TLS and HTTP/2; every step has a deadline. Gives the connection, and the certificate that
/// was shown.
async fn shake_hands<C: CertSource>(
    proxy: &PodProxy<C>,
    stream: TcpStream,
    local: LocalAddr,
) -> Result<(Box<ServerConnection>, Arc<WorkloadCertificate>), (&'static str, String)> {
    let certificate = certificate(proxy, local).await?;
    let config = certificate.server_config();
    let worker = &proxy.worker;
    let mut connection = serve_tls(stream, config, &worker.hbone, &worker.budget)
        .await
        .map_err(|e| ("handshake", e.to_string()))?;
    connection.expire_with(&certificate);
    Ok((Box::new(connection), certificate))
}

async fn certificate<C: CertSource>(
    proxy: &PodProxy<C>,
    local: LocalAddr,
) -> Result<Arc<WorkloadCertificate>, (&'static str, String)> {
    let seed = &proxy.worker.seed;
    let text = |e: &dyn Display| e.to_string();
    let workload = proxy
        .pod
        .wait_for_workload(&seed.state, local.ip())
        .await
        .map_err(|e| ("unknown_destination", text(&e)))?;
    match timeout(CERTIFICATE_DEADLINE, seed.certs.get(&workload.identity)).await {
        Ok(Ok(certificate)) => Ok(certificate),
        Ok(Err(e)) => Err(("no_certificate", text(&e))),
        Err(_) => Err((
            "no_certificate",
            format!(
                "no certificate for {} within {CERTIFICATE_DEADLINE:?}",
                workload.identity
            ),
        )),
    }
}

/// Gives each request a task of its own, until the connection or the pod ends. After a drain, or when there is a newer
/// certificate than the one shown, the client is told to open no more here.
async fn hand_out<C: CertSource>(
    proxy: &Rc<PodProxy<C>>,
    mut connection: Box<ServerConnection>,
    shown: &Arc<WorkloadCertificate>,
    local: LocalAddr,
    peer: Peer,
) {
    let arrival = admit::Arrival {
        pod: proxy.pod.clone(),
        source: Some(connection.peer().clone()),
        peer,
    };
    let mut drain = proxy.drain.listener();
    let mut renewed = Box::pin(renewed(&proxy.worker.seed.certs, shown));
    let mut draining = false;
    loop {
        let next = tokio::select! {
            biased;
            () = drain.draining(), if !draining => {
                draining = true;
                connection.graceful_shutdown();
                continue;
            }
            () = &mut renewed, if !draining => {
                draining = true;
                tracing::debug!(%peer, "certificate renewed: an older HBONE connection takes no more streams");
                connection.graceful_shutdown();
                continue;
            }
            next = connection.next() => next,
        };
        match next {
            Some(Ok(tunnel)) => {
                let serve = forward::serve(proxy.clone(), arrival.clone(), local, tunnel);
                proxy.clone().spawn("inbound tunnel", serve);
            }
            Some(Err(rejected @ ServeError::Rejected(_))) => {
                let traffic = &proxy.worker.seed.traffic;
                refused_early(
                    traffic,
                    Reporter::Destination,
                    peer,
                    local.addr(),
                    "malformed",
                    &rejected,
                );
            }
            Some(Err(ServeError::Ended(end @ ConnectionEnd::Expired(_)))) => {
                tracing::info!(%peer, identity = %connection.peer(), %end, "HBONE connection ended with its streams");
                return;
            }
            Some(Err(ServeError::Ended(end @ ConnectionEnd::Http2(_)))) => {
                let traffic = &proxy.worker.seed.traffic;
                refused_early(traffic, Reporter::Destination, peer, local.addr(), "http2", &end);
                return;
            }
            Some(Err(ServeError::Ended(end))) => {
                tracing::debug!(%peer, %end, "HBONE connection ended");
                return;
            }
            None => return,
        }
    }
}

/// How long a handshake waits for the pod's certificate.
const CERTIFICATE_DEADLINE: Duration = Duration::from_secs(10);
