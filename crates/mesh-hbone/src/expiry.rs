//! How long what was shown in a handshake stays true.
//!
//! A connection proves who its ends are once. After a certificate has expired, streams that are open go on, but no new
//! one is taken: else a pair of busy peers would never prove anything again.

use std::time::{Duration, SystemTime};

use mesh_tls::certificate::CertificateInfo;
use rustls::pki_types::CertificateDer;

/// How long the first of these certificates, the peer's own, is still valid; none at all when that cannot be read.
pub(crate) fn remaining(certs: &[CertificateDer<'_>], now: SystemTime) -> Duration {
    let info = certs.first().and_then(CertificateInfo::of);
    info.map_or(Duration::ZERO, |info| until(info.not_after, now))
}

/// How long it is until then; nothing when it is past.
pub(crate) fn until(then: SystemTime, now: SystemTime) -> Duration {
    then.duration_since(now).unwrap_or_default()
}
