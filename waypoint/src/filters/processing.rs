//! Somebody else changes requests and answers (Envoy, "External processing", `envoy.service.ext_proc.v3`): heads, and
//! bodies as a whole.
//!
//! One conversation for each request: what is sent is answered before anything goes on. Who ends it without an error has
//! nothing more to say. What decides whether a request may pass was decided before; a changed path is made comparable
//! again, and neither the method, the host nor what only proxies may say is changed.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::response::Parts;
use http::{Method, Request, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use mesh_extensions::framing::{self, FramingError, Reader, frame};
use mesh_extensions::headers::{ChangedName, HeaderChange};
use mesh_extensions::processing::{Changes, Immediate, PROCESS, Part, Processed, Sent};
use mesh_model::l7::processing::ExternalProcessing;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::call::method_uri;
use super::changes::{change_answer, change_request, may_change, remove_from_request};
use crate::body::{Body, Replay};
use crate::exchange::{Exchange, Filter, Next};
use crate::reply::LocalReply;
use crate::upstream::call::CallVersion;
use crate::worker::Worker;

/// Sends requests to somebody who changes them.
pub(crate) struct Processing;

/// Words to and fro about one request.
pub struct Conversation {
    say: mpsc::UnboundedSender<Bytes>,
    hear: Body,
    heard: Reader,
    patience: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Call(String),
    #[error("it took too long")]
    TimedOut,
    #[error("gRPC status {}: {}", .0.code, .0.message)]
    Status(framing::Status),
    #[error("it ended without a status")]
    NoStatus,
    #[error(transparent)]
    Framing(#[from] FramingError),
    #[error(transparent)]
    Misunderstood(#[from] mesh_extensions::Misunderstood),
    #[error("it answered about another part")]
    OtherPart,
    #[error("a body is longer than {0} bytes")]
    TooLong(u32),
}

/// What becomes of a part.
enum Said {
    Go(Changes),
    Answer(Immediate),
    /// It has nothing more to say.
    Over,
}

impl Filter for Processing {
    async fn request(&self, exchange: &mut Exchange) -> Next {
        let applied = exchange.applied.clone();
        let Some(given) = &applied.effective.processing else {
            return ControlFlow::Continue(());
        };
        match request(exchange, &given.value).await {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(answer)) => ControlFlow::Break(answer),
            Err(Failed::TooLong(_)) => {
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                ControlFlow::Break(LocalReply::new(
                    status,
                    "request_payload_too_large",
                    "Payload Too Large",
                ))
            }
            Err(error) => {
                exchange.processing = None;
                exchange.story.policy = Some(given.object.to_string().into());
                match failed(&given.value, &error) {
                    None => ControlFlow::Continue(()),
                    Some(reply) => ControlFlow::Break(*reply),
                }
            }
        }
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
    let applied = exchange.applied.clone();
    let Some(given) = &applied.effective.processing else {
        return Ok(body);
    };
    let policy = &given.value;
    let wanted = policy.response.headers || policy.response.body;
    if !wanted || body.is_end_stream() && !policy.response.headers {
        return Ok(body);
    }
    // It can be sent as it came while nothing was changed.
    let kept = Replay::new(body);
    match respond(exchange, policy, head, &kept).await {
        Ok(None) => Ok(kept.body().into()),
        Ok(Some(answer)) => Err(Box::new(answer)),
        Err(error) => {
            exchange.story.policy = Some(given.object.to_string().into());
            match failed(policy, &error) {
                None => Ok(kept.body().into()),
                Some(reply) => Err(reply),
            }
        }
    }
}

/// The answer when nobody could be asked; `None` where it goes on all the same.
fn failed(policy: &ExternalProcessing, error: &Failed) -> Option<Box<LocalReply>> {
    let service = &policy.service;
    tracing::warn!(service = %service.service, port = service.port, %error, fail_open = policy.fail_open, "a request could not be processed");
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    (!policy.fail_open).then(|| Box::new(LocalReply::new(status, "ext_proc_error", "")))
}

async fn request(exchange: &mut Exchange, policy: &ExternalProcessing) -> Result<Option<LocalReply>, Failed> {
    if policy.request.headers {
        let sent = Sent::Headers {
            of_request: true,
            headers: request_head(exchange),
            end: exchange.body.is_none(),
        };
        match ask(exchange, policy, sent, Part::RequestHeaders).await? {
            Said::Over => return Ok(None),
            Said::Answer(answer) => return Ok(Some(immediate(answer))),
            Said::Go(changes) => {
                let finish = changes.finish;
                if let Some(body) = change(exchange, changes)
                    && finish
                {
                    // The body that was to come is not wanted.
                    exchange
                        .head
                        .headers
                        .insert(header::CONTENT_LENGTH, body.len().into());
                    exchange.body = (!body.is_empty()).then(|| Replay::new(Body::full(body)));
                }
                if finish {
                    return Ok(None);
                }
            }
        }
    }
    let Some(body) = exchange.body.clone().filter(|_| policy.request.body) else {
        return Ok(None);
    };
    let whole = whole(&body, policy.body_limit).await?;
    let sent = Sent::Body {
        of_request: true,
        body: whole,
        end: true,
    };
    match ask(exchange, policy, sent, Part::RequestBody).await? {
        Said::Over => {}
        Said::Answer(answer) => return Ok(Some(immediate(answer))),
        Said::Go(changes) => {
            if let Some(new) = change(exchange, changes) {
                exchange
                    .head
                    .headers
                    .insert(header::CONTENT_LENGTH, new.len().into());
                body.replace(new);
            }
        }
    }
    Ok(None)
}

async fn respond(
    exchange: &mut Exchange,
    policy: &ExternalProcessing,
    head: &mut Parts,
    body: &Replay,
) -> Result<Option<LocalReply>, Failed> {
    let empty = body.is_complete() && body.whole().is_some_and(|whole| whole.is_empty());
    if policy.response.headers {
        let status = HeaderValue::from(head.status.as_u16());
        let mut headers = vec![(":status".to_owned(), status)];
        headers.extend(plain(&head.headers));
        let sent = Sent::Headers {
            of_request: false,
            headers,
            end: empty,
        };
        match ask(exchange, policy, sent, Part::ResponseHeaders).await? {
            Said::Over => return Ok(None),
            Said::Answer(answer) => return Ok(Some(immediate(answer))),
            Said::Go(changes) => {
                let finish = changes.finish;
                if let Some(new) = change_head(head, changes)
                    && finish
                {
                    // All of the old one has to come before it can be replaced.
                    whole(body, policy.body_limit).await?;
                    head.headers.insert(header::CONTENT_LENGTH, new.len().into());
                    body.replace(new);
                }
                if finish {
                    return Ok(None);
                }
            }
        }
    }
    if empty || !policy.response.body {
        return Ok(None);
    }
    let sent = Sent::Body {
        of_request: false,
        body: whole(body, policy.body_limit).await?,
        end: true,
    };
    match ask(exchange, policy, sent, Part::ResponseBody).await? {
        Said::Over => Ok(None),
        Said::Answer(answer) => Ok(Some(immediate(answer))),
        Said::Go(changes) => {
            if let Some(new) = change_head(head, changes) {
                head.headers.insert(header::CONTENT_LENGTH, new.len().into());
                body.replace(new);
            }
            Ok(None)
        }
    }
}

async fn whole(body: &Replay, limit: u32) -> Result<Bytes, Failed> {
    let filled = body.fill((limit as usize).min(MOST_BUFFERED)).await;
    match filled.complete {
        true => Ok(filled.bytes),
        false if filled.error => Err(Failed::Call("the body broke off".to_owned())),
        false => Err(Failed::TooLong(limit)),
    }
}

/// Says one thing, and waits for what is answered.
async fn ask(
    exchange: &mut Exchange,
    policy: &ExternalProcessing,
    sent: Sent,
    part: Part,
) -> Result<Said, Failed> {
    let word = frame(&sent.encode());
    let mut conversation = match exchange.processing.take() {
        Some(conversation) => {
            // Nobody listens any more: it is over, as hearing will show.
            let _ = conversation.say.send(word);
            conversation
        }
        None => Conversation::open(&exchange.worker, policy, word).await?,
    };
    let Some(message) = timeout(conversation.patience, conversation.next())
        .await
        .map_err(|_| Failed::TimedOut)??
    else {
        return Ok(Said::Over);
    };
    match Processed::decode(&message)? {
        Processed::Answer(answer) => Ok(Said::Answer(answer)),
        Processed::Go(about, changes) if about == part => {
            exchange.processing = Some(conversation);
            Ok(Said::Go(changes))
        }
        Processed::Go(..) => Err(Failed::OtherPart),
    }
}

impl Conversation {
    async fn open(worker: &Worker, policy: &ExternalProcessing, word: Bytes) -> Result<Self, Failed> {
        let (say, words) = Body::spoken();
        let _ = say.send(word);
        let mut request = Request::new(words);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = method_uri(&policy.service, PROCESS);
        let headers = request.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(framing::CONTENT_TYPE),
        );
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        let upstream = &worker.upstream;
        let response = upstream
            .call(&policy.service, CallVersion::Http2, request, policy.timeout)
            .await;
        let response = response.map_err(|error| Failed::Call(error.to_string()))?;
        if response.status() != StatusCode::OK {
            return Err(Failed::Call(format!("the answer is {}", response.status())));
        }
        if let Some(status) = framing::status(response.headers()).filter(|status| status.code != 0) {
            return Err(Failed::Status(status));
        }
        Ok(Self {
            say,
            hear: response.into_body(),
            heard: Reader::new(LONGEST_WORD),
            patience: policy.timeout,
        })
    }

    /// The next message; `None` where the other side has nothing more to say.
    async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        loop {
            if let Some(message) = self.heard.message()? {
                return Ok(Some(message));
            }
            let Some(frame) = self.hear.frame().await else {
                return Err(Failed::NoStatus);
            };
            let frame = frame.map_err(|error| Failed::Call(error.to_string()))?;
            match frame.into_data() {
                Ok(data) => self.heard.push(&data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    return match framing::status(&trailers) {
                        Some(framing::Status { code: 0, .. }) => Ok(None),
                        Some(status) => Err(Failed::Status(status)),
                        None => Err(Failed::NoStatus),
                    };
                }
            }
        }
    }
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

/// Changes a request; gives the body that is wanted instead.
fn change(exchange: &mut Exchange, changes: Changes) -> Option<Bytes> {
    for change in changes.headers.iter().filter(|change| is_free(change)) {
        change_request(exchange, change);
    }
    remove_from_request(exchange, &changes.remove);
    if changes.choose_again {
        exchange.choose();
    }
    changes.body
}

/// Changes the head of an answer; gives the body that is wanted instead.
fn change_head(head: &mut Parts, changes: Changes) -> Option<Bytes> {
    for change in changes.headers.iter().filter(|change| is_free(change)) {
        match &change.name {
            ChangedName::Status => {
                let status = StatusCode::from_bytes(change.value.as_bytes()).ok();
                head.status = status
                    .filter(|status| status.as_u16() >= 200)
                    .unwrap_or(head.status);
            }
            _ => change_answer(&mut head.headers, change),
        }
    }
    for name in changes.remove.iter().filter(|name| may_change(name)) {
        head.headers.remove(name);
    }
    changes.body
}

/// Neither the method nor the host, nor what proxies say to each other (Envoy, `HeaderMutation`).
fn is_free(change: &HeaderChange) -> bool {
    match &change.name {
        ChangedName::Header(name) => !name.as_str().starts_with("x-envoy"),
        ChangedName::Path | ChangedName::Status => true,
        ChangedName::Authority | ChangedName::Method | ChangedName::Scheme => false,
    }
}

fn immediate(answer: Immediate) -> LocalReply {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = LocalReply::new(status, "ext_proc_immediate_response", answer.body);
    reply.grpc_status = answer.grpc_status;
    for change in answer.headers.iter().filter(|change| is_free(change)) {
        change_answer(&mut reply.headers, change);
    }
    reply
}

/// However much a policy wants to be held back.
const MOST_BUFFERED: usize = 4 * 1024 * 1024;
/// A body and what comes with it.
const LONGEST_WORD: u32 = 5 * 1024 * 1024;
