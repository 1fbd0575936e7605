//! Asking with a request like the one in question (Envoy, `HttpService`; Istio, `envoyExtAuthzHttp`).

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, StatusCode, Uri};
use mesh_extensions::headers::HeaderChange;
use mesh_model::l7::TextMatch;
use mesh_model::l7::authorization::{ExternalAuth, ExternalAuthProtocol};
use mesh_model::l7::request::Metadata;

use super::grpc::PARTIAL;
use super::{Answer, AskError, Changes, Sent, denied, overwrites};
use crate::exchange::Exchange;
use crate::filters::call::{CallError, http};
use crate::filters::changes::may_change;

/// Asks about a request.
pub(super) async fn ask(
    exchange: &Exchange,
    provider: &ExternalAuth,
    body: Option<Sent>,
) -> Result<Answer, AskError> {
    let ExternalAuthProtocol::Http {
        path_prefix,
        include_request_headers,
        additional_headers,
        upstream_headers_on_allow,
        downstream_headers_on_allow,
        downstream_headers_on_deny,
    } = &provider.protocol
    else {
        return Err(CallError::NoEndpoint.into());
    };
    let mut request = Request::new(());
    request.method_mut().clone_from(&exchange.head.method);
    *request.uri_mut() = target(path_prefix, &exchange.head.uri);
    let headers = request.headers_mut();
    headers.insert(header::HOST, exchange.authority.clone());
    for (name, value) in &exchange.head.headers {
        let wanted = *name == header::AUTHORIZATION || matches(include_request_headers, name);
        if wanted && may_change(name) {
            headers.append(name, value.clone());
        }
    }
    for (name, value) in additional_headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value))
            && may_change(&name)
        {
            headers.insert(name, value);
        }
    }
    let body = match body {
        Some(sent) => {
            let partial = if sent.complete { "false" } else { "true" };
            headers.insert(PARTIAL, HeaderValue::from_static(partial));
            sent.bytes
        }
        None => Bytes::new(),
    };
    // Said even where it is 0: some servers want to know of a POST.
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let called = http(
        &exchange.worker,
        &provider.service,
        &request,
        &body,
        provider.timeout,
    )
    .await?;
    let headers = &called.head.headers;
    match called.head.status {
        StatusCode::OK => Ok(Answer::Allowed(Changes {
            request: overwrites(matching(headers, upstream_headers_on_allow)),
            remove: to_remove(headers),
            answer: overwrites(matching(headers, downstream_headers_on_allow)),
            ..Changes::default()
        })),
        status if status.is_server_error() => Err(CallError::Status(status).into()),
        status => {
            let told = on_deny(headers, downstream_headers_on_deny);
            let reply = denied(Some(status.as_u16()), &told, called.body);
            Ok(Answer::Denied(reply, Metadata::default()))
        }
    }
}

fn target(prefix: &str, uri: &Uri) -> Uri {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    // Without a prefix that can be written it is asked about the path as it is.
    format!("{prefix}{path}").parse().unwrap_or_else(|_| uri.clone())
}

fn matching<'h>(
    headers: &'h HeaderMap,
    wanted: &'h [TextMatch],
) -> impl Iterator<Item = (HeaderName, HeaderValue)> + 'h {
    let fits = |(name, _): &(&HeaderName, &HeaderValue)| matches(wanted, name) && may_change(name);
    headers
        .iter()
        .filter(fits)
        .map(|(name, value)| (name.clone(), value.clone()))
}

/// Everything where nothing is said; else what is said, and what an answer of its status needs (Envoy).
fn on_deny(headers: &HeaderMap, wanted: &[TextMatch]) -> Vec<HeaderChange> {
    let always = [header::WWW_AUTHENTICATE, header::LOCATION];
    let told = headers.iter().filter(|(name, _)| {
        may_change(name) && (wanted.is_empty() || always.contains(name) || matches(wanted, name))
    });
    overwrites(told.map(|(name, value)| (name.clone(), value.clone())))
}

fn matches(wanted: &[TextMatch], name: &HeaderName) -> bool {
    wanted.iter().any(|wanted| wanted.matches(name.as_str()))
}

/// Headers that are not for the destination, as the service wants it (Envoy).
fn to_remove(headers: &HeaderMap) -> Vec<HeaderName> {
    let lists = headers.get_all("x-envoy-auth-headers-to-remove").iter();
    let names = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    names
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}
