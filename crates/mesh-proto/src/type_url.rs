//! Type URLs of the resources that travel over xDS.

/// A Workload or a Service.
pub const ADDRESS: &str = "type.googleapis.com/istio.workload.Address";
/// A Workload alone; upstream keeps it for old clients.
pub const WORKLOAD: &str = "type.googleapis.com/istio.workload.Workload";
/// An L4 authorization policy.
pub const AUTHORIZATION: &str = "type.googleapis.com/istio.security.Authorization";
/// A port that a gateway listens on.
pub const BIND: &str = "type.googleapis.com/lateen.l7.v1.Bind";
/// Which requests go where.
pub const ROUTE: &str = "type.googleapis.com/lateen.l7.v1.Route";
/// A destination that is no service.
pub const BACKEND: &str = "type.googleapis.com/lateen.l7.v1.Backend";
/// What an endpoint is labelled with.
pub const ENDPOINT_LABELS: &str = "type.googleapis.com/lateen.l7.v1.EndpointLabels";
/// Something that is attached to something.
pub const POLICY: &str = "type.googleapis.com/lateen.l7.v1.Policy";
/// Limits that the mesh's own rate-limit service counts.
pub const QUOTA: &str = "type.googleapis.com/lateen.l7.v1.Quota";
