//! What files and the API server say, together. Pure.
//!
//! An object that both have is the API server's: what a cluster has is seen by everybody. The file's counts again when
//! the API server's is gone.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use controlplane_k8s_api::{Located, Object, ObjectKey};
use controlplane_kube::{KubeBatch, ObjectChange, Remark};

use crate::config::files::FileChange;
use crate::config::source::ConfigBatch;

/// What one source found.
#[derive(Debug)]
pub enum SourceBatch {
    /// The directory of files.
    Files(ConfigBatch),
    /// The API server.
    Kube(KubeBatch),
}

/// Which sources there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Which {
    /// The directory of files.
    pub files: bool,
    /// The API server.
    pub kube: bool,
}

/// All sources.
#[derive(Debug)]
pub struct Sources {
    files_known: bool,
    kube_known: bool,
    /// What the files have, where there is an API server too.
    in_files: BTreeMap<ObjectKey, Arc<Located<Object>>>,
    in_kube: HashSet<ObjectKey>,
    both: bool,
    /// What is to be said of the cluster's objects, beside what follows from what they say.
    remarks: Vec<Remark>,
}

impl From<KubeBatch> for SourceBatch {
    fn from(batch: KubeBatch) -> Self {
        Self::Kube(batch)
    }
}

impl Sources {
    /// Sources that said nothing yet.
    #[must_use]
    pub fn new(which: Which) -> Self {
        Self {
            files_known: !which.files,
            kube_known: !which.kube,
            in_files: BTreeMap::new(),
            in_kube: HashSet::new(),
            both: which.files && which.kube,
            remarks: Vec::new(),
        }
    }

    /// Takes what a source found, and gives what changes by it.
    pub fn take(&mut self, batch: SourceBatch) -> Vec<FileChange> {
        match batch {
            SourceBatch::Files(batch) => {
                self.files_known |= batch.never_good.is_empty();
                let changes = batch.changes.into_iter();
                changes.filter_map(|change| self.file(change)).collect()
            }
            SourceBatch::Kube(batch) => {
                self.kube_known |= batch.unknown.is_empty();
                if let Some(remarks) = batch.remarks {
                    self.remarks = remarks;
                }
                let changes = batch.changes.into_iter();
                changes.map(|change| self.kube(change)).collect()
            }
        }
    }

    /// Whether every source was known completely once.
    #[must_use]
    pub fn are_known(&self) -> bool {
        self.files_known && self.kube_known
    }

    /// What is to be said of the cluster's objects, beside what follows from what they say.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    fn file(&mut self, change: FileChange) -> Option<FileChange> {
        if !self.both {
            return Some(change);
        }
        let key = match &change {
            FileChange::Set(key, object) => {
                self.in_files.insert(key.clone(), object.clone());
                key
            }
            FileChange::Removed(key) => {
                self.in_files.remove(key);
                key
            }
        };
        if self.in_kube.contains(key) {
            tell(key);
            return None;
        }
        Some(change)
    }

    fn kube(&mut self, change: ObjectChange) -> FileChange {
        match change {
            ObjectChange::Set(key, object) => {
                if self.both && self.in_kube.insert(key.clone()) && self.in_files.contains_key(&key) {
                    tell(&key);
                }
                FileChange::Set(key, object)
            }
            ObjectChange::Removed(key) => {
                self.in_kube.remove(&key);
                match self.in_files.get(&key) {
                    Some(object) => FileChange::Set(key, object.clone()),
                    None => FileChange::Removed(key),
                }
            }
        }
    }
}

fn tell(key: &ObjectKey) {
    tracing::warn!(
        "{} is in a file and in the cluster; the cluster's counts",
        key.reference()
    );
}

#[cfg(test)]
mod tests;
