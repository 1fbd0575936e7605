//! Requests: a client's HTTP connection, and each request on it.
//!
//! # Layout
//! - this file: one connection, and one request from its head to its answer.
//! - [`head`]: is this head one that is passed on, and as what? Pure.
//! - [`forward`]: tries, timeouts, retries.
//! - `retry`: when a request is tried again. Pure.
//! - [`tail`]: the body of an answer on its way to the client, and what ends with it.
//! - [`story`]: what is told about a request, however it ends.

pub mod forward;
pub mod head;
mod retry;
pub mod story;
pub mod tail;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use mesh_dataplane::drain_signal::DrainListener;
use mesh_model::l7::request::Claims;
use mesh_net::{RelayCounters, relay};

use crate::body::Body;
use crate::connection::Accepted;
use crate::exchange::Exchange;
use crate::filters;
use crate::flags::ResponseFlag;
use crate::reply::LocalReply;
use crate::route::Routed;
use crate::rt::Local;
use crate::standing::Standing;
use crate::stream::Stream;
use crate::telemetry::Report;
use crate::worker::Worker;
use head::Malformed;
use story::Story;

/// One connection of a client.
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) accepted: Arc<Accepted>,
    /// A request has come.
    pub(crate) began: Cell<bool>,
    /// Set by the request that changes the protocol.
    pub(crate) upgraded: RefCell<Option<Upgraded>>,
}

/// What goes on after a change of protocol.
pub(crate) struct Upgraded {
    pub(crate) endpoint: Stream,
    pub(crate) standing: Standing,
    pub(crate) story: Story,
}

/// Hyper's view of a connection.
#[derive(Clone)]
struct Requests(Rc<Connection>);

impl Service<Request<Incoming>> for Requests {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let connection = self.0.clone();
        connection.began.set(true);
        Box::pin(async move { Ok(answer(&connection, request).await) })
    }
}

/// Serves HTTP/1 until the client, the drain or a change of protocol ends it.
pub(crate) async fn serve_http1(
    worker: Rc<Worker>,
    stream: Stream,
    accepted: Accepted,
    mut drain: DrainListener,
) {
    let connection = Rc::new(Connection::new(worker, accepted));
    let settings = connection.worker.settings.clone();
    let mut http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_headers(settings.headers)
        .max_header_size(settings.header_bytes)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), Requests(connection.clone()));
    let (mut asked, mut draining) = (false, false);
    let ended = {
        let mut drained = pin!(drain.draining());
        poll_fn(|cx| {
            asked = asked || drained.as_mut().poll(cx).is_ready();
            loop {
                // Its first bytes are here: a connection that is told to end before its first request was read would
                // end without an answer.
                if asked && !draining && connection.began.get() {
                    draining = true;
                    Pin::new(&mut http).graceful_shutdown();
                }
                let ended = http.poll_without_shutdown(cx);
                if ended.is_ready() || !asked || draining || !connection.began.get() {
                    return ended;
                }
            }
        })
        .await
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %connection.accepted.client.peer, %error, "HTTP/1 connection ended");
        return;
    }
    let parts = http.into_parts();
    let mut stream = parts.io.into_inner();
    let upgraded = connection.upgraded.borrow_mut().take();
    match upgraded {
        Some(upgraded) => {
            stream.unread(parts.read_buf);
            carry(stream, upgraded).await;
        }
        None => {
            // The client may be gone already.
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
        }
    }
}

/// Serves HTTP/2 until the client or the drain ends it.
pub(crate) async fn serve_http2(
    worker: Rc<Worker>,
    stream: Stream,
    accepted: Accepted,
    mut drain: DrainListener,
) {
    let connection = Rc::new(Connection::new(worker, accepted));
    let settings = connection.worker.settings.clone();
    let mut http = pin!(
        http2::Builder::new(Local(connection.worker.tasks.clone()))
            .timer(TokioTimer::new())
            .max_concurrent_streams(settings.max_streams)
            .initial_stream_window_size(settings.stream_window)
            .initial_connection_window_size(settings.connection_window)
            .max_header_list_size(u32::try_from(settings.header_bytes).unwrap_or(u32::MAX))
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), Requests(connection.clone()))
    );
    let mut draining = false;
    let mut drained = pin!(drain.draining());
    let ended = poll_fn(|cx| {
        if !draining && drained.as_mut().poll(cx).is_ready() {
            draining = true;
            http.as_mut().graceful_shutdown();
        }
        match http.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => Poll::Pending,
        }
    });
    if let Err(error) = ended.await {
        tracing::debug!(peer = %connection.accepted.client.peer, %error, "HTTP/2 connection ended");
    }
}

/// One request, from its head to its answer; the answer's body follows by itself.
async fn answer(connection: &Rc<Connection>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut story = Story::new(
        connection.worker.telemetry.clone(),
        Report::new(connection.accepted.clone()),
    );
    let mut prepared = match head::prepare(head) {
        Ok(prepared) => prepared,
        Err(malformed) => {
            let Malformed { reply, line } = *malformed;
            story.request = Some(line);
            return local(story, reply, false);
        }
    };
    story.request = Some(prepared.line);
    let worker = &connection.worker;
    let snapshot = worker.snapshot();
    let accepted = &connection.accepted;
    let compiled = worker
        .tables
        .compiled(&snapshot, &accepted.frontend, &worker.gateway);
    head::normalize(&mut prepared.head, compiled.normalization);
    let mut exchange = Exchange {
        annotations: None,
        grpc: prepared.grpc,
        upgrade: prepared.upgrade,
        head: prepared.head,
        authority: prepared.authority,
        accepted: accepted.clone(),
        snapshot,
        compiled,
        claims: Claims::none(),
        routed: None,
        worker: worker.clone(),
        story,
    };
    if let ControlFlow::Break(reply) = filters::request(&mut exchange).await {
        return local_through(exchange, reply);
    }
    match exchange.routed.take() {
        Some(Routed::Forward(forward)) => forward::forward(connection, exchange, forward, body).await,
        Some(Routed::Reply(reply)) => local_through(exchange, *reply),
        None => local_through(exchange, LocalReply::no_route()),
    }
}

/// An answer from here, with what filters add to every answer.
fn local_through(mut exchange: Exchange, reply: LocalReply) -> Response<Body> {
    exchange.story.reply(&reply);
    let response = reply.into_response(exchange.grpc);
    let (mut head, body) = response.into_parts();
    filters::response(&mut exchange, &mut head);
    tail::local(exchange.story, Response::from_parts(head, body))
}

fn local(mut story: Story, reply: LocalReply, grpc: bool) -> Response<Body> {
    story.reply(&reply);
    tail::local(story, reply.into_response(grpc))
}

/// Bytes, after the protocol was changed.
async fn carry(client: Stream, upgraded: Upgraded) {
    let Upgraded {
        endpoint,
        mut standing,
        mut story,
    } = upgraded;
    let counters = RelayCounters::default();
    let revoked = tokio::select! {
        biased;
        () = standing.revoked() => true,
        _ = relay(client.into_chunks(), endpoint.into_chunks(), &counters) => false,
    };
    story.received += counters.to_up();
    story.sent += counters.to_down();
    if revoked {
        story.flags.add(ResponseFlag::LocalReset);
        story.details = "rbac_access_denied";
    }
    story.complete();
}

impl Connection {
    fn new(worker: Rc<Worker>, accepted: Accepted) -> Self {
        Self {
            worker,
            accepted: Arc::new(accepted),
            began: Cell::new(false),
            upgraded: RefCell::new(None),
        }
    }
}
