use super::{accepted, refused, warned};

fn route(kind: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: {kind}, metadata: {{name: r, namespace: a}}, spec: {spec}}}"
    )
}

/// A route of a Service with one rule.
fn rule(kind: &str, rule: &str) -> String {
    route(
        kind,
        &format!("{{parentRefs: [{{group: \"\", kind: Service, name: s}}], rules: [{rule}]}}"),
    )
}

#[test]
fn good_http_rules() {
    for text in [
        "{}",
        "{name: canary, backendRefs: [{name: a, port: 80, weight: 90}, {name: b, port: 80, weight: 10}]}",
        "{matches: [{path: {type: Exact, value: /v1}}, {path: {value: /v2}, method: GET}, {path: {type: RegularExpression, value: \"/v[0-9]+\"}}, {headers: [{name: version, value: two}, {name: x, type: RegularExpression, value: \"a.*\"}], queryParams: [{name: q, value: \"1\"}]}], backendRefs: [{name: a, port: 80}]}",
        "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}], add: [{name: c, value: d}], remove: [e]}}, {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: a, value: b}]}}], backendRefs: [{name: a, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x]}}]}]}",
        "{filters: [{type: RequestRedirect, requestRedirect: {scheme: https, hostname: example.org, port: 8443, statusCode: 308, path: {type: ReplaceFullPath, replaceFullPath: /x}}}]}",
        "{matches: [{path: {value: /a}}], filters: [{type: URLRewrite, urlRewrite: {hostname: b.example.com, path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}], backendRefs: [{name: a, port: 80}]}",
        "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: m, port: 80}, percent: 5}}, {type: RequestMirror, requestMirror: {backendRef: {name: n, port: 80}, fraction: {numerator: 1, denominator: 1000}}}], backendRefs: [{name: a, port: 80}]}",
        "{filters: [{type: CORS, cors: {allowOrigins: [\"https://a.example.com\", \"https://*.b.example.com:8443\"], allowCredentials: true, allowMethods: [GET], allowHeaders: [x-a], exposeHeaders: [\"*\"], maxAge: 60}}], backendRefs: [{name: a, port: 80}]}",
        "{filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: auth, port: 80}, http: {path: /check, allowedHeaders: [a], allowedResponseHeaders: [b]}, forwardBody: {maxSize: 1024}}}]}",
        "{filters: [{type: ExtensionRef, extensionRef: {group: lateen.dev, kind: FaultFilter, name: slow}}]}",
        "{timeouts: {request: 10s, backendRequest: 2s}, retry: {codes: [500, 503], attempts: 3, backoff: 100ms}}",
        "{timeouts: {request: 0s, backendRequest: 2s}}",
        "{sessionPersistence: {sessionName: sid, type: Cookie, absoluteTimeout: 1h, idleTimeout: 10m, cookieConfig: {lifetimeType: Permanent}}}",
        "{backendRefs: [{group: networking.istio.io, kind: Hostname, name: \"*.example.com\", port: 443}, {group: networking.istio.io, kind: ServiceEntry, name: e}]}",
    ] {
        accepted(&rule("HTTPRoute", text));
    }
    accepted(&route(
        "HTTPRoute",
        "{parentRefs: [{name: g, sectionName: http}, {name: g, sectionName: https}], hostnames: [a.example.com, \"*.b.example.com\"]}",
    ));
}

#[test]
fn bad_http_matches() {
    let at = "spec.rules[0].matches[0]";
    for (text, reason) in [
        (
            "{path: {value: a}}",
            ".path.value: \"a\" does not begin with a slash",
        ),
        (
            "{path: {type: Exact, value: /a//b}}",
            ".path.value: \"/a//b\" has \"//\"",
        ),
        ("{path: {value: /a/../b}}", ".path.value: "),
        ("{path: {value: /a%2Fb}}", ".path.value: "),
        ("{path: {value: \"/a b\"}}", ".path.value: "),
        ("{path: {value: \"/a%zz\"}}", ".path.value: "),
        (
            "{path: {type: RegularExpression, value: \"(\"}}",
            ".path.value: \"(\" is no regular expression",
        ),
        (
            "{path: {type: Prefix, value: /a}}",
            ".path.type: \"Prefix\" is not known",
        ),
        (
            "{method: get}",
            ".method: \"get\" is not known; did you mean \"GET\"?",
        ),
        ("{headers: [{name: \"a b\", value: x}]}", ".headers[0].name: "),
        (
            "{headers: [{name: a, value: \"\"}]}",
            ".headers[0].value: is empty",
        ),
        ("{headers: [{name: a}]}", ".headers[0].value: is required"),
        (
            "{queryParams: [{name: a, type: RegularExpression, value: \"[\"}]}",
            ".queryParams[0].value: ",
        ),
    ] {
        refused(
            &rule("HTTPRoute", &format!("{{matches: [{text}]}}")),
            &[&format!("{at}{reason}")],
        );
    }
    warned(
        &rule(
            "HTTPRoute",
            "{matches: [{headers: [{name: a, value: x}, {name: A, value: y}]}]}",
        ),
        &["spec.rules[0].matches[0].headers[1].name: \"A\" is there twice"],
    );
    let many = vec!["{}"; 65].join(",");
    refused(
        &rule("HTTPRoute", &format!("{{matches: [{many}]}}")),
        &["spec.rules[0].matches: has more than 64"],
    );
}

