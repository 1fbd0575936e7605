//! TLS towards endpoints.

use bytes::Bytes;
use controlplane_k8s_api::core::{ConfigMap, Secret};
use controlplane_k8s_api::networking::{ClientTls, ClientTlsMode, DestinationRuleSpec};
use controlplane_k8s_api::validate::names;
use mesh_model::l7::tls::{BackendTls, Certificate, TlsOrigination, Trust};
use mesh_types::Strng;

use super::{At, NoCredentials};
use crate::derived::ConditionReason;

/// The Secrets and ConfigMaps that an object may name. A Secret is one of the namespace of the gateway whose proxies use it,
/// so that nobody is given another one's key; authorities, which are no secret, may be anywhere (Istio, "Destination Rule",
/// `credentialName`).
pub(crate) trait Credentials {
    /// The gateway's namespace.
    fn namespace(&self) -> &str;
    /// A Secret of that by its name.
    fn secret(&self, name: &str) -> Option<&Secret>;
    /// A ConfigMap by its name; of the object's own namespace where none is given.
    fn config_map(&self, namespace: Option<&str>, name: &str) -> Option<&ConfigMap>;
}

/// Whether a rule names a Secret.
pub(in crate::l7::policy) fn names_secret(spec: &DestinationRuleSpec) -> bool {
    let of_subsets = spec
        .subsets
        .iter()
        .filter_map(|subset| subset.traffic_policy.as_ref());
    let policies = spec.traffic_policy.iter().chain(of_subsets);
    let named = policies.flat_map(|policy| {
        let of_ports = policy
            .port_level_settings
            .iter()
            .filter_map(|port| port.tls.as_ref());
        policy.tls.iter().chain(of_ports)
    });
    let mut names = named.map(|tls| tls.credential_name.as_str());
    names.any(|name| !name.is_empty() && !name.starts_with(CONFIG_MAP))
}

impl Credentials for NoCredentials {
    fn namespace(&self) -> &'static str {
        ""
    }

    fn secret(&self, _name: &str) -> Option<&Secret> {
        None
    }

    fn config_map(&self, _namespace: Option<&str>, _name: &str) -> Option<&ConfigMap> {
        None
    }
}

impl<C: Credentials> At<'_, C> {
    /// What cannot be done as it is written is not done at all: no connection is made.
    pub(super) fn client_tls(&mut self, tls: &ClientTls) -> BackendTls {
        let mode = match tls.mode {
            // Within the mesh it is mutual anyhow.
            ClientTlsMode::Disable | ClientTlsMode::IstioMutual => return BackendTls::Off,
            ClientTlsMode::Simple => Mode::Simple,
            ClientTlsMode::Mutual => Mode::Mutual,
        };
        origination(mode, tls, self.credentials).map_or_else(
            |(field, why)| {
                let message = format!("{why}; no connection is made");
                self.tell(ConditionReason::Invalid, field, message);
                BackendTls::Invalid(format!("{field} {why}").into())
            },
            BackendTls::On,
        )
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Simple,
    Mutual,
}

fn origination(
    mode: Mode,
    tls: &ClientTls,
    credentials: &impl Credentials,
) -> Result<TlsOrigination, (&'static str, String)> {
    for (field, file) in [
        ("clientCertificate", &tls.client_certificate),
        ("privateKey", &tls.private_key),
        ("caCertificates", &tls.ca_certificates),
        ("caCrl", &tls.ca_crl),
    ] {
        if !file.is_empty() {
            return Err((
                field,
                "is a file, which a waypoint cannot read; use credentialName".to_owned(),
            ));
        }
    }
    let named = (!tls.credential_name.is_empty()).then_some(&tls.credential_name);
    let (authorities, certificate) = match named {
        Some(name) => credential(mode, name, credentials).map_err(|why| ("credentialName", why))?,
        None if mode == Mode::Mutual => {
            return Err((
                "credentialName",
                "is absent, and MUTUAL needs a certificate".to_owned(),
            ));
        }
        None => (None, None),
    };
    let trust = match (tls.insecure_skip_verify, authorities) {
        (Some(true), _) => Trust::Anybody,
        (_, Some(pem)) => Trust::Authorities(pem),
        (_, None) => Trust::System,
    };
    if let Err(why) = named_host(&tls.sni) {
        return Err(("sni", why));
    }
    if tls.subject_alt_names.iter().any(|name| name.is_empty()) {
        return Err((
            "subjectAltNames",
            "has an empty name, which no certificate has".to_owned(),
        ));
    }
    Ok(TlsOrigination {
        server_name: Some(tls.sni.clone()).filter(|sni| !sni.is_empty()),
        trust,
        subject_alt_names: tls.subject_alt_names.clone(),
        certificate,
        alpn: Vec::new(),
    })
}

