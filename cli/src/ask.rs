//! Pages of the mesh's parts: of a cluster's, through its API server; of one that runs elsewhere, over HTTP; from a file
//! that was saved.
//!
//! # Layout
//! - this file: which of the three, and the page as JSON. [`cluster`]: pods of a cluster. `http`: one request. `explain`: what
//!   proxies say of a connection, and the objects behind it.

pub mod cluster;
mod explain;
mod http;

pub use explain::explain;

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use ::http::{Method, Uri};
use anyhow::{Context as _, anyhow, bail};
use futures_util::{StreamExt as _, stream};
use mesh_kube::ObjectName;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::args::{AuthzArgs, Cluster, NodeArgs, Place, WaypointRoutesArgs};
use crate::authz::waypoints::Said;
use crate::authz::{self, Checked};
use crate::exit::Failure;
use crate::node::older::Older;
use crate::status::lifetimes::Lifetimes;
use crate::status::{Certificates, Status};
use crate::version::Versions;
use cluster::Asked;

/// How each proxy stands, by what the replicas of the control plane say, or the one that was named; who runs without them; and how
/// long certificates are good: each proxy is asked itself, as far as it can be. `now` is in seconds since 1970.
///
/// # Errors
/// Fails when a replica does not answer, or not with the page; not where a proxy does not answer.
pub async fn status(place: &Place, cluster: &Cluster, now: i64) -> Result<Status, Failure> {
    let mut certificates = Certificates {
        others: "only proxies in a cluster are asked".to_owned(),
        now,
        ..Certificates::default()
    };
    if let Some(page) = named(place, SYNCZ).await? {
        let status = Status::read(&page).map_err(Failure::answer)?;
        return Ok(status.with(certificates));
    }
    let cluster = Asked::connect(cluster).await?;
    let status = connected(&cluster, now).await?;
    let absent = status.absent().iter().map(|one| one.name.clone());
    let names: Vec<ObjectName> = status.names().chain(absent).collect();
    let asked = stream::iter(names).map(async |name| {
        let lifetimes = lifetimes(&cluster, &name).await;
        let shown = format!("{}.{}", name.name, name.namespace);
        (
            shown,
            lifetimes.unwrap_or_else(|why| Lifetimes::Unknown(format!("{why:#}"))),
        )
    });
    certificates.of = asked.buffer_unordered(AT_ONCE).collect().await;
    Ok(status.with(certificates))
}

/// What the replicas say of their clients, beside the proxies that run.
async fn connected(cluster: &Asked, now: i64) -> Result<Status, Failure> {
    let look = async || {
        let running = cluster.proxies().await.map_err(|why| format!("{why:#}"));
        let status = Status::read(&clients(cluster).await?).map_err(Failure::answer)?;
        Ok::<_, Failure>(status.beside(running, now))
    };
    let status = look().await?;
    if status.absent().is_empty() {
        return Ok(status);
    }
    // Between two replicas a proxy is nobody's for a moment.
    tokio::time::sleep(TO_CONNECT_ELSEWHERE).await;
    look().await
}

async fn clients(cluster: &Asked) -> anyhow::Result<Value> {
    let mut all = Vec::new();
    for pod in cluster.control_planes().await? {
        match json(&cluster.page(&pod, MONITORING, SYNCZ).await?, SYNCZ)? {
            Value::Array(clients) => all.extend(clients),
            _ => bail!("{SYNCZ} of pod {} is no list", pod.shown()),
        }
    }
    Ok(all.into())
}

/// Which versions the replicas of the control plane and its proxies are of, or the part that was named.
///
/// # Errors
/// Fails as [`status`] does, and after some seconds.
pub async fn versions(place: &Place, cluster: &Cluster) -> anyhow::Result<Versions> {
    if let Some(url) = &place.url {
        return version_at(url).await;
    }
    if let Some(page) = named(place, "/config_dump").await? {
        return Ok(Versions::of_proxy(&page));
    }
    let asked = async {
        let cluster = Asked::connect(cluster).await?;
        let mut versions = Versions::default();
        for pod in cluster.control_planes().await? {
            let line = cluster.page(&pod, MONITORING, "/version").await?;
            versions.control_plane(&pod.shown(), &text(line));
            versions.clients(&json(&cluster.page(&pod, MONITORING, SYNCZ).await?, SYNCZ)?);
        }
        Ok(versions)
    };
    let asked = tokio::time::timeout(PATIENCE, asked).await;
    asked.unwrap_or_else(|_| Err(anyhow!("no answer within {} s", PATIENCE.as_secs())))
}

