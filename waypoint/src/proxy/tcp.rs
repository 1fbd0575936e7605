//! Bytes: to an endpoint and back, until both directions are over.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::http::story::Story;
use bytes::BytesMut;
use mesh_balance::{Outcome, ring};
use mesh_model::AppProtocol;
use mesh_model::l7::traffic::HashKey;
use mesh_net::relay::{AbortReason, Side};
use mesh_net::{ChunkWrite, RelayCounters, RelayEnd, StreamError};
use mesh_telemetry::metrics::ByteCounts;
use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use crate::connection::Accepted;
use crate::detect::{HEADER_PATIENCE, Spoken, detect_within};
use crate::filters::authorization::{Denied, client, connection_denied, connection_denied_noting, local};
use crate::filters::{external_auth, not_enforced, rate_limit};
use crate::flags::ResponseFlag;
use crate::frontend::listeners::Meant;
use crate::route::{Forward, Routed};
use crate::stream::Stream;
use crate::stream::counted::relay;
use crate::telemetry::Report;
use crate::upstream::call::Busy;
use crate::upstream::connect::{Connected, connect_for};
use crate::upstream::registry::Slot;
use crate::upstream::{Ask, Endpoint};
use crate::worker::Worker;

/// Serves a connection whose bytes nobody here reads. `server_name`: it begins with a TLS handshake, in which this name
/// may stand.
pub(super) async fn serve(
    worker: Rc<Worker>,
    client: Stream,
    mut accepted: Accepted,
    tls: Option<Option<String>>,
) {
    if let Some(Some(name)) = &tls {
        accepted.client.server_name = Some(name.as_str().into());
        if let Meant::Sibling(frontend) = worker.meant(&accepted.frontend, name) {
            accepted.frontend = frontend;
        }
    }
    let accepted = Arc::new(accepted);
    let mut story = begin(&worker, &accepted);
    // What HTTP would say is not known here: policies that ask for it are as strict as they can be.
    if let Some(denied) = connection_denied_noting(&worker, &accepted, None, &mut story) {
        reset(client);
        return refused(story, denied);
    }
    // Boxed: establishing is over soon, and what it needs is not to be held while bytes flow.
    let name = tls.as_ref().map(Option::as_deref);
    match Box::pin(reach(&worker, &accepted, name, &mut story)).await {
        Some(reached) => carry(&worker, client, reached, &accepted, story).await,
        None => {
            reset(client);
            story.complete();
        }
    }
}

/// Serves a connection on which nobody has said anything: whoever speaks first decides what it is.
///
/// A server may be waited for, so that one is dialled, if the client may connect to it at all. If that cannot be said
/// without a request, or the server is silent, too, then the client's first bytes decide as ever.
pub(super) async fn serve_silent(
    worker: Rc<Worker>,
    mut client: Stream,
    accepted: Accepted,
) -> Option<Silent> {
    let accepted = Arc::new(accepted);
    let mut story = begin(&worker, &accepted);
    let denied = connection_denied_noting(&worker, &accepted, None, &mut story).is_some();
    if denied || external_auth::wants_request(&worker, &accepted) {
        story.forget();
        return hear(client, DENIED_PATIENCE, &accepted).await;
    }
    let Some(mut reached) = Box::pin(reach(&worker, &accepted, None, &mut story)).await else {
        reset(client);
        story.complete();
        return None;
    };
    let (mut from_server, mut from_client) = (BytesMut::new(), BytesMut::new());
    let server_first = tokio::select! {
        biased;
        read = reached.stream.read_buf(&mut from_server) => read.is_ok(),
        read = client.read_buf(&mut from_client) => read.is_err() || from_client.is_empty(),
    };
    reached.stream.unread(from_server.freeze());
    client.unread(from_client.freeze());
    if server_first {
        carry(&worker, client, reached, &accepted, story).await;
        return None;
    }
    let heard = hear(client, HEADER_PATIENCE, &accepted).await?;
    if heard.spoken == Spoken::Tcp {
        carry(&worker, heard.client, reached, &accepted, story).await;
        return None;
    }
    // What was dialled is not for a request, or not for this name.
    story.forget();
    Some(heard)
}

