//! Who comes in: HBONE with the certificate of a member of the mesh, HTTP/2 in a tunnel, one method of gRPC.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mesh_dataplane::accept::accept_loop;
use mesh_extensions::framing;
use mesh_extensions::rate_limit::{Hit, SHOULD_RATE_LIMIT};
use mesh_hbone::{
    ConnectResponse, HboneOptions, IncomingTunnel, ReceiveBudget, Refusal, ServeError, Tunnel, serve_tls,
};
use mesh_runtime::drain::DrainWatcher;
use mesh_runtime::supervise::Tasks;
use mesh_tls::CertSource;
use mesh_types::{Authority, Identity, Peer};
use tokio::net::{TcpListener, TcpStream};

use crate::limits::Caller;
use crate::service::{Peers, Service};

/// Serves one shard.
pub struct Server<C, P> {
    /// Answers.
    pub service: Rc<Service<P>>,
    /// The certificate's source.
    pub certs: C,
    /// Whom this shard, and all others, run as.
    pub identity: Identity,
    /// The port that is asked for within tunnels.
    pub port: u16,
    /// Where connections run.
    pub tasks: Tasks,
    /// HBONE tunables.
    pub options: HboneOptions,
    /// Memory for what was not read yet.
    pub budget: ReceiveBudget,
}

/// The runtime as hyper sees it.
#[derive(Clone, Debug)]
pub(crate) struct Local(pub(crate) Tasks);

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        self.0.spawn_local("HTTP/2 stream", async move {
            task.await;
        });
    }
}

impl<C: CertSource, P: Peers + 'static> Server<C, P> {
    /// Accepts until the drain.
    ///
    /// # Errors
    /// Fails when the listener is broken.
    pub async fn run(self: Rc<Self>, listener: TcpListener, drain: DrainWatcher) -> std::io::Result<()> {
        let tasks = self.tasks.clone();
        let server = self.clone();
        let watcher = drain.clone();
        accept_loop(listener, drain, move |stream, peer| {
            let connection = server.clone().connection(stream, peer, watcher.clone());
            tasks.spawn_local("connection", connection);
        })
        .await
    }

    async fn connection(self: Rc<Self>, stream: TcpStream, peer: Peer, mut drain: DrainWatcher) {
        let certificate = match self.certs.get(&self.identity).await {
            Ok(certificate) => certificate,
            Err(error) => {
                tracing::debug!(%peer, %error, "no certificate");
                return;
            }
        };
        let shaken = serve_tls(stream, certificate.server_config(), &self.options, &self.budget).await;
        let mut connection = match shaken {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(%peer, %error, "no tunnel");
                return;
            }
        };
        connection.expire_with(&certificate);
        let tunnels = drain.clone();
        let mut cut = drain.clone();
        let mut leaving = false;
        loop {
            let next = tokio::select! {
                biased;
                _ = drain.draining(), if !leaving => {
                    leaving = true;
                    connection.graceful_shutdown();
                    continue;
                }
                () = cut.cut() => return,
                next = connection.next() => next,
            };
            match next {
                Some(Ok(tunnel)) => self.accept(tunnel, peer, &tunnels),
                Some(Err(rejected @ ServeError::Rejected(_))) => {
                    tracing::debug!(%peer, %rejected, "tunnel refused");
                }
                Some(Err(ServeError::Ended(end))) => {
                    tracing::debug!(%peer, %end, "HBONE connection ended");
                    return;
                }
                None => return,
            }
        }
    }

    fn accept(self: &Rc<Self>, tunnel: IncomingTunnel, peer: Peer, drain: &DrainWatcher) {
        let source = tunnel.peer().clone();
        let port = match &tunnel.request.authority {
            Authority::Ip(address) => address.port(),
            Authority::Host { port, .. } => *port,
        };
        if port != self.port {
            tracing::debug!(%peer, %source, port, "nothing is served there");
            tunnel.refuse(Refusal::BadRequest);
            return;
        }
        match tunnel.accept(&ConnectResponse::default()) {
            Ok(tunnel) => {
                let stream = self.clone().stream(tunnel, source, drain.clone());
                self.tasks.spawn_local("stream", stream);
            }
            Err(error) => tracing::debug!(%peer, %error, "the client gave up"),
        }
    }

    async fn stream(self: Rc<Self>, tunnel: Tunnel, source: Identity, mut drain: DrainWatcher) {
        let source = Rc::new(source);
        let server = self.clone();
        let requests = service_fn(move |request| {
            let (server, source) = (server.clone(), source.clone());
            async move { Ok::<_, Infallible>(server.request(&source, request).await) }
        });
        let connection = Builder::new(Local(self.tasks.clone()))
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEADERS)
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .serve_connection(TokioIo::new(tunnel.into_io()), requests);
        let mut connection = std::pin::pin!(connection);
        let mut cut = drain.clone();
        let mut leaving = false;
        let ended = loop {
            tokio::select! {
                _ = drain.draining(), if !leaving => {
                    leaving = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = cut.cut() => return,
                ended = connection.as_mut() => break ended,
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "HTTP/2 ended");
        }
    }

    async fn request(&self, source: &Identity, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let content_type = head.headers.get(header::CONTENT_TYPE);
        if !content_type.is_some_and(|t| t.as_bytes().starts_with(framing::CONTENT_TYPE.as_bytes())) {
            let mut response = Response::new(Empty::new().boxed_unsync());
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return response;
        }
        if head.method != Method::POST || head.uri.path() != SHOULD_RATE_LIMIT {
            return failed(UNIMPLEMENTED, "there is no such method");
        }
        let Ok(body) = Limited::new(body, LONGEST).collect().await else {
            return failed(
                INVALID_ARGUMENT,
                "the message is too long, or was not sent to its end",
            );
        };
        let limit = u32::try_from(LONGEST).unwrap_or(u32::MAX);
        let message = framing::single(&body.to_bytes(), limit);
        let hit = match message.map_err(|e| e.to_string()).and_then(|m| read(&m)) {
            Ok(hit) => hit,
            Err(why) => return failed(INVALID_ARGUMENT, &why),
        };
        let limit = patience(&head.headers);
        let caller = match *source == self.identity && head.headers.contains_key(FORWARDED) {
            true => Caller::Shard,
            false => Caller::Proxy(source),
        };
        match self.service.answer(caller, &hit, limit).await {
            Ok(counted) => answered(&counted.encode()),
            Err(refused) => {
                tracing::debug!(%source, domain = hit.domain, %refused, "no answer");
                failed(refused.code(), &refused.to_string())
            }
        }
    }
}

