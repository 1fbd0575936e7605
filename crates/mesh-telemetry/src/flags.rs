//! Response flags: why a request was answered as it was, in the words of Envoy's access logs
//! (Envoy, "Access logging", `%RESPONSE_FLAGS%`). Logs and metrics use nothing else.

use std::fmt;

/// One reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ResponseFlag {
    /// UH: no healthy endpoint.
    NoHealthyUpstream,
    /// UF: no connection to the endpoint.
    UpstreamConnectionFailure,
    /// UO: a limit of connections or requests is reached.
    UpstreamOverflow,
    /// NR: no route.
    NoRouteFound,
    /// URX: the retries are used up.
    UpstreamRetryLimitExceeded,
    /// NC: the route's destination does not exist.
    NoClusterFound,
    /// UT: the request's time was over.
    UpstreamRequestTimeout,
    /// LR: reset from here.
    LocalReset,
    /// UR: reset by the endpoint.
    UpstreamRemoteReset,
    /// UC: the endpoint closed its connection.
    UpstreamConnectionTermination,
    /// DI: a fault delayed it.
    DelayInjected,
    /// FI: a fault ended it.
    FaultInjected,
    /// RL: a local rate limit.
    RateLimited,
    /// UAEX: external authorization denied it.
    UnauthorizedExternalService,
    /// RLSE: the rate-limit service failed.
    RateLimitServiceError,
    /// IH: a strictly checked header is invalid.
    InvalidEnvoyRequestHeaders,
    /// SI: the stream was idle for too long.
    StreamIdleTimeout,
    /// DPE: the client broke the protocol.
    DownstreamProtocolError,
    /// UPE: the endpoint broke the protocol.
    UpstreamProtocolError,
    /// UMSDR: the longest duration of a stream is over.
    UpstreamMaxStreamDurationReached,
    /// OM: the overload manager ended it.
    OverloadManager,
    /// DF: DNS failed.
    DnsResolutionFailed,
    /// DO: it was dropped for overload.
    DropOverload,
    /// DC: the client went away.
    DownstreamConnectionTermination,
    /// DR: the client reset the stream.
    DownstreamRemoteReset,
    /// DT: the connection was too old.
    DurationTimeout,
    /// NFCF: an extension's configuration is missing.
    NoFilterConfigFound,
}

/// Some reasons; `-` in text when there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResponseFlags(u32);

impl ResponseFlag {
    /// All, in the order of their letters in a log line.
    pub const ALL: [Self; 27] = [
        Self::NoHealthyUpstream,
        Self::UpstreamConnectionFailure,
        Self::UpstreamOverflow,
        Self::NoRouteFound,
        Self::UpstreamRetryLimitExceeded,
        Self::NoClusterFound,
        Self::UpstreamRequestTimeout,
        Self::LocalReset,
        Self::UpstreamRemoteReset,
        Self::UpstreamConnectionTermination,
        Self::DelayInjected,
        Self::FaultInjected,
        Self::RateLimited,
        Self::UnauthorizedExternalService,
        Self::RateLimitServiceError,
        Self::InvalidEnvoyRequestHeaders,
        Self::StreamIdleTimeout,
        Self::DownstreamProtocolError,
        Self::UpstreamProtocolError,
        Self::UpstreamMaxStreamDurationReached,
        Self::OverloadManager,
        Self::DnsResolutionFailed,
        Self::DropOverload,
        Self::DownstreamConnectionTermination,
        Self::DownstreamRemoteReset,
        Self::DurationTimeout,
        Self::NoFilterConfigFound,
    ];

