//! Asking somebody else, on the wire: `lateen.l7.v1.ExternalAuth`.

use mesh_proto::lateen::l7::v1 as pb;

use super::super::{ExternalAuth, ExternalAuthBody, ExternalAuthProtocol};
use crate::invalid::{FieldProblem, InField, Problem, items};
use crate::l7::wire::{Wire, check, header_pair, list, list_to_wire, optional, required, to_wire};

impl Wire for ExternalAuth {
    type Message = pb::ExternalAuth;

    fn from_wire(m: &pb::ExternalAuth) -> Result<Self, FieldProblem> {
        use pb::external_auth::Protocol;
        let protocol = match m.protocol.as_ref().ok_or(Problem::Missing).field("protocol")? {
            Protocol::Grpc(pb::Empty {}) => ExternalAuthProtocol::Grpc,
            Protocol::Http(m) => http(m).field("http")?,
        };
        Ok(Self {
            provider: check::text(&m.provider).field("provider")?,
            service: required("service", m.service.as_ref())?,
            protocol,
            timeout: required("timeout", m.timeout.as_ref())?,
            fail_open: m.fail_open,
            status_on_error: check::status(m.status_on_error).field("status_on_error")?,
            clear_route_cache: m.clear_route_cache,
            body: optional("body", m.body.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::ExternalAuth {
        pb::ExternalAuth {
            provider: self.provider.to_string(),
            service: Some(self.service.to_wire()),
            protocol: Some(protocol_to_wire(&self.protocol)),
            timeout: Some(self.timeout.to_wire()),
            fail_open: self.fail_open,
            status_on_error: self.status_on_error.into(),
            clear_route_cache: self.clear_route_cache,
            body: to_wire(self.body.as_ref()),
        }
    }
}

fn http(m: &pb::HttpExternalAuth) -> Result<ExternalAuthProtocol, FieldProblem> {
    let path_prefix = match m.path_prefix.as_str() {
        "" => Ok("".into()),
        path => check::path(path),
    };
    Ok(ExternalAuthProtocol::Http {
        path_prefix: path_prefix.field("path_prefix")?,
        include_request_headers: list("include_request_headers", &m.include_request_headers)?,
        additional_headers: items("additional_headers", &m.additional_headers, header_pair)?,
        upstream_headers_on_allow: list("upstream_headers_on_allow", &m.upstream_headers_on_allow)?,
        downstream_headers_on_allow: list("downstream_headers_on_allow", &m.downstream_headers_on_allow)?,
        downstream_headers_on_deny: list("downstream_headers_on_deny", &m.downstream_headers_on_deny)?,
    })
}

fn protocol_to_wire(protocol: &ExternalAuthProtocol) -> pb::external_auth::Protocol {
    use pb::external_auth::Protocol;
    match protocol {
        ExternalAuthProtocol::Grpc => Protocol::Grpc(pb::Empty {}),
        ExternalAuthProtocol::Http {
            path_prefix,
            include_request_headers,
            additional_headers,
            upstream_headers_on_allow,
            downstream_headers_on_allow,
            downstream_headers_on_deny,
        } => Protocol::Http(pb::HttpExternalAuth {
            path_prefix: path_prefix.to_string(),
            include_request_headers: list_to_wire(include_request_headers),
            additional_headers: list_to_wire(additional_headers),
            upstream_headers_on_allow: list_to_wire(upstream_headers_on_allow),
            downstream_headers_on_allow: list_to_wire(downstream_headers_on_allow),
            downstream_headers_on_deny: list_to_wire(downstream_headers_on_deny),
        }),
    }
}

impl Wire for ExternalAuthBody {
    type Message = pb::ExternalAuthBody;

    fn from_wire(m: &pb::ExternalAuthBody) -> Result<Self, FieldProblem> {
        Ok(Self {
            limit: check::not_zero(m.limit).field("limit")?,
            allow_partial: m.allow_partial,
            as_bytes: m.as_bytes,
        })
    }

    fn to_wire(&self) -> pb::ExternalAuthBody {
        pb::ExternalAuthBody {
            limit: self.limit,
            allow_partial: self.allow_partial,
            as_bytes: self.as_bytes,
        }
    }
}
