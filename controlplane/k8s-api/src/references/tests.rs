use super::*;

fn lines(text: &str) -> Vec<String> {
    let object = crate::parse(text).remove(0).expect("valid").value;
    let line = |r: Reference| match r.to {
        Referent::Object {
            kind,
            namespace,
            name,
            ..
        } => format!("{}: {:?} {kind} {namespace}/{name}", r.field, r.role),
        Referent::Host(host) => format!("{}: {:?} {host}", r.field, r.role),
    };
    references(&object).into_iter().map(line).collect()
}

#[test]
fn references_of_routes_keep_their_fields() {
    let text = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r, namespace: a}, spec: {parentRefs: [{group: \"\", kind: Service, name: s, namespace: b}], rules: [{filters: [{type: ExtensionRef, extensionRef: {group: lateen.dev, kind: FaultFilter, name: f}}], backendRefs: [{name: x, port: 1, filters: [{type: RequestMirror, requestMirror: {backendRef: {name: m, port: 1}}}]}]}]}}";
    assert_eq!(
        lines(text),
        [
            "spec.parentRefs[0]: Parent Service b/s",
            "spec.rules[0].filters[0].extensionRef: Extension FaultFilter a/f",
            "spec.rules[0].backendRefs[0]: Backend Service a/x",
            "spec.rules[0].backendRefs[0].filters[0].requestMirror.backendRef: Backend Service a/m",
        ]
    );
}

#[test]
fn references_of_virtual_services_are_hosts() {
    let text = "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v, namespace: a}, spec: {hosts: [h], http: [{route: [{destination: {host: x}}], mirrors: [{destination: {host: m}}]}, {delegate: {name: d}}], tcp: [{route: [{destination: {host: t}}]}]}}";
    assert_eq!(
        lines(text),
        [
            "spec.http[0].route[0].destination.host: Backend x",
            "spec.http[0].mirrors[0].destination.host: Backend m",
            "spec.http[1].delegate: Delegate VirtualService a/d",
            "spec.tcp[0].route[0].destination.host: Backend t",
        ]
    );
}

#[test]
fn references_of_policies_are_targets() {
    let text = "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p, namespace: a}, spec: {targetRefs: [{kind: Service, name: s}]}}";
    assert_eq!(lines(text), ["spec.targetRefs[0]: Target Service a/s"]);
}
