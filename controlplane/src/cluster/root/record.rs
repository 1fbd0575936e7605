//! What replicas know together of authorities that signed earlier. It is a Secret beside the root's own: whoever could write it
//! could have the whole mesh trust somebody else.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use controlplane_ca::issuer::DEFAULT_TTL;
use controlplane_ca::root::Root;
use controlplane_ca::succession::Succession;
use mesh_kube::write::Part;
use mesh_kube::{KubeClient, KubeError, ObjectName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::sleep;

use super::{SECRETS, TRY_AGAIN, is_passing};

/// Has everybody know that an authority begins to sign, and gives what is known then. An API server that is away is waited for:
/// without what it knows, proxies would not trust who has a certificate of before. Without a right to it, nothing is known.
pub async fn begin(client: &KubeClient, namespace: &str, root: &Root, now: SystemTime) -> Succession {
    let name = ObjectName::new(namespace, NAME);
    let mut said = false;
    loop {
        let begin = |known: &Succession| known.begin(root.own(), &[], DEFAULT_TTL, now);
        match change(client, namespace, begin).await {
            Ok(known) => return known,
            Err(error) if is_passing(&error) => {
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!(secret = %name, "what was trusted earlier is waited for: {error}");
                }
                sleep(TRY_AGAIN).await;
            }
            Err(error) => {
                tracing::error!(secret = %name, "what was trusted earlier is not known: {error}");
                return Succession::default().begin(root.own(), &[], DEFAULT_TTL, now);
            }
        }
    }
}

/// Writes what `decide` makes of what is known, where that is something else; begins again when somebody else was quicker.
///
/// # Errors
/// [`KubeError::Conflict`] when others are quicker again and again; else what is wrong with the way or our rights.
pub(super) async fn change(
    client: &KubeClient,
    namespace: &str,
    decide: impl Fn(&Succession) -> Succession,
) -> Result<Succession, KubeError> {
    let name = ObjectName::new(namespace, NAME);
    let mut attempts = 1;
    loop {
        let found = client.find::<Value>(&SECRETS, &name).await?;
        let known = match found.as_ref().map(read) {
            None => Succession::default(),
            Some(Ok(known)) => known,
            Some(Err(why)) => {
                tracing::error!(secret = %name, "{why}: what it said is forgotten");
                Succession::default()
            }
        };
        let next = decide(&known);
        if found.is_some() && next == known {
            return Ok(next);
        }
        let version = found
            .as_ref()
            .and_then(|secret| secret["metadata"].get("resourceVersion"));
        let object = object(&name, version, &next);
        let written = match version {
            None => client.create::<Value>(&SECRETS, namespace, &object).await,
            Some(_) => client.replace(&SECRETS, &name, Part::Main, &object).await,
        };
        match written {
            Ok(_) => return Ok(next),
            Err(KubeError::Conflict(_) | KubeError::AlreadyExists(_) | KubeError::NotFound(_))
                if attempts < ATTEMPTS =>
            {
                attempts += 1;
            }
            Err(e) => return Err(e),
        }
    }
}

/// What such a Secret says.
pub(super) fn read(secret: &Value) -> Result<Succession, String> {
    let data = secret["data"][KEY].as_str();
    let data = data.ok_or_else(|| format!("data.{KEY} is missing"))?;
    let bytes = BASE64
        .decode(data)
        .map_err(|_| format!("data.{KEY} is not base64"))?;
    let written: Written = serde_json::from_slice(&bytes).map_err(|e| format!("data.{KEY}: {e}"))?;
    let one = |pem: &String| {
        let mut found = Succession::certificates(pem)?;
        match (found.pop(), found.is_empty()) {
            (Some(one), true) => Ok(one),
            _ => Err(format!("data.{KEY}: {pem:?} is not one certificate")),
        }
    };
    let mut retired = BTreeMap::new();
    for root in &written.retired {
        let until = OffsetDateTime::parse(&root.until, &Rfc3339)
            .map_err(|e| format!("data.{KEY}: until {:?}: {e}", root.until))?;
        retired.insert(one(&root.certificate)?, until.into());
    }
    Ok(Succession {
        signing: written.signing.iter().map(one).collect::<Result<_, _>>()?,
        longest: Duration::from_secs(written.longest_lifetime_seconds),
        retired,
    })
}

fn object(name: &ObjectName, version: Option<&Value>, known: &Succession) -> Value {
    let retired = known.retired.iter().map(|(certificate, until)| Retired {
        certificate: certificate.clone(),
        until: text(*until),
    });
    let written = Written {
        signing: known.signing.clone(),
        // Up, where it is no whole number: nobody is forgotten too soon.
        longest_lifetime_seconds: known
            .longest
            .as_millis()
            .div_ceil(1000)
            .try_into()
            .unwrap_or(u64::MAX),
        retired: retired.collect(),
    };
    let mut metadata = json!({
        "namespace": name.namespace,
        "name": name.name,
        "labels": {"istio.io/config": "true"},
    });
    if let Some(version) = version {
        metadata["resourceVersion"] = version.clone();
    }
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": metadata,
        "data": {KEY: BASE64.encode(json!(written).to_string())},
    })
}

/// The whole second at or after a time: what is read is what was written.
fn text(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let whole = time.replace_nanosecond(0).unwrap_or(time);
    let whole = if whole < time {
        whole + time::Duration::SECOND
    } else {
        whole
    };
    whole.format(&Rfc3339).unwrap_or_default()
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    signing: Vec<String>,
    longest_lifetime_seconds: u64,
    #[serde(default)]
    retired: Vec<Retired>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Retired {
    certificate: String,
    until: String,
}

pub(super) const NAME: &str = "lateen-trusted-roots";
const KEY: &str = "roots.json";
const ATTEMPTS: u32 = 8;

#[cfg(test)]
mod tests;
