//! An HTTP application that says who it is, and does as the path says; HTTP/1.1, HTTP/2, gRPC and WebSocket on one port.
//!
//! | path | answer |
//! |---|---|
//! | `/status/<code>` | that status |
//! | `/flaky/<n>/<key>` | 500 to the first n requests of this key |
//! | `/slow/<ms>` | after so many milliseconds |
//! | `/hex/<digits>/<ms>` | these bytes, after so many milliseconds |
//! | `/headers` | the request's headers, a line each |
//! | `/seen/<key>` | how many requests had this key in their path, those that asked so not counted; 404 for none |
//! | `/break`, `/mend` | from now on: 500 to everything else, or no longer |
//! | any other | `<name> answers <method> <path>` |

mod grpc;
mod websocket;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::Ipv6Addr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalOptions;
use tokio::task::spawn_local;

pub(crate) use grpc::call as grpc;
pub(crate) use websocket::talk as websocket;

/// What an application is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Web {
    /// Who answers.
    #[arg(long)]
    name: String,
    /// The port, on all addresses.
    #[arg(long, default_value_t = 8080)]
    port: u16,
}

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// Serves until killed.
pub(crate) fn serve(web: Web) -> Result<()> {
    local(async move {
        let at = (Ipv6Addr::UNSPECIFIED, web.port);
        let listener = TcpListener::bind(at)
            .await
            .with_context(|| format!("port {}", web.port))?;
        let app = Rc::new(App {
            web,
            broken: Cell::new(false),
            seen: RefCell::default(),
        });
        // Whoever started the server waits for this line.
        println!("serving");
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                spawn_local(connection(app.clone(), stream));
            }
        }
    })
}

/// Runs on one thread; tasks need not be `Send`.
pub(crate) fn local<T>(what: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(what)
}

struct App {
    web: Web,
    /// As one is that has lost its database.
    broken: Cell<bool>,
    /// The paths that were asked for.
    seen: RefCell<Vec<String>>,
}

/// How a connection ends is the client's to judge.
async fn connection(app: Rc<App>, stream: TcpStream) {
    let mut start = [0; 3];
    let two = matches!(stream.peek(&mut start).await, Ok(3)) && start == *b"PRI";
    drop(stream.set_nodelay(true));
    let io = TokioIo::new(stream);
    let service = service_fn(move |request| answer(app.clone(), request));
    if two {
        let mut builder = hyper::server::conn::http2::Builder::new(Local);
        drop(
            builder
                .timer(TokioTimer::new())
                .serve_connection(io, service)
                .await,
        );
    } else {
        let builder = hyper::server::conn::http1::Builder::new();
        drop(builder.serve_connection(io, service).with_upgrades().await);
    }
}

async fn answer(app: Rc<App>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    println!("{} {path} {:?}", request.method(), request.version());
    let before = app.seen.borrow().clone();
    app.seen.borrow_mut().push(path.clone());
    let name = app.web.name.clone();
    if let "/break" | "/mend" = path.as_str() {
        app.broken.set(path == "/break");
    } else if app.broken.get() {
        let broken = text(StatusCode::INTERNAL_SERVER_ERROR, format!("{name} is broken\n"));
        return Ok(signed(broken, &name));
    }
    let response = if grpc::is(&request) {
        grpc::answer(&name, request).await
    } else if websocket::is(&request) {
        websocket::answer(request)
    } else {
        as_the_path_says(&name, &before, &path, &request).await
    };
    Ok(signed(response, &name))
}

fn signed(mut response: Response<Body>, name: &str) -> Response<Body> {
    if let Ok(name) = HeaderValue::from_str(name) {
        response.headers_mut().insert("x-served-by", name);
    }
    response
}

async fn as_the_path_says(
    name: &str,
    before: &[String],
    path: &str,
    request: &Request<Incoming>,
) -> Response<Body> {
    let words: Vec<_> = path.trim_start_matches('/').split('/').collect();
    let number = |text: &str| text.parse::<u16>().unwrap_or(0);
    let usual = || format!("{name} answers {} {path}\n", request.method());
    match words.as_slice() {
        ["status", code, ..] => {
            let code = StatusCode::from_u16(number(code)).unwrap_or(StatusCode::BAD_REQUEST);
            text(code, usual())
        }
        ["flaky", failures, ..] => {
            let earlier = before.iter().filter(|p| *p == path).count();
            match earlier < number(failures).into() {
                true => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{name} stumbles\n")),
                false => text(StatusCode::OK, usual()),
            }
        }
        ["slow", ms, ..] => {
            tokio::time::sleep(Duration::from_millis(number(ms).into())).await;
            text(StatusCode::OK, usual())
        }
        ["hex", digits, ms, ..] => {
            tokio::time::sleep(Duration::from_millis(number(ms).into())).await;
            let pairs = digits.as_bytes().chunks(2);
            let bytes = pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
            let said = String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned();
            text(StatusCode::OK, said)
        }
        ["headers", ..] => {
            let mut lines = format!("{name}\n:authority: {}\n", authority(request));
            for (key, value) in request.headers() {
                lines += &format!("{key}: {}\n", String::from_utf8_lossy(value.as_bytes()));
            }
            text(StatusCode::OK, lines)
        }
        ["seen", key, ..] => {
            let others = before.iter().filter(|p| !p.starts_with("/seen/"));
            let count = others.filter(|p| p.contains(key)).count();
            let status = if count > 0 {
                StatusCode::OK
            } else {
                StatusCode::NOT_FOUND
            };
            text(status, format!("{name} has seen {count}\n"))
        }
        _ => text(StatusCode::OK, usual()),
    }
}

fn authority(request: &Request<Incoming>) -> String {
    let host = request.headers().get(header::HOST);
    let host = host.map(|h| String::from_utf8_lossy(h.as_bytes()).into_owned());
    match request.version() {
        Version::HTTP_2 => request.uri().authority().map(ToString::to_string),
        _ => host,
    }
    .unwrap_or_default()
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response
}

/// Tasks of hyper's, on this thread.
#[derive(Clone, Copy)]
pub(crate) struct Local;

impl<F: Future<Output = ()> + 'static> Executor<F> for Local {
    fn execute(&self, task: F) {
        drop(spawn_local(task));
    }
}
