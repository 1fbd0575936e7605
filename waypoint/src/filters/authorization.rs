//! May this request pass? Who asks was proved by the tunnel, what is asked for was normalised before.

use std::net::IpAddr;
use std::ops::ControlFlow;

use mesh_model::l7::authorization::{Authorizer, DenyReason, Verdict};
use mesh_model::l7::request::{Claims, Client, Local, Request};

use crate::connection::Accepted;
use crate::exchange::{Exchange, Filter, Next};
use crate::reply::LocalReply;
use crate::worker::Worker;

/// Authorization policies.
pub(crate) struct Authorization;

impl Filter for Authorization {
    async fn request(&self, exchange: &mut Exchange) -> Next {
        let compiled = exchange.compiled.clone();
        if compiled.authorizer.is_empty() {
            return ControlFlow::Continue(());
        }
        let denied = {
            let request = exchange.view();
            let client = client(&exchange.accepted);
            let decision =
                compiled
                    .authorizer
                    .request(&request, &client, &Claims::default(), local(&exchange.accepted));
            for trial in &decision.dry_run {
                tracing::info!(?trial, "a policy on trial would have decided");
            }
            why(&decision.verdict)
        };
        match denied {
            None => ControlFlow::Continue(()),
            Some(policy) => {
                exchange.story.policy = Some(policy.into());
                ControlFlow::Break(LocalReply::denied())
            }
        }
    }
}

/// What denies a connection, if something does, as things are now.
pub(crate) fn connection_denied(worker: &Worker, accepted: &Accepted) -> Option<String> {
    let snapshot = worker.snapshot();
    let compiled = worker
        .tables
        .compiled(&snapshot, &accepted.frontend, &worker.gateway);
    let decision = compiled.authorizer.connection(&client(accepted), local(accepted));
    why(&decision.verdict)
}

/// What denies a request that passed once, if something does now.
pub(crate) fn request_denied(
    authorizer: &Authorizer,
    request: &Request<'_>,
    accepted: &Accepted,
) -> Option<String> {
    let decision = authorizer.request(request, &client(accepted), &Claims::default(), local(accepted));
    why(&decision.verdict)
}

fn why(verdict: &Verdict<'_>) -> Option<String> {
    match verdict {
        Verdict::Allow { .. } => None,
        Verdict::Deny(DenyReason::Policy(hit)) => Some(format!("{}[{}]", hit.policy, hit.rule)),
        Verdict::Deny(DenyReason::NoAllowMatched) => Some("no ALLOW policy matched".to_owned()),
    }
}

/// The client as decisions see it.
pub(crate) fn client(accepted: &Accepted) -> Client<'_> {
    let address: IpAddr = accepted.client.peer.ip().to_canonical();
    Client {
        identity: accepted.client.identity.as_ref(),
        address,
        remote_address: address,
        server_name: None,
        labels: &[],
    }
}

/// Where it came in.
pub(crate) fn local(accepted: &Accepted) -> Local {
    Local {
        address: accepted.client.destination.ip().to_canonical(),
        port: accepted.client.destination.port(),
    }
}
