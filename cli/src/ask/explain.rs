//! What proxies say of a connection or a request, and the objects that stand behind what they say.

use std::collections::BTreeSet;

use anyhow::Context as _;
use controlplane_index::MeshConfig;
use controlplane_k8s_api::{Kind, Object};
use mesh_kube::{KubeClient, ObjectName};
use serde_json::Value;

use super::cluster::Asked;
use super::{ADMIN, json, named, over_http, query};
use crate::args::{Cluster, ExplainArgs};
use crate::explain::binding::{Binding, Labelled};
use crate::explain::blame::{self, Authentications, Blame};
use crate::explain::network::{Flow, Network};
use crate::explain::{Beside, Connection, Explained};
use crate::files;
use crate::objects::understood::{authentications, found};
use crate::objects::{NAMESPACES, NETWORK_POLICIES, PODS, list};
use crate::validate::{Validated, validate};

/// What the client's ztunnel says of a connection, and what the waypoint does, where that may be asked. Which objects say so,
/// as far as they are there to look at.
///
/// # Errors
/// Fails when somebody does not answer, or not with what this version understands.
pub async fn explain(args: &ExplainArgs, cluster: &Cluster) -> anyhow::Result<Explained> {
    let path = format!("/explain?{}", query(&[("from", &args.from), ("to", &args.to)]));
    let mut asked = None;
    let ztunnel = match named(&args.place, &path).await? {
        Some(page) => page,
        None => {
            let cluster = asked.insert(Asked::connect(cluster).await?);
            let pod = cluster.ztunnel_for(&args.from).await?;
            json(&cluster.page(&pod, ADMIN, &path).await?, &path)?
        }
    };
    let connection = Connection::read(&ztunnel).context("the answer is none of a ztunnel of this version; is it the ztunnel of the client's node that --url or --file names?")?;
    let waypoint = if connection.meets_waypoint() {
        let path = format!("/explain?{}", question(args, &connection));
        match (&args.waypoint_url, &asked) {
            (Some(url), _) => Some(over_http(url, &path).await?),
            (None, Some(cluster)) => Some(of_waypoint(cluster, &connection, &path).await?),
            (None, None) => None,
        }
    } else {
        None
    };
    let sources = match args.files.is_empty() {
        true => Vec::new(),
        false => files::read(&args.files)?,
    };
    let written = validate(&sources);
    let beside = Beside {
        binding: binding_of(&written, asked.as_ref(), &connection).await,
        blame: blame_of(written, cluster, asked.as_ref(), &connection).await,
        network: kept_by_network(asked.as_ref(), &connection).await,
    };
    Explained::of(&ztunnel, waypoint.as_ref(), beside).context("an answer")
}

/// What a waypoint is asked about the request.
fn question(args: &ExplainArgs, connection: &Connection) -> String {
    let host = args.to.rsplit_once(':').map_or("", |(host, _)| host);
    let headers = args.headers.join("\n");
    // Older ztunnels do not say it; who was asked about by an address has that one.
    let own = args.from.parse().ok();
    let address = connection
        .client_address
        .or(own)
        .map(|address| address.to_string());
    let mut asked = vec![("to", connection.authority()), ("from", &connection.identity)];
    asked.extend(address.as_deref().map(|address| ("ip", address)));
    if let (Some(method), Some(path)) = (&args.method, &args.path) {
        asked.extend([
            ("method", method.as_str()),
            ("path", path),
            ("host", host),
            ("headers", &headers),
        ]);
        asked.extend(args.claims.as_deref().map(|claims| ("claims", claims)));
    }
    query(&asked)
}

/// A page of the proxy that the connection meets: what it says is known there, whatever its account is called.
async fn of_waypoint(cluster: &Asked, connection: &Connection, path: &str) -> anyhow::Result<Value> {
    let pod = connection
        .waypoint()
        .context("the waypoint's proxy is no Pod; --waypoint-url says where it is asked")?;
    let page = cluster.page_of(&pod, ADMIN, path).await;
    json(
        &page.context("the waypoint was not asked; --waypoint-url names another way to it")?,
        path,
    )
}

/// Which Gateway the waypoint is of, and what binds to it. Who may not read the objects is told the rest.
async fn binding_of(written: &Validated, asked: Option<&Asked>, connection: &Connection) -> Binding {
    let mut known: Vec<Labelled> = objects(written).filter_map(Labelled::of).collect();
    if let Some(asked) = asked.filter(|_| connection.meets_waypoint()) {
        let client = asked.client();
        let within = |name: &ObjectName| name.namespace.clone();
        let namespace = match connection.service().and_then(|service| service.split_once('/')) {
            Some((namespace, _)) => Some(namespace.to_owned()),
            None => connection.destination().as_ref().map(within),
        };
        let proxies = connection.waypoint().as_ref().map(within);
        for (kind, within) in [
            (Kind::Pod, proxies),
            (Kind::Pod, namespace.clone()),
            (Kind::Service, namespace.clone()),
            (Kind::ServiceEntry, namespace.clone()),
        ] {
            if let Some(within) = within {
                let live = found(client, kind, Some(&within)).await.unwrap_or_default();
                known.extend(objects(&live).filter_map(Labelled::of));
            }
        }
        let live = found(client, Kind::Namespace, None).await.unwrap_or_default();
        known.extend(objects(&live).filter_map(Labelled::of));
    }
    Binding::among(&known, connection)
}

/// The PeerAuthentication that refuses a connection, as far as the objects are there to look at.
async fn blame_of(
    written: Validated,
    cluster: &Cluster,
    asked: Option<&Asked>,
    connection: &Connection,
) -> Option<Blame> {
    let config = MeshConfig {
        root_namespace: cluster.system.as_str().into(),
        ..MeshConfig::default()
    };
    let denial = connection
        .denial()
        .filter(|denial| blame::is_about(denial, &config))?;
    let mut known = written;
    if let Some(asked) = asked {
        let live = authentications(asked.client(), &denial.workload).await;
        // Who may not read them is told what the policy's name says.
        known = known.over(live.unwrap_or_default());
    }
    Authentications::among(objects(&known), &denial.workload, config).blame(&denial)
}

/// What NetworkPolicies keep it from. Who may not read them is told the rest.
async fn kept_by_network(asked: Option<&Asked>, connection: &Connection) -> Option<Vec<String>> {
    let flows = connection.flows();
    let network = network(asked?.client(), &flows).await.ok()?;
    Some(network.judge(&flows))
}

async fn network(client: &KubeClient, flows: &[Flow]) -> anyhow::Result<Network> {
    let mut network = Network::default();
    let ends = flows.iter().flat_map(|flow| [&flow.from, &flow.to]);
    let names: BTreeSet<&ObjectName> = ends.filter_map(|end| end.pod.as_ref()).collect();
    for name in names {
        let pod = client.find(&PODS, name).await?.context("it is gone")?;
        network.pods.insert(name.clone(), pod);
        if network.namespaces.contains_key(&*name.namespace) {
            continue;
        }
        let namespace = ObjectName::cluster(&*name.namespace);
        let object = client.find::<Value>(&NAMESPACES, &namespace).await?;
        let labels = object.map_or(Value::Null, |mut object| object["metadata"]["labels"].take());
        network.namespaces.insert(name.namespace.to_string(), labels);
        let policies = list(client, &NETWORK_POLICIES, Some(&name.namespace), None).await?;
        network.policies.extend(policies);
    }
    Ok(network)
}

fn objects(all: &Validated) -> impl Iterator<Item = &Object> {
    all.objects.iter().map(|(_, object)| &object.value)
}

#[cfg(test)]
mod tests;
