//! The host's two CNI directories: what lies there, and changing it. Nothing is ever half written: a runtime that reads
//! at any moment sees the old file or the new one.

use std::fs::{self, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::plan::{File, Found, Step};

/// A file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The plugin's program.
    #[error("the plugin's program {path}: {source}")]
    Program {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A network configuration, or their directory.
    #[error("network configuration {path}: {source}")]
    Configuration {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The files that a runtime would read. One that is too long to be a configuration, or gone before it was read, is none.
///
/// # Errors
/// Fails when the directory cannot be read.
pub fn configurations(directory: &Path) -> Result<Found, DiskError> {
    let of = |path: &Path| {
        let path = path.to_owned();
        move |source| DiskError::Configuration { path, source }
    };
    let mut found = Found::new();
    for entry in fs::read_dir(directory).map_err(of(directory))? {
        let path = entry.map_err(of(directory))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if !EXTENSIONS.iter().any(|extension| name.ends_with(extension)) {
            continue;
        }
        match read(&path) {
            Ok(Some(file)) => drop(found.insert(name.to_owned(), file)),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(of(&path)(error)),
        }
    }
    Ok(found)
}

/// Does one step in this directory.
///
/// # Errors
/// Fails when it cannot be done; the file is then as it was.
pub fn carry_out(directory: &Path, step: &Step) -> Result<(), DiskError> {
    let (name, done) = match step {
        Step::Write { name, content, mode } => (
            name,
            replace(directory, name, *mode, |file| file.write_all(content)),
        ),
        Step::Remove { name } => (name, removed(&directory.join(name)).map(drop)),
    };
    done.map_err(|source| DiskError::Configuration {
        path: directory.join(name),
        source,
    })
}

/// Makes the program `name` in `directory` be the same as `source`; whether it was not.
///
/// # Errors
/// Fails when either cannot be read or the copy cannot be made.
pub fn copy_program(source: &Path, directory: &Path, name: &str) -> Result<bool, DiskError> {
    let of = |path: &Path| {
        let path = path.to_owned();
        move |source| DiskError::Program { path, source }
    };
    let target = directory.join(name);
    if is_same(source, &target).map_err(of(source))? {
        return Ok(false);
    }
    let copied = replace(directory, name, 0o755, |file| {
        io::copy(&mut fs::File::open(source)?, file).map(drop)
    });
    copied.map_err(of(&target))?;
    Ok(true)
}

/// Removes the program `name` from `directory`; whether it was there.
///
/// # Errors
/// Fails when it cannot be removed.
pub fn remove_program(directory: &Path, name: &str) -> Result<bool, DiskError> {
    let path = directory.join(name);
    removed(&path).map_err(|source| DiskError::Program { path, source })
}

fn read(path: &Path) -> io::Result<Option<File>> {
    let file = fs::File::open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Ok(None);
    }
    let mut content = Vec::new();
    file.take(MAX_CONFIGURATION + 1).read_to_end(&mut content)?;
    let mode = meta.permissions().mode() & 0o7777;
    Ok((content.len() as u64 <= MAX_CONFIGURATION).then_some(File { content, mode }))
}

fn replace(
    directory: &Path,
    name: &str,
    mode: u32,
    fill: impl FnOnce(&mut fs::File) -> io::Result<()>,
) -> io::Result<()> {
    // Hidden, and of no ending that a runtime reads.
    let mut file = NamedTempFile::with_prefix_in(".lateen-", directory)?;
    fill(file.as_file_mut())?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(directory.join(name))?;
    // The name is to survive a loss of power too: a node that boots must not start pods past the plugin.
    fs::File::open(directory)?.sync_all()
}

fn removed(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the copy is there, is executable, and has the same bytes.
fn is_same(source: &Path, copy: &Path) -> io::Result<bool> {
    let from = fs::File::open(source)?;
    let to = match fs::File::open(copy) {
        Ok(to) => to,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let (from_meta, to_meta) = (from.metadata()?, to.metadata()?);
    if from_meta.len() != to_meta.len() || to_meta.permissions().mode() & 0o777 != 0o755 {
        return Ok(false);
    }
    let (mut from, mut to) = (io::BufReader::new(from), io::BufReader::new(to));
    let (mut ours, mut theirs) = ([0; CHUNK], [0; CHUNK]);
    loop {
        let read = fill(&mut from, &mut ours)?;
        if read != fill(&mut to, &mut theirs)? || ours[..read] != theirs[..read] {
            return Ok(false);
        }
        if read < CHUNK {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// What libcni looks for (`ConfFiles`).
const EXTENSIONS: [&str; 3] = [".conf", ".conflist", ".json"];
const MAX_CONFIGURATION: u64 = 1024 * 1024;
const CHUNK: usize = 64 * 1024;
