//! May this request pass? Who asks was proved by the tunnel, what is asked for was normalised before.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::ControlFlow;

use http::HeaderMap;
use mesh_model::l7::attach::Effective;
use mesh_model::l7::authorization::{Decision, DenyReason, DryRun, Hit, Verdict};
use mesh_model::l7::request::{Claims, Client, Local, Request};
use mesh_types::Strng;

use super::identity::FORWARDED_FOR;
use super::not_enforced;
use crate::connection::Accepted;
use crate::exchange::{Exchange, Filter, Next};
use crate::proxy::http::story::Story;
use crate::reply::LocalReply;
use crate::route::Rule;
pub(crate) use crate::standing::Denied;
use crate::worker::Worker;

/// Authorization policies.
pub(crate) struct Authorization;

impl Filter for Authorization {
    async fn request(&self, exchange: &mut Exchange) -> Next {
        let applied = exchange.applied.clone();
        let authorizer = &applied.authorizer;
        if authorizer.is_empty() {
            return ControlFlow::Continue(());
        }
        let decision = authorizer.request(
            &exchange.view(),
            &requester(&exchange.accepted, &exchange.head.headers, &applied.effective),
            &exchange.claims,
            local(&exchange.accepted),
        );
        note(&decision, &mut exchange.story);
        match why(&decision.verdict) {
            None => ControlFlow::Continue(()),
            Some(policy) => {
                exchange.story.policy = Some(policy);
                ControlFlow::Break(LocalReply::denied())
            }
        }
    }
}

/// What denies a connection, if something does, as things are now. `server_name` is what its TLS handshake asks for.
pub(crate) fn connection_denied(
    worker: &Worker,
    accepted: &Accepted,
    server_name: Option<&str>,
) -> Option<Denied> {
    judge_connection(worker, accepted, server_name, None)
}

/// The same for a connection that begins, with what is to be noted about it.
pub(crate) fn connection_denied_noting(
    worker: &Worker,
    accepted: &Accepted,
    server_name: Option<&str>,
    story: &mut Story,
) -> Option<Denied> {
    judge_connection(worker, accepted, server_name, Some(story))
}

fn judge_connection(
    worker: &Worker,
    accepted: &Accepted,
    server_name: Option<&str>,
    story: Option<&mut Story>,
) -> Option<Denied> {
    let snapshot = worker.snapshot();
    let compiled = worker
        .tables
        .compiled(&snapshot, &accepted.frontend, &worker.gateway);
    let applied = &compiled.applied;
    if let Some(policy) = applied.not_enforced.policy() {
        return Some(Denied {
            policy: policy.clone(),
            details: not_enforced::DETAILS,
        });
    }
    let client = client(accepted, server_name);
    let decision = applied.authorizer.connection(&client, local(accepted));
    if let Some(story) = story {
        note(&decision, story);
    }
    Some(Denied {
        policy: why(&decision.verdict)?,
        details: DENIED,
    })
}

/// What denies a request that passed once, if something does now.
pub(crate) fn request_denied(
    worker: &Worker,
    request: &Request<'_>,
    claims: &Claims,
    accepted: &Accepted,
    rule: Option<&Rule>,
) -> Option<Denied> {
    let snapshot = worker.snapshot();
    let compiled = worker
        .tables
        .compiled(&snapshot, &accepted.frontend, &worker.gateway);
    let applied = compiled.applied_to(rule);
    if let Some(policy) = applied.not_enforced.policy() {
        return Some(Denied {
            policy: policy.clone(),
            details: not_enforced::DETAILS,
        });
    }
    let client = requester(accepted, request.headers, &applied.effective);
    let decision = applied
        .authorizer
        .request(request, &client, claims, local(accepted));
    Some(Denied {
        policy: why(&decision.verdict)?,
        details: DENIED,
    })
}

/// The same for a request that is still there.
pub(crate) fn exchange_denied(exchange: &Exchange, rule: Option<&Rule>) -> Option<Denied> {
    let (worker, accepted) = (&exchange.worker, &exchange.accepted);
    request_denied(worker, &exchange.view(), &exchange.claims, accepted, rule)
}

