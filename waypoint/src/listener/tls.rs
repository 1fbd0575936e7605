//! TLS of a gateway's clients: it ends here, or goes on by its server name.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use mesh_model::AppProtocol;
use mesh_model::l7::Bind;
use mesh_model::l7::bind::BindProtocol;
use mesh_model::l7::tls::TlsTermination;
use mesh_tls::service::ServiceTlsError;
use mesh_tls::{ServedCertificate, TlsSettings, termination_config};
use mesh_types::Strng;
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::Listener;
use crate::connection::Accepted;
use crate::frontend::{Frontend, listeners};
use crate::proxy;
use crate::stream::Stream;

/// How TLS ends at a bind, if it does.
pub(super) fn termination(bind: &Bind) -> Result<Option<Arc<rustls::ServerConfig>>, ServiceTlsError> {
    let BindProtocol::Tls(
        TlsTermination::Terminate {
            certificates,
            client_authorities,
        },
        _,
    ) = &bind.protocol
    else {
        return Ok(None);
    };
    let served: Vec<_> = certificates
        .iter()
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
    termination_config(&served, client_authorities.as_deref(), &settings).map(Some)
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
        Box::pin(shake_hands(&listener, stream, config)),
    )
    .await;
    let (stream, sibling) = match shaken {
        Ok(Ok(shaken)) => shaken,
        Ok(Err(error)) => {
            worker.telemetry.refused(accepted.client.peer, "handshake");
            tracing::debug!(peer = %accepted.client.peer, %error, "no TLS");
            return;
        }
        Err(_) => return worker.telemetry.refused(accepted.client.peer, "handshake"),
    };
    if let Some(sibling) = sibling.as_deref().and_then(Frontend::of_listener) {
        accepted.frontend = sibling;
    }
    let name = stream.get_ref().1.server_name();
    accepted.client.server_name = name.map(|name| name.to_ascii_lowercase().into());
    accepted.client.secure = true;
    proxy::serve(worker, Stream::of_duplex(stream), accepted, drain).await;
}

/// Ends TLS as the listener wants it whose host the client names, this one if none has it. Gives that one if it is another.
async fn shake_hands(
    listener: &Listener,
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
) -> io::Result<(TlsStream<TcpStream>, Option<Arc<Bind>>)> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let named = hello.client_hello().server_name().map(str::to_ascii_lowercase);
    let sibling = named.and_then(|name| listener.meant_by(&name));
    let config = match &sibling {
        Some(sibling) => listener.worker.terminations.of(sibling)?,
        None => config,
    };
    Ok((hello.into_stream(config).await?, sibling))
}

/// How TLS ends at other listeners of the same port, as far as connections for them came.
#[derive(Default)]
pub struct Terminations(RefCell<HashMap<Strng, Termination>>);

/// A listener, and its TLS.
type Termination = (Arc<Bind>, Arc<rustls::ServerConfig>);

impl Terminations {
    fn of(&self, bind: &Arc<Bind>) -> io::Result<Arc<rustls::ServerConfig>> {
        let mut known = self.0.borrow_mut();
        match known.get(&bind.key()) {
            Some((same, config)) if Arc::ptr_eq(same, bind) => return Ok(config.clone()),
            _ => {}
        }
        let config = termination(bind).map_err(io::Error::other)?;
        let config = config.ok_or(io::ErrorKind::Unsupported)?;
        known.insert(bind.key(), (bind.clone(), config.clone()));
        Ok(config)
    }
}

impl Listener {
    /// Another listener of this port that has this server name, or covers it more exactly.
    fn meant_by(&self, name: &str) -> Option<Arc<Bind>> {
        let own = &self.bind;
        let snapshot = self.worker.snapshot();
        let frontend = Frontend::of_listener(own)?;
        let siblings = listeners::siblings(&snapshot, &frontend);
        let siblings: Vec<_> = siblings.filter(|bind| bind.key() != own.key()).collect();
        let all = std::iter::once(own.clone()).chain(siblings);
        listeners::by_server_name(all, name).filter(|bind| !Arc::ptr_eq(bind, own))
    }
}

const HANDSHAKE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);
