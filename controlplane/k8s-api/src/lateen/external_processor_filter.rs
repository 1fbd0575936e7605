//! ExternalProcessorFilter: somebody else changes requests and answers; a route names it by `ExtensionRef`. Fields are
//! called as in Envoy's `ExternalProcessor` (`envoy.extensions.filters.http.ext_proc.v3`).

use serde::Deserialize;

use crate::gateway::BackendObjectRef;
use crate::object::Resource;
use crate::value::GatewayDuration;

/// Somebody else changes requests and answers.
pub type ExternalProcessorFilter = Resource<ExternalProcessorFilterSpec>;

/// Who is sent what in an [`ExternalProcessorFilter`], and what it may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalProcessorFilterSpec {
    /// The service (`envoy.service.ext_proc.v3`).
    pub backend_ref: BackendObjectRef,
    /// What it is sent.
    #[serde(default)]
    pub processing_mode: ProcessingMode,
    /// Requests go on unchanged when it does not answer; otherwise they are answered with 500.
    #[serde(default)]
    pub failure_mode_allow: bool,
    /// How long it may take for each message; 200 ms where absent.
    #[serde(default)]
    pub message_timeout: Option<GatewayDuration>,
    /// Bytes of a `BUFFERED` body that are held back; 1 MiB where absent.
    #[serde(default)]
    pub max_body_bytes: Option<u32>,
    /// What it may change.
    #[serde(default)]
    pub mutation_rules: MutationRules,
    /// Whether its answer to a head may change what it is sent further.
    #[serde(default)]
    pub allow_mode_override: bool,
}

/// What a service is sent of a request and of its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessingMode {
    /// The request's head; sent where absent.
    pub request_header_mode: HeaderSendMode,
    /// The answer's head; sent where absent.
    pub response_header_mode: HeaderSendMode,
    /// The request's body; not sent where absent.
    pub request_body_mode: BodySendMode,
    /// The answer's body; not sent where absent.
    pub response_body_mode: BodySendMode,
    /// The request's trailers; not sent where absent.
    pub request_trailer_mode: HeaderSendMode,
    /// The answer's trailers; not sent where absent.
    pub response_trailer_mode: HeaderSendMode,
}

/// Whether a head or trailers are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HeaderSendMode {
    /// Heads are, trailers are not.
    #[default]
    Default,
    /// They are.
    Send,
    /// They are not.
    Skip,
}

/// How a body is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum BodySendMode {
    /// Not at all.
    #[default]
    None,
    /// Each piece as it comes.
    Streamed,
    /// As a whole, once it has come.
    Buffered,
}

/// What a service may change, beside plain headers and `:path`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MutationRules {
    /// `:method` and `:authority`, too.
    pub allow_all_routing: bool,
    /// No name that begins with a colon.
    pub disallow_system: bool,
    /// No header at all.
    pub disallow_all: bool,
}

impl HeaderSendMode {
    /// Whether they are sent, where nothing said means `default`.
    #[must_use]
    pub fn sends(self, default: bool) -> bool {
        match self {
            Self::Default => default,
            Self::Send => true,
            Self::Skip => false,
        }
    }
}
