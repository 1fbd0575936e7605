//! Examples for the tests: every field of every kind is set in one of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_types::{NamespacedHostname, NamespacedName, Strng, WorkloadUid};

use crate::AppProtocol;
use crate::l7::authentication::{Authentication, JwtRule, KeySet, TokenLocation};
use crate::l7::authorization::{
    Action, Authorization, Condition, ExternalAuth, ExternalAuthBody, ExternalAuthProtocol, IpAttribute,
    Operation, PathPattern, Rule, Segment, Source, TextAttribute, Values,
};
use crate::l7::backend::Location;
use crate::l7::bind::{BindProtocol, Frontend, ProxyTrust, Serves};
use crate::l7::filter::{
    Abort, BackendFilter, Cors, Fault, Filter, HeaderEdits, Mirror, PathRewrite, Redirect, RedirectPort,
    Respond, Rewrite, Share,
};
use crate::l7::health::{HealthCheck, Probe};
use crate::l7::policy::PathNormalization;
use crate::l7::processing::{BodySendMode, ExternalProcessing, MutationRules, ProcessingMode};
use crate::l7::quota::{QuotaLimit, QuotaUnit};
use crate::l7::rate_limit::{
    Descriptor, DescriptorEntry, DescriptorSource, GlobalLimit, LocalLimit, RateLimit,
};
use crate::l7::resilience::{Retry, RetryBudget, RetryCondition, Timeouts};
use crate::l7::route::{
    ClaimMatch, Destination, HttpAction, HttpBackend, HttpMatch, HttpRule, NamedMatch, Order, PathMatch,
    RouteParent, Rules, TcpBackend, TcpRule, TlsRule,
};
use crate::l7::session::{Session, SessionCarrier};
use crate::l7::telemetry::{
    AccessLogging, LogFormat, LogSink, LoggedTo, MetricOverride, Metrics, TraceExporter, TraceTag, Tracing,
};
use crate::l7::tls::{BackendTls, Certificate, TlsOrigination, TlsTermination, Trust};
use crate::l7::traffic::{
    Balancer, ConnectionLimits, Distribution, FailureRate, HashKey, HashRing, Http2Keepalive,
    HttpVersionPolicy, Keepalive, LocalityRules, OutlierDetection, ProxyProtocolVersion, Subset, SuccessRate,
    TrafficRules, TrafficSettings, Warmup,
};
use crate::l7::{
    Backend, Bind, Created, EndpointLabels, ObjectRef, Pattern, Policy, PolicyKind, Quota, Route,
    ServicePort, Target, TextMatch,
};

pub(crate) fn object(kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        kind: kind.into(),
        name: NamespacedName::new("shop", name),
    }
}

pub(crate) fn port(service: &str, port: u16) -> ServicePort {
    ServicePort {
        service: hostname(service),
        port,
    }
}

