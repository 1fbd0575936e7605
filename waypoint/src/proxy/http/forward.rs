//! A request to an endpoint: tries, timeouts, retries, and the answer.

mod message;

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Response, StatusCode, Version, header};
use hyper::body::Body as _;
use mesh_balance::{self as balance, Permit};
use mesh_model::l7::resilience::Retry;
use tokio::time::{Instant, sleep, timeout};

use super::clock::Clock;
use super::failed::Failed;
use super::retry::{self, Outcome};
use super::sticky::Sticky;
use super::story::Story;
use super::tail::{self, Held, Lasting, Tail};
use super::{Connection, Upgraded, head, local_through, mirror, tunnels};
use crate::body::{self, Body, Replay};
use crate::exchange::{Exchange, view};
use crate::filters;
use crate::filters::authorization::{exchange_denied, request_denied};
use crate::filters::edits::{self, Outgoing};
use crate::filters::grpc_web;
use crate::flags::ResponseFlag;
use crate::reply::{LocalReply, is_grpc};
use crate::route::{Forward, Rule};
use crate::standing::{Denied, Hearing, Standing};
use crate::upstream::call::Busy;
use crate::upstream::http::{Answered, HttpVersion, Lost, TryError};
use crate::upstream::{Ask, Cluster, Endpoint};
use crate::worker::Worker;
pub(super) use message::{request, version};

/// A request and where it goes.
struct Forwarding {
    cluster: Rc<Cluster>,
    retry: Rc<Retry>,
    per_try: Option<Duration>,
    version: HttpVersion,
    outgoing: Outgoing,
    rule: Option<Rule>,
    body: Option<Replay>,
    /// Where the client waits to be told to send it.
    permit: Option<body::Permit>,
    /// Endpoints that were tried in vain.
    tried: Vec<Rc<Endpoint>>,
    /// When the client gets its answer at the latest.
    clock: Clock,
    counted: Vec<Held>,
    sticky: Sticky,
}

/// Forwards a request; gives the answer of an endpoint, or one from here.
pub(super) async fn forward(
    connection: &Rc<Connection>,
    mut exchange: Box<Exchange>,
    forward: Forward,
) -> Response<Body> {
    let host = exchange.authority.to_str().ok();
    let address = Some(exchange.accepted.client.destination);
    let upstream = &exchange.worker.upstream;
    let frontend = &exchange.accepted.frontend;
    let cluster = upstream
        .destination_from(frontend, &forward.cluster, host, address)
        .await;
    exchange.story.upstream_cluster = Some(cluster.name().clone());
    exchange.story.route = Some(
        forward
            .rule
            .as_ref()
            .map_or_else(|| "default".into(), |rule| rule.name.clone()),
    );
    if !cluster.exists() {
        return local_through(exchange, LocalReply::invalid_route());
    }
    let Some(permit) = cluster.begin() else {
        return local_through(exchange, LocalReply::overflow());
    };
    let sticky = Sticky::of(&exchange, forward.rule.as_ref(), &cluster);
    let body = exchange.body.take();
    let clock = Clock::new(
        &forward.timeouts,
        exchange.grpc,
        &exchange.head.headers,
        body.as_ref(),
    );
    let mut forwarding = Forwarding {
        version: version(&exchange, &cluster),
        outgoing: edits::outgoing(&exchange, forward.rule.as_ref()),
        rule: forward.rule.clone(),
        per_try: forward.retry.per_try_timeout.or(forward.timeouts.per_try),
        retry: forward.retry.clone(),
        counted: held(permit),
        sticky,
        cluster,
        permit: (exchange.expects && body.is_some()).then(body::Permit::default),
        body: body.clone(),
        tried: Vec::new(),
        clock: clock.clone(),
    };
    mirror::send(&exchange, &forwarding.outgoing, &forward, body.as_ref());
    let mut hearing = exchange.worker.standings.hear(exchange.heard);
    let result = tokio::select! {
        biased;
        result = forwarding.tries(&mut exchange, &mut hearing) => result,
        () = clock.over() => Err(LocalReply::timed_out()),
    };
    let result = result.map_err(|reply| filters::processing::verdict(&mut exchange).unwrap_or(reply));
    finish(connection, exchange, forwarding, result, hearing).await
}

