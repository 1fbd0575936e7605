//! How long what was shown in a handshake stays true.
//!
//! A connection proves who its ends are once. When a newer certificate of this end exists, the connection takes no more
//! streams, so that the next one proves it anew; and when the certificate of either end expires, the connection ends with
//! all its streams: else a pair of busy peers would never prove anything again.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_tls::certificate::CertificateInfo;
use mesh_tls::{CertSource, WorkloadCertificate};
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, sleep};

/// Whose certificate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Whose {
    /// This end's.
    Ours,
    /// The other end's.
    Peers,
}

/// When a connection has to end, and by whose certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Expiry {
    /// Nothing for what is too far away to be told as an instant.
    at: Option<Instant>,
    whose: Whose,
}

/// Waits until there is a newer certificate of the same identity than `used`: what was set up with `used` should then take
/// nothing new. Certificates are renewed at half of their life, so that nobody asks earlier.
pub async fn renewed(certs: &impl CertSource, used: &Arc<WorkloadCertificate>) {
    let (began, wall) = (Instant::now(), SystemTime::now());
    loop {
        let now = wall + began.elapsed();
        sleep(ask_after(used.not_before(), used.not_after(), now)).await;
        // Where none can be had, the old one serves until it expires.
        if let Ok(current) = certs.get(used.identity()).await
            && current.serial() != used.serial()
        {
            return;
        }
    }
}

/// How long to wait before asking whether a certificate was renewed.
fn ask_after(not_before: SystemTime, not_after: SystemTime, now: SystemTime) -> Duration {
    let life = until(not_after, not_before);
    let interval = (life / ASKED_IN_A_LIFE).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
    until(not_before + life / 2, now).max(interval)
}

/// How long the first of these certificates, the peer's own, is still valid; none at all when that cannot be read.
pub(crate) fn remaining(certs: &[CertificateDer<'_>], now: SystemTime) -> Duration {
    let info = certs.first().and_then(CertificateInfo::of);
    info.map_or(Duration::ZERO, |info| until(info.not_after, now))
}

/// How long it is until then; nothing when it is past.
pub(crate) fn until(then: SystemTime, now: SystemTime) -> Duration {
    then.duration_since(now).unwrap_or_default()
}

// === impl Expiry ===

impl Expiry {
    pub(crate) fn new(whose: Whose, remaining: Duration, now: Instant) -> Self {
        let at = now.checked_add(remaining);
        Self { at, whose }
    }

    /// The earlier of two.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self.at, other.at) {
            (Some(this), Some(that)) if that < this => other,
            (None, Some(_)) => other,
            _ => self,
        }
    }

    /// Whose certificate has expired, if one has.
    pub(crate) fn passed(self, now: Instant) -> Option<Whose> {
        self.at.is_some_and(|at| at <= now).then_some(self.whose)
    }

    /// When to look next, if nothing else is to be done before `other`.
    pub(crate) fn before(self, other: Instant) -> Instant {
        self.at.map_or(other, |at| at.min(other))
    }
}

// === impl Whose ===

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "our",
            Self::Peers => "the peer's",
        })
    }
}

/// With a day's certificate: every five minutes.
const ASKED_IN_A_LIFE: u32 = 48;
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