/// What is to be told beside the answer.
fn note(decision: &Decision<'_>, story: &mut Story) {
    if !decision.audited.is_empty() {
        story.audited = Some(joined(&decision.audited, |hit| named(hit)));
    }
    if !decision.dry_run.is_empty() {
        for trial in &decision.dry_run {
            story.on_trial(match trial {
                DryRun::WouldDeny(_) | DryRun::NoAllowWouldMatch => "deny",
                DryRun::WouldAllow(_) => "allow",
                DryRun::WouldAsk(_) => "ask",
            });
        }
        story.dry_run = Some(joined(&decision.dry_run, |trial| match trial {
            DryRun::WouldDeny(hit) => format!("deny {}", named(hit)),
            DryRun::WouldAllow(hit) => format!("allow {}", named(hit)),
            DryRun::WouldAsk(hit) => format!("ask {}", named(hit)),
            DryRun::NoAllowWouldMatch => "deny, no ALLOW policy would match".to_owned(),
        }));
    }
}

/// At most a few: a record is a line.
fn joined<T>(items: &[T], name: impl Fn(&T) -> String) -> Strng {
    let mut text = String::new();
    for (n, item) in items.iter().take(NOTED).enumerate() {
        let comma = if n == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{}", name(item));
    }
    if items.len() > NOTED {
        let _ = write!(text, ", and {} more", items.len() - NOTED);
    }
    text.into()
}

/// A rule as logs name it, as Istio's do.
pub(crate) fn named(hit: &Hit<'_>) -> String {
    let name = &hit.policy.name;
    format!("ns[{}]-policy[{}]-rule[{}]", name.namespace, name.name, hit.rule)
}

fn why(verdict: &Verdict<'_>) -> Option<Strng> {
    match verdict {
        Verdict::Allow { .. } => None,
        Verdict::Deny(DenyReason::Policy(hit)) => Some(named(hit).into()),
        Verdict::Deny(DenyReason::NoAllowMatched) => Some(NO_POLICY.into()),
    }
}

/// The client as decisions see it.
pub(crate) fn client<'a>(accepted: &'a Accepted, server_name: Option<&'a str>) -> Client<'a> {
    let address: IpAddr = accepted.client.peer.ip().to_canonical();
    Client {
        identity: accepted.client.identity.as_ref(),
        address,
        remote_address: address,
        server_name: server_name.or(accepted.client.server_name.as_deref()),
        labels: &[],
    }
}

/// Who asks, as decisions about requests see it. At a gateway's listeners proxies may stand in front, each of which wrote behind
/// the others from whom it had a request; of as many as are trusted the first one says who the client is. The head has our own
/// peer at its end already. (Envoy, "x-forwarded-for"; Istio, `numTrustedProxies`.)
pub(crate) fn requester<'a>(
    accepted: &'a Accepted,
    headers: &HeaderMap,
    effective: &Effective,
) -> Client<'a> {
    let client = client(accepted, None);
    let trusted = usize::try_from(effective.trusted_proxies()).unwrap_or(usize::MAX);
    // Whoever comes through the mesh has an identity, and an address that nobody needs to be believed about.
    if trusted == 0 || client.identity.is_some() {
        return client;
    }
    let forwarded = headers.get_all(&FORWARDED_FOR).iter();
    let forwarded: Vec<&str> = forwarded
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    let said = forwarded.iter().rev().nth(trusted).map(|text| text.trim());
    let said = said.and_then(|text| text.parse::<IpAddr>().ok());
    Client {
        remote_address: said.map_or(client.remote_address, |address| address.to_canonical()),
        ..client
    }
}

/// Where it came in.
pub(crate) fn local(accepted: &Accepted) -> Local {
    Local {
        address: accepted.client.destination.ip().to_canonical(),
        port: accepted.client.destination.port(),
    }
}

const DENIED: &str = "rbac_access_denied";
/// There are ALLOW policies, and none of them matched (as Envoy says it).
const NO_POLICY: &str = "none";
const NOTED: usize = 4;
