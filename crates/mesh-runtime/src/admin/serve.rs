//! The server loop: no task of its own, everything runs inside the returned future.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::{Request, Response, Routes, text};
use crate::drain::DrainWatcher;

/// Bounds of an admin server.
#[derive(Clone, Copy, Debug)]
pub struct AdminLimits {
    /// Connections served at once; more wait in the listen queue.
    pub connections: usize,
    /// Longest body of a request, in bytes; longer ones are answered with 413.
    pub body: usize,
    /// How long a client may take to send a request's head, and to send its body.
    pub receive: Duration,
}

impl Default for AdminLimits {
    fn default() -> Self {
        Self {
            connections: 64,
            body: 64 * 1024,
            receive: Duration::from_secs(10),
        }
    }
}

/// Serves `routes` on `listener` until the drain's cut: probes are to see the truth while a process drains.
///
/// # Errors
/// Fails when the listener is broken for good.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    limits: AdminLimits,
    mut drain: DrainWatcher,
) -> io::Result<()> {
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = drain.cut() => return Ok(()),
            Some(()) = connections.next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                Ok((stream, _)) => connections.push(serve_connection(stream, &routes, limits)),
                Err(e) => {
                    tracing::warn!(error = %e, "admin server cannot accept");
                    // Most likely no descriptor is left; trying again at once would only burn CPU.
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            },
        }
    }
}

/// Serves `routes` on one connection, of any transport, until the client closes it.
pub async fn serve_connection(io: impl AsyncRead + AsyncWrite + Unpin, routes: &Routes, limits: AdminLimits) {
    let service = service_fn(|request: http::Request<Incoming>| async move {
        Ok::<_, Infallible>(answer(request, routes, limits).await)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.receive)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(io), service)
        .await;
    if let Err(e) = served {
        tracing::debug!(error = %e, "admin connection ended");
    }
}

async fn answer(request: http::Request<Incoming>, routes: &Routes, limits: AdminLimits) -> Response {
    let (head, body) = request.into_parts();
    let body = match tokio::time::timeout(limits.receive, Limited::new(body, limits.body).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return text(StatusCode::PAYLOAD_TOO_LARGE, "body too long or broken\n"),
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "body took too long\n"),
    };
    let target = head.uri.path_and_query().map_or("/", |t| t.as_str()).to_owned();
    let is_head = head.method == http::Method::HEAD;
    let mut answer = routes
        .answer(Request::new(head.method, &target, head.headers, body))
        .await;
    if is_head {
        *answer.body_mut() = Bytes::new().into();
    }
    answer
}

const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Longest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;