#[test]
fn bad_filters() {
    let at = "spec.rules[0].filters[0]";
    for (text, reason) in [
        (
            "{type: RequestHeaderModifier}",
            ": has no field that its type is about",
        ),
        (
            "{type: RequestHeaderModifier, requestHeaderModifier: {}, cors: {}}",
            ": has cors, but is of type RequestHeaderModifier",
        ),
        ("{requestHeaderModifier: {}}", ".type: is required"),
        (
            "{type: RequestHeaderModifer}",
            ".type: \"RequestHeaderModifer\" is not known; did you mean \"RequestHeaderModifier\"?",
        ),
        (
            "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: Host, value: x}]}}",
            ".requestHeaderModifier.set[0].name: \"Host\" names the host",
        ),
        (
            "{type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: a, value: \"x\\ny\"}]}}",
            ".responseHeaderModifier.add[0].value: ",
        ),
        (
            "{type: RequestRedirect, requestRedirect: {statusCode: 304}}",
            ".requestRedirect.statusCode: 304 is none of",
        ),
        (
            "{type: RequestRedirect, requestRedirect: {hostname: \"*.a.b\"}}",
            ".requestRedirect.hostname: ",
        ),
        (
            "{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replacePrefixMatch: /}}}",
            ".urlRewrite.path: must have replaceFullPath and nothing else",
        ),
        (
            "{type: RequestMirror, requestMirror: {backendRef: {name: m}}}",
            ".requestMirror.backendRef.port: is required for a Service",
        ),
        (
            "{type: RequestMirror, requestMirror: {backendRef: {name: m, port: 1}, percent: 101}}",
            ".requestMirror: copies more than every request",
        ),
        (
            "{type: RequestMirror, requestMirror: {backendRef: {name: m, port: 1}, percent: 1, fraction: {numerator: 1}}}",
            ".requestMirror: may have only one of percent and fraction",
        ),
        (
            "{type: CORS, cors: {allowOrigins: [example.com]}}",
            ".cors.allowOrigins[0]: \"example.com\" is neither",
        ),
        (
            "{type: CORS, cors: {maxAge: 0}}",
            ".cors.maxAge: must be at least 1",
        ),
        (
            "{type: ExternalAuth, externalAuth: {protocol: GRPC, backendRef: {name: a, port: 1}, http: {}}}",
            ".externalAuth: has http, but its protocol is GRPC",
        ),
        (
            "{type: ExtensionRef, extensionRef: {kind: X, name: \"\"}}",
            ".extensionRef.name: ",
        ),
    ] {
        refused(
            &rule("HTTPRoute", &format!("{{filters: [{text}]}}")),
            &[&format!("{at}{reason}")],
        );
    }
    for (filters, reason) in [
        (
            "{type: CORS, cors: {}}, {type: CORS, cors: {}}",
            "spec.rules[0].filters[1]: CORS is there twice",
        ),
        (
            "{type: RequestRedirect, requestRedirect: {}}, {type: URLRewrite, urlRewrite: {}}",
            "spec.rules[0].filters: may have only one of RequestRedirect",
        ),
    ] {
        refused(
            &rule("HTTPRoute", &format!("{{filters: [{filters}]}}")),
            &[reason],
        );
    }
    let prefix = "{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}";
    refused(
        &rule(
            "HTTPRoute",
            &format!("{{matches: [{{path: {{type: Exact, value: /a}}}}], filters: [{prefix}]}}"),
        ),
        &["spec.rules[0].filters[0].urlRewrite.path.replacePrefixMatch: needs a rule with exactly one match"],
    );
}

