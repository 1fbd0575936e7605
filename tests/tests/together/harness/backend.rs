//! Backends: small applications that say who they are and what they were asked, on addresses of their own.
//!
//! On port 8080 HTTP of any version, gRPC and WebSocket (any upgrade: bytes come back). On port 9000 bytes: the name and a
//! line's end first, then what comes in. On port 8443 what is on 8080, over TLS.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::runtime;

/// A running backend.
pub(crate) struct Backend {
    /// Its name, and its Pod's.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) ip: IpAddr,
    /// The PEM text of the certificate that it shows, which is its own authority's.
    pub(crate) certificate: String,
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    name: String,
    seen: Mutex<Vec<Seen>>,
    script: Mutex<Script>,
}

/// A request as a backend saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// The host, or the authority.
    pub(crate) host: String,
    pub(crate) version: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

#[derive(Clone, Debug, Default)]
struct Script {
    /// Answer with this status from now on.
    status: Option<u16>,
    /// Answer these many requests with a status first.
    failing: Option<(usize, u16)>,
    /// Take as long as this.
    delay: Duration,
    /// With these headers.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Connections are closed without an answer.
    hangs_up: bool,
    /// Answer requests for these paths with a status.
    at: std::collections::BTreeMap<String, u16>,
    /// What answers of gRPC hold, where it is not what was asked.
    in_grpc: Option<Vec<u8>>,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

impl Backend {
    /// Starts one.
    pub(crate) fn start(name: &str, ip: IpAddr) -> Self {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            seen: Mutex::default(),
            script: Mutex::default(),
        });
        let made = rcgen::generate_simple_self_signed([format!("{name}.example"), name.to_owned()]).unwrap();
        let (certificate, acceptor) = (made.cert.pem(), acceptor(&made));
        let (plain, bytes, tls) = (shared.clone(), shared.clone(), shared.clone());
        let tasks = vec![
            listen(ip, 8080, move |stream| web(plain.clone(), stream)),
            listen(ip, 9000, move |stream| greet(bytes.clone(), stream)),
            listen(ip, 8443, move |stream| {
                let (shared, acceptor) = (tls.clone(), acceptor.clone());
                async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        web(shared, stream).await;
                    }
                }
            }),
        ];
        Self {
            name: name.to_owned(),
            ip,
            certificate,
            shared,
            tasks,
        }
    }

    /// All requests that came here, in their order.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// Forgets what came.
    pub(crate) fn forget(&self) {
        self.shared.seen.lock().clear();
    }

    /// Answers with this status from now on.
    pub(crate) fn answers(&self, status: u16) {
        self.shared.script.lock().status = Some(status);
    }

    /// Answers these many requests with a status, and then as before.
    pub(crate) fn fails(&self, times: usize, status: u16) {
        self.shared.script.lock().failing = Some((times, status));
    }

    /// Takes as long as this from now on.
    pub(crate) fn takes(&self, delay: Duration) {
        self.shared.script.lock().delay = delay;
    }

    /// Answers with one more header from now on.
    pub(crate) fn says(&self, name: &str, value: &str) {
        let header = (name.parse().unwrap(), value.parse().unwrap());
        self.shared.script.lock().headers.push(header);
    }

    /// Closes connections instead of answering, or does not any more.
    pub(crate) fn hangs_up(&self, hangs_up: bool) {
        self.shared.script.lock().hangs_up = hangs_up;
    }

    /// Answers requests for a path with this status, or as others again.
    pub(crate) fn answers_at(&self, path: &str, status: Option<u16>) {
        let at = &mut self.shared.script.lock().at;
        match status {
            Some(status) => drop(at.insert(path.to_owned(), status)),
            None => drop(at.remove(path)),
        }
    }

    /// Answers calls of gRPC with this message from now on.
    pub(crate) fn says_in_grpc(&self, message: &[u8]) {
        self.shared.script.lock().in_grpc = Some(message.to_vec());
    }

    /// Takes no more connections; those that are open stay.
    pub(crate) fn stop(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            // The socket is closed when this returns.
            while !task.is_finished() {
                std::thread::yield_now();
            }
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Seen {
    /// All values of a header, one after the other with commas.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        let text = values.iter().map(|v| String::from_utf8_lossy(v.as_bytes()));
        (!values.is_empty()).then(|| text.collect::<Vec<_>>().join(","))
    }

    /// Reads what a backend answered.
    pub(crate) fn of_answer(body: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(body).ok()?;
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let mut headers = HeaderMap::new();
        for pair in value["headers"].as_array()? {
            let name: HeaderName = pair[0].as_str()?.parse().ok()?;
            headers.append(name, pair[1].as_str()?.parse().ok()?);
        }
        Some(Self {
            method: text("method"),
            path: text("path"),
            host: text("host"),
            version: text("version"),
            headers,
            body: text("body"),
        })
    }

    fn to_json(&self, by: &str) -> Value {
        let headers = self.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
            .collect();
        json!({
            "by": by, "method": self.method, "path": self.path, "host": self.host, "version": self.version,
            "headers": headers, "body": self.body,
        })
    }
}

