//! What is done to a request or its answer on the way.

mod wire;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mesh_types::Strng;

use super::authorization::ExternalAuth;
use super::processing::ExternalProcessing;
use super::route::Destination;
use super::{Pattern, TextMatch};

/// A filter of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Changes the request's headers.
    RequestHeaders(HeaderEdits),
    /// Changes the answer's headers.
    ResponseHeaders(HeaderEdits),
    /// Changes where the request says it goes.
    Rewrite(Rewrite),
    /// Sends a copy elsewhere, whose answer is dropped.
    Mirror(Mirror),
    /// Answers browsers' questions about who may ask.
    Cors(Cors),
    /// Delays or breaks off requests, to see what happens.
    Fault(Fault),
    /// Asks somebody else whether the request may pass (Gateway API, `ExternalAuth`).
    ExternalAuth(Box<ExternalAuth>),
    /// Lets somebody else change requests and answers; at most one of a rule does.
    ExternalProcessing(Arc<ExternalProcessing>),
    /// The object has a filter that cannot be carried out: every request of the rule is answered with 500.
    Invalid(Strng),
}

/// A filter of one destination of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendFilter {
    /// Changes the request's headers.
    RequestHeaders(HeaderEdits),
    /// Changes the answer's headers.
    ResponseHeaders(HeaderEdits),
    /// Changes where the request says it goes.
    Rewrite(Rewrite),
    /// Sends a copy elsewhere.
    Mirror(Mirror),
    /// Sends the client elsewhere instead.
    Redirect(Redirect),
    /// Cannot be carried out: the share is answered with 500.
    Invalid(Strng),
}

/// Changes of headers: first `remove`, then `set`, then `add`. Names are in lower case; `:authority` may be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Replaces what is there.
    pub set: Vec<(Strng, Strng)>,
    /// Joins what is there, with a comma.
    pub add: Vec<(Strng, Strng)>,
    /// Takes away.
    pub remove: Vec<Strng>,
}

/// Changes where a request says it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// The new host.
    pub authority: Option<Strng>,
    /// The new path.
    pub path: Option<PathRewrite>,
}

/// A new path; the query stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// This one.
    Full(Strng),
    /// What matched (see [`super::route::PathMatch`]) becomes this; the rest stays, with one slash between them.
    Prefix(Strng),
    /// What matched becomes this, with nothing mended between the two (VirtualService).
    RawPrefix(Strng),
    /// Every match becomes this, `\1` standing for the first group.
    Regex(Pattern, Strng),
}

/// Where a client is sent; what is absent stays as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<Strng>,
    /// The host.
    pub hostname: Option<Strng>,
    /// The port.
    pub port: RedirectPort,
    /// The path.
    pub path: Option<PathRewrite>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// The port in a redirect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedirectPort {
    /// The scheme's own if a scheme is given, else the port that was asked for (Gateway API, `RequestRedirect.port`).
    #[default]
    Derived,
    /// The port that was asked for, also where it was not named.
    Requested,
    /// As the client named it: none where it named none.
    AsNamed,
    /// This one.
    Given(u16),
}

/// An answer from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Where copies of requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Where.
    pub destination: Destination,
    /// How many.
    pub share: Share,
}

/// A part of all requests: `numerator / denominator`, at most all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    numerator: u32,
    denominator: u32,
}

/// Who else may ask (the Fetch standard, "CORS protocol").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Origins.
    pub allow_origins: Vec<TextMatch>,
    /// Methods; `*` for any.
    pub allow_methods: Vec<Strng>,
    /// Request headers; `*` for any.
    pub allow_headers: Vec<Strng>,
    /// Answer headers that scripts may read; `*` for any.
    pub expose_headers: Vec<Strng>,
    /// How long a browser may remember it.
    pub max_age: Option<Duration>,
    /// Whether cookies and the like may be sent.
    pub allow_credentials: bool,
    /// Preflight requests whose origin is not allowed go on to the destination instead of being answered here.
    pub forward_unmatched_preflights: bool,
}

/// Delays and failures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// How many wait, and how long.
    pub delay: Option<(Duration, Share)>,
    /// How many fail, and how.
    pub abort: Option<(Abort, Share)>,
}

/// How a request is made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// With this status.
    Http(u16),
    /// With 200 and this gRPC status.
    Grpc(u8),
}

impl Share {
    /// All requests.
    pub const ALL: Self = Self {
        numerator: 1,
        denominator: 1,
    };

    /// `numerator` of `denominator` requests; absent when the denominator is 0. More than all is all.
    #[must_use]
    pub fn new(numerator: u32, denominator: u32) -> Option<Self> {
        (denominator > 0).then_some(Self {
            numerator: numerator.min(denominator),
            denominator,
        })
    }

    /// Both numbers.
    #[must_use]
    pub fn parts(self) -> (u32, u32) {
        (self.numerator, self.denominator)
    }

    /// Whether a request is among them, by a number that is equally likely to be any.
    #[must_use]
    pub fn takes(self, random: u64) -> bool {
        random % u64::from(self.denominator) < u64::from(self.numerator)
    }
}
