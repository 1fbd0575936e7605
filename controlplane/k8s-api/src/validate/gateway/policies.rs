//! ReferenceGrant and BackendTLSPolicy.

use super::refs;
use crate::error::FieldPath;
use crate::gateway::{BackendTlsPolicy, ReferenceGrant, SubjectAltName};
use crate::validate::{Check, names};

pub(in crate::validate) fn reference_grant(check: &mut Check, grant: &ReferenceGrant) {
    let (spec, path) = (&grant.spec, FieldPath::from("spec"));
    for (name, length) in [("from", spec.from.len()), ("to", spec.to.len())] {
        if length == 0 {
            check.refuse(path.field(name), "is required");
        }
        check.at_most(&path.field(name), length, MAX_GRANTS);
    }
    for (i, from) in spec.from.iter().enumerate() {
        let path = path.field("from").item(i);
        check.grammar(path.field("group"), names::group(&from.group));
        check.grammar(path.field("kind"), names::kind(&from.kind));
        check.grammar(path.field("namespace"), names::label(&from.namespace));
    }
    for (i, to) in spec.to.iter().enumerate() {
        let path = path.field("to").item(i);
        check.grammar(path.field("group"), names::group(&to.group));
        check.grammar(path.field("kind"), names::kind(&to.kind));
        if let Some(name) = &to.name {
            check.grammar(path.field("name"), names::subdomain(name));
        }
    }
}

pub(in crate::validate) fn backend_tls_policy(check: &mut Check, policy: &BackendTlsPolicy) {
    let (spec, path) = (&policy.spec, FieldPath::from("spec"));
    refs::targets(check, &path.field("targetRefs"), &spec.target_refs, &TARGETS);
    let (validation, path) = (&spec.validation, path.field("validation"));
    let bundles = path.field("caCertificateRefs");
    check.at_most(&bundles, validation.ca_certificate_refs.len(), MAX_BUNDLES);
    for (i, bundle) in validation.ca_certificate_refs.iter().enumerate() {
        refs::local(check, &bundles.item(i), bundle);
    }
    let named = !validation.ca_certificate_refs.is_empty();
    if named == validation.well_known_ca_certificates.is_some() {
        let reason = "needs either caCertificateRefs or wellKnownCACertificates";
        check.refuse(path.clone(), reason);
    }
    if validation.hostname.is_empty() {
        check.refuse(path.field("hostname"), "is required");
    } else if validation.hostname.starts_with('*') {
        check.refuse(path.field("hostname"), "is a wildcard, where one host is needed");
    } else {
        check.grammar(path.field("hostname"), names::hostname(&validation.hostname));
    }
    let field = path.field("subjectAltNames");
    check.at_most(&field, validation.subject_alt_names.len(), MAX_NAMES);
    for (i, name) in validation.subject_alt_names.iter().enumerate() {
        match name {
            SubjectAltName::Hostname(host) => {
                check.grammar(field.item(i).field("hostname"), names::hostname(host));
            }
            SubjectAltName::Uri(uri) => {
                let scheme = uri.split_once(':').map(|(scheme, _)| scheme);
                if scheme.is_none_or(|s| s.is_empty() || !s.bytes().all(|b| b.is_ascii_alphanumeric())) {
                    let reason = format!("{:?} is no absolute URI", uri.as_str());
                    check.refuse(field.item(i).field("uri"), reason);
                }
            }
        }
    }
}

const TARGETS: [(&str, &str); 2] = [("", "Service"), ("networking.istio.io", "ServiceEntry")];
/// The CRDs' limits (`gateway.networking.k8s.io/v1`).
const MAX_GRANTS: usize = 16;
const MAX_BUNDLES: usize = 8;
const MAX_NAMES: usize = 5;
