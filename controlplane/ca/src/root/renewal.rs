//! When a self-signed root is renewed, and how: before a fifth of its life is left, by another certificate of the same name and
//! key (control-plane.md, 3.1). Whoever trusts one of the two trusts what is signed under the other, so nobody has to be told in
//! time; the earlier one is trusted beside it all the same, for those who compare certificates.

use std::time::SystemTime;

use rcgen::string::PrintableString;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, KeyIdMethod,
    KeyUsagePurpose, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::Tag;
use x509_parser::extensions::ParsedExtension;
use x509_parser::x509::X509Name;

use super::{AuthorityPems, CLOCK_SKEW, LIFETIME, Life};
use crate::random;
use crate::signing_key::AuthorityKey;

/// Whether a fifth of a life or less is left.
pub(super) fn is_due(life: Life, now: SystemTime) -> bool {
    let whole = life.not_after.duration_since(life.not_before).unwrap_or_default();
    let left = life.not_after.duration_since(now).unwrap_or_default();
    left <= whole / PARTS
}

impl AuthorityPems {
    /// The same self-signed root with a new life.
    ///
    /// # Errors
    /// Fails with one line that says why another certificate cannot take its place: it is under somebody's root, or its name is
    /// one that cannot be written again exactly.
    pub fn renewed(&self, now: SystemTime) -> Result<Self, String> {
        if !self.roots.trim().is_empty() {
            return Err("it is under a root that is somebody else's to renew".to_owned());
        }
        let key = AuthorityKey::from_pem(&self.key)?;
        let before = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        let before = before.map_err(|e| format!("holds no certificate: {e}"))?;
        let before = parsed(&before)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(before.subject())?;
        params.serial_number = Some(SerialNumber::from_slice(&random::bits128()));
        params.not_before = (now - CLOCK_SKEW).into();
        params.not_after = (now + LIFETIME).into();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // Certificates name their issuer's key by this.
        if let Some(id) = key_id(&before) {
            params.key_identifier_method = KeyIdMethod::PreSpecified(id);
        }
        let certificate = params.self_signed(&key).map_err(|e| e.to_string())?;
        if parsed(certificate.der())?.subject().as_raw() != before.subject().as_raw() {
            return Err(format!("its name {} cannot be written again", before.subject()));
        }
        Ok(Self {
            certificate: certificate.pem(),
            key: self.key.clone(),
            ..Self::default()
        })
    }
}

fn parsed(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    let parsed = x509_parser::parse_x509_certificate(der);
    let (_, certificate) = parsed.map_err(|e| format!("the certificate cannot be read: {e}"))?;
    Ok(certificate)
}

fn key_id(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    let mut extensions = certificate.extensions().iter();
    extensions.find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    })
}

/// The same name, in the same kinds of text.
fn name(of: &X509Name<'_>) -> Result<DistinguishedName, String> {
    let mut name = DistinguishedName::new();
    for attribute in of.iter_attributes() {
        let odd = || format!("its name {of} has a part that cannot be written again");
        let kind: Vec<u64> = attribute.attr_type().iter().ok_or_else(odd)?.collect();
        let value = attribute.attr_value();
        let text = str::from_utf8(value.data).map_err(|_| odd())?;
        let text = match value.tag() {
            Tag::Utf8String => DnValue::Utf8String(text.to_owned()),
            Tag::PrintableString => {
                DnValue::PrintableString(PrintableString::try_from(text).map_err(|_| odd())?)
            }
            _ => return Err(odd()),
        };
        name.push(DnType::from_oid(&kind), text);
    }
    Ok(name)
}

/// One part of so many is left when a root is renewed.
const PARTS: u32 = 5;

#[cfg(test)]
mod tests;
