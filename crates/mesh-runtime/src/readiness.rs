//! Readiness: who still keeps the process from being ready.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use parking_lot::Mutex;

use crate::admin::{self, Routes};

/// The conditions of a process's readiness. Ready means: none is open.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    conditions: Arc<Mutex<BTreeMap<String, Condition>>>,
}

/// One open condition. [`BlockReady::ready`] closes it; dropping it does not, so that a task which dies before it was
/// ready never makes the process look ready.
#[derive(Debug)]
#[must_use = "dropping it keeps the process unready for good; call `ready`"]
pub struct BlockReady {
    name: String,
    conditions: Arc<Mutex<BTreeMap<String, Condition>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Pending,
    Stopped,
}

// === impl Readiness ===

impl Readiness {
    /// No condition yet, that is: ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a condition; the process is unready until it is closed. A second condition of the same name replaces the
    /// first.
    pub fn block(&self, name: impl Into<String>) -> BlockReady {
        let name = name.into();
        self.conditions.lock().insert(name.clone(), Condition::Pending);
        BlockReady {
            name,
            conditions: self.conditions.clone(),
        }
    }

    /// What the process waits for, by name; empty means ready. A condition whose holder went away is marked.
    #[must_use]
    pub fn pending(&self) -> Vec<String> {
        let conditions = self.conditions.lock();
        conditions
            .iter()
            .map(|(name, condition)| match condition {
                Condition::Pending => name.clone(),
                Condition::Stopped => format!("{name} (stopped before it was ready)"),
            })
            .collect()
    }

    /// `GET /healthz/ready`: 200 when ready, else 500 with the names of what is pending (what upstream's probes expect).
    #[must_use]
    pub fn routes(&self) -> Routes {
        let readiness = self.clone();
        Routes::new().get("/healthz/ready", "readiness", move |_| {
            let pending = readiness.pending();
            let answer = if pending.is_empty() {
                admin::text(StatusCode::OK, "ready\n")
            } else {
                let body = format!("not ready, pending: {}\n", pending.join(", "));
                admin::text(StatusCode::INTERNAL_SERVER_ERROR, body)
            };
            std::future::ready(answer)
        })
    }
}

// === impl BlockReady ===

impl BlockReady {
    /// Closes the condition.
    pub fn ready(self) {
        // Runs `drop` afterwards, which finds nothing to mark.
        self.conditions.lock().remove(&self.name);
    }
}

impl Drop for BlockReady {
    fn drop(&mut self) {
        if let Some(condition) = self.conditions.lock().get_mut(&self.name) {
            *condition = Condition::Stopped;
        }
    }
}

#[cfg(test)]
mod tests;
