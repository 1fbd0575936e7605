//! External processing on the wire: `lateen.l7.v1.ExternalProcessing`.

use mesh_proto::lateen::l7::v1 as pb;

use super::{ExternalProcessing, ProcessedParts};
use crate::invalid::FieldProblem;
use crate::l7::wire::{Wire, or_default, required, unless_default};

impl Wire for ExternalProcessing {
    type Message = pb::ExternalProcessing;

    fn from_wire(m: &pb::ExternalProcessing) -> Result<Self, FieldProblem> {
        Ok(Self {
            service: required("service", m.service.as_ref())?,
            request: or_default("request", m.request.as_ref())?,
            response: or_default("response", m.response.as_ref())?,
            timeout: required("timeout", m.timeout.as_ref())?,
            fail_open: m.fail_open,
            body_limit: m.body_limit,
        })
    }

    fn to_wire(&self) -> pb::ExternalProcessing {
        pb::ExternalProcessing {
            service: Some(self.service.to_wire()),
            request: unless_default(&self.request),
            response: unless_default(&self.response),
            timeout: Some(self.timeout.to_wire()),
            fail_open: self.fail_open,
            body_limit: self.body_limit,
        }
    }
}

impl Wire for ProcessedParts {
    type Message = pb::ProcessedParts;

    fn from_wire(m: &pb::ProcessedParts) -> Result<Self, FieldProblem> {
        Ok(Self {
            headers: m.headers,
            body: m.body,
        })
    }

    fn to_wire(&self) -> pb::ProcessedParts {
        pb::ProcessedParts {
            headers: self.headers,
            body: self.body,
        }
    }
}