/// The version of what serves its pages here: a control plane has a page of it, proxies say it with all that they know.
async fn version_at(url: &str) -> anyhow::Result<Versions> {
    let Ok(line) = answer(Method::GET, url, "/version").await else {
        let page = over_http(url, "/config_dump").await?;
        return Ok(Versions::of_proxy(&page));
    };
    let mut versions = Versions::default();
    versions.control_plane(url, &text(line));
    // Whoever asks from another machine is not told who is connected.
    if let Ok(clients) = over_http(url, SYNCZ).await {
        versions.clients(&clients);
    }
    Ok(versions)
}

/// What a proxy says of its certificates. Upstream's, and older ones of ours, have no page of them alone.
async fn lifetimes(cluster: &Asked, proxy: &ObjectName) -> anyhow::Result<Lifetimes> {
    if let Ok(page) = cluster.page_of(proxy, ADMIN, "/certificates").await {
        return Ok(Lifetimes::read(&json(&page, "/certificates")?)?);
    }
    let page = cluster.page_of(proxy, ADMIN, "/config_dump").await?;
    let found = Lifetimes::of_dump(&json(&page, "/config_dump")?);
    found.context("it does not say")
}

/// What the ztunnel of a node knows, or the proxy that was named.
///
/// # Errors
/// Fails as [`status`] does.
pub async fn dump(place: &Place, cluster: &Cluster, node: Option<&str>) -> anyhow::Result<Value> {
    let path = "/config_dump";
    if let Some(page) = named(place, path).await? {
        return Ok(page);
    }
    let cluster = Asked::connect(cluster).await?;
    let pod = cluster.ztunnel(node).await?;
    json(&cluster.page(&pod, ADMIN, path).await?, path)
}

/// What the ztunnel of a node knows, and what its agent says of connections that pass it by. Who cannot ask the agent is told
/// why.
///
/// # Errors
/// Fails as [`status`] does.
pub async fn connections(args: &NodeArgs, cluster: &Cluster) -> anyhow::Result<(Value, Older)> {
    let path = "/config_dump";
    if let Some(page) = named(&args.place, path).await? {
        let why = "only a cluster's node agents are asked";
        return Ok((page, Older::unknown(why)));
    }
    let cluster = Asked::connect(cluster).await?;
    let pod = cluster.ztunnel(args.node.as_deref()).await?;
    let page = json(&cluster.page(&pod, ADMIN, path).await?, path)?;
    let older = older(&cluster, pod.node()).await;
    Ok((
        page,
        older.unwrap_or_else(|why| Older::unknown(&format!("{why:#}"))),
    ))
}

async fn older(cluster: &Asked, node: &str) -> anyhow::Result<Older> {
    let path = "/connections";
    let agents = cluster.agents().await?;
    let agent = agents.iter().find(|agent| agent.node() == node);
    let agent = agent.with_context(|| format!("no node agent runs on node {node}"))?;
    let page = cluster.agents_page(agent, path).await?;
    Older::read(&json(&page, path)?).with_context(|| format!("{path} of pod {}", agent.shown()))
}

/// Which policies decide about what comes to a pod, by the ztunnel of its node, or the proxy that was named, and by its waypoints.
///
/// # Errors
/// Fails as [`status`] does; not where a waypoint does not answer.
pub async fn authorizations(args: &AuthzArgs, cluster: &Cluster) -> anyhow::Result<Checked> {
    let path = "/config_dump";
    let mut asked = None;
    let page = match named(&args.place, path).await? {
        Some(page) => page,
        None => {
            let cluster = asked.insert(Asked::connect(cluster).await?);
            let pod = cluster.ztunnel_of(&args.pod).await?;
            json(&cluster.page(&pod, ADMIN, path).await?, path)?
        }
    };
    let mut checked = authz::check(&page, &args.pod)?;
    for waypoint in checked.waypoints_mut() {
        let page = match (&args.waypoint_url, &asked) {
            (Some(url), _) => over_http(url, path).await,
            (None, Some(cluster)) => of_first(cluster, &waypoint.proxies, path).await,
            (None, None) => continue,
        };
        waypoint.said = match page {
            Ok(page) => Said::read(&page),
            Err(why) => Said::Unknown(format!("{why:#}")),
        };
    }
    Ok(checked)
}

