//! What is traced.

use std::collections::BTreeMap;

use controlplane_k8s_api::mesh::MeshConfigSpec;
use controlplane_k8s_api::telemetry::{CustomTag, TelemetrySpec, Tracing as TracingSpec, WorkloadMode};
use mesh_model::l7::telemetry::{TraceTag, Tracing};
use mesh_types::Strng;

use crate::derived::{Condition, ConditionReason};
use crate::l7::policy::providers::{self, Providers};
use crate::l7::policy::text;

/// What is known of tracing, from the most general to the most specific.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tracer {
    provider: Option<Strng>,
    /// In per cent.
    sampling: Option<f64>,
    disabled: bool,
    no_propagation: bool,
    tags: BTreeMap<Strng, CustomTag>,
    not_by_request_id: bool,
    no_istio_tags: bool,
    /// Bytes of a path in a tag.
    path_limit: u32,
}

impl Tracer {
    /// What the mesh's configuration says.
    pub(crate) fn of_mesh(spec: &MeshConfigSpec) -> Self {
        let tracing = spec.default_config.tracing.as_ref();
        Self {
            provider: spec
                .default_providers
                .tracing
                .first()
                .filter(|_| spec.enable_tracing != Some(false))
                .cloned(),
            sampling: tracing.and_then(|tracing| tracing.sampling),
            tags: tracing
                .map(|tracing| tracing.custom_tags.clone())
                .unwrap_or_default(),
            no_istio_tags: tracing.and_then(|tracing| tracing.enable_istio_tags) == Some(false),
            path_limit: tracing.map_or(0, |tracing| tracing.max_path_tag_length),
            ..Self::default()
        }
    }

    /// What an entry leaves out stays.
    fn read(&mut self, spec: &TracingSpec) {
        if let Some(provider) = spec.providers.first() {
            self.provider = Some(provider.name.clone());
        }
        self.sampling = spec.random_sampling_percentage.or(self.sampling);
        self.disabled = spec.disable_span_reporting.unwrap_or(self.disabled);
        self.no_propagation = spec.disable_context_propagation.unwrap_or(self.no_propagation);
        let by_request_id = spec.use_request_id_for_trace_sampling;
        self.not_by_request_id = by_request_id.map_or(self.not_by_request_id, |by| !by);
        self.no_istio_tags = spec.enable_istio_tags.map_or(self.no_istio_tags, |with| !with);
        if !spec.custom_tags.is_empty() {
            self.tags = spec.custom_tags.clone();
        }
    }

    /// What proxies are told of it.
    pub(crate) fn resolve(
        &self,
        field: &str,
        providers: &impl Providers,
        conditions: &mut Vec<Condition>,
    ) -> Tracing {
        let provider = self.provider.as_ref();
        let exporter = provider.map(|name| providers::trace_exporter(name, providers));
        let exporter = exporter.transpose().unwrap_or_else(|why| {
            let message = format!("{why}: no spans are told");
            conditions.push(Condition::at(
                ConditionReason::ReferenceUnresolved,
                field,
                message,
            ));
            None
        });
        let mut tags = Vec::with_capacity(self.tags.len());
        for (name, tag) in self.tags.iter().filter(|(name, _)| !name.is_empty()) {
            match trace_tag(tag) {
                Ok(tag) => tags.push((name.clone(), tag)),
                Err(why) => {
                    let field = format!("{field}.customTags.{name}");
                    let message = format!("{why}; the tag is left out");
                    conditions.push(Condition::at(ConditionReason::Invalid, field, message));
                }
            }
        }
        Tracing {
            exporter,
            sampling: text::scaled(self.sampling.unwrap_or(DEFAULT_SAMPLING), 100.0, 10_000),
            disabled: self.disabled,
            no_propagation: self.no_propagation,
            tags,
            not_by_request_id: self.not_by_request_id,
            no_istio_tags: self.no_istio_tags,
            path_limit: self.path_limit,
        }
    }
}

/// What is traced; nothing where a Telemetry does not say. `above` are the more general ones, the most general first.
pub(crate) fn tracing(
    spec: &TelemetrySpec,
    above: &[&TelemetrySpec],
    mesh: &Tracer,
    providers: &impl Providers,
    conditions: &mut Vec<Condition>,
) -> Option<Tracing> {
    let applicable = |spec: &&TracingSpec| spec.selector.mode != WorkloadMode::Client;
    if !spec.tracing.iter().any(|entry| applicable(&entry)) {
        return None;
    }
    let mut tracer = mesh.clone();
    for level in above.iter().chain([&spec]) {
        for entry in level.tracing.iter().filter(applicable) {
            tracer.read(entry);
        }
    }
    for (i, entry) in spec.tracing.iter().enumerate() {
        let path = format!("spec.tracing[{i}]");
        if entry.providers.len() > 1 {
            let message = "has several items: spans go to the first";
            let field = format!("{path}.providers");
            conditions.push(Condition::at(ConditionReason::Unsupported, field, message));
        }
    }
    Some(tracer.resolve("spec.tracing", providers, conditions))
}

fn trace_tag(tag: &CustomTag) -> Result<TraceTag, String> {
    Ok(match tag {
        CustomTag::Literal(literal) => TraceTag::Literal(literal.value.clone()),
        CustomTag::Environment(variable) => {
            TraceTag::Environment(text::some(&variable.name)?, variable.default_value.clone())
        }
        CustomTag::Header(header) => {
            TraceTag::Header(text::header(&header.name)?, header.default_value.clone())
        }
        CustomTag::Formatter(formatter) => TraceTag::Formatted(formatter.value.clone()),
    })
}

/// In per cent (Istio, `PILOT_TRACE_SAMPLING`).
const DEFAULT_SAMPLING: f64 = 1.0;
