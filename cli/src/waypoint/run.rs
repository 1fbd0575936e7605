//! The commands about waypoints.

use std::time::Duration;

use anyhow::Context as _;
use mesh_kube::{KubeClient, ObjectName};
use serde_json::json;

use super::{Found, Wanted, apply, classes, elsewhere, inspect, view};
use crate::args::{Cluster, WaypointApplyArgs, WaypointCommand, WaypointListArgs, WaypointNamesArgs};
use crate::ask;
use crate::ask::cluster::Asked;
use crate::exit::{Done, Failure};
use crate::output::{Format, View};
use crate::tell::tell;

/// Runs one to its end.
///
/// # Errors
/// Fails when somebody who has to be asked does not answer, or does not let us.
pub async fn run(what: &WaypointCommand, cluster: &Cluster, format: Format) -> Result<Done, Failure> {
    match what {
        WaypointCommand::Generate(args) => {
            // It is meant for `kubectl apply -f -`, which reads no tables.
            let format = if format == Format::Table {
                Format::Yaml
            } else {
                format
            };
            args.wanted(None).view().print(format)?;
        }
        WaypointCommand::Routes(args) => {
            let pages = ask::waypoint_dumps(args, cluster).await?;
            let pages = pages
                .iter()
                .map(|(proxy, page)| inspect::Carried::read(proxy, page));
            let carried = pages.collect::<Result<Vec<_>, _>>().map_err(Failure::answer)?;
            inspect::routes(&carried).print(format)?;
            return Ok(Done::unless(carried.iter().any(inspect::Carried::leaves_out)));
        }
        WaypointCommand::List(args) => {
            view(&listed(args, cluster).await?).print(format)?;
        }
        WaypointCommand::Status(args) => {
            let seen = seen(args, cluster).await?;
            inspect::status(&seen).print(format)?;
            return Ok(Done::unless(seen.iter().any(|seen| !seen.is_well())));
        }
        WaypointCommand::Apply(args) => {
            let cluster = Asked::connect(cluster).await?;
            let client = cluster.client();
            let wanted = args.waypoint.wanted(Some(client.default_namespace()));
            applied(client, args, &wanted).await?.print(format)?;
        }
        WaypointCommand::Delete(args) => {
            let cluster = Asked::connect(cluster).await?;
            let client = cluster.client();
            let namespace = args
                .namespace
                .as_deref()
                .unwrap_or_else(|| client.default_namespace());
            let deleted = apply::delete(client, namespace, &args.names).await?;
            let lines = deleted.iter().map(|name| format!("waypoint {name} is deleted"));
            View::lines(lines, json!({ "deleted": deleted })).print(format)?;
        }
    }
    Ok(Done::Good)
}

/// The waypoints of a namespace, or of all: the cluster's, or those that a control plane elsewhere knows.
async fn listed(args: &WaypointListArgs, cluster: &Cluster) -> Result<Vec<Found>, Failure> {
    let namespace = args.namespace.as_deref();
    if let Some(url) = &args.elsewhere.url {
        return elsewhere::waypoints(url, namespace).await;
    }
    let cluster = Asked::connect(cluster).await?;
    let client = cluster.client();
    let namespace = namespace.unwrap_or_else(|| client.default_namespace());
    let within = Some(namespace).filter(|_| !args.all_namespaces);
    Ok(classes::waypoints(client, within).await?)
}

/// The same, with their proxies.
async fn seen(args: &WaypointNamesArgs, cluster: &Cluster) -> Result<Vec<inspect::Seen>, Failure> {
    let namespace = args.namespace.as_deref();
    if let Some(url) = &args.elsewhere.url {
        return elsewhere::look(url, namespace, &args.names).await;
    }
    let cluster = Asked::connect(cluster).await?;
    let namespace = namespace.unwrap_or_else(|| cluster.client().default_namespace());
    Ok(inspect::look(&cluster, namespace, &args.names).await?)
}

/// Makes a waypoint, waits for it and binds the namespace to it, each where it is asked for. What keeps it is told meanwhile.
async fn applied(client: &KubeClient, args: &WaypointApplyArgs, wanted: &Wanted) -> anyhow::Result<View> {
    let namespace = wanted.namespace.as_deref().unwrap_or_default();
    let name = ObjectName::new(namespace, &wanted.name);
    // Before anything is changed.
    let home = match args.enroll_namespace {
        true => Some(apply::home(client, namespace, &wanted.name, args.overwrite).await?),
        false => None,
    };
    apply::apply(client, wanted, args.overwrite).await?;
    let mut lines = vec![format!("waypoint {name} is applied")];
    let takes_traffic = if args.waits() {
        let limit = Duration::from_secs(args.timeout);
        let waited = apply::wait(client, wanted, limit, tell).await;
        waited.with_context(|| match args.enroll_namespace {
            true => format!("waypoint {name} is applied, and namespace {namespace} is left as it is"),
            false => format!("waypoint {name} is applied"),
        })?;
        lines.push(format!("waypoint {name} takes traffic"));
        true
    } else {
        apply::is_programmed(client, wanted).await?
    };
    if let Some(home) = home {
        if !takes_traffic {
            tell(&format!(
                "warning: waypoint {name} takes no traffic yet: what is sent to namespace {namespace} is refused until it does"
            ));
        }
        apply::enroll(client, namespace, &wanted.name, args.overwrite).await?;
        lines.push(format!(
            "namespace {namespace} is bound to waypoint {}",
            wanted.name
        ));
        if !home.is_in_the_mesh() {
            tell(&format!(
                "hint: namespace {namespace} is not in the mesh, so that what its own pods send goes past every waypoint: \
                 kubectl label namespace {namespace} istio.io/dataplane-mode=ambient"
            ));
        }
    }
    let data = json!({
        "namespace": namespace,
        "name": wanted.name,
        "programmed": takes_traffic,
        "namespaceBound": args.enroll_namespace,
    });
    Ok(View::lines(lines, data))
}

#[cfg(test)]
mod tests;
