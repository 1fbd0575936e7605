//! Which version this is, as `istioctl version` and `istioctl experimental version` read it of istiod.

use serde_json::json;

/// `/version`: `<version>-<revision>-<status>` in one line.
#[must_use]
pub fn line() -> String {
    format!("{VERSION}-{REVISION}-{STATUS}")
}

/// Who answers a debug request over xDS, and of which version it is: JSON, which istioctl takes apart. `instance` tells
/// replicas apart.
#[must_use]
pub fn identifier(instance: &str) -> String {
    let who = json!({
        "Component": COMPONENT,
        "ID": instance,
        "Info": {
            "version": VERSION,
            "revision": REVISION,
            "golang_version": "",
            "status": STATUS,
            "tag": VERSION,
        },
    });
    who.to_string()
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// A build does not know its commit: equal sources give equal programs.
const REVISION: &str = "unknown";
const STATUS: &str = if cfg!(debug_assertions) {
    "debug"
} else {
    "release"
};
/// istioctl shows it; istiod's name is the one that its readers know.
const COMPONENT: &str = "istiod";

#[cfg(test)]
mod tests;
