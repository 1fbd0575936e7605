//! gRPC without a schema: each message comes back with who answered before it; one or many, from either side
//! (gRPC over HTTP/2, the protocol's own document).

use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use super::{Body, Local};

pub(super) fn is(request: &Request<Incoming>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|k| k.as_bytes().starts_with(CONTENT_TYPE.as_bytes()))
}

/// The method `/<service>/Status<n>` ends with that status at once; that of health checks is answered; every other echoes.
pub(super) async fn answer(name: &str, request: Request<Incoming>) -> Response<Body> {
    if request.uri().path() == HEALTH {
        return healthy();
    }
    let status = request
        .uri()
        .path()
        .rsplit_once("/Status")
        .map(|(_, n)| n.to_owned());
    let mut response = match status {
        Some(status) => {
            let mut response = Response::new(Body::default());
            let status = HeaderValue::from_str(&status).unwrap_or(HeaderValue::from_static("2"));
            response.headers_mut().insert(STATUS, status);
            response
        }
        None => {
            let echo = Echo {
                name: Bytes::from(format!("{name}: ")),
                incoming: Some(request.into_body()),
                buffer: BytesMut::new(),
            };
            Response::new(echo.boxed_unsync())
        }
    };
    let kind = HeaderValue::from_static(CONTENT_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// As gRPC's health checking protocol wants it (`grpc.health.v1`): one `HealthCheckResponse` whose status is SERVING.
fn healthy() -> Response<Body> {
    let mut message = BytesMut::new();
    put(&mut message, &[], &[0x08, 0x01]);
    let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(message.freeze()).map_err(|never| match never {});
    let mut response = Response::new(body.with_trailers(ready(Some(Ok(trailers)))).boxed_unsync());
    let kind = HeaderValue::from_static(CONTENT_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Calls once with several messages, and prints the answers and the status.
pub(crate) async fn call(authority: &str, path: &str, name: &str, messages: &[String]) -> Result<()> {
    let stream = TcpStream::connect(authority).await.context("connect")?;
    let (mut sender, connection) = hyper::client::conn::http2::handshake(Local, TokioIo::new(stream)).await?;
    spawn_local(async move { drop(connection.await) });
    let mut body = BytesMut::new();
    for message in messages {
        put(&mut body, &[], message.as_bytes());
    }
    let request = Request::post(format!("http://{authority}{path}"))
        .header(header::CONTENT_TYPE, CONTENT_TYPE)
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, name)
        .body(Full::new(body.freeze()))?;
    let response = sender.send_request(request).await.context("request")?;
    println!("status={}", response.status().as_u16());
    let head = response.headers().clone();
    let collected = response.into_body().collect().await.context("answer")?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let mut rest = BytesMut::from(&collected.to_bytes()[..]);
    while let Some(message) = take(&mut rest) {
        println!("{}", String::from_utf8_lossy(&message));
    }
    ensure!(rest.is_empty(), "{} bytes are no message", rest.len());
    let of = |headers: &HeaderMap| Some(headers.get(STATUS)?.to_str().ok()?.to_owned());
    let status = of(&trailers).or_else(|| of(&head)).context("no grpc-status")?;
    println!("grpc-status={status}");
    Ok(())
}

/// Echoes messages as they come, then the status.
struct Echo {
    name: Bytes,
    incoming: Option<Incoming>,
    buffer: BytesMut,
}

impl hyper::body::Body for Echo {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        loop {
            if let Some(message) = take(&mut self.buffer) {
                let mut answer = BytesMut::new();
                put(&mut answer, &self.name, &message);
                return Poll::Ready(Some(Ok(Frame::data(answer.freeze()))));
            }
            let Some(incoming) = &mut self.incoming else {
                return Poll::Ready(None);
            };
            match Pin::new(incoming).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(e))) => return Poll::Ready(Some(Err(e))),
                Poll::Ready(Some(Ok(frame))) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Poll::Ready(None) => {
                    self.incoming = None;
                    let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
            }
        }
    }
}

/// A message that is there whole.
fn take(buffer: &mut BytesMut) -> Option<Bytes> {
    let length = u32::from_be_bytes(buffer.get(1..PREFIX)?.try_into().ok()?);
    let length = usize::try_from(length).ok()?;
    if buffer.len() < PREFIX + length {
        return None;
    }
    buffer.advance(PREFIX);
    Some(buffer.split_to(length).freeze())
}

fn put(to: &mut BytesMut, first: &[u8], then: &[u8]) {
    to.put_u8(0);
    to.put_u32(u32::try_from(first.len() + then.len()).expect("the lab's messages are short"));
    to.put_slice(first);
    to.put_slice(then);
}

const CONTENT_TYPE: &str = "application/grpc";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// One byte that says whether a message is compressed, four that say how long it is.
const PREFIX: usize = 5;
