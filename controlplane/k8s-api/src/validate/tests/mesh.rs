use super::{accepted, refused, warned};
use crate::{IgnoredReason, Object, parse};

fn telemetry(spec: &str) -> String {
    format!(
        "{{apiVersion: telemetry.istio.io/v1, kind: Telemetry, metadata: {{name: n, namespace: a}}, spec: {spec}}}"
    )
}

fn authentication(spec: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {{name: n, namespace: a}}, spec: {spec}}}"
    )
}

fn mesh(spec: &str) -> String {
    format!(
        "{{apiVersion: lateen.dev/v1alpha1, kind: MeshConfig, metadata: {{name: istio, namespace: istio-system}}, spec: {spec}}}"
    )
}

#[test]
fn good_request_authentications() {
    for spec in [
        "{}",
        "{targetRefs: [{kind: Service, name: s}], jwtRules: [{issuer: \"https://issuer.example.com\", jwksUri: \"https://issuer.example.com/keys\", audiences: [a], fromHeaders: [{name: x-jwt, prefix: \"JWT \"}], fromParams: [token], fromCookies: [c], outputPayloadToHeader: x-payload, forwardOriginalToken: true, outputClaimToHeaders: [{header: x-sub, claim: sub}, {header: x-g, claim: a.b}], timeout: 2s, spaceDelimitedClaims: [roles]}]}",
        "{jwtRules: [{issuer: me, jwks: '{\"keys\": [{\"kty\": \"oct\", \"k\": \"eA\"}]}'}, {issuer: \"https://other.example.com\"}]}",
        "{jwtRules: [{issuer: me, jwksUri: \"http://keys.shop.svc.cluster.local:8080/a\"}]}",
    ] {
        accepted(&authentication(spec));
    }
}

#[test]
fn bad_request_authentications() {
    let at = "spec.jwtRules[0]";
    for (rule, reason) in [
        ("{}", ".issuer: is required"),
        ("{issuer: me}", ".issuer: is no address to find keys by"),
        (
            "{issuer: me, jwksUri: a, jwks: b}",
            ": may have only one of jwksUri and jwks",
        ),
        (
            "{issuer: me, jwksUri: \"ftp://a\"}",
            ".jwksUri: \"ftp://a\" is no address",
        ),
        (
            "{issuer: me, jwksUri: \"http://127.0.0.1/a\"}",
            ".jwksUri: \"http://127.0.0.1/a\" leads to the machine itself",
        ),
        ("{issuer: me, jwksUri: \"http://[::1]:80/a\"}", ".jwksUri: "),
        (
            "{issuer: me, jwksUri: \"http://[::ffff:169.254.169.254]/a\"}",
            ".jwksUri: ",
        ),
        ("{issuer: me, jwksUri: \"http://localhost:80\"}", ".jwksUri: "),
        ("{issuer: me, jwksUri: \"http://a@b/\"}", ".jwksUri: "),
        ("{issuer: me, jwks: x}", ".jwks: is no JSON web key set"),
        ("{issuer: me, jwks: '{\"keys\": []}'}", ".jwks: has no keys"),
        (
            "{issuer: \"https://a.b\", fromHeaders: [{name: \"\"}]}",
            ".fromHeaders[0].name: ",
        ),
        (
            "{issuer: \"https://a.b\", fromHeader: []}",
            ".fromHeader: there is no such field; did you mean \"fromHeaders\"?",
        ),
        (
            "{issuer: \"https://a.b\", outputClaimToHeaders: [{header: a, claim: a..b}]}",
            ".outputClaimToHeaders[0].claim: ",
        ),
        (
            "{issuer: \"https://a.b\", audiences: []}",
            ".audiences: is an empty list",
        ),
    ] {
        refused(
            &authentication(&format!("{{jwtRules: [{rule}]}}")),
            &[&format!("{at}{reason}")],
        );
    }
    refused(
        &authentication("{selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: s}]}"),
        &["spec: may have only one of"],
    );
}

