//! What can go wrong with an API server, whose fault it is, and whether to try again.

use std::error::Error;

use http::StatusCode;
use serde::Deserialize;

/// Why a request came to nothing. Each text is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KubeError {
    /// The access cannot be used.
    #[error("{0}")]
    NotConfigured(String),
    /// Nobody answers, or not in time.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    /// It answers, and cannot do it at present.
    #[error("the API server is not able to: {0}")]
    Busy(String),
    /// It does not know who we are.
    #[error("the API server does not accept our credentials: {0}")]
    Unauthorized(String),
    /// We lack the right.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// There is no such object, or no such resource.
    #[error("not found: {0}")]
    NotFound(String),
    /// There is an object of this name.
    #[error("exists already: {0}")]
    AlreadyExists(String),
    /// Somebody else changed it meanwhile.
    #[error("conflict: {0}")]
    Conflict(String),
    /// Somebody else owns some of what we would apply.
    #[error("conflict: {message}")]
    Owned {
        /// What the API server says.
        message: String,
        /// What it is: paths such as `.spec.containers[name="proxy"].image`.
        fields: Vec<String>,
    },
    /// What was known of a list is too old to go on from.
    #[error("too old: {0}")]
    Expired(String),
    /// It does not take what we sent.
    #[error("refused: {0}")]
    Refused(String),
    /// We do not understand what it sent.
    #[error("an answer that is not understood: {0}")]
    BadAnswer(String),
}

/// Where to look for the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Kubeconfig, service account, address.
    Configuration,
    /// The roles that we were given.
    Rights,
    /// The way there, or the API server.
    Server,
    /// Somebody else was quicker: look again.
    Race,
    /// What was asked for.
    Request,
}

impl KubeError {
    /// Where to look for the cause.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::NotConfigured(_) | Self::Unauthorized(_) => Fault::Configuration,
            Self::Forbidden(_) => Fault::Rights,
            Self::Unreachable(_) | Self::Busy(_) | Self::BadAnswer(_) => Fault::Server,
            Self::AlreadyExists(_) | Self::Conflict(_) | Self::Owned { .. } | Self::Expired(_) => Fault::Race,
            Self::NotFound(_) | Self::Refused(_) => Fault::Request,
        }
    }

    /// Whether the very same request may succeed later. What lost a race has to be made anew instead.
    #[must_use]
    pub fn is_worth_retrying(&self) -> bool {
        match self {
            // Roles and tokens are put right while we run.
            Self::Unreachable(_) | Self::Busy(_) | Self::Unauthorized(_) | Self::Forbidden(_) => true,
            Self::NotConfigured(_)
            | Self::NotFound(_)
            | Self::AlreadyExists(_)
            | Self::Conflict(_)
            | Self::Owned { .. }
            | Self::Expired(_)
            | Self::Refused(_)
            | Self::BadAnswer(_) => false,
        }
    }

    /// What an answer with this status and body means.
    pub(crate) fn of_answer(status: StatusCode, body: &[u8]) -> Self {
        let told: Told = serde_json::from_slice(body).unwrap_or_default();
        let message = if told.message.is_empty() {
            let text = String::from_utf8_lossy(body);
            one_line(&format!("{status}: {text}"))
        } else {
            one_line(&told.message)
        };
        let fields = told.owned();
        if status == StatusCode::CONFLICT && !fields.is_empty() {
            return Self::Owned { message, fields };
        }
        Self::of(status.as_u16(), &told.reason, message)
    }

    /// What a status object means; inside a watch there is nothing but it.
    pub(crate) fn of_told(told: &Told) -> Self {
        Self::of(told.code, &told.reason, one_line(&told.message))
    }

    fn of(code: u16, reason: &str, message: String) -> Self {
        match code {
            401 => Self::Unauthorized(message),
            403 => Self::Forbidden(message),
            404 => Self::NotFound(message),
            409 if reason == "AlreadyExists" => Self::AlreadyExists(message),
            409 => Self::Conflict(message),
            410 => Self::Expired(message),
            429 | 500..=599 => Self::Busy(message),
            400..=499 => Self::Refused(message),
            _ => Self::BadAnswer(message),
        }
    }
}

impl From<kube::Error> for KubeError {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) => Self::of(status.code, &status.reason, one_line(&status.message)),
            kube::Error::Auth(_)
            | kube::Error::InferConfig(_)
            | kube::Error::InferKubeconfig(_)
            | kube::Error::RustlsTls(_)
            | kube::Error::TlsRequired
            | kube::Error::ProxyProtocolDisabled { .. }
            | kube::Error::ProxyProtocolUnsupported { .. } => Self::NotConfigured(chain(&error)),
            kube::Error::Service(cause) => Self::Unreachable(chain(&**cause)),
            _ => Self::Unreachable(chain(&error)),
        }
    }
}

/// What `meta/v1` Status objects say.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Told {
    #[serde(default)]
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Details {
    #[serde(default)]
    causes: Option<Vec<Cause>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    field: String,
}

impl Told {
    /// The fields that other managers own (Kubernetes, "Server-Side Apply", "Conflicts").
    fn owned(&self) -> Vec<String> {
        let causes = self.details.iter().flat_map(|details| &details.causes).flatten();
        let owned = causes.filter(|cause| cause.reason == OWNED);
        owned.map(|cause| cause.field.clone()).collect()
    }
}

/// An error with its causes: those of connections say nothing by themselves.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = error.to_string();
        if !text.contains(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = error.source();
    }
    one_line(&text)
}

/// Whatever a server says is one line of bounded length to us.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut line = words.join(" ");
    if line.len() > MAX_LINE {
        let mut end = MAX_LINE;
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Why something cannot be applied.
const OWNED: &str = "FieldManagerConflict";
/// Bytes.
const MAX_LINE: usize = 600;

#[cfg(test)]
mod tests;
