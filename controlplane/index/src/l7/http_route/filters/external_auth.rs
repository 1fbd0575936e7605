//! Asking somebody whether a request may pass (Gateway API, GEP-1494).

use std::time::Duration;

use controlplane_k8s_api::FieldPath;
use controlplane_k8s_api::gateway::{self, ExternalAuthProtocol as Wanted, HttpAuth};
use mesh_model::l7::TextMatch;
use mesh_model::l7::authorization::{ExternalAuth, ExternalAuthBody, ExternalAuthProtocol};
use mesh_model::l7::filter::Filter;
use mesh_types::Strng;

use super::lower;
use crate::l7::destinations::service_port;
use crate::l7::findings::Findings;
use crate::l7::lowering::Lowering;
use crate::l7::parents::Side;

/// Whom to ask, and how. Where nobody can be asked, nobody passes.
pub(super) fn external_auth(
    lowering: &Lowering<'_, '_>,
    side: Side,
    path: &FieldPath,
    auth: &gateway::ExternalAuth,
    findings: &mut Findings,
) -> Filter {
    let service = match service_port(lowering, side, &auth.backend) {
        Ok(service) => service,
        Err((reason, message)) => {
            findings.unresolved(path.field("backendRef"), reason, message.clone());
            return Filter::Invalid(message.into());
        }
    };
    let protocol = match &auth.protocol {
        Wanted::Http(http) => of_http(http),
        Wanted::Grpc(grpc) => {
            if !grpc.allowed_headers.is_empty() {
                let field = path.field("grpc").field("allowedHeaders");
                findings.left_out(field, "has no effect: every header of the request is sent along");
            }
            ExternalAuthProtocol::Grpc
        }
    };
    let limit = auth.forward_body.map_or(0, |b| b.max_size);
    Filter::ExternalAuth(Box::new(ExternalAuth {
        provider: format!("{} {}", lowering.kind, lowering.name).into(),
        service,
        protocol,
        timeout: TIMEOUT,
        fail_open: false,
        status_on_error: FORBIDDEN,
        clear_route_cache: false,
        body: (limit > 0).then_some(ExternalAuthBody {
            limit,
            allow_partial: false,
            as_bytes: false,
        }),
    }))
}

fn of_http(http: &HttpAuth) -> ExternalAuthProtocol {
    let exactly = |names: &[Strng]| names.iter().map(|n| TextMatch::Exact(lower(n))).collect();
    ExternalAuthProtocol::Http {
        path_prefix: http.path.clone().unwrap_or_default(),
        include_request_headers: exactly(&http.allowed_headers),
        additional_headers: Vec::new(),
        upstream_headers_on_allow: exactly(&http.allowed_response_headers),
        downstream_headers_on_allow: Vec::new(),
        downstream_headers_on_deny: vec![TextMatch::Present],
    }
}

/// The field knows no timeout. Istio's own default of ten minutes would hold every request as long; what has no answer
/// after this time is refused.
const TIMEOUT: Duration = Duration::from_millis(200);
const FORBIDDEN: u16 = 403;
