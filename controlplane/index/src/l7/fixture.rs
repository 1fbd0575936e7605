//! A small mesh for the tests of routes, and what a waypoint makes of what it is sent.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use mesh_model::l7::route::{Destination, HttpAction, HttpRule, RouteParent};
use mesh_model::l7::select::{Hostnames, RouteTable};
use mesh_model::l7::{Claims, Client, Local, Request, Route, ServicePort};
use mesh_types::{Identity, NamespacedHostname, Strng};

use crate::fixture::Mesh;

/// Namespace `shop`, whose services have waypoint `shop/waypoint`: `web` (80, 9090 `admin`), `api` (80), `alias`; the
/// fault filter `slow`. Namespace `bank` with `ledger` (80) and two ServiceEntries, without any waypoint.
pub(crate) const SHOP: &str = r"
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio.io/use-waypoint: waypoint}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: bank, labels: {team: money}}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: waypoint, namespace: shop}, spec: {gatewayClassName: lateen-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: waypoint, namespace: shop}, spec: {clusterIP: 10.96.0.1, ports: [{name: hbone, port: 15008}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.2, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: admin, port: 9090}, {name: dns, port: 53, protocol: UDP}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop}, spec: {clusterIP: 10.96.0.3, selector: {app: api}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: alias, namespace: shop}, spec: {type: ExternalName, externalName: example.com, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: ledger, namespace: bank}, spec: {clusterIP: 10.96.1.2, selector: {app: ledger}, ports: [{name: http, port: 80}]}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: api, namespace: bank}, spec: {hosts: [api.example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: hidden, namespace: bank}, spec: {hosts: [hidden.example.com], exportTo: ['.'], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}}
---
{apiVersion: lateen.dev/v1alpha1, kind: FaultFilter, metadata: {name: slow, namespace: shop}, spec: {delay: {fixedDelay: 2s, percentage: 50}, abort: {grpcStatus: UNAVAILABLE, percentage: 0.0125}}}
---
";

/// An HTTPRoute of namespace `shop` with one parent and one rule.
pub(crate) fn route(name: &str, parent: &str, rule: &str) -> String {
    route_of("shop", name, parent, rule)
}

/// An HTTPRoute with one parent and one rule.
pub(crate) fn route_of(namespace: &str, name: &str, parent: &str, rule: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: {name}, namespace: {namespace}}}, \
         spec: {{parentRefs: [{parent}], rules: [{{{rule}}}]}}}}\n---\n"
    )
}

/// What a waypoint makes of a request, out of the routes that it was sent: through the wire, and by the proxy's own
/// selection. Gives where it goes: `api:80`, with `/<subset>` behind it, several with their shares; `404` where no rule
/// takes it, `none` where the service has no rules, `500` where it cannot go anywhere.
pub(crate) struct Asked<'m> {
    mesh: &'m Mesh,
    service: ServicePort,
    method: Method,
    authority: String,
    target: String,
    headers: HeaderMap,
    from: Option<Identity>,
    labels: Vec<(Strng, Strng)>,
    claims: Claims,
}

impl Mesh {
    /// GET to a service of namespace `shop`.
    pub(crate) fn get(&self, service: &str, port: u16, target: &str) -> Asked<'_> {
        let (name, namespace) = service.split_once('.').unwrap_or((service, "shop"));
        let hostname = match service.contains(".example.com") {
            true => NamespacedHostname::new("bank", service),
            false => NamespacedHostname::new(namespace, format!("{name}.{namespace}.svc.cluster.local")),
        };
        Asked {
            mesh: self,
            service: ServicePort {
                service: hostname,
                port,
            },
            method: Method::GET,
            authority: service.to_owned(),
            target: target.to_owned(),
            headers: HeaderMap::new(),
            from: None,
            labels: Vec::new(),
            claims: Claims::none(),
        }
    }
}

