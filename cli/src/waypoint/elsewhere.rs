//! Waypoints of a control plane outside of a cluster: by its pages, where there is no API server to ask.

use serde::Deserialize;
use serde_json::Value;

use super::Found;
use super::inspect::{Seen, named};
use crate::ask;
use crate::exit::Failure;
use crate::status::Status;

/// The waypoints that the control plane at a URL knows, of a namespace or of all.
///
/// # Errors
/// Fails when nobody answers there, or not with this page.
pub async fn waypoints(url: &str, namespace: Option<&str>) -> Result<Vec<Found>, Failure> {
    let page = ask::over_http(url, "/debug/waypoints").await?;
    let mut found = Vec::<Found>::deserialize(&page).map_err(Failure::answer)?;
    found.retain(|waypoint| namespace.is_none_or(|namespace| waypoint.name().namespace == namespace));
    Ok(found)
}

/// The same, or those that are named, with their proxies.
///
/// # Errors
/// As [`waypoints`], and when one that is named is not there.
pub async fn look(url: &str, namespace: Option<&str>, names: &[String]) -> Result<Vec<Seen>, Failure> {
    let found = named(waypoints(url, namespace).await?, namespace, names)?;
    let clients = ask::over_http(url, "/debug/syncz").await?;
    beside(found, &clients).map_err(Failure::answer)
}

/// Waypoints beside their proxies, which are those that say so: no other list of them is there.
fn beside(found: Vec<Found>, clients: &Value) -> Result<Vec<Seen>, serde_json::Error> {
    let clients = Status::read(clients)?;
    let seen = found.into_iter().map(|waypoint| {
        let name = waypoint.name();
        let proxies = clients.of_gateway(&name).into_iter();
        let proxies = proxies.map(|proxy| {
            let trouble = clients.trouble_of(&format!("{proxy}.{}", name.namespace));
            (proxy, trouble)
        });
        Seen {
            proxies: proxies.collect(),
            waypoint,
        }
    });
    Ok(seen.collect())
}

#[cfg(test)]
mod tests;
