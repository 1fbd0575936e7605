//! Whether a program needs a loader: the one question that is asked of an ELF file.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// The loader that a program asks for (System V ABI, chapter 5, "Program Interpreter"); none where it is static.
///
/// # Errors
/// Fails for what is no ELF file of 64 bits, lower bytes first, or ends before its own tables do.
pub fn interpreter(file: &[u8]) -> Result<Option<PathBuf>> {
    if file.get(..6) != Some(&[0x7f, b'E', b'L', b'F', CLASS_64, LOWER_BYTES_FIRST]) {
        bail!("is no ELF program of 64 bits");
    }
    let (table, size, count) = (word(file, 0x20)?, half(file, 0x36)?, half(file, 0x38)?);
    for index in 0..usize::from(count) {
        let header = table
            .checked_add(index * usize::from(size))
            .context("ELF: program headers beyond the file")?;
        let header = file.get(header..).unwrap_or_default();
        if bytes(header, 0)? != PT_INTERP.to_le_bytes() {
            continue;
        }
        let (from, length) = (word(header, 0x08)?, word(header, 0x20)?);
        let name = from.checked_add(length).and_then(|to| file.get(from..to));
        let name = name.context("ELF: the loader's name beyond the file")?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        return Ok(Some(String::from_utf8_lossy(name).into_owned().into()));
    }
    Ok(None)
}

fn half(file: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_le_bytes(bytes(file, at)?))
}

fn word(file: &[u8], at: usize) -> Result<usize> {
    usize::try_from(u64::from_le_bytes(bytes(file, at)?)).context("ELF: an offset beyond this machine's")
}

fn bytes<const N: usize>(file: &[u8], at: usize) -> Result<[u8; N]> {
    let found = file.get(at..).and_then(<[u8]>::first_chunk);
    found.copied().context("ELF: the file ends early")
}

const CLASS_64: u8 = 2;
const LOWER_BYTES_FIRST: u8 = 1;
const PT_INTERP: u32 = 3;

#[cfg(test)]
mod tests;
