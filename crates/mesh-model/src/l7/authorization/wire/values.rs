//! What may be and what may not, on the wire: `lateen.l7.v1.TextValues` and the like.

use ipnet::IpNet;
use mesh_proto::lateen::l7::v1 as pb;

use super::super::{PathPattern, Segment, Values};
use crate::invalid::{FieldProblem, InField, Problem, items};
use crate::l7::TextMatch;
use crate::l7::wire::{Wire, check, list, list_to_wire};

impl Wire for Values<TextMatch> {
    type Message = pb::TextValues;

    fn from_wire(m: &pb::TextValues) -> Result<Self, FieldProblem> {
        Ok(Self {
            any: list("any", &m.any)?,
            none: list("none", &m.none)?,
            broken: m.broken,
        })
    }

    fn to_wire(&self) -> pb::TextValues {
        pb::TextValues {
            any: list_to_wire(&self.any),
            none: list_to_wire(&self.none),
            broken: self.broken,
        }
    }
}

impl Wire for Values<IpNet> {
    type Message = pb::IpValues;

    fn from_wire(m: &pb::IpValues) -> Result<Self, FieldProblem> {
        Ok(Self {
            any: list("any", &m.any)?,
            none: list("none", &m.none)?,
            broken: m.broken,
        })
    }

    fn to_wire(&self) -> pb::IpValues {
        pb::IpValues {
            any: list_to_wire(&self.any),
            none: list_to_wire(&self.none),
            broken: self.broken,
        }
    }
}

impl Wire for Values<u16> {
    type Message = pb::PortValues;

    fn from_wire(m: &pb::PortValues) -> Result<Self, FieldProblem> {
        Ok(Self {
            any: items("any", &m.any, |port| check::port(*port))?,
            none: items("none", &m.none, |port| check::port(*port))?,
            broken: m.broken,
        })
    }

    fn to_wire(&self) -> pb::PortValues {
        pb::PortValues {
            any: self.any.iter().map(|port| u32::from(*port)).collect(),
            none: self.none.iter().map(|port| u32::from(*port)).collect(),
            broken: self.broken,
        }
    }
}

impl Wire for Values<PathPattern> {
    type Message = pb::PathValues;

    fn from_wire(m: &pb::PathValues) -> Result<Self, FieldProblem> {
        Ok(Self {
            any: list("any", &m.any)?,
            none: list("none", &m.none)?,
            broken: m.broken,
        })
    }

    fn to_wire(&self) -> pb::PathValues {
        pb::PathValues {
            any: list_to_wire(&self.any),
            none: list_to_wire(&self.none),
            broken: self.broken,
        }
    }
}

impl Wire for PathPattern {
    type Message = pb::PathPattern;

    fn from_wire(m: &pb::PathPattern) -> Result<Self, FieldProblem> {
        use pb::path_pattern::Pattern;
        match m.pattern.as_ref().ok_or(Problem::Missing).field("pattern")? {
            Pattern::Text(m) => Wire::from_wire(m).map(Self::Text).field("text"),
            Pattern::Template(m) => list("segments", &m.segments)
                .map(Self::Template)
                .field("template"),
        }
    }

    fn to_wire(&self) -> pb::PathPattern {
        use pb::path_pattern::Pattern;
        let pattern = match self {
            Self::Text(text) => Pattern::Text(text.to_wire()),
            Self::Template(segments) => Pattern::Template(pb::PathTemplate {
                segments: list_to_wire(segments),
            }),
        };
        pb::PathPattern {
            pattern: Some(pattern),
        }
    }
}

impl Wire for Segment {
    type Message = pb::PathSegment;

    fn from_wire(m: &pb::PathSegment) -> Result<Self, FieldProblem> {
        use pb::path_segment::Segment;
        match m.segment.as_ref().ok_or(Problem::Missing).field("segment")? {
            Segment::Literal(text) => check::name_or_empty(text).map(Self::Literal).field("literal"),
            Segment::One(pb::Empty {}) => Ok(Self::One),
            Segment::Many(pb::Empty {}) => Ok(Self::Many),
        }
    }

    fn to_wire(&self) -> pb::PathSegment {
        use pb::path_segment::Segment;
        let segment = match self {
            Self::Literal(text) => Segment::Literal(text.to_string()),
            Self::One => Segment::One(pb::Empty {}),
            Self::Many => Segment::Many(pb::Empty {}),
        };
        pb::PathSegment {
            segment: Some(segment),
        }
    }
}
