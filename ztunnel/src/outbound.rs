//! Connections of the pods, captured on port 15001: accept → plan → connect → relay → record.
//!
//! # Layout
//! - this file: the story of one connection.
//! - [`plan`]: where does it go? Pure.
//! - [`attempts`]: what its attempts have taught it, and whether another one follows. Pure.
//! - [`connect`]: TCP or a tunnel to there.

pub mod attempts;
pub mod connect;
pub mod plan;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use mesh_dataplane::record::{
    ConnectionRecord, End, Failure, Opening, Outcome, Reporter, ResponseFlag, Security, ServiceName,
    refused_early,
};
use mesh_model::Workload;
use mesh_net::relay::{RelayEnd, Side};
use mesh_net::{TcpChunks, relay};
use mesh_tls::CertSource;
use mesh_types::{OrigDst, Peer};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::connections::Protocol;
use crate::worker::PodProxy;
use attempts::Attempts;
use connect::{Upstream, connect};
use plan::{Answer, Need, Plan, Refused, Via, plan};

/// A captured connection.
struct Accepted {
    /// Dropped without a relay, it is reset: the client must see that nobody took its connection.
    stream: TcpChunks,
    peer: Peer,
    to: OrigDst,
    start: Instant,
}

/// Serves one captured connection to its end.
pub async fn serve<C: CertSource>(proxy: Rc<PodProxy<C>>, stream: TcpStream, peer: Peer) {
    let seed = &proxy.worker.seed;
    let _socket = seed.traffic.socket(Reporter::Source);
    let to = match (seed.settings.original_destination)(&stream) {
        Ok(to) => to,
        Err(error) => {
            tracing::debug!(%peer, %error, "connection is gone before its destination was known");
            return;
        }
    };
    let accepted = Accepted {
        stream: TcpChunks::new(stream),
        peer,
        to,
        start: Instant::now(),
    };
    match Box::pin(proxy.pod.wait_for_workload(&seed.state, peer.ip())).await {
        Ok(client) => carry(&proxy, accepted, &client).await,
        Err(error) => refused_early(
            &seed.traffic,
            Reporter::Source,
            peer,
            to.addr(),
            "unknown_source",
            &format_args!("unknown source: {error}"),
        ),
    }
}

/// Plans and connects, more than once where a service has several endpoints and one cannot be reached, or where the plan
/// was overtaken: nothing of the connection was sent anywhere yet. Each attempt is a record of its own, since each is a
/// connection to somebody.
async fn carry<C: CertSource>(proxy: &PodProxy<C>, accepted: Accepted, client: &Arc<Workload>) {
    let seed = &proxy.worker.seed;
    let mut attempts = Box::new(Attempts::default());
    loop {
        let plan = match Box::pin(find_plan(proxy, &mut attempts, client, accepted.to)).await {
            Ok(plan) => plan,
            Err(refused) => {
                let (peer, to) = (accepted.peer, accepted.to.addr());
                refused_early(
                    &seed.traffic,
                    Reporter::Source,
                    peer,
                    to,
                    refused.reason(),
                    &refused,
                );
                return;
            }
        };
        let record = open_record(proxy, &plan, client, &accepted);
        let listed = proxy
            .connections
            .outbound(accepted.peer, accepted.to, plan.next(), protocol(&plan));
        // Boxed, as below: connecting is over soon, and what it needs is not to be held while bytes flow.
        match Box::pin(connect(proxy, &plan, client, accepted.peer)).await {
            Ok(upstream) if !seed.state.query(|view| plan.still_holds(view, client)) => {
                drop(upstream);
                record.finish(&Outcome::Failed(Failure {
                    flag: ResponseFlag::ConnectFailure,
                    policy: None,
                    error: Cow::Borrowed("who is there has changed meanwhile; connecting anew"),
                }));
            }
            Ok(upstream) => {
                drop(attempts);
                let end = relay_to(accepted.stream, upstream, &record).await;
                record.finish(&outcome(end));
                return;
            }
            Err(failure) => {
                let again = attempts.again_after(&plan, &failure)
                    || seed.state.query(|view| plan.is_overtaken(view, client));
                record.finish(&Outcome::Failed(Failure {
                    flag: failure.flag,
                    policy: None,
                    error: match plan.target() {
                        Some(target) => target.via.explained(failure.error),
                        None => failure.error,
                    },
                }));
                drop(listed);
                if !again {
                    return;
                }
            }
        }
    }
}

/// Asks for a plan until there is one, finding out what it needs.
async fn find_plan<C: CertSource>(
    proxy: &PodProxy<C>,
    attempts: &mut Attempts,
    client: &Workload,
    to: OrigDst,
) -> Result<Plan, Refused> {
    let seed = &proxy.worker.seed;
    loop {
        let mut random = attempts.random();
        let answer = seed
            .state
            .query(|view| plan(view, &attempts.question(client, to), &mut random));
        match answer {
            Ok(Answer::Plan(plan)) => return Ok(plan),
            Ok(Answer::Need(Need::Dns(name))) => {
                let resolved = seed.dns.resolve(client, &name).await;
                attempts.learn(name, resolved);
            }
            Err(refused) if attempts.again_after_refusal(&refused) => {}
            Err(refused) => return Err(refused),
        }
    }
}

fn open_record<C: CertSource>(
    proxy: &PodProxy<C>,
    plan: &Plan,
    client: &Workload,
    accepted: &Accepted,
) -> ConnectionRecord {
    let record = ConnectionRecord::open(&proxy.worker.seed.traffic, opening(plan, client, accepted));
    match plan.target().map(|t| &t.via) {
        Some(Via::Past { waypoint, why }) => record.past_waypoint(waypoint, why),
        _ => record,
    }
}

async fn relay_to(down: TcpChunks, upstream: Upstream, record: &ConnectionRecord) -> RelayEnd {
    match upstream {
        Upstream::Tcp(up) => relay(down, up, record.counters()).await,
        Upstream::Tunnel(up) => relay(down, *up, record.counters()).await,
    }
}

fn opening(plan: &Plan, client: &Workload, accepted: &Accepted) -> Opening {
    let target = plan.target();
    let (security, principal, authority) = match plan {
        Plan::Tunnel { authority, .. } => (
            Security::MutualTls,
            Some(client.identity.clone()),
            Some(authority.clone()),
        ),
        Plan::Plain(_) | Plan::Passthrough(_) => (Security::Unknown, None, None),
    };
    let workload = target.and_then(|t| t.workload.as_deref());
    let destination = workload.map_or_else(End::default, |w| {
        End::of_workload(w).with_principal(Some(w.identity.clone()))
    });
    Opening {
        reporter: Reporter::Source,
        security,
        src: accepted.peer,
        dst: plan.next().addr(),
        hbone_target: authority,
        source: End::of_workload(client).with_principal(principal),
        destination,
        service: target.and_then(|t| t.service.as_deref()).map(ServiceName::from),
        start: accepted.start,
    }
}

fn protocol(plan: &Plan) -> Protocol {
    match plan {
        Plan::Tunnel { .. } => Protocol::Hbone,
        Plan::Plain(_) | Plan::Passthrough(_) => Protocol::Tcp,
    }
}

/// What is recorded of a relay's end; `down` is the client's side at every proxy.
pub(crate) fn outcome(end: RelayEnd) -> Outcome {
    match end {
        RelayEnd::Finished { .. } => Outcome::Complete,
        RelayEnd::Failed { side, error } => {
            let who = match side {
                Side::Down => "client side",
                Side::Up => "server side",
            };
            Outcome::Broken {
                error: Cow::Owned(format!("{who}: {error}")),
            }
        }
    }
}
