//! What arguments come to.

use super::{BugReportArgs, Namespaces, NodeArgs, Place, WaypointApplyArgs, WaypointArgs};
use crate::node::{Filter, What};
use crate::waypoint::Wanted;

impl Place {
    /// Whether none is named: the cluster is asked.
    #[must_use]
    pub fn is_nowhere(&self) -> bool {
        self.url.is_none() && self.file.is_none()
    }
}

impl WaypointApplyArgs {
    /// Whether the waypoint is waited for.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.wait || (self.enroll_namespace && !self.no_wait)
    }
}

impl Namespaces {
    /// Whether something of a namespace is wanted; what is in none is.
    #[must_use]
    pub fn take(&self, namespace: &str, system: &str) -> bool {
        let is_named = |names: &[String]| names.iter().any(|name| name == namespace);
        if namespace.is_empty() || namespace == system {
            return true;
        }
        (self.included.is_empty() || is_named(&self.included)) && !is_named(&self.excluded)
    }
}

impl BugReportArgs {
    /// Whether logs end after they begin.
    ///
    /// # Errors
    /// Says that they do not.
    pub fn check(&self) -> Result<(), String> {
        let Self { since, until, .. } = self;
        if until < since {
            return Ok(());
        }
        Err(format!(
            "--until {until}: logs would end before they begin, {since} s ago; --since names an earlier beginning"
        ))
    }
}

impl NodeArgs {
    /// Whether what is named has to do with what is asked for.
    ///
    /// # Errors
    /// Says what has not.
    pub fn check(&self) -> Result<(), &'static str> {
        let Filter { workload_node, .. } = &self.filter;
        match self.what {
            What::Log if !self.filter.is_empty() => Err(
                "-n, --name and --workload-node choose among what a proxy knows; --node chooses whose log it is",
            ),
            What::Log => Ok(()),
            _ if self.level.is_some() || self.reset => {
                Err("--level and --reset are about the log: lateen node log --level debug")
            }
            What::Workloads | What::All => Ok(()),
            _ if workload_node.is_some() => {
                Err("--workload-node chooses among workloads: lateen node workloads --workload-node NODE")
            }
            _ => Ok(()),
        }
    }
}

impl WaypointArgs {
    /// The waypoint, in the namespace that the cluster's access names where none is named here.
    #[must_use]
    pub fn wanted(&self, default_namespace: Option<&str>) -> Wanted {
        Wanted {
            namespace: self
                .namespace
                .clone()
                .or_else(|| default_namespace.map(str::to_owned)),
            name: self.name.clone(),
            traffic: self.traffic,
            revision: self.revision.clone(),
        }
    }
}
