//! Letting somebody else change requests and answers (`ExternalProcessorFilter`, `docs/decisions/external-processing.md`).

use std::time::Duration;

use controlplane_k8s_api::FieldPath;
use controlplane_k8s_api::lateen;
use mesh_model::l7::filter::Filter;
use mesh_model::l7::processing::{BodySendMode, ExternalProcessing, MutationRules, ProcessingMode};
use mesh_types::NamespacedName;

use crate::l7::destinations::service_port;
use crate::l7::findings::Findings;
use crate::l7::lowering::Lowering;
use crate::l7::parents::Side;
use crate::status::StatusReason;

/// Who changes them, and how; or why nobody can.
pub(super) fn external_processing(
    lowering: &Lowering<'_, '_>,
    side: Side,
    name: &NamespacedName,
) -> Result<ExternalProcessing, (StatusReason, String)> {
    let Some(filter) = lowering.fetch.get(lowering.lookups.processors, name) else {
        let message = format!("there is no ExternalProcessorFilter {name}");
        return Err((StatusReason::FilterNotFound, message));
    };
    let spec = &filter.spec;
    let named = |message: String| format!("ExternalProcessorFilter {name}: spec.backendRef: {message}");
    let service = service_port(lowering, side, &spec.backend_ref)
        .map_err(|(reason, message)| (reason, named(message)))?;
    Ok(ExternalProcessing {
        name: format!("ExternalProcessorFilter/{name}").into(),
        service,
        mode: mode(spec.processing_mode),
        timeout: spec.message_timeout.map_or(TIMEOUT, |timeout| timeout.0),
        failure_mode_allow: spec.failure_mode_allow,
        body_limit: spec.max_body_bytes.unwrap_or(BODY_LIMIT),
        mutation_rules: MutationRules {
            allow_all_routing: spec.mutation_rules.allow_all_routing,
            disallow_system: spec.mutation_rules.disallow_system,
            disallow_all: spec.mutation_rules.disallow_all,
        },
        allow_mode_override: spec.allow_mode_override,
    })
}

/// Two that change the same request would have to take turns, which nobody can say in a route: the second one is none.
pub(super) fn at_most_one(
    path: &FieldPath,
    mut filters: Vec<Filter>,
    findings: &mut Findings,
) -> Vec<Filter> {
    let processors = filters
        .iter_mut()
        .filter(|filter| matches!(filter, Filter::ExternalProcessing(_)));
    for second in processors.skip(1) {
        let message =
            "a rule has at most one ExternalProcessorFilter: all that it takes is answered with 500";
        findings.left_out(path.field("filters"), message);
        *second = Filter::Invalid(message.into());
    }
    filters
}

fn mode(mode: lateen::ProcessingMode) -> ProcessingMode {
    ProcessingMode {
        request_headers: mode.request_header_mode.sends(true),
        response_headers: mode.response_header_mode.sends(true),
        request_body: body(mode.request_body_mode),
        response_body: body(mode.response_body_mode),
        request_trailers: mode.request_trailer_mode.sends(false),
        response_trailers: mode.response_trailer_mode.sends(false),
    }
}

fn body(mode: lateen::BodySendMode) -> BodySendMode {
    match mode {
        lateen::BodySendMode::None => BodySendMode::None,
        lateen::BodySendMode::Streamed => BodySendMode::Streamed,
        lateen::BodySendMode::Buffered => BodySendMode::Buffered,
    }
}

/// Envoy's default.
const TIMEOUT: Duration = Duration::from_millis(200);
/// Envoy's default for what a stream holds back.
const BODY_LIMIT: u32 = 1024 * 1024;