    /// Its letters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoHealthyUpstream => "UH",
            Self::UpstreamConnectionFailure => "UF",
            Self::UpstreamOverflow => "UO",
            Self::NoRouteFound => "NR",
            Self::UpstreamRetryLimitExceeded => "URX",
            Self::NoClusterFound => "NC",
            Self::UpstreamRequestTimeout => "UT",
            Self::LocalReset => "LR",
            Self::UpstreamRemoteReset => "UR",
            Self::UpstreamConnectionTermination => "UC",
            Self::DelayInjected => "DI",
            Self::FaultInjected => "FI",
            Self::RateLimited => "RL",
            Self::UnauthorizedExternalService => "UAEX",
            Self::RateLimitServiceError => "RLSE",
            Self::InvalidEnvoyRequestHeaders => "IH",
            Self::StreamIdleTimeout => "SI",
            Self::DownstreamProtocolError => "DPE",
            Self::UpstreamProtocolError => "UPE",
            Self::UpstreamMaxStreamDurationReached => "UMSDR",
            Self::OverloadManager => "OM",
            Self::DnsResolutionFailed => "DF",
            Self::DropOverload => "DO",
            Self::DownstreamConnectionTermination => "DC",
            Self::DownstreamRemoteReset => "DR",
            Self::DurationTimeout => "DT",
            Self::NoFilterConfigFound => "NFCF",
        }
    }

    /// Its name (`%RESPONSE_FLAGS_LONG%`).
    #[must_use]
    pub fn long_name(self) -> &'static str {
        match self {
            Self::NoHealthyUpstream => "NoHealthyUpstream",
            Self::UpstreamConnectionFailure => "UpstreamConnectionFailure",
            Self::UpstreamOverflow => "UpstreamOverflow",
            Self::NoRouteFound => "NoRouteFound",
            Self::UpstreamRetryLimitExceeded => "UpstreamRetryLimitExceeded",
            Self::NoClusterFound => "NoClusterFound",
            Self::UpstreamRequestTimeout => "UpstreamRequestTimeout",
            Self::LocalReset => "LocalReset",
            Self::UpstreamRemoteReset => "UpstreamRemoteReset",
            Self::UpstreamConnectionTermination => "UpstreamConnectionTermination",
            Self::DelayInjected => "DelayInjected",
            Self::FaultInjected => "FaultInjected",
            Self::RateLimited => "RateLimited",
            Self::UnauthorizedExternalService => "UnauthorizedExternalService",
            Self::RateLimitServiceError => "RateLimitServiceError",
            Self::InvalidEnvoyRequestHeaders => "InvalidEnvoyRequestHeaders",
            Self::StreamIdleTimeout => "StreamIdleTimeout",
            Self::DownstreamProtocolError => "DownstreamProtocolError",
            Self::UpstreamProtocolError => "UpstreamProtocolError",
            Self::UpstreamMaxStreamDurationReached => "UpstreamMaxStreamDurationReached",
            Self::OverloadManager => "OverloadManagerTerminated",
            Self::DnsResolutionFailed => "DnsResolutionFailed",
            Self::DropOverload => "DropOverLoad",
            Self::DownstreamConnectionTermination => "DownstreamConnectionTermination",
            Self::DownstreamRemoteReset => "DownstreamRemoteReset",
            Self::DurationTimeout => "DurationTimeout",
            Self::NoFilterConfigFound => "NoFilterConfigFound",
        }
    }

    fn envoy_bit(self) -> u8 {
        match self {
            Self::NoHealthyUpstream => 1,
            Self::UpstreamRequestTimeout => 2,
            Self::LocalReset => 3,
            Self::UpstreamRemoteReset => 4,
            Self::UpstreamConnectionFailure => 5,
            Self::UpstreamConnectionTermination => 6,
            Self::UpstreamOverflow => 7,
            Self::NoRouteFound => 8,
            Self::DelayInjected => 9,
            Self::FaultInjected => 10,
            Self::RateLimited => 11,
            Self::UnauthorizedExternalService => 12,
            Self::RateLimitServiceError => 13,
            Self::DownstreamConnectionTermination => 14,
            Self::UpstreamRetryLimitExceeded => 15,
            Self::StreamIdleTimeout => 16,
            Self::InvalidEnvoyRequestHeaders => 17,
            Self::DownstreamProtocolError => 18,
            Self::UpstreamMaxStreamDurationReached => 19,
            Self::NoFilterConfigFound => 21,
            Self::DurationTimeout => 22,
            Self::UpstreamProtocolError => 23,
            Self::NoClusterFound => 24,
            Self::OverloadManager => 25,
            Self::DnsResolutionFailed => 26,
            Self::DropOverload => 27,
            Self::DownstreamRemoteReset => 28,
        }
    }
}

impl ResponseFlags {
    /// None.
    pub const NONE: Self = Self(0);

    /// One more.
    pub fn add(&mut self, flag: ResponseFlag) {
        self.0 |= 1 << flag as u8;
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(self, flag: ResponseFlag) -> bool {
        self.0 & (1 << flag as u8) != 0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As bits; which is which is nobody else's business.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// As Envoy numbers them (Envoy, `StreamInfo::CoreResponseFlag`), for expressions that test bits.
    #[must_use]
    pub fn envoy_bits(self) -> u64 {
        self.iter().fold(0, |bits, flag| bits | 1 << flag.envoy_bit())
    }

    /// All that are there.
    pub fn iter(self) -> impl Iterator<Item = ResponseFlag> {
        ResponseFlag::ALL.into_iter().filter(move |flag| self.has(*flag))
    }
}

impl fmt::Display for ResponseFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        for (n, flag) in self.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{}", flag.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
