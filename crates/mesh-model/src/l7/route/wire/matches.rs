//! What a rule matches, on the wire: `lateen.l7.v1.HttpMatch`.

use mesh_proto::lateen::l7::v1 as pb;

use super::super::{ClaimMatch, HttpMatch, PathMatch};
use crate::invalid::{FieldProblem, InField, Problem, items};
use crate::l7::wire::{Wire, check, header_match, list, list_to_wire, optional, required, string, to_wire};

impl Wire for HttpMatch {
    type Message = pb::HttpMatch;

    fn from_wire(m: &pb::HttpMatch) -> Result<Self, FieldProblem> {
        let source_namespace = m.source_namespace.as_ref();
        Ok(Self {
            path: optional("path", m.path.as_ref())?,
            method: optional("method", m.method.as_ref())?,
            authority: optional("authority", m.authority.as_ref())?,
            scheme: optional("scheme", m.scheme.as_ref())?,
            headers: items("headers", &m.headers, header_match)?,
            without_headers: items("without_headers", &m.without_headers, header_match)?,
            query: list("query", &m.query)?,
            claims: list("claims", &m.claims)?,
            source_namespace: check::maybe("source_namespace", source_namespace, check::text)?,
            source_labels: list("source_labels", &m.source_labels)?,
        })
    }

    fn to_wire(&self) -> pb::HttpMatch {
        pb::HttpMatch {
            path: to_wire(self.path.as_ref()),
            method: to_wire(self.method.as_ref()),
            authority: to_wire(self.authority.as_ref()),
            scheme: to_wire(self.scheme.as_ref()),
            headers: list_to_wire(&self.headers),
            without_headers: list_to_wire(&self.without_headers),
            query: list_to_wire(&self.query),
            claims: list_to_wire(&self.claims),
            source_namespace: string(self.source_namespace.as_ref()),
            source_labels: list_to_wire(&self.source_labels),
        }
    }
}

impl Wire for PathMatch {
    type Message = pb::PathMatch;

    fn from_wire(m: &pb::PathMatch) -> Result<Self, FieldProblem> {
        use pb::path_match::Path;
        match m.path.as_ref().ok_or(Problem::Missing).field("path")? {
            Path::Exact(path) => check::path(path).map(Self::Exact).field("exact"),
            Path::Segments(path) => check::segments(path).map(Self::Segments).field("segments"),
            Path::Prefix(path) => check::text(path).map(Self::Prefix).field("prefix"),
            Path::Regex(pattern) => check::pattern(pattern).map(Self::Regex).field("regex"),
            Path::ExactIgnoringCase(path) => check::path(path)
                .map(Self::ExactIgnoringCase)
                .field("exact_ignoring_case"),
            Path::PrefixIgnoringCase(path) => check::text(path)
                .map(Self::PrefixIgnoringCase)
                .field("prefix_ignoring_case"),
        }
    }

    fn to_wire(&self) -> pb::PathMatch {
        use pb::path_match::Path;
        let path = match self {
            Self::Exact(path) => Path::Exact(path.to_string()),
            Self::Segments(path) => Path::Segments(path.to_string()),
            Self::Prefix(path) => Path::Prefix(path.to_string()),
            Self::Regex(pattern) => Path::Regex(pattern.as_str().to_owned()),
            Self::ExactIgnoringCase(path) => Path::ExactIgnoringCase(path.to_string()),
            Self::PrefixIgnoringCase(path) => Path::PrefixIgnoringCase(path.to_string()),
        };
        pb::PathMatch { path: Some(path) }
    }
}

impl Wire for ClaimMatch {
    type Message = pb::ClaimMatch;

    fn from_wire(m: &pb::ClaimMatch) -> Result<Self, FieldProblem> {
        Ok(Self {
            path: required("claim", m.claim.as_ref())?,
            value: required("value", m.value.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::ClaimMatch {
        pb::ClaimMatch {
            claim: Some(self.path.to_wire()),
            value: Some(self.value.to_wire()),
        }
    }
}
