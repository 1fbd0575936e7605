//! ServiceEntry, WorkloadEntry and WorkloadGroup.

use std::collections::HashSet;

use ipnet::IpNet;
use mesh_types::Strng;

use crate::error::FieldPath;
use crate::networking::{
    Location, ReadinessProbe, Resolution, ServiceEntry, ServiceEntrySpec, WorkloadEntry, WorkloadEntrySpec,
    WorkloadGroup,
};
use crate::object::Labels;
use crate::validate::{Check, names};

pub(in crate::validate) fn service_entry(check: &mut Check, entry: &ServiceEntry) {
    let spec = &entry.spec;
    let path = FieldPath::from("spec");
    hosts(check, &path.field("hosts"), spec);
    addresses(check, &path.field("addresses"), spec);
    ports(check, &path.field("ports"), spec);
    endpoints(check, &path, spec);
    if spec.resolution == Resolution::DynamicDns && spec.location == Location::Internal {
        internal(check, path.field("location"), &entry.metadata.labels);
    }
    if let Some(selector) = &spec.workload_selector {
        check.labels(path.field("workloadSelector").field("labels"), &selector.labels);
        if selector.labels.is_empty() {
            let field = path.field("workloadSelector").field("labels");
            check.warn(field, "is empty: it selects no workload");
        }
    }
    for (i, visible) in spec.export_to.iter().enumerate() {
        check.grammar(path.field("exportTo").item(i), names::export_to(visible));
    }
    let status = FieldPath::from("status").field("addresses");
    for (i, address) in entry.status.addresses.iter().enumerate() {
        let field = status.item(i).field("value");
        check.grammar(field, names::ip(&address.value).map(drop));
    }
}

/// Endpoints of DYNAMIC_DNS are whatever requests name: never proxies of the mesh, as upstream's webhook has it.
fn internal(check: &mut Check, field: FieldPath, labels: &Labels) {
    let waypoint = labels.get(USE_WAYPOINT).map(Strng::as_str).unwrap_or_default();
    match waypoint {
        "" | "none" => check.warn(field, "MESH_INTERNAL has no effect beside DYNAMIC_DNS"),
        _ => {
            let reason =
                "MESH_INTERNAL cannot stand beside the resolution DYNAMIC_DNS where a waypoint serves it";
            check.refuse(field, reason);
        }
    }
}

fn hosts(check: &mut Check, path: &FieldPath, spec: &ServiceEntrySpec) {
    if spec.hosts.is_empty() {
        check.refuse(path.clone(), "is required");
    }
    check.at_most(path, spec.hosts.len(), MAX_ITEMS);
    let mut seen = HashSet::new();
    for (i, host) in spec.hosts.iter().enumerate() {
        let field = path.item(i);
        let wildcard = host.contains('*');
        if host.as_str() == "*" {
            check.refuse(
                field,
                "\"*\" would be every host; name a domain, as in \"*.example.com\"",
            );
            continue;
        }
        check.grammar(field.clone(), names::wildcard_domain(host));
        if !seen.insert(host.to_ascii_lowercase()) {
            check.refuse(field.clone(), format!("{:?} is there twice", host.as_str()));
        }
        match spec.resolution {
            Resolution::Dns | Resolution::DnsRoundRobin
                if wildcard && spec.endpoints.is_empty() && spec.workload_selector.is_none() =>
            {
                check.refuse(field, "is a wildcard, which DNS cannot resolve without endpoints");
            }
            Resolution::DynamicDns if !wildcard => {
                check.refuse(
                    field,
                    "is no wildcard: the resolution DYNAMIC_DNS is for wildcard hosts only",
                );
            }
            _ => {}
        }
    }
}

fn addresses(check: &mut Check, path: &FieldPath, spec: &ServiceEntrySpec) {
    check.at_most(path, spec.addresses.len(), MAX_ITEMS);
    for (i, address) in spec.addresses.iter().enumerate() {
        let block = names::ip_block(address);
        let range = block.as_ref().is_ok_and(|b| !is_single(b));
        check.grammar(path.item(i), block.map(drop));
        if range && !matches!(spec.resolution, Resolution::None | Resolution::Static) {
            check.refuse(
                path.item(i),
                "is a range, which only the resolutions NONE and STATIC allow",
            );
        }
    }
    if spec.resolution == Resolution::DynamicDns && !spec.addresses.is_empty() {
        check.refuse(path.clone(), "cannot stand beside the resolution DYNAMIC_DNS");
    }
    let opaque = spec.ports.iter().any(|p| p.protocol.is_opaque());
    if opaque && spec.addresses.is_empty() && spec.resolution == Resolution::None {
        let reason =
            "is absent: TCP ports take connections to any address when there is nothing else to tell by";
        check.warn(path.clone(), reason);
    }
}

fn ports(check: &mut Check, path: &FieldPath, spec: &ServiceEntrySpec) {
    check.at_most(path, spec.ports.len(), MAX_ITEMS);
    let mut names_seen = HashSet::new();
    let mut numbers_seen = HashSet::new();
    for (i, port) in spec.ports.iter().enumerate() {
        let path = path.item(i);
        check.port(path.field("number"), port.number);
        check.grammar(path.field("name"), names::label(&port.name));
        if !names_seen.insert(&port.name) {
            check.refuse(
                path.field("name"),
                format!("{:?} is there twice", port.name.as_str()),
            );
        }
        if !numbers_seen.insert(port.number) {
            check.refuse(path.field("number"), format!("{} is there twice", port.number));
        }
        if let Some(target) = port.target_port {
            check.port(path.field("targetPort"), target);
        }
        let protocol = port.protocol;
        if protocol.is_opaque() && spec.hosts.len() > 1 {
            let reason = format!("{} tells no host, so there can be only one", protocol.as_str());
            check.refuse(path.field("protocol"), reason);
        }
        if spec.resolution == Resolution::DynamicDns && !(protocol.is_http() || protocol.is_tls()) {
            let reason =
                "must be HTTP, HTTP2, GRPC, HTTPS or TLS: DYNAMIC_DNS takes the host from the request";
            check.refuse(path.field("protocol"), reason);
        }
    }
}

