//! How many requests there may be (`lateen.dev`, RateLimitPolicy; Envoy, "Rate limit").

mod wire;

use std::time::Duration;

use mesh_types::Strng;

use super::{ServicePort, TextMatch};

/// Limits on requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RateLimit {
    /// Counted by each proxy for itself.
    Local(Vec<LocalLimit>),
    /// Counted by a service.
    Global(GlobalLimit),
}

/// A bucket of tokens, for each value of the descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalLimit {
    /// Requests that count here: each entry must be there and match.
    pub descriptor: Vec<DescriptorEntry>,
    /// Tokens.
    pub requests: u32,
    /// In which time they come back.
    pub interval: Duration,
    /// How many there may be at once.
    pub burst: u32,
    /// An expression (CEL): only requests of which it is true count here.
    pub when: Option<Strng>,
}

/// Limits that a service counts (`envoy.service.ratelimit.v3`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalLimit {
    /// Where it is.
    pub service: ServicePort,
    /// Its name space.
    pub domain: Strng,
    /// What is sent; a descriptor with an entry that is absent from the request is left out.
    pub descriptors: Vec<Descriptor>,
    /// How long it may take.
    pub timeout: Duration,
    /// Requests are answered with 500 when it cannot be asked; otherwise they pass.
    pub fail_closed: bool,
}

/// What a request is counted as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its parts, in order.
    pub entries: Vec<DescriptorEntry>,
    /// An expression (CEL): only for requests of which it is true.
    pub when: Option<Strng>,
}

/// A part of a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorEntry {
    /// Its name.
    pub key: Strng,
    /// Where its value comes from.
    pub source: DescriptorSource,
    /// What the value must be; any if absent.
    pub value: Option<TextMatch>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DescriptorSource {
    /// A header.
    Header(Strng),
    /// The path.
    Path,
    /// The method.
    Method,
    /// The host.
    Authority,
    /// The client's identity.
    SourcePrincipal,
    /// The client's namespace.
    SourceNamespace,
    /// A claim of the token.
    Claim(Vec<Strng>),
    /// The client's address.
    RemoteAddress,
    /// Always this.
    Constant(Strng),
    /// What an expression (CEL) gives, as text.
    Expression(Strng),
}
