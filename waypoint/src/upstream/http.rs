//! Connections that carry requests to one endpoint.
//!
//! An HTTP/1.1 connection carries one request at a time and is kept when its answer is over; an HTTP/2 connection carries
//! many. A server may close a kept connection at the very moment at which the next request is written on it. Such a
//! request was not looked at, and is sent again on another connection if that is known (it was never written), or if it
//! makes no difference how often it is carried out (RFC 9110, section 9.2.2).
//!
//! # Layout
//! - this file: a request on a connection, and what becomes of both.
//! - `shelf`: connections that are kept.
//! - `open`: new ones. `ending`: whether the far end has closed one.

mod ending;
mod open;
mod shelf;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use mesh_balance::Counter;
use tokio::time::Instant;

use super::connect::{ConnectFailure, OnBehalf};
use super::registry::Slot;
use super::rules::Rules;
use super::{Endpoint, Shared};
use crate::body::Body;
use crate::stream::Stream;
use open::Kept;
use shelf::{Http1, Multiplexed, Shelf};

/// Connections to one endpoint. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct HttpConnections {
    shelf: Rc<Shelf>,
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
    /// Our address towards the endpoint.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) lease: Lease,
}

/// What holds the connection of an answer. Given back with [`Lease::done`] when the answer is over; dropped before, the
/// connection is closed (HTTP/1.1) or the stream is reset.
pub(crate) struct Lease {
    kind: Held,
}

enum Held {
    Http1(Option<Http1>, Rc<Shelf>, Keeping),
    Http2(Multiplexed),
}

/// How many are kept, and which.
struct Keeping {
    most: usize,
    rules: Rc<Rules>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TryError {
    /// Too many requests wait for a connection already.
    #[error("too many requests wait for a connection")]
    Overflow,
    /// No connection.
    #[error(transparent)]
    Connect(ConnectFailure),
    /// The request was never written: it can be sent on another connection.
    #[error("the connection takes no request: {0}")]
    NotSent(hyper::Error),
    /// A connection that had carried requests before ended before any byte of an answer: probably it was just being
    /// closed for idleness.
    #[error("the connection was just being closed: {0}")]
    Stale(hyper::Error),
    /// The endpoint says that it did not begin (REFUSED_STREAM).
    #[error("the stream was refused: {0}")]
    RefusedStream(hyper::Error),
    /// The endpoint takes no more streams on that connection, and did not begin with this one (GOAWAY before it).
    #[error("the connection takes no more streams: {0}")]
    NotBegun(hyper::Error),
    /// The stream or connection ended before the answer.
    #[error("no answer: {1}")]
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
    ///
    /// A request that has no connection yet is pending. Of connections there are as many as the limit says; a pending
    /// request waits for one to come free.
    pub(crate) async fn send(
        &self,
        shared: &Rc<Shared>,
        endpoint: &Endpoint,
        version: HttpVersion,
        mut request: Request<Body>,
        alone: bool,
    ) -> Result<Answered, TryError> {
        let client = request.extensions().get::<OnBehalf>().copied();
        let client = client.filter(|_| endpoint.rules.proxy_protocol().is_some());
        // A connection that begins with a client's address carries nobody else's requests.
        let alone = alone || client.is_some();
        match version {
            HttpVersion::Http1 => {
                let connection = self.http1(shared, endpoint, client.as_ref(), alone).await?;
                self.send_http1(shared, endpoint, connection, request).await
            }
            HttpVersion::Http2 => {
                endpoint.rules.tls.name_scheme(&mut request);
                let (connection, reused) = self.http2(shared, endpoint, client.as_ref(), alone).await?;
                send_http2(connection, request, reused).await
            }
        }
    }

    /// The same on a connection of its own, which no limit counts: for health checks.
    pub(crate) async fn send_apart(
        shared: &Rc<Shared>,
        endpoint: &Endpoint,
        version: HttpVersion,
        request: Request<Body>,
    ) -> Result<Answered, TryError> {
        let connections = Self::default();
        match version {
            HttpVersion::Http1 => {
                let kept = Kept {
                    slot: None,
                    open: connections.shelf.open.clone(),
                };
                let opened = Box::pin(open::http1(shared, endpoint, None, kept)).await;
                let opened = opened.map_err(TryError::Connect)?;
                connections.send_http1(shared, endpoint, opened, request).await
            }
            HttpVersion::Http2 => {
                let opened = Box::pin(open::http2(shared, endpoint, None, None)).await;
                send_http2(opened.map_err(TryError::Connect)?, request, false).await
            }
        }
    }

    /// Nothing new is sent here; what is under way goes on.
    pub(crate) fn retire(&self) {
        self.shelf.retire();
    }

    /// Says whether any is left.
    pub(crate) fn close_idle(&self, now: Instant, after: Duration) -> bool {
        self.shelf.close_idle(now, after)
    }

    async fn http1(
        &self,
        shared: &Rc<Shared>,
        endpoint: &Endpoint,
        client: Option<&OnBehalf>,
        alone: bool,
    ) -> Result<Http1, TryError> {
        let take = || self.shelf.take_idle(endpoint.rules.limits());
        if !alone && let Some(kept) = take() {
            return Ok(kept);
        }
        let (common, limits) = (&endpoint.common, endpoint.rules.limits());
        let pending = common.group.permit(Counter::Pending, limits.max_pending_requests);
        let _pending = pending.ok_or(TryError::Overflow)?;
        let slot = loop {
            if let Some(slot) = Slot::within(common, limits.max_connections) {
                break slot;
            }
            if self.shelf.open.get() == 0 {
                break Slot::beyond(common);
            }
            tokio::select! {
                () = self.shelf.returned.notified() => {}
                () = common.ended.notified() => {}
            }
            if !alone && let Some(kept) = take() {
                return Ok(kept);
            }
        };
        let kept = Kept {
            slot: Some(slot),
            open: self.shelf.open.clone(),
        };
        Box::pin(open::http1(shared, endpoint, client, kept))
            .await
            .map_err(TryError::Connect)
    }

    async fn send_http1(
        &self,
        shared: &Rc<Shared>,
        endpoint: &Endpoint,
        mut connection: Http1,
        request: Request<Body>,
    ) -> Result<Answered, TryError> {
        let reused = connection.requests > 0;
        connection.requests += 1;
        let local = connection.local;
        match connection.sender.try_send_request(request).await {
            Ok(response) => {
                let keeping = Keeping {
                    most: shared.settings.upstream_idle_connections,
                    rules: endpoint.rules.clone(),
                };
                Ok(Answered {
                    response,
                    local,
                    lease: Lease {
                        kind: Held::Http1(Some(connection), self.shelf.clone(), keeping),
                    },
                })
            }
            Err(mut failed) => match failed.take_message() {
                Some(_) => Err(TryError::NotSent(failed.into_error())),
                None => Err(lost(failed.into_error(), reused, true)),
            },
        }
    }

    /// A connection with room for one more stream, and whether it was used before.
    async fn http2(
        &self,
        shared: &Rc<Shared>,
        endpoint: &Endpoint,
        client: Option<&OnBehalf>,
        alone: bool,
    ) -> Result<(Multiplexed, bool), TryError> {
        let (common, limits, shelf) = (&endpoint.common, endpoint.rules.limits(), &self.shelf);
        let usual = shared.settings.upstream_streams;
        let most = limits
            .max_concurrent_streams
            .map_or(usual, |most| most.min(usual).max(1));
        let with_room = || shelf.with_room(most, limits).filter(|_| !alone);
        if let Some(connection) = with_room() {
            return Ok((connection, true));
        }
        let pending = common.group.permit(Counter::Pending, limits.max_pending_requests);
        let _pending = pending.ok_or(TryError::Overflow)?;
        // Those who come together do not make a connection each. If the first one fails, each tries by itself.
        if shelf.opening.get() && !alone {
            let known = shelf.openings.get();
            while shelf.openings.get() == known {
                shelf.returned.notified().await;
            }
            if let Some(connection) = with_room() {
                // Others may have waited, too.
                shelf.returned.notify_one();
                return Ok((connection, true));
            }
            shelf.returned.notify_one();
        }
        let slot = match Slot::within(common, limits.max_connections) {
            Some(slot) => slot,
            None if shelf.has_multiplexed() => return Err(TryError::Overflow),
            None => Slot::beyond(common),
        };
        let _opening = Opening::begin(shelf);
        let opened = Box::pin(open::http2(shared, endpoint, client, Some(slot))).await;
        let opened = opened.map_err(TryError::Connect)?;
        if !alone {
            shelf.keep_multiplexed(opened.clone());
        }
        Ok((opened, false))
    }
}

/// An HTTP/2 connection is being made.
struct Opening<'s>(&'s Shelf);

