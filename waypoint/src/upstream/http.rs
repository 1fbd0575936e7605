//! Connections that carry requests to one endpoint.
//!
//! An HTTP/1.1 connection carries one request at a time and is kept when its answer is over; an HTTP/2 connection carries
//! many. A server may close a kept connection at the very moment at which the next request is written on it. Such a
//! request was not looked at, and is sent again on another connection if that is known (it was never written), or if it
//! makes no difference how often it is carried out (RFC 9110, section 9.2.2).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::connect::{ConnectFailure, connect};
use super::{Endpoint, Shared};
use crate::body::Body;
use crate::rt::Local;
use crate::stream::Stream;

/// Connections to one endpoint. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct HttpConnections {
    shelf: Rc<Shelf>,
}

#[derive(Default)]
struct Shelf {
    idle: RefCell<Vec<Idle>>,
    multiplexed: RefCell<Vec<Multiplexed>>,
    retired: Cell<bool>,
}

struct Idle {
    connection: Http1,
    since: Instant,
}

/// One HTTP/1.1 connection.
struct Http1 {
    sender: http1::SendRequest<Body>,
    /// Resolves with the bare stream when the connection has changed its protocol.
    upgraded: oneshot::Receiver<Stream>,
    used: bool,
}

#[derive(Clone)]
struct Multiplexed {
    sender: http2::SendRequest<Body>,
    streams: Rc<Cell<u32>>,
}

/// Which HTTP is spoken to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpVersion {
    Http1,
    Http2,
}

/// An answer, and what holds its connection.
pub(crate) struct Answered {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease,
}

/// What holds the connection of an answer. Given back with [`Lease::done`] when the answer is over; dropped before, the
/// connection is closed (HTTP/1.1) or the stream is reset.
pub(crate) struct Lease {
    kind: Held,
}

enum Held {
    Http1(Option<Http1>, Rc<Shelf>, usize),
    Http2(Rc<Cell<u32>>),
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum TryError {
    /// No connection.
    Connect(ConnectFailure),
    /// The request was never written: it can be sent on another connection.
    NotSent(hyper::Error),
    /// A connection that had carried requests before ended before any byte of an answer: probably it was just being
    /// closed for idleness.
    Stale(hyper::Error),
    /// The endpoint says that it did not begin (REFUSED_STREAM, or GOAWAY before it).
    RefusedStream(hyper::Error),
    /// The stream or connection ended before the answer.
    Lost(Lost, hyper::Error),
}

/// How an answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The connection ended.
    Closed,
    /// The stream was reset.
    Reset,
    /// What came was no HTTP.
    Protocol,
    /// The client's body broke off.
    Body,
}

impl HttpConnections {
    /// Sends a request and waits for the head of its answer. `alone` asks for a new connection.
    pub(crate) async fn send(
        &self,
        shared: &Rc<Shared>,
        endpoint: &Endpoint,
        version: HttpVersion,
        request: Request<Body>,
        alone: bool,
    ) -> Result<Answered, TryError> {
        match version {
            HttpVersion::Http1 => self.send_http1(shared, endpoint, request, alone).await,
            HttpVersion::Http2 => self.send_http2(shared, endpoint, request).await,
        }
    }

    /// Nothing new is sent here; what is under way goes on.
    pub(crate) fn retire(&self) {
        self.shelf.retired.set(true);
        self.shelf.idle.borrow_mut().clear();
        self.shelf.multiplexed.borrow_mut().clear();
    }

    pub(crate) fn close_idle(&self, now: Instant, after: Duration) {
        let fresh =
            |idle: &Idle| now.duration_since(idle.since) < after && !idle.connection.sender.is_closed();
        self.shelf.idle.borrow_mut().retain(fresh);
        self.shelf
            .multiplexed
            .borrow_mut()
            .retain(|m| !m.sender.is_closed());
    }

    async fn send_http1(
        &self,
        shared: &Rc<Shared>,
        endpoint: &Endpoint,
        request: Request<Body>,
        alone: bool,
    ) -> Result<Answered, TryError> {
        let kept = if alone { None } else { self.take_idle() };
        let mut connection = match kept {
            Some(connection) => connection,
            None => open_http1(shared, endpoint).await.map_err(TryError::Connect)?,
        };
        let reused = std::mem::replace(&mut connection.used, true);
        match connection.sender.try_send_request(request).await {
            Ok(response) => {
                let limit = shared.settings.upstream_idle_connections;
                Ok(Answered {
                    response,
                    lease: Lease {
                        kind: Held::Http1(Some(connection), self.shelf.clone(), limit),
                    },
                })
            }
            Err(mut failed) => match failed.take_message() {
                Some(_) => Err(TryError::NotSent(failed.into_error())),
                None => Err(lost(failed.into_error(), reused)),
            },
        }
    }

