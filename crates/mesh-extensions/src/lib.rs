//! Services that are asked about requests, on Envoy's wires: what is asked, what is answered, both ends of both.
//!
//! # Layout
//! - [`authorization`]: may it pass? (`envoy.service.auth.v3`)
//! - [`rate_limit`]: are there too many? (`envoy.service.ratelimit.v3`)
//! - [`processing`]: what is to be changed? (`envoy.service.ext_proc.v3`)
//! - [`headers`]: changes of headers, which all of them answer with.
//! - [`framing`]: messages of gRPC in a body, and the status behind them.
//! - [`fuzz`]: the fuzz targets.
//!
//! Nothing here sends anything: the proxy asks through its own connections, which are those of the mesh. What a service
//! answers is read strictly: an answer that cannot be understood is none.

pub mod authorization;
pub mod framing;
#[doc(hidden)]
pub mod fuzz;
pub mod headers;
pub mod processing;
pub mod rate_limit;

/// What came cannot be understood; the fault is the sender's, and asking again is useless.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Misunderstood {
    /// The field, as the `.proto` names it; `message` for all of it.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Misunderstood {
    pub(crate) fn new(field: &'static str, problem: &'static str) -> Self {
        Self { field, problem }
    }

    pub(crate) fn message() -> Self {
        Self::new("message", "is no message of this type")
    }
}
