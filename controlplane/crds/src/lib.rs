//! CustomResourceDefinitions, made from the very types that objects are read into (`docs/decisions/crds.md`).
//!
//! No field is written down twice. A type's own `Deserialize` is asked, path by path, what it would read there; its source
//! says what the field is for, and whether it may be absent. So a schema cannot name a field that is not read, and none that
//! is read can be missing from it. What remains is what no type says: names, versions, and what holds across fields.
//!
//! # Layout
//! - [`trace`]: what a type reads. [`sources`]: what its source says beside that.
//! - [`kinds`]: which CRDs there are. [`constraints`]: what holds across fields.
//! - [`schema`]: all of that as an OpenAPI schema. [`yaml`]: JSON as YAML.

pub mod constraints;
pub mod kinds;
pub mod schema;
pub mod sources;
pub mod trace;
pub mod yaml;

use std::path::Path;

use anyhow::Result;

pub use kinds::{CRDS, Crd};
use sources::Sources;

/// A generated file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Every CRD, one file each. `sources` is the folder of `controlplane-k8s-api`'s sources.
///
/// # Errors
/// Fails when a source cannot be read, or a field has no description there.
pub fn files(sources: &Path) -> Result<Vec<File>> {
    let sources = Sources::read(sources)?;
    let file = |crd: &Crd| {
        let manifest = crd.manifest(&sources)?;
        Ok(File {
            name: format!("{}.yaml", crd.name()),
            text: format!("{HEADER}{}", yaml::text(&manifest)),
        })
    };
    CRDS.iter().map(file).collect()
}

const HEADER: &str = "# Generated from the types of controlplane-k8s-api: `make crds`. Not to be edited.\n";

#[cfg(test)]
mod tests;
