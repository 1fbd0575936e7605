//! YAML from files, folders and standard input.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// A text and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's path; `-` for standard input.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// Every text among these, those of a folder in the order of their names.
///
/// # Errors
/// Fails naming what cannot be read.
pub fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).context("standard input")?;
            let name = "-".to_owned();
            sources.push(Source { name, text });
        } else {
            walk(path, &mut sources)?;
        }
    }
    if sources.is_empty() {
        bail!(
            "{}: there is no file in it that ends in .yaml, .yml or .json",
            shown(paths)
        );
    }
    Ok(sources)
}

/// Paths as they were named.
#[must_use]
pub fn shown(paths: &[PathBuf]) -> String {
    let names = paths.iter().map(|path| path.display().to_string());
    names.collect::<Vec<_>>().join(", ")
}

fn walk(path: &Path, sources: &mut Vec<Source>) -> anyhow::Result<()> {
    let name = || path.display().to_string();
    if !path.is_dir() {
        let text = fs::read_to_string(path).with_context(name)?;
        sources.push(Source { name: name(), text });
        return Ok(());
    }
    let entries = fs::read_dir(path).with_context(name)?;
    let entries: io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut entries = entries.with_context(name)?;
    entries.retain(|entry| {
        entry.is_dir()
            || EXTENSIONS
                .iter()
                .any(|e| entry.extension().is_some_and(|x| x == *e))
    });
    entries.sort();
    entries.iter().try_for_each(|entry| walk(entry, sources))
}

/// What `kubectl` takes out of a folder.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];
