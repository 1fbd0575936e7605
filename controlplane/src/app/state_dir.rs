//! The directory that keys and registrations are kept in, by one control plane at a time.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Readable by nobody else: keys are in it. The root's public copy is reached through it only by those who may.
pub(super) fn make(dir: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(dir);
    made.with_context(|| format!("state directory {}", dir.display()))?;
    if !fs::metadata(dir)?.is_dir() {
        bail!("state directory {}: is not a directory", dir.display());
    }
    Ok(())
}

/// Two control planes would overwrite each other's registrations.
pub(super) fn lock(state_dir: &Path) -> Result<File> {
    let path = state_dir.join("lock");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "state directory {}: another control plane is using it",
            state_dir.display()
        ),
        Err(TryLockError::Error(e)) => Err(e).with_context(|| path.display().to_string()),
    }
}