fn read(message: &[u8]) -> Result<Hit, String> {
    let hit = Hit::decode(message).map_err(|e| e.to_string())?;
    match hit.descriptors.len() {
        0 => Err("no descriptors".to_owned()),
        n if n > MOST_DESCRIPTORS => Err(format!("{n} descriptors are more than {MOST_DESCRIPTORS}")),
        _ => Ok(hit),
    }
}

/// How long the caller waits (gRPC over HTTP/2, "Timeout"), within bounds.
fn patience(headers: &HeaderMap) -> Duration {
    let told = headers.get("grpc-timeout").and_then(|value| {
        let text = value.to_str().ok()?;
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let number: u64 = number.parse().ok().filter(|_| number.len() <= 8)?;
        Some(match unit {
            "H" => Duration::from_secs(number * 3600),
            "M" => Duration::from_secs(number * 60),
            "S" => Duration::from_secs(number),
            "m" => Duration::from_millis(number),
            "u" => Duration::from_micros(number),
            "n" => Duration::from_nanos(number),
            _ => return None,
        })
    });
    told.map_or(LONGEST_PATIENCE, |told| told.min(LONGEST_PATIENCE))
}

fn answered(message: &[u8]) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(framing::frame(message)).with_trailers(std::future::ready(Some(Ok(trailers))));
    grpc(Response::new(body.boxed_unsync()))
}

fn failed(code: u32, message: &str) -> Response<Body> {
    let mut response = grpc(Response::new(Empty::new().boxed_unsync()));
    response.headers_mut().insert("grpc-status", code.into());
    let plain: String = message
        .chars()
        .filter(|c| (' '..='~').contains(c) && *c != '%')
        .collect();
    if let Ok(message) = HeaderValue::from_str(&plain) {
        response.headers_mut().insert("grpc-message", message);
    }
    response
}

fn grpc(mut response: Response<Body>) -> Response<Body> {
    let grpc = HeaderValue::from_static(framing::CONTENT_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    response
}

/// Marks what another shard passes on; of consequence only from one.
pub const FORWARDED: &str = "x-lateen-forwarded";
/// Bytes of a question or an answer.
pub(crate) const LONGEST: usize = 64 * 1024;
const MOST_DESCRIPTORS: usize = 64;
/// Where the caller says nothing.
const LONGEST_PATIENCE: Duration = Duration::from_secs(1);
const STREAMS: u32 = 1000;
const HEADERS: u32 = 16 * 1024;
const KEEPALIVE: Duration = Duration::from_secs(30);
/// gRPC, "Status codes".
const INVALID_ARGUMENT: u32 = 3;
const UNIMPLEMENTED: u32 = 12;
