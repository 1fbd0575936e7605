//! Who does what only one of many may do: Leases of `coordination.k8s.io`.
//!
//! Clocks of machines differ, so nobody reads another's: a Lease has ended when it looked the same for as long as it
//! says, by one's own clock. Whoever holds one stops for itself before others may think so. Where a pod held it that is gone,
//! nobody is left to wait for. Pure here; [`driver`] asks.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

pub mod driver;

/// What is known of a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// What it says.
    pub record: Record,
    /// Since when it says so, by our clock.
    pub since: Instant,
}

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; empty after a release.
    pub holder: String,
    /// For how long after a renewal.
    pub duration: Duration,
    /// When it was renewed last, by the holder's clock: only whether it changes counts.
    pub renewed: String,
    /// How often it went from one to another.
    pub transitions: u64,
}

/// Who holds a Lease, or asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A process of a pod in the Lease's own namespace, which the process does not outlive.
    Pod(PodRun),
    /// One of which nothing is known but its name.
    Process(String),
}

/// A pod, and which one of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRun {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Take it: there is none, or nobody holds it, or who held it is gone.
    Acquire,
    /// It is ours: say so again.
    Renew,
    /// Somebody else has it until then at least.
    Wait(Instant),
}

/// What to do about a Lease. `holder_is_gone`: the pod that it names does not run any more.
#[must_use]
pub fn decide(observed: Option<&Observed>, now: Instant, me: &str, holder_is_gone: bool) -> Decision {
    let Some(Observed { record, since }) = observed else {
        return Decision::Acquire;
    };
    if record.holder.is_empty() {
        return Decision::Acquire;
    }
    if record.holder == me {
        return Decision::Renew;
    }
    let ends = *since + record.duration;
    if now >= ends || holder_is_gone {
        Decision::Acquire
    } else {
        Decision::Wait(ends)
    }
}

impl Observed {
    /// What is known after a look: a Lease that says something new is fresh.
    #[must_use]
    pub fn after(before: Option<Self>, record: Record, now: Instant) -> Self {
        match before {
            Some(before) if before.record == record => before,
            _ => Self { record, since: now },
        }
    }

    /// Whether somebody was at it lately, for those who would not hold it themselves: it was taken, renewed or given back within
    /// this time. Between two holders there may be a gap, which is nobody's chance.
    #[must_use]
    pub fn is_in_use(&self, within: Duration, now: Instant) -> bool {
        now < self.since + within
    }
}

impl Holder {
    /// Who is meant by a `holderIdentity`.
    #[must_use]
    pub fn of(identity: &str) -> Self {
        match identity.rsplit_once('_') {
            Some((name, uid)) if is_uid(uid) => Self::Pod(PodRun {
                name: name.to_owned(),
                uid: uid.to_owned(),
            }),
            _ => Self::Process(identity.to_owned()),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(PodRun { name, uid }) => write!(f, "{name}_{uid}"),
            Self::Process(name) => f.write_str(name),
        }
    }
}

/// RFC 9562, section 4: a process's number never looks like it.
fn is_uid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

impl Record {
    /// What a Lease object says; what is not there counts as released.
    #[must_use]
    pub fn of(lease: &Value) -> Self {
        let spec = &lease["spec"];
        let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
        Self {
            holder: text("holderIdentity"),
            duration: Duration::from_secs(spec["leaseDurationSeconds"].as_u64().unwrap_or(0)),
            renewed: text("renewTime"),
            transitions: spec["leaseTransitions"].as_u64().unwrap_or(0),
        }
    }

    /// The specification of a Lease that `me` holds from `now` (RFC 3339) on.
    #[must_use]
    pub fn held(&self, me: &str, duration: Duration, now: &str, acquired: Option<&str>) -> Value {
        let taken = self.holder != me;
        let mut spec = json!({
            "holderIdentity": me,
            "leaseDurationSeconds": duration.as_secs().max(1),
            "renewTime": now,
            "leaseTransitions": self.transitions + u64::from(taken && !self.renewed.is_empty()),
        });
        let since = if taken { now } else { acquired.unwrap_or(now) };
        spec["acquireTime"] = json!(since);
        spec
    }
}

#[cfg(test)]
mod tests;