fn begin(worker: &Worker, accepted: &Arc<Accepted>) -> Story {
    let mut story = Story::new(worker.telemetry.clone(), Report::new(accepted.clone()));
    let (snapshot, frontend) = (worker.snapshot(), &accepted.frontend);
    let compiled = worker.tables.compiled(&snapshot, frontend, &worker.gateway);
    story.planned(compiled.applied.telemetry.clone());
    story
}

/// A client that has spoken after all.
pub(super) struct Silent {
    pub(super) client: Stream,
    pub(super) accepted: Accepted,
    pub(super) spoken: Spoken,
}

async fn hear(mut client: Stream, patience: Duration, accepted: &Accepted) -> Option<Silent> {
    let spoken = match detect_within(&mut client, AppProtocol::Unknown, patience).await {
        Ok(Spoken::Silent) => Spoken::Tcp,
        Ok(spoken) => spoken,
        Err(error) => {
            tracing::debug!(peer = %accepted.client.peer, %error, "the client is gone");
            return None;
        }
    };
    Some(Silent {
        client,
        accepted: accepted.clone(),
        spoken,
    })
}

/// Nobody took it: the client may not mistake that for an empty answer.
fn reset(client: Stream) {
    client.into_chunks().abort(AbortReason::Cancelled);
}

fn refused(mut story: Story, denied: Denied) {
    denied_by(&mut story, denied);
    story.complete();
}

/// There is no answer that could be explained: what was decided is why the connection ended, as Envoy has it.
fn denied_by(story: &mut Story, denied: Denied) {
    story.policy = Some(denied.policy);
    story.details = denied.details;
    let details = story.code_details();
    story.termination = Some(details);
}

/// An endpoint, and a stream to it.
struct Reached {
    endpoint: Rc<Endpoint>,
    stream: Stream,
    slot: Slot,
}

async fn reach(
    worker: &Worker,
    accepted: &Accepted,
    tls: Option<Option<&str>>,
    story: &mut Story,
) -> Option<Reached> {
    if worker.memory.is_full() {
        story.flags.add(ResponseFlag::UpstreamOverflow);
        story.details = "overload";
        return None;
    }
    let snapshot = worker.snapshot();
    let compiled = worker
        .tables
        .compiled(&snapshot, &accepted.frontend, &worker.gateway);
    let (client, local) = (client(accepted, None), local(accepted));
    let routed = worker
        .tables
        .route_connection(&compiled, &accepted.frontend, &client, local, tls);
    if let Some(denied) = external_auth::connection_denied(worker, accepted, story).await {
        denied_by(story, denied);
        return None;
    }
    if let Some(denied) = rate_limit::connection_denied(worker, accepted, story).await {
        denied_by(story, denied);
        return None;
    }
    let forward = match routed {
        Routed::Forward(forward) => forward,
        Routed::Reply(replied) => {
            let reply = replied.reply;
            reply.flag.into_iter().for_each(|flag| story.flags.add(flag));
            story.details = reply.details;
            return None;
        }
    };
    story.route = forward.rule.as_ref().map(|rule| rule.name.clone());
    if let Some(policy) = compiled.applied_to(forward.rule.as_ref()).not_enforced.policy() {
        story.policy = Some(policy.clone());
        story.details = not_enforced::DETAILS;
        return None;
    }
    establish(worker, &forward, accepted, story).await
}

/// Bytes both ways, as long as it is allowed.
async fn carry(
    worker: &Worker,
    client: Stream,
    reached: Reached,
    accepted: &Arc<Accepted>,
    mut story: Story,
) {
    let mut standing = {
        let accepted = accepted.clone();
        let check = move |worker: &Worker| connection_denied(worker, &accepted, None);
        worker.standings.track(worker, Box::new(check))
    };
    let _counted = (Busy::new(&reached.endpoint), reached.slot);
    let counters = Arc::new(RelayCounters::default());
    let _flow = story.open(Flowing(counters.clone()));
    let limit = reached.endpoint.rules.tcp_idle();
    let oldest = reached.endpoint.rules.limits().max_connection_duration;
    let end = tokio::select! {
        biased;
        denied = standing.revoked() => Err(denied),
        () = aged(oldest) => {
            story.flags.add(ResponseFlag::DurationTimeout);
            story.details = "max_duration_timeout";
            Ok(RelayEnd::Finished { first: Side::Up })
        }
        () = idle(&counters, limit) => Ok(RelayEnd::Failed { side: Side::Up, error: StreamError::TimedOut }),
        end = relay(&worker.memory, client.into_chunks(), reached.stream.into_chunks(), &counters) => Ok(end),
    };
    story.received = counters.to_up();
    story.sent = counters.to_down();
    let end = match end {
        Ok(end) => end,
        Err(denied) => {
            story.flags.add(ResponseFlag::LocalReset);
            return refused(story, denied);
        }
    };
    if let RelayEnd::Failed { side, error } = end {
        story.flags.add(match side {
            Side::Down => ResponseFlag::DownstreamConnectionTermination,
            Side::Up => ResponseFlag::UpstreamConnectionTermination,
        });
        story.upstream_failure = Some(error.to_string());
    }
    story.complete();
}