    /// The connection that was used last: others may grow old in peace.
    fn take_idle(&self) -> Option<Http1> {
        let mut idle = self.shelf.idle.borrow_mut();
        while let Some(mut kept) = idle.pop() {
            if kept.connection.sender.is_closed() {
                continue;
            }
            if kept.connection.sender.is_ready() {
                return Some(kept.connection);
            }
            // Still busy with the end of its last answer, or about to find out that it is closed.
            kept.since = Instant::now();
            let busy = kept;
            let other = idle.iter().rposition(|i| i.connection.sender.is_ready());
            let found = other.map(|at| idle.remove(at).connection);
            idle.push(busy);
            return found;
        }
        None
    }

    async fn send_http2(
        &self,
        shared: &Rc<Shared>,
        endpoint: &Endpoint,
        request: Request<Body>,
    ) -> Result<Answered, TryError> {
        let (mut connection, reused) = match self.with_room(shared.settings.upstream_streams) {
            Some(connection) => (connection, true),
            None => {
                let opened = open_http2(shared, endpoint).await.map_err(TryError::Connect)?;
                if !self.shelf.retired.get() {
                    self.shelf.multiplexed.borrow_mut().push(opened.clone());
                }
                (opened, false)
            }
        };
        let lease = Lease::http2(&connection.streams);
        match connection.sender.try_send_request(request).await {
            Ok(response) => Ok(Answered { response, lease }),
            Err(mut failed) => match failed.take_message() {
                Some(_) => Err(TryError::NotSent(failed.into_error())),
                None => Err(lost(failed.into_error(), reused)),
            },
        }
    }

    fn with_room(&self, most: u32) -> Option<Multiplexed> {
        let mut connections = self.shelf.multiplexed.borrow_mut();
        connections.retain(|c| !c.sender.is_closed());
        let room = |c: &&Multiplexed| c.streams.get() < most;
        connections
            .iter()
            .filter(room)
            .min_by_key(|c| c.streams.get())
            .cloned()
    }
}

async fn open_http1(shared: &Rc<Shared>, endpoint: &Endpoint) -> Result<Http1, ConnectFailure> {
    let stream = connect(shared, endpoint).await?;
    let settings = &shared.settings;
    let handshake = http1::Builder::new()
        .max_headers(settings.headers)
        .max_header_size(settings.header_bytes)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(ConnectFailure::Http)?;
    let (bare, upgraded) = oneshot::channel();
    shared.tasks.spawn_local("HTTP/1.1 to an endpoint", async move {
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
        upgraded,
        used: false,
    })
}

async fn open_http2(shared: &Rc<Shared>, endpoint: &Endpoint) -> Result<Multiplexed, ConnectFailure> {
    let stream = connect(shared, endpoint).await?;
    let settings = &shared.settings;
    let handshake = http2::Builder::new(Local(shared.tasks.clone()))
        .timer(TokioTimer::new())
        .initial_stream_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_header_list_size(u32::try_from(settings.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(ConnectFailure::Http)?;
    shared.tasks.spawn_local("HTTP/2 to an endpoint", async move {
        // An error is told to whoever waits for an answer.
        let _ = connection.await;
    });
    Ok(Multiplexed {
        sender,
        streams: Rc::default(),
    })
}

/// What it means that no answer came.
fn lost(error: hyper::Error, reused: bool) -> TryError {
    if let Some(h2) = source::<h2::Error>(&error) {
        if h2.reason() == Some(h2::Reason::REFUSED_STREAM) {
            return TryError::RefusedStream(error);
        }
        if h2.is_go_away() && h2.is_remote() || h2.is_io() {
            return TryError::Lost(Lost::Closed, error);
        }
        return TryError::Lost(Lost::Reset, error);
    }
    if error.is_user() {
        return TryError::Lost(Lost::Body, error);
    }
    if error.is_parse() {
        return TryError::Lost(Lost::Protocol, error);
    }
    match reused {
        true => TryError::Stale(error),
        false => TryError::Lost(Lost::Closed, error),
    }
}

fn source<E: std::error::Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

// === impl Lease ===

impl Lease {
    fn http2(streams: &Rc<Cell<u32>>) -> Self {
        streams.set(streams.get() + 1);
        Self {
            kind: Held::Http2(streams.clone()),
        }
    }

    /// The answer is over: the connection takes the next request.
    pub(crate) fn done(mut self) {
        let Held::Http1(connection, shelf, limit) = &mut self.kind else {
            return;
        };
        let mut idle = shelf.idle.borrow_mut();
        if let Some(connection) = connection.take()
            && !shelf.retired.get()
            && !connection.sender.is_closed()
            && idle.len() < *limit
        {
            idle.push(Idle {
                connection,
                since: Instant::now(),
            });
        }
    }

    /// The bare stream after a change of protocol.
    pub(crate) async fn upgraded(mut self) -> Option<Stream> {
        let Held::Http1(connection, ..) = &mut self.kind else {
            return None;
        };
        let connection = connection.take()?;
        connection.upgraded.await.ok()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Held::Http2(streams) = &self.kind {
            streams.set(streams.get() - 1);
        }
    }
}

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
