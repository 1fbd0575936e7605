//! Somebody else decides whether a request or connection may pass (Istio, "External Authorization"; Gateway API,
//! `ExternalAuth`; Envoy, "External Authorization").
//!
//! # Layout
//! - this file: who is asked, and what becomes of the answer.
//! - `grpc`: asking on Envoy's wire.
//! - `plain`: asking with a request like the one in question.

mod grpc;
mod plain;

use std::ops::ControlFlow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use mesh_extensions::headers::HeaderChange;
use mesh_model::l7::authorization::{ExternalAuth, ExternalAuthBody, ExternalAuthProtocol};
use mesh_model::l7::filter::Filter as RuleFilter;
use mesh_model::l7::request::Metadata;
use mesh_types::Strng;

use super::authorization::{Denied, client, local, named, requester};
use super::call::CallError;
use super::changes::{change_answer, change_query, change_request, remove_from_request};
use super::not_enforced;
use crate::connection::Accepted;
use crate::exchange::{Exchange, Filter, Next};
use crate::flags::ResponseFlag;
use crate::proxy::http::story::Story;
use crate::reply::LocalReply;
use crate::worker::Worker;

/// Asks for policies whose action is CUSTOM.
pub(crate) struct OfPolicies;

/// Asks for the rule that takes the request.
pub(crate) struct OfRule;

/// What was answered.
#[derive(Debug)]
enum Answer {
    Allowed(Changes),
    Denied(Box<LocalReply>, Metadata),
}

/// What becomes of a request that may pass.
#[derive(Debug, Default)]
struct Changes {
    request: Vec<HeaderChange>,
    remove: Vec<HeaderName>,
    query: Vec<(String, String)>,
    remove_query: Vec<String>,
    answer: Vec<HeaderChange>,
    metadata: Metadata,
}

/// Why nothing was answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Misunderstood(#[from] mesh_extensions::Misunderstood),
}

/// Who is to be asked, and for whose sake.
struct Wanted {
    policy: Strng,
    /// `None` where the provider is not known.
    provider: Option<ExternalAuth>,
}

impl Filter for OfPolicies {
    async fn request(&self, exchange: &mut Exchange) -> Next {
        let compiled = exchange.compiled.clone();
        let authorizer = &compiled.applied.authorizer;
        if authorizer.is_empty() {
            return ControlFlow::Continue(());
        }
        let wanted: Vec<Wanted> = {
            let headers = &exchange.head.headers;
            let client = requester(&exchange.accepted, headers, &compiled.applied.effective);
            let asks = authorizer.ask(&exchange.view(), &client, local(&exchange.accepted));
            let wanted = asks.iter().map(|ask| Wanted {
                policy: named(&ask.hit).into(),
                provider: ask.provider.ok().cloned(),
            });
            wanted.collect()
        };
        for wanted in wanted {
            let Some(provider) = wanted.provider else {
                // Nobody can be asked: Istio refuses as a policy does.
                exchange.story.policy = Some(wanted.policy);
                return ControlFlow::Break(LocalReply::denied());
            };
            Box::pin(ask(exchange, &provider, wanted.policy)).await?;
        }
        ControlFlow::Continue(())
    }
}

impl Filter for OfRule {
    async fn request(&self, exchange: &mut Exchange) -> Next {
        let wanted = exchange.rule_filters().iter().filter_map(|filter| match filter {
            RuleFilter::ExternalAuth(provider) => Some((**provider).clone()),
            _ => None,
        });
        let wanted: Vec<ExternalAuth> = wanted.collect();
        for provider in wanted {
            Box::pin(ask(
                exchange,
                &provider,
                "ExternalAuth filter of the route".into(),
            ))
            .await?;
        }
        ControlFlow::Continue(())
    }
}

/// What denies a connection that begins, if somebody does.
pub(crate) async fn connection_denied(
    worker: &Worker,
    accepted: &Accepted,
    story: &mut Story,
) -> Option<Denied> {
    let snapshot = worker.snapshot();
    let compiled = worker
        .tables
        .compiled(&snapshot, &accepted.frontend, &worker.gateway);
    let asks = compiled
        .applied
        .authorizer
        .ask_connection(&client(accepted, None), local(accepted));
    for ask in asks {
        let policy: Strng = named(&ask.hit).into();
        let details = match ask.provider {
            Err(_) => DENIED_BY_POLICY,
            // Of bytes no request can be made.
            Ok(provider) if provider.protocol != ExternalAuthProtocol::Grpc => not_enforced::DETAILS,
            Ok(provider) => match grpc::ask_connection(worker, accepted, provider).await {
                Ok(true) => continue,
                Ok(false) => DENIED,
                Err(error) if provider.fail_open => {
                    passed_unasked(provider, &error);
                    continue;
                }
                Err(error) => {
                    story.upstream_failure = Some(format!("{}: {error}", provider.provider));
                    FAILED
                }
            },
        };
        story.flags.add(ResponseFlag::UnauthorizedExternalService);
        return Some(Denied { policy, details });
    }
    None
}

/// Whether somebody has to be asked about a connection who can only be asked about requests.
pub(crate) fn wants_request(worker: &Worker, accepted: &Accepted) -> bool {
    let snapshot = worker.snapshot();
    let compiled = worker
        .tables
        .compiled(&snapshot, &accepted.frontend, &worker.gateway);
    let authorizer = &compiled.applied.authorizer;
    let asks = authorizer.ask_connection(&client(accepted, None), local(accepted));
    let by_request = |provider: &ExternalAuth| matches!(provider.protocol, ExternalAuthProtocol::Http { .. });
    asks.iter().any(|ask| ask.provider.is_ok_and(by_request))
}

