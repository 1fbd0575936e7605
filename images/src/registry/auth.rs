//! Who one is to a registry: a name and a password, or a token that is given for them (Docker Registry v2 authentication).

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use serde_json::Value;

use super::http::{Http, Transport, body};

/// A name and a password, as `Basic` has them.
#[derive(Clone)]
pub struct Credentials(String);

/// What a request says of who asks.
#[derive(Clone)]
pub enum Login {
    /// Name and password.
    Basic(Credentials),
    /// A token.
    Bearer(String),
}

impl Credentials {
    /// From `REGISTRY_USER` and `REGISTRY_PASSWORD`, or from where container engines keep them
    /// (`~/.docker/config.json`, `$REGISTRY_AUTH_FILE`); none where neither has any.
    ///
    /// # Errors
    /// Fails when a file is there and cannot be read.
    pub fn find(registry: &str) -> Result<Option<Self>> {
        if let (Ok(user), Ok(password)) = (std::env::var("REGISTRY_USER"), std::env::var("REGISTRY_PASSWORD"))
        {
            return Ok(Some(Self::new(&user, &password)));
        }
        let named = std::env::var_os("REGISTRY_AUTH_FILE").map(PathBuf::from);
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker/config.json"));
        let Some(file) = named.or(home).filter(|file| file.is_file()) else {
            return Ok(None);
        };
        let text = fs::read(&file).with_context(|| file.display().to_string())?;
        Self::from_file(&text, registry).with_context(|| file.display().to_string())
    }

    /// A name and a password.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self(STANDARD.encode(format!("{user}:{password}")))
    }

    /// From a file of a container engine.
    pub(crate) fn from_file(text: &[u8], registry: &str) -> Result<Option<Self>> {
        let config: Value = serde_json::from_slice(text).context("is no JSON")?;
        let names = match registry {
            "registry-1.docker.io" => vec!["docker.io", "https://index.docker.io/v1/"],
            other => vec![other],
        };
        let mut entries = names.into_iter().map(|name| &config["auths"][name]["auth"]);
        let found = entries.find_map(|entry| entry.as_str().filter(|text| !text.is_empty()));
        Ok(found.map(|auth| Self(auth.to_owned())))
    }
}

impl Login {
    /// As a header.
    pub(crate) fn header(&self) -> Result<HeaderValue> {
        let text = match self {
            Self::Basic(Credentials(encoded)) => format!("Basic {encoded}"),
            Self::Bearer(token) => format!("Bearer {token}"),
        };
        let mut value =
            HeaderValue::from_str(&text).map_err(|_| anyhow!("credentials that no header can hold"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// What a registry wants to be told, found out from its challenge.
///
/// # Errors
/// Fails when it asks in a way that is not known or not safe, or when no token is given.
pub(crate) async fn login(
    http: &Http,
    transport: Transport,
    challenge: &str,
    scope: &str,
    credentials: Option<&Credentials>,
) -> Result<Login> {
    let (scheme, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
    if scheme.eq_ignore_ascii_case("basic") {
        let credentials = credentials.cloned();
        return credentials.map(Login::Basic).context(NO_CREDENTIALS);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        bail!("the registry asks who we are in a way that is not known: {challenge:?}");
    }
    let parameters = parameters(rest);
    let parameter = |name: &str| {
        parameters
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    let realm = parameter("realm").context("the registry names nobody who gives tokens")?;
    safe_to_tell(transport, realm)?;
    let service = parameter("service").unwrap_or_default();
    let separator = if realm.contains('?') { '&' } else { '?' };
    let uri = format!("{realm}{separator}service={service}&scope={scope}");
    let mut request = Request::builder().uri(uri);
    if let Some(credentials) = credentials {
        request = request.header("authorization", Login::Basic(credentials.clone()).header()?);
    }
    let request = request
        .body(body(Bytes::new()))
        .context("a request for a token")?;
    let answer = http.send(request).await?;
    if answer.status == StatusCode::UNAUTHORIZED && credentials.is_none() {
        bail!(NO_CREDENTIALS);
    }
    answer.expect(&[StatusCode::OK], realm)?;
    let json: Value = serde_json::from_slice(&answer.body).context("the token")?;
    let token = ["token", "access_token"]
        .iter()
        .find_map(|name| json[name].as_str());
    Ok(Login::Bearer(
        token.context("an answer without a token")?.to_owned(),
    ))
}

/// Whether whoever gives tokens for a registry may be told who we are. Registries name other hosts than themselves for that, as
/// they may, but never one that is asked without TLS when they themselves are not: whoever listens would have the password, or the
/// token.
fn safe_to_tell(transport: Transport, realm: &str) -> Result<()> {
    let scheme = realm
        .split_once("://")
        .map(|(scheme, _)| scheme.to_ascii_lowercase());
    match (transport, scheme.as_deref()) {
        (Transport::Tls | Transport::Plain, Some("https")) | (Transport::Plain, Some("http")) => Ok(()),
        (Transport::Tls, Some("http")) => bail!(
            "the registry sends us to {realm:?} for a token, without TLS: nothing was sent there; check its configuration \
             (realm), or who answers in its place"
        ),
        _ => bail!("the registry sends us to {realm:?} for a token, which is neither https:// nor http://"),
    }
}

/// `a="b",c="d"` (RFC 9110, section 11.4), without escapes, which no registry uses.
pub(crate) fn parameters(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut rest = text.trim();
    while let Some((name, behind)) = rest.split_once('=') {
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => behind
                .split_once(',')
                .map_or((behind, ""), |(value, more)| (value, more)),
        };
        all.push((name.trim().to_ascii_lowercase(), value.to_owned()));
        rest = behind.trim_start_matches([',', ' ']);
    }
    all
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Basic(_) => "Basic(…)",
            Self::Bearer(_) => "Bearer(…)",
        })
    }
}

const NO_CREDENTIALS: &str = "the registry wants to know who we are: log in with a container engine, or set REGISTRY_USER and \
                              REGISTRY_PASSWORD";
