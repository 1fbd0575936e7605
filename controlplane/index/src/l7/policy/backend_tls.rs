//! A BackendTLSPolicy becomes TLS towards Services (Gateway API reference, "BackendTLSPolicy").

use bytes::Bytes;
use controlplane_k8s_api::gateway::{
    BackendTlsPolicySpec, BackendTlsValidation, LocalObjectRef, SubjectAltName, WellKnownBundle,
};
use controlplane_k8s_api::validate::names;
use mesh_model::l7::tls::{BackendTls, TlsOrigination, Trust};
use mesh_types::Strng;

use super::traffic::{Credentials, certificate_bundle};

/// Why a policy cannot be carried out; nothing is sent to its targets then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    pub(super) fault: Fault,
    pub(super) field: String,
    pub(super) message: String,
}

/// What is wrong with a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A reference to a kind that holds no certificates.
    Kind,
    /// A bundle that is not there, or holds no certificate.
    Bundle,
    /// Something else.
    Invalid,
}

/// What a policy says. With a bundle left out that cannot be used, one that is left is enough.
pub(super) fn backend_tls(
    spec: &BackendTlsPolicySpec,
    credentials: &impl Credentials,
) -> (BackendTls, Vec<Unusable>) {
    let mut problems = Vec::new();
    let tls = origination(&spec.validation, credentials, &mut problems);
    let tls = tls.map_or_else(
        || {
            let why: Vec<String> = problems
                .iter()
                .map(|p| format!("{} {}", p.field, p.message))
                .collect();
            BackendTls::Invalid(why.join("; ").into())
        },
        BackendTls::On,
    );
    (tls, problems)
}

fn origination(
    validation: &BackendTlsValidation,
    credentials: &impl Credentials,
    problems: &mut Vec<Unusable>,
) -> Option<TlsOrigination> {
    let invalid = |field: &str, message: String| Unusable {
        fault: Fault::Invalid,
        field: format!("spec.validation.{field}"),
        message,
    };
    let trust = trust(validation, credentials, problems);
    if let Err(why) = names::hostname(&validation.hostname) {
        problems.push(invalid("hostname", why));
        return None;
    }
    let mut subject_alt_names: Vec<Strng> = Vec::new();
    for (i, name) in validation.subject_alt_names.iter().enumerate() {
        let text = match name {
            SubjectAltName::Hostname(text) | SubjectAltName::Uri(text) => text,
        };
        match text.is_empty() {
            // One of the others must be in the certificate then.
            true => problems.push(invalid(&format!("subjectAltNames[{i}]"), "is empty".to_owned())),
            false => subject_alt_names.push(text.clone()),
        }
    }
    if subject_alt_names.is_empty() && !validation.subject_alt_names.is_empty() {
        return None;
    }
    Some(TlsOrigination {
        server_name: Some(validation.hostname.clone()),
        trust: trust?,
        subject_alt_names,
        certificate: None,
        alpn: Vec::new(),
    })
}

fn trust(
    validation: &BackendTlsValidation,
    credentials: &impl Credentials,
    problems: &mut Vec<Unusable>,
) -> Option<Trust> {
    if validation.ca_certificate_refs.is_empty() {
        return match validation.well_known_ca_certificates {
            Some(WellKnownBundle::System) => Some(Trust::System),
            None => {
                problems.push(Unusable {
                    fault: Fault::Invalid,
                    field: "spec.validation".to_owned(),
                    message: "needs either caCertificateRefs or wellKnownCACertificates".to_owned(),
                });
                None
            }
        };
    }
    let mut bundles = Vec::new();
    for (i, reference) in validation.ca_certificate_refs.iter().enumerate() {
        match bundle(reference, credentials) {
            Ok(pem) => {
                bundles.extend_from_slice(&pem);
                bundles.push(b'\n');
            }
            Err((fault, message)) => problems.push(Unusable {
                fault,
                field: format!("spec.validation.caCertificateRefs[{i}]"),
                message,
            }),
        }
    }
    (!bundles.is_empty()).then(|| Trust::Authorities(bundles.into()))
}

fn bundle(reference: &LocalObjectRef, credentials: &impl Credentials) -> Result<Bytes, (Fault, String)> {
    let LocalObjectRef { group, kind, name } = reference;
    if (group.as_str(), kind.as_str()) != ("", "ConfigMap") {
        let message = format!(
            "is a {kind} of group {:?}; only ConfigMaps hold bundles",
            group.as_str()
        );
        return Err((Fault::Kind, message));
    }
    let Some(config_map) = credentials.config_map(None, name) else {
        let message = format!("is ConfigMap {:?}, which there is none of", name.as_str());
        return Err((Fault::Bundle, message));
    };
    certificate_bundle(config_map).map_err(|why| (Fault::Bundle, why))
}

#[cfg(test)]
mod tests;
