//! `envoy.service.ratelimit.v3`, both directions.

use std::time::Duration;

use bytes::Bytes;
use mesh_proto::envoy::extensions::common::ratelimit::v3::{
    RateLimitDescriptor, rate_limit_descriptor::Entry,
};
use mesh_proto::envoy::service::ratelimit::v3 as pb;
use mesh_proto::google::protobuf::Duration as ProtoDuration;
use pb::rate_limit_response::{Code, RateLimit, rate_limit};
use prost::Message as _;

use super::{Counted, CurrentLimit, DescriptorStatus, Hit, Unit};
use crate::Misunderstood;
use crate::headers::{MOST_CHANGES, plain, plain_to_wire};

impl Hit {
    /// As it is sent.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let descriptor = |entries: &Vec<(String, String)>| RateLimitDescriptor {
            entries: entries.iter().map(entry).collect(),
        };
        let message = pb::RateLimitRequest {
            domain: self.domain.clone(),
            descriptors: self.descriptors.iter().map(descriptor).collect(),
            hits_addend: self.hits,
        };
        message.encode_to_vec().into()
    }

    /// As it came.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn decode(message: &[u8]) -> Result<Self, Misunderstood> {
        let message = pb::RateLimitRequest::decode(message).map_err(|_| Misunderstood::message())?;
        let entries = |descriptor: RateLimitDescriptor| {
            let entries = descriptor.entries.into_iter();
            entries.map(|entry| (entry.key, entry.value)).collect()
        };
        Ok(Self {
            domain: message.domain,
            descriptors: message.descriptors.into_iter().map(entries).collect(),
            hits: message.hits_addend,
        })
    }
}

impl Counted {
    /// As it is answered.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let message = pb::RateLimitResponse {
            overall_code: code(self.over_limit).into(),
            statuses: self.statuses.iter().map(status_to_wire).collect(),
            response_headers_to_add: plain_to_wire(&self.response_headers),
            request_headers_to_add: plain_to_wire(&self.request_headers),
            raw_body: self.body.clone(),
            dynamic_metadata: None,
        };
        message.encode_to_vec().into()
    }

    /// As it came.
    ///
    /// # Errors
    /// Names the field that cannot be understood; also when it is not said whether there are too many.
    pub fn decode(message: &[u8]) -> Result<Self, Misunderstood> {
        let message = pb::RateLimitResponse::decode(message).map_err(|_| Misunderstood::message())?;
        let over_limit = match message.overall_code() {
            Code::Ok => false,
            Code::OverLimit => true,
            Code::Unknown => return Err(Misunderstood::new("overall_code", "is unknown")),
        };
        if message.statuses.len() > MOST_STATUSES {
            return Err(Misunderstood::new("statuses", "are too many"));
        }
        Ok(Self {
            over_limit,
            statuses: message.statuses.iter().map(status).collect(),
            response_headers: plain(&message.response_headers_to_add, MOST_CHANGES)?,
            request_headers: plain(&message.request_headers_to_add, MOST_CHANGES)?,
            body: message.raw_body,
        })
    }
}

fn entry((key, value): &(String, String)) -> Entry {
    Entry {
        key: key.clone(),
        value: value.clone(),
    }
}

fn code(over_limit: bool) -> Code {
    if over_limit { Code::OverLimit } else { Code::Ok }
}

fn status(message: &pb::rate_limit_response::DescriptorStatus) -> DescriptorStatus {
    let limit = message.current_limit.as_ref();
    DescriptorStatus {
        over_limit: message.code() == Code::OverLimit,
        limit: limit.map(|limit| CurrentLimit {
            requests: limit.requests_per_unit,
            unit: unit(limit.unit()),
            name: limit.name.clone(),
        }),
        remaining: message.limit_remaining,
        reset: message.duration_until_reset.as_ref().and_then(duration),
    }
}

fn status_to_wire(status: &DescriptorStatus) -> pb::rate_limit_response::DescriptorStatus {
    let reset = |reset: Duration| ProtoDuration {
        seconds: i64::try_from(reset.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(reset.subsec_nanos()).unwrap_or_default(),
    };
    let limit = |limit: &CurrentLimit| RateLimit {
        requests_per_unit: limit.requests,
        unit: unit_to_wire(limit.unit).into(),
        name: limit.name.clone(),
    };
    pb::rate_limit_response::DescriptorStatus {
        code: code(status.over_limit).into(),
        current_limit: status.limit.as_ref().map(limit),
        limit_remaining: status.remaining,
        duration_until_reset: status.reset.map(reset),
    }
}

fn duration(message: &ProtoDuration) -> Option<Duration> {
    let nanos = u32::try_from(message.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(message.seconds).ok()?, nanos))
}

fn unit(unit: rate_limit::Unit) -> Unit {
    match unit {
        rate_limit::Unit::Unknown => Unit::Unknown,
        rate_limit::Unit::Second => Unit::Second,
        rate_limit::Unit::Minute => Unit::Minute,
        rate_limit::Unit::Hour => Unit::Hour,
        rate_limit::Unit::Day => Unit::Day,
        rate_limit::Unit::Week => Unit::Week,
        rate_limit::Unit::Month => Unit::Month,
        rate_limit::Unit::Year => Unit::Year,
    }
}

fn unit_to_wire(unit: Unit) -> rate_limit::Unit {
    match unit {
        Unit::Unknown => rate_limit::Unit::Unknown,
        Unit::Second => rate_limit::Unit::Second,
        Unit::Minute => rate_limit::Unit::Minute,
        Unit::Hour => rate_limit::Unit::Hour,
        Unit::Day => rate_limit::Unit::Day,
        Unit::Week => rate_limit::Unit::Week,
        Unit::Month => rate_limit::Unit::Month,
        Unit::Year => rate_limit::Unit::Year,
    }
}

/// More than anybody asks about at once.
const MOST_STATUSES: usize = 256;
