//! Everything that counts for the requests of one place, compiled once.

use std::sync::Arc;

use mesh_model::l7::ServicePort;
use mesh_model::l7::attach::Effective;
use mesh_model::l7::telemetry::{LogFormat, LogSink, LoggedTo, MetricOverride};
use mesh_types::Strng;

use crate::Needs;
use crate::cel::Expression;
use crate::format::{DEFAULT_TEXT, Format, Template};
use crate::metrics::MetricPlan;
use crate::record::Record;
use crate::trace::Tracer;

/// What is told of requests at one place.
#[derive(Debug)]
pub struct Plan {
    /// How they are counted.
    pub metrics: Arc<MetricPlan>,
    /// Where lines go; absent where no policy says anything.
    pub logs: Option<Vec<Log>>,
    /// What is traced.
    pub tracer: Option<Tracer>,
    /// What must be kept of a request for all of that.
    pub needs: Needs,
}

/// One log.
#[derive(Debug)]
pub struct Log {
    /// Only what this is true of.
    pub filter: Option<Expression>,
    /// Where to, and how it is written.
    pub output: Output,
}

/// Where lines go.
#[derive(Debug)]
pub enum Output {
    /// To a file.
    File {
        /// Its path; `/dev/stdout` is standard output.
        path: Strng,
        /// How they are written.
        format: Format,
    },
    /// To a collector, by OTLP.
    Otlp {
        /// Where it is.
        service: ServicePort,
        /// The body.
        body: Template,
        /// Attributes.
        attributes: Vec<(Strng, Template)>,
    },
}

/// A part of the configuration that cannot be carried out. The control plane refuses such with a status; what comes
/// through nevertheless costs no more than itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {why}")]
pub struct Unusable {
    /// Which part.
    pub part: String,
    /// What is wrong with it.
    pub why: String,
}

impl Plan {
    /// Nothing is said: standard metrics, nothing traced.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            metrics: MetricPlan::standard(),
            logs: None,
            tracer: None,
            needs: Needs::default(),
        }
    }

    /// Compiles what policies say, and says what of it cannot be carried out. A filter that is none lets nothing through
    /// to its log: it was meant to keep something away.
    #[must_use]
    pub fn compile(effective: &Effective) -> (Self, Vec<Unusable>) {
        let mut wrong = Vec::new();
        let overrides: Vec<&MetricOverride> =
            effective.metrics.iter().flat_map(|given| &given.value).collect();
        let metrics = match overrides.is_empty() {
            true => MetricPlan::standard(),
            false => {
                let (plan, labels) = MetricPlan::compile(overrides);
                wrong.extend(labels.into_iter().map(|label| unusable("metrics", &label)));
                plan
            }
        };
        let logs = effective.logging.as_ref().map(|logs| {
            let log = |to: &mesh_model::l7::attach::Given<LoggedTo>| {
                Log::compile(&to.value.sink, to.value.filter.as_deref())
                    .map_err(|error| wrong.push(error))
                    .ok()
            };
            logs.iter().filter_map(log).collect::<Vec<_>>()
        });
        let tracer = effective.tracing.as_ref().and_then(|given| {
            let environment = |name: &str| std::env::var(name).ok();
            match Tracer::compile(&given.value, environment) {
                Ok(tracer) => Some(tracer),
                Err((tag, error)) => {
                    wrong.push(unusable(&format!("tracing tag {tag}"), &error));
                    None
                }
            }
        });
        let mut needs = metrics.needs();
        for log in logs.iter().flatten() {
            needs = needs.and(log.needs());
        }
        if let Some(tracer) = &tracer {
            needs = needs.and(tracer.needs());
        }
        let plan = Self {
            metrics,
            logs,
            tracer,
            needs,
        };
        (plan, wrong)
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self::standard()
    }
}

impl Log {
    /// Compiles one log.
    ///
    /// # Errors
    /// Says what is wrong with it; the control plane asks the same.
    pub fn compile(sink: &LogSink, filter: Option<&str>) -> Result<Self, Unusable> {
        let filter = filter
            .map(Expression::filter)
            .transpose()
            .map_err(|error| unusable("log filter", &error))?;
        let template = |text: &str| Template::compile(text).map_err(|error| unusable("log format", &error));
        let output = match sink {
            LogSink::File { path, format } => Output::File {
                path: path.clone(),
                format: Format::compile(format).map_err(|error| unusable("log format", &error))?,
            },
            LogSink::Otlp {
                service,
                body,
                attributes,
            } => Output::Otlp {
                service: service.clone(),
                body: template(body.as_deref().unwrap_or_else(|| DEFAULT_TEXT.trim_end()))?,
                attributes: attributes
                    .iter()
                    .map(|(name, text)| Ok((name.clone(), template(text)?)))
                    .collect::<Result<_, _>>()?,
            },
        };
        Ok(Self { filter, output })
    }

    /// Istio's text on standard output.
    #[must_use]
    pub fn standard() -> Self {
        let sink = LogSink::File {
            path: "/dev/stdout".into(),
            format: LogFormat::Default,
        };
        Self::compile(&sink, None).expect("the default format is one")
    }

    /// Whether a record is for this log.
    #[must_use]
    pub fn takes(&self, record: &Record<'_>) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.is_true(record))
    }

    fn needs(&self) -> Needs {
        let filter = self.filter.as_ref().map(Needs::of).unwrap_or_default();
        filter.and(match &self.output {
            Output::File { format, .. } => format.needs(),
            Output::Otlp { body, attributes, .. } => {
                let attributes = attributes.iter().map(|(_, template)| template.needs());
                attributes.fold(body.needs(), Needs::and)
            }
        })
    }
}

fn unusable(part: &str, why: &dyn std::fmt::Display) -> Unusable {
    Unusable {
        part: part.to_owned(),
        why: why.to_string(),
    }
}

#[cfg(test)]
mod tests;