impl Forwarding {
    /// Tries until there is an answer that is not to be tried again, or nothing is left to try.
    async fn tries(
        &mut self,
        exchange: &mut Exchange,
        hearing: &mut Hearing,
    ) -> Result<Answered, LocalReply> {
        let (mut retries, mut free, mut alone) = (0, 0, exchange.upgrade.is_some());
        let mut retrying: Option<Permit> = None;
        loop {
            let Some(endpoint) = self.pick() else {
                exchange.story.nobody_at(&self.cluster);
                return Err(LocalReply::no_healthy_upstream());
            };
            exchange.story.asking(&endpoint);
            let busy = Busy::new(&endpoint);
            let tried = self.attempt(exchange, &endpoint, alone, hearing).await;
            let (error, outcome) = match tried {
                Ok(answered) => {
                    let (status, headers) = (answered.response.status(), answered.response.headers());
                    let outcome = Outcome::Answered(status, headers);
                    let pause = match self.may_retry(exchange, retries, outcome) {
                        true => self.pause(&endpoint, outcome, retries + 1),
                        false => None,
                    };
                    let permit = self.retry_permit(pause.is_some(), exchange);
                    let (Some(permit), Some(pause)) = (permit, pause) else {
                        self.counted.push(Held::Busy(busy));
                        self.counted.extend(retrying.map(Held::Permit));
                        self.sticky.answered(&endpoint);
                        return Ok(answered);
                    };
                    drop((answered, busy));
                    retries += 1;
                    retrying = Some(permit);
                    self.next_try(endpoint, pause).await;
                    continue;
                }
                Err(Failed::Try(TryError::NotSent(_))) if free < FREE_TRIES => {
                    free += 1;
                    continue;
                }
                // The others of the connection had the same luck, and share the next one.
                Err(Failed::Try(TryError::NotBegun(_))) if free < FREE_TRIES && self.is_kept() => {
                    free += 1;
                    continue;
                }
                // Whoever keeps connections meets such as are just being closed: once, and then not on a kept one.
                Err(Failed::Try(TryError::Stale(_)))
                    if free < FREE_TRIES && retry::idempotent(&exchange.head.method) && self.is_kept() =>
                {
                    free += 1;
                    alone |= self.version == HttpVersion::Http1;
                    continue;
                }
                Err(failed) => {
                    if let Failed::Denied(denied) = &failed {
                        exchange.story.policy = Some(denied.policy.clone());
                    }
                    failed.meaning(self.body.as_ref())
                }
            };
            let wanted = outcome.is_some_and(|outcome| self.may_retry(exchange, retries, outcome));
            if let Some(permit) = self.retry_permit(wanted, exchange) {
                drop(busy);
                retries += 1;
                retrying = Some(permit);
                let pause = retry::pause(&self.retry, retries, fastrand::f64());
                self.next_try(endpoint, pause).await;
                continue;
            }
            exchange.story.upstream_failure = error.1;
            return Err(error.0);
        }
    }

    fn pick(&self) -> Option<Rc<Endpoint>> {
        self.pick_beside(&self.tried)
    }

    fn pick_beside(&self, tried: &[Rc<Endpoint>]) -> Option<Rc<Endpoint>> {
        self.cluster.pick(&Ask {
            tried: match self.retry.avoid_previous {
                true => tried,
                false => &[],
            },
            hash: self.sticky.hash,
            stays: self.sticky.stays,
            session: self.sticky.session(),
            anywhere: self.retry.remote_localities,
        })
    }

    async fn attempt(
        &self,
        exchange: &Exchange,
        endpoint: &Endpoint,
        alone: bool,
        hearing: &mut Hearing,
    ) -> Result<Answered, Failed> {
        // Only HTTP/1 has a way to ask here.
        let awaited = self.permit.as_ref();
        let awaited = awaited.filter(|permit| self.version == HttpVersion::Http1 && !permit.is_given());
        let body = match (&self.body, awaited) {
            (None, _) => Body::empty(),
            (Some(body), None) => body.body().into(),
            (Some(body), Some(permit)) => Body::awaiting(permit, body.body()),
        };
        let mut request = request(exchange, &self.outgoing, self.version, body);
        if let Some(permit) = awaited.cloned() {
            let expected = HeaderValue::from_static("100-continue");
            request.headers_mut().insert(header::EXPECT, expected);
            hyper::ext::on_informational(&mut request, move |answer| {
                if answer.status() == StatusCode::CONTINUE {
                    permit.give();
                }
            });
        }
        if endpoint.rules.proxy_protocol().is_some() {
            request
                .extensions_mut()
                .insert(exchange.accepted.client.on_behalf());
        }
        let shared = exchange.worker.upstream.shared();
        let began = endpoint.rules.measures().then(Instant::now);
        let mut send = pin!(endpoint.http.send(shared, endpoint, self.version, request, alone));
        let limited = async {
            match self.per_try.filter(|limit| !limit.is_zero()) {
                None => send.as_mut().await.map_err(Failed::Try),
                Some(limit) => match timeout(limit, send.as_mut()).await {
                    Ok(answered) => answered.map_err(Failed::Try),
                    Err(_) => Err(Failed::TimedOut),
                },
            }
        };
        let answered = tokio::select! {
            biased;
            denied = revoked(exchange, self.rule.as_ref(), hearing) => Err(Failed::Denied(denied)),
            answered = limited => answered,
        };
        if let Some(outcome) = outcome_of(&answered) {
            self.cluster
                .ended(endpoint, outcome, began.map(|began| began.elapsed()));
        }
        let answered = answered?;
        let (head, body) = answered.response.into_parts();
        if self.version == HttpVersion::Http1 && !head::is_unambiguous(&head) {
            return Err(Failed::Ambiguous);
        }
        Ok(Answered {
            response: Response::from_parts(head, body),
            local: answered.local,
            lease: answered.lease,
        })
    }

