//! What holds across fields, which no type says by itself: as OpenAPI keywords where they can say it, which cost an API
//! server nothing, and in CEL where they cannot, or where a person deserves a sentence.
//!
//! All of it is said by `controlplane_k8s_api::validate` or a conversion of its types too; the corpus holds the two together.

use controlplane_k8s_api::Kind;
use serde_json::{Value, json};

/// What is added to the schema of a type, or of one of its fields.
#[derive(Debug)]
pub struct Constraint {
    /// The type that reads it (its name for serde).
    pub on: &'static str,
    /// The field; nothing for the type itself, wherever it stands.
    pub field: Option<&'static str>,
    /// What is added.
    pub add: Value,
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Constraint> {
    let mut all = attachment();
    all.extend(security());
    all.extend(networking());
    all.extend(telemetry());
    all.extend(ours());
    all
}

fn attachment() -> Vec<Constraint> {
    let specs = [
        "AuthorizationPolicySpec",
        "RequestAuthenticationSpec",
        "TelemetrySpec",
    ];
    let mut all: Vec<_> = specs
        .into_iter()
        .flat_map(|spec| {
            let one = "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + \
                       (has(self.targetRefs) && self.targetRefs.size() > 0 ? 1 : 0) <= 1";
            [
                on(
                    spec,
                    rule(one, "may have only one of selector, targetRef and targetRefs"),
                ),
                at(spec, "targetRefs", json!({ "maxItems": 16 })),
            ]
        })
        .collect();
    let targets = "(has(self.group) ? self.group : '') == '' ? self.kind == 'Service' : \
                   self.group == 'gateway.networking.k8s.io' ? self.kind in ['Gateway', 'GatewayClass'] : \
                   self.group == 'networking.istio.io' && self.kind == 'ServiceEntry'";
    all.extend([
        on(
            "TargetRef",
            rule(
                targets,
                "must be a Service, a Gateway, a GatewayClass or a ServiceEntry",
            ),
        ),
        at("TargetRef", "name", json!({ "minLength": 1 })),
        at(
            "WorkloadSelector",
            "matchLabels",
            json!({
                "maxProperties": 4096,
                "x-kubernetes-validations": [
                    { "rule": "self.all(key, key.size() != 0)", "message": "has an empty label key" },
                    {
                        "rule": "self.all(key, !key.contains('*') && !self[key].contains('*'))",
                        "message": "has a `*`: selectors compare whole values, wildcards are not supported",
                    },
                ],
                "additionalProperties": { "maxLength": 63, "type": "string" },
            }),
        ),
    ]);
    all
}

fn security() -> Vec<Constraint> {
    let selects = "!has(self.portLevelMtls) || self.portLevelMtls.size() == 0 || \
                   (has(self.selector) && has(self.selector.matchLabels) && self.selector.matchLabels.size() > 0)";
    vec![
        on(
            "AuthorizationPolicySpec",
            rule(
                "(has(self.action) && self.action == 'CUSTOM') == has(self.provider)",
                "provider is required when the action is CUSTOM, and only then",
            ),
        ),
        on(
            "AuthorizationPolicySpec",
            rule(
                "!(has(self.action) && self.action == 'DENY') || (has(self.rules) && self.rules.size() > 0)",
                "a DENY policy without rules never denies anything",
            ),
        ),
        at("AuthorizationPolicySpec", "rules", json!({ "maxItems": 512 })),
        // Empty ones would match everything.
        on("Source", json!({ "minProperties": 1 })),
        on("Source", at_most_one(&["serviceAccounts", "principals"])),
        on("Source", at_most_one(&["serviceAccounts", "namespaces"])),
        on("Source", at_most_one(&["notServiceAccounts", "notPrincipals"])),
        on("Source", at_most_one(&["notServiceAccounts", "notNamespaces"])),
        at("Source", "serviceAccounts", json!({ "maxItems": 16 })),
        at("Source", "notServiceAccounts", json!({ "maxItems": 16 })),
        on("Operation", json!({ "minProperties": 1 })),
        on(
            "Condition",
            json!({ "anyOf": [{ "required": ["values"] }, { "required": ["notValues"] }] }),
        ),
        on(
            "PeerAuthenticationSpec",
            rule(selects, "portLevelMtls needs a selector with labels"),
        ),
        at(
            "PeerAuthenticationSpec",
            "portLevelMtls",
            rule(
                "self.all(key, 0 < int(key) && int(key) <= 65535)",
                "a port is a number between 1 and 65535",
            ),
        ),
        on("JwtRuleFields", at_most_one(&["jwks", "jwksUri"])),
        at("JwtRuleFields", "issuer", json!({ "minLength": 1 })),
    ]
}

/// What is added to the `spec` of a kind alone, and not wherever else its type stands.
#[must_use]
pub fn of_spec(kind: Kind) -> Option<Value> {
    // Endpoints of a ServiceEntry and the template of a WorkloadGroup are of the same type.
    let address = "(has(self.address) && self.address != '') || (has(self.network) && self.network != '')";
    (kind == Kind::WorkloadEntry).then(|| rule(address, "address is required where no network is given"))
}

fn networking() -> Vec<Constraint> {
    let mut all = service_entries();
    all.extend(traffic());
    all
}

fn service_entries() -> Vec<Constraint> {
    let resolution = "(has(self.resolution) ? self.resolution : 'NONE')";
    let none = |field: &str| format!("(!has(self.{field}) || self.{field}.size() == 0)");
    let rules = [
        (
            format!("{} || !has(self.workloadSelector)", none("endpoints")),
            "may have only one of endpoints and workloadSelector",
        ),
        (
            format!("{resolution} != 'NONE' || {}", none("endpoints")),
            "endpoints cannot stand beside the resolution NONE",
        ),
        (
            format!(
                "{resolution} != 'DNS_ROUND_ROBIN' || !has(self.endpoints) || self.endpoints.size() <= 1"
            ),
            "DNS_ROUND_ROBIN allows one endpoint only",
        ),
        (
            format!(
                "{resolution} != 'DYNAMIC_DNS' || ({} && !has(self.workloadSelector) && {})",
                none("endpoints"),
                none("addresses")
            ),
            "endpoints, workloadSelector and addresses cannot stand beside the resolution DYNAMIC_DNS",
        ),
        (
            format!("{resolution} != 'DYNAMIC_DNS' || self.hosts.all(host, host.contains('*'))"),
            "DYNAMIC_DNS is for wildcard hosts only",
        ),
        (
            format!("{resolution} != 'DYNAMIC_DNS' || !has(self.ports) || self.ports.all(port, {DYNAMIC})"),
            "DYNAMIC_DNS needs ports of HTTP, HTTP2, GRPC, HTTPS or TLS: it takes the host from the request",
        ),
        (
            format!("!has(self.ports) || self.hosts.size() <= 1 || !self.ports.exists(port, {OPAQUE})"),
            "ports of TCP, MONGO, REDIS and MYSQL tell no host, so there can be only one in hosts",
        ),
        (
            format!(
                "{resolution} in ['NONE', 'STATIC'] || !has(self.addresses) || self.addresses.all(address, {SINGLE})"
            ),
            "ranges in addresses need the resolution NONE or STATIC",
        ),
    ];
    let rules = rules
        .into_iter()
        .map(|(condition, message)| on("ServiceEntrySpec", rule(&condition, message)));
    rules.chain(sizes_of_service_entries()).collect()
}

/// Of lists as upstream; of texts so that an API server knows what the rules about them can cost.
fn sizes_of_service_entries() -> Vec<Constraint> {
    vec![
        on("ServiceEntrySpec", json!({ "required": ["hosts"] })),
        at(
            "ServiceEntrySpec",
            "hosts",
            json!({ "minItems": 1, "maxItems": 256, "items": { "maxLength": 255 } }),
        ),
        at(
            "ServiceEntrySpec",
            "addresses",
            json!({ "maxItems": 256, "items": { "maxLength": 64 } }),
        ),
        at("ServiceEntrySpec", "endpoints", json!({ "maxItems": 4096 })),
        at(
            "ServiceEntrySpec",
            "ports",
            json!({
                "maxItems": 256,
                "x-kubernetes-validations": [{
                    "rule": "self.all(a, self.exists_one(b, a.number == b.number))",
                    "message": "has a port number twice",
                }],
            }),
        ),
        at("ServiceEntryPort", "number", json!({ "minimum": 1 })),
        at("ServiceEntryPort", "targetPort", json!({ "minimum": 1 })),
        at("ServiceEntryPort", "protocol", json!({ "maxLength": 16 })),
        at(
            "WorkloadEntrySpec",
            "ports",
            json!({ "additionalProperties": { "minimum": 1 } }),
        ),
    ]
}

fn traffic() -> Vec<Constraint> {
    vec![
        on(
            "ReadinessProbe",
            exactly_one(&["httpGet", "tcpSocket", "exec", "grpc"]),
        ),
        on("DestinationRuleSpec", json!({ "required": ["host"] })),
        at("DestinationRuleSpec", "host", json!({ "minLength": 1 })),
        on("LoadBalancerFields", at_most_one(&["simple", "consistentHash"])),
        on(
            "LoadBalancerFields",
            at_most_one(&["warmup", "warmupDurationSecs"]),
        ),
        on("ConsistentHashFields", at_most_one(&["ringHash", "maglev"])),
        on(
            "ConsistentHashFields",
            at_most_one(&["httpHeaderName", "httpCookie"]),
        ),
        on(
            "ConsistentHashFields",
            at_most_one(&["httpHeaderName", "httpQueryParameterName"]),
        ),
        on(
            "ConsistentHashFields",
            at_most_one(&["httpCookie", "httpQueryParameterName"]),
        ),
        on("HttpRouteFields", at_most_one(&["redirect", "directResponse"])),
        on("HttpRouteFields", at_most_one(&["redirect", "delegate"])),
        on("HttpRouteFields", at_most_one(&["directResponse", "delegate"])),
        on(
            "HttpRouteFields",
            json!({ "anyOf": [
                { "required": ["route"], "properties": { "route": { "minItems": 1 } } },
                { "required": ["redirect"] },
                { "required": ["directResponse"] },
                { "required": ["delegate"] },
            ] }),
        ),
        on("HttpRedirectFields", at_most_one(&["port", "derivePort"])),
        on("AbortFields", exactly_one(&["httpStatus", "grpcStatus"])),
        on("DelayFields", json!({ "required": ["fixedDelay"] })),
        on("StringMatch", at_most_one(&["exact", "prefix"])),
        on("StringMatch", at_most_one(&["exact", "regex"])),
        on("StringMatch", at_most_one(&["prefix", "regex"])),
    ]
}

fn telemetry() -> Vec<Constraint> {
    let removed = json!({ "required": ["operation"], "properties": { "operation": { "enum": ["REMOVE"] } } });
    vec![
        on("MetricSelectorFields", at_most_one(&["metric", "customMetric"])),
        on(
            "TagOverrideFields",
            json!({ "oneOf": [
                { "required": ["value"], "properties": { "value": { "minLength": 1 } }, "not": removed },
                {
                    "required": ["operation"],
                    "properties": { "operation": { "enum": ["REMOVE"] }, "value": { "maxLength": 0 } },
                },
            ] }),
        ),
    ]
}

fn ours() -> Vec<Constraint> {
    let attached = [
        "RateLimitPolicySpec",
        "HealthCheckPolicyFields",
        "SessionPolicyFields",
    ];
    let mut all: Vec<_> = attached
        .into_iter()
        .flat_map(|spec| {
            [
                on(spec, json!({ "required": ["targetRefs"] })),
                at(spec, "targetRefs", json!({ "minItems": 1, "maxItems": 16 })),
            ]
        })
        .collect();
    all.extend([
        on(
            "RateLimitPolicySpec",
            rule("has(self.local) || has(self.global)", "needs local or global"),
        ),
        at(
            "LocalRateLimit",
            "limits",
            json!({ "minItems": 1, "maxItems": 32 }),
        ),
        at("LocalLimit", "requests", json!({ "minimum": 1 })),
        at("LocalLimit", "burst", json!({ "minimum": 1 })),
        at("LocalLimit", "by", json!({ "maxItems": 8 })),
        on(
            "GlobalFields",
            rule(
                "has(self.limits) ? !(has(self.backendRef) || has(self.domain) || has(self.descriptors)) : \
                 (has(self.backendRef) && has(self.domain) && has(self.descriptors))",
                "needs either limits, or all of backendRef, domain and descriptors",
            ),
        ),
        at("GlobalFields", "limits", json!({ "minItems": 1, "maxItems": 32 })),
        at(
            "GlobalFields",
            "descriptors",
            json!({ "minItems": 1, "maxItems": 32 }),
        ),
        at("GlobalFields", "domain", json!({ "minLength": 1 })),
        at(
            "GlobalDescriptor",
            "entries",
            json!({ "minItems": 1, "maxItems": 8 }),
        ),
        at("GlobalLimit", "requests", json!({ "minimum": 1 })),
        at("GlobalLimit", "by", json!({ "maxItems": 8 })),
        on(
            "DescriptorEntryFields",
            exactly_one(&["attribute", "header", "claim", "constant", "expression"]),
        ),
        on(
            "HealthCheckPolicyFields",
            rule(
                "[has(self.http), has(self.grpc), has(self.tcp)].exists_one(given, given)",
                "needs exactly one of http, grpc and tcp",
            ),
        ),
        on(
            "SessionPolicyFields",
            rule(
                "has(self.cookie) != has(self.header)",
                "needs exactly one of cookie and header",
            ),
        ),
        on(
            "FaultFilterSpec",
            rule("has(self.delay) || has(self.abort)", "needs delay or abort"),
        ),
        on("FaultAbortFields", exactly_one(&["httpStatus", "grpcStatus"])),
        at(
            "ExternalProcessorFilterSpec",
            "maxBodyBytes",
            json!({ "minimum": 1, "maximum": 4 * 1024 * 1024 }),
        ),
    ]);
    all
}

fn on(name: &'static str, add: Value) -> Constraint {
    Constraint {
        on: name,
        field: None,
        add,
    }
}

fn at(name: &'static str, field: &'static str, add: Value) -> Constraint {
    Constraint {
        on: name,
        field: Some(field),
        add,
    }
}

fn rule(rule: &str, message: &str) -> Value {
    json!({ "x-kubernetes-validations": [{ "rule": rule, "message": message }] })
}

/// Two fields that exclude one another. No CEL: its cost would be counted for every level of lists around it.
fn at_most_one(pair: &[&str; 2]) -> Value {
    json!({ "allOf": [{ "not": { "required": pair } }] })
}

fn exactly_one(fields: &[&str]) -> Value {
    let each: Vec<_> = fields
        .iter()
        .map(|field| json!({ "required": [field] }))
        .collect();
    json!({ "oneOf": each })
}

/// A port whose protocol names a host.
const DYNAMIC: &str = "has(port.protocol) && \
                       port.protocol.upperAscii() in ['HTTP', 'HTTP2', 'GRPC', 'GRPC-WEB', 'HTTPS', 'TLS']";
/// A port whose protocol names none.
const OPAQUE: &str = "has(port.protocol) && port.protocol.upperAscii() in ['TCP', 'MONGO', 'REDIS', 'MYSQL']";
/// A single address, also where it is written as a range.
const SINGLE: &str = "!address.contains('/') || address.endsWith('/128') || \
                      (address.endsWith('/32') && !address.contains(':'))";
