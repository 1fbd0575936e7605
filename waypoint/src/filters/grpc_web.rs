//! Clients of gRPC-web, on ports that are called so (Istio, "Protocol selection", `grpc-web`): their requests go on as
//! gRPC's, and the answers come back as they can read them. What they are refused with is a status of gRPC, too.
//!
//! Browsers ask before they ask (CORS): that is for the rule's own filter.

use std::ops::ControlFlow;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http_body::Body as _;
use mesh_model::AppProtocol;

use crate::body::web::Coding;
use crate::body::{Body, Replay};
use crate::exchange::{Exchange, Filter, Next};
use crate::reply::is_grpc;

/// From gRPC-web and back.
pub(crate) struct GrpcWeb;

/// How a client of gRPC-web writes, and what it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// The request.
    pub request: Coding,
    /// The answer.
    pub answer: Coding,
    /// What messages are made of, if it is said: `+proto`, with parameters.
    suffix: Option<HeaderValue>,
}

impl Filter for GrpcWeb {
    async fn request(&self, exchange: &mut Exchange) -> Next {
        let Some(web) = &exchange.web else {
            return ControlFlow::Continue(());
        };
        let headers = &mut exchange.head.headers;
        headers.insert(header::CONTENT_TYPE, media_type("application/grpc", &web.suffix));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        if web.request == Coding::Text {
            headers.remove(header::CONTENT_LENGTH);
        }
        let coding = web.request;
        let body = exchange.body.take();
        let memory = exchange.worker.memory.clone();
        exchange.body = body.map(|body| {
            let decoded = Body::from(body.body()).web_request(coding);
            Replay::new(decoded).counted(&memory)
        });
        ControlFlow::Continue(())
    }

    fn response(&self, exchange: &mut Exchange, answer: &mut http::response::Parts) {
        let Some(web) = exchange.web.as_ref().filter(|_| is_grpc(&answer.headers)) else {
            return;
        };
        let named = answer.headers.get(header::CONTENT_TYPE);
        let suffix = named
            .and_then(|named| after(named, "application/grpc"))
            .filter(|suffix| !suffix.is_empty());
        let name = match web.answer {
            Coding::Binary => BINARY,
            Coding::Text => TEXT,
        };
        // Clients want to be told.
        let suffix = suffix
            .or_else(|| web.suffix.clone())
            .or(Some(HeaderValue::from_static("+proto")));
        answer
            .headers
            .insert(header::CONTENT_TYPE, media_type(name, &suffix));
        answer.headers.remove(header::CONTENT_LENGTH);
    }
}

impl Web {
    /// Whether anything of it is in base64.
    pub(crate) fn is_text(&self) -> bool {
        self.request == Coding::Text || self.answer == Coding::Text
    }

    /// What a request is, on a port of this protocol; `None` if it is none of gRPC-web.
    #[must_use]
    pub fn of(head: &Parts, protocol: AppProtocol) -> Option<Self> {
        if protocol != AppProtocol::GrpcWeb {
            return None;
        }
        let content = head.headers.get(header::CONTENT_TYPE)?;
        let (request, suffix) = coding(content)?;
        let accepted = head.headers.get(header::ACCEPT).and_then(coding);
        Some(Self {
            request,
            answer: accepted.map_or(request, |(coding, _)| coding),
            suffix,
        })
    }
}

/// The body of an answer as a client of gRPC-web reads it, if it is one.
pub(crate) fn written(body: Body, web: Option<Coding>, headers: &HeaderMap) -> Body {
    match web {
        // Its status is in its head.
        Some(_) if body.is_end_stream() => body,
        Some(coding) => body.web_answer(coding, headers.contains_key("grpc-status")),
        None => body,
    }
}

/// The coding that a media type names, and what stands behind it.
fn coding(named: &HeaderValue) -> Option<(Coding, Option<HeaderValue>)> {
    let behind = |name| after(named, name).map(|suffix| Some(suffix).filter(|suffix| !suffix.is_empty()));
    let text = behind(TEXT).map(|suffix| (Coding::Text, suffix));
    text.or_else(|| behind(BINARY).map(|suffix| (Coding::Binary, suffix)))
}

/// What stands behind a media type's name; `None` if it is another name.
fn after(named: &HeaderValue, name: &str) -> Option<HeaderValue> {
    let (found, rest) = named.as_bytes().split_at_checked(name.len())?;
    let ends = matches!(rest.first(), None | Some(b'+' | b';'));
    let same = found.eq_ignore_ascii_case(name.as_bytes()) && ends;
    same.then(|| HeaderValue::from_bytes(rest).ok()).flatten()
}

fn media_type(name: &'static str, suffix: &Option<HeaderValue>) -> HeaderValue {
    let suffix = suffix.as_ref().filter(|suffix| !suffix.is_empty());
    let Some(suffix) = suffix else {
        return HeaderValue::from_static(name);
    };
    let whole = [name.as_bytes(), suffix.as_bytes()].concat();
    HeaderValue::from_bytes(&whole).unwrap_or_else(|_| HeaderValue::from_static(name))
}

const BINARY: &str = "application/grpc-web";
const TEXT: &str = "application/grpc-web-text";

#[cfg(test)]
mod tests;
