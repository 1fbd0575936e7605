//! Requests: a client's HTTP connection, and each request on it.
//!
//! # Layout
//! - this file: one request, from its head to its answer.
//! - [`http1`], [`http2`]: a client's connection.
//! - [`framing`]: where HTTP/1 requests begin and end, strictly. Pure. `gate`: hyper reads through it.
//! - [`frames`]: HTTP/2 frames that cost their sender nothing are counted.
//! - [`head`]: is this head one that is passed on, and as what? Pure.
//! - `clock`: how long a request may take, and when that time runs.
//! - [`forward`]: tries, timeouts, retries. `failed`: why a try gave no answer.
//! - `mirror`: copies of requests.
//! - `sticky`: what keeps a request at the endpoint that its client had before.
//! - `retry`: when a request is tried again. Pure.
//! - [`tail`]: the body of an answer on its way to the client, and what ends with it.
//! - `tunnels`: changes of protocol over HTTP/2.
//! - [`story`]: what is told about a request, however it ends.

mod clock;
mod failed;
pub mod forward;
pub mod frames;
pub mod framing;
mod gate;
pub mod head;
pub mod http1;
pub mod http2;
mod mirror;
pub(crate) mod retry;
mod sticky;
pub mod story;
pub mod tail;
mod tunnels;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use hyper::service::Service;
use mesh_model::l7::request::{Claims, split_authority};
use mesh_state::l7::L7Snapshot;

use crate::body::memory::Unsent;
use crate::body::passed::Framing;
use crate::body::{Body, Replay};
use crate::connection::Accepted;
use crate::exchange::Exchange;
use crate::filters;
use crate::filters::edits;
use crate::filters::grpc_web::Web;
use crate::frontend::Frontend;
use crate::frontend::listeners::Meant;
use crate::reply::LocalReply;
use crate::route::{Compiled, Replied, Routed, Rule};
use crate::standing::{Standing, Watched};
use crate::stream::Stream;
use crate::telemetry::Report;
use crate::worker::Worker;
use gate::Gate;
use head::Malformed;
use story::Story;
use tail::Counted;

/// One connection of a client.
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) accepted: Arc<Accepted>,
    /// Its client's address, as applications are told it.
    peer: HeaderValue,
    /// Requests that have come.
    pub(crate) requests: Cell<u64>,
    /// Requests whose answers are not over.
    pub(crate) active: Rc<Cell<u32>>,
    /// The same connection at other listeners of its port, which requests of it were for.
    others: RefCell<Vec<Arc<Accepted>>>,
    /// What applied to the last request: it does to the next one while nothing changes.
    compiled: RefCell<Option<(Arc<L7Snapshot>, Rc<Compiled>)>>,
    /// What its client has not taken.
    pub(crate) unsent: Rc<Unsent>,
    /// Of HTTP/1, the last answer that may last: whether it is still allowed.
    pub(crate) lasting: RefCell<Option<Watched>>,
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
struct Requests {
    connection: Rc<Connection>,
    /// Of HTTP/1.
    gate: Option<Rc<Gate>>,
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let Self { connection, gate } = self.clone();
        connection.requests.set(connection.requests.get() + 1);
        // The gate holds what follows such a request back.
        let asks = request.method() == Method::CONNECT || request.headers().contains_key(header::UPGRADE);
        let gate = gate.filter(|_| asks);
        let active = Counted::new(&connection.active);
        Box::pin(async move {
            let response = answer(&connection, request, active).await;
            if let Some(gate) = gate
                && response.status() != StatusCode::SWITCHING_PROTOCOLS
            {
                gate.unchanged();
            }
            Ok(response)
        })
    }
}

/// One request, from its head to its answer; the answer's body follows by itself.
async fn answer(connection: &Rc<Connection>, request: Request<Incoming>, active: Counted) -> Response<Body> {
    let mut exchange = match begin(connection, request, active) {
        Ok(exchange) => exchange,
        Err(response) => return *response,
    };
    if connection.worker.memory.is_full() {
        return local_through(exchange, LocalReply::overloaded());
    }
    if let Err(reply) = connection.check_place(&exchange) {
        return local_through(exchange, *reply);
    }
    if let ControlFlow::Break(reply) = filters::request(&mut exchange).await {
        return local_through(exchange, reply);
    }
    match exchange.routed.take() {
        Some(Routed::Forward(forward)) => forward::forward(connection, exchange, forward).await,
        Some(Routed::Reply(replied)) => {
            let Replied { reply, rule } = *replied;
            exchange.story.route = rule.as_ref().map(|rule| rule.name.clone());
            local_of(exchange, reply, rule.as_ref())
        }
        None => local_through(exchange, LocalReply::no_route()),
    }
}

