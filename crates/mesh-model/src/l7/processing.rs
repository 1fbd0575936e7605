//! Somebody else changes requests and answers (Envoy, "External processing").

mod wire;

use std::time::Duration;

use mesh_types::Strng;

use super::ServicePort;

/// A service that is sent requests and answers and changes them (`envoy.service.ext_proc.v3`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalProcessing {
    /// What wants it, for logs.
    pub name: Strng,
    /// Where it is.
    pub service: ServicePort,
    /// What it is sent.
    pub mode: ProcessingMode,
    /// How long it may take for each message.
    pub timeout: Duration,
    /// Requests go on unchanged when it does not answer; otherwise they are answered with 500.
    pub failure_mode_allow: bool,
    /// Bytes of a buffered body that are held back for it; a longer one is refused.
    pub body_limit: u32,
    /// What it may change.
    pub mutation_rules: MutationRules,
    /// Whether its answer to a head may change what it is sent further.
    pub allow_mode_override: bool,
}

/// What a service is sent of a request and of its answer (`ProcessingMode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessingMode {
    /// The request's head.
    pub request_headers: bool,
    /// The answer's head.
    pub response_headers: bool,
    /// The request's body.
    pub request_body: BodySendMode,
    /// The answer's body.
    pub response_body: BodySendMode,
    /// The request's trailers.
    pub request_trailers: bool,
    /// The answer's trailers.
    pub response_trailers: bool,
}

/// How a service is sent a body (`ProcessingMode.BodySendMode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodySendMode {
    /// Not at all.
    #[default]
    None,
    /// Each piece as it comes.
    Streamed,
    /// As a whole, once it has come.
    Buffered,
}

/// What a service may change, beside plain headers and the path (`HeaderMutationRules`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MutationRules {
    /// `:method` and `:authority`, too.
    pub allow_all_routing: bool,
    /// No name that begins with a colon.
    pub disallow_system: bool,
    /// No header at all.
    pub disallow_all: bool,
}
