//! How objects name one another.

use std::collections::HashSet;

use crate::error::FieldPath;
use crate::gateway::{BackendObjectRef, BackendRef, LocalObjectRef, ParentRef, PolicyTarget};
use crate::validate::{Check, names};

pub(super) fn parents(check: &mut Check, path: &FieldPath, parents: &[ParentRef]) {
    check.at_most(path, parents.len(), MAX_PARENTS);
    if parents.is_empty() {
        check.warn(path.clone(), "is absent: the route is attached to nothing");
    }
    for (i, parent) in parents.iter().enumerate() {
        let path = path.item(i);
        object(check, &path, (&parent.group, &parent.kind, &parent.name));
        namespace(check, &path, parent.namespace.as_deref());
        port(check, &path, parent.port);
        if let Some(section) = &parent.section_name {
            check.grammar(path.field("sectionName"), names::subdomain(section));
        }
        if let Some(reason) = parents[..i].iter().find_map(|p| conflict(p, parent)) {
            check.refuse(path, reason);
        }
    }
}

/// Whether two references to one parent cannot be told apart, or one of them includes the other.
fn conflict(a: &ParentRef, b: &ParentRef) -> Option<&'static str> {
    let same = (&a.group, &a.kind, &a.namespace, &a.name) == (&b.group, &b.kind, &b.namespace, &b.name);
    let whole = |p: &ParentRef| p.section_name.is_none() && p.port.is_none();
    if !same {
        None
    } else if (&a.section_name, a.port) == (&b.section_name, b.port) {
        Some("names the same parent as another item")
    } else if whole(a) || whole(b) {
        Some("names a parent beside another item: each needs a sectionName or a port")
    } else {
        None
    }
}

pub(super) fn backends<'a>(
    check: &mut Check,
    path: &FieldPath,
    backends: impl ExactSizeIterator<Item = &'a BackendRef>,
) {
    check.at_most(path, backends.len(), MAX_BACKENDS);
    for (i, reference) in backends.enumerate() {
        let path = path.item(i);
        backend(check, &path, &reference.object);
        if reference.weight > MAX_WEIGHT {
            check.refuse(path.field("weight"), format!("is more than {MAX_WEIGHT}"));
        }
    }
}

pub(in crate::validate) fn backend(check: &mut Check, path: &FieldPath, backend: &BackendObjectRef) {
    check.grammar(path.field("group"), names::group(&backend.group));
    check.grammar(path.field("kind"), names::kind(&backend.kind));
    // A backend may be a host name of its own kind (`networking.istio.io` Hostname), which may have a wildcard.
    check.grammar(path.field("name"), names::wildcard_domain(&backend.name));
    namespace(check, path, backend.namespace.as_deref());
    if backend.is_service() && backend.port.is_none() {
        check.refuse(path.field("port"), "is required for a Service");
    }
    port(check, path, backend.port);
}

pub(in crate::validate) fn targets(
    check: &mut Check,
    path: &FieldPath,
    targets: &[PolicyTarget],
    allowed: &[(&str, &str)],
) {
    if targets.is_empty() {
        check.refuse(path.clone(), "is required");
    }
    check.at_most(path, targets.len(), MAX_TARGETS);
    let mut seen = HashSet::new();
    for (i, target) in targets.iter().enumerate() {
        let path = path.item(i);
        object(check, &path, (&target.group, &target.kind, &target.name));
        if let Some(section) = &target.section_name {
            check.grammar(path.field("sectionName"), names::subdomain(section));
        }
        if !allowed.contains(&(&target.group, &target.kind)) {
            let known: Vec<String> = allowed.iter().map(|(g, k)| format!("{g:?}/{k}")).collect();
            let reason = format!(
                "{:?}/{} cannot be this policy's target, only {}",
                target.group.as_str(),
                target.kind.as_str(),
                known.join(", ")
            );
            check.refuse(path.field("kind"), reason);
        }
        if !seen.insert(target) {
            check.refuse(path, "is there twice");
        }
    }
}

pub(super) fn local(check: &mut Check, path: &FieldPath, reference: &LocalObjectRef) {
    object(check, path, (&reference.group, &reference.kind, &reference.name));
}

fn object(check: &mut Check, path: &FieldPath, (group, kind, name): (&str, &str, &str)) {
    check.grammar(path.field("group"), names::group(group));
    check.grammar(path.field("kind"), names::kind(kind));
    check.grammar(path.field("name"), names::subdomain(name));
}

fn namespace(check: &mut Check, path: &FieldPath, namespace: Option<&str>) {
    if let Some(namespace) = namespace {
        check.grammar(path.field("namespace"), names::label(namespace));
    }
}

fn port(check: &mut Check, path: &FieldPath, port: Option<u16>) {
    if let Some(port) = port {
        check.port(path.field("port"), port);
    }
}

/// The CRDs' limits (`gateway.networking.k8s.io/v1`).
const MAX_PARENTS: usize = 32;
const MAX_BACKENDS: usize = 16;
const MAX_TARGETS: usize = 16;
const MAX_WEIGHT: u32 = 1_000_000;
