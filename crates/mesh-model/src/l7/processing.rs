//! Somebody else changes requests and answers (Envoy, "External processing").

mod wire;

use std::time::Duration;

use super::ServicePort;

/// A service that is sent requests and answers and changes them (`envoy.service.ext_proc.v3`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalProcessing {
    /// Where it is.
    pub service: ServicePort,
    /// What it is sent of a request.
    pub request: ProcessedParts,
    /// What it is sent of an answer.
    pub response: ProcessedParts,
    /// How long it may take for each message.
    pub timeout: Duration,
    /// Requests pass unchanged when it does not answer; otherwise they are answered with 500.
    pub fail_open: bool,
    /// Bytes of a body that are held back for it; a longer one is refused.
    pub body_limit: u32,
}

/// What is sent of a request or of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessedParts {
    /// Its head.
    pub headers: bool,
    /// All of its body, at once.
    pub body: bool,
}
