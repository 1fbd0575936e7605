use super::{accepted, refused};

fn gateway(spec: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: g, namespace: a}}, spec: {spec}}}"
    )
}

/// A Gateway with one listener.
fn listener(listener: &str) -> String {
    gateway(&format!("{{gatewayClassName: c, listeners: [{listener}]}}"))
}

#[test]
fn good_gateways() {
    for spec in [
        "{gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}",
        "{gatewayClassName: c, listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {a: b}, matchExpressions: [{key: x, operator: In, values: [y]}, {key: z, operator: Exists}]}}}}]}",
        "{gatewayClassName: c, listeners: [{name: a, port: 443, protocol: HTTPS, hostname: \"*.example.com\", tls: {certificateRefs: [{name: s, namespace: other}]}}, {name: b, port: 443, protocol: TLS, hostname: x.example.com, tls: {mode: Passthrough}}]}",
        "{gatewayClassName: c, listeners: [{name: a, port: 15008, protocol: HBONE, tls: {mode: Terminate, options: {gateway.istio.io/tls-terminate-mode: ISTIO_MUTUAL}}}]}",
        "{gatewayClassName: c, addresses: [{value: 192.0.2.1}, {type: Hostname, value: g.example.com}, {type: example.com/own, value: x}], infrastructure: {labels: {a: b}, annotations: {c: d}, parametersRef: {group: \"\", kind: ConfigMap, name: p}}, listeners: [{name: a, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: HTTPRoute}]}}]}",
        "{gatewayClassName: c, listeners: [{name: a, port: 80, protocol: HTTP}], allowedListeners: {namespaces: {from: All}}, tls: {backend: {clientCertificateRef: {name: x}}, frontend: {default: {validation: {caCertificateRefs: [{kind: ConfigMap, name: ca}]}}, perPort: [{port: 443, tls: {validation: {caCertificateRefs: [{kind: ConfigMap, name: ca}], mode: AllowInsecureFallback}}}]}}}",
    ] {
        accepted(&gateway(spec));
    }
}

#[test]
fn bad_gateways() {
    for (spec, reason) in [
        (
            "{listeners: [{name: a, port: 80, protocol: HTTP}]}",
            "spec.gatewayClassName: is required",
        ),
        ("{gatewayClassName: c}", "spec.listeners: is required"),
        (
            "{gatewayClassName: c, listeners: [{name: a, port: 80, protocol: HTTP}, {name: a, port: 81, protocol: HTTP}]}",
            "spec.listeners[1].name: \"a\" is there twice",
        ),
        (
            "{gatewayClassName: c, listeners: [{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP}]}",
            "spec.listeners[1]: has the port, protocol and hostname of another listener",
        ),
        (
            "{gatewayClassName: c, addresses: [{value: x}], listeners: [{name: a, port: 80, protocol: HTTP}]}",
            "spec.addresses[0].value: \"x\" is not an IP",
        ),
        (
            "{gatewayClassName: c, addresses: [{type: Nothing, value: x}], listeners: [{name: a, port: 80, protocol: HTTP}]}",
            "spec.addresses[0].type: \"Nothing\" is neither",
        ),
        (
            "{gatewayClassName: c, listeners: [{name: a, port: 80, protocol: HTTP}], infrastructure: {parametersRef: {kind: ConfigMap, name: \"\"}}}",
            "spec.infrastructure.parametersRef.name: ",
        ),
        (
            "{gatewayClassName: c, listeners: [{name: a, port: 80, protocol: HTTP}], tls: {frontend: {default: {validation: {}}}}}",
            "spec.tls.frontend.default.validation.caCertificateRefs: is required",
        ),
    ] {
        refused(&gateway(spec), &[reason]);
    }
}

#[test]
fn bad_listeners() {
    let at = "spec.listeners[0]";
    for (text, reason) in [
        ("{name: a, port: 0, protocol: HTTP}", ".port: 0 is not"),
        ("{name: A, port: 80, protocol: HTTP}", ".name: "),
        (
            "{name: a, port: 80, protocol: http}",
            ".protocol: \"http\" is none of",
        ),
        (
            "{name: a, port: 80, protocol: HTTP, hostname: 1.2.3.4}",
            ".hostname: \"1.2.3.4\" is an IP",
        ),
        (
            "{name: a, port: 80, protocol: HTTP, hostname: \"a.*\"}",
            ".hostname: ",
        ),
        (
            "{name: a, port: 80, protocol: TCP, hostname: a.com}",
            ".hostname: has no meaning",
        ),
        ("{name: a, port: 443, protocol: HTTPS}", ".tls: is required"),
        (
            "{name: a, port: 443, protocol: HTTPS, tls: {mode: Passthrough}}",
            ".tls.mode: must be Terminate",
        ),
        (
            "{name: a, port: 443, protocol: TLS, tls: {}}",
            ".tls.certificateRefs: is required",
        ),
        (
            "{name: a, port: 80, protocol: HTTP, tls: {}}",
            ".tls: has no meaning",
        ),
        (
            "{name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector}}}",
            ".allowedRoutes.namespaces.selector: is required",
        ),
        (
            "{name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchExpressions: [{key: a, operator: In}]}}}}",
            ".allowedRoutes.namespaces.selector.matchExpressions[0].values: is required",
        ),
        (
            "{name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Samee}}}",
            ".allowedRoutes.namespaces.from: \"Samee\" is not known; did you mean \"Same\"?",
        ),
    ] {
        refused(&listener(text), &[&format!("{at}{reason}")]);
    }
}

#[test]
fn gateway_classes_have_a_controller() {
    let class = |spec: &str| {
        format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {{name: c}}, spec: {spec}}}"
        )
    };
    accepted(&class(
        "{controllerName: istio.io/mesh-controller, description: x, parametersRef: {group: \"\", kind: ConfigMap, name: a, namespace: b}}",
    ));
    refused(&class("{}"), &["spec.controllerName: \"\" is no controller"]);
    refused(
        &class("{controllerName: lateen}"),
        &["spec.controllerName: \"lateen\" is no controller"],
    );
}
