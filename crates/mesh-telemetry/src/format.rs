//! How a record is written down: command operators between percent signs, as Envoy's access logs have them
//! (Envoy, "Access logging", "Command operators").
//!
//! # Layout
//! - this file: [`Format`], a text or JSON, compiled once.
//! - `parse`: from text to parts.
//! - `operator`: what each operator gives.
//! - `json`: numbers stay numbers, what is not there is `null`.
//! - `clock`: times as `strftime` writes them.

mod clock;
mod json;
mod operator;
mod parse;

use mesh_model::l7::telemetry::LogFormat;
use mesh_types::Strng;
use operator::Operator;

use crate::Needs;
use crate::record::Record;

/// Istio's text where nothing else is said (Istio, "Envoy Access Logs", "Default access log format").
pub const DEFAULT_TEXT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" \
%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \
\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \
%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \
\"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% \
%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

/// Istio's JSON where nothing else is said: key, operator.
pub const DEFAULT_JSON: [(&str, &str); 24] = [
    ("authority", "%REQ(:AUTHORITY)%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    (
        "connection_termination_details",
        "%CONNECTION_TERMINATION_DETAILS%",
    ),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("duration", "%DURATION%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("route_name", "%ROUTE_NAME%"),
    ("start_time", "%START_TIME%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
    (
        "upstream_transport_failure_reason",
        "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    ),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
];

/// A text with operators, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Operator(Operator),
}

/// How each record is written, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line of text.
    Text(Template),
    /// A line of JSON, by keys.
    Json(Vec<(Strng, Template)>),
}

/// Why a text is no format: always its author's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidFormat {
    /// Nobody knows this operator.
    #[error("there is no operator %{0}%")]
    UnknownOperator(String),
    /// An operator without its end.
    #[error("%{0} has no % at its end")]
    Unfinished(String),
    /// What stands in parentheses is not what the operator takes.
    #[error("%{operator}%: {why}")]
    Argument {
        /// The operator.
        operator: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It is too long, or has too many operators.
    #[error("it is too long: {0} bytes at most")]
    TooLong(usize),
}

impl Format {
    /// Compiles what the configuration says.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn compile(format: &LogFormat) -> Result<Self, InvalidFormat> {
        match format {
            LogFormat::Default => Template::compile(DEFAULT_TEXT).map(Self::Text),
            LogFormat::DefaultJson => Self::json(DEFAULT_JSON),
            LogFormat::Text(text) => Template::compile(text).map(Self::Text),
            LogFormat::Json(fields) => Self::json(fields.iter().map(|(k, v)| (k.as_str(), v.as_str()))),
        }
    }

    fn json<'f>(fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> Result<Self, InvalidFormat> {
        let compile = |(key, text): (&str, &str)| Ok((Strng::from(key), Template::compile(text)?));
        let mut fields: Vec<_> = fields.into_iter().map(compile).collect::<Result<_, _>>()?;
        // Keys of a JSON object come from a map: their order is that of their names.
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Self::Json(fields))
    }

    /// Appends a record with the end of its line.
    pub fn write(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Text(template) => template.write(record, out),
            Self::Json(fields) => json::write(fields, record, out),
        }
    }

    /// What it asks for that is not kept otherwise.
    #[must_use]
    pub fn needs(&self) -> Needs {
        match self {
            Self::Text(template) => template.needs(),
            Self::Json(fields) => {
                let needs = fields.iter().map(|(_, template)| template.needs());
                needs.fold(Needs::default(), Needs::and)
            }
        }
    }
}

impl Template {
    /// Compiles a text.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn compile(text: &str) -> Result<Self, InvalidFormat> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidFormat::TooLong(MAX_LENGTH));
        }
        Ok(Self {
            parts: parse::parse(text)?,
        })
    }

    /// Appends what it gives; what is not there is `-`.
    pub fn write(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Operator(operator) => operator.write(record, out),
            }
        }
    }

    /// What it gives, as text.
    #[must_use]
    pub fn text(&self, record: &Record<'_>) -> String {
        let mut out = Vec::new();
        self.write(record, &mut out);
        String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }

    /// What it asks for that is not kept otherwise.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let needs = self.parts.iter().map(|part| match part {
            Part::Text(_) => Needs::default(),
            Part::Operator(operator) => operator.needs(),
        });
        needs.fold(Needs::default(), Needs::and)
    }

    /// The one operator that it is, if it is no more than that.
    fn single(&self) -> Option<&Operator> {
        match self.parts.as_slice() {
            [Part::Operator(operator)] => Some(operator),
            _ => None,
        }
    }
}

const MAX_LENGTH: usize = 16 << 10;

#[cfg(test)]
mod tests;