/// What a relay has carried so far, for metrics.
struct Flowing(Arc<RelayCounters>);

impl ByteCounts for Flowing {
    fn bytes(&self) -> (u64, u64) {
        (self.0.to_up(), self.0.to_down())
    }
}

/// A stream to an endpoint; another one is tried where there is one.
async fn establish(
    worker: &Worker,
    forward: &Forward,
    accepted: &Accepted,
    story: &mut Story,
) -> Option<Reached> {
    let name = accepted.client.server_name.as_deref();
    let address = Some(accepted.client.destination);
    let upstream = &worker.upstream;
    let cluster = upstream
        .destination_from(&accepted.frontend, &forward.cluster, name, address)
        .await;
    story.upstream_cluster = Some(forward.cluster.of_bytes());
    let most = cluster.rules().and_then(|rules| rules.limits().max_connections);
    let Some(slot) = Slot::within(&cluster.common, most) else {
        story.flags.add(ResponseFlag::UpstreamOverflow);
        story.details = "upstream_overflow";
        return None;
    };
    let hash = cluster.rules().and_then(|rules| match rules.hash_key()? {
        HashKey::SourceIp => Some(source_hash(accepted)),
        _ => None,
    });
    let mut tried = Vec::new();
    loop {
        let ask = Ask {
            tried: &tried,
            hash,
            stays: false,
            session: None,
            anywhere: true,
        };
        let Some(endpoint) = cluster.pick(&ask) else {
            story.nobody_at(&cluster);
            story.flags.add(ResponseFlag::NoHealthyUpstream);
            story.details = "no_healthy_upstream";
            return None;
        };
        story.attempts += 1;
        story.upstream = Some(endpoint.address);
        story.upstream_workload.clone_from(&endpoint.workload);
        let client = accepted.client.on_behalf();
        match connect_for(worker.upstream.shared(), &endpoint, None, Some(&client)).await {
            Ok(Connected { stream, local }) => {
                cluster.ended(&endpoint, Outcome::Connected, None);
                story.upstream_local = local;
                return Some(Reached {
                    endpoint,
                    stream,
                    slot,
                });
            }
            Err(error) => {
                cluster.ended(&endpoint, Outcome::Failed, None);
                story.upstream_failure = Some(error.to_string());
                tried.push(endpoint);
                if tried.len() >= cluster.endpoints().len().min(ATTEMPTS) {
                    story.flags.add(ResponseFlag::UpstreamConnectionFailure);
                    story.details = "upstream_connection_failure";
                    return None;
                }
            }
        }
    }
}

/// Equal clients to equal endpoints.
fn source_hash(accepted: &Accepted) -> u64 {
    match accepted.client.peer.addr().ip().to_canonical() {
        IpAddr::V4(ip) => ring::hash(&ip.octets()),
        IpAddr::V6(ip) => ring::hash(&ip.octets()),
    }
}

/// Ends when a connection is as old as it may become.
async fn aged(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Ends when no byte has passed for so long, or for a quarter longer: nobody tells of bytes that pass.
async fn idle(counters: &RelayCounters, limit: Duration) {
    let (mut passed, mut quiet) = ((counters.to_up(), counters.to_down()), 0);
    while quiet < LOOKS {
        sleep(limit / LOOKS).await;
        let now = (counters.to_up(), counters.to_down());
        quiet = if now == passed { quiet + 1 } else { 0 };
        passed = now;
    }
}

/// How often it is looked in the time for which a connection may be idle.
const LOOKS: u32 = 4;

/// At different endpoints.
const ATTEMPTS: usize = 3;
/// How long a client may be silent that may not connect, but perhaps may send a request.
const DENIED_PATIENCE: Duration = Duration::from_secs(1);
