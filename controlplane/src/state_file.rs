//! Files of the state directory that are written in one step.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use tempfile::NamedTempFile;

/// Replaces a file by what `value` is in JSON: after a crash the old content is there, or the new one, and nobody else
/// can read either (mode 0600).
///
/// # Errors
/// Fails when the operating system refuses; the old content is there then.
pub fn replace(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let file = fill(path, value)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    File::open(directory_of(path))?.sync_all()
}

/// Like [`replace`], without waiting for the disk: a crash of the process leaves one of the two, that of the machine
/// perhaps neither.
///
/// # Errors
/// Fails when the operating system refuses; the old content is there then.
pub fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    fill(path, value)?.persist(path).map_err(|e| e.error)?;
    Ok(())
}

fn fill(path: &Path, value: &impl Serialize) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(directory_of(path))?;
    let mut writer = BufWriter::new(&mut file);
    serde_json::to_writer(&mut writer, value)?;
    writer.flush()?;
    drop(writer);
    Ok(file)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new("."))
}
