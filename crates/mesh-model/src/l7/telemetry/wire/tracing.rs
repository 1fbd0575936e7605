//! What is traced, on the wire: `lateen.l7.v1.Tracing`.

use mesh_proto::lateen::l7::v1 as pb;
use mesh_types::Strng;

use super::super::{TraceExporter, TraceTag, Tracing};
use crate::invalid::{FieldProblem, InField, Problem, items};
use crate::l7::ServicePort;
use crate::l7::wire::{Wire, check, optional, required, to_wire};

impl Wire for Tracing {
    type Message = pb::Tracing;

    fn from_wire(m: &pb::Tracing) -> Result<Self, FieldProblem> {
        Ok(Self {
            exporter: optional("exporter", m.exporter.as_ref())?,
            sampling: check::at_most(m.sampling, EVERYTHING).field("sampling")?,
            disabled: m.disabled,
            no_propagation: m.no_propagation,
            tags: items("tags", &m.tags, tag)?,
            not_by_request_id: m.not_by_request_id,
            no_istio_tags: m.no_istio_tags,
            path_limit: m.path_limit,
        })
    }

    fn to_wire(&self) -> pb::Tracing {
        pb::Tracing {
            exporter: to_wire(self.exporter.as_ref()),
            sampling: self.sampling,
            disabled: self.disabled,
            no_propagation: self.no_propagation,
            tags: self.tags.iter().map(tag_to_wire).collect(),
            not_by_request_id: self.not_by_request_id,
            no_istio_tags: self.no_istio_tags,
            path_limit: self.path_limit,
        }
    }
}

impl Wire for TraceExporter {
    type Message = pb::TraceExporter;

    fn from_wire(m: &pb::TraceExporter) -> Result<Self, FieldProblem> {
        use pb::trace_exporter::Protocol;
        match m.protocol.as_ref().ok_or(Problem::Missing).field("protocol")? {
            Protocol::OtlpGrpc(m) => Wire::from_wire(m).map(Self::OtlpGrpc).field("otlp_grpc"),
            Protocol::OtlpHttp(m) => http(m)
                .map(|(service, path)| Self::OtlpHttp(service, path))
                .field("otlp_http"),
            Protocol::Zipkin(m) => http(m)
                .map(|(service, path)| Self::Zipkin(service, path))
                .field("zipkin"),
        }
    }

    fn to_wire(&self) -> pb::TraceExporter {
        use pb::trace_exporter::Protocol;
        let http = |service: &ServicePort, path: &Strng| pb::HttpCollector {
            service: Some(service.to_wire()),
            path: path.to_string(),
        };
        let protocol = match self {
            Self::OtlpGrpc(service) => Protocol::OtlpGrpc(service.to_wire()),
            Self::OtlpHttp(service, path) => Protocol::OtlpHttp(http(service, path)),
            Self::Zipkin(service, path) => Protocol::Zipkin(http(service, path)),
        };
        pb::TraceExporter {
            protocol: Some(protocol),
        }
    }
}

fn http(m: &pb::HttpCollector) -> Result<(ServicePort, Strng), FieldProblem> {
    Ok((
        required("service", m.service.as_ref())?,
        check::path(&m.path).field("path")?,
    ))
}

fn tag(m: &pb::TraceTag) -> Result<(Strng, TraceTag), FieldProblem> {
    use pb::trace_tag::Value;
    let value = match m.value.as_ref().ok_or(Problem::Missing).field("value")? {
        Value::Literal(text) => TraceTag::Literal(text.into()),
        Value::Environment(m) => {
            let (name, default) = Wire::from_wire(m).field("environment")?;
            TraceTag::Environment(name, default)
        }
        Value::Header(m) => TraceTag::Header(
            check::header(&m.key).field("header.key")?,
            m.value.as_str().into(),
        ),
        Value::Formatted(text) => TraceTag::Formatted(text.into()),
    };
    Ok((check::text(&m.name).field("name")?, value))
}

fn tag_to_wire((name, tag): &(Strng, TraceTag)) -> pb::TraceTag {
    use pb::trace_tag::Value;
    let pair = |key: &Strng, value: &Strng| (key.clone(), value.clone()).to_wire();
    let value = match tag {
        TraceTag::Literal(text) => Value::Literal(text.to_string()),
        TraceTag::Environment(name, default) => Value::Environment(pair(name, default)),
        TraceTag::Header(name, default) => Value::Header(pair(name, default)),
        TraceTag::Formatted(text) => Value::Formatted(text.to_string()),
    };
    pb::TraceTag {
        name: name.to_string(),
        value: Some(value),
    }
}

/// In hundredths of a per cent.
const EVERYTHING: u32 = 10_000;
