//! `GET /certificates`: whose certificates a proxy holds, and how long they are good. Small, so that whoever looks after
//! a thousand proxies can ask them all; `/config_dump` has the rest.

use std::time::SystemTime;

use http::StatusCode;
use mesh_certs::{CertManager, CertSnapshot, CertState};
use mesh_runtime::admin::{Routes, json};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// One identity.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Held {
    identity: String,
    /// `Available`, `Initializing` or `Unavailable`.
    state: &'static str,
    /// Why there is none, or no newer one.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_from: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_time: Option<String>,
}

/// The page.
#[must_use]
pub fn routes(certs: CertManager) -> Routes {
    Routes::new().get("/certificates", "how long certificates are good", move |_| {
        let held: Vec<Held> = certs.snapshot().iter().map(Held::of).collect();
        std::future::ready(json(StatusCode::OK, &held))
    })
}

impl Held {
    fn of(snapshot: &CertSnapshot) -> Self {
        let certificate = snapshot.certificate.as_ref();
        Self {
            identity: snapshot.identity.to_string(),
            state: match snapshot.state {
                CertState::Available => "Available",
                CertState::Initializing => "Initializing",
                CertState::Unavailable => "Unavailable",
            },
            error: snapshot.error.as_ref().map(ToString::to_string),
            valid_from: certificate.map(|held| rfc3339(held.not_before())),
            expiration_time: certificate.map(|held| rfc3339(held.not_after())),
        }
    }
}

fn rfc3339(at: SystemTime) -> String {
    // Only years beyond 9999 cannot be written.
    OffsetDateTime::from(at).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests;
