//! Somebody else changes requests and answers (Envoy, "External processing", `envoy.service.ext_proc.v3`).
//!
//! # Layout
//! - this file: what is sent of a request and of its answer, and what becomes of it.
//! - `conversation`: the words about one request.
//! - `streamed`: a body whose pieces are sent as they come.
//!
//! One conversation for each request: a head, or a body as a whole, waits for what is said about it; pieces of a body
//! follow each other. Who ends it without an error has nothing more to say. What decides whether a request may pass was
//! decided before: a changed path is made comparable again, and what frames a message, or what only proxies may say, is
//! nobody's to change.

mod conversation;
mod streamed;

use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::response::Parts;
use http::{Method, StatusCode};
use http_body::Body as _;
use mesh_extensions::headers::{ChangedName, HeaderChange};
use mesh_extensions::processing::{BodyMode, Changes, Immediate, ModeOverride, Part, Sent};
use mesh_model::l7::filter::Filter as RuleFilter;
use mesh_model::l7::processing::{BodySendMode, ExternalProcessing, ProcessingMode};

use super::changes::{change_answer, change_request, may_change, remove_from_request};
use crate::body::{Body, Replay};
use crate::exchange::{Exchange, Filter, Next};
use crate::reply::LocalReply;
use crate::worker::Worker;
use conversation::{Conversation, Failed, Said};
pub use streamed::ProcessedBody;

/// Lets the service that the rule names change a request.
pub(crate) struct Processing;

/// Who changes a request and its answer.
pub struct Processor {
    rules: Rules,
    mode: ProcessingMode,
    conversation: Option<Conversation>,
}

/// What counts for whoever talks with the service.
#[derive(Clone)]
struct Rules {
    policy: Arc<ExternalProcessing>,
}

