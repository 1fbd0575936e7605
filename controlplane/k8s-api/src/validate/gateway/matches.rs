//! What rules ask of requests.

use std::collections::HashSet;

use crate::error::FieldPath;
use crate::gateway::{GrpcMethodMatch, GrpcRouteMatch, HeaderMatch, HttpRouteMatch, PathMatch, ValueMatch};
use crate::validate::{Check, http, patterns};

pub(super) fn http_matches(check: &mut Check, path: &FieldPath, matches: &[HttpRouteMatch]) {
    check.at_most(path, matches.len(), MAX_MATCHES);
    for (i, wanted) in matches.iter().enumerate() {
        let path = path.item(i);
        let grammar = match &wanted.path {
            PathMatch::Exact(value) | PathMatch::Prefix(value) => http::path(value),
            PathMatch::Regex(value) => patterns::regex(value),
        };
        check.grammar(path.field("path").field("value"), grammar);
        headers(check, &path.field("headers"), &wanted.headers, Names::Headers);
        headers(
            check,
            &path.field("queryParams"),
            &wanted.query_params,
            Names::Parameters,
        );
    }
}

pub(super) fn grpc_matches(check: &mut Check, path: &FieldPath, matches: &[GrpcRouteMatch]) {
    check.at_most(path, matches.len(), MAX_MATCHES);
    for (i, wanted) in matches.iter().enumerate() {
        let path = path.item(i);
        if let Some(method) = &wanted.method {
            grpc_method(check, &path.field("method"), method);
        }
        headers(check, &path.field("headers"), &wanted.headers, Names::Headers);
    }
}

fn grpc_method(check: &mut Check, path: &FieldPath, wanted: &GrpcMethodMatch) {
    if wanted.service.is_none() && wanted.method.is_none() {
        check.refuse(path.clone(), "needs service or method");
    }
    for (name, value) in [("service", &wanted.service), ("method", &wanted.method)] {
        let grammar = match value {
            Some(ValueMatch::Regex(pattern)) => patterns::regex(pattern),
            Some(ValueMatch::Exact(text)) if !is_identifier(text, name == "service") => {
                Err(format!("{:?} is no gRPC {name}", text.as_str()))
            }
            _ => Ok(()),
        };
        check.grammar(path.field(name), grammar);
    }
}

/// A protobuf identifier; with dots where it is a service's full name.
fn is_identifier(text: &str, dotted: bool) -> bool {
    let part = |p: &str| {
        !p.is_empty()
            && !p.starts_with(|c: char| c.is_ascii_digit())
            && p.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    text.len() <= 1024
        && if dotted {
            text.trim_start_matches('.').split('.').all(part)
        } else {
            part(text)
        }
}

#[derive(Clone, Copy, PartialEq)]
enum Names {
    /// Equal in any case of letters.
    Headers,
    /// Equal as they are.
    Parameters,
}

fn headers(check: &mut Check, path: &FieldPath, headers: &[HeaderMatch], kind: Names) {
    check.at_most(path, headers.len(), MAX_HEADERS);
    let mut seen = HashSet::new();
    for (i, header) in headers.iter().enumerate() {
        let path = path.item(i);
        check.grammar(path.field("name"), http::header_name(&header.name));
        let name = match kind {
            Names::Headers => header.name.to_ascii_lowercase(),
            Names::Parameters => header.name.to_string(),
        };
        if !seen.insert(name) {
            let reason = format!("{:?} is there twice: only the first counts", header.name.as_str());
            check.warn(path.field("name"), reason);
        }
        let grammar = match &header.value {
            ValueMatch::Exact(value) if value.is_empty() => Err("is empty".to_owned()),
            ValueMatch::Exact(value) => http::header_value(value),
            ValueMatch::Regex(pattern) => patterns::regex(pattern),
        };
        check.grammar(path.field("value"), grammar);
    }
}

/// The CRDs' limits (`gateway.networking.k8s.io/v1`).
const MAX_MATCHES: usize = 64;
const MAX_HEADERS: usize = 16;