/// A page of the first of some pods that answers: all of them know the same.
async fn of_first(cluster: &Asked, pods: &[ObjectName], path: &str) -> anyhow::Result<Value> {
    let mut why = anyhow!("it has no proxy that is a Pod of this cluster");
    for pod in pods {
        match cluster.page_of(pod, ADMIN, path).await {
            Ok(page) => return json(&page, path),
            Err(error) => why = error,
        }
    }
    Err(why)
}

/// What the proxies of a waypoint know, by their names.
///
/// # Errors
/// Fails as [`status`] does.
pub async fn waypoint_dumps(
    args: &WaypointRoutesArgs,
    cluster: &Cluster,
) -> anyhow::Result<Vec<(String, Value)>> {
    let path = "/config_dump";
    if let Some(page) = named(&args.place, path).await? {
        return Ok(vec![(args.name.clone(), page)]);
    }
    let cluster = Asked::connect(cluster).await?;
    let namespace = args.namespace.as_deref();
    let namespace = namespace.unwrap_or_else(|| cluster.client().default_namespace());
    let mut pages = Vec::new();
    for pod in cluster.waypoint(namespace, &args.name).await? {
        let page = json(&cluster.page(&pod, ADMIN, path).await?, path)?;
        pages.push((pod.name().name, page));
    }
    Ok(pages)
}

/// Shows or changes what ztunnels log: of one node, of all, or the proxy that was named; what each says, by its name.
///
/// # Errors
/// Fails when somebody does not answer, or takes no such level.
pub async fn logging(args: &NodeArgs, cluster: &Cluster) -> anyhow::Result<Vec<(String, String)>> {
    if args.place.file.is_some() {
        bail!("--file: a saved page has no log; --url names a proxy");
    }
    let level = args.level.as_deref().unwrap_or_default();
    let mut asked = vec![("level", level)];
    if args.reset {
        asked.push(("reset", ""));
    }
    let path = format!("/logging?{}", query(&asked));
    if let Some(url) = &args.place.url {
        let said = answer(Method::POST, url, &path).await?;
        return Ok(vec![(url.clone(), text(said))]);
    }
    let cluster = Asked::connect(cluster).await?;
    let pods = match &args.node {
        Some(node) => vec![cluster.ztunnel(Some(node)).await?],
        None => cluster.ztunnels().await?,
    };
    let mut all = Vec::new();
    for pod in pods {
        let said = cluster.post(&pod, ADMIN, &path).await?;
        all.push((pod.shown(), text(said)));
    }
    Ok(all)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The page of the place that the command line names; nothing where it names none.
async fn named(place: &Place, path: &str) -> anyhow::Result<Option<Value>> {
    match (&place.url, &place.file) {
        (Some(url), _) => over_http(url, path).await.map(Some),
        (None, Some(file)) => {
            let page = json(&saved(file)?, path);
            let page = page.with_context(|| format!("--file {}: it is to be a saved page", file.display()));
            page.map(Some)
        }
        (None, None) => Ok(None),
    }
}

/// A page of a part that serves its pages at a URL.
pub(crate) async fn over_http(base: &str, path: &str) -> anyhow::Result<Value> {
    json(&answer(Method::GET, base, path).await?, path)
}

async fn answer(method: Method, base: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    if !base.starts_with("http://") {
        bail!("--url {base}: it has to begin with http://, as http://127.0.0.1:{ADMIN} does");
    }
    let url = format!("{}{path}", base.trim_end_matches('/'));
    let answer = tokio::time::timeout(PATIENCE, request(method, &url)).await;
    let answer = answer.unwrap_or_else(|_| Err(anyhow!("no answer within {} s", PATIENCE.as_secs())));
    answer.with_context(|| format!("no page at {url}; is it there, and is this the right --url?"))
}

async fn request(method: Method, url: &str) -> anyhow::Result<Vec<u8>> {
    let uri: Uri = url.parse().context("the address is none")?;
    let authority = uri.authority().context("the address names no host")?;
    let port = authority.port_u16().unwrap_or(80);
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, port)).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    http::ask(stream, method, authority.as_str(), path).await
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

/// What a replica of the control plane says of its clients.
const SYNCZ: &str = "/debug/syncz";
const TO_CONNECT_ELSEWHERE: Duration = Duration::from_secs(3);
/// How many proxies are asked at a time.
const AT_ONCE: usize = 16;
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The control plane's pages.
pub(crate) const MONITORING: u16 = 15014;
/// Every proxy's pages.
pub(crate) const ADMIN: u16 = 15000;
/// Every proxy's metrics.
pub(crate) const STATS: u16 = 15020;
/// The node agent's pages, on its loopback address.
pub(crate) const AGENT_ADMIN_PORT: u16 = 15010;