#[test]
fn telemetry_says_what_is_told() {
    for spec in [
        "{tracing: [{match: {mode: SERVER}, providers: [{name: otel}], randomSamplingPercentage: 100, disableSpanReporting: false, customTags: {a: {literal: {value: b}}, c: {environment: {name: D, defaultValue: e}}, f: {header: {name: g}}, h: {formatter: {value: \"%REQ(X)%\"}}}, enableIstioTags: true}]}",
        "{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: w}], metrics: [{providers: [{name: prometheus}], overrides: [{match: {metric: REQUEST_COUNT, mode: SERVER}, disabled: true}, {match: {customMetric: x}, tagOverrides: {request_host: {operation: UPSERT, value: request.host}, response_code: {operation: REMOVE}}}], reportingInterval: 5s}]}",
        "{accessLogging: [{providers: [{name: envoy}], disabled: false, filter: {expression: response.code >= 400}}]}",
    ] {
        accepted(&telemetry(spec));
    }
    for (spec, reason) in [
        (
            "{tracing: [{randomSamplingPercentage: 101}]}",
            "spec.tracing[0].randomSamplingPercentage: 101 is not",
        ),
        (
            "{tracing: [{providers: [{name: a}, {name: b}]}]}",
            "spec.tracing[0].providers: has several items",
        ),
        (
            "{tracing: [{customTags: {a: {}}}]}",
            "spec.tracing[0].customTags.a: needs one of literal, environment",
        ),
        (
            "{metrics: [{providers: [{}]}]}",
            "spec.metrics[0].providers[0].name: is required",
        ),
        (
            "{metrics: [{overrides: [{match: {metric: REQUESTS}}]}]}",
            "spec.metrics[0].overrides[0].match.metric: ",
        ),
        (
            "{metrics: [{overrides: [{match: {metric: REQUEST_COUNT, customMetric: x}}]}]}",
            "spec.metrics[0].overrides[0].match: may have only one of",
        ),
        (
            "{metrics: [{overrides: [{tagOverrides: {a: {operation: UPSERT}}}]}]}",
            "spec.metrics[0].overrides[0].tagOverrides.a: needs a value",
        ),
        (
            "{accessLogging: [{filter: {expression: request.nothing}}]}",
            "spec.accessLogging[0].filter.expression: is no filter: there is no attribute \"request.nothing\"",
        ),
        (
            "{metrics: [{overrides: [{tagOverrides: {a: {value: '1 +'}}}]}]}",
            "spec.metrics[0].overrides[0].tagOverrides.a.value: is no expression: ",
        ),
        (
            "{tracing: [{customTags: {a: {formatter: {value: '%NO_SUCH%'}}}}]}",
            "spec.tracing[0].customTags.a.formatter.value: is no format: there is no operator %NO_SUCH%",
        ),
        (
            "{metrics: [{overrides: [{tagOverrides: {a-b: {operation: REMOVE}}}]}]}",
            "spec.metrics[0].overrides[0].tagOverrides.a-b: ",
        ),
        (
            "{accessLogging: [{filter: {}}]}",
            "spec.accessLogging[0].filter.expression: is required",
        ),
    ] {
        refused(&telemetry(spec), &[reason]);
    }
}

#[test]
fn good_mesh_configuration() {
    for spec in [
        "{}",
        "{trustDomain: example.com, trustDomainAliases: [old.example.com], rootNamespace: istio-system, accessLogFile: /dev/stdout, accessLogEncoding: JSON, accessLogFormat: '{\"a\": \"%PROTOCOL%\"}', pathNormalization: {normalization: MERGE_SLASHES}, hboneIdleTimeout: 1h, connectTimeout: 10s, tcpKeepalive: {time: 10s}, outboundTrafficPolicy: {mode: REGISTRY_ONLY}, defaultHttpRetryPolicy: {attempts: 2, retryOn: 5xx}, meshMTLS: {minProtocolVersion: TLSV1_3}}",
        "{extensionProviders: [{name: authz, envoyExtAuthzGrpc: {service: shop/authz.shop.svc.cluster.local, port: 9000, timeout: 200ms, failOpen: false, includeRequestBodyInCheck: {maxRequestBytes: 1024}}}, {name: authz-http, envoyExtAuthzHttp: {service: authz.example.com, port: 8000, timeout: 1s, statusOnError: \"503\", includeRequestHeadersInCheck: [x-a], headersToUpstreamOnAllow: [x-b]}}, {name: otel, opentelemetry: {service: otel.example.com, port: 4317, grpc: {initialMetadata: [{name: a, envName: B}]}}}, {name: zipkin, zipkin: {service: z, port: 9411, enable64bitTraceId: true}}, {name: log, envoyFileAccessLog: {path: /dev/stdout, logFormat: {labels: {a: \"%PROTOCOL%\"}}}}, {name: ol, envoyOtelAls: {service: o, port: 4317}}, {name: p, prometheus: {}}], defaultProviders: {tracing: [otel], metrics: [prometheus], accessLogging: [envoy, log]}}",
        "{defaultConfig: {concurrency: 2, tracing: {sampling: 10, customTags: {a: {literal: {value: b}}}}, proxyHeaders: {server: {disabled: true}, requestId: {}}, gatewayTopology: {numTrustedProxies: 1}}, localityLbSetting: {failover: [{from: eu, to: us}]}, serviceEntryVisibility: {defaultVisibility: NAMESPACE, policies: [{visibility: PUBLIC, matchingRules: [{namespaceSelector: {matchLabels: {a: b}}}]}]}}",
    ] {
        accepted(&mesh(spec));
    }
}

