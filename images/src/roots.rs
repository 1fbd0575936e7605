//! The authorities that programs in an image trust for names outside of the mesh: issuers of tokens, servers of others.
//!
//! Mozilla's, as Debian's package has them, as far as this machine trusts them. What somebody gave this machine alone (a
//! company's authority, a proxy that reads its TLS) is nobody else's to trust, and does not go into an image.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Where programs of ours look first (`mesh_tls::service::SYSTEM_BUNDLES`), and where Debian has its bundle.
pub const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The files of the package that this machine's bundle is made of.
pub const PACKAGED: &str = "/usr/share/ca-certificates/mozilla";

/// The PEM bundle for an image: the certificates of a machine's bundle that the package brought, in the bundle's order.
///
/// # Errors
/// Fails when the package's files or the bundle are missing, or have nothing in common.
pub fn bundle(machine: &Path, packaged: &Path) -> Result<String> {
    let mut known = BTreeSet::new();
    for entry in fs::read_dir(packaged).map_err(|error| missing(packaged, error))? {
        let path = entry.with_context(|| packaged.display().to_string())?.path();
        // Beside certificates in PEM, nothing of that folder is text for certain.
        if path.extension().is_some_and(|extension| extension == "crt") {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            known.extend(certificates(&text));
        }
    }
    let text = fs::read_to_string(machine).map_err(|error| missing(machine, error))?;
    let chosen: String = certificates(&text)
        .filter(|certificate| known.contains(certificate))
        .map(|certificate| format!("{BEGIN}\n{certificate}{END}\n"))
        .collect();
    if chosen.is_empty() {
        bail!(
            "{} trusts none of the authorities in {}: run update-ca-certificates",
            machine.display(),
            packaged.display()
        );
    }
    Ok(chosen)
}

/// What stands between the lines that begin and end each certificate (RFC 7468), line by line.
fn certificates(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(BEGIN)
        .skip(1)
        .filter_map(|rest| rest.split_once(END))
        .map(|(inside, _)| {
            let lines = inside.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.map(|line| format!("{line}\n")).collect()
        })
}

fn missing(path: &Path, error: std::io::Error) -> anyhow::Error {
    let path = path.display();
    if error.kind() == ErrorKind::NotFound {
        anyhow::anyhow!("{path} is not there: install the Debian package ca-certificates")
    } else {
        anyhow::Error::new(error).context(path.to_string())
    }
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

#[cfg(test)]
mod tests;
