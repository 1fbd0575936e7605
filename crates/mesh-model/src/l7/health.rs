//! Whether endpoints are asked if they are well (`lateen.dev`, HealthCheckPolicy).

mod wire;

use std::time::Duration;

use mesh_types::Strng;

/// How endpoints are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// With what.
    pub probe: Probe,
    /// How often.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// After so many failures in a row an endpoint is ill.
    pub unhealthy_threshold: u32,
    /// After so many good answers in a row it is well again.
    pub healthy_threshold: u32,
}

/// With what an endpoint is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A request.
    Http {
        /// Its path.
        path: Strng,
        /// Its host; absent: the service's.
        host: Option<Strng>,
        /// Good answers, as ranges with both ends; 200 if there are none.
        statuses: Vec<(u16, u16)>,
    },
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service asked about; empty for the server.
        service: Strng,
    },
    /// A connection.
    Tcp,
}
