//! One endpoint of a destination, on one worker.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use mesh_balance::{Host, Places};
use mesh_hbone::Hop;
use mesh_model::workload::TunnelProtocol;
use mesh_model::{Service, Workload};
use mesh_net::DialOptions;
use mesh_state::l7::L7Snapshot;
use mesh_tls::ExpectedPeers;
use mesh_types::{Authority, NextHop, Strng, ports};

use super::Shared;
use super::http::HttpConnections;
use super::lookup::Looking;
use super::registry::Common;
use super::rules::Rules;

/// One endpoint of a destination.
pub struct Endpoint {
    /// Its workload, where it is one.
    pub workload: Option<Arc<Workload>>,
    /// Where the application listens.
    pub address: SocketAddr,
    /// Its share relative to others; never 0.
    pub weight: u32,
    /// What all workers know of it.
    pub(crate) host: Arc<Host>,
    /// Where it is.
    pub(crate) places: Places,
    /// How it is reached.
    pub(crate) way: Way,
    /// Connections that carry requests.
    pub(crate) http: HttpConnections,
    /// What counts for connections to it.
    pub(crate) rules: Rc<Rules>,
    /// The destination.
    pub(crate) common: Arc<Common>,
}

/// How an endpoint is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As it is.
    Plain,
    /// Through a tunnel.
    Tunnel(Box<Reach>),
}

/// Who is at the end of a tunnel, and what is asked of it.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub(crate) hop: Hop,
    /// The application, or the service behind a waypoint.
    pub(crate) target: Authority,
}

impl PartialEq for Reach {
    fn eq(&self, other: &Self) -> bool {
        let parts = |reach: &Self| {
            let Hop {
                next,
                source,
                expected,
                dial,
                ..
            } = &reach.hop;
            (
                *next,
                source.clone(),
                expected.clone(),
                dial.clone(),
                reach.target.clone(),
            )
        };
        parts(self) == parts(other)
    }
}

impl Eq for Reach {}

/// An endpoint as it was looked up.
pub(super) struct Found {
    pub(super) workload: Option<Arc<Workload>>,
    pub(super) address: SocketAddr,
    pub(super) weight: u32,
    pub(super) places: Places,
    pub(super) way: Way,
}

impl Found {
    pub(super) fn plain(address: SocketAddr) -> Self {
        Self {
            workload: None,
            address,
            weight: 1,
            places: Places::default(),
            way: Way::Plain,
        }
    }

    pub(super) fn of_workload(
        workload: &Arc<Workload>,
        address: SocketAddr,
        service: Option<&Service>,
        snapshot: &L7Snapshot,
        rules: &Rules,
        shared: &Shared,
    ) -> Self {
        let way = match workload.tunnel_protocol {
            TunnelProtocol::None => Way::Plain,
            TunnelProtocol::Hbone => {
                let next = SocketAddr::new(address.ip(), ports::HBONE);
                Way::Tunnel(Box::new(Reach {
                    hop: hop(workload, next, service, rules, shared),
                    target: Authority::from(address),
                }))
            }
        };
        Self {
            workload: Some(workload.clone()),
            weight: workload.capacity.max(1),
            places: places(workload, snapshot),
            way,
            ..Self::plain(address)
        }
    }

    /// A waypoint, as the way to `target`: it takes tunnels at `address`.
    pub(super) fn through(
        workload: &Arc<Workload>,
        address: SocketAddr,
        target: &Authority,
        front: Option<&Service>,
        looking: &Looking<'_>,
    ) -> Self {
        let way = Way::Tunnel(Box::new(Reach {
            hop: hop(workload, address, front, looking.rules, looking.shared),
            target: target.clone(),
        }));
        Self {
            workload: Some(workload.clone()),
            weight: workload.capacity.max(1),
            places: places(workload, looking.snapshot),
            way,
            ..Self::plain(address)
        }
    }

    /// What it is known by, on all workers and gateways.
    pub(super) fn key(&self) -> Strng {
        match &self.workload {
            Some(workload) => format!("{} {}", workload.uid, self.address).into(),
            None => self.address.to_string().into(),
        }
    }
}

fn hop(
    workload: &Workload,
    next: SocketAddr,
    service: Option<&Service>,
    rules: &Rules,
    shared: &Shared,
) -> Hop {
    let limit = rules.limits().connect_timeout;
    let others = service.iter().flat_map(|s| s.subject_alt_names.iter().cloned());
    Hop {
        next: NextHop::new(next),
        netns: None,
        dial: DialOptions {
            connect_timeout: limit.unwrap_or(shared.settings.connect_timeout),
            ..DialOptions::default()
        },
        source: shared.identity.clone(),
        expected: ExpectedPeers::identity_or(&workload.identity, others),
        source_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        instance: workload.uid.clone(),
    }
}

/// Where a workload is.
pub(super) fn places(workload: &Workload, snapshot: &L7Snapshot) -> Places {
    Places {
        locality: workload.locality.clone(),
        network: workload.network.clone(),
        cluster: workload.cluster_id.clone(),
        node: workload.node.clone(),
        labels: snapshot.labels_of(&workload.uid).cloned(),
    }
}