fn listen<F: Future<Output = ()> + Send + 'static>(
    ip: IpAddr,
    port: u16,
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> JoinHandle<()> {
    let address = SocketAddr::new(ip, port);
    let listener = runtime()
        .block_on(TcpListener::bind(address))
        .unwrap_or_else(|error| panic!("{address}: {error}"));
    runtime().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(serve(stream));
        }
    })
}

async fn web(shared: Arc<Shared>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { answer(&shared, request).await }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    drop(served.await);
}

async fn answer(shared: &Arc<Shared>, mut request: Request<Incoming>) -> Result<Answer, HungUp> {
    let upgrade = request.headers().contains_key(header::UPGRADE);
    let upgraded = upgrade.then(|| hyper::upgrade::on(&mut request));
    let (head, body) = request.into_parts();
    let body = match upgrade {
        true => Bytes::new(),
        false => body.collect().await.map_err(|_| HungUp)?.to_bytes(),
    };
    let grpc = is_grpc(&head.headers);
    let said = if grpc {
        body.get(5..).unwrap_or_default()
    } else {
        &body
    };
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let seen = Seen {
        method: head.method.to_string(),
        path: head
            .uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string),
        host: head
            .uri
            .authority()
            .map_or_else(|| host.unwrap_or_default().to_owned(), ToString::to_string),
        version: format!("{:?}", head.version),
        headers: head.headers,
        body: String::from_utf8_lossy(said).into_owned(),
    };
    shared.seen.lock().push(seen.clone());
    let script = shared.script.lock().clone();
    if !script.delay.is_zero() {
        tokio::time::sleep(script.delay).await;
    }
    if script.hangs_up {
        return Err(HungUp);
    }
    let status = status(shared, &script, &seen);
    let mut response = match upgraded {
        Some(upgraded) if status == StatusCode::OK => switch(upgraded),
        _ if grpc => {
            let echo = || seen.to_json(&shared.name).to_string().into_bytes();
            grpc_answer(&script.in_grpc.unwrap_or_else(echo), status)
        }
        _ => {
            let text = seen.to_json(&shared.name).to_string();
            let mut response = Response::new(Full::new(Bytes::from(text)).boxed());
            *response.status_mut() = status;
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert("x-served-by", shared.name.parse().unwrap());
    for (name, value) in script.headers {
        headers.append(name, value);
    }
    Ok(response)
}

/// What the request itself asks for counts first: `say-status`.
fn status(shared: &Shared, script: &Script, seen: &Seen) -> StatusCode {
    let asked = seen.header("say-status").and_then(|text| text.parse().ok());
    let failing = match &mut shared.script.lock().failing {
        Some((left, status)) if *left > 0 => {
            *left -= 1;
            Some(*status)
        }
        _ => None,
    };
    let at = script.at.get(&seen.path).copied();
    let status = asked.or(at).or(failing).or(script.status).unwrap_or(200);
    StatusCode::from_u16(status).unwrap()
}

/// One message, and trailers; a status of HTTP other than 200 is one of gRPC instead.
fn grpc_answer(said: &[u8], status: StatusCode) -> Answer {
    let code: u16 = match status.as_u16() {
        200 => 0,
        code @ ..=16 => code,
        503 => 14,
        _ => 2,
    };
    let mut message = vec![0];
    message.extend(u32::try_from(said.len()).unwrap().to_be_bytes());
    message.extend(said);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.into());
    let data = (code == 0).then(|| Ok(Frame::data(message.into())));
    let frames = data.into_iter().chain([Ok(Frame::trailers(trailers))]);
    let frames: Vec<_> = frames.collect();
    let stream = futures_util::stream::iter(frames);
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(stream)));
    let content_type = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

fn switch(upgraded: hyper::upgrade::OnUpgrade) -> Answer {
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.shutdown().await;
    });
    let mut response = Response::new(Full::default().boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response
}

async fn greet(shared: Arc<Shared>, mut stream: TcpStream) {
    let _ = stream.write_all(format!("{}\n", shared.name).as_bytes()).await;
    let (mut read, mut write) = stream.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn acceptor(made: &rcgen::CertifiedKey<rcgen::KeyPair>) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = mesh_tls::provider(&mesh_tls::TlsSettings::default());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// The connection is closed.
#[derive(Debug)]
struct HungUp;

impl std::fmt::Display for HungUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hung up")
    }
}

impl std::error::Error for HungUp {}
