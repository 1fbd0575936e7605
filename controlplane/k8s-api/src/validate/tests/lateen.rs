use super::{accepted, refused, warned};

fn object(kind: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: lateen.dev/v1alpha1, kind: {kind}, metadata: {{name: n, namespace: a}}, spec: {spec}}}"
    )
}

/// A policy for a Service.
fn policy(kind: &str, rest: &str) -> String {
    object(
        kind,
        &format!("{{targetRefs: [{{group: \"\", kind: Service, name: s, sectionName: http}}], {rest}}}"),
    )
}

#[test]
fn rate_limits() {
    for rest in [
        "local: {limits: [{requests: 100, interval: 1m}]}",
        "local: {limits: [{by: [{header: x-user}, {attribute: Path, value: {prefix: /api}}, {claim: org.team}, {attribute: RemoteAddress}, {attribute: Method, value: {exact: POST}}, {attribute: SourcePrincipal, value: {regex: \".*/sa/a\"}}], requests: 10, interval: 1s, burst: 20}]}",
        "global: {backendRef: {name: limits, port: 8081}, domain: shop, failureMode: Closed, timeout: 50ms, descriptors: [{entries: [{key: user, header: x-user}, {constant: all}]}]}",
    ] {
        accepted(&policy("RateLimitPolicy", rest));
    }
    for (rest, reason) in [
        ("local: {}", "spec.local.limits: is required"),
        (
            "local: {limits: [{requests: 0, interval: 1s}]}",
            "spec.local.limits[0].requests: 0 would let nothing pass",
        ),
        (
            "local: {limits: [{requests: 1, interval: 0s}]}",
            "spec.local.limits[0].interval: is less than 1ms",
        ),
        (
            "local: {limits: [{requests: 1}]}",
            "spec.local.limits[0].interval: is required",
        ),
        (
            "local: {limits: [{requests: 1, interval: 1s, burst: 0}]}",
            "spec.local.limits[0].burst: 0 would",
        ),
        (
            "local: {limits: [{requests: 1, interval: 1s, by: [{}]}]}",
            "spec.local.limits[0].by[0]: needs exactly one of",
        ),
        (
            "local: {limits: [{requests: 1, interval: 1s, by: [{header: a, claim: b}]}]}",
            "spec.local.limits[0].by[0]: needs exactly one of",
        ),
        (
            "local: {limits: [{requests: 1, interval: 1s, by: [{header: \"a b\"}]}]}",
            "spec.local.limits[0].by[0].header: ",
        ),
        (
            "local: {limits: [{requests: 1, interval: 1s, by: [{claim: a..b}]}]}",
            "spec.local.limits[0].by[0].claim: ",
        ),
        (
            "local: {limits: [{requests: 1, interval: 1s, by: [{header: a, value: {regex: \"(\"}}]}]}",
            "spec.local.limits[0].by[0].value.regex: ",
        ),
        (
            "local: {limits: [{requests: 1, interval: 1s, by: [{header: a, value: {}}]}]}",
            "spec.local.limits[0].by[0].value: needs one of exact, prefix, suffix, regex",
        ),
        (
            "local: {limits: [{request: 1, interval: 1s}]}",
            "spec.local.limits[0].request: there is no such field; did you mean \"requests\"?",
        ),
        (
            "global: {backendRef: {name: l, port: 1}, domain: \"\", descriptors: [{entries: [{constant: x}]}]}",
            "spec.global.domain: is empty",
        ),
        (
            "global: {backendRef: {name: l}, domain: a, descriptors: [{entries: [{constant: x}]}]}",
            "spec.global.backendRef.port: is required",
        ),
        (
            "global: {backendRef: {name: l, port: 1}, domain: a, descriptors: [{entries: []}]}",
            "spec.global.descriptors[0].entries: is required",
        ),
        (
            "global: {backendRef: {name: l, port: 1}, domain: a, descriptors: []}",
            "spec.global.descriptors: is required",
        ),
    ] {
        refused(&policy("RateLimitPolicy", rest), &[reason]);
    }
    refused(
        &policy("RateLimitPolicy", "local: null"),
        &["spec.local: is null"],
    );
    refused(
        &object(
            "RateLimitPolicy",
            "{local: {limits: [{requests: 1, interval: 1s}]}}",
        ),
        &["spec.targetRefs: is required"],
    );
}

#[test]
fn health_checks() {
    for rest in [
        "http: {path: \"/healthz?a=b\", host: a.example.com, expectedStatuses: [200-299, 401, \"404\"]}, interval: 5s, timeout: 1s, unhealthyThreshold: 3, healthyThreshold: 1",
        "grpc: {service: a.B}",
        "grpc: {}",
        "tcp: {}",
    ] {
        accepted(&policy("HealthCheckPolicy", rest));
    }
    for (rest, reason) in [
        ("interval: 1s", "spec: needs exactly one of http, grpc and tcp"),
        (
            "tcp: {}, grpc: {}",
            "spec: needs exactly one of http, grpc and tcp",
        ),
        ("http: {path: a}", "spec.http.path: "),
        (
            "http: {path: /, expectedStatuses: [99]}",
            "spec.http.expectedStatuses[0]: 99 is no status",
        ),
        (
            "http: {path: /, expectedStatuses: [300-200]}",
            "spec.http.expectedStatuses[0]: 300-200 ends before",
        ),
        (
            "http: {path: /, expectedStatuses: [2xx]}",
            "spec.http.expectedStatuses[0]: is string \"2xx\", but must be a status",
        ),
        ("tcp: {}, interval: 0s", "spec.interval: is less than 1ms"),
        (
            "tcp: {}, healthyThreshold: 0",
            "spec.healthyThreshold: must be at least 1",
        ),
        ("tcp: {port: 1}", "spec.tcp.port: there is no such field"),
    ] {
        refused(&policy("HealthCheckPolicy", rest), &[reason]);
    }
    refused(
        "{apiVersion: lateen.dev/v1alpha1, kind: HealthCheckPolicy, metadata: {name: n}}",
        &["spec: is required"],
    );
    refused(
        &object(
            "HealthCheckPolicy",
            "{targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}], tcp: {}}",
        ),
        &["spec.targetRefs[0].kind: \"gateway.networking.k8s.io\"/HTTPRoute cannot be this policy's target"],
    );
}

