//! The addresses that hosts of ServiceEntries were given, in the state directory: nobody else keeps the status of an
//! object from a file.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use controlplane_index::allocation::HostAddresses;
use mesh_types::NamespacedHostname;
use serde::{Deserialize, Serialize};

use crate::state_file;

/// The store.
#[derive(Clone, Debug)]
pub struct AddressStore {
    path: PathBuf,
}

/// The store cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("addresses of hosts: {}: {source}", path.display())]
pub struct AddressStoreError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    host: NamespacedHostname,
    addresses: Vec<IpAddr>,
}

impl AddressStore {
    /// The store of a state directory.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join(FILE),
        }
    }

    /// What was given out before; nothing at the first start.
    ///
    /// # Errors
    /// Fails when the file is there and cannot be read. Nearly every host gets the same address without it, those that
    /// had to give way to others may not.
    pub fn load(&self) -> Result<HostAddresses, AddressStoreError> {
        let read = match fs::read(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.and_then(|bytes| Ok(serde_json::from_slice::<Vec<Record>>(&bytes)?)),
        };
        let records = read.map_err(|source| self.error(source))?;
        Ok(records.into_iter().map(|r| (r.host, r.addresses)).collect())
    }

    /// Replaces what is kept.
    ///
    /// # Errors
    /// Fails when the file cannot be written; the old content is there then.
    pub fn write(&self, addresses: &HostAddresses) -> Result<(), AddressStoreError> {
        let record = |(host, addresses): &(NamespacedHostname, Vec<IpAddr>)| Record {
            host: host.clone(),
            addresses: addresses.clone(),
        };
        let records: Vec<Record> = addresses.iter().map(record).collect();
        state_file::replace(&self.path, &records).map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> AddressStoreError {
        AddressStoreError {
            path: self.path.clone(),
            source,
        }
    }
}

const FILE: &str = "addresses.json";

#[cfg(test)]
mod tests;
