//! Services that waypoints ask, on Envoy's wires and in plain HTTP, on addresses of the test's own.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use mesh_extensions::framing::{Reader, frame, single};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::harness::{NAMESPACE, Together};

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// What a service says to a message of a stream: several ones, or the end of it with a status of gRPC.
pub(crate) type Words = Result<Vec<Bytes>, u8>;

/// A Pod and a Service of this name (port 80) for a service of the test's own; gives where it has to listen.
pub(crate) fn place(mesh: &Together, name: &str, protocol: &str) -> SocketAddr {
    let backend = mesh.backend(name, &format!("asked: {name}"));
    let vip = PLACES.fetch_add(1, Ordering::Relaxed);
    mesh.apply(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: {NAMESPACE}}}, spec: \
         {{clusterIP: 10.96.7.{vip}, selector: {{asked: {name}}}, ports: [{{name: {protocol}, port: 80, targetPort: {PORT}}}]}}}}"
    ));
    SocketAddr::new(backend.ip, PORT)
}

/// Answers every message of every stream.
pub(crate) fn streaming(at: SocketAddr, says: impl Fn(Bytes) -> Words + Send + Sync + 'static) {
    let says = Arc::new(says);
    serve(at, move |request| {
        let says = says.clone();
        async move { converse(request, says, true) }
    });
}

/// Says every message of every stream again, and never comes to an end.
pub(crate) fn lingering(at: SocketAddr) {
    let says = Arc::new(|word| Ok(vec![word]));
    serve(at, move |request| {
        let says = says.clone();
        async move { converse(request, says, false) }
    });
}

/// Answers calls of one message with another one, or with a status of gRPC; `says` gets the method, too.
pub(crate) fn unary(at: SocketAddr, says: impl Fn(&str, Bytes) -> Result<Bytes, u8> + Send + Sync + 'static) {
    let says = Arc::new(says);
    serve(at, move |request| {
        let says = says.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let said = says(head.uri.path(), single(&body, 1 << 22).unwrap());
            let (message, status) = match said {
                Ok(message) => (Some(Ok(Frame::data(frame(&message)))), 0),
                Err(status) => (None, status),
            };
            let frames: Vec<_> = message.into_iter().chain([Ok(end(status))]).collect();
            grpc(StreamBody::new(futures_util::stream::iter(frames)).boxed())
        }
    });
}

/// Answers requests of HTTP.
pub(crate) fn http(
    at: SocketAddr,
    says: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
) {
    let says = Arc::new(says);
    serve(at, move |request| {
        let says = says.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            says(&Request::from_parts(head, body)).map(|body| Full::new(body).boxed())
        }
    });
}

fn converse(
    request: Request<Incoming>,
    says: Arc<impl Fn(Bytes) -> Words + Send + Sync + 'static>,
    ends: bool,
) -> Answer {
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut body = request.into_body();
    runtime().spawn(async move {
        let mut reader = Reader::new(1 << 23);
        while let Some(Ok(piece)) = body.frame().await {
            reader.push(&piece.into_data().unwrap_or_default());
            while let Some(message) = reader.message().unwrap() {
                match says(message) {
                    Ok(words) => {
                        for word in words {
                            let _ = sender.send(Ok(Frame::data(frame(&word))));
                        }
                    }
                    Err(status) => {
                        let _ = sender.send(Ok(end(status)));
                        return;
                    }
                }
            }
        }
        match ends {
            true => drop(sender.send(Ok(end(0)))),
            // Until whoever listens is gone.
            false => sender.closed().await,
        }
    });
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|frame| (frame, receiver))
    });
    grpc(BodyExt::boxed(StreamBody::new(Shared(parking_lot::Mutex::new(
        Box::pin(frames),
    )))))
}

/// A stream that is not `Sync` in a body that must be.
struct Shared<S>(parking_lot::Mutex<std::pin::Pin<Box<S>>>);

impl<S: futures_util::Stream> futures_util::Stream for Shared<S> {
    type Item = S::Item;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        self.get_mut().0.get_mut().as_mut().poll_next(cx)
    }
}

fn grpc(body: BoxBody<Bytes, Infallible>) -> Answer {
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

fn end(status: u8) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", u16::from(status).into());
    Frame::trailers(trailers)
}

fn serve<F: Future<Output = Answer> + Send + 'static>(
    at: SocketAddr,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) {
    let listener = runtime().block_on(TcpListener::bind(at)).unwrap();
    runtime().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, answer.clone()));
        }
    });
}

async fn connection<F: Future<Output = Answer> + Send + 'static>(
    stream: TcpStream,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) {
    let service = service_fn(move |request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    drop(builder.serve_connection(TokioIo::new(stream), service).await);
}

/// Of all services of all tests.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    })
}

static PLACES: AtomicU8 = AtomicU8::new(1);
const PORT: u16 = 9300;
