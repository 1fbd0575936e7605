//! The index, in the words of this crate: file and lease changes in; resources and assignments out.

use mesh_register::{Assignment, Place};
use mesh_types::NamespacedName;
use mesh_xds::Change;

use crate::args::ServeArgs;
use crate::config::files::FileChange;
use crate::leases::LeaseChange;

/// The index.
#[derive(Debug)]
pub struct Derivation {}

/// What belongs where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssignmentChange {
    /// A workload belongs on a place, in this way.
    Assign(Place, Assignment),
    /// A workload does not belong there any more.
    Unassign(Place, NamespacedName),
}

impl Derivation {
    pub fn new(_args: &ServeArgs) -> Self {
        Self {}
    }
    pub fn apply(&mut self, _changes: Vec<FileChange>) {}
    pub fn register(&mut self, _changes: Vec<LeaseChange>) {}
    pub fn take_resources(&mut self) -> Vec<Change> {
        Vec::new()
    }
    pub fn take_assignments(&mut self) -> Vec<AssignmentChange> {
        Vec::new()
    }
}
