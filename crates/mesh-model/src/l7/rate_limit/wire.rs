//! Limits on requests on the wire: `lateen.l7.v1.RateLimit`.

use mesh_proto::lateen::l7::v1 as pb;

use mesh_types::Strng;

use super::{Descriptor, DescriptorEntry, DescriptorSource, GlobalLimit, LocalLimit, RateLimit};
use crate::invalid::{FieldProblem, InField, Problem};
use crate::l7::wire::{Wire, check, list, list_to_wire, optional, required, to_wire};

impl Wire for RateLimit {
    type Message = pb::RateLimit;

    fn from_wire(m: &pb::RateLimit) -> Result<Self, FieldProblem> {
        use pb::rate_limit::Counted;
        match m.counted.as_ref().ok_or(Problem::Missing).field("counted")? {
            Counted::Local(m) => list("limits", &m.limits).map(Self::Local).field("local"),
            Counted::Global(m) => Wire::from_wire(m).map(Self::Global).field("global"),
        }
    }

    fn to_wire(&self) -> pb::RateLimit {
        use pb::rate_limit::Counted;
        let counted = match self {
            Self::Local(limits) => Counted::Local(pb::LocalLimits {
                limits: list_to_wire(limits),
            }),
            Self::Global(limit) => Counted::Global(limit.to_wire()),
        };
        pb::RateLimit {
            counted: Some(counted),
        }
    }
}

impl Wire for LocalLimit {
    type Message = pb::LocalLimit;

    fn from_wire(m: &pb::LocalLimit) -> Result<Self, FieldProblem> {
        Ok(Self {
            descriptor: list("descriptor", &m.descriptor)?,
            requests: m.requests,
            interval: check::some_time(required("interval", m.interval.as_ref())?).field("interval")?,
            burst: m.burst,
            when: when(&m.when),
        })
    }

    fn to_wire(&self) -> pb::LocalLimit {
        pb::LocalLimit {
            descriptor: list_to_wire(&self.descriptor),
            requests: self.requests,
            interval: Some(self.interval.to_wire()),
            burst: self.burst,
            when: when_to_wire(self.when.as_ref()),
        }
    }
}

impl Wire for GlobalLimit {
    type Message = pb::GlobalLimit;

    fn from_wire(m: &pb::GlobalLimit) -> Result<Self, FieldProblem> {
        Ok(Self {
            service: required("service", m.service.as_ref())?,
            domain: check::text(&m.domain).field("domain")?,
            descriptors: list("descriptors", &m.descriptors)?,
            timeout: required("timeout", m.timeout.as_ref())?,
            // On the wire it is the other way round, so that what is absent is strict.
            fail_closed: !m.fail_open,
        })
    }

    fn to_wire(&self) -> pb::GlobalLimit {
        pb::GlobalLimit {
            service: Some(self.service.to_wire()),
            domain: self.domain.to_string(),
            descriptors: list_to_wire(&self.descriptors),
            timeout: Some(self.timeout.to_wire()),
            fail_open: !self.fail_closed,
        }
    }
}

impl Wire for Descriptor {
    type Message = pb::Descriptor;

    fn from_wire(m: &pb::Descriptor) -> Result<Self, FieldProblem> {
        Ok(Self {
            entries: list("entries", &m.entries)?,
            when: when(&m.when),
        })
    }

    fn to_wire(&self) -> pb::Descriptor {
        pb::Descriptor {
            entries: list_to_wire(&self.entries),
            when: when_to_wire(self.when.as_ref()),
        }
    }
}

impl Wire for DescriptorEntry {
    type Message = pb::DescriptorEntry;

    fn from_wire(m: &pb::DescriptorEntry) -> Result<Self, FieldProblem> {
        Ok(Self {
            key: check::text(&m.key).field("key")?,
            source: source(m)?,
            value: optional("value", m.value.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::DescriptorEntry {
        pb::DescriptorEntry {
            key: self.key.to_string(),
            source: Some(source_to_wire(&self.source)),
            value: to_wire(self.value.as_ref()),
        }
    }
}

fn source(m: &pb::DescriptorEntry) -> Result<DescriptorSource, FieldProblem> {
    use pb::descriptor_entry::Source;
    match m.source.as_ref().ok_or(Problem::Missing).field("source")? {
        Source::Attribute(value) => attribute(*value).field("attribute"),
        Source::Header(name) => check::header(name).map(DescriptorSource::Header).field("header"),
        Source::Claim(m) => Wire::from_wire(m).map(DescriptorSource::Claim).field("claim"),
        Source::Constant(text) => Ok(DescriptorSource::Constant(text.into())),
        Source::Expression(text) => check::text(text)
            .map(DescriptorSource::Expression)
            .field("expression"),
    }
}

/// Whether it is one is decided where it is compiled.
fn when(text: &str) -> Option<Strng> {
    (!text.is_empty()).then(|| text.into())
}

fn when_to_wire(when: Option<&Strng>) -> String {
    when.map(ToString::to_string).unwrap_or_default()
}

fn attribute(value: i32) -> Result<DescriptorSource, Problem> {
    use pb::DescriptorAttribute as Attribute;
    match Attribute::try_from(value) {
        Ok(Attribute::Path) => Ok(DescriptorSource::Path),
        Ok(Attribute::Method) => Ok(DescriptorSource::Method),
        Ok(Attribute::Authority) => Ok(DescriptorSource::Authority),
        Ok(Attribute::SourcePrincipal) => Ok(DescriptorSource::SourcePrincipal),
        Ok(Attribute::SourceNamespace) => Ok(DescriptorSource::SourceNamespace),
        Ok(Attribute::RemoteAddress) => Ok(DescriptorSource::RemoteAddress),
        Ok(Attribute::Unspecified) | Err(_) => Err(Problem::UnknownValue(value)),
    }
}

fn source_to_wire(source: &DescriptorSource) -> pb::descriptor_entry::Source {
    use pb::DescriptorAttribute as Attribute;
    use pb::descriptor_entry::Source;
    match source {
        DescriptorSource::Header(name) => Source::Header(name.to_string()),
        DescriptorSource::Path => Source::Attribute(Attribute::Path.into()),
        DescriptorSource::Method => Source::Attribute(Attribute::Method.into()),
        DescriptorSource::Authority => Source::Attribute(Attribute::Authority.into()),
        DescriptorSource::SourcePrincipal => Source::Attribute(Attribute::SourcePrincipal.into()),
        DescriptorSource::SourceNamespace => Source::Attribute(Attribute::SourceNamespace.into()),
        DescriptorSource::Claim(path) => Source::Claim(path.to_wire()),
        DescriptorSource::RemoteAddress => Source::Attribute(Attribute::RemoteAddress.into()),
        DescriptorSource::Constant(text) => Source::Constant(text.to_string()),
        DescriptorSource::Expression(text) => Source::Expression(text.to_string()),
    }
}
