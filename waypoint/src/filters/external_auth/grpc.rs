//! Asking on Envoy's wire (`envoy.service.auth.v3`).

use std::collections::BTreeMap;

use http::Version;
use mesh_extensions::authorization::{CHECK, Check, Checked, CheckedBody, CheckedRequest, Peer};
use mesh_model::l7::authorization::ExternalAuth;
use mesh_model::l7::request::Metadata;

use super::{Answer, AskError, Changes, Sent, denied};
use crate::connection::Accepted;
use crate::exchange::Exchange;
use crate::filters::call::unary;
use crate::worker::Worker;

/// Asks about a request.
pub(super) async fn ask(
    exchange: &Exchange,
    provider: &ExternalAuth,
    body: Option<Sent>,
) -> Result<Answer, AskError> {
    let request = request(exchange, body);
    let check = Check {
        time: Some(exchange.story.began),
        request: Some(request),
        ..about(&exchange.worker, &exchange.accepted)
    };
    let answer = send(&exchange.worker, provider, &check).await?;
    Ok(match answer {
        Checked::Allowed(allowed) => Answer::Allowed(Changes {
            request: allowed.headers,
            remove: allowed.remove,
            query: allowed.query,
            remove_query: allowed.remove_query,
            answer: allowed.response_headers,
            metadata: Metadata::new(allowed.metadata),
        }),
        Checked::Denied(answer) => Answer::Denied(
            denied(answer.status, &answer.headers, answer.body.into()),
            Metadata::new(answer.metadata),
        ),
    })
}

/// Asks about a connection.
pub(super) async fn ask_connection(
    worker: &Worker,
    accepted: &Accepted,
    provider: &ExternalAuth,
) -> Result<bool, AskError> {
    let answer = send(worker, provider, &about(worker, accepted)).await?;
    Ok(matches!(answer, Checked::Allowed(_)))
}

async fn send(worker: &Worker, provider: &ExternalAuth, check: &Check) -> Result<Checked, AskError> {
    let answer = unary(
        worker,
        &provider.service,
        CHECK,
        &check.encode(),
        provider.timeout,
    )
    .await?;
    Ok(Checked::decode(&answer)?)
}

fn about(worker: &Worker, accepted: &Accepted) -> Check {
    let peer = accepted.client.peer.addr();
    Check {
        source: Peer {
            address: peer,
            principal: accepted.client.identity.as_ref().map(ToString::to_string),
            labels: BTreeMap::new(),
        },
        destination: Peer {
            address: accepted.client.destination,
            principal: Some(worker.identity.to_string()),
            labels: BTreeMap::new(),
        },
        time: None,
        request: None,
        server_name: accepted.client.server_name.as_ref().map(ToString::to_string),
    }
}

fn request(exchange: &Exchange, body: Option<Sent>) -> CheckedRequest {
    let view = exchange.view();
    let path = view.path_and_query().into_owned();
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for name in view.headers.keys() {
        if let Some(value) = view.header(name.as_str()) {
            headers.insert(name.to_string(), value.into_owned());
        }
    }
    let pseudo = [
        (":authority", view.authority),
        (":method", view.method.as_str()),
        (":path", path.as_str()),
        (":scheme", view.scheme),
    ];
    headers.extend(pseudo.map(|(name, value)| (name.to_owned(), value.to_owned())));
    if let Some(sent) = &body {
        headers.insert(PARTIAL.to_owned(), (!sent.complete).to_string());
    }
    CheckedRequest {
        id: headers.get("x-request-id").cloned().unwrap_or_default(),
        method: view.method.to_string(),
        path,
        host: view.authority.to_owned(),
        scheme: view.scheme.to_owned(),
        protocol: protocol(exchange.head.version).to_owned(),
        headers,
        size: body.as_ref().map(|sent| sent.bytes.len() as u64),
        body: body.map(|sent| match sent.as_bytes {
            true => CheckedBody::Bytes(sent.bytes),
            // Protobuf's texts are UTF-8.
            false => CheckedBody::Text(String::from_utf8_lossy(&sent.bytes).into_owned()),
        }),
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

/// Whether the body is only the beginning (Envoy).
pub(super) const PARTIAL: &str = "x-envoy-auth-partial-body";