    fn is_kept(&self) -> bool {
        self.body.as_ref().is_none_or(Replay::is_kept)
    }

    /// Whether it is to be tried again; that it would have been, had it not been so often, is told.
    fn may_retry(&self, exchange: &mut Exchange, retries: u32, outcome: Outcome<'_>) -> bool {
        let wanted = exchange.upgrade.is_none() && self.is_kept() && retry::wanted(&self.retry, outcome);
        let exhausted = retries >= self.retry.attempts;
        if wanted && exhausted && self.retry.attempts > 0 {
            exchange.story.flags.add(ResponseFlag::UpstreamRetryLimitExceeded);
        }
        wanted && !exhausted
    }

    /// One more retry, if it is wanted and there are not too many.
    fn retry_permit(&self, wanted: bool, exchange: &mut Exchange) -> Option<Permit> {
        if !wanted {
            return None;
        }
        let permit = self.cluster.retry();
        if permit.is_none() {
            exchange.story.flags.add(ResponseFlag::UpstreamOverflow);
        }
        permit
    }

    /// How long before the `n`th further try. Nothing where there is to be none: whoever is asked next wants to be left
    /// alone for longer than the client waits, or than the rule allows.
    fn pause(&self, endpoint: &Rc<Endpoint>, outcome: Outcome<'_>, n: u32) -> Option<Duration> {
        let random = fastrand::f64();
        let told = retry::told(&self.retry, outcome, SystemTime::now());
        // A limit is the service's, whichever endpoint says so; out of order is one endpoint.
        let told = told.filter(|_| retry::is_limited(outcome) || !self.is_other_left(endpoint));
        let pause = match told {
            None => retry::pause(&self.retry, n, random),
            Some(told) => retry::heeded(&self.retry, told, random)?,
        };
        let left = self.clock.left();
        (told.is_none() || left.is_none_or(|left| pause < left)).then_some(pause)
    }

    /// Whether somebody would be asked next who was not asked yet.
    fn is_other_left(&self, failed: &Rc<Endpoint>) -> bool {
        let tried: Vec<_> = self.tried.iter().chain([failed]).cloned().collect();
        let is = |other: &Rc<Endpoint>, one: &Rc<Endpoint>| Arc::ptr_eq(&other.host, &one.host);
        self.pick_beside(&tried)
            .is_some_and(|other| !tried.iter().any(|one| is(&other, one)))
    }

    async fn next_try(&mut self, failed: Rc<Endpoint>, pause: Duration) {
        self.tried.push(failed);
        sleep(pause).await;
    }
}

/// With room for what comes with an endpoint.
fn held(permit: Permit) -> Vec<Held> {
    let mut held = Vec::with_capacity(3);
    held.push(Held::Permit(permit));
    held
}

/// What a try says about its endpoint; nothing where it was never asked, or where the client broke off.
fn outcome_of(tried: &Result<Answered, Failed>) -> Option<balance::Outcome> {
    match tried {
        Ok(answered) => {
            let status = answered.response.status().as_u16();
            let grpc = tail::grpc_status(answered.response.headers());
            Some(match grpc.filter(|_| status == 200) {
                Some(grpc) => balance::Outcome::AnsweredGrpc(grpc),
                None => balance::Outcome::Answered(status),
            })
        }
        Err(Failed::Try(
            TryError::Overflow | TryError::NotSent(_) | TryError::NotBegun(_) | TryError::Stale(_),
        )) => None,
        Err(Failed::Try(TryError::Lost(Lost::Body, _)) | Failed::Denied(_)) => None,
        Err(Failed::Try(_) | Failed::TimedOut | Failed::Ambiguous) => Some(balance::Outcome::Failed),
    }
}

