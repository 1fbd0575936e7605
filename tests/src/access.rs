//! What the ztunnels say about connections: their access log, read as data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// One line of the access log.
#[derive(Clone, Debug)]
pub struct AccessLine(BTreeMap<String, String>);

/// A log that is read further at each call.
#[derive(Debug)]
pub struct AccessLog {
    path: PathBuf,
    read: usize,
}

impl AccessLog {
    /// Follows a log from its present end.
    #[must_use]
    pub fn follow(path: &Path) -> Self {
        let read = std::fs::metadata(path).map_or(0, |m| usize::try_from(m.len()).unwrap_or(usize::MAX));
        Self {
            path: path.to_owned(),
            read,
        }
    }

    /// The lines that were added since the last call; a line that is not complete yet waits for the next.
    pub fn fresh(&mut self) -> Vec<AccessLine> {
        let all = std::fs::read(&self.path).unwrap_or_default();
        let new = all.get(self.read..).unwrap_or_default();
        let complete = new.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        self.read += complete;
        String::from_utf8_lossy(&new[..complete])
            .lines()
            .filter_map(AccessLine::parse)
            .collect()
    }
}

impl AccessLine {
    /// A line of the JSON format, if it is one of the access log.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let object: BTreeMap<String, Value> = serde_json::from_str(line).ok()?;
        let scope = object.get("scope").or_else(|| object.get("target"))?;
        if scope != "access" {
            return None;
        }
        let text = |v: Value| {
            if let Value::String(s) = v {
                s
            } else {
                v.to_string()
            }
        };
        Some(Self(object.into_iter().map(|(k, v)| (k, text(v))).collect()))
    }

    /// When the connection began: the line's time, which is that of its end, less its duration. Known to a millisecond.
    #[must_use]
    pub fn begun(&self) -> Option<SystemTime> {
        let written = OffsetDateTime::parse(self.get("time")?, &Rfc3339).ok()?;
        let lasted = self
            .get("duration")
            .and_then(|d| d.strip_suffix("ms")?.parse().ok());
        Some(SystemTime::from(written) - Duration::from_millis(lasted.unwrap_or(0)))
    }

    /// The value of one key, such as `src.identity`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Whether the value of a key is this one.
    #[must_use]
    pub fn is(&self, key: &str, value: &str) -> bool {
        self.get(key) == Some(value)
    }
}
