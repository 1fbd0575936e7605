//! Pages of the mesh's parts: of a cluster's, through its API server; of one that runs elsewhere, over HTTP; from a file
//! that was saved.
//!
//! # Layout
//! - this file: which of the three, and the page as JSON. [`cluster`]: pods of a cluster. `http`: one GET.

pub mod cluster;
mod http;

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use ::http::Uri;
use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::args::{Cluster, ExplainArgs, Place};
use crate::explain::{Connection, Explained};
use cluster::Asked;

/// How each replica of the control plane, or the one that was named, says its clients stand.
///
/// # Errors
/// Fails when somebody does not answer, or not with the page.
pub async fn syncz(place: &Place, cluster: &Cluster) -> anyhow::Result<Value> {
    let path = "/debug/syncz";
    if let Some(page) = named(place, path).await? {
        return Ok(page);
    }
    let cluster = Asked::connect(cluster).await?;
    let mut all = Vec::new();
    for pod in cluster.control_planes().await? {
        match json(&cluster.page(&pod, MONITORING, path).await?, path)? {
            Value::Array(clients) => all.extend(clients),
            _ => bail!("{path} of pod {} is no list", pod.shown()),
        }
    }
    Ok(all.into())
}

/// What the ztunnel of a node knows, or the proxy that was named.
///
/// # Errors
/// Fails as [`syncz`] does.
pub async fn dump(place: &Place, cluster: &Cluster, node: Option<&str>) -> anyhow::Result<Value> {
    let path = "/config_dump";
    if let Some(page) = named(place, path).await? {
        return Ok(page);
    }
    let cluster = Asked::connect(cluster).await?;
    let pod = cluster.ztunnel(node).await?;
    json(&cluster.page(&pod, ADMIN, path).await?, path)
}

/// What the client's ztunnel says of a connection, and what the waypoint does, where that may be asked.
///
/// # Errors
/// Fails as [`syncz`] does, and when an answer is not what this version understands.
pub async fn explain(args: &ExplainArgs, cluster: &Cluster) -> anyhow::Result<Explained> {
    let path = format!("/explain?{}", query(&[("from", &args.from), ("to", &args.to)]));
    let ztunnel = match named(&args.place, &path).await? {
        Some(page) => page,
        None => {
            let cluster = Asked::connect(cluster).await?;
            let pod = cluster.ztunnel_of(&args.from).await?;
            json(&cluster.page(&pod, ADMIN, &path).await?, &path)?
        }
    };
    let connection = Connection::read(&ztunnel).context("the proxy's answer")?;
    let waypoint = match &args.waypoint_url {
        Some(url) if connection.meets_waypoint() => {
            let path = format!("/explain?{}", request(args, &connection));
            Some(over_http(url, &path).await?)
        }
        _ => None,
    };
    Explained::of(&ztunnel, waypoint.as_ref()).context("an answer")
}

/// What a waypoint is asked about the request.
fn request(args: &ExplainArgs, connection: &Connection) -> String {
    let host = args.to.rsplit_once(':').map_or("", |(host, _)| host);
    let headers = args.headers.join("\n");
    let mut asked = vec![
        ("to", connection.authority.as_str()),
        ("from", &connection.identity),
    ];
    if let (Some(method), Some(path)) = (&args.method, &args.path) {
        asked.extend([
            ("method", method.as_str()),
            ("path", path),
            ("host", host),
            ("headers", &headers),
        ]);
    }
    query(&asked)
}

/// The page of the place that the command line names; nothing where it names none.
async fn named(place: &Place, path: &str) -> anyhow::Result<Option<Value>> {
    match (&place.url, &place.file) {
        (Some(url), _) => over_http(url, path).await.map(Some),
        (None, Some(file)) => json(&saved(file)?, path).map(Some),
        (None, None) => Ok(None),
    }
}

async fn over_http(base: &str, path: &str) -> anyhow::Result<Value> {
    let url = format!("{}{path}", base.trim_end_matches('/'));
    let answer = tokio::time::timeout(PATIENCE, get(&url)).await;
    let answer = answer.unwrap_or_else(|_| Err(anyhow!("no answer within {} s", PATIENCE.as_secs())));
    let bytes =
        answer.with_context(|| format!("no page at {url}; is it there, and is this the right --url?"))?;
    json(&bytes, path)
}

async fn get(url: &str) -> anyhow::Result<Vec<u8>> {
    let uri: Uri = url.parse().context("the address is none")?;
    if uri.scheme_str() != Some("http") {
        bail!("the address has to begin with http://");
    }
    let authority = uri.authority().context("the address names no host")?;
    let port = authority.port_u16().unwrap_or(80);
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, port)).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    http::get(stream, authority.as_str(), path).await
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

fn json(bytes: &[u8], path: &str) -> anyhow::Result<Value> {
    serde_json::from_slice(bytes).with_context(|| format!("{path}: the answer is no JSON"))
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

const PATIENCE: Duration = Duration::from_secs(10);
/// The control plane's pages.
const MONITORING: u16 = 15014;
/// Every proxy's pages.
const ADMIN: u16 = 15000;
