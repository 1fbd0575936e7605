//! New connections that carry requests.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use mesh_model::l7::traffic::Http2Keepalive;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::HttpVersion;
use super::ending::Ending;
use super::shelf::{Http1, Multiplexed};
use crate::rt::Local;
use crate::upstream::connect::{ConnectFailure, Connected, OnBehalf, connect_for};
use crate::upstream::registry::Slot;
use crate::upstream::{Endpoint, Shared};

/// What counts a connection until it is closed.
pub(super) struct Kept {
    /// Of the destination's limit; none where nothing is counted.
    pub(super) slot: Option<Slot>,
    pub(super) open: Rc<Cell<u32>>,
}

struct Open(Rc<Cell<u32>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

pub(super) async fn http1(
    shared: &Rc<Shared>,
    endpoint: &Endpoint,
    client: Option<&OnBehalf>,
    kept: Kept,
) -> Result<Http1, ConnectFailure> {
    kept.open.set(kept.open.get() + 1);
    let open = Open(kept.open);
    let Connected { stream, local } = connect_for(shared, endpoint, Some(HttpVersion::Http1), client).await?;
    let settings = &shared.settings;
    let handshake = http1::Builder::new()
        .max_headers(settings.headers)
        .max_header_size(settings.header_bytes)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(ConnectFailure::Http)?;
    let (bare, upgraded) = oneshot::channel();
    shared.tasks.spawn_local("HTTP/1.1 to an endpoint", async move {
        let _counted = (kept.slot, open);
        // An error is told to whoever waits for the answer.
        let Ok(parts) = connection.without_shutdown().await else {
            return;
        };
        let mut stream = parts.io.into_inner();
        stream.unread(parts.read_buf);
        if let Err(mut stream) = bare.send(stream) {
            // Nobody changed the protocol: this was its end.
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
        }
    });
    Ok(Http1 {
        sender,
        local,
        upgraded,
        requests: 0,
        opened: Instant::now(),
        once: client.is_some() && endpoint.rules.proxy_protocol().is_some(),
    })
}

pub(super) async fn http2(
    shared: &Rc<Shared>,
    endpoint: &Endpoint,
    client: Option<&OnBehalf>,
    slot: Option<Slot>,
) -> Result<Multiplexed, ConnectFailure> {
    let Connected { stream, local } = connect_for(shared, endpoint, Some(HttpVersion::Http2), client).await?;
    let (stream, ended) = Ending::new(stream);
    let settings = &shared.settings;
    let wanted = endpoint.rules.limits().http2_keepalive;
    let keepalive = wanted.unwrap_or(KEEPALIVE);
    let handshake = http2::Builder::new(Local(shared.tasks.clone()))
        .timer(TokioTimer::new())
        .initial_stream_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_header_list_size(u32::try_from(settings.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(keepalive.interval)
        .keep_alive_timeout(keepalive.timeout)
        // Whoever asks for it wants to know of an idle one, too.
        .keep_alive_while_idle(wanted.is_some())
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(ConnectFailure::Http)?;
    shared.tasks.spawn_local("HTTP/2 to an endpoint", async move {
        let _counted = slot;
        // An error is told to whoever waits for an answer.
        let _ = connection.await;
    });
    Ok(Multiplexed {
        sender,
        ended,
        local,
        streams: Rc::default(),
        requests: Rc::default(),
        opened: Instant::now(),
        idle: Rc::new(Cell::new(Instant::now())),
    })
}

const KEEPALIVE: Http2Keepalive = Http2Keepalive {
    interval: Duration::from_secs(30),
    timeout: Duration::from_secs(20),
};