fn named_host(host: &str) -> Result<(), String> {
    match host.is_empty() {
        true => Ok(()),
        false => names::domain(host),
    }
}

type Named = (Option<Bytes>, Option<Certificate>);

/// Authorities and certificate of a Secret, or for SIMPLE of a ConfigMap.
fn credential(mode: Mode, name: &str, credentials: &impl Credentials) -> Result<Named, String> {
    if let Some(name) = name.strip_prefix(CONFIG_MAP) {
        if mode == Mode::Mutual {
            return Err("is a ConfigMap, which holds no key for MUTUAL".to_owned());
        }
        let (namespace, bare) = name.split_once('/').map_or((None, name), |(n, b)| (Some(n), b));
        let bundle = credentials.config_map(namespace, bare).map(certificate_bundle);
        return match bundle {
            Some(bundle) => Ok((Some(bundle?), None)),
            None => Err(format!("is ConfigMap {name:?}, which there is none of")),
        };
    }
    let name = name.strip_prefix(SECRET).unwrap_or(name);
    let name = match name.split_once('/') {
        None => name,
        Some((namespace, name)) if namespace == credentials.namespace() => name,
        Some(_) => {
            let own = credentials.namespace();
            return Err(format!(
                "is Secret {name:?}, which is not one of the gateway's namespace {own:?}"
            ));
        }
    };
    let (own, authorities) = match name.strip_suffix("-cacert") {
        // Istio takes authorities from a Secret of this name beside the one with the key.
        Some(_) if mode == Mode::Simple => (None, credentials.secret(name)),
        _ => (
            credentials.secret(name),
            credentials.secret(&format!("{name}-cacert")),
        ),
    };
    if own.is_none() && authorities.is_none() {
        return Err(format!(
            "is Secret {name:?}, which there is none of in the gateway's namespace {:?}",
            credentials.namespace()
        ));
    }
    let of = |secret: Option<&Secret>, keys: [&str; 2]| {
        let data = &secret?.content.data;
        let found = keys.iter().find_map(|key| data.get(*key))?;
        (!found.0.is_empty()).then(|| Bytes::copy_from_slice(&found.0))
    };
    let pem = of(authorities, CA_KEYS).or_else(|| of(own, CA_KEYS));
    if mode == Mode::Simple {
        let pem = pem.ok_or_else(|| format!("is Secret {name:?}, which has no ca.crt"))?;
        return Ok((Some(pem), None));
    }
    let (Some(chain), Some(key)) = (of(own, CHAIN_KEYS), of(own, KEY_KEYS)) else {
        return Err(format!("is Secret {name:?}, which has no tls.crt and tls.key"));
    };
    Ok((pem, Some(Certificate { chain, key })))
}

/// The bundle in a ConfigMap: `ca.crt`.
pub(crate) fn certificate_bundle(config_map: &ConfigMap) -> Result<Bytes, String> {
    let bundle = config_map
        .data
        .get("ca.crt")
        .map(Strng::as_str)
        .unwrap_or_default();
    match bundle.contains("-----BEGIN CERTIFICATE-----") {
        true => Ok(Bytes::copy_from_slice(bundle.as_bytes())),
        false => Err(format!(
            "is ConfigMap {:?}, which has no certificate in ca.crt",
            config_map.metadata.name.as_str()
        )),
    }
}

const CONFIG_MAP: &str = "configmap://";
const SECRET: &str = "kubernetes://";
/// What Secrets of type `kubernetes.io/tls`, and generic ones, call it.
const CA_KEYS: [&str; 2] = ["ca.crt", "cacert"];
const CHAIN_KEYS: [&str; 2] = ["tls.crt", "cert"];
const KEY_KEYS: [&str; 2] = ["tls.key", "key"];