fn hostname(service: &str) -> NamespacedHostname {
    NamespacedHostname::new("shop", format!("{service}.shop.svc.cluster.local"))
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<Strng> {
    texts.map(Strng::from).to_vec()
}

fn pair(a: &str, b: &str) -> (Strng, Strng) {
    (a.into(), b.into())
}

fn exact(text: &str) -> TextMatch {
    TextMatch::Exact(text.into())
}

fn regex(text: &str) -> TextMatch {
    TextMatch::Regex(Pattern::new(text).unwrap())
}

fn named(name: &str, value: TextMatch) -> NamedMatch {
    NamedMatch {
        name: name.into(),
        value,
    }
}

fn to(service: &str) -> Destination {
    Destination::Service {
        service: port(service, 80),
        subset: None,
    }
}

fn gateway() -> NamespacedName {
    NamespacedName::new("shop", "waypoint")
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

// === binds ===

fn bind(listener: &str, protocol: BindProtocol) -> Bind {
    Bind {
        gateway: gateway(),
        listener: listener.into(),
        port: 15008,
        protocol,
    }
}

pub(crate) fn waypoint_bind() -> Bind {
    let serves = Serves::Services;
    bind("mesh", BindProtocol::Hbone { serves })
}

pub(crate) fn binds() -> Vec<(&'static str, Bind)> {
    let certificate = Certificate {
        chain: "-----BEGIN CERTIFICATE-----".into(),
        key: "-----BEGIN PRIVATE KEY-----".into(),
    };
    let routes = Frontend::Routes {
        hostnames: texts(["shop.example.com", "*.example.org"]),
        protocol: AppProtocol::Http11,
    };
    let terminate = TlsTermination::Terminate {
        certificates: vec![certificate],
        client_authorities: Some("-----BEGIN CERTIFICATE-----".into()),
    };
    let plain = BindProtocol::Plain(Frontend::Service(port("web", 80)));
    let sandwiched = BindProtocol::Proxy {
        serves: Serves::All,
        trust: ProxyTrust {
            node: true,
            addresses_from: vec!["10.0.0.0/8".parse().expect("a range")],
        },
    };
    vec![
        ("hbone", waypoint_bind()),
        ("proxy", bind("inner", sandwiched)),
        ("plain", bind("http", plain)),
        ("tls", bind("https", BindProtocol::Tls(terminate, routes.clone()))),
        (
            "passthrough",
            bind("sni", BindProtocol::Tls(TlsTermination::Passthrough, routes)),
        ),
    ]
}

// === backends ===

pub(crate) fn backends() -> Vec<(&'static str, Backend)> {
    let backend = |name: &str, location| Backend {
        name: name.into(),
        object: object("ServiceEntry", "out"),
        location,
    };
    let addresses = ["192.0.2.1:80", "[2001:db8::1]:8080"].map(|a| a.parse().unwrap());
    let dns = Location::Dns {
        host: "example.com".into(),
        port: 443,
    };
    let dynamic = Location::Dynamic {
        suffixes: texts([".example.com"]),
        port: 443,
    };
    vec![
        (
            "static",
            backend("ServiceEntry/shop/out/http", Location::Static(addresses.to_vec())),
        ),
        ("dns", backend("dns", dns)),
        ("dynamic", backend("dynamic", dynamic)),
    ]
}

pub(crate) fn quota() -> Quota {
    let limit = |name: &str, keys: &[&str], unit| QuotaLimit {
        name: name.into(),
        keys: keys.iter().map(|key| (*key).into()).collect(),
        requests: 1000,
        unit,
    };
    Quota {
        domain: "lateen.dev/shop/reviews".into(),
        limits: vec![
            limit("0", &["user", "path"], QuotaUnit::Day),
            limit("all", &[], QuotaUnit::Month),
        ],
        callers: [
            NamespacedName::new("shop", "wp"),
            NamespacedName::new("bank", "wp"),
        ]
        .into(),
    }
}

pub(crate) fn labels() -> EndpointLabels {
    EndpointLabels {
        workload: WorkloadUid::new("Kubernetes//Pod/shop/cart-1"),
        labels: [("app".into(), "cart".into()), ("version".into(), "v2".into())].into(),
    }
}

// === routes ===

pub(crate) fn routes() -> Vec<(&'static str, Route)> {
    let backends = || {
        let destination = Destination::Backend("dns".into());
        vec![TcpBackend {
            weight: 1,
            destination,
        }]
    };
    let tls = vec![TlsRule {
        name: Some("a".into()),
        server_names: texts(["web.example.com", "*.example.com"]),
        backends: backends(),
    }];
    let tcp = vec![TcpRule {
        name: None,
        destinations: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        backends: backends(),
    }];
    vec![
        ("http", http_route()),
        ("tls", route("TLSRoute", "", Rules::Tls(tls))),
        ("tcp", route("VirtualService", "tcp", Rules::Tcp(tcp))),
        ("empty", route("TCPRoute", "", Rules::Tcp(Vec::new()))),
    ]
}

fn route(kind: &str, part: &str, rules: Rules) -> Route {
    Route {
        object: object(kind, "cart"),
        part: part.into(),
        parents: vec![
            RouteParent::ServicePort(port("web", 80)),
            RouteParent::Service(hostname("cart")),
            RouteParent::Bind(waypoint_bind().key()),
        ],
        created: Created::at(1_700_000_000),
        consumer: None,
        hostnames: Vec::new(),
        rules,
    }
}

/// A route that says everything that one can say.
pub(crate) fn http_route() -> Route {
    let rules = vec![
        forwarding_rule(),
        rule(HttpAction::Redirect(redirect())),
        rule(HttpAction::Respond(Respond {
            status: 418,
            body: "short and stout".into(),
        })),
    ];
    let order = Order::Specificity;
    Route {
        created: Created::unknown(),
        consumer: Some("bank".into()),
        hostnames: texts(["shop.example.com"]),
        ..route("HTTPRoute", "", Rules::Http { order, rules })
    }
}

fn rule(action: HttpAction) -> HttpRule {
    HttpRule {
        name: None,
        matches: Vec::new(),
        filters: Vec::new(),
        action,
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
    }
}

fn redirect() -> Redirect {
    Redirect {
        scheme: Some("https".into()),
        hostname: Some("example.com".into()),
        port: RedirectPort::Given(8443),
        path: Some(PathRewrite::Prefix("/new".into())),
        status: 302,
    }
}

fn forwarding_rule() -> HttpRule {
    let backends = vec![
        HttpBackend {
            weight: 90,
            destination: to("v1"),
            filters: vec![
                BackendFilter::RequestHeaders(edits()),
                BackendFilter::ResponseHeaders(edits()),
                BackendFilter::Rewrite(rewrite(PathRewrite::Full("/x".into()))),
                BackendFilter::Mirror(mirror()),
            ],
        },
        HttpBackend {
            weight: 10,
            destination: Destination::Service {
                service: port("web", 80),
                subset: Some("canary".into()),
            },
            filters: vec![
                BackendFilter::Redirect(redirect()),
                BackendFilter::Invalid("no such filter".into()),
            ],
        },
        HttpBackend {
            weight: 0,
            destination: Destination::Invalid("Service shop/none does not exist".into()),
            filters: Vec::new(),
        },
    ];
    HttpRule {
        name: Some("first".into()),
        matches: matches(),
        filters: filters(),
        timeouts: Timeouts {
            request: Some(seconds(10)),
            per_try: Some(Duration::from_millis(1_500)),
        },
        retry: Some(retry()),
        session: Some(session()),
        ..rule(HttpAction::Forward(backends))
    }
}

fn matches() -> Vec<HttpMatch> {
    let full = HttpMatch {
        path: Some(PathMatch::Segments("/cart".into())),
        method: Some(exact("GET")),
        authority: Some(TextMatch::Prefix("shop.".into())),
        scheme: Some(exact("https")),
        headers: vec![named("x-user", regex("a+")), named("x-there", TextMatch::Present)],
        without_headers: vec![named("x-old", TextMatch::Suffix("1".into()))],
        query: vec![named("page", exact("2"))],
        claims: vec![ClaimMatch {
            path: texts(["realm", "roles"]),
            value: exact("admin"),
        }],
        source_namespace: Some("bank".into()),
        source_labels: vec![pair("app", "ledger")],
    };
    let paths = [
        PathMatch::Exact("/".into()),
        PathMatch::Prefix("/a".into()),
        PathMatch::Regex(Pattern::new("/v[0-9]+").unwrap()),
        PathMatch::ExactIgnoringCase("/B".into()),
        PathMatch::PrefixIgnoringCase("/C".into()),
    ];
    let others = paths.map(|path| HttpMatch {
        path: Some(path),
        ..HttpMatch::default()
    });
    [full, HttpMatch::default()].into_iter().chain(others).collect()
}

fn filters() -> Vec<Filter> {
    let substitution = PathRewrite::Regex(Pattern::new("v([0-9])").unwrap(), r"w\1".into());
    let cors = Cors {
        allow_origins: vec![exact("https://example.com")],
        allow_methods: texts(["GET", "*"]),
        allow_headers: texts(["X-Custom"]),
        expose_headers: texts(["*"]),
        max_age: Some(seconds(5)),
        allow_credentials: true,
        forward_unmatched_preflights: true,
    };
    vec![
        Filter::RequestHeaders(edits()),
        Filter::ResponseHeaders(HeaderEdits::default()),
        Filter::Rewrite(rewrite(substitution)),
        Filter::Rewrite(rewrite(PathRewrite::RawPrefix("/y".into()))),
        Filter::Mirror(mirror()),
        Filter::Cors(cors),
        Filter::Fault(fault()),
        Filter::ExternalAuth(Box::new(external_auth())),
        Filter::ExternalProcessing(Arc::new(processing())),
        Filter::Invalid("no such filter".into()),
    ]
}

fn edits() -> HeaderEdits {
    HeaderEdits {
        set: vec![pair("x-a", "1"), pair(":authority", "example.com")],
        add: vec![pair("x-b", "")],
        remove: texts(["x-c"]),
    }
}

fn rewrite(path: PathRewrite) -> Rewrite {
    Rewrite {
        authority: Some("example.com:8080".into()),
        path: Some(path),
    }
}

fn mirror() -> Mirror {
    Mirror {
        destination: to("shadow"),
        share: Share::new(1, 8).unwrap(),
    }
}

fn fault() -> Fault {
    Fault {
        delay: Some((seconds(2), Share::ALL)),
        abort: Some((Abort::Http(503), Share::new(5, 1_000).unwrap())),
    }
}

fn retry() -> Retry {
    let conditions = [
        RetryCondition::ServerError,
        RetryCondition::GatewayError,
        RetryCondition::Reset,
        RetryCondition::ResetBeforeRequest,
        RetryCondition::RetriableClientError,
        RetryCondition::RateLimited,
        RetryCondition::Header("x-retry".into(), exact("yes")),
    ];
    let default = Retry::default();
    Retry {
        per_try_timeout: Some(seconds(1)),
        conditions: [&default.conditions[..], &conditions].concat(),
        ..default
    }
}

fn session() -> Session {
    Session {
        name: "Lateen-Session".into(),
        carrier: SessionCarrier::Cookie { permanent: true },
        absolute_timeout: Some(seconds(3_600)),
        idle_timeout: Some(seconds(60)),
    }
}

// === policies ===

/// A policy of every kind.
pub(crate) fn policies() -> Vec<Policy> {
    kinds().into_iter().map(policy).collect()
}

pub(crate) fn policy(kind: PolicyKind) -> Policy {
    let route = object("HTTPRoute", "cart");
    Policy {
        object: object("AnyPolicy", "all"),
        targets: vec![
            Target::Mesh,
            Target::Namespace("shop".into()),
            Target::Gateway(gateway()),
            Target::Listener(gateway(), "mesh".into()),
            Target::Service(hostname("web")),
            Target::ServicePort(port("web", 80)),
            Target::Backend("dns".into()),
            Target::Route(route.clone()),
            Target::RouteRule(route, "first".into()),
        ],
        part: "team".into(),
        created: Created::at(0),
        kind,
    }
}

fn kinds() -> Vec<PolicyKind> {
    let tracing = Tracing {
        exporter: Some(TraceExporter::Zipkin(
            port("zipkin", 9411),
            "/api/v2/spans".into(),
        )),
        sampling: 10_000,
        disabled: true,
        no_propagation: true,
        tags: vec![
            ("a".into(), TraceTag::Literal("1".into())),
            ("b".into(), TraceTag::Environment("POD".into(), "none".into())),
            ("c".into(), TraceTag::Header("x-user".into(), "".into())),
            ("d".into(), TraceTag::Formatted("%PROTOCOL%".into())),
        ],
        not_by_request_id: true,
        no_istio_tags: true,
        path_limit: 64,
    };
    vec![
        PolicyKind::Authorization(authorization()),
        PolicyKind::Authentication(authentication()),
        PolicyKind::Traffic(Box::new(traffic())),
        PolicyKind::BackendTls(BackendTls::On(origination())),
        PolicyKind::RateLimit(RateLimit::Local(vec![local_limit()])),
        PolicyKind::HealthCheck(health_check()),
        PolicyKind::Session(session()),
        PolicyKind::Retry(retry()),
        PolicyKind::RetryBudget(RetryBudget::default()),
        PolicyKind::Fault(fault()),
        PolicyKind::AccessLogging(logging()),
        PolicyKind::Metrics(metrics()),
        PolicyKind::Tracing(tracing),
        PolicyKind::PathNormalization(PathNormalization::MergeSlashes),
        PolicyKind::TrustedProxies(2),
        PolicyKind::ForwardClientIdentity(true),
    ]
}

pub(crate) fn authorization() -> Authorization {
    let values = |text: &str| Values {
        any: vec![exact(text), TextMatch::Present],
        none: vec![TextMatch::Prefix(text.into())],
        broken: false,
    };
    let ips = || Values {
        any: vec!["10.0.0.0/8".parse().unwrap()],
        none: vec!["10.9.0.0/16".parse().unwrap()],
        broken: true,
    };
    let ports = || Values {
        any: vec![80, 443],
        none: vec![8080],
        broken: false,
    };
    let template = vec![Segment::Literal("a".into()), Segment::One, Segment::Many];
    let source = Source {
        principals: values("cluster.local/ns/shop/sa/web"),
        request_principals: values("issuer/subject"),
        namespaces: values("shop"),
        service_accounts: values("shop/web"),
        trust_domains: values("cluster.local"),
        ips: ips(),
        remote_ips: ips(),
    };
    let operation = Operation {
        hosts: values("example.com"),
        ports: ports(),
        methods: values("GET"),
        paths: Values {
            any: vec![PathPattern::Template(template)],
            none: vec![PathPattern::Text(exact("/admin"))],
            broken: false,
        },
    };
    let when = vec![
        Condition::Text(TextAttribute::RequestHeader("x-user".into()), values("a")),
        Condition::Text(TextAttribute::Claim(texts(["a", "b"])), values("a")),
        Condition::Text(TextAttribute::ServerName, Values::default()),
        Condition::Text(TextAttribute::ExternalAuth("tier".into()), values("a")),
        Condition::Ip(IpAttribute::Destination, ips()),
        Condition::DestinationPort(ports()),
        Condition::Unknown("experimental.envoy.filters.a".into()),
    ];
    let full = Rule {
        from: vec![source, Source::default()],
        to: vec![operation],
        when,
    };
    Authorization {
        action: Action::External(Box::new(external_auth())),
        rules: vec![full, Rule::default()],
        dry_run: true,
    }
}

pub(crate) fn external_auth() -> ExternalAuth {
    ExternalAuth {
        provider: "opa".into(),
        service: port("opa", 9191),
        protocol: ExternalAuthProtocol::Http {
            path_prefix: "/check".into(),
            include_request_headers: vec![TextMatch::Prefix("x-".into())],
            additional_headers: vec![pair("x-from", "waypoint")],
            upstream_headers_on_allow: vec![exact("x-user")],
            downstream_headers_on_allow: vec![exact("set-cookie")],
            downstream_headers_on_deny: vec![exact("www-authenticate")],
        },
        timeout: Duration::from_millis(200),
        fail_open: true,
        status_on_error: 403,
        clear_route_cache: true,
        body: Some(ExternalAuthBody {
            limit: 8_192,
            allow_partial: true,
            as_bytes: true,
        }),
    }
}

fn authentication() -> Authentication {
    let rule = |keys| JwtRule {
        issuer: "https://issuer.example.com".into(),
        audiences: texts(["shop"]),
        keys,
        locations: vec![
            TokenLocation::Header {
                name: "x-token".into(),
                prefix: "Bearer ".into(),
            },
            TokenLocation::Query("token".into()),
            TokenLocation::Cookie("token".into()),
        ],
        payload_header: Some("x-payload".into()),
        claim_headers: vec![("x-role".into(), texts(["realm", "role"]))],
        forward: true,
        space_delimited_claims: texts(["roles"]),
    };
    let remote = KeySet::Remote {
        uri: "https://issuer.example.com/keys".into(),
        timeout: seconds(5),
    };
    Authentication {
        rules: vec![
            rule(KeySet::Inline(r#"{"keys":[]}"#.into())),
            rule(remote),
            rule(KeySet::Unusable("not fetched".into())),
        ],
    }
}

fn traffic() -> TrafficRules {
    let hashed = TrafficSettings {
        balancer: Some(Balancer::ConsistentHash {
            key: HashKey::Cookie {
                name: "user".into(),
                path: Some("/".into()),
                ttl: Some(Duration::ZERO),
                attributes: vec![pair("SameSite", "Strict")],
            },
            ring: HashRing::Maglev(65_537),
        }),
        locality: Some(LocalityRules::Failover(vec![pair("eu", "us")])),
        ..TrafficSettings::default()
    };
    let subset = Subset {
        name: "canary".into(),
        labels: vec![pair("version", "v2")],
        settings: TrafficSettings::default(),
        ports: BTreeMap::from([(443, hashed.clone())]),
    };
    TrafficRules {
        settings: traffic_settings(),
        ports: BTreeMap::from([(80, hashed), (443, TrafficSettings::default())]),
        subsets: vec![subset],
    }
}

fn traffic_settings() -> TrafficSettings {
    TrafficSettings {
        balancer: Some(Balancer::RoundRobin),
        locality: Some(LocalityRules::Distribute(vec![Distribution {
            from: "eu/*".into(),
            to: vec![("eu/a".into(), 80), ("eu/b".into(), 20)],
        }])),
        warmup: Some(Warmup {
            duration: seconds(30),
            minimum_percent: 10,
            aggression_milli: 1_000,
        }),
        limits: Some(ConnectionLimits {
            max_connections: Some(100),
            connect_timeout: Some(seconds(3)),
            max_connection_duration: Some(seconds(600)),
            tcp_idle_timeout: Some(seconds(60)),
            keepalive: Some(Keepalive {
                probes: Some(3),
                time: Some(seconds(60)),
                interval: Some(seconds(10)),
            }),
            max_pending_requests: Some(1),
            max_requests: Some(0),
            max_requests_per_connection: Some(10),
            max_retries: Some(3),
            http_idle_timeout: Some(seconds(30)),
            max_concurrent_streams: Some(100),
            http_version: HttpVersionPolicy::Http2,
            http2_keepalive: Some(Http2Keepalive {
                interval: seconds(30),
                timeout: seconds(5),
            }),
        }),
        outliers: Some(OutlierDetection {
            consecutive_local_origin_failures: Some(5),
            error_statuses: vec![429, 503],
            success_rate: Some(SuccessRate::default()),
            failure_rate: Some(FailureRate::default()),
            ..OutlierDetection::default()
        }),
        tls: Some(BackendTls::Invalid("no such secret".into())),
        retry_budget: Some(RetryBudget::default()),
        proxy_protocol: Some(ProxyProtocolVersion::V2),
    }
}

fn origination() -> TlsOrigination {
    TlsOrigination {
        server_name: Some("example.com".into()),
        trust: Trust::Authorities("-----BEGIN CERTIFICATE-----".into()),
        subject_alt_names: texts(["example.com", "spiffe://cluster.local/ns/a/sa/b"]),
        certificate: Some(Certificate {
            chain: "-----BEGIN CERTIFICATE-----".into(),
            key: "-----BEGIN PRIVATE KEY-----".into(),
        }),
        alpn: texts(["h2"]),
    }
}

fn local_limit() -> LocalLimit {
    LocalLimit {
        descriptor: vec![entry(DescriptorSource::Header("x-user".into()))],
        requests: 10,
        interval: seconds(60),
        burst: 20,
        when: Some("request.method == 'GET'".into()),
    }
}

pub(crate) fn global_limit() -> GlobalLimit {
    let constant = entry(DescriptorSource::Constant("all".into()));
    GlobalLimit {
        service: port("limits", 8081),
        domain: "shop".into(),
        descriptors: vec![
            Descriptor {
                entries: vec![constant, entry(DescriptorSource::Claim(texts(["sub"])))],
                when: Some("true".into()),
            },
            Descriptor {
                entries: vec![entry(DescriptorSource::Expression("request.host".into()))],
                when: None,
            },
        ],
        timeout: Duration::from_millis(20),
        fail_closed: true,
    }
}

fn entry(source: DescriptorSource) -> DescriptorEntry {
    DescriptorEntry {
        key: "user".into(),
        source,
        value: Some(TextMatch::Present),
    }
}

fn processing() -> ExternalProcessing {
    ExternalProcessing {
        name: "ExternalProcessorFilter shop/changer".into(),
        service: port("changer", 9002),
        mode: ProcessingMode {
            request_headers: true,
            response_headers: true,
            request_body: BodySendMode::Streamed,
            response_body: BodySendMode::Buffered,
            request_trailers: true,
            response_trailers: true,
        },
        timeout: Duration::from_millis(200),
        failure_mode_allow: true,
        body_limit: 65_536,
        mutation_rules: MutationRules {
            allow_all_routing: true,
            disallow_system: true,
            disallow_all: true,
        },
        allow_mode_override: true,
    }
}

fn health_check() -> HealthCheck {
    HealthCheck {
        probe: Probe::Http {
            path: "/healthz".into(),
            host: Some("web".into()),
            statuses: vec![(200, 204), (404, 404)],
        },
        interval: seconds(5),
        timeout: seconds(1),
        unhealthy_threshold: 3,
        healthy_threshold: 1,
    }
}

fn logging() -> AccessLogging {
    let file = |format| LogSink::File {
        path: "/dev/stdout".into(),
        format,
    };
    let sinks = [
        file(LogFormat::Default),
        file(LogFormat::DefaultJson),
        file(LogFormat::Text("%PROTOCOL%\n".into())),
        file(LogFormat::Json(vec![pair("protocol", "%PROTOCOL%")])),
        LogSink::Otlp {
            service: port("collector", 4317),
            body: Some("%PROTOCOL%".into()),
            attributes: vec![pair("a", "b")],
        },
    ];
    let logged = |sink| LoggedTo {
        sink,
        filter: Some("response.code >= 400".into()),
    };
    AccessLogging {
        sinks: sinks.map(logged).into(),
    }
}

fn metrics() -> Metrics {
    Metrics {
        overrides: vec![MetricOverride {
            metric: Some("istio_requests_total".into()),
            disabled: Some(false),
            tags: vec![
                ("request_host".into(), Some("request.host".into())),
                ("source_app".into(), None),
            ],
        }],
    }
}
