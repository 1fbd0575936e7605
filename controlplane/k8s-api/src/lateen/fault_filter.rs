//! FaultFilter: faults that are made on purpose; a route names it by `ExtensionRef`.

use mesh_types::Strng;
use serde::Deserialize;

use crate::networking::GrpcStatus;
use crate::object::Resource;
use crate::value::GatewayDuration;

/// Faults that are made on purpose.
pub type FaultFilter = Resource<FaultFilterSpec>;

/// What a [`FaultFilter`] does: a request waits, fails, or waits and then fails.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct FaultFilterSpec {
    /// Requests that wait.
    pub delay: Option<FaultDelay>,
    /// Requests that fail.
    pub abort: Option<FaultAbort>,
}

/// Requests that wait.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultDelay {
    /// So long.
    pub fixed_delay: GatewayDuration,
    /// Which share, in per cent; all where absent.
    #[serde(default = "all")]
    pub percentage: f64,
}

/// Requests that fail.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "FaultAbortFields")]
pub struct FaultAbort {
    /// In this way.
    pub error: FaultError,
    /// Which share, in per cent; all where absent.
    pub percentage: f64,
}

/// How a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// With this HTTP status.
    Http(u16),
    /// With this gRPC status.
    Grpc(GrpcStatus),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FaultAbortFields {
    /// With this HTTP status.
    #[serde(default)]
    http_status: Option<u16>,
    /// With this gRPC status, a name or a number.
    #[serde(default)]
    grpc_status: Option<Strng>,
    #[serde(default = "all")]
    percentage: f64,
}

impl TryFrom<FaultAbortFields> for FaultAbort {
    type Error = String;

    fn try_from(fields: FaultAbortFields) -> Result<Self, String> {
        let error = match (fields.http_status, fields.grpc_status) {
            (Some(status), None) => FaultError::Http(status),
            (None, Some(status)) => {
                let known = GrpcStatus::parse(&status);
                FaultError::Grpc(known.ok_or_else(|| format!("has no gRPC status: {:?}", status.as_str()))?)
            }
            _ => return Err("needs exactly one of httpStatus and grpcStatus".to_owned()),
        };
        Ok(Self {
            error,
            percentage: fields.percentage,
        })
    }
}

fn all() -> f64 {
    100.0
}
