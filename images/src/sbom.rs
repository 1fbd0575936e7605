//! What an image was made of: a list of materials in CycloneDX 1.6.
//!
//! # Layout
//! - this file: the list. [`tree`]: which crates are linked into a program, by cargo's own resolution. [`debian`]: which
//!   packages a machine's files belong to.

pub mod debian;
pub mod tree;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::files::Carried;
use debian::Package;
use tree::{Crate, Tree};

/// The materials of these packages of the workspace, and of the files of this machine beside them: everything that is linked
/// in or lies there, and nothing that only builds or tests, or belongs to other platforms.
///
/// # Errors
/// Fails when cargo cannot resolve the workspace from its lock file, or has no such package.
pub fn of(manifest: &Path, packages: &[&str], carried: &[Carried]) -> Result<Value> {
    let tree = Tree::of_workspace(manifest)?;
    let linked = tree.linked_into(packages)?;
    let version = packages.first().and_then(|name| {
        let first = linked.iter().find(|found| found.name == *name);
        first.map(|found| found.version.clone())
    });
    let mut components: Vec<Value> = linked
        .iter()
        .map(|found| of_crate(found, tree.license(found)))
        .collect();
    let from: Vec<&Path> = carried.iter().map(|file| file.from.as_path()).collect();
    components.extend(of_machine(carried, &debian::owners(&from)?));
    components.sort_by_key(|c| c["bom-ref"].as_str().unwrap_or_default().to_owned());
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "name": packages.join("+"), "version": version, "bom-ref": "root"},
        },
        "components": components,
    }))
}

fn of_crate(found: &Crate, license: Option<&str>) -> Value {
    let purl = format!("pkg:cargo/{}@{}", found.name, found.version);
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": found.name,
        "version": found.version,
        "purl": purl,
    });
    if let Some(license) = license {
        component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
    }
    component
}

/// The files of this machine: each under its package, or alone where no package has it.
fn of_machine<'a>(carried: &'a [Carried], owners: &BTreeMap<&'a Path, Package>) -> Vec<Value> {
    let mut packaged: BTreeMap<&Package, Vec<Value>> = BTreeMap::new();
    let mut components = Vec::new();
    for file in carried {
        match owners.get(file.from.as_path()) {
            Some(package) => packaged.entry(package).or_default().push(of_file(file)),
            None => components.push(of_file(file)),
        }
    }
    components.extend(packaged.into_iter().map(|(package, files)| {
        let purl = package.purl();
        json!({
            "type": "library",
            "bom-ref": purl,
            "name": package.name,
            "version": package.version,
            "purl": purl,
            "components": files,
        })
    }));
    components
}

fn of_file(file: &Carried) -> Value {
    let at = file.at.display().to_string();
    json!({
        "type": "file",
        "bom-ref": format!("file:{at}"),
        "name": at,
        "hashes": [{"alg": "SHA-256", "content": file.digest.trim_start_matches("sha256:")}],
    })
}

#[cfg(test)]
mod tests;
