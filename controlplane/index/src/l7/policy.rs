//! What is attached to services, routes and gateways: every policy kind becomes what waypoints are sent.
//!
//! ```text
//!   [MeshConfig] --> mesh settings, provider        [Service] [ServiceEntry] [Gateway] route --> target, gateways
//!          \              |                             /
//!   [DestinationRule] [AuthorizationPolicy] [RequestAuthentication] [Telemetry] [BackendTLSPolicy] [RateLimitPolicy]
//!   [HealthCheckPolicy] [SessionPolicy] --> policy (one for each sort of thing that the object says)
//!          |
//!   label that counts --> endpoint labels <-- [Pod] [WorkloadEntry] [ServiceEntry]
//! ```
//! A policy says what its object says: what several of them come to is the waypoint's to merge. What cannot be carried
//! out as it is written takes the direction that lets nothing more through, and its author is told the field and why.
//!
//! # Layout
//! - [`graph`]: which collection follows from which. `kinds`: each kind, from its object to its policies. `lowering`: what
//!   all of them share.
//! - `targets`: what a policy is attached to, and whose proxies it is for. `gateways`, `routes`: those as policies see
//!   them. `destination_rule`: which services a rule is for.
//! - What objects say, by kind, as functions over data: `authorization`, `external`, `authentication`, `traffic`
//!   (DestinationRule), `backend_tls`, `telemetry`, `rate_limit`, `health_check`, `session`, `mesh`.
//! - `quota`: what the mesh's own rate-limit service is told of a RateLimitPolicy.
//! - `providers`: whom the mesh's configuration names. `text`: what several kinds write in the same way.
//! - `labels`: the labels of endpoints that waypoints choose by.

mod authentication;
mod authorization;
mod backend_tls;
mod destination_rule;
mod external;
#[cfg(test)]
mod fixture;
mod gateways;
pub(crate) mod graph;
mod health_check;
mod kinds;
mod labels;
mod lowering;
mod mesh;
mod providers;
pub(crate) mod quota;
mod rate_limit;
mod routes;
mod session;
mod targets;
mod telemetry;
mod text;
mod traffic;

#[cfg(test)]
mod tests;
