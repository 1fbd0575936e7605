//! Files as one archive (tar, gzip). Pure.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;

/// The archive, in a folder of its own; `time` is that of every file, in seconds since the beginning of 1970.
///
/// # Errors
/// Fails where a name cannot be that of a file in an archive.
pub fn pack(files: &BTreeMap<String, String>, time: u64) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(time);
        archive.append_data(&mut header, format!("lateen-bug-report/{name}"), text.as_bytes())?;
    }
    let mut packed = archive.into_inner()?;
    packed.flush()?;
    packed.finish()
}

#[cfg(test)]
mod tests;
