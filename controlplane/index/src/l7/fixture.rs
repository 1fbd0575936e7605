//! A small mesh for the tests of routes.

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
