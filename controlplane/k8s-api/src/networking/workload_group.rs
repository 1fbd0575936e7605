//! WorkloadGroup: what WorkloadEntries that register themselves have in common (Istio reference, "Workload Group").

use mesh_types::Strng;
use serde::Deserialize;

use super::WorkloadEntrySpec;
use crate::object::{Labels, Resource};

/// What workloads that register themselves have in common.
pub type WorkloadGroup = Resource<WorkloadGroupSpec>;

/// What a [`WorkloadGroup`] is to be.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct WorkloadGroupSpec {
    /// Metadata of its WorkloadEntries.
    pub metadata: WorkloadTemplateMetadata,
    /// Its WorkloadEntries, without what each says of itself.
    pub template: WorkloadEntrySpec,
    /// How a workload is found healthy.
    pub probe: Option<ReadinessProbe>,
}

/// Metadata of a group's WorkloadEntries.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct WorkloadTemplateMetadata {
    /// Labels.
    pub labels: Labels,
    /// Annotations.
    pub annotations: Labels,
}

/// How a workload is found healthy; one of the four ways is given.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadinessProbe {
    /// Seconds before the first probe.
    pub initial_delay_seconds: u32,
    /// Seconds that a probe may take; 0 stands for 1.
    pub timeout_seconds: u32,
    /// Seconds between probes; 0 stands for 10.
    pub period_seconds: u32,
    /// Good answers until it is healthy; 0 stands for 1.
    pub success_threshold: u32,
    /// Bad answers until it is not; 0 stands for 3.
    pub failure_threshold: u32,
    /// By an HTTP request.
    pub http_get: Option<HttpProbe>,
    /// By a TCP connection.
    pub tcp_socket: Option<TcpProbe>,
    /// By a command's exit status.
    pub exec: Option<ExecProbe>,
    /// By gRPC's health protocol.
    pub grpc: Option<GrpcProbe>,
}

/// A probe by an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpProbe {
    /// The path; `/` where absent.
    #[serde(default)]
    pub path: Strng,
    /// The port.
    pub port: u16,
    /// The host; the workload's own address where absent.
    #[serde(default)]
    pub host: Strng,
    /// `HTTP` or `HTTPS`; the former where absent.
    #[serde(default)]
    pub scheme: Strng,
    /// Request headers.
    #[serde(default)]
    pub http_headers: Vec<ProbeHeader>,
}

/// A request header.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ProbeHeader {
    /// The name.
    pub name: Strng,
    /// The value.
    #[serde(default)]
    pub value: Strng,
}

/// A probe by a TCP connection.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TcpProbe {
    /// The host; the workload's own address where absent.
    #[serde(default)]
    pub host: Strng,
    /// The port.
    pub port: u16,
}

/// A probe by a command's exit status.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ExecProbe {
    /// The program and its arguments.
    pub command: Vec<Strng>,
}

/// A probe by gRPC's health protocol.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GrpcProbe {
    /// The port.
    pub port: u16,
    /// The service to ask for; empty stands for the whole server.
    #[serde(default)]
    pub service: Strng,
}
