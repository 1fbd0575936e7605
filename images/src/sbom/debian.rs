//! Which Debian packages files belong to, by dpkg's own list.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Its name, without its processor.
    pub name: String,
    /// With epoch and revision.
    pub version: String,
    /// Such as `amd64`, or `all`.
    pub architecture: String,
    /// Whose package it is: `debian`, or what is derived from it.
    pub distribution: String,
}

impl Package {
    /// As lists of materials name packages (purl, type `deb`).
    #[must_use]
    pub fn purl(&self) -> String {
        let version: String = self.version.chars().map(escaped).collect();
        format!(
            "pkg:deb/{}/{}@{version}?arch={}",
            self.distribution, self.name, self.architecture
        )
    }
}

/// The packages of those files that have one; none at all on a machine without dpkg.
///
/// # Errors
/// Fails when dpkg cannot be started though it is there, or does not know a package that it has just named.
pub fn owners<'a>(files: &[&'a Path]) -> Result<BTreeMap<&'a Path, Package>> {
    let spellings: BTreeMap<&Path, BTreeSet<PathBuf>> =
        files.iter().map(|file| (*file, spellings(file))).collect();
    if spellings.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut search = Command::new("dpkg-query");
    search
        .arg("--search")
        .arg("--")
        .args(spellings.values().flatten());
    let searched = match search.output() {
        Ok(searched) => searched,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error).context("dpkg-query"),
    };
    // It fails when one of the spellings is nobody's, and still tells of the others.
    let named = parse_search(&String::from_utf8_lossy(&searched.stdout));
    let installed = installed(&named.values().cloned().collect())?;
    let mut owners = BTreeMap::new();
    for (file, spellings) in spellings {
        let Some(name) = spellings.iter().find_map(|spelling| named.get(spelling)) else {
            continue;
        };
        let package = installed.get(name);
        let package = package.with_context(|| format!("dpkg-query does not know {name}"))?;
        owners.insert(file, package.clone());
    }
    Ok(owners)
}

/// The paths that a package may have listed a file under: `/lib` is a link to `/usr/lib` by now, and packages of both times are
/// installed; and what is asked for may be a link.
fn spellings(file: &Path) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::from([file.to_owned()]);
    all.extend(fs::canonicalize(file));
    for path in all.clone() {
        match path.strip_prefix("/usr") {
            Ok(rest) => all.insert(Path::new("/").join(rest)),
            Err(_) => all.insert(Path::new("/usr").join(path.strip_prefix("/").unwrap_or(&path))),
        };
    }
    all
}

/// Lines such as `libc6:amd64: /lib/x86_64-linux-gnu/libc.so.6`, with several names where a folder is shared.
fn parse_search(text: &str) -> BTreeMap<PathBuf, String> {
    let lines = text.lines().filter(|line| !line.starts_with("diversion by "));
    lines
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(names, path)| Some((path.into(), names.split(", ").next()?.to_owned())))
        .collect()
}

/// What is installed under these names.
fn installed(names: &BTreeSet<String>) -> Result<BTreeMap<String, Package>> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut show = Command::new("dpkg-query");
    show.arg("--show")
        .arg("--showformat")
        .arg(SHOWN)
        .arg("--")
        .args(names);
    let shown = show.output().context("dpkg-query")?;
    if !shown.status.success() {
        bail!("dpkg-query: {}", String::from_utf8_lossy(&shown.stderr).trim());
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    Ok(parse_shown(
        &String::from_utf8_lossy(&shown.stdout),
        distribution(&release),
    ))
}

/// Lines of [`SHOWN`].
fn parse_shown(text: &str, distribution: &str) -> BTreeMap<String, Package> {
    let mut installed = BTreeMap::new();
    for line in text.lines() {
        if let [asked, name, version, architecture] = line.split('\t').collect::<Vec<_>>()[..] {
            let package = Package {
                name: name.to_owned(),
                version: version.to_owned(),
                architecture: architecture.to_owned(),
                distribution: distribution.to_owned(),
            };
            installed.insert(asked.to_owned(), package);
        }
    }
    installed
}

/// `ID` of os-release(5).
fn distribution(release: &str) -> &str {
    let id = release.lines().find_map(|line| line.strip_prefix("ID="));
    id.map_or("debian", |id| id.trim_matches('"'))
}

/// What stands for itself in a purl, and what does not.
fn escaped(c: char) -> String {
    match c {
        c if c.is_ascii_alphanumeric() || ".-_~".contains(c) => c.to_string(),
        c => {
            let mut bytes = [0; 4];
            let bytes = c.encode_utf8(&mut bytes).bytes();
            bytes.map(|byte| format!("%{byte:02X}")).collect()
        }
    }
}

const SHOWN: &str = "${binary:Package}\\t${Package}\\t${Version}\\t${Architecture}\\n";

#[cfg(test)]
mod tests;