fn endpoints(check: &mut Check, path: &FieldPath, spec: &ServiceEntrySpec) {
    let field = path.field("endpoints");
    check.at_most(&field, spec.endpoints.len(), MAX_ENDPOINTS);
    if !spec.endpoints.is_empty() && spec.workload_selector.is_some() {
        check.refuse(
            path.clone(),
            "may have only one of endpoints and workloadSelector",
        );
    }
    let some = !spec.endpoints.is_empty();
    match spec.resolution {
        Resolution::None if some => check.refuse(field.clone(), "cannot stand beside the resolution NONE"),
        Resolution::DynamicDns if some || spec.workload_selector.is_some() => {
            check.refuse(field.clone(), "cannot stand beside the resolution DYNAMIC_DNS");
        }
        Resolution::DnsRoundRobin if spec.endpoints.len() > 1 => {
            check.refuse(
                field.clone(),
                "has more than one item, which DNS_ROUND_ROBIN does not allow",
            );
        }
        Resolution::Static if !some && spec.workload_selector.is_none() => {
            check.warn(
                field.clone(),
                "is absent: a STATIC service without endpoints answers nothing",
            );
        }
        _ => {}
    }
    for (i, endpoint) in spec.endpoints.iter().enumerate() {
        let path = field.item(i);
        workload(check, &path, endpoint);
        if spec.resolution == Resolution::Static && !endpoint.address.is_empty() {
            let reason = |_| {
                format!(
                    "{:?} is no IP address, as STATIC needs",
                    endpoint.address.as_str()
                )
            };
            check.grammar(
                path.field("address"),
                names::ip(&endpoint.address).map(drop).map_err(reason),
            );
        }
        for name in endpoint.ports.keys() {
            if !spec.ports.iter().any(|p| p.name == *name) {
                check.refuse(path.field("ports").field(name), "is no port of this service");
            }
        }
    }
}

pub(in crate::validate) fn workload_entry(check: &mut Check, entry: &WorkloadEntry) {
    let path = FieldPath::from("spec");
    if entry.spec.address.is_empty() && entry.spec.network.is_empty() {
        check.refuse(path.field("address"), "is required where no network is given");
    }
    workload(check, &path, &entry.spec);
}

pub(in crate::validate) fn workload_group(check: &mut Check, group: &WorkloadGroup) {
    let path = FieldPath::from("spec");
    let template = &group.spec.template;
    let field = path.field("template");
    if !template.address.is_empty() {
        check.refuse(field.field("address"), "is each workload's own, not the group's");
    }
    workload(check, &field, template);
    let labels = path.field("metadata").field("labels");
    check.labels(labels, &group.spec.metadata.labels);
    if let Some(probe) = &group.spec.probe {
        self::probe(check, &path.field("probe"), probe);
    }
}

fn workload(check: &mut Check, path: &FieldPath, spec: &WorkloadEntrySpec) {
    let address = spec.address.as_str();
    if address.starts_with("unix:") {
        check.refuse(
            path.field("address"),
            "is a Unix socket, which no other host can reach",
        );
    } else if !address.is_empty() && names::ip(address).is_err() {
        let reason = |_| format!("{address:?} is neither an IP address nor a host name");
        check.grammar(path.field("address"), names::domain(address).map_err(reason));
    }
    for (name, port) in &spec.ports {
        let field = path.field("ports").field(name);
        check.grammar(field.clone(), names::label(name));
        check.port(field, *port);
    }
    check.labels(path.field("labels"), &spec.labels);
    if !spec.locality.is_empty() {
        check.grammar(path.field("locality"), names::locality(&spec.locality));
    }
    if !spec.service_account.is_empty() {
        let field = path.field("serviceAccount");
        check.grammar(field, names::subdomain(&spec.service_account));
    }
}

fn probe(check: &mut Check, path: &FieldPath, probe: &ReadinessProbe) {
    let ways = [
        ("httpGet", probe.http_get.as_ref().map(|p| Some(p.port))),
        ("tcpSocket", probe.tcp_socket.as_ref().map(|p| Some(p.port))),
        ("exec", probe.exec.as_ref().map(|_| None)),
        ("grpc", probe.grpc.as_ref().map(|p| Some(p.port))),
    ];
    if ways.iter().filter(|(_, w)| w.is_some()).count() != 1 {
        check.refuse(
            path.clone(),
            "needs exactly one of httpGet, tcpSocket, exec and grpc",
        );
    }
    for (name, port) in ways {
        if let Some(Some(port)) = port {
            check.port(path.field(name).field("port"), port);
        }
    }
    if probe.exec.as_ref().is_some_and(|e| e.command.is_empty()) {
        check.refuse(path.field("exec").field("command"), "is required");
    }
    if let Some(http) = &probe.http_get
        && !["", "HTTP", "HTTPS"].contains(&http.scheme.to_ascii_uppercase().as_str())
    {
        let reason = format!("{:?} is neither HTTP nor HTTPS", http.scheme.as_str());
        check.refuse(path.field("httpGet").field("scheme"), reason);
    }
}

fn is_single(block: &IpNet) -> bool {
    block.prefix_len() == block.max_prefix_len()
}

/// The CRD's limits (`networking.istio.io/v1`).
const MAX_ITEMS: usize = 256;
const MAX_ENDPOINTS: usize = 4096;
const USE_WAYPOINT: &str = "istio.io/use-waypoint";
