//! Pages of the mesh's parts: over HTTP, or from a file that was saved.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::args::{ControlPlane, ExplainArgs, Proxy};
use crate::explain::{Connection, Explained};

/// Somebody who can be asked.
pub trait Reach {
    /// The base address.
    fn url(&self) -> &str;
    /// What was saved of the page, instead.
    fn file(&self) -> Option<&Path>;
    /// What it is, for people.
    fn who(&self) -> &'static str;
}

impl Reach for ControlPlane {
    fn url(&self) -> &str {
        &self.url
    }

    fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    fn who(&self) -> &'static str {
        "the control plane"
    }
}

impl Reach for Proxy {
    fn url(&self) -> &str {
        &self.url
    }

    fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    fn who(&self) -> &'static str {
        "the proxy"
    }
}

/// The version that a proxy says it is.
///
/// # Errors
/// Fails as [`page`] does.
pub fn version(proxy: &Proxy) -> anyhow::Result<Value> {
    Ok(page(proxy, "/config_dump")?["version"].take())
}

/// What ztunnel says of a connection, and what its waypoint does, where that may be asked.
///
/// # Errors
/// Fails as [`page`] does, and when an answer is not what this version understands.
pub fn explain(args: &ExplainArgs) -> anyhow::Result<Explained> {
    let query = query(&[("from", &args.from), ("to", &args.to)]);
    let ztunnel = page(&args.reach, &format!("/explain?{query}"))?;
    let connection = Connection::read(&ztunnel).context("the proxy's answer")?;
    let waypoint = match &args.waypoint_url {
        Some(url) if connection.meets_waypoint() => {
            let waypoint = Proxy {
                url: url.clone(),
                file: None,
            };
            let mut asked = vec![
                ("to", connection.authority.as_str()),
                ("from", &connection.identity),
            ];
            let host = args.to.rsplit_once(':').map_or("", |(host, _)| host);
            let headers = args.headers.join("\n");
            if let (Some(method), Some(path)) = (&args.method, &args.path) {
                asked.extend([
                    ("method", method.as_str()),
                    ("path", path),
                    ("host", host),
                    ("headers", &headers),
                ]);
            }
            Some(page(&waypoint, &format!("/explain?{}", self::query(&asked)))?)
        }
        _ => None,
    };
    Explained::of(&ztunnel, waypoint.as_ref()).context("an answer")
}

fn query(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", escaped(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// RFC 3986, section 2.1: everything but the unreserved characters.
fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// A page as JSON.
///
/// # Errors
/// Fails when nobody answers, when the answer is none, or is no JSON.
pub fn page(reach: &impl Reach, path: &str) -> anyhow::Result<Value> {
    let bytes = match reach.file() {
        Some(file) => saved(file)?,
        None => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let url = format!("{}{path}", reach.url().trim_end_matches('/'));
            let answer = runtime.context("a runtime")?.block_on(get(&url));
            answer.with_context(|| {
                format!(
                    "{} does not answer at {url}; is it there, and is this the right --url?",
                    reach.who()
                )
            })?
        }
    };
    serde_json::from_slice(&bytes).with_context(|| format!("{path} of {} is no JSON", reach.who()))
}

fn saved(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("standard input")?;
        return Ok(bytes);
    }
    std::fs::read(file).with_context(|| file.display().to_string())
}

async fn get(url: &str) -> anyhow::Result<Vec<u8>> {
    tokio::time::timeout(PATIENCE, get_patiently(url))
        .await
        .map_err(|_| anyhow!("no answer within {} s", PATIENCE.as_secs()))?
}

async fn get_patiently(url: &str) -> anyhow::Result<Vec<u8>> {
    let uri: Uri = url.parse().context("the address is none")?;
    if uri.scheme_str() != Some("http") {
        bail!("the address has to begin with http://");
    }
    let authority = uri.authority().context("the address names no host")?.clone();
    let port = authority.port_u16().unwrap_or(80);
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, port)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(http::header::HOST, authority.as_str())
        .body(Empty::<Bytes>::new())?;
    let asked = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_PAGE).collect().await;
        let body = body.map_err(|why| anyhow!("its answer: {why}"))?.to_bytes();
        match status {
            StatusCode::OK => Ok(body.to_vec()),
            status => bail!("{status}: {}", String::from_utf8_lossy(&body).trim()),
        }
    };
    tokio::pin!(connection);
    tokio::pin!(asked);
    tokio::select! {
        answer = &mut asked => answer,
        ended = &mut connection => match ended {
            Err(why) => Err(why.into()),
            // It closes once it has answered.
            Ok(()) => asked.await,
        },
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes: a mesh of 100,000 workloads has dumps of about this size.
const MAX_PAGE: usize = 256 * 1024 * 1024;
