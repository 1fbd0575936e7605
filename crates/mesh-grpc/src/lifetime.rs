//! How long a server lets a stream go on. Pure.
//!
//! A stream is judged once, when it opens: without an end it would outlive the credentials that opened it, and a replica
//! that was started later would never be given clients. Its client opens the next one with the credentials of then, and
//! says what it has, so that nothing is sent twice or lost.

use std::time::Duration;

use tonic::Status;

/// Why a stream ends that nobody broke.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamEnd {
    /// The credentials that opened it are not good any more.
    CredentialsEnded,
    /// It is old.
    Aged,
}

/// When a stream is to end, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetime {
    /// How long from its opening.
    pub after: Duration,
    /// Why then.
    pub end: StreamEnd,
}

impl Lifetime {
    /// Of a stream whose credentials are good for so long from now on, if they end at all. `random` (0 to 1) spreads the
    /// streams that were opened together: an old one ends in the last fifth of [`MAX_AGE`], one without good credentials
    /// up to [`CREDENTIALS_SPREAD`] after their end, so that the same ones cannot open it again.
    #[must_use]
    pub fn new(credentials: Option<Duration>, random: f64) -> Self {
        let random = random.clamp(0.0, 1.0);
        let aged = Self {
            after: MAX_AGE.mul_f64(1.0 - AGE_SPREAD * random),
            end: StreamEnd::Aged,
        };
        let ended = credentials.map(|rest| Self {
            after: rest.saturating_add(CREDENTIALS_SPREAD.mul_f64(random)),
            end: StreamEnd::CredentialsEnded,
        });
        ended.filter(|ended| ended.after < aged.after).unwrap_or(aged)
    }
}

impl StreamEnd {
    /// What the client is told.
    #[must_use]
    pub fn to_status(self) -> Status {
        match self {
            Self::CredentialsEnded => Status::unauthenticated(
                "the credentials that opened this stream have expired: open another with fresh ones",
            ),
            // As any end that a client need not worry about.
            Self::Aged => Status::ok("this stream is old: open another"),
        }
    }
}

/// As istiod's connections.
pub const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// The part of [`MAX_AGE`] over which ends are spread.
pub const AGE_SPREAD: f64 = 0.2;
/// The time over which ends are spread that follow from credentials.
pub const CREDENTIALS_SPREAD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
