//! A provider of the mesh's configuration that is asked whether requests may pass (Istio reference, "Global Mesh
//! Options", `envoyExtAuthzHttp`, `envoyExtAuthzGrpc`).

use std::time::Duration;

use controlplane_k8s_api::mesh::{
    ExtAuthzBody, ExtAuthzGrpcProvider, ExtAuthzHttpProvider, ExtensionProvider, ProviderKind,
};
use controlplane_k8s_api::validate::http;
use mesh_model::l7::authorization::{ExternalAuth, ExternalAuthBody, ExternalAuthProtocol};
use mesh_model::l7::{ServicePort, TextMatch};
use mesh_types::Strng;

use super::{providers, text};

/// Who is asked; or why nobody can be, as a sentence about the provider.
pub(super) fn external_auth(
    provider: &ExtensionProvider,
    services: &impl providers::Services,
) -> Result<ExternalAuth, String> {
    let name = &provider.name;
    let auth = match &provider.kind {
        ProviderKind::ExtAuthzHttp(http) => over_http(name, http, services),
        ProviderKind::ExtAuthzGrpc(grpc) => over_grpc(name, grpc, services),
        _ => Err("decides nothing: it is neither envoyExtAuthzHttp nor envoyExtAuthzGrpc".to_owned()),
    };
    auth.map_err(|why| format!("provider {name:?} {why}"))
}

fn over_http(
    name: &Strng,
    provider: &ExtAuthzHttpProvider,
    services: &impl providers::Services,
) -> Result<ExternalAuth, String> {
    let include = match provider.include_request_headers_in_check.is_empty() {
        true => &provider.include_headers_in_check,
        false => &provider.include_request_headers_in_check,
    };
    let additional = provider.include_additional_headers_in_check.iter();
    let additional = additional.map(|(header, value)| {
        http::header_value(value)?;
        Ok((text::header(header)?, value.clone()))
    });
    let additional: Result<Vec<(Strng, Strng)>, String> = additional.collect();
    Ok(ExternalAuth {
        provider: name.clone(),
        service: service(&provider.service, provider.port, services)?,
        protocol: ExternalAuthProtocol::Http {
            path_prefix: path_prefix(&provider.path_prefix)?,
            include_request_headers: headers("includeRequestHeadersInCheck", include)?,
            additional_headers: additional
                .map_err(|why| format!("has an includeAdditionalHeadersInCheck that {why}"))?,
            upstream_headers_on_allow: headers(
                "headersToUpstreamOnAllow",
                &provider.headers_to_upstream_on_allow,
            )?,
            downstream_headers_on_allow: headers(
                "headersToDownstreamOnAllow",
                &provider.headers_to_downstream_on_allow,
            )?,
            downstream_headers_on_deny: headers(
                "headersToDownstreamOnDeny",
                &provider.headers_to_downstream_on_deny,
            )?,
        },
        timeout: provider.timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.0),
        fail_open: provider.fail_open,
        status_on_error: status(&provider.status_on_error)?,
        clear_route_cache: provider.clear_route_cache,
        body: body(provider.include_request_body_in_check)?,
    })
}

fn over_grpc(
    name: &Strng,
    provider: &ExtAuthzGrpcProvider,
    services: &impl providers::Services,
) -> Result<ExternalAuth, String> {
    Ok(ExternalAuth {
        provider: name.clone(),
        service: service(&provider.service, provider.port, services)?,
        protocol: ExternalAuthProtocol::Grpc,
        timeout: provider.timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.0),
        fail_open: provider.fail_open,
        status_on_error: status(&provider.status_on_error)?,
        clear_route_cache: provider.clear_route_cache,
        body: body(provider.include_request_body_in_check)?,
    })
}

fn service(host: &str, port: u16, services: &impl providers::Services) -> Result<ServicePort, String> {
    providers::service_port(host, port, services)
}

fn path_prefix(prefix: &str) -> Result<Strng, String> {
    match prefix.is_empty() || (prefix.starts_with('/') && !prefix.bytes().any(|b| b.is_ascii_control())) {
        true => Ok(prefix.into()),
        false => Err(format!("has a pathPrefix that is none: {prefix:?}")),
    }
}

/// Names of headers, with a `*` at one end.
fn headers(field: &str, patterns: &[Strng]) -> Result<Vec<TextMatch>, String> {
    let lower = |pattern: &Strng| text::starred(&pattern.to_ascii_lowercase());
    let patterns: Result<Vec<_>, String> = patterns.iter().map(lower).collect();
    patterns.map_err(|why| format!("has a {field} that {why}"))
}

fn status(text: &str) -> Result<u16, String> {
    if text.is_empty() {
        return Ok(403);
    }
    let status = text.parse().ok().filter(|status| (200..=599).contains(status));
    status.ok_or_else(|| format!("has a statusOnError that is none: {text:?}"))
}

fn body(body: Option<ExtAuthzBody>) -> Result<Option<ExternalAuthBody>, String> {
    let Some(body) = body else { return Ok(None) };
    if body.max_request_bytes == 0 {
        return Err("has an includeRequestBodyInCheck without maxRequestBytes".to_owned());
    }
    Ok(Some(ExternalAuthBody {
        limit: body.max_request_bytes,
        allow_partial: body.allow_partial_message,
        as_bytes: body.pack_as_bytes,
    }))
}

/// Upstream's; whoever reads the configuration is warned of it.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