/// The answer to the client: its head now, its body as it comes.
async fn finish(
    connection: &Rc<Connection>,
    mut exchange: Box<Exchange>,
    mut forwarding: Forwarding,
    result: Result<Answered, LocalReply>,
    hearing: Hearing,
) -> Response<Body> {
    let answered = match result {
        Ok(answered) => answered,
        Err(reply) => return local_through(exchange, reply),
    };
    let Answered {
        response,
        local,
        lease,
    } = answered;
    exchange.story.upstream_local = local;
    let (mut head, body) = response.into_parts();
    exchange.story.answered_with(head.status);
    exchange.story.details = "via_upstream";
    exchange.story.grpc_status = tail::grpc_status(&head.headers);
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let Some(endpoint) = (match exchange.upgrade {
            Some(_) => lease.upgraded().await,
            None => None,
        }) else {
            let reply = LocalReply::new(StatusCode::BAD_GATEWAY, "unexpected_upgrade", "")
                .flagged(ResponseFlag::UpstreamProtocolError);
            return local_through(exchange, reply);
        };
        let tunnel = exchange.tunnel.take();
        let (standing, story) = stand(exchange, forwarding.rule.clone());
        let upgraded = Upgraded {
            endpoint,
            standing,
            story,
        };
        if let Some(tunnel) = tunnel {
            return tunnels::changed(&connection.worker, tunnel, head, upgraded);
        }
        *connection.upgraded.borrow_mut() = Some(upgraded);
        return Response::from_parts(head, Body::empty());
    }
    if exchange.web.is_some() && !is_grpc(&head.headers) {
        let reply = LocalReply::new(head.status, "no_grpc_answer", "the server does not speak gRPC");
        return local_through(exchange, reply);
    }
    let web = exchange.web.as_ref().map(|web| web.answer);
    head::strip_hop(&mut head.headers);
    head.headers.remove(header::TE);
    if head.status == StatusCode::NO_CONTENT {
        // RFC 9110, 8.6: some wait for so many bytes.
        head.headers.remove(header::CONTENT_LENGTH);
    }
    head.version = Version::HTTP_11;
    let body = match filters::processing::answer(&mut exchange, &mut head, body.into()).await {
        Ok(body) => body,
        Err(reply) => return local_through(exchange, *reply),
    };
    forwarding.sticky.tell(&mut head.headers);
    edits::incoming(forwarding.rule.as_ref(), &mut head.headers);
    filters::response(&mut exchange, &mut head);
    exchange.story.answering(&head, &body.size_hint());
    let (lasting, story) = lasting(connection, exchange, forwarding.rule, hearing, &body);
    let tail = Tail {
        story: Some(story),
        lasting,
        lease: Some(lease),
        deadline: forwarding.clock.deadline(),
        counted: forwarding.counted,
        unsent: Some((connection.unsent.clone(), 0)),
    };
    let body = grpc_web::written(body.watched(tail), web, &head.headers);
    Response::from_parts(head, body)
}

/// The request must stay allowed while its answer, or what it changed to, lasts.
fn stand(exchange: Box<Exchange>, rule: Option<Rule>) -> (Standing, Story) {
    let Exchange {
        head,
        authority,
        claims,
        accepted,
        worker,
        story,
        ..
    } = *exchange;
    let check = move |worker: &Worker| {
        let request = view(&head, &authority, &accepted);
        request_denied(worker, &request, &claims, &accepted, rule.as_ref())
    };
    (worker.standings.track(&worker, Box::new(check)), story)
}

/// The same for an answer's body: what is short costs nothing.
fn lasting(
    connection: &Connection,
    mut exchange: Box<Exchange>,
    rule: Option<Rule>,
    hearing: Hearing,
    body: &Body,
) -> (Option<Lasting>, Story) {
    *connection.lasting.borrow_mut() = None;
    if body.is_end_stream() {
        return (None, exchange.story);
    }
    if body.size_hint().exact().is_some_and(|length| length <= SHORT) {
        let story = std::mem::replace(&mut exchange.story, Story::none());
        exchange.processing = None;
        let short = Lasting::Short {
            exchange,
            rule,
            hearing,
        };
        return (Some(short), story);
    }
    let one_at_a_time = exchange.head.version != Version::HTTP_2;
    let (standing, story) = stand(exchange, rule);
    if one_at_a_time {
        *connection.lasting.borrow_mut() = Some(standing.watch());
    }
    (Some(Lasting::Long(standing)), story)
}

/// What denies the request, once something does.
async fn revoked(exchange: &Exchange, rule: Option<&Rule>, hearing: &mut Hearing) -> Denied {
    loop {
        hearing.changed().await;
        if let Some(denied) = exchange_denied(exchange, rule) {
            return denied;
        }
    }
}

/// Of an answer: what is taken at once, or held for the client until it is.
const SHORT: u64 = 64 * 1024;
/// Tries that do not count, because nobody can have seen the request.
const FREE_TRIES: u32 = 3;