impl Filter for Processing {
    async fn request(&self, exchange: &mut Exchange) -> Next {
        let policy = exchange.rule_filters().iter().find_map(|filter| match filter {
            RuleFilter::ExternalProcessing(policy) => Some(policy.clone()),
            _ => None,
        });
        let Some(policy) = policy else {
            return ControlFlow::Continue(());
        };
        let mut processor = Processor {
            mode: policy.mode,
            rules: Rules { policy },
            conversation: None,
        };
        let done = Box::pin(processor.request(exchange)).await;
        let name = processor.rules.policy.name.clone();
        match done {
            Ok(None) => exchange.processing = Some(Box::new(processor)),
            Ok(Some(answer)) => {
                exchange.story.policy = Some(name);
                return ControlFlow::Break(answer);
            }
            Err(Failed::TooLong(_)) => {
                exchange.story.policy = Some(name);
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                let details = "request_payload_too_large";
                return ControlFlow::Break(LocalReply::new(status, details, "Payload Too Large"));
            }
            // It is the client that broke off.
            Err(Failed::Broken) => {
                return ControlFlow::Break(LocalReply::bad_request("downstream_request_broken"));
            }
            Err(error) => {
                exchange.story.policy = Some(name);
                if !processor.rules.failed(&error) {
                    exchange.story.upstream_failure = Some(error.to_string());
                    return ControlFlow::Break(failure());
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// Sends an answer to somebody who changes it.
///
/// # Errors
/// Another answer instead.
pub(crate) async fn answer(
    exchange: &mut Exchange,
    head: &mut Parts,
    body: Body,
) -> Result<Body, Box<LocalReply>> {
    let Some(mut processor) = exchange.processing.take() else {
        return Ok(body);
    };
    let mut body = body;
    match Box::pin(processor.respond(exchange, head, &mut body)).await {
        Ok(None) => Ok(body),
        Ok(Some(answer)) => {
            exchange.story.policy = Some(processor.rules.policy.name.clone());
            Err(Box::new(answer))
        }
        Err(error) => {
            exchange.story.policy = Some(processor.rules.policy.name.clone());
            match processor.rules.failed(&error) {
                true => Ok(body),
                false => {
                    exchange.story.upstream_failure = Some(error.to_string());
                    Err(Box::new(failure()))
                }
            }
        }
    }
}

/// What the client is told where the request's body broke off because of the processor.
pub(crate) fn verdict(exchange: &mut Exchange) -> Option<LocalReply> {
    let processor = exchange.processing.as_ref()?;
    let verdict = processor.conversation.as_ref()?.verdict()?;
    let rules = &processor.rules;
    let reply = match verdict {
        Ok(answer) => rules.immediate(&answer),
        Err(_) if rules.policy.failure_mode_allow => return None,
        Err(error) => {
            exchange.story.upstream_failure = Some(error.to_string());
            failure()
        }
    };
    exchange.story.policy = Some(rules.policy.name.clone());
    Some(reply)
}

impl Processor {
    async fn request(&mut self, exchange: &mut Exchange) -> Result<Option<LocalReply>, Failed> {
        if self.mode.request_headers {
            let sent = Sent::Headers {
                of_request: true,
                headers: request_head(exchange),
                end: exchange.body.is_none(),
            };
            match self.ask(&exchange.worker, Part::RequestHeaders, &sent).await? {
                Said::Over => return Ok(self.nothing_more()),
                Said::Answer(answer) => return Ok(Some(self.rules.immediate(&answer))),
                Said::Go(changes) => {
                    self.override_mode(&changes);
                    self.rules.change_request(exchange, &changes);
                    if changes.finish {
                        if let Some(body) = changes.body {
                            // The body that was to come is not wanted.
                            let length = HeaderValue::from(body.len());
                            exchange.head.headers.insert(header::CONTENT_LENGTH, length);
                            exchange.body = (!body.is_empty())
                                .then(|| Replay::new(Body::full(body)).counted(&exchange.worker.memory));
                        }
                        return Ok(None);
                    }
                }
            }
        }
        let Some(body) = exchange.body.clone() else {
            return Ok(None);
        };
        if self.mode.request_body == BodySendMode::Buffered {
            let sent = Sent::Body {
                of_request: true,
                body: self.whole(&body).await?,
                end: true,
            };
            match self.ask(&exchange.worker, Part::RequestBody, &sent).await? {
                Said::Over => return Ok(self.nothing_more()),
                Said::Answer(answer) => return Ok(Some(self.rules.immediate(&answer))),
                Said::Go(changes) => {
                    self.rules.change_request(exchange, &changes);
                    if let Some(new) = changes.body {
                        let length = HeaderValue::from(new.len());
                        exchange.head.headers.insert(header::CONTENT_LENGTH, length);
                        body.replace(new);
                    }
                }
            }
        }
        let data = self.mode.request_body == BodySendMode::Streamed;
        if data || self.mode.request_trailers {
            let source = body.body().into();
            let streamed = self.streamed(&exchange.worker, source, true, data, self.mode.request_trailers);
            exchange.body = Some(Replay::new(streamed).counted(&exchange.worker.memory));
            if data {
                // How long it will be is known when it has passed.
                exchange.head.headers.remove(header::CONTENT_LENGTH);
            }
        }
        Ok(None)
    }

    async fn respond(
        &mut self,
        exchange: &mut Exchange,
        head: &mut Parts,
        body: &mut Body,
    ) -> Result<Option<LocalReply>, Failed> {
        let bodiless = body.is_end_stream();
        if self.mode.response_headers {
            let status = HeaderValue::from(head.status.as_u16());
            let mut headers = vec![(":status".to_owned(), status)];
            headers.extend(plain(&head.headers));
            let sent = Sent::Headers {
                of_request: false,
                headers,
                end: bodiless,
            };
            match self.ask(&exchange.worker, Part::ResponseHeaders, &sent).await? {
                Said::Over => return Ok(None),
                Said::Answer(answer) => return Ok(Some(self.rules.immediate(&answer))),
                Said::Go(changes) => {
                    self.override_mode(&changes);
                    self.rules.change_head(head, &changes);
                    if changes.finish {
                        if let Some(new) = changes.body.filter(|_| may_have_body(exchange, head)) {
                            // All of the old one has to come before its connection can be used again.
                            let old = Replay::new(std::mem::replace(body, Body::empty()))
                                .counted(&exchange.worker.memory);
                            let drained = self.whole(&old).await;
                            if let Err(error) = drained {
                                *body = old.body().into();
                                return Err(error);
                            }
                            head.headers.insert(header::CONTENT_LENGTH, new.len().into());
                            *body = Body::full(new);
                        }
                        return Ok(None);
                    }
                }
            }
        }
        if bodiless {
            return Ok(None);
        }
        if self.mode.response_body == BodySendMode::Buffered {
            // It can be sent as it came while nothing was changed.
            let kept = Replay::new(std::mem::replace(body, Body::empty())).counted(&exchange.worker.memory);
            let said = self.respond_with_whole(exchange, &kept).await;
            let answer = match said {
                Ok(Said::Go(changes)) => {
                    self.rules.change_head(head, &changes);
                    if let Some(new) = changes.body {
                        head.headers.insert(header::CONTENT_LENGTH, new.len().into());
                        kept.replace(new);
                    }
                    Ok(None)
                }
                Ok(Said::Over) => {
                    self.mode.response_trailers = false;
                    Ok(None)
                }
                Ok(Said::Answer(answer)) => Ok(Some(self.rules.immediate(&answer))),
                Err(error) => Err(error),
            };
            *body = kept.body().into();
            if !matches!(answer, Ok(None)) {
                return answer;
            }
        }
        let data = self.mode.response_body == BodySendMode::Streamed;
        if data || self.mode.response_trailers {
            let source = std::mem::replace(body, Body::empty());
            let trailers = self.mode.response_trailers;
            *body = self.streamed(&exchange.worker, source, false, data, trailers);
            if data {
                head.headers.remove(header::CONTENT_LENGTH);
            }
        }
        Ok(None)
    }

    async fn respond_with_whole(&mut self, exchange: &Exchange, body: &Replay) -> Result<Said, Failed> {
        let sent = Sent::Body {
            of_request: false,
            body: self.whole(body).await?,
            end: true,
        };
        self.ask(&exchange.worker, Part::ResponseBody, &sent).await
    }

    async fn ask(&mut self, worker: &Rc<Worker>, part: Part, sent: &Sent) -> Result<Said, Failed> {
        self.conversation(worker).ask(part, sent).await
    }

    fn conversation(&mut self, worker: &Rc<Worker>) -> &Conversation {
        let policy = &self.rules.policy;
        self.conversation
            .get_or_insert_with(|| Conversation::begin(worker, policy))
    }

    fn streamed(
        &mut self,
        worker: &Rc<Worker>,
        source: Body,
        of_request: bool,
        data: bool,
        trailers: bool,
    ) -> Body {
        let conversation = self.conversation(worker).clone();
        let rules = self.rules.clone();
        let body = ProcessedBody::new(source, conversation, rules, of_request, data, trailers);
        Body::processed(body)
    }

    async fn whole(&self, body: &Replay) -> Result<Bytes, Failed> {
        let limit = self.rules.policy.body_limit;
        let filled = body.fill(limit as usize).await;
        match filled.complete {
            true => Ok(filled.bytes),
            false if filled.error => Err(Failed::Broken),
            false => Err(Failed::TooLong(limit)),
        }
    }

    /// It ended the conversation: the answer is none of its business either.
    fn nothing_more(&mut self) -> Option<LocalReply> {
        self.mode = ProcessingMode::default();
        None
    }

    fn override_mode(&mut self, changes: &Changes) {
        let Some(mode) = changes.mode.filter(|_| self.rules.policy.allow_mode_override) else {
            return;
        };
        let body = |mode| match mode {
            BodyMode::None => BodySendMode::None,
            BodyMode::Streamed => BodySendMode::Streamed,
            BodyMode::Buffered => BodySendMode::Buffered,
        };
        let ModeOverride {
            response_headers,
            request_body,
            response_body,
            request_trailers,
            response_trailers,
        } = mode;
        self.mode = ProcessingMode {
            request_headers: self.mode.request_headers,
            response_headers,
            request_body: body(request_body),
            response_body: body(response_body),
            request_trailers,
            response_trailers,
        };
    }
}

impl Rules {
    /// Whether it goes on all the same when nobody answered.
    fn failed(&self, error: &Failed) -> bool {
        let (service, allow) = (&self.policy.service, self.policy.failure_mode_allow);
        tracing::warn!(
            policy = %self.policy.name, service = %service.service, port = service.port, %error,
            failure_mode_allow = allow, "what was to be processed could not be"
        );
        allow
    }

    fn change_request(&self, exchange: &mut Exchange, changes: &Changes) {
        for change in changes.headers.iter().filter(|change| self.allows(&change.name)) {
            change_request(exchange, change);
        }
        let remove: Vec<HeaderName> = changes
            .remove
            .iter()
            .filter(|n| self.allows_header(n))
            .cloned()
            .collect();
        remove_from_request(exchange, &remove);
    }

    fn change_head(&self, head: &mut Parts, changes: &Changes) {
        for change in changes.headers.iter().filter(|change| self.allows(&change.name)) {
            if change.name == ChangedName::Status {
                let status = StatusCode::from_bytes(change.value.as_bytes()).ok();
                head.status = status
                    .filter(|status| status.as_u16() >= 200)
                    .unwrap_or(head.status);
            }
        }
        self.change_fields(&mut head.headers, changes);
    }

    /// Of an answer's head, or of trailers.
    fn change_fields(&self, fields: &mut HeaderMap, changes: &Changes) {
        for change in changes.headers.iter().filter(|change| self.allows(&change.name)) {
            change_answer(fields, change);
        }
        for name in changes.remove.iter().filter(|name| self.allows_header(name)) {
            fields.remove(name);
        }
    }

    /// What a processor may change (Envoy, `HeaderMutationRules`).
    fn allows(&self, name: &ChangedName) -> bool {
        let rules = &self.policy.mutation_rules;
        let system = !rules.disallow_all && !rules.disallow_system;
        match name {
            ChangedName::Header(name) => self.allows_header(name),
            ChangedName::Path | ChangedName::Status => system,
            ChangedName::Authority | ChangedName::Method => system && rules.allow_all_routing,
            ChangedName::Scheme => false,
        }
    }

    fn allows_header(&self, name: &HeaderName) -> bool {
        let of_proxies = name.as_str().starts_with("x-envoy") || name.as_str() == "x-forwarded-client-cert";
        !self.policy.mutation_rules.disallow_all && !of_proxies && may_change(name)
    }

    fn immediate(&self, answer: &Immediate) -> LocalReply {
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut reply = LocalReply::new(status, "ext_proc_immediate_response", answer.body.clone());
        reply.grpc_status = answer.grpc_status;
        // An answer of its own has no headers that were somebody else's.
        for change in answer.headers.iter().filter(|change| is_header(change)) {
            change_answer(&mut reply.headers, change);
        }
        reply
    }
}

fn is_header(change: &HeaderChange) -> bool {
    matches!(&change.name, ChangedName::Header(name) if !name.as_str().starts_with("x-envoy"))
}

fn failure() -> LocalReply {
    LocalReply::new(StatusCode::INTERNAL_SERVER_ERROR, "ext_proc_error", "")
}

fn may_have_body(exchange: &Exchange, head: &Parts) -> bool {
    let without = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    exchange.head.method != Method::HEAD && !without
}

fn request_head(exchange: &Exchange) -> Vec<(String, HeaderValue)> {
    let view = exchange.view();
    let pseudo = [
        (":method", view.method.as_str()),
        (":scheme", view.scheme),
        (":authority", view.authority),
        (":path", &view.path_and_query()),
    ];
    let pseudo = pseudo.map(|(name, value)| Some((name.to_owned(), HeaderValue::from_str(value).ok()?)));
    pseudo.into_iter().flatten().chain(plain(view.headers)).collect()
}

fn plain(headers: &HeaderMap) -> impl Iterator<Item = (String, HeaderValue)> + '_ {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.clone()))
}