#[test]
fn bad_http_rules() {
    let at = "spec.rules[0]";
    for (text, reason) in [
        (
            "{backendRefs: [{name: a}]}",
            ".backendRefs[0].port: is required for a Service",
        ),
        (
            "{backendRefs: [{name: a, port: 0}]}",
            ".backendRefs[0].port: 0 is not",
        ),
        (
            "{backendRefs: [{name: a, port: 1, weight: 1000001}]}",
            ".backendRefs[0].weight: is more than",
        ),
        (
            "{backendRefs: [{name: a, port: 1, namespace: A}]}",
            ".backendRefs[0].namespace: ",
        ),
        (
            "{filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: [{name: a, port: 1}]}",
            ".backendRefs: cannot stand beside a RequestRedirect",
        ),
        (
            "{timeouts: {request: 1s, backendRequest: 2s}}",
            ".timeouts.backendRequest: is longer",
        ),
        (
            "{timeouts: {request: 1.5s}}",
            ".timeouts.request: \"1.5s\" is no duration",
        ),
        ("{retry: {codes: [200]}}", ".retry.codes[0]: 200 is no status"),
        ("{retry: {attempts: 0}}", ".retry.attempts: 0 would try nothing"),
        (
            "{sessionPersistence: {cookieConfig: {lifetimeType: Permanent}}}",
            ".sessionPersistence.absoluteTimeout: is required",
        ),
        (
            "{sessionPersistence: {type: Header, cookieConfig: {}}}",
            ".sessionPersistence.cookieConfig: is only for",
        ),
        (
            "{sessionPersistence: {idleTimeout: 0s}}",
            ".sessionPersistence.idleTimeout: is zero",
        ),
        ("{name: A}", ".name: "),
    ] {
        refused(&rule("HTTPRoute", text), &[&format!("{at}{reason}")]);
    }
    refused(
        &rule("HTTPRoute", "{name: a}, {name: a}"),
        &["spec.rules[1].name: \"a\" is there twice"],
    );
}

#[test]
fn parents_can_be_told_apart() {
    for (parents, reason) in [
        (
            "{name: g}, {name: g}",
            "spec.parentRefs[1]: names the same parent as another item",
        ),
        (
            "{name: g}, {name: g, port: 80}",
            "spec.parentRefs[1]: names a parent beside another item",
        ),
        ("{name: g, port: 0}", "spec.parentRefs[0].port: 0 is not"),
        ("{name: \"\"}", "spec.parentRefs[0].name: "),
    ] {
        refused(
            &route("HTTPRoute", &format!("{{parentRefs: [{parents}]}}")),
            &[reason],
        );
    }
    warned(&route("HTTPRoute", "{}"), &["spec.parentRefs: is absent"]);
    warned(
        &route(
            "GRPCRoute",
            "{parentRefs: [{group: \"\", kind: Service, name: s}], hostnames: [a.b]}",
        ),
        &["spec.hostnames: has no effect"],
    );
}

#[test]
fn grpc_routes() {
    for text in [
        "{matches: [{method: {service: a.b.C, method: D}}, {method: {type: RegularExpression, service: \"a.*\"}}, {headers: [{name: a, value: b}]}], filters: [{type: RequestMirror, requestMirror: {backendRef: {name: m, port: 1}}}], backendRefs: [{name: a, port: 7070, weight: 70}]}",
        "{sessionPersistence: {type: Header}}",
    ] {
        accepted(&rule("GRPCRoute", text));
    }
    let at = "spec.rules[0]";
    for (text, reason) in [
        (
            "{matches: [{method: {}}]}",
            ".matches[0].method: needs service or method",
        ),
        (
            "{matches: [{method: {service: a/b}}]}",
            ".matches[0].method.service: \"a/b\" is no gRPC service",
        ),
        (
            "{matches: [{method: {method: a.b}}]}",
            ".matches[0].method.method: ",
        ),
        (
            "{filters: [{type: CORS, cors: {}}]}",
            ".filters[0].type: CORS is no filter of GRPCRoutes",
        ),
    ] {
        refused(&rule("GRPCRoute", text), &[&format!("{at}{reason}")]);
    }
}

