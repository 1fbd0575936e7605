//! What is logged, counted and traced, on the wire: `lateen.l7.v1.AccessLogging`, `Metrics`, `Tracing`.

mod tracing;

use mesh_proto::lateen::l7::v1 as pb;
use mesh_types::Strng;

use super::{AccessLogging, LogFormat, LogSink, LoggedTo, MetricOverride, Metrics};
use crate::invalid::{FieldProblem, InField, Problem, items};
use crate::l7::wire::{Wire, check, list, list_to_wire, required, string};

impl Wire for AccessLogging {
    type Message = pb::AccessLogging;

    fn from_wire(m: &pb::AccessLogging) -> Result<Self, FieldProblem> {
        Ok(Self {
            sinks: list("sinks", &m.sinks)?,
        })
    }

    fn to_wire(&self) -> pb::AccessLogging {
        pb::AccessLogging {
            sinks: list_to_wire(&self.sinks),
        }
    }
}

impl Wire for LoggedTo {
    type Message = pb::LogSink;

    fn from_wire(m: &pb::LogSink) -> Result<Self, FieldProblem> {
        Ok(Self {
            sink: LogSink::from_wire(m)?,
            filter: check::maybe("filter", m.filter.as_ref(), check::text)?,
        })
    }

    fn to_wire(&self) -> pb::LogSink {
        pb::LogSink {
            filter: string(self.filter.as_ref()),
            sink: Some(self.sink.to_wire()),
        }
    }
}

impl LogSink {
    fn from_wire(m: &pb::LogSink) -> Result<Self, FieldProblem> {
        use pb::log_sink::Sink;
        match m.sink.as_ref().ok_or(Problem::Missing).field("sink")? {
            Sink::File(m) => Ok(Self::File {
                path: check::text(&m.path).field("file.path")?,
                format: required("format", m.format.as_ref()).field("file")?,
            }),
            Sink::Otlp(m) => Ok(Self::Otlp {
                service: required("service", m.service.as_ref()).field("otlp")?,
                body: m.body.as_ref().map(Strng::from),
                attributes: list("attributes", &m.attributes).field("otlp")?,
            }),
        }
    }

    fn to_wire(&self) -> pb::log_sink::Sink {
        use pb::log_sink::Sink;
        match self {
            Self::File { path, format } => Sink::File(pb::FileLog {
                path: path.to_string(),
                format: Some(format.to_wire()),
            }),
            Self::Otlp {
                service,
                body,
                attributes,
            } => Sink::Otlp(pb::OtlpLog {
                service: Some(service.to_wire()),
                body: string(body.as_ref()),
                attributes: list_to_wire(attributes),
            }),
        }
    }
}

impl Wire for LogFormat {
    type Message = pb::LogFormat;

    fn from_wire(m: &pb::LogFormat) -> Result<Self, FieldProblem> {
        use pb::log_format::Format;
        match m.format.as_ref().ok_or(Problem::Missing).field("format")? {
            Format::Default(pb::Empty {}) => Ok(Self::Default),
            Format::DefaultJson(pb::Empty {}) => Ok(Self::DefaultJson),
            Format::Text(text) => Ok(Self::Text(text.into())),
            Format::Json(m) => list("fields", &m.fields).map(Self::Json).field("json"),
        }
    }

    fn to_wire(&self) -> pb::LogFormat {
        use pb::log_format::Format;
        let format = match self {
            Self::Default => Format::Default(pb::Empty {}),
            Self::DefaultJson => Format::DefaultJson(pb::Empty {}),
            Self::Text(text) => Format::Text(text.to_string()),
            Self::Json(fields) => Format::Json(pb::JsonFormat {
                fields: list_to_wire(fields),
            }),
        };
        pb::LogFormat { format: Some(format) }
    }
}

impl Wire for Metrics {
    type Message = pb::Metrics;

    fn from_wire(m: &pb::Metrics) -> Result<Self, FieldProblem> {
        Ok(Self {
            overrides: list("overrides", &m.overrides)?,
        })
    }

    fn to_wire(&self) -> pb::Metrics {
        pb::Metrics {
            overrides: list_to_wire(&self.overrides),
        }
    }
}

impl Wire for MetricOverride {
    type Message = pb::MetricOverride;

    fn from_wire(m: &pb::MetricOverride) -> Result<Self, FieldProblem> {
        let tag = |m: &pb::MetricTag| {
            let name = check::text(&m.name).field("name")?;
            let expression = check::maybe("expression", m.expression.as_ref(), check::text)?;
            Ok::<_, FieldProblem>((name, expression))
        };
        Ok(Self {
            metric: check::maybe("metric", m.metric.as_ref(), check::text)?,
            disabled: m.disabled,
            tags: items("tags", &m.tags, tag)?,
        })
    }

    fn to_wire(&self) -> pb::MetricOverride {
        let tag = |(name, expression): &(Strng, Option<Strng>)| pb::MetricTag {
            name: name.to_string(),
            expression: string(expression.as_ref()),
        };
        pb::MetricOverride {
            metric: string(self.metric.as_ref()),
            disabled: self.disabled,
            tags: self.tags.iter().map(tag).collect(),
        }
    }
}