impl<'s> Opening<'s> {
    fn begin(shelf: &'s Shelf) -> Self {
        shelf.opening.set(true);
        Self(shelf)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.set(false);
        self.0.openings.set(self.0.openings.get().wrapping_add(1));
        self.0.returned.notify_one();
    }
}

async fn send_http2(
    mut connection: Multiplexed,
    request: Request<Body>,
    reused: bool,
) -> Result<Answered, TryError> {
    let (lease, local) = (Lease::http2(&connection), connection.local);
    match connection.sender.try_send_request(request).await {
        Ok(response) => Ok(Answered {
            response,
            local,
            lease,
        }),
        Err(mut failed) => match failed.take_message() {
            Some(_) => Err(TryError::NotSent(failed.into_error())),
            None => Err(lost(failed.into_error(), reused, connection.ended.get())),
        },
    }
}

/// What it means that no answer came. `ended`: nor will anything else come on the connection.
fn lost(error: hyper::Error, reused: bool, ended: bool) -> TryError {
    if let Some(h2) = source::<h2::Error>(&error) {
        if h2.reason() == Some(h2::Reason::REFUSED_STREAM) {
            return TryError::RefusedStream(error);
        }
        let gone_away = h2.is_go_away() && h2.is_remote();
        if gone_away && !ended {
            return TryError::NotBegun(error);
        }
        if gone_away || h2.is_io() {
            return match reused {
                true => TryError::Stale(error),
                false => TryError::Lost(Lost::Closed, error),
            };
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
    fn http2(connection: &Multiplexed) -> Self {
        connection.streams.set(connection.streams.get() + 1);
        connection
            .requests
            .set(connection.requests.get().saturating_add(1));
        Self {
            kind: Held::Http2(connection.clone()),
        }
    }

    /// The answer is over: the connection takes the next request.
    pub(crate) fn done(mut self) {
        if let Held::Http1(connection, shelf, keeping) = &mut self.kind
            && let Some(connection) = connection.take()
        {
            shelf.keep(connection, keeping.most, keeping.rules.limits());
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
        if let Held::Http2(connection) = &self.kind {
            connection.streams.set(connection.streams.get() - 1);
            connection.idle.set(Instant::now());
        }
    }
}
