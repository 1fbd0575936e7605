//! Timeouts and retries on the wire: `lateen.l7.v1.Timeouts`, `Retry`, `RetryBudget`.

use mesh_proto::lateen::l7::v1 as pb;

use super::{Retry, RetryBudget, RetryCondition, Timeouts};
use crate::invalid::{FieldProblem, InField, Problem};
use crate::l7::route::NamedMatch;
use crate::l7::wire::{Wire, check, header_match, list, list_to_wire, optional, required, to_wire};

impl Wire for Timeouts {
    type Message = pb::Timeouts;

    fn from_wire(m: &pb::Timeouts) -> Result<Self, FieldProblem> {
        Ok(Self {
            request: optional("request", m.request.as_ref())?,
            per_try: optional("per_try", m.per_try.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::Timeouts {
        pb::Timeouts {
            request: to_wire(self.request.as_ref()),
            per_try: to_wire(self.per_try.as_ref()),
        }
    }
}

impl Wire for Retry {
    type Message = pb::Retry;

    fn from_wire(m: &pb::Retry) -> Result<Self, FieldProblem> {
        Ok(Self {
            attempts: m.attempts,
            per_try_timeout: optional("per_try_timeout", m.per_try_timeout.as_ref())?,
            conditions: list("conditions", &m.conditions)?,
            backoff: required("backoff", m.backoff.as_ref())?,
            remote_localities: m.remote_localities,
            avoid_previous: m.avoid_previous,
            retry_after: optional("retry_after", m.retry_after.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::Retry {
        pb::Retry {
            attempts: self.attempts,
            per_try_timeout: to_wire(self.per_try_timeout.as_ref()),
            conditions: list_to_wire(&self.conditions),
            backoff: Some(self.backoff.to_wire()),
            remote_localities: self.remote_localities,
            avoid_previous: self.avoid_previous,
            retry_after: to_wire(self.retry_after.as_ref()),
        }
    }
}

impl Wire for RetryCondition {
    type Message = pb::RetryCondition;

    fn from_wire(m: &pb::RetryCondition) -> Result<Self, FieldProblem> {
        use pb::retry_condition::Condition;
        match m.condition.as_ref().ok_or(Problem::Missing).field("condition")? {
            Condition::On(on) => named(*on).field("on"),
            Condition::Status(status) => check::status(*status).map(Self::Status).field("status"),
            Condition::Header(m) => header_match(m)
                .map(|m| Self::Header(m.name, m.value))
                .field("header"),
            Condition::Grpc(status) => check::grpc_status(*status).map(Self::Grpc).field("grpc"),
        }
    }

    fn to_wire(&self) -> pb::RetryCondition {
        use pb::retry_condition::Condition;
        let on = |on: pb::RetryOn| Condition::On(on.into());
        let condition = match self {
            Self::ServerError => on(pb::RetryOn::ServerError),
            Self::GatewayError => on(pb::RetryOn::GatewayError),
            Self::Reset => on(pb::RetryOn::Reset),
            Self::ResetBeforeRequest => on(pb::RetryOn::ResetBeforeRequest),
            Self::ConnectFailure => on(pb::RetryOn::ConnectFailure),
            Self::RefusedStream => on(pb::RetryOn::RefusedStream),
            Self::RetriableClientError => on(pb::RetryOn::RetriableClientError),
            Self::RateLimited => on(pb::RetryOn::RateLimited),
            Self::Status(status) => Condition::Status((*status).into()),
            Self::Header(name, value) => Condition::Header(
                NamedMatch {
                    name: name.clone(),
                    value: value.clone(),
                }
                .to_wire(),
            ),
            Self::Grpc(status) => Condition::Grpc((*status).into()),
        };
        pb::RetryCondition {
            condition: Some(condition),
        }
    }
}

fn named(on: i32) -> Result<RetryCondition, Problem> {
    match pb::RetryOn::try_from(on) {
        Ok(pb::RetryOn::ServerError) => Ok(RetryCondition::ServerError),
        Ok(pb::RetryOn::GatewayError) => Ok(RetryCondition::GatewayError),
        Ok(pb::RetryOn::Reset) => Ok(RetryCondition::Reset),
        Ok(pb::RetryOn::ResetBeforeRequest) => Ok(RetryCondition::ResetBeforeRequest),
        Ok(pb::RetryOn::ConnectFailure) => Ok(RetryCondition::ConnectFailure),
        Ok(pb::RetryOn::RefusedStream) => Ok(RetryCondition::RefusedStream),
        Ok(pb::RetryOn::RetriableClientError) => Ok(RetryCondition::RetriableClientError),
        Ok(pb::RetryOn::RateLimited) => Ok(RetryCondition::RateLimited),
        Ok(pb::RetryOn::Unspecified) | Err(_) => Err(Problem::UnknownValue(on)),
    }
}

impl Wire for RetryBudget {
    type Message = pb::RetryBudget;

    fn from_wire(m: &pb::RetryBudget) -> Result<Self, FieldProblem> {
        Ok(Self {
            percent: check::percent(m.percent).field("percent")?,
            minimum: m.minimum,
            interval: required("interval", m.interval.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::RetryBudget {
        pb::RetryBudget {
            percent: self.percent,
            minimum: self.minimum,
            interval: Some(self.interval.to_wire()),
        }
    }
}