#[test]
fn connection_routes() {
    for kind in ["TLSRoute", "TCPRoute"] {
        accepted(&rule(
            kind,
            "{backendRefs: [{name: a, port: 1, weight: 0}, {name: b, port: 1}]}",
        ));
        refused(&rule(kind, "{}"), &["spec.rules[0].backendRefs: is required"]);
        refused(
            &route(kind, "{parentRefs: [{name: g}]}"),
            &["spec.rules: is required"],
        );
        let one = "{backendRefs: [{name: a, port: 1}]}";
        warned(
            &rule(kind, &format!("{one}, {one}")),
            &["spec.rules: have nothing to choose by"],
        );
    }
    refused(
        &route(
            "TLSRoute",
            "{parentRefs: [{name: g}], hostnames: [1.2.3.4], rules: [{backendRefs: [{name: a, port: 1}]}]}",
        ),
        &["spec.hostnames[0]: \"1.2.3.4\" is an IP address"],
    );
}

#[test]
fn grants_say_who_and_what() {
    accepted(&route(
        "ReferenceGrant",
        "{from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: b}], to: [{group: \"\", kind: Service}, {group: \"\", kind: Secret, name: x}]}",
    ));
    for (spec, reasons) in [
        ("{}", &["spec.from: is required", "spec.to: is required"][..]),
        (
            "{from: [{group: \"\", kind: Service, namespace: B}], to: [{group: \"\", kind: Service}]}",
            &["spec.from[0].namespace: "],
        ),
        (
            "{from: [{group: \"\", kind: Service, namespace: b}], to: [{group: \"\", kind: Service, nam: x}]}",
            &["spec.to[0].nam: there is no such field; did you mean \"name\"?"],
        ),
        (
            "{from: [{group: \"\", kind: Service}]}",
            &["spec.from[0].namespace: is required"],
        ),
        (
            "{from: [], to: []}",
            &["spec.from: is required", "spec.to: is required"],
        ),
        (
            "{from: [{group: \"*\", kind: \"*\", namespace: \"*\"}], to: [{group: \"\", kind: Service, name: \"\"}]}",
            &[
                "spec.from[0].group: ",
                "spec.from[0].kind: ",
                "spec.from[0].namespace: ",
                "spec.to[0].name: ",
            ],
        ),
    ] {
        refused(&route("ReferenceGrant", spec), reasons);
    }
}

#[test]
fn backend_tls_policies_check_something() {
    let policy = |validation: &str| {
        route(
            "BackendTLSPolicy",
            &format!(
                "{{targetRefs: [{{group: \"\", kind: Service, name: s, sectionName: https}}], validation: {validation}}}"
            ),
        )
    };
    accepted(&policy(
        "{hostname: a.example.com, wellKnownCACertificates: System}",
    ));
    accepted(&policy(
        "{hostname: a.example.com, caCertificateRefs: [{group: \"\", kind: ConfigMap, name: ca}], subjectAltNames: [{type: Hostname, hostname: b.example.com}, {type: URI, uri: \"spiffe://a/b\"}]}",
    ));
    for (validation, reason) in [
        (
            "{hostname: a.b}",
            "spec.validation: needs either caCertificateRefs",
        ),
        (
            "{hostname: a.b, wellKnownCACertificates: System, caCertificateRefs: [{kind: ConfigMap, name: ca}]}",
            "spec.validation: needs either caCertificateRefs",
        ),
        (
            "{wellKnownCACertificates: System}",
            "spec.validation.hostname: is required",
        ),
        (
            "{hostname: \"*.a\", wellKnownCACertificates: System}",
            "spec.validation.hostname: is a wildcard",
        ),
        (
            "{hostname: a.b, wellKnownCACertificates: Sytem}",
            "spec.validation.wellKnownCACertificates: \"Sytem\" is not known",
        ),
        (
            "{hostname: a.b, wellKnownCACertificates: System, subjectAltNames: [{type: URI, hostname: a.b}]}",
            "spec.validation.subjectAltNames[0]: must have uri",
        ),
        (
            "{hostname: a.b, wellKnownCACertificates: System, subjectAltNames: [{type: URI, uri: nothing}]}",
            "spec.validation.subjectAltNames[0].uri: ",
        ),
        (
            "{hostname: a.b, wellKnownCACertificates: System, hostnames: []}",
            "spec.validation.hostnames: there is no such field",
        ),
    ] {
        refused(&policy(validation), &[reason]);
    }
    refused(
        &route(
            "BackendTLSPolicy",
            "{targetRefs: [{kind: Pod, name: x}], validation: {hostname: a.b, wellKnownCACertificates: System}}",
        ),
        &["spec.targetRefs[0].kind: \"\"/Pod cannot be this policy's target"],
    );
}
