//! Applications behind the waypoint, and the far ends of tunnels to them.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mesh_hbone::{ConnectResponse, HboneOptions, ReceiveBudget, Refusal, serve_tls};
use mesh_net::{RelayCounters, TcpChunks, relay};
use mesh_tls::WorkloadCertificate;
use mesh_types::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use super::LocalExecutor;

/// What an application does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum App {
    /// HTTP/1.1: tells what it was asked, see `tell`.
    Http,
    /// HTTP/2 without TLS: the same.
    Http2,
    /// Says `hello\n` first, then sends back what it gets.
    Greet,
    /// Takes one request on each connection, answers as if there could be more, and closes a moment later.
    ClosesKept,
    /// Answers every request with a change of protocol, then sends back what it gets.
    Upgrades,
}

pub(crate) async fn start(app: App, name: &'static str, address: SocketAddr) {
    let listener = TcpListener::bind(address)
        .await
        .unwrap_or_else(|e| panic!("{address}: {e}"));
    let count = Arc::new(AtomicUsize::new(0));
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let count = count.clone();
            spawn_local(async move {
                match app {
                    App::Http => serve(stream, name, count, false).await,
                    App::Http2 => serve(stream, name, count, true).await,
                    App::Greet => greet(stream).await,
                    App::ClosesKept => close_kept(stream).await,
                    App::Upgrades => upgrade(stream).await,
                }
            });
        }
    });
}

async fn serve(stream: TcpStream, name: &'static str, count: Arc<AtomicUsize>, two: bool) {
    let service = service_fn(move |request| tell(name, count.fetch_add(1, Ordering::Relaxed), request));
    let io = TokioIo::new(stream);
    match two {
        false => drop(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(io, service)
                .await,
        ),
        true => {
            let builder = hyper::server::conn::http2::Builder::new(LocalExecutor);
            drop(builder.serve_connection(io, service).await);
        }
    }
}

/// Answers with what it was asked, one line each; `/status/<code>` and `/flaky/<n>` (503 for the first n) as they say,
/// `/slow` after 300 ms, `/trailers` with trailers, `/stream` and `/messages` (of gRPC) without an end.
async fn tell(
    name: &'static str,
    nth: usize,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let mut text = format!("{name}\n{} {}\n", head.method, head.uri);
    for (key, value) in &head.headers {
        text.push_str(&format!("{key}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    text.push_str(&format!("body: {}\n", String::from_utf8_lossy(&body)));
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed());
    response.headers_mut().insert("x-app", name.parse().unwrap());
    if let Some(code) = path.strip_prefix("/status/") {
        *response.status_mut() = StatusCode::from_bytes(code.as_bytes()).unwrap();
    }
    if let Some(failures) = path.strip_prefix("/flaky/")
        && nth < failures.parse().unwrap()
    {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    match path.as_str() {
        "/slow" => tokio::time::sleep(Duration::from_millis(300)).await,
        "/trailers" => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let frames = [
                Ok(Frame::data(Bytes::from_static(b"data"))),
                Ok(Frame::trailers(trailers)),
            ];
            let body = StreamBody::new(futures_util::stream::iter(frames));
            *response.body_mut() = BodyExt::boxed(body);
        }
        "/messages" => {
            *response.body_mut() = endless(b"\0\0\0\0\x01m");
        }
        "/stream" => *response.body_mut() = endless(b"tick"),
        _ => {}
    }
    Ok(response)
}

/// The same again and again.
fn endless(piece: &'static [u8]) -> BoxBody<Bytes, Infallible> {
    let ticks = futures_util::stream::unfold((), move |()| async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Some((Ok(Frame::data(Bytes::from_static(piece))), ()))
    });
    BodyExt::boxed(StreamBody::new(Box::pin(ticks).fuse_send()))
}

/// A stream that is not `Sync` in a body that must be.
trait FuseSend: Sized {
    fn fuse_send(self) -> SyncStream<Self>;
}

impl<S> FuseSend for S {
    fn fuse_send(self) -> SyncStream<S> {
        SyncStream(parking_lot::Mutex::new(self))
    }
}

struct SyncStream<S>(parking_lot::Mutex<S>);

impl<S: futures_util::Stream + Unpin> futures_util::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        let this = self.get_mut();
        std::pin::Pin::new(this.0.get_mut()).poll_next(cx)
    }
}

async fn greet(mut stream: TcpStream) {
    let _ = stream.write_all(b"hello\n").await;
    let (mut read, mut write) = stream.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

async fn close_kept(mut stream: TcpStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read_buf(&mut seen).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let _ = stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        .await;
    // The next request is read and not answered.
    let _ = stream.read(&mut [0; 1024]).await;
}

async fn upgrade(mut stream: TcpStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read_buf(&mut seen).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nwelcome ";
    let _ = stream.write_all(answer).await;
    let (mut read, mut write) = stream.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

/// Tunnels to a pod: each goes on to where it says, in plain.
pub(crate) async fn terminate_tunnels(certificate: Arc<WorkloadCertificate>, ip: IpAddr) {
    let listener = TcpListener::bind((ip, 15008)).await.unwrap();
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let config = certificate.server_config();
            spawn_local(async move {
                let (options, budget) = (HboneOptions::default(), ReceiveBudget::default());
                let Ok(mut connection) = serve_tls(stream, config, &options, &budget).await else {
                    return;
                };
                while let Some(Ok(tunnel)) = connection.next().await {
                    let Authority::Ip(to) = tunnel.request.authority.clone() else {
                        continue;
                    };
                    spawn_local(async move {
                        match TcpStream::connect(to).await {
                            Ok(stream) => {
                                let tunnel = tunnel.accept(&ConnectResponse::default()).unwrap();
                                relay(tunnel, TcpChunks::new(stream), &RelayCounters::default()).await;
                            }
                            Err(_) => tunnel.refuse(Refusal::Unavailable),
                        }
                    });
                }
            });
        }
    });
}