#[test]
fn bad_mesh_configuration() {
    for (spec, reason) in [
        ("{trustDomain: \"a b\"}", "spec.trustDomain: "),
        (
            "{accessLogFormat: '%NO_SUCH%'}",
            "spec.accessLogFormat: is no format: there is no operator %NO_SUCH%",
        ),
        (
            "{extensionProviders: [{name: a}]}",
            "spec.extensionProviders[0]: \"a\" needs exactly one kind",
        ),
        (
            "{extensionProviders: [{name: a, prometheus: {}}, {name: a, prometheus: {}}]}",
            "spec.extensionProviders[1].name: \"a\" is there twice",
        ),
        (
            "{extensionProviders: [{name: a, zipkin: {service: \"a b\", port: 1}}]}",
            "spec.extensionProviders[0].zipkin.service: ",
        ),
        (
            "{extensionProviders: [{name: a, zipkin: {service: a}}]}",
            "spec.extensionProviders[0].zipkin.port: 0 is not",
        ),
        (
            "{extensionProviders: [{name: a, envoyExtAuthzGrpc: {service: a, port: 1, timeout: 1s, statusOnError: x}}]}",
            "spec.extensionProviders[0].envoyExtAuthzGrpc.statusOnError: ",
        ),
        (
            "{defaultProviders: {tracing: [x]}}",
            "spec.defaultProviders.tracing[0]: \"x\" is none of the extensionProviders",
        ),
        (
            "{defaultHttpRetryPolicy: {retryOn: nonsense-x}}",
            "spec.defaultHttpRetryPolicy.retryOn: ",
        ),
        ("{connectTimeout: 0s}", "spec.connectTimeout: is less than 1ms"),
        (
            "{accessLogEncoding: XML}",
            "spec.accessLogEncoding: \"XML\" is not known",
        ),
        (
            "{defaultConfig: {tracing: {sampling: -1}}}",
            "spec.defaultConfig.tracing.sampling: -1 is not",
        ),
    ] {
        refused(&mesh(spec), &[reason]);
    }
    warned(
        &mesh(
            "{extensionProviders: [{name: a, skywalking: {service: x}}, {name: b, envoyExtAuthzGrpc: {service: a, port: 1}}], ingressService: x}",
        ),
        &[
            "spec.extensionProviders[0].skywalking: has no effect",
            "spec.extensionProviders[1].envoyExtAuthzGrpc.timeout: is absent",
            "spec.ingressService: there is no such field",
        ],
    );
}

#[test]
fn the_mesh_configuration_is_read_out_of_its_config_map() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    accessLogFile: /dev/stdout\n    trustDomain: example.com\n    ingress: x\n";
    let object = parse(text).remove(0).expect("valid");
    let warnings: Vec<_> = object.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["8:1: ConfigMap istio-system/istio: data.mesh.ingress: there is no such field"]
    );
    let Object::MeshConfig(config) = object.value else {
        panic!("a MeshConfig")
    };
    assert_eq!(config.spec.trust_domain.as_deref(), Some("example.com"));
    let broken = |old: &str, new: &str| {
        let error = parse(&text.replace(old, new)).remove(0).expect_err("broken");
        error.to_string()
    };
    assert!(
        broken("example.com", "a b")
            .starts_with("7:1: ConfigMap istio-system/istio: data.mesh.trustDomain: "),
        "{}",
        broken("example.com", "a b")
    );
    assert!(
        broken("/dev/stdout", "[a]")
            .starts_with("6:16: ConfigMap istio-system/istio: data.mesh.accessLogFile: ")
    );
    assert!(broken("/dev/stdout", "[").contains("data.mesh: not valid YAML"));
}

#[test]
fn config_maps_and_secrets_are_read_and_secrets_not_shown() {
    let text = "{apiVersion: v1, kind: Secret, metadata: {name: s}, type: kubernetes.io/tls, data: {tls.key: aGVsbG8=}, stringData: {a: secret-b}}";
    let object = parse(text).remove(0).expect("valid").value;
    let shown = format!("{object:?}");
    let Object::Secret(secret) = object else {
        panic!("a Secret")
    };
    assert_eq!(secret.content.data["tls.key"].0, b"hello");
    assert_eq!(secret.content.data["a"].0, b"secret-b");
    assert!(!shown.contains("hello") && !shown.contains("secret-b"), "{shown}");
    refused(
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: \"?\"}}",
        &["data.a: is not base64"],
    );
    accepted("{apiVersion: v1, kind: ConfigMap, metadata: {name: ca}, data: {ca.crt: x}, binaryData: {}}");
}

#[test]
fn refused_kinds_say_what_to_use_instead() {
    for (api, kind, instead) in [
        ("networking.istio.io/v1alpha3", "EnvoyFilter", "RateLimitPolicy"),
        ("networking.istio.io/v1", "Sidecar", "no sidecars"),
        ("networking.istio.io/v1", "Gateway", "gateway.networking.k8s.io"),
        (
            "extensions.istio.io/v1alpha1",
            "WasmPlugin",
            "external authorization",
        ),
        (
            "extensions.istio.io/v1alpha1",
            "TrafficExtension",
            "external authorization",
        ),
    ] {
        let text =
            format!("{{apiVersion: {api}, kind: {kind}, metadata: {{name: x}}, spec: {{anything: [1]}}}}");
        let Object::Ignored(ignored) = parse(&text).remove(0).expect("recognised").value else {
            panic!("{kind} is read")
        };
        assert!(matches!(ignored.reason, IgnoredReason::Refused { .. }));
        assert!(ignored.reason.to_string().contains(instead), "{}", ignored.reason);
    }
}
