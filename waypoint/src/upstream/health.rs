//! Endpoints are asked whether they are well (HealthCheckPolicy): by one worker for all, in a task for each destination.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ::http::{HeaderValue, Method, Request, Version, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use mesh_balance::health::{Changed, Check};
use mesh_model::AppProtocol;
use mesh_model::l7::health::{HealthCheck, Probe};
use mesh_types::Strng;
use tokio::time::{sleep, timeout};

use super::cluster::Toward;
use super::connect::connect;
use super::http::{Answered, HttpConnections, HttpVersion};
use super::registry::Checker;
use super::{Cluster, ClusterKey, Endpoint, Shared};
use crate::body::Body;

/// Begins to ask, if it is wanted and nobody does.
pub(super) fn watch(cluster: &Rc<Cluster>, shared: &Rc<Shared>) {
    let wanted = cluster.rules().is_some_and(|rules| rules.health().is_some());
    if !wanted || cluster.checking.get() {
        return;
    }
    let Some(duty) = cluster.common.checker() else {
        return;
    };
    cluster.checking.set(true);
    let task = ask_all(Rc::downgrade(cluster), shared.clone(), duty);
    shared
        .tasks
        .spawn_local(format!("health checks of {}", cluster.name()), task);
}

/// Endpoints under check, by key.
type Checks = Rc<RefCell<HashMap<Strng, Checked>>>;

struct Checked {
    check: Check,
    /// It is being asked.
    asking: bool,
}

/// Asks all endpoints, each when it is its turn, until nobody wants that any more.
async fn ask_all(cluster: Weak<Cluster>, shared: Rc<Shared>, duty: Checker) {
    let checks = Checks::default();
    while let Some(wait) = cluster
        .upgrade()
        .and_then(|cluster| ask_those_due(&cluster, &checks, &shared))
    {
        sleep(wait).await;
    }
    if let Some(cluster) = cluster.upgrade() {
        // Nobody may be left out by checks that nobody makes.
        for host in cluster.common.group.all() {
            cluster.common.group.checked(&host, Changed::Well);
        }
        cluster.checking.set(false);
    }
    drop(duty);
}

/// Says when to look again; nothing when endpoints are not to be asked any more.
fn ask_those_due(cluster: &Rc<Cluster>, checks: &Checks, shared: &Rc<Shared>) -> Option<Duration> {
    let rules = cluster.rules()?;
    let health = rules.health()?;
    let (now, endpoints) = (cluster.common.now(), cluster.endpoints());
    let mut all = checks.borrow_mut();
    all.retain(|key, _| endpoints.iter().any(|endpoint| endpoint.host.key() == key));
    let mut next = now + LONGEST_SLEEP;
    for endpoint in endpoints.iter() {
        let checked = all.entry(endpoint.host.key().clone()).or_insert_with(|| Checked {
            check: Check::new(health, now, &mut || fastrand::u64(..)),
            asking: false,
        });
        if checked.asking {
            continue;
        }
        if checked.check.due() > now {
            next = next.min(checked.check.due());
            continue;
        }
        checked.asking = true;
        let ask = ask(
            cluster.clone(),
            endpoint.clone(),
            health.clone(),
            checks.clone(),
            shared.clone(),
        );
        shared.tasks.spawn_local("health check", ask);
    }
    Some(next.since(now).max(SHORTEST_SLEEP))
}

async fn ask(
    cluster: Rc<Cluster>,
    endpoint: Rc<Endpoint>,
    health: HealthCheck,
    checks: Checks,
    shared: Rc<Shared>,
) {
    let good = timeout(health.timeout, probe(&cluster, &endpoint, &health.probe, &shared)).await;
    let good = good.unwrap_or(false);
    let mut all = checks.borrow_mut();
    let Some(checked) = all.get_mut(endpoint.host.key()) else {
        return;
    };
    checked.asking = false;
    let now = cluster.common.now();
    let changed = checked
        .check
        .answered(good, &health, now, &mut || fastrand::u64(..));
    let Some(changed) = changed else { return };
    let (name, address) = (cluster.name(), endpoint.address);
    tracing::info!(cluster = %name, endpoint = %address, well = changed == Changed::Well, "a health check changed its mind");
    cluster.common.group.checked(&endpoint.host, changed);
}

