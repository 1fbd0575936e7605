//! Copies of requests, to see how others would answer: sent and forgotten. Nothing of the original waits for them.

use http::{HeaderValue, Request};
use http_body_util::BodyExt;
use mesh_model::l7::filter::{BackendFilter, Filter, Mirror};
use tokio::time::timeout;

use super::forward::{request, version};
use crate::body::{Body, Replay};
use crate::connection::Accepted;
use crate::exchange::Exchange;
use crate::filters::edits::Outgoing;
use crate::route::{Forward, Rule};
use crate::upstream::call::Busy;
use crate::upstream::http::HttpVersion;
use crate::upstream::{Ask, ClusterKey, Upstream};

/// Sends the copies that the rule and its destination want, by their shares. A request that changes its protocol has
/// none.
pub(super) fn send(exchange: &Exchange, outgoing: &Outgoing, forward: &Forward, body: Option<&Replay>) {
    let Some(rule) = &forward.rule else { return };
    if exchange.upgrade.is_some() {
        return;
    }
    for mirror in mirrors(rule) {
        if !mirror.share.takes(fastrand::u64(..)) {
            continue;
        }
        let Some(key) = ClusterKey::of(&mirror.destination) else {
            continue;
        };
        let upstream = exchange.worker.upstream.clone();
        let version = version(exchange, &upstream.cluster(&key));
        let body = body.map_or_else(Body::empty, |body| body.copy().into());
        let mut copy = request(exchange, outgoing, version, body);
        let settings = &exchange.worker.settings;
        if settings.shadow_suffix {
            mark(&mut copy);
        }
        let limit = forward.timeouts.request.filter(|limit| !limit.is_zero());
        let limit = limit.unwrap_or(settings.mirror_timeout);
        let accepted = exchange.accepted.clone();
        exchange
            .worker
            .tasks
            .spawn_local("copy of a request", async move {
                // Whatever becomes of it, nobody is told.
                let _ = timeout(limit, deliver(upstream, &accepted, key, version, copy)).await;
            });
    }
}

fn mirrors(rule: &Rule) -> impl Iterator<Item = &Mirror> {
    let of_rule = rule.http().into_iter().flat_map(|http| &http.filters);
    let of_rule = of_rule.filter_map(|filter| match filter {
        Filter::Mirror(mirror) => Some(mirror),
        _ => None,
    });
    let of_backend = rule
        .http_backend()
        .into_iter()
        .flat_map(|backend| &backend.filters);
    of_rule.chain(of_backend.filter_map(|filter| match filter {
        BackendFilter::Mirror(mirror) => Some(mirror),
        _ => None,
    }))
}

/// `-shadow` in front of the port, as Envoy.
fn mark(copy: &mut Request<Body>) {
    let named = copy
        .headers()
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok());
    let named = named.or_else(|| copy.uri().authority().map(|authority| authority.as_str()));
    let Some(named) = named.map(shadowed) else { return };
    if copy.headers().contains_key(http::header::HOST) {
        if let Ok(host) = HeaderValue::from_str(&named) {
            copy.headers_mut().insert(http::header::HOST, host);
        }
        return;
    }
    let mut parts = copy.uri().clone().into_parts();
    parts.authority = named.parse().ok();
    if let Ok(uri) = http::Uri::from_parts(parts) {
        *copy.uri_mut() = uri;
    }
}

fn shadowed(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => format!("{name}-shadow:{port}"),
        _ => format!("{host}-shadow"),
    }
}

async fn deliver(
    upstream: Upstream,
    accepted: &Accepted,
    key: ClusterKey,
    version: HttpVersion,
    copy: Request<Body>,
) {
    let cluster = upstream
        .destination_from(&accepted.frontend, &key, None, None)
        .await;
    let (Some(_permit), Some(endpoint)) = (cluster.begin(), cluster.pick(&Ask::default())) else {
        return;
    };
    let _busy = Busy::new(&endpoint);
    let sent = endpoint
        .http
        .send(upstream.shared(), &endpoint, version, copy, false)
        .await;
    let Ok(answered) = sent else { return };
    let mut body = answered.response.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    answered.lease.done();
}