#[test]
fn sessions() {
    accepted(&policy(
        "SessionPolicy",
        "cookie: {name: sid, lifetime: Permanent}, absoluteTimeout: 1h, idleTimeout: 10m",
    ));
    accepted(&policy("SessionPolicy", "header: {name: x-session}"));
    for (rest, reason) in [
        ("idleTimeout: 1s", "spec: needs exactly one of cookie and header"),
        (
            "cookie: {name: a}, header: {name: b}",
            "spec: needs exactly one of cookie and header",
        ),
        ("cookie: {name: \"a b\"}", "spec.cookie.name: "),
        (
            "cookie: {name: a, lifetime: Permanent}",
            "spec.absoluteTimeout: is required for a permanent cookie",
        ),
        ("header: {name: Host}", "spec.header.name: "),
        (
            "header: {name: a}, idleTimeout: 0s",
            "spec.idleTimeout: is less than 1ms",
        ),
    ] {
        refused(&policy("SessionPolicy", rest), &[reason]);
    }
    warned(
        &policy(
            "SessionPolicy",
            "header: {name: a}, idleTimeout: 2h, absoluteTimeout: 1h",
        ),
        &["spec.idleTimeout: has no effect"],
    );
}

#[test]
fn faults() {
    for spec in [
        "{delay: {fixedDelay: 2s, percentage: 12.5}}",
        "{abort: {httpStatus: 503}}",
        "{delay: {fixedDelay: 10ms}, abort: {grpcStatus: UNAVAILABLE, percentage: 1}}",
    ] {
        accepted(&object("FaultFilter", spec));
    }
    for (spec, reason) in [
        ("{}", "spec: needs delay or abort"),
        ("{delay: {}}", "spec.delay.fixedDelay: is required"),
        (
            "{delay: {fixedDelay: 0s}}",
            "spec.delay.fixedDelay: is less than 1ms",
        ),
        (
            "{delay: {fixedDelay: 1s, percentage: 101}}",
            "spec.delay.percentage: 101 is not from 0 to 100",
        ),
        (
            "{abort: {}}",
            "spec.abort: needs exactly one of httpStatus and grpcStatus",
        ),
        (
            "{abort: {httpStatus: 600}}",
            "spec.abort.httpStatus: 600 is no status",
        ),
        (
            "{abort: {grpcStatus: \"17\"}}",
            "spec.abort: has no gRPC status: \"17\"",
        ),
        (
            "{abort: {httpStatus: 503, percent: 1}}",
            "spec.abort.percent: there is no such field",
        ),
    ] {
        refused(&object("FaultFilter", spec), &[reason]);
    }
    refused(
        "{apiVersion: lateen.dev/v1alpha1, kind: FaultFiltr, metadata: {name: n}}",
        &["kind: \"FaultFiltr\" is not known; did you mean \"FaultFilter\"?"],
    );
}

#[test]
fn processors() {
    for spec in [
        "{backendRef: {name: p, port: 80}}",
        "{backendRef: {name: p, port: 80}, processingMode: {requestHeaderMode: SKIP, responseHeaderMode: SKIP, \
         responseBodyMode: STREAMED}, failureModeAllow: true, messageTimeout: 1s}",
        "{backendRef: {name: p, port: 80}, processingMode: {requestBodyMode: BUFFERED, requestTrailerMode: SEND}, \
         maxBodyBytes: 65536, mutationRules: {allowAllRouting: true}, allowModeOverride: true}",
    ] {
        accepted(&object("ExternalProcessorFilter", spec));
    }
    for (spec, reason) in [
        ("{}", "spec.backendRef: is required"),
        (
            "{backendRef: {name: p, port: 80}, processingMode: {requestHeaderMode: SKIP, responseHeaderMode: SKIP}}",
            "spec.processingMode: sends nothing",
        ),
        (
            "{backendRef: {name: p, port: 80}, messageTimeout: 0s}",
            "spec.messageTimeout: is less than 1ms",
        ),
        (
            "{backendRef: {name: p, port: 80}, processingMode: {requestBodyMode: BUFFERED}, maxBodyBytes: 0}",
            "spec.maxBodyBytes: 0 would let no body pass",
        ),
        (
            "{backendRef: {name: p, port: 80}, processingMode: {requestBodyMode: BUFFERED}, maxBodyBytes: 5000000}",
            "spec.maxBodyBytes: is more than 4194304",
        ),
        (
            "{backendRef: {name: p, port: 80}, failOpen: true}",
            "spec.failOpen: there is no such field",
        ),
    ] {
        refused(&object("ExternalProcessorFilter", spec), &[reason]);
    }
}
