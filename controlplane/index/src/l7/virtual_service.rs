//! A VirtualService becomes routes (Istio reference, "Virtual Service"), as far as it is for the mesh.
//!
//! Its hosts are services. What it says can depend on the port that a client called, by its matches or since a destination
//! without a port means the same one: each port is lowered by itself, and ports that come to the same become one route.
//! Clients of namespaces that `exportTo` leaves out are not told of it; one of another namespace than the service's, or its
//! waypoint's, is for clients of its own namespace.
//!
//! # Layout
//! - this file: hosts, ports and clients. `rule`: one HTTP route; `delegate`: those of others.
//! - `matches`: what requests must be. `actions`: what becomes of them. `retry`. `connections`: TLS and TCP routes.
//! - `destination`: where they go.

mod actions;
mod connections;
mod delegate;
mod destination;
mod matches;
pub(crate) mod retry;
mod rule;

use std::collections::{BTreeMap, BTreeSet};

use controlplane_k8s_api::FieldPath;
use controlplane_k8s_api::networking::VirtualService;
use controlplane_k8s_api::validate::names;
use mesh_model::l7::route::{Order, RouteParent, Rules};
use mesh_model::l7::{Route, ServicePort};
use mesh_types::{NamespacedHostname, Strng};

use super::Scoped;
use super::findings::Findings;
use super::hosts::{Gateways, Host};
use super::lowering::{LoweredRoute, Lowering, Said, object};
use super::parents::is_own;
use crate::age::created;
use crate::derived::{Condition, ConditionReason};
use crate::service_entry::normal;
use crate::status::{ConditionType, StatusCondition, StatusReason};

/// The routes of a VirtualService; none for one that others delegate to.
pub(crate) fn routes_from_virtual_service(
    lowering: &Lowering<'_, '_>,
    service: &VirtualService,
) -> Vec<LoweredRoute> {
    let spec = &service.spec;
    let mut said = Said::default();
    if spec.hosts.is_empty() {
        return said.with(lowering, Vec::new());
    }
    let mut findings = Findings::default();
    let services = services(lowering, &spec.hosts, &mut findings);
    let audiences = audiences(lowering, &services, &spec.export_to);
    let why_not = match () {
        () if !is_for_mesh(&spec.gateways) => {
            Some("it is for Gateways of Istio's own kind only, not for the mesh")
        }
        () if services.is_empty() => Some("none of its hosts is a service"),
        () if audiences.is_empty() => {
            Some("its hosts are services of other namespaces, and exportTo leaves its own out")
        }
        () => None,
    };
    let mut routes = Vec::new();
    if why_not.is_none() {
        let by_port = rules_by_port(lowering, service, &services, &mut findings);
        for (consumer, audience) in &audiences {
            let gateways = audience
                .iter()
                .flat_map(|s| &s.gateways)
                .cloned()
                .collect::<Gateways>();
            for (part, parents, rules) in parts(audience, &by_port) {
                let route = Route {
                    object: object(lowering),
                    part: named(part, consumer.as_ref()),
                    parents,
                    created: created(&service.metadata),
                    consumer: consumer.clone(),
                    hostnames: Vec::new(),
                    rules,
                };
                routes.push((route.key(), Scoped::of(route, gateways.clone())));
            }
        }
    }
    let accepted = match why_not {
        Some(why) => {
            said.conditions
                .push(Condition::at(ConditionReason::NotAttached, "spec.hosts", why));
            StatusCondition::new(
                ConditionType::Accepted,
                false,
                StatusReason::NoMatchingParent,
                why,
            )
        }
        None => {
            let message = match routes.iter().any(|(_, scoped)| scoped.is_some()) {
                true => "waypoints carry it out",
                false => "no waypoint serves its hosts: it takes effect with one (istio.io/use-waypoint)",
            };
            StatusCondition::new(ConditionType::Accepted, true, StatusReason::Accepted, message)
        }
    };
    said.status.push(accepted.into());
    said.status
        .extend(findings.statuses().into_iter().map(Into::into));
    said.conditions.extend(findings.conditions());
    said.with(lowering, routes)
}

/// A service that is among the hosts.
struct Target<'a> {
    name: NamespacedHostname,
    host: &'a Host,
    gateways: Gateways,
    /// Its namespace, or its waypoint's, is the object's.
    own: bool,
}

/// What is said for a port.
#[derive(Clone, PartialEq)]
struct PortRules {
    http: Rules,
    tls: Rules,
    tcp: Rules,
}

/// Whether `mesh` is among the gateways; nothing means that as well.
fn is_for_mesh(gateways: &[Strng]) -> bool {
    gateways.is_empty() || gateways.iter().any(|g| *g == "mesh")
}

/// A name without dots is of the object's own namespace.
pub(super) fn qualified(lowering: &Lowering<'_, '_>, namespace: &Strng, host: &Strng) -> Strng {
    match host.contains(['.', '*']) {
        true => normal(host),
        false => format!(
            "{}.{namespace}.svc.{}",
            normal(host),
            lowering.config.cluster_domain
        )
        .into(),
    }
}

