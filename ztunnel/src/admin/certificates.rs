//! Certificates as `/config_dump` shows them, in upstream's shape.

use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mesh_certs::{CertSnapshot, CertState};
use mesh_tls::certificate::CertificateInfo;
use mesh_tls::pem;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An identity and its certificates.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CertificateDump {
    identity: String,
    state: String,
    cert_chain: Vec<Shown>,
    root_certs: Vec<Shown>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    /// The PEM text, in base64 once more.
    pem: String,
    /// Decimal, as upstream's; `istioctl` reads no other.
    serial_number: String,
    valid_from: String,
    expiration_time: String,
}

/// Every identity, ordered.
pub(super) fn dump(snapshots: &[CertSnapshot]) -> Vec<CertificateDump> {
    snapshots.iter().map(show).collect()
}

fn show(snapshot: &CertSnapshot) -> CertificateDump {
    let state = match (snapshot.state, &snapshot.error) {
        (CertState::Available, _) => "Available".to_owned(),
        (CertState::Initializing, _) => "Initializing".to_owned(),
        (CertState::Unavailable, Some(error)) => format!("Unavailable: {error}"),
        (CertState::Unavailable, None) => "Unavailable".to_owned(),
    };
    let certificate = snapshot.certificate.as_ref();
    CertificateDump {
        identity: snapshot.identity.to_string(),
        state,
        cert_chain: certificate
            .iter()
            .flat_map(|c| c.chain_pem())
            .flat_map(|text| show_each(text))
            .collect(),
        root_certs: certificate
            .iter()
            .flat_map(|c| show_each(c.roots_pem()))
            .collect(),
    }
}

/// Every certificate of a PEM text; they were all read once when the certificate was made.
fn show_each(text: &str) -> Vec<Shown> {
    let certificates = pem::certificates(text).unwrap_or_default();
    let infos = certificates.iter().filter_map(CertificateInfo::of);
    let blocks = text.split_inclusive(END);
    infos
        .zip(blocks)
        .map(|(info, block)| Shown {
            pem: BASE64_STANDARD.encode(format!("{}\n", block.trim())),
            serial_number: decimal(&info.serial),
            valid_from: rfc3339(info.not_before),
            expiration_time: rfc3339(info.not_after),
        })
        .collect()
}

/// A hexadecimal number of any length (RFC 5280 has serial numbers of up to 20 octets) in decimal digits.
fn decimal(hex: &str) -> String {
    // The least significant digit first.
    let mut digits = vec![0_u32];
    for digit in hex.chars().filter_map(|c| c.to_digit(16)) {
        let mut carry = digit;
        for place in &mut digits {
            carry += *place * 16;
            *place = carry % 10;
            carry /= 10;
        }
        while carry > 0 {
            digits.push(carry % 10);
            carry /= 10;
        }
    }
    let digits = digits
        .iter()
        .rev()
        .filter_map(|digit| char::from_digit(*digit, 10));
    digits.collect()
}

fn rfc3339(at: SystemTime) -> String {
    // Only years beyond 9999 cannot be written.
    OffsetDateTime::from(at).format(&Rfc3339).unwrap_or_default()
}

const END: &str = "-----END CERTIFICATE-----";

#[cfg(test)]
mod tests;