/// Whether the endpoint says that it is well.
async fn probe(cluster: &Cluster, endpoint: &Endpoint, probe: &Probe, shared: &Rc<Shared>) -> bool {
    match probe {
        Probe::Tcp => connect(shared, endpoint).await.is_ok(),
        Probe::Http { path, host, statuses } => {
            let host = host.clone().unwrap_or_else(|| host_of(cluster));
            let version = match cluster.protocol() {
                AppProtocol::Http2 | AppProtocol::Grpc | AppProtocol::GrpcWeb => HttpVersion::Http2,
                _ => HttpVersion::Http1,
            };
            let Some(request) = request(Method::GET, path, &host, version, Body::empty()) else {
                return false;
            };
            let Ok(answered) = HttpConnections::send_apart(shared, endpoint, version, request).await else {
                return false;
            };
            let status = answered.response.status().as_u16();
            match statuses.is_empty() {
                true => status == 200,
                false => statuses
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&status)),
            }
        }
        Probe::Grpc { service } => {
            let body = Body::full(health_request(service));
            let version = HttpVersion::Http2;
            let Some(mut request) = request(Method::POST, GRPC_CHECK, &host_of(cluster), version, body)
            else {
                return false;
            };
            let headers = request.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
            match HttpConnections::send_apart(shared, endpoint, version, request).await {
                Ok(answered) => is_serving(answered).await,
                Err(_) => false,
            }
        }
    }
}

fn host_of(cluster: &Cluster) -> Strng {
    match &cluster.key {
        ClusterKey::Service(at, _)
        | ClusterKey::Through(at, _)
        | ClusterKey::Toward(at, _, Toward::Address(_)) => at.service.hostname.clone(),
        ClusterKey::Host(_, host) | ClusterKey::Toward(_, _, Toward::Host(host)) => host.clone(),
        ClusterKey::Workload(_, address) => address.to_string().into(),
        ClusterKey::Backend(name) => name.clone(),
    }
}

fn request(
    method: Method,
    path: &str,
    host: &str,
    version: HttpVersion,
    body: Body,
) -> Option<Request<Body>> {
    let builder = Request::builder()
        .method(method)
        .header(header::USER_AGENT, "lateen-health-check");
    let request = match version {
        HttpVersion::Http1 => builder.uri(path).header(header::HOST, host),
        HttpVersion::Http2 => builder
            .uri(format!("http://{host}{path}"))
            .version(Version::HTTP_2),
    };
    request.body(body).ok()
}

/// A `grpc.health.v1.HealthCheckRequest` in its frame: one text, in field 1.
fn health_request(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() && service.len() < 128 {
        message.extend([0x0a, service.len() as u8]);
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0, 0, 0, 0, message.len() as u8];
    frame.extend(message);
    frame.into()
}

/// Whether that is an answer with `SERVING`: 1 in field 1.
async fn is_serving(answered: Answered) -> bool {
    let (head, body) = answered.response.into_parts();
    let failed = |headers: &::http::HeaderMap| headers.get("grpc-status").is_some_and(|status| status != "0");
    if head.status != 200 || failed(&head.headers) {
        return false;
    }
    let Ok(body) = Limited::new(body, LONGEST_ANSWER).collect().await else {
        return false;
    };
    let trailers_fail = body.trailers().is_some_and(failed);
    !trailers_fail && body.to_bytes().as_ref() == [0, 0, 0, 0, 2, 0x08, 1]
}

const GRPC_CHECK: &str = "/grpc.health.v1.Health/Check";
const LONGEST_ANSWER: usize = 1024;
/// A changed rule or a new endpoint is seen at least so soon.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
const SHORTEST_SLEEP: Duration = Duration::from_millis(5);
