//! What a listener that ends TLS shows its clients.

use std::str;

use controlplane_collections::Fetch;
use controlplane_k8s_api::gateway::{Gateway, Listener, SecretRef};
use mesh_model::l7::tls::{Certificate, TlsTermination};
use mesh_types::NamespacedName;

use super::{ListenerLookups, Problem};
use crate::l7::parents::GATEWAY_API;
use crate::status::{ConditionType, StatusReason};

/// How TLS ends at a listener; all of its certificates have to be there.
pub(super) fn termination(
    fetch: &Fetch<'_>,
    lookups: &ListenerLookups,
    name: &NamespacedName,
    gateway: &Gateway,
    listener: &Listener,
) -> Result<TlsTermination, Problem> {
    if checks_clients(gateway, listener.port) {
        // Without the check, whoever has no certificate would get in.
        return Err(Problem {
            kind: ConditionType::Accepted,
            reason: StatusReason::UnsupportedValue,
            message: "spec.tls.frontend: clients' certificates are not checked by this version".to_owned(),
        });
    }
    let references = listener.tls.iter().flat_map(|t| &t.certificate_refs);
    let certificates: Result<Vec<_>, _> = references
        .map(|reference| certificate(fetch, lookups, name, reference))
        .collect();
    let certificates = certificates?;
    if certificates.is_empty() {
        return Err(unusable("it names no certificate".to_owned()));
    }
    Ok(TlsTermination::Terminate {
        certificates,
        client_authorities: None,
    })
}

fn checks_clients(gateway: &Gateway, port: u16) -> bool {
    let Some(frontend) = gateway.spec.tls.as_ref().and_then(|t| t.frontend.as_ref()) else {
        return false;
    };
    let of_port = frontend.per_port.iter().find(|p| p.port == port);
    of_port.map_or(&frontend.default, |p| &p.tls).validation.is_some()
}

fn certificate(
    fetch: &Fetch<'_>,
    lookups: &ListenerLookups,
    name: &NamespacedName,
    reference: &SecretRef,
) -> Result<Certificate, Problem> {
    if !(matches!(reference.group.as_str(), "" | "core") && reference.kind == "Secret") {
        return Err(unusable(format!(
            "{} {} is no Secret",
            reference.kind, reference.name
        )));
    }
    let namespace = reference.namespace.as_ref().unwrap_or(&name.namespace);
    let referrer = (GATEWAY_API, "Gateway", name.namespace.as_str());
    let to = ("", "Secret", reference.name.as_str());
    if !lookups.grants.permit(fetch, referrer, namespace, to) {
        return Err(Problem {
            kind: ConditionType::ResolvedRefs,
            reason: StatusReason::RefNotPermitted,
            message: format!(
                "Secret {namespace}/{} is in another namespace, which has no ReferenceGrant for it",
                reference.name
            ),
        });
    }
    let secret = NamespacedName::new(namespace.clone(), reference.name.clone());
    let content = fetch.get(lookups.secrets, &secret).map(|s| &s.content);
    let content = content.ok_or_else(|| unusable(format!("there is no Secret {secret}")))?;
    let part = |key: &str, label: &str| {
        let bytes = content.data.get(key).map(|b| b.0.as_slice()).unwrap_or_default();
        match is_pem(bytes, label) {
            true => Ok(bytes.to_vec().into()),
            false => Err(unusable(format!(
                "Secret {secret} has no PEM with a {label} in {key}"
            ))),
        }
    };
    Ok(Certificate {
        chain: part("tls.crt", "CERTIFICATE")?,
        key: part("tls.key", "PRIVATE KEY")?,
    })
}

/// Whether there is a block with such a label (RFC 7468), as `EC PRIVATE KEY`; what is in it is the proxy's to judge.
fn is_pem(bytes: &[u8], label: &str) -> bool {
    let lines = str::from_utf8(bytes).into_iter().flat_map(str::lines);
    lines
        .filter_map(|l| l.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
        .any(|found| found.ends_with(label))
}

fn unusable(message: String) -> Problem {
    Problem {
        kind: ConditionType::ResolvedRefs,
        reason: StatusReason::InvalidCertificateRef,
        message,
    }
}
