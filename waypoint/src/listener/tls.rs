//! TLS of a gateway's clients: it ends here, or goes on by its server name.

use std::rc::Rc;
use std::sync::Arc;

use mesh_model::AppProtocol;
use mesh_model::l7::Bind;
use mesh_model::l7::bind::BindProtocol;
use mesh_model::l7::tls::{Certificate, TlsTermination};
use mesh_tls::service::ServiceTlsError;
use mesh_tls::{ServedCertificate, TlsSettings, termination_config};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::Listener;
use crate::connection::Accepted;
use crate::frontend::Frontend;
use crate::proxy;
use crate::stream::Stream;

/// How TLS ends at a bind, if it does: with its own certificates first, and those of the others of its port.
pub(super) fn termination<'a>(
    bind: &'a Bind,
    of_port: impl Iterator<Item = &'a Bind>,
) -> Result<Option<Arc<rustls::ServerConfig>>, ServiceTlsError> {
    let Some((own, client_authorities)) = terminated(bind) else {
        return Ok(None);
    };
    let others = of_port.filter(|other| *other != bind).filter_map(terminated);
    let served: Vec<_> = std::iter::once(own)
        .chain(others.map(|(certificates, _)| certificates))
        .flatten()
        .map(|certificate| ServedCertificate {
            chain: &certificate.chain,
            key: &certificate.key,
        })
        .collect();
    // Clients from outside may have nothing newer.
    let settings = TlsSettings {
        tls12: true,
        ..TlsSettings::default()
    };
    termination_config(&served, client_authorities, &settings).map(Some)
}

/// Certificates and clients' authorities of a bind where TLS ends.
fn terminated(bind: &Bind) -> Option<(&[Certificate], Option<&[u8]>)> {
    match &bind.protocol {
        BindProtocol::Tls(
            TlsTermination::Terminate {
                certificates,
                client_authorities,
            },
            _,
        ) => Some((certificates, client_authorities.as_deref())),
        _ => None,
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(listener: Rc<Listener>, stream: TcpStream, mut accepted: Accepted) {
    let worker = listener.worker.clone();
    let drain = listener.drain.listener();
    let Some(config) = listener.termination.clone() else {
        // Whatever the routes say of it, its bytes are TLS.
        if let Frontend::Listener { protocol, .. } | Frontend::Service { protocol, .. } =
            &mut accepted.frontend
        {
            *protocol = AppProtocol::Tls;
        }
        return proxy::serve(worker, Stream::from(stream), accepted, drain).await;
    };
    let shaken = timeout(
        HANDSHAKE_DEADLINE,
        Box::pin(TlsAcceptor::from(config).accept(stream)),
    )
    .await;
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            worker.telemetry.refused(accepted.client.peer, "handshake");
            tracing::debug!(peer = %accepted.client.peer, %error, "no TLS");
            return;
        }
        Err(_) => return worker.telemetry.refused(accepted.client.peer, "handshake"),
    };
    let name = stream.get_ref().1.server_name();
    accepted.client.server_name = name.map(|name| name.to_ascii_lowercase().into());
    accepted.client.secure = true;
    proxy::serve(worker, Stream::of_duplex(stream), accepted, drain).await;
}

const HANDSHAKE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);
