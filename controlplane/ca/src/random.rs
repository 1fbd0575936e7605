//! Unpredictable bytes, from the one TLS provider.

use rustls::crypto::SecureRandom;

/// 128 unpredictable bits.
///
/// # Panics
/// Panics when the operating system has no randomness to give: nothing may be signed then.
pub(crate) fn bits128() -> [u8; 16] {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let random: &dyn SecureRandom = provider.secure_random;
    let mut bytes = [0; 16];
    random
        .fill(&mut bytes)
        .expect("aws-lc seeds itself from getrandom(2), which does not fail once the kernel has started");
    bytes
}

/// A random UUID (RFC 9562, version 4).
pub(crate) fn uuid() -> String {
    let mut b = bits128();
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