fn services<'a>(lowering: &Lowering<'_, 'a>, hosts: &[Strng], findings: &mut Findings) -> Vec<Target<'a>> {
    let (namespace, lookups) = (&lowering.name.namespace, &lowering.lookups.hosts);
    let mut found: BTreeMap<NamespacedHostname, &'a Host> = BTreeMap::new();
    for (i, host) in hosts.iter().enumerate() {
        let field = FieldPath::from("spec").field("hosts").item(i);
        if names::ip_block(host).is_ok() {
            findings.left_out(field, "an address is no service");
            continue;
        }
        let host = qualified(lowering, namespace, host);
        let services = match host.starts_with('*') {
            true => lookups.below(lowering.fetch, &host, namespace),
            false => lookups
                .find(lowering.fetch, lowering.config, &host, namespace)
                .into_iter()
                .collect(),
        };
        if services.is_empty() {
            findings.unresolved(
                field,
                StatusReason::NoMatchingParent,
                format!("no service has the host {host}"),
            );
        }
        found.extend(services);
    }
    let target = |(name, host): (NamespacedHostname, &'a Host)| {
        let serving = lookups.serving(lowering.fetch, &name);
        Target {
            own: is_own(namespace, &name, serving),
            gateways: serving.cloned().unwrap_or_default(),
            name,
            host,
        }
    };
    found.into_iter().map(target).collect()
}

/// Whose clients see what is said of which services; nobody in particular is everybody.
fn audiences<'t, 'a>(
    lowering: &Lowering<'_, '_>,
    services: &'t [Target<'a>],
    export_to: &[Strng],
) -> BTreeMap<Option<Strng>, Vec<&'t Target<'a>>> {
    let own = &lowering.name.namespace;
    let everybody = export_to.is_empty() || export_to.iter().any(|to| *to == "*");
    let named = export_to.iter().filter(|to| **to != "~" && **to != "*");
    let named: BTreeSet<&Strng> = named.map(|to| if *to == "." { own } else { to }).collect();
    let mut audiences: BTreeMap<Option<Strng>, Vec<&Target<'a>>> = BTreeMap::new();
    for service in services {
        let clients: Vec<Option<Strng>> = match (service.own, everybody) {
            (true, true) => vec![None],
            (true, false) => named.iter().map(|ns| Some((*ns).clone())).collect(),
            (false, everybody) if everybody || named.contains(own) => vec![Some(own.clone())],
            (false, _) => Vec::new(),
        };
        for client in clients {
            audiences.entry(client).or_default().push(service);
        }
    }
    audiences
}

fn rules_by_port(
    lowering: &Lowering<'_, '_>,
    service: &VirtualService,
    services: &[Target<'_>],
    findings: &mut Findings,
) -> BTreeMap<u16, PortRules> {
    let ports: BTreeSet<u16> = services
        .iter()
        .flat_map(|s| s.host.ports.iter().map(|p| p.number))
        .collect();
    let rules = |port: u16| PortRules {
        http: Rules::Http {
            order: Order::Listed,
            rules: rule::http_rules(lowering, port, &service.spec.http, findings),
        },
        tls: Rules::Tls(connections::tls_rules(
            lowering,
            port,
            &service.spec.tls,
            findings,
        )),
        tcp: Rules::Tcp(connections::tcp_rules(
            lowering,
            port,
            &service.spec.tcp,
            findings,
        )),
    };
    let mut rules = rules;
    ports.into_iter().map(|port| (port, rules(port))).collect()
}

type RulesOf = fn(&PortRules) -> &Rules;

/// Its name, what it is attached to, and what it says.
type Part = (String, Vec<RouteParent>, Rules);

/// What is said of some services: ports of which the same is said are together, as are all of a service's.
fn parts(services: &[&Target<'_>], by_port: &BTreeMap<u16, PortRules>) -> Vec<Part> {
    let kinds: [(&str, RulesOf); 3] = [("", |r| &r.http), ("tls", |r| &r.tls), ("tcp", |r| &r.tcp)];
    let mut parts = Vec::new();
    for (kind, rules_of) in kinds {
        let mut groups: Vec<(Vec<u16>, &Rules)> = Vec::new();
        for (port, rules) in by_port {
            let rules = rules_of(rules);
            match groups.iter_mut().find(|(_, known)| *known == rules) {
                Some((ports, _)) => ports.push(*port),
                None => groups.push((vec![*port], rules)),
            }
        }
        let single = groups.len() == 1;
        for (ports, rules) in groups.into_iter().filter(|(_, rules)| !is_empty(rules)) {
            let parents: Vec<_> = match single {
                true => services
                    .iter()
                    .map(|s| RouteParent::Service(s.name.clone()))
                    .collect(),
                false => services.iter().flat_map(|s| ports_of(s, &ports)).collect(),
            };
            let port = ports
                .first()
                .filter(|_| !single)
                .map(|port| format!("port-{port}"));
            let words = [Some(kind.to_owned()).filter(|k| !k.is_empty()), port];
            let part = words.into_iter().flatten().collect::<Vec<_>>().join("-");
            if !parents.is_empty() {
                parts.push((part, parents, rules.clone()));
            }
        }
    }
    parts
}

fn ports_of(service: &Target<'_>, ports: &[u16]) -> Vec<RouteParent> {
    let own = ports.iter().filter(|port| service.host.port(**port).is_some());
    own.map(|port| {
        RouteParent::ServicePort(ServicePort {
            service: service.name.clone(),
            port: *port,
        })
    })
    .collect()
}

fn is_empty(rules: &Rules) -> bool {
    match rules {
        Rules::Http { rules, .. } => rules.is_empty(),
        Rules::Tls(rules) => rules.is_empty(),
        Rules::Tcp(rules) => rules.is_empty(),
    }
}

fn named(part: String, consumer: Option<&Strng>) -> Strng {
    match (part.is_empty(), consumer) {
        (_, None) => part.into(),
        (true, Some(namespace)) => format!("for-{namespace}").into(),
        (false, Some(namespace)) => format!("{part}-for-{namespace}").into(),
    }
}

#[cfg(test)]
mod tests;