/// In a box: the requests of most rules need not have room for it.
async fn ask(exchange: &mut Exchange, provider: &ExternalAuth, policy: Strng) -> Next {
    let body = match body(exchange, provider.body).await {
        Ok(body) => body,
        Err(reply) => {
            exchange.story.policy = Some(policy);
            return ControlFlow::Break(reply);
        }
    };
    let answer = match &provider.protocol {
        ExternalAuthProtocol::Grpc => grpc::ask(exchange, provider, body).await,
        ExternalAuthProtocol::Http { .. } => plain::ask(exchange, provider, body).await,
    };
    match answer {
        Ok(Answer::Allowed(changes)) => {
            // Where it goes is decided by what was asked for, unless that is wanted otherwise. Tokens may still change it.
            if !provider.clear_route_cache
                && exchange.routed.is_none()
                && exchange.compiled.applied.tokens.is_empty()
            {
                exchange.choose();
            }
            if changes.apply(exchange) && provider.clear_route_cache && exchange.routed.is_some() {
                exchange.choose();
            }
            ControlFlow::Continue(())
        }
        Ok(Answer::Denied(reply, metadata)) => {
            said(exchange, metadata);
            exchange.story.policy = Some(policy);
            ControlFlow::Break(*reply)
        }
        Err(error) if provider.fail_open => {
            passed_unasked(provider, &error);
            ControlFlow::Continue(())
        }
        Err(error) => {
            exchange.story.policy = Some(policy);
            exchange.story.upstream_failure = Some(format!("{}: {error}", provider.provider));
            let status = StatusCode::from_u16(provider.status_on_error).unwrap_or(StatusCode::FORBIDDEN);
            ControlFlow::Break(
                LocalReply::new(status, FAILED, "").flagged(ResponseFlag::UnauthorizedExternalService),
            )
        }
    }
}

/// What is sent along of the body.
async fn body(exchange: &mut Exchange, wanted: Option<ExternalAuthBody>) -> Result<Option<Sent>, LocalReply> {
    let Some(wanted) = wanted else { return Ok(None) };
    let limit = (wanted.limit as usize).min(MOST_BUFFERED);
    let Some(body) = &exchange.body else {
        return Ok(None);
    };
    let filled = body.fill(limit).await;
    if filled.error {
        return Err(LocalReply::bad_request("downstream_request_broken"));
    }
    if !filled.complete && !wanted.allow_partial {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(LocalReply::new(
            status,
            "request_payload_too_large",
            "Payload Too Large",
        ));
    }
    Ok(Some(Sent {
        bytes: filled.bytes,
        complete: filled.complete,
        as_bytes: wanted.as_bytes,
    }))
}

/// The part of a body that is sent along.
struct Sent {
    bytes: Bytes,
    complete: bool,
    as_bytes: bool,
}

impl Changes {
    /// Says whether the request changed.
    fn apply(self, exchange: &mut Exchange) -> bool {
        said(exchange, self.metadata);
        let headers = self.request.len() + self.remove.len();
        let changed = headers + self.query.len() + self.remove_query.len() > 0;
        for change in &self.request {
            change_request(exchange, change);
        }
        remove_from_request(exchange, &self.remove);
        change_query(&mut exchange.head.uri, &self.query, &self.remove_query);
        exchange.beside.extend(self.answer);
        changed
    }
}

/// What is said of a request beside the answer: policies and logs may ask for it.
fn said(exchange: &mut Exchange, metadata: Metadata) {
    if metadata.is_empty() {
        return;
    }
    let known: Option<&Metadata> = exchange.head.extensions.get();
    let all = match known {
        Some(known) => known.and(metadata),
        None => metadata,
    };
    exchange.story.metadata = Some(all.clone());
    exchange.head.extensions.insert(all);
}

/// The answer to a client that may not pass.
fn denied(status: Option<u16>, headers: &[HeaderChange], body: Bytes) -> Box<LocalReply> {
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let mut reply = LocalReply::new(status.unwrap_or(StatusCode::FORBIDDEN), DENIED, body);
    for change in headers {
        change_answer(&mut reply.headers, change);
    }
    Box::new(reply.flagged(ResponseFlag::UnauthorizedExternalService))
}

fn passed_unasked(provider: &ExternalAuth, error: &AskError) {
    tracing::warn!(provider = %provider.provider, %error, "passed although nobody could be asked, as its policy wants it");
}

/// Changes that are plain replacements.
fn overwrites(headers: impl Iterator<Item = (HeaderName, HeaderValue)>) -> Vec<HeaderChange> {
    // Several of one name stay several.
    let mut seen = HeaderMap::new();
    for (name, value) in headers {
        seen.append(name, value);
    }
    let mut changes = Vec::new();
    for name in seen.keys() {
        for (n, value) in seen.get_all(name).iter().enumerate() {
            let mut change = HeaderChange::overwrite(name.clone(), value.clone());
            if n > 0 {
                change.action = mesh_extensions::headers::HeaderAction::Append;
            }
            changes.push(change);
        }
    }
    changes
}

/// However much a policy wants to be sent along.
const MOST_BUFFERED: usize = 4 * 1024 * 1024;
const DENIED: &str = "ext_authz_denied";
const FAILED: &str = "ext_authz_error";
const DENIED_BY_POLICY: &str = "rbac_access_denied";
