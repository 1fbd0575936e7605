//! Connections of whoever is not in the mesh: no proxy carries them, Kubernetes' own service routing does. They arrive
//! in the clear, without an identity; no waypoint is asked, only the ztunnel of a destination that is in the mesh.

use std::net::SocketAddr;

use mesh_model::Workload;
use mesh_model::lb::{self, Choice, Purpose, Random};
use mesh_state::{Destination, View};
use mesh_types::{Identity, NetworkAddress, TrustDomain, WorkloadUid};

use super::{Client, Goes, Hop, is_in_mesh};

/// What stands for a client that the mesh does not know: nothing but its address counts.
pub(super) fn stranger(client: &Client) -> Workload {
    let nobody =
        Identity::new(TrustDomain::default(), NOBODY, NOBODY).expect("a constant name is a valid one");
    let mut stranger = Workload::new(WorkloadUid::new(NOBODY), NOBODY, nobody);
    if let Client::Address(address) = client {
        stranger.addresses = vec![*address];
    }
    stranger
}

/// Where it ends, and what is said of it there.
pub(super) fn goes(view: &View, client: &Workload, to: SocketAddr, random: &mut impl Random) -> Goes {
    let address = NetworkAddress::new(client.network.clone(), to.ip());
    match view.destination(&address, client.namespace()) {
        None => Goes::Passthrough,
        Some(Destination::Workload(workload)) => {
            let waypoint = workload
                .waypoint
                .as_ref()
                .map(|gateway| gateway.destination.to_string());
            Goes::Plain(arrival(view, client, &workload, to, waypoint))
        }
        Some(Destination::Service(service)) => {
            let waypoint = service
                .waypoint
                .as_ref()
                .map(|gateway| gateway.destination.to_string());
            let request = lb::Request {
                client,
                service: &service,
                port: to.port(),
                purpose: Purpose::Connect,
                avoid: &[],
            };
            let refused = |reason: String| Goes::Refused { reason };
            let mut hop = match lb::pick(&request, view.endpoints(&service), random) {
                Err(lb::NoEndpoint::UnknownPort(port)) => {
                    return refused(format!("service {} has no port {port}", service.hostname));
                }
                Err(lb::NoEndpoint::NoneUsable) => {
                    return refused(format!("service {} has no healthy endpoint", service.hostname));
                }
                Ok(Choice::Original) => return Goes::Passthrough,
                Ok(Choice::Endpoint {
                    endpoint,
                    target_port,
                }) => {
                    let workload = &endpoint.workload;
                    let Some(ip) = lb::choose_address(workload, service.ip_families, to.ip()) else {
                        return Goes::NeedsName {
                            host: workload.hostname.to_string(),
                        };
                    };
                    arrival(view, client, workload, SocketAddr::new(ip, target_port), waypoint)
                }
            };
            hop.service = Some(service.hostname.to_string());
            Goes::Plain(hop)
        }
    }
}

fn arrival(
    view: &View,
    client: &Workload,
    workload: &Workload,
    at: SocketAddr,
    waypoint: Option<String>,
) -> Hop {
    let hop = Hop {
        address: at,
        service: None,
        workload: Some(workload.uid.to_string()),
        destination: Some(at),
        waypoint: false,
        gateway: None,
        behind: None,
        past: waypoint
            .map(|waypoint| format!("waypoint {waypoint} is not asked: the client is outside of the mesh")),
        unready: None,
        policies: None,
    };
    match is_in_mesh(workload) {
        true => hop.judged(view, client, None, workload, at),
        false => hop,
    }
}

/// Kubernetes' names have no capital letters: nobody is called so.
const NOBODY: &str = "Nobody";
