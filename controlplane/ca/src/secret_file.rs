//! A secret that is made once: the first starter's file wins, everybody reads that one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Why a file of the state directory cannot be used. The operator's to mend; a retry alone does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// The operating system refused.
    #[error("{}: {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Others may read the secret.
    #[error("{}: mode {mode:04o} lets others read this secret; run: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory, pipe or device.
    #[error("{}: is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// More than a secret of ours can be.
    #[error("{}: is larger than {MAX_BYTES} bytes, this is no key file of ours", .0.display())]
    TooLarge(PathBuf),
    /// The secret could not be made.
    #[error("{}: making the secret failed: {reason}", path.display())]
    Make {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The content of the file at `path`; where there is none, what `make` returns is stored first.
///
/// Safe against several starters: the content is written to a file of its own, forced to the disk, and then linked to
/// `path`, which fails where another starter was first (link(2)); that one's content is read then.
///
/// # Errors
/// See [`SecretFileError`].
pub fn load_or_create(
    path: &Path,
    make: impl FnOnce() -> Result<Zeroizing<String>, String>,
) -> Result<Zeroizing<String>, SecretFileError> {
    if let Some(content) = load(path)? {
        return Ok(content);
    }
    let content = make().map_err(|reason| SecretFileError::Make {
        path: path.to_owned(),
        reason,
    })?;
    create(path, content.as_bytes()).map_err(|source| SecretFileError::Io {
        path: path.to_owned(),
        action: "cannot be written",
        source,
    })?;
    load(path)?.ok_or_else(|| SecretFileError::Io {
        path: path.to_owned(),
        action: "cannot be read back",
        source: io::ErrorKind::NotFound.into(),
    })
}

/// The content of the file at `path`, if there is one.
///
/// # Errors
/// See [`SecretFileError`].
pub fn load(path: &Path) -> Result<Option<Zeroizing<String>>, SecretFileError> {
    let io_error = |source| SecretFileError::Io {
        path: path.to_owned(),
        action: "cannot be read",
        source,
    };
    // Looked at before it is opened: opening a pipe would wait for its other end.
    let seen = match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io_error)?,
    };
    if !seen.is_file() {
        return Err(SecretFileError::NotAFile(path.to_owned()));
    }
    if seen.mode() & 0o077 != 0 {
        return Err(SecretFileError::Exposed {
            path: path.to_owned(),
            mode: seen.mode() & 0o7777,
        });
    }
    if seen.len() > MAX_BYTES {
        return Err(SecretFileError::TooLarge(path.to_owned()));
    }
    // Reserved at once: a growing string would leave copies of the secret behind in freed memory.
    let mut content = Zeroizing::new(String::with_capacity(
        usize::try_from(seen.len()).unwrap_or(0) + 1,
    ));
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut content))
        .map_err(io_error)?;
    Ok(Some(content))
}

/// Replaces a public file in one step, readable by everybody: readers see the old content or the new.
///
/// # Errors
/// Fails when the operating system refuses.
pub fn publish(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = directory_of(path);
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    File::open(directory)?.sync_all()
}

/// Stores `content` at `path` unless something is there already, which is no error.
fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = directory_of(path);
    // tempfile creates with mode 0600 and O_EXCL.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    match fs::hard_link(file.path(), path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }?;
    File::open(directory)?.sync_all()
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

const MAX_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests;
