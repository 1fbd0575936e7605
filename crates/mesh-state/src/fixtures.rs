//! Small workloads, services and policies for the tests.

use mesh_model::policy::{Action, Clause, Match, Rule, Scope, StringMatch};
use mesh_model::service::VirtualAddress;
use mesh_model::workload::TunnelProtocol;
use mesh_model::{AppProtocol, Authorization, Port, Ports, Service, Workload};
use mesh_types::{Identity, NamespacedHostname, NetworkAddress, WorkloadUid};

use crate::{Settings, StateReader, StateWriter, Update, mesh};

pub(crate) fn empty() -> (StateWriter, StateReader) {
    mesh(Settings::default())
}

/// A state after one batch.
pub(crate) fn with(updates: impl IntoIterator<Item = Update>) -> (StateWriter, StateReader) {
    let (mut writer, reader) = empty();
    writer.apply(updates.into_iter().collect());
    (writer, reader)
}

pub(crate) fn identity(namespace: &str, account: &str) -> Identity {
    format!("spiffe://cluster.local/ns/{namespace}/sa/{account}")
        .parse()
        .unwrap()
}

pub(crate) fn at(ip: &str) -> NetworkAddress {
    NetworkAddress::new("", ip.parse().unwrap())
}

pub(crate) fn uid(name: &str) -> WorkloadUid {
    WorkloadUid::of_pod("Kubernetes", "shop", name)
}

pub(crate) fn hostname(name: &str) -> NamespacedHostname {
    name.parse().unwrap()
}

/// A Pod in the mesh, in the namespace `shop`.
pub(crate) fn pod(name: &str, ip: &str) -> Workload {
    Workload {
        addresses: vec![ip.parse().unwrap()],
        tunnel_protocol: TunnelProtocol::Hbone,
        ..Workload::new(uid(name), name, identity("shop", "web"))
    }
}

/// A Pod that serves port 80 of a service on 8080.
pub(crate) fn member(name: &str, ip: &str, service: &str) -> Workload {
    let port = Port {
        service_port: 80,
        target_port: Some(8080),
        app_protocol: AppProtocol::Unknown,
    };
    Workload {
        services: [(hostname(service), Ports::from(vec![port]))].into(),
        ..pod(name, ip)
    }
}

pub(crate) fn service(name: &str, vip: &str) -> Service {
    let name = hostname(name);
    let address = match vip.contains('/') {
        true => VirtualAddress::range("", vip.parse().unwrap()),
        false => VirtualAddress::single("", vip.parse().unwrap()),
    };
    Service {
        addresses: vec![address],
        ..Service::new(name.clone(), name.hostname)
    }
}

/// A policy that matches plaintext.
pub(crate) fn policy(name: &str, scope: Scope, action: Action) -> Authorization {
    let plaintext = Match {
        not_principals: vec![StringMatch::Presence],
        ..Match::default()
    };
    let clause = Clause {
        matches: vec![plaintext],
    };
    Authorization {
        name: name.parse().unwrap(),
        scope,
        action,
        rules: vec![Rule {
            clauses: vec![clause],
        }],
        dry_run: false,
    }
}
