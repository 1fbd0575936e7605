//! Registrations in the state directory: one file for each place, so that a report costs what its node has.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use mesh_register::Place;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

use crate::leases::{Leases, Record};
use crate::state_file;

/// The store.
#[derive(Clone, Debug)]
pub struct RegistrationStore {
    dir: PathBuf,
}

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("registrations: {}: {source}", path.display())]
pub struct StoreError {
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// What one place's file holds next.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlaceRecords {
    place: Place,
    records: Vec<Record>,
}

impl RegistrationStore {
    /// The store of a state directory.
    ///
    /// # Errors
    /// Fails when its directory cannot be made.
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let dir = state_dir.join(DIRECTORY);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(error(&dir))?;
        Ok(Self { dir })
    }

    /// Everything that was registered.
    ///
    /// # Errors
    /// Fails when a file cannot be read. Starting without it would take workloads away from everybody, so the operator
    /// decides.
    pub fn load(&self) -> Result<Vec<Record>, StoreError> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(error(&self.dir))? {
            let path = entry.map_err(error(&self.dir))?.path();
            if path.extension().is_none_or(|e| e != ENDING) {
                continue;
            }
            let read = fs::read(&path).and_then(|b| Ok(serde_json::from_slice::<PlaceRecords>(&b)?));
            all.extend(read.map_err(error(&path))?.records);
        }
        Ok(all)
    }

    /// Writes what these places have now.
    ///
    /// # Errors
    /// Fails when a file cannot be written; the others may have been.
    pub fn write(&self, places: &[PlaceRecords]) -> Result<(), StoreError> {
        for place in places {
            let hash = xxh64(place.place.as_str().as_bytes(), 0);
            let path = self.dir.join(format!("{hash:016x}.{ENDING}"));
            let done = if place.records.is_empty() {
                match fs::remove_file(&path) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                    other => other,
                }
            } else {
                state_file::replace(&path, place)
            };
            done.map_err(error(&path))?;
        }
        Ok(())
    }
}

impl PlaceRecords {
    /// What these places have now.
    #[must_use]
    pub fn of(leases: &Leases, places: &BTreeSet<Place>) -> Vec<Self> {
        let of_place = |place: &Place| Self {
            place: place.clone(),
            records: leases.records().filter(|r| r.place == *place).cloned().collect(),
        };
        places.iter().map(of_place).collect()
    }
}

fn error(path: &Path) -> impl Fn(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError {
        path: path.clone(),
        source,
    }
}

const DIRECTORY: &str = "registrations";
const ENDING: &str = "json";

#[cfg(test)]
mod tests;
