//! What service accounts asked the API server for, and whether it was granted: the API server's own log.
//!
//! Kubernetes' own controllers are left out of it, people and kubelets too: what is asked is what the mesh's parts do.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// Whether an API server says what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audit {
    /// It writes a log of it.
    Kept,
    /// It does not: where its speed is measured.
    NotKept,
}

/// The log.
#[derive(Clone, Debug)]
pub struct AuditLog {
    policy: PathBuf,
    path: PathBuf,
    /// Bytes that were written while an API server started: it judges before it knows all roles then.
    starts: Vec<Range<u64>>,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who, as `NAMESPACE/NAME` of a service account.
    pub account: String,
    /// `get`, `list` and so on.
    pub verb: String,
    /// For what; a path where it is no resource.
    pub what: What,
    /// Whether it may.
    pub granted: bool,
    /// Whether something new was made by it: whoever applies what is not there makes it.
    pub made: bool,
    /// The API server was starting.
    pub starting: bool,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A resource of the API.
    Resource {
        /// Its group; empty for the core's.
        group: String,
        /// Its plural, with the part behind a slash where a part is asked for: `pods/status`.
        resource: String,
        /// Its namespace, where there is one.
        namespace: Option<String>,
        /// Its name, where one is named.
        name: Option<String>,
    },
    /// Another path, such as `/version`.
    Path(String),
}

impl AuditLog {
    /// A log among those of a cluster.
    ///
    /// # Errors
    /// Fails when what is to be logged cannot be written down.
    pub(super) fn create(dir: &Path) -> Result<Self> {
        let policy = dir.join("audit-policy.yaml");
        fs::write(&policy, POLICY).with_context(|| policy.display().to_string())?;
        Ok(Self {
            policy,
            path: dir.join("logs/audit.log"),
            starts: Vec::new(),
        })
    }

    /// What the API server is told.
    pub(super) fn flags(&self) -> [String; 3] {
        [
            format!("--audit-policy-file={}", self.policy.display()),
            format!("--audit-log-path={}", self.path.display()),
            // In megabytes: it is never begun anew.
            "--audit-log-maxsize=4000".to_owned(),
        ]
    }

    /// How long it is now.
    pub(super) fn len(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    /// An API server has started since it was so long.
    pub(super) fn started(&mut self, since: u64) {
        self.starts.push(since..self.len());
    }

    /// Everything that was asked so far.
    ///
    /// # Errors
    /// Fails when a line is none of an audit's.
    pub fn asked(&self) -> Result<Vec<Asked>> {
        let text = fs::read_to_string(&self.path).with_context(|| self.path.display().to_string())?;
        let mut all = Vec::new();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let starting = self.starts.iter().any(|start| start.contains(&at));
            at += line.len() as u64;
            // The last one may be on its way.
            if line.ends_with('\n') {
                let event: Value = serde_json::from_str(line).context("a line of the audit")?;
                all.extend(Asked::of(&event, starting));
            }
        }
        Ok(all)
    }
}

impl Asked {
    /// Nothing for those who are no service account.
    fn of(event: &Value, starting: bool) -> Option<Self> {
        let user = event["user"]["username"].as_str()?;
        let account = user.strip_prefix("system:serviceaccount:")?.replacen(':', "/", 1);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let some = |value: &Value| value.as_str().filter(|v| !v.is_empty()).map(str::to_owned);
        let object = &event["objectRef"];
        let what = match object["resource"].as_str() {
            Some(resource) => What::Resource {
                group: text(&object["apiGroup"]),
                resource: match some(&object["subresource"]) {
                    Some(part) => format!("{resource}/{part}"),
                    None => resource.to_owned(),
                },
                namespace: some(&object["namespace"]),
                name: some(&object["name"]),
            },
            None => What::Path(text(&event["requestURI"])),
        };
        Some(Self {
            account,
            verb: text(&event["verb"]),
            what,
            granted: event["annotations"]["authorization.k8s.io/decision"] != "forbid",
            made: event["responseStatus"]["code"] == 201,
            starting,
        })
    }
}

/// The API server's own form (`audit.k8s.io/v1`). Garbage collection and the like have accounts, too.
const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
# Watches are told of when they begin: some never end.
omitStages: [RequestReceived]
rules:
- level: None
  userGroups: ["system:serviceaccounts:kube-system"]
- level: Metadata
  userGroups: ["system:serviceaccounts"]
- level: None
"#;

#[cfg(test)]
mod tests;
