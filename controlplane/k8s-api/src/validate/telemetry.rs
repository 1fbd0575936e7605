//! Telemetry.

use mesh_telemetry::cel::Expression;
use mesh_telemetry::format::Template;

use crate::error::FieldPath;
use crate::telemetry::{CustomTag, MetricMatch, Metrics, ProviderRef, TagOverride, Telemetry, Tracing};
use crate::validate::security::attachment;
use crate::validate::{Check, http};

pub(super) fn telemetry(check: &mut Check, telemetry: &Telemetry) {
    let (spec, path) = (&telemetry.spec, FieldPath::from("spec"));
    attachment(
        check,
        &telemetry.metadata.namespace,
        spec.selector.as_ref(),
        spec.target_ref.as_ref(),
        &spec.target_refs,
    );
    for (i, tracing) in spec.tracing.iter().enumerate() {
        self::tracing(check, &path.field("tracing").item(i), tracing);
    }
    for (i, metrics) in spec.metrics.iter().enumerate() {
        self::metrics(check, &path.field("metrics").item(i), metrics);
    }
    for (i, logging) in spec.access_logging.iter().enumerate() {
        let path = path.field("accessLogging").item(i);
        providers(check, &path, &logging.providers);
        if let Some(filter) = &logging.filter {
            let field = path.field("filter").field("expression");
            if filter.expression.trim().is_empty() {
                check.refuse(field, "is required");
            } else if let Err(error) = Expression::filter(&filter.expression) {
                check.refuse(field, format!("is no filter: {error}"));
            }
        }
    }
}

fn tracing(check: &mut Check, path: &FieldPath, tracing: &Tracing) {
    providers(check, path, &tracing.providers);
    if tracing.providers.len() > 1 {
        let reason = "has several items: spans go to one provider only";
        check.refuse(path.field("providers"), reason);
    }
    if let Some(percent) = tracing.random_sampling_percentage {
        check.percent(path.field("randomSamplingPercentage"), percent);
    }
    for (name, tag) in &tracing.custom_tags {
        custom_tag(check, &path.field("customTags").field(name), name, tag);
    }
}

pub(super) fn custom_tag(check: &mut Check, path: &FieldPath, name: &str, tag: &CustomTag) {
    if name.is_empty() {
        check.refuse(path.clone(), "has an empty name");
    }
    match tag {
        CustomTag::Literal(literal) if literal.value.is_empty() => {
            check.refuse(path.field("literal").field("value"), "is required");
        }
        CustomTag::Formatter(formatter) if formatter.value.is_empty() => {
            check.refuse(path.field("formatter").field("value"), "is required");
        }
        CustomTag::Formatter(formatter) => {
            format(check, path.field("formatter").field("value"), &formatter.value);
        }
        CustomTag::Environment(variable) if variable.name.is_empty() => {
            check.refuse(path.field("environment").field("name"), "is required");
        }
        CustomTag::Header(header) => {
            check.grammar(
                path.field("header").field("name"),
                http::header_name(&header.name),
            );
        }
        CustomTag::Literal(_) | CustomTag::Environment(_) => {}
    }
}

/// A text with command operators.
pub(super) fn format(check: &mut Check, path: FieldPath, text: &str) {
    if let Err(error) = Template::compile(text) {
        check.refuse(path, format!("is no format: {error}"));
    }
}

fn metrics(check: &mut Check, path: &FieldPath, metrics: &Metrics) {
    providers(check, path, &metrics.providers);
    check.positive(path.field("reportingInterval"), metrics.reporting_interval);
    for (i, change) in metrics.overrides.iter().enumerate() {
        let path = path.field("overrides").item(i);
        if matches!(&change.selector.metric, MetricMatch::Custom(name) if name.is_empty()) {
            check.refuse(path.field("match").field("customMetric"), "is empty");
        }
        for (tag, change) in &change.tag_overrides {
            let field = path.field("tagOverrides").field(tag);
            let well_formed = tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !tag.starts_with(|c: char| c.is_ascii_digit())
                && !tag.is_empty();
            if !well_formed {
                check.refuse(
                    field.clone(),
                    format!("{:?} is no label of a metric", tag.as_str()),
                );
            }
            if let TagOverride::Upsert(value) = change {
                let field = field.field("value");
                if value.trim().is_empty() {
                    check.refuse(field, "is empty");
                } else if let Err(error) = Expression::compile(value) {
                    check.refuse(field, format!("is no expression: {error}"));
                }
            }
        }
    }
}

fn providers(check: &mut Check, path: &FieldPath, providers: &[ProviderRef]) {
    for (i, provider) in providers.iter().enumerate() {
        if provider.name.is_empty() {
            check.refuse(path.field("providers").item(i).field("name"), "is required");
        }
    }
}
