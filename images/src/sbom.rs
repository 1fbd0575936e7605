//! What binaries were made of: a list of materials in CycloneDX 1.6, from cargo's own resolution.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use serde_json::{Value, json};

/// The materials of these packages of the workspace: everything that is linked in, and nothing that only builds or tests.
///
/// # Errors
/// Fails when cargo cannot resolve the workspace from its lock file, or has no such package.
pub fn of(manifest: &Path, packages: &[&str]) -> Result<Value> {
    let mut command = MetadataCommand::new();
    command
        .manifest_path(manifest)
        .other_options(vec!["--locked".to_owned()]);
    let metadata = command.exec().context("cargo metadata")?;
    let roots = packages
        .iter()
        .map(|name| root(&metadata, name))
        .collect::<Result<Vec<_>>>()?;
    let linked = closure(&metadata, &roots);
    let mut components: Vec<Value> = linked.iter().map(|id| component(&metadata[id])).collect();
    components.sort_by_key(|c| c["bom-ref"].as_str().unwrap_or_default().to_owned());
    let version = roots.first().map(|id| metadata[*id].version.to_string());
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

fn root<'a>(metadata: &'a Metadata, name: &str) -> Result<&'a PackageId> {
    let package = metadata
        .workspace_packages()
        .into_iter()
        .find(|p| p.name.as_str() == name);
    package
        .map(|p| &p.id)
        .with_context(|| format!("the workspace has no package {name}"))
}

/// The roots and all that they reach by normal dependencies.
fn closure<'a>(metadata: &'a Metadata, roots: &[&'a PackageId]) -> BTreeSet<&'a PackageId> {
    let nodes: BTreeMap<_, _> = metadata
        .resolve
        .iter()
        .flat_map(|resolve| &resolve.nodes)
        .map(|node| (&node.id, node))
        .collect();
    let mut reached: BTreeSet<&PackageId> = roots.iter().copied().collect();
    let mut open: Vec<&PackageId> = roots.to_vec();
    while let Some(id) = open.pop() {
        for dependency in nodes.get(id).into_iter().flat_map(|node| &node.deps) {
            let linked = dependency
                .dep_kinds
                .iter()
                .any(|kind| kind.kind == DependencyKind::Normal);
            if linked && reached.insert(&dependency.pkg) {
                open.push(&dependency.pkg);
            }
        }
    }
    reached
}

fn component(package: &Package) -> Value {
    let purl = format!("pkg:cargo/{}@{}", package.name, package.version);
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version.to_string(),
        "purl": purl,
    });
    if let Some(license) = &package.license {
        component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
    }
    component
}

#[cfg(test)]
mod tests;
