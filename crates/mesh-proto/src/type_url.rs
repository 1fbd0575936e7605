//! Type URLs of the resources that travel over xDS.

/// A Workload or a Service.
pub const ADDRESS: &str = "type.googleapis.com/istio.workload.Address";
/// A Workload alone; upstream keeps it for old clients.
pub const WORKLOAD: &str = "type.googleapis.com/istio.workload.Workload";
/// An L4 authorization policy.
pub const AUTHORIZATION: &str = "type.googleapis.com/istio.security.Authorization";