impl Asked<'_> {
    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers
            .append(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    pub(crate) fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    pub(crate) fn host(self, authority: &str) -> Self {
        let authority = authority.to_owned();
        Self { authority, ..self }
    }

    pub(crate) fn from(mut self, namespace: &str, labels: &[(&str, &str)]) -> Self {
        let identity = format!("spiffe://cluster.local/ns/{namespace}/sa/client");
        self.from = Some(identity.parse().expect("an identity"));
        self.labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        self
    }

    /// The rule that takes it, where one does.
    fn with_rule<T>(&self, f: impl FnOnce(Option<&HttpRule>) -> T) -> Option<T> {
        let table = self.table();
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.as_str(), None),
        };
        let request = Request {
            method: &self.method,
            scheme: "http",
            authority: &self.authority,
            path,
            query,
            headers: &self.headers,
            metadata: None,
        };
        let client = self.client();
        let selected = table.select(&request, &client, &self.claims);
        table
            .has_http(&client)
            .then(|| f(selected.as_ref().map(|s| s.rule)))
    }

    fn client(&self) -> Client<'_> {
        Client {
            identity: self.from.as_ref(),
            address: [10, 0, 0, 1].into(),
            remote_address: [10, 0, 0, 1].into(),
            server_name: None,
            labels: &self.labels,
        }
    }

    /// What the proxy makes of what it was sent.
    fn table(&self) -> RouteTable {
        let parents = [
            RouteParent::ServicePort(self.service.clone()),
            RouteParent::Service(self.service.service.clone()),
        ];
        let attached = self.mesh.routes.iter();
        let attached = attached.filter(|(_, r)| r.value.parents.iter().any(|p| parents.contains(p)));
        let received = attached.map(|(key, r)| {
            let decoded = Route::decode(key, r.value.encode());
            Arc::new(decoded.unwrap_or_else(|e| panic!("{e}")))
        });
        RouteTable::compile(received, Hostnames::Ignored)
    }

    pub(crate) fn goes_to(&self) -> String {
        let said = self.with_rule(|rule| match rule.map(|r| &r.action) {
            None => "404".to_owned(),
            Some(HttpAction::Redirect(redirect)) => format!("redirect {}", redirect.status),
            Some(HttpAction::Respond(respond)) => format!("respond {}", respond.status),
            Some(HttpAction::Forward(backends)) => {
                let all = backends.iter().map(|b| (b.weight, &b.destination));
                destinations(all)
            }
        });
        said.unwrap_or_else(|| "none".to_owned())
    }

    /// The name of the rule that takes it.
    pub(crate) fn rule(&self) -> HttpRule {
        let rule = self.with_rule(|rule| rule.cloned()).flatten();
        rule.expect("a rule takes it")
    }

    /// Where a connection goes that asks for a server name, or for none.
    pub(crate) fn tls(&self, server_name: Option<&str>) -> String {
        let (table, client) = (self.table(), self.client());
        let selected = table.select_tls(server_name, &client);
        match (table.has_tls(&client), selected) {
            (false, _) => "none".to_owned(),
            (true, None) => "refused".to_owned(),
            (true, Some(s)) => destinations(s.rule.backends.iter().map(|b| (b.weight, &b.destination))),
        }
    }

    /// Where a connection to an address goes.
    pub(crate) fn tcp(&self, address: &str) -> String {
        let (table, client) = (self.table(), self.client());
        let local = Local {
            address: address.parse().expect("an address"),
            port: self.service.port,
        };
        let selected = table.select_tcp(local, &client);
        match (table.has_tcp(&client), selected) {
            (false, _) => "none".to_owned(),
            (true, None) => "refused".to_owned(),
            (true, Some(s)) => destinations(s.rule.backends.iter().map(|b| (b.weight, &b.destination))),
        }
    }
}

fn destinations<'d>(all: impl Iterator<Item = (u32, &'d Destination)>) -> String {
    let all: Vec<_> = all.collect();
    let single = all.len() == 1;
    let one = |(weight, destination): (u32, &Destination)| {
        let to = match destination {
            Destination::Service { service, subset } => {
                let host = service.service.hostname.as_str();
                let host = host.split(".shop.svc").next().unwrap_or(host);
                let host = host.split(".svc.").next().unwrap_or(host);
                let subset = subset.iter().map(|s| format!("/{s}")).collect::<String>();
                format!("{host}:{}{subset}", service.port)
            }
            Destination::Backend(name) => name.to_string(),
            Destination::Invalid(_) => "500".to_owned(),
        };
        if single { to } else { format!("{weight}*{to}") }
    };
    match all.is_empty() {
        true => "500".to_owned(),
        false => all.into_iter().map(one).collect::<Vec<_>>().join(" "),
    }
}
