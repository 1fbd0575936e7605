//! Files of the state directory that are written in one step.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;

/// A file's new content, beside the old one and not yet in its place.
#[derive(Debug)]
pub struct Staged {
    file: NamedTempFile,
    path: PathBuf,
}

/// Replaces a file by what `value` is in JSON: after a crash the old content is there, or the new one, and nobody else
/// can read either (mode 0600). When it returns, the new one is on the disk.
///
/// # Errors
/// Fails when the operating system refuses; the old content is there then.
pub fn replace(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let staged = stage(path, value)?;
    staged.sync()?;
    staged.put()?;
    sync_directory(directory_of(path))
}

/// Writes a file's new content beside the old one.
///
/// # Errors
/// Fails when the operating system refuses.
pub fn stage(path: &Path, value: &impl Serialize) -> io::Result<Staged> {
    let mut file = NamedTempFile::new_in(directory_of(path))?;
    let mut writer = BufWriter::new(&mut file);
    serde_json::to_writer(&mut writer, value)?;
    writer.flush()?;
    drop(writer);
    let path = path.to_owned();
    Ok(Staged { file, path })
}

/// Waits until the names in a directory are on the disk.
///
/// # Errors
/// Fails when the operating system refuses.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

impl Staged {
    /// Waits until the content is on the disk. Without it the file could be empty after a crash of the machine.
    ///
    /// # Errors
    /// Fails when the operating system refuses.
    pub fn sync(&self) -> io::Result<()> {
        self.file.as_file().sync_all()
    }

    /// Puts the content in its place, in one step; the directory is still to be synced.
    ///
    /// # Errors
    /// Fails when the operating system refuses; the old content is there then.
    pub fn put(self) -> io::Result<()> {
        self.file.persist(&self.path).map_err(|e| e.error)?;
        Ok(())
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new("."))
}