/// A request that is passed on, or the answer to one that is not.
///
/// In a box from here on: what is handed from one future to the next is copied each time.
fn begin(
    connection: &Rc<Connection>,
    mut request: Request<Incoming>,
    active: Counted,
) -> Result<Box<Exchange>, Box<Response<Body>>> {
    let tunnel = tunnels::tunnel(&mut request);
    let (head, body) = request.into_parts();
    let accepted = connection.accepted_for(&head);
    let framing = Framing::of_request(head.version, &head.headers);
    let body = (!body.is_end_stream()).then(|| Replay::new(body).counted(&connection.worker.memory));
    let mut story =
        Story::new(connection.worker.telemetry.clone(), Report::new(accepted.clone())).holding(active);
    let heard = connection.worker.standings.changes();
    let (snapshot, compiled) = connection.compiled(&accepted);
    story.planned(compiled.applied.telemetry.clone());
    let mut prepared = match head::prepare(head) {
        Ok(prepared) => prepared,
        Err(malformed) => {
            let Malformed { reply, line } = *malformed;
            story.request = Some(line);
            return Err(Box::new(local(story, reply, false)));
        }
    };
    let web = Web::of(&prepared.head, connection.accepted.frontend.protocol());
    prepared.line.grpc |= web.is_some();
    story.asked_for(prepared.line, &mut prepared.head.headers);
    // Where a message begins cannot be seen in base64.
    if web.as_ref().is_some_and(Web::is_text) {
        story.count_no_messages();
    }
    if let Some(body) = &body {
        story.receiving(body, framing);
    }
    head::normalize(&mut prepared.head, compiled.normalization);
    Ok(Box::new(Exchange {
        annotations: None,
        processing: None,
        beside: Vec::new(),
        body,
        grpc: prepared.grpc || web.is_some(),
        web,
        upgrade: prepared.upgrade,
        tunnel,
        expects: prepared.expects,
        peer: connection.peer.clone(),
        named: prepared.named,
        head: prepared.head,
        authority: prepared.authority,
        accepted,
        snapshot,
        heard,
        applied: compiled.applied.clone(),
        compiled,
        claims: Claims::none(),
        routed: None,
        worker: connection.worker.clone(),
        story,
    }))
}

/// An answer from here, with what filters add to every answer.
fn local_through(exchange: Box<Exchange>, reply: LocalReply) -> Response<Body> {
    local_of(exchange, reply, None)
}

/// The answer that a rule gives, with what it does to answers.
fn local_of(mut exchange: Box<Exchange>, reply: LocalReply, rule: Option<&Rule>) -> Response<Body> {
    exchange.story.reply(&reply);
    let response = reply.into_response(exchange.grpc);
    let (mut head, body) = response.into_parts();
    exchange.story.status = head.status.as_u16();
    exchange.story.grpc_status = tail::grpc_status(&head.headers);
    edits::incoming(rule, &mut head.headers);
    filters::response(&mut exchange, &mut head);
    exchange.story.answering(&head, &body.size_hint());
    tail::local(exchange.story, Response::from_parts(head, body))
}

fn local(mut story: Story, reply: LocalReply, grpc: bool) -> Response<Body> {
    story.reply(&reply);
    let (head, body) = reply.into_response(grpc).into_parts();
    story.answering(&head, &body.size_hint());
    tail::local(story, Response::from_parts(head, body))
}

impl Connection {
    fn new(worker: Rc<Worker>, accepted: Accepted) -> Self {
        Self {
            unsent: Rc::new(Unsent::new(&worker.memory)),
            peer: HeaderValue::from_str(&accepted.client.peer.ip().to_string())
                .expect("digits, letters and colons are a header value"),
            worker,
            accepted: Arc::new(accepted),
            requests: Cell::new(0),
            active: Rc::default(),
            others: RefCell::default(),
            compiled: RefCell::default(),
            lasting: RefCell::default(),
            upgraded: RefCell::new(None),
        }
    }

    /// Whether the answer that is under way is not allowed any more. It ends by itself where its client takes it.
    fn is_denied(&self) -> bool {
        self.lasting.borrow().as_ref().is_some_and(Watched::is_denied)
    }

    /// No request for a while: the state of what is served that the last one saw is not held.
    fn rest(&self) {
        *self.compiled.borrow_mut() = None;
    }

    /// The connection, for this request: listeners of one port have their own hosts. Where TLS ends, the server name has
    /// said whose the connection is.
    fn accepted_for(&self, head: &http::request::Parts) -> Arc<Accepted> {
        let own = &self.accepted;
        if !matches!(own.frontend, Frontend::Listener { .. }) || own.client.secure {
            return own.clone();
        }
        let host = head.uri.host().or_else(|| {
            let host = head.headers.get(header::HOST)?.to_str().ok()?;
            Some(split_authority(host).0)
        });
        let Meant::Sibling(frontend) = self.worker.meant(&own.frontend, host.unwrap_or_default()) else {
            return own.clone();
        };
        let mut others = self.others.borrow_mut();
        if let Some(known) = others.iter().find(|other| other.frontend == frontend) {
            return known.clone();
        }
        // Their host names change; there are 64 at most at a time.
        others.truncate(63);
        let client = own.client.clone();
        let other = Arc::new(Accepted { client, frontend });
        others.push(other.clone());
        other
    }

    /// Whether the request came to the listener whose host it names.
    fn check_place(&self, exchange: &Exchange) -> Result<(), Box<LocalReply>> {
        let accepted = &exchange.accepted;
        match self.worker.meant(&accepted.frontend, exchange.view().host()) {
            Meant::Here => Ok(()),
            Meant::Sibling(_) if accepted.client.secure => Err(Box::new(LocalReply::misdirected())),
            Meant::Sibling(_) | Meant::Nobody => Err(Box::new(LocalReply::no_route())),
        }
    }

    /// What is served now, and what of it is for what was asked for.
    fn compiled(&self, accepted: &Arc<Accepted>) -> (Arc<L7Snapshot>, Rc<Compiled>) {
        let worker = &self.worker;
        let snapshot = worker.snapshot();
        if !Arc::ptr_eq(accepted, &self.accepted) {
            let compiled = worker
                .tables
                .compiled(&snapshot, &accepted.frontend, &worker.gateway);
            return (snapshot, compiled);
        }
        let mut known = self.compiled.borrow_mut();
        if let Some((known, compiled)) = &*known
            && Arc::ptr_eq(known, &snapshot)
        {
            return (snapshot, compiled.clone());
        }
        let frontend = &self.accepted.frontend;
        let compiled = worker.tables.compiled(&snapshot, frontend, &worker.gateway);
        *known = Some((snapshot.clone(), compiled.clone()));
        (snapshot, compiled)
    }
}
