//! Are there too many requests? (`envoy.service.ratelimit.v3.RateLimitService`)

mod wire;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

/// The method.
pub const SHOULD_RATE_LIMIT: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

/// What is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hit {
    /// The name space of the descriptors.
    pub domain: String,
    /// What it is counted as: names and values.
    pub descriptors: Vec<Vec<(String, String)>>,
    /// How many requests it counts as; 0 is 1.
    pub hits: u32,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// There are too many.
    pub over_limit: bool,
    /// What counts for each descriptor, in order.
    pub statuses: Vec<DescriptorStatus>,
    /// Headers for the client.
    pub response_headers: Vec<(HeaderName, HeaderValue)>,
    /// Headers for the destination.
    pub request_headers: Vec<(HeaderName, HeaderValue)>,
    /// What a client is told that may not pass.
    pub body: Bytes,
}

/// What counts for one descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescriptorStatus {
    /// There are too many of its kind.
    pub over_limit: bool,
    /// Its limit; absent where there is none.
    pub limit: Option<CurrentLimit>,
    /// How many more there may be.
    pub remaining: u32,
    /// When there may be as many as at the beginning.
    pub reset: Option<Duration>,
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentLimit {
    /// How many.
    pub requests: u32,
    /// In which time.
    pub unit: Unit,
    /// What it is called.
    pub name: String,
}

/// A time in which is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Not said.
    Unknown,
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// Seven days.
    Week,
    /// Thirty days.
    Month,
    /// 365 days.
    Year,
}

impl Unit {
    /// How long it is, if that is said.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        let seconds = match self {
            Self::Unknown => return None,
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 60 * 60,
            Self::Day => 24 * 60 * 60,
            Self::Week => 7 * 24 * 60 * 60,
            Self::Month => 30 * 24 * 60 * 60,
            Self::Year => 365 * 24 * 60 * 60,
        };
        Some(Duration::from_secs(seconds))
    }
}

#[cfg(test)]
pub(crate) mod tests;
