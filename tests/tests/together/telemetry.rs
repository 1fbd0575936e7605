//! What is told of requests: Telemetry and the mesh's configuration, and the requests that they are about.
//!
//! - this file: what the tests share. - [`metrics`], [`logs`], [`flags`], [`traces`].

mod flags;
mod logs;
mod metrics;
mod traces;

use std::path::{Path, PathBuf};

use crate::harness::Together;

/// The mesh's configuration.
fn config(spec: &str) -> String {
    format!(
        "{{apiVersion: lateen.dev/v1alpha1, kind: MeshConfig, metadata: {{name: mesh, namespace: istio-system}}, spec: {{{spec}}}}}"
    )
}

/// A Telemetry; `name` is `namespace/name`.
fn telemetry(name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').expect("a namespace and a name");
    format!(
        "{{apiVersion: telemetry.istio.io/v1, kind: Telemetry, metadata: {{name: {name}, namespace: {namespace}}}, spec: {{{spec}}}}}"
    )
}

/// A file of the mesh.
fn file(mesh: &Together, name: &str) -> PathBuf {
    mesh.directory().join(name)
}

/// A file's lines, once there are so many.
fn lines(mesh: &Together, path: &Path, count: usize) -> Vec<String> {
    mesh.until("lines of a file", || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = text.ends_with('\n') && text.lines().count() >= count;
        whole.then(|| text.lines().map(str::to_owned).collect())
    })
}

/// The value of a series with this name and these labels, once there is one.
fn series(mesh: &Together, name: &str, labels: &[&str]) -> String {
    mesh.until("a series", || found(mesh, name, labels))
}

/// The series with this name and these labels.
fn found(mesh: &Together, name: &str, labels: &[&str]) -> Option<String> {
    let text = mesh.metrics();
    let mut lines = text.lines();
    let found = lines.find(|line| {
        line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label))
    });
    found.map(str::to_owned)
}

/// What it counts.
fn value(line: &str) -> u64 {
    let value = line.rsplit(' ').next().and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("{line}"))
}
