//! HealthCheckPolicy: how endpoints are asked if they are well.

use std::fmt;

use mesh_types::Strng;
use serde::Deserialize;
use serde::de::{Deserializer, Unexpected, Visitor};

use crate::gateway::PolicyTarget;
use crate::object::Resource;
use crate::value::GatewayDuration;

/// How the endpoints of Services are asked if they are well.
pub type HealthCheckPolicy = Resource<HealthCheckPolicySpec>;

/// What a [`HealthCheckPolicy`] says.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "HealthCheckPolicyFields")]
pub struct HealthCheckPolicySpec {
    /// The Services, ServiceEntries, or ports of them, that it is for.
    pub target_refs: Vec<PolicyTarget>,
    /// With what they are asked.
    pub probe: HealthProbe,
    /// How often; 10 s where absent.
    pub interval: Option<GatewayDuration>,
    /// How long an answer may take; 1 s where absent.
    pub timeout: Option<GatewayDuration>,
    /// After so many failures in a row an endpoint is ill; 3 where absent.
    pub unhealthy_threshold: Option<u32>,
    /// After so many good answers in a row it is well again; 2 where absent.
    pub healthy_threshold: Option<u32>,
}

/// With what endpoints are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthProbe {
    /// A request.
    Http(HttpHealthCheck),
    /// `grpc.health.v1.Health/Check`.
    Grpc(GrpcHealthCheck),
    /// A connection.
    Tcp(TcpHealthCheck),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpHealthCheck {
    /// Its path.
    pub path: Strng,
    /// Its host; the service's where absent.
    #[serde(default)]
    pub host: Option<Strng>,
    /// Good answers; 200 where empty.
    #[serde(default)]
    pub expected_statuses: Vec<StatusRange>,
}

/// HTTP statuses, both ends included: `204` or `200-299`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

/// `grpc.health.v1.Health/Check`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct GrpcHealthCheck {
    /// The service asked about; the server as a whole where empty.
    pub service: Strng,
}

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
pub struct TcpHealthCheck {}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HealthCheckPolicyFields {
    target_refs: Vec<PolicyTarget>,
    /// An HTTP request.
    http: Option<HttpHealthCheck>,
    /// A question of gRPC's health protocol.
    grpc: Option<GrpcHealthCheck>,
    /// A connection.
    tcp: Option<TcpHealthCheck>,
    interval: Option<GatewayDuration>,
    timeout: Option<GatewayDuration>,
    unhealthy_threshold: Option<u32>,
    healthy_threshold: Option<u32>,
}

impl Default for HealthProbe {
    fn default() -> Self {
        Self::Tcp(TcpHealthCheck {})
    }
}

impl TryFrom<HealthCheckPolicyFields> for HealthCheckPolicySpec {
    type Error = &'static str;

    fn try_from(fields: HealthCheckPolicyFields) -> Result<Self, &'static str> {
        let probes = [
            fields.http.map(HealthProbe::Http),
            fields.grpc.map(HealthProbe::Grpc),
            fields.tcp.map(HealthProbe::Tcp),
        ];
        let mut probes = probes.into_iter().flatten();
        let (Some(probe), None) = (probes.next(), probes.next()) else {
            return Err("needs exactly one of http, grpc and tcp");
        };
        Ok(Self {
            target_refs: fields.target_refs,
            probe,
            interval: fields.interval,
            timeout: fields.timeout,
            unhealthy_threshold: fields.unhealthy_threshold,
            healthy_threshold: fields.healthy_threshold,
        })
    }
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StatusRangeVisitor)
    }
}

struct StatusRangeVisitor;

impl Visitor<'_> for StatusRangeVisitor {
    type Value = StatusRange;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status like 204 or a range like 200-299")
    }

    fn visit_u64<E: serde::de::Error>(self, status: u64) -> Result<StatusRange, E> {
        let status = u16::try_from(status);
        let status = status.map_err(|_| E::invalid_value(Unexpected::Other("too large"), &self))?;
        Ok(StatusRange {
            first: status,
            last: status,
        })
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<StatusRange, E> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) => Ok(StatusRange { first, last }),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}
