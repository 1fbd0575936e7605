//! One request being served: what filters see and change.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use hyper::upgrade::OnUpgrade;
use mesh_extensions::headers::HeaderChange;
use mesh_model::l7::request::{Claims, Request};
use mesh_state::l7::L7Snapshot;

use crate::body::Replay;
use crate::connection::Accepted;
use crate::filters::applied::Applied;
use crate::filters::authorization::client;
use crate::filters::grpc_web::Web;
use crate::filters::identity::FORWARDED_PROTO;
use crate::filters::processing::Processor;
use crate::frontend::Frontend;
use crate::proxy::http::story::Story;
use crate::reply::LocalReply;
use crate::route::{Compiled, Routed, Rule};
use crate::worker::Worker;

/// A request on its way through the filters.
pub struct Exchange {
    /// The head, as it goes on: normalised, and changed by filters.
    pub head: Parts,
    /// The authority that is asked for: `:authority`, or Host; the head carries neither.
    pub authority: HeaderValue,
    /// The same as HTTP/2 gave it; it counts where it still is the same.
    pub named: Option<http::uri::Authority>,
    /// Who asks, and for what.
    pub accepted: Arc<Accepted>,
    /// The client's address, as applications are told it.
    pub peer: HeaderValue,
    /// What was served when the request began: it is judged by nothing newer.
    pub snapshot: Arc<L7Snapshot>,
    /// What of it is for what is asked for: its routes.
    pub compiled: Rc<Compiled>,
    /// How many changes there had been then ([`crate::standing::Standings::changes`]).
    pub heard: u64,
    /// The policies that apply; once a rule takes it, with those that are attached there.
    pub applied: Rc<Applied>,
    /// What its token says, once that was verified.
    pub claims: Claims,
    /// Where it goes; known once tokens were looked at, since routes may match what they say.
    pub routed: Option<Routed>,
    /// Its body; absent where it has none.
    pub body: Option<Replay>,
    /// Who is sent its parts and changes them.
    pub processing: Option<Box<Processor>>,
    /// What its answer gets beside.
    pub annotations: Option<HeaderMap>,
    /// Further changes of its answer, by those who were asked about it.
    pub beside: Vec<HeaderChange>,
    /// Whether it is one of gRPC.
    pub grpc: bool,
    /// How a client of gRPC-web writes and reads.
    pub web: Option<Web>,
    /// The protocol to change to, where it asks for one.
    pub upgrade: Option<HeaderValue>,
    /// The stream that changes it, over HTTP/2.
    pub tunnel: Option<OnUpgrade>,
    /// Whether the client waits to be told to send the body.
    pub expects: bool,
    /// What is told about it.
    pub story: Story,
    /// What its worker shares.
    pub worker: Rc<Worker>,
}

impl Exchange {
    /// The rule that takes it.
    #[must_use]
    pub fn rule(&self) -> Option<&Rule> {
        self.routed.as_ref().and_then(Routed::rule)
    }

    /// The filters of the rule that takes it.
    #[must_use]
    pub fn rule_filters(&self) -> &[mesh_model::l7::filter::Filter] {
        let rule = self.rule().and_then(|rule| rule.http());
        rule.map_or(&[], |rule| &rule.filters)
    }

    /// Chooses where it goes, by what it is now.
    pub fn choose(&mut self) {
        let routed = self.worker.tables.route(
            &self.compiled,
            &self.accepted.frontend,
            &self.view(),
            &client(&self.accepted, None),
            &self.claims,
        );
        self.routed = Some(routed);
        if let Some(rule) = self.rule() {
            self.applied = self.compiled.applied_to(Some(rule)).clone();
        }
    }

    /// It is judged by what is served now, as of its last judgement: what was served before is not held.
    pub(crate) fn renew(&mut self, rule: Option<&Rule>) {
        let frontend = &self.accepted.frontend;
        self.snapshot = self.worker.snapshot();
        self.compiled = self
            .worker
            .tables
            .compiled(&self.snapshot, frontend, &self.worker.gateway);
        self.applied = self.compiled.applied_to(rule).clone();
    }

    /// The request as decisions see it.
    #[must_use]
    pub fn view(&self) -> Request<'_> {
        view(&self.head, &self.authority, &self.accepted)
    }
}

/// A head as decisions see it.
pub(crate) fn view<'a>(head: &'a Parts, authority: &'a HeaderValue, accepted: &Accepted) -> Request<'a> {
    Request {
        method: &head.method,
        scheme: scheme(&head.headers, &accepted.frontend, accepted.scheme()),
        // It was checked to be ASCII.
        authority: authority.to_str().unwrap_or_default(),
        path: head.uri.path(),
        query: head.uri.query(),
        headers: &head.headers,
        metadata: head.extensions.get(),
    }
}

/// `http` or `https`: inside a mesh what the proxy says that the client spoke to, since tunnels carry both alike
/// (Envoy, "x-forwarded-proto"); at a gateway's own listeners what was spoken there.
pub(crate) fn scheme(headers: &HeaderMap, frontend: &Frontend, spoken: &'static str) -> &'static str {
    if matches!(frontend, Frontend::Listener { .. }) {
        return spoken;
    }
    match headers.get(FORWARDED_PROTO) {
        Some(told) if told.as_bytes().eq_ignore_ascii_case(b"https") => "https",
        Some(told) if told.as_bytes().eq_ignore_ascii_case(b"http") => "http",
        _ => spoken,
    }
}

/// Whether a request goes on.
pub type Next = ControlFlow<LocalReply>;

/// One step on the way of a request; [`crate::filters`] has the order.
///
/// A filter that has nothing to do for a request returns at once. It may wait, change the head, and answer instead of the
/// endpoint. What it learns for logs and metrics it notes in [`Exchange::story`].
pub trait Filter {
    /// What it does to requests.
    fn request(&self, exchange: &mut Exchange) -> impl Future<Output = Next>;

    /// What it does to answers, also to those from here; in the opposite order.
    fn response(&self, _exchange: &mut Exchange, _answer: &mut http::response::Parts) {}
}
