//! The commands about waypoints.

use std::time::Duration;

use super::{apply, inspect, view};
use crate::args::{Cluster, WaypointCommand};
use crate::ask;
use crate::ask::cluster::Asked;
use crate::exit::{Done, Failure};
use crate::output::Format;
use crate::say;

/// Runs one to its end.
///
/// # Errors
/// Fails when somebody who has to be asked does not answer, or does not let us.
pub async fn run(what: &WaypointCommand, cluster: &Cluster, format: Format) -> Result<Done, Failure> {
    if let WaypointCommand::Generate(args) = what {
        // It is meant for `kubectl apply -f -`, which reads no tables.
        let format = if format == Format::Table {
            Format::Yaml
        } else {
            format
        };
        args.wanted(None).view().print(format)?;
        return Ok(Done::Good);
    }
    if let WaypointCommand::Routes(args) = what {
        let pages = ask::waypoint_dumps(args, cluster).await?;
        let pages = pages
            .iter()
            .map(|(proxy, page)| inspect::Carried::read(proxy, page));
        let carried = pages.collect::<Result<Vec<_>, _>>().map_err(Failure::answer)?;
        inspect::routes(&carried).print(format)?;
        return Ok(Done::unless(carried.iter().any(inspect::Carried::leaves_out)));
    }
    let cluster = Asked::connect(cluster).await?;
    let client = cluster.client();
    let own = client.default_namespace();
    match what {
        WaypointCommand::Generate(_) | WaypointCommand::Routes(_) => {}
        WaypointCommand::Apply(args) => {
            let wanted = args.waypoint.wanted(Some(own));
            let namespace = wanted.namespace.as_deref().unwrap_or(own);
            apply::apply(client, &wanted, args.overwrite).await?;
            say(&format!("waypoint {namespace}/{} is applied", wanted.name))?;
            if args.wait {
                apply::wait(client, &wanted, Duration::from_secs(args.timeout)).await?;
                say(&format!("waypoint {namespace}/{} takes traffic", wanted.name))?;
            }
            // Bound before it takes traffic, the namespace would be refused until it does.
            if args.enroll_namespace {
                apply::enroll(client, namespace, &wanted.name).await?;
                say(&format!(
                    "namespace {namespace} is bound to waypoint {}",
                    wanted.name
                ))?;
            }
        }
        WaypointCommand::List(args) => {
            let namespace = args.namespace.as_deref().unwrap_or(own);
            let found = apply::list(client, Some(namespace).filter(|_| !args.all_namespaces)).await?;
            view(&found).print(format)?;
        }
        WaypointCommand::Status(args) => {
            let namespace = args.namespace.as_deref().unwrap_or(own);
            let seen = inspect::look(&cluster, namespace, &args.names).await?;
            inspect::status(&seen).print(format)?;
            return Ok(Done::unless(seen.iter().any(|seen| !seen.is_well())));
        }
        WaypointCommand::Delete(args) => {
            let namespace = args.namespace.as_deref().unwrap_or(own);
            for name in apply::delete(client, namespace, &args.names).await? {
                say(&format!("waypoint {name} is deleted"))?;
            }
        }
    }
    Ok(Done::Good)
}
