//! External processing on the wire: `lateen.l7.v1.ExternalProcessing`.

use mesh_proto::lateen::l7::v1 as pb;

use super::{BodySendMode, ExternalProcessing, MutationRules, ProcessingMode};
use crate::invalid::{FieldProblem, InField, Problem};
use crate::l7::wire::{Wire, check, or_default, required, unless_default};

impl Wire for ExternalProcessing {
    type Message = pb::ExternalProcessing;

    fn from_wire(m: &pb::ExternalProcessing) -> Result<Self, FieldProblem> {
        let processing = Self {
            name: check::text(&m.name).field("name")?,
            service: required("service", m.service.as_ref())?,
            mode: or_default("mode", m.mode.as_ref())?,
            timeout: check::some_time(required("timeout", m.timeout.as_ref())?).field("timeout")?,
            failure_mode_allow: m.failure_mode_allow,
            body_limit: m.body_limit,
            mutation_rules: or_default("mutation_rules", m.mutation_rules.as_ref())?,
            allow_mode_override: m.allow_mode_override,
        };
        let bodies = [processing.mode.request_body, processing.mode.response_body];
        if bodies.contains(&BodySendMode::Buffered) {
            check::not_zero(m.body_limit).field("body_limit")?;
        }
        Ok(processing)
    }

    fn to_wire(&self) -> pb::ExternalProcessing {
        pb::ExternalProcessing {
            name: self.name.to_string(),
            service: Some(self.service.to_wire()),
            mode: unless_default(&self.mode),
            timeout: Some(self.timeout.to_wire()),
            failure_mode_allow: self.failure_mode_allow,
            body_limit: self.body_limit,
            mutation_rules: unless_default(&self.mutation_rules),
            allow_mode_override: self.allow_mode_override,
        }
    }
}

impl Wire for ProcessingMode {
    type Message = pb::ProcessingMode;

    fn from_wire(m: &pb::ProcessingMode) -> Result<Self, FieldProblem> {
        Ok(Self {
            request_headers: m.request_headers,
            response_headers: m.response_headers,
            request_body: body(m.request_body).field("request_body")?,
            response_body: body(m.response_body).field("response_body")?,
            request_trailers: m.request_trailers,
            response_trailers: m.response_trailers,
        })
    }

    fn to_wire(&self) -> pb::ProcessingMode {
        pb::ProcessingMode {
            request_headers: self.request_headers,
            response_headers: self.response_headers,
            request_body: body_to_wire(self.request_body).into(),
            response_body: body_to_wire(self.response_body).into(),
            request_trailers: self.request_trailers,
            response_trailers: self.response_trailers,
        }
    }
}

impl Wire for MutationRules {
    type Message = pb::MutationRules;

    fn from_wire(m: &pb::MutationRules) -> Result<Self, FieldProblem> {
        Ok(Self {
            allow_all_routing: m.allow_all_routing,
            disallow_system: m.disallow_system,
            disallow_all: m.disallow_all,
        })
    }

    fn to_wire(&self) -> pb::MutationRules {
        pb::MutationRules {
            allow_all_routing: self.allow_all_routing,
            disallow_system: self.disallow_system,
            disallow_all: self.disallow_all,
        }
    }
}

fn body(mode: i32) -> Result<BodySendMode, Problem> {
    match pb::BodySendMode::try_from(mode) {
        Ok(pb::BodySendMode::Unspecified) => Ok(BodySendMode::None),
        Ok(pb::BodySendMode::Streamed) => Ok(BodySendMode::Streamed),
        Ok(pb::BodySendMode::Buffered) => Ok(BodySendMode::Buffered),
        Err(_) => Err(Problem::UnknownValue(mode)),
    }
}

fn body_to_wire(mode: BodySendMode) -> pb::BodySendMode {
    match mode {
        BodySendMode::None => pb::BodySendMode::Unspecified,
        BodySendMode::Streamed => pb::BodySendMode::Streamed,
        BodySendMode::Buffered => pb::BodySendMode::Buffered,
    }
}
