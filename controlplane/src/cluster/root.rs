//! The mesh's root, in a Secret that all replicas share: whoever comes first makes it, the others read it.
//!
//! [`keeper`] follows it, and what an operator mounts instead; [`record`] is what replicas know of earlier ones.

use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use controlplane_ca::root::{AuthorityPems, Kept, Root};
use mesh_kube::write::Part;
use mesh_kube::{KubeClient, KubeError, ObjectName, Resource};
use mesh_types::TrustDomain;
use serde_json::{Value, json};
use tokio::time::sleep;
use zeroize::Zeroizing;

pub mod keeper;
pub mod record;

/// Why there is no root to sign with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterRootError {
    /// The API server says no, for good.
    #[error("Secret {secret}: {error}")]
    Api {
        /// Which Secret.
        secret: ObjectName,
        /// What it said.
        error: KubeError,
    },
    /// The Secret is there, and is no authority: the operator's to mend.
    #[error("Secret {secret}: {reason}")]
    Unusable {
        /// Which Secret.
        secret: ObjectName,
        /// What is wrong with it.
        reason: String,
    },
}

/// The root of the Secret `istio-ca-secret`, made now where there is none yet. Safe against several starters; an API server
/// that is away is waited for.
///
/// # Errors
/// Fails when the Secret may not be read or made, or is no authority.
pub async fn load_or_create(
    client: &KubeClient,
    namespace: &str,
    trust_domain: &TrustDomain,
    now: SystemTime,
) -> Result<Root, ClusterRootError> {
    let secret = ObjectName::new(namespace, NAME);
    let mut said = false;
    loop {
        let found = match find_or_create(client, &secret, trust_domain, now).await {
            Err(ClusterRootError::Api { error, .. }) if is_passing(&error) => {
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!(%secret, "the root is waited for: {error}");
                }
                sleep(TRY_AGAIN).await;
                continue;
            }
            found => found?,
        };
        return authority_of(&found, now).map_err(|reason| ClusterRootError::Unusable { secret, reason });
    }
}

/// The authority of a Secret of upstream's shape.
fn authority_of(secret: &Value, now: SystemTime) -> Result<Root, String> {
    Root::from_pems(&read(secret)?, Kept::Secret, now)
}

/// What an operator mounted (Istio's Secret `cacerts`, or one of type `kubernetes.io/tls` such as cert-manager keeps); nothing
/// where there is none.
///
/// # Errors
/// Fails when a part of it is missing or wrong.
pub fn mounted(dir: &Path, now: SystemTime) -> Result<Option<Root>, String> {
    let layouts = [
        ["ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"],
        ["tls.crt", "tls.key", "tls.crt", "ca.crt"],
    ];
    let Some([certificate, key, chain, roots]) = layouts.into_iter().find(|l| dir.join(l[0]).exists()) else {
        return Ok(None);
    };
    let read = |file: &str| {
        let path = dir.join(file);
        std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
    };
    let pems = AuthorityPems {
        certificate: read(certificate)?,
        key: Zeroizing::new(read(key)?),
        chain: read(chain)?,
        roots: read(roots)?,
    };
    let root = Root::from_pems(&pems, Kept::Mounted, now).map_err(|e| format!("{}: {e}", dir.display()))?;
    Ok(Some(root))
}

/// Renews the root of the Secret, if it is to be. Another replica may be first: then it is renewed, too.
///
/// # Errors
/// Fails when the Secret may not be read or written, or is no root of ours.
async fn renew(client: &KubeClient, namespace: &str, now: SystemTime) -> Result<(), ClusterRootError> {
    let name = ObjectName::new(namespace, NAME);
    let api = |error| ClusterRootError::Api {
        secret: name.clone(),
        error,
    };
    let unusable = |reason| ClusterRootError::Unusable {
        secret: name.clone(),
        reason,
    };
    let mut secret: Value = client.get(&SECRETS, &name).await.map_err(api)?;
    let pems = read(&secret).map_err(unusable)?;
    let root = Root::from_pems(&pems, Kept::Secret, now).map_err(unusable)?;
    if !root.is_to_be_renewed(now) {
        return Ok(());
    }
    let renewed = pems.renewed(now).map_err(unusable)?;
    secret["data"][CERTIFICATE] = json!(BASE64.encode(&renewed.certificate));
    let replaced = client.replace::<Value>(&SECRETS, &name, Part::Main, &secret);
    match replaced.await {
        Ok(_) => {
            tracing::info!(secret = %name, "the root was renewed: the same key, with a new life");
            Ok(())
        }
        Err(KubeError::Conflict(_)) => Ok(()),
        Err(error) => Err(api(error)),
    }
}

async fn find_or_create(
    client: &KubeClient,
    secret: &ObjectName,
    trust_domain: &TrustDomain,
    now: SystemTime,
) -> Result<Value, ClusterRootError> {
    let api = |error| ClusterRootError::Api {
        secret: secret.clone(),
        error,
    };
    if let Some(found) = client.find(&SECRETS, secret).await.map_err(api)? {
        return Ok(found);
    }
    let pems = AuthorityPems::make(trust_domain, now).map_err(|reason| ClusterRootError::Unusable {
        secret: secret.clone(),
        reason,
    })?;
    match client
        .create(&SECRETS, &secret.namespace, &object(secret, &pems))
        .await
    {
        Ok(made) => {
            tracing::info!(%secret, "a new root was made");
            Ok(made)
        }
        // Another replica was first.
        Err(KubeError::AlreadyExists(_)) => client.get(&SECRETS, secret).await.map_err(api),
        Err(e) => Err(api(e)),
    }
}

/// Rights do not come by themselves: who lacks them is told at once.
fn is_passing(error: &KubeError) -> bool {
    matches!(error, KubeError::Unreachable(_) | KubeError::Busy(_))
}

fn object(secret: &ObjectName, pems: &AuthorityPems) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": TYPE,
        "metadata": {"namespace": secret.namespace, "name": secret.name},
        "data": {
            CERTIFICATE: BASE64.encode(&pems.certificate),
            KEY: BASE64.encode(pems.key.as_bytes()),
        },
    })
}

fn read(secret: &Value) -> Result<AuthorityPems, String> {
    let text = |field: &str| -> Result<String, String> {
        let data = secret["data"][field].as_str().unwrap_or_default();
        let bytes = BASE64
            .decode(data)
            .map_err(|_| format!("{field} is not base64"))?;
        String::from_utf8(bytes).map_err(|_| format!("{field} is no PEM"))
    };
    Ok(AuthorityPems {
        certificate: text(CERTIFICATE)?,
        key: Zeroizing::new(text(KEY)?),
        chain: text("cert-chain.pem")?,
        roots: text("root-cert.pem")?,
    })
}

static SECRETS: Resource = Resource::namespaced("", "v1", "secrets", "Secret");
/// Upstream's names: either side goes on with the other's root.
const NAME: &str = "istio-ca-secret";
const TYPE: &str = "istio.io/ca-root";
const CERTIFICATE: &str = "ca-cert.pem";
const KEY: &str = "ca-key.pem";
const TRY_AGAIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
