//! Things at random, valid ones.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use mesh_types::{NamespacedHostname, NamespacedName, Strng, WorkloadUid};

use crate::AppProtocol;
use crate::fixtures::Dice;
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
    Backend, Bind, Created, EndpointLabels, ObjectRef, Pattern, Policy, PolicyKind, Route, ServicePort,
    Target, TextMatch,
};

/// Something of which there are random ones.
pub(crate) trait Any: Sized {
    fn any(dice: &mut Dice) -> Self;
}

fn any<T: Any>(dice: &mut Dice) -> T {
    T::any(dice)
}

fn path(dice: &mut Dice) -> Strng {
    dice.of(&["/", "/a", "/a/b"]).into()
}

fn status(dice: &mut Dice) -> u16 {
    dice.of(&[200, 404, 503, 599])
}

fn percent(dice: &mut Dice) -> u32 {
    dice.0.u32(..=100)
}

fn some_time(dice: &mut Dice) -> Duration {
    any::<Duration>(dice) + Duration::from_nanos(1)
}

fn at_least_one<T: Any>(dice: &mut Dice) -> Vec<T> {
    [vec![any(dice)], any(dice)].into_iter().flatten().collect()
}

fn pattern(dice: &mut Dice) -> Pattern {
    Pattern::new(dice.of(&["", "a+", "/v[0-9]|b"])).unwrap()
}

fn uid(dice: &mut Dice) -> WorkloadUid {
    WorkloadUid::new(any::<Strng>(dice))
}

fn labels(dice: &mut Dice) -> BTreeMap<Strng, Strng> {
    any::<Vec<_>>(dice).into_iter().collect()
}

/// A struct all of whose fields may be anything.
macro_rules! fields {
    ($($type:ident { $($field:ident $(: $special:expr)?),* $(,)? })*) => { $(
        impl Any for $type {
            fn any(dice: &mut Dice) -> Self {
                Self { $($field: fields!(@ dice $($special)?),)* }
            }
        }
    )* };
    (@ $dice:ident) => { any($dice) };
    (@ $dice:ident $special:expr) => { ($special)($dice) };
}

/// An enum whose cases are equally likely.
macro_rules! cases {
    ($($type:ty { $($case:expr),* $(,)? })*) => { $(
        impl Any for $type {
            fn any(dice: &mut Dice) -> Self {
                let cases: &[fn(&mut Dice) -> Self] = &[$($case),*];
                dice.of(cases)(dice)
            }
        }
    )* };
}

// === what everything is made of ===

cases! {
    bool { |_| false, |_| true }
    // A text that may stand anywhere: a host, a header, a name.
    Strng { |_| "a".into(), |_| "b-c".into(), |_| "x.y".into() }
    u16 { |d| d.port() }
    u32 { |_| 0, |_| 1, |_| 1_000_000 }
    Duration { |_| Duration::ZERO, |_| Duration::from_millis(25), |_| Duration::new(3_600, 1) }
    Bytes { |_| "a".into(), |_| "bc".into() }
    IpNet { |d| d.range() }
    SocketAddr { |d| SocketAddr::new(d.ip().to_canonical(), d.port()) }
    Pattern { pattern }
    Created { |_| Created::unknown(), |d| Created::at(d.0.u64(..10)) }
    Share { |_| Share::ALL, |d| Share::new(d.0.u32(..=7), 7).unwrap() }
    NamespacedName { |d| NamespacedName::new(any::<Strng>(d), any::<Strng>(d)) }
    NamespacedHostname { |d| NamespacedHostname::new(any::<Strng>(d), any::<Strng>(d)) }
    TextMatch {
        |d| Self::Exact(d.of(&["", "a"]).into()), |d| Self::Prefix(d.of(&["", "a"]).into()),
        |d| Self::Suffix(d.of(&["", "a"]).into()), |d| Self::Regex(any(d)), |_| Self::Present,
    }
}

fields! {
    ObjectRef { kind, name }
    ServicePort { service, port }
    NamedMatch { name, value }
}

impl<T: Any> Any for Option<T> {
    fn any(dice: &mut Dice) -> Self {
        dice.0.bool().then(|| any(dice))
    }
}

impl<T: Any> Any for Vec<T> {
    fn any(dice: &mut Dice) -> Self {
        dice.rarely(any)
    }
}

impl<T: Any> Any for Box<T> {
    fn any(dice: &mut Dice) -> Self {
        Self::new(any(dice))
    }
}

impl<A: Any, B: Any> Any for (A, B) {
    fn any(dice: &mut Dice) -> Self {
        (any(dice), any(dice))
    }
}

impl<T: Any> Any for BTreeMap<u16, T> {
    fn any(dice: &mut Dice) -> Self {
        dice.rarely(any).into_iter().collect()
    }
}

// === binds, backends, TLS ===

fields! {
    Bind { gateway, listener, port, protocol }
    ProxyTrust { node, addresses_from }
    Backend { name, object, location }
    Certificate { chain, key }
    EndpointLabels { workload: uid, labels: labels }
    TlsOrigination { server_name, trust, subject_alt_names, certificate, alpn }
}

cases! {
    BindProtocol {
        |d| Self::Hbone { serves: any(d) }, |d| Self::Proxy { serves: any(d), trust: any(d) }, |d| Self::Plain(any(d)),
        |d| Self::Tls(any(d), any(d)),
    }
    Serves { |_| Self::Services, |_| Self::Workloads, |_| Self::All, |_| Self::Nothing }
    Frontend {
        |d| Self::Service(any(d)),
        |d| Self::Routes { hostnames: any(d), protocol: any(d) },
        |d| Self::Routes { hostnames: vec!["*.x.y".into()], protocol: any(d) },
    }
    AppProtocol {
        |_| Self::Unknown, |_| Self::Http11, |_| Self::Http2, |_| Self::Grpc, |_| Self::Tcp, |_| Self::Tls,
        |_| Self::GrpcWeb,
    }
    TlsTermination {
        |_| Self::Passthrough,
        |d| Self::Terminate { certificates: at_least_one(d), client_authorities: any(d) },
    }
    BackendTls { |_| Self::Off, |d| Self::On(any(d)), |d| Self::Invalid(any(d)) }
    Trust { |_| Self::System, |d| Self::Authorities(any(d)), |_| Self::Anybody }
    Location {
        |d| Self::Static(any(d)), |d| Self::Dns { host: any(d), port: any(d) },
        |d| Self::Dynamic { suffixes: vec![".x.y".into()], port: any(d) },
    }
}

// === routes ===

fields! {
    Route { object, part: |d: &mut Dice| d.of(&["", "tcp"]).into(), parents, created, consumer, hostnames, rules }
    HttpRule { name, matches, filters, action, timeouts, retry, session }
    HttpMatch {
        path, method, authority, scheme, headers, without_headers, query, claims, source_namespace, source_labels,
    }
    ClaimMatch { path: at_least_one, value }
    HttpBackend { weight, destination, filters }
    TlsRule { name, server_names, backends }
    TcpRule { name, destinations, backends }
    TcpBackend { weight, destination }
    HeaderEdits { set, add, remove }
    Rewrite { authority, path }
    Redirect {
        scheme: |d: &mut Dice| d.of(&[None, Some("http".into()), Some("https".into())]), hostname, port, path,
        status: |d: &mut Dice| d.of(&[301, 302, 303, 307, 308]),
    }
    Respond { status: status, body: |d: &mut Dice| any::<Option<Bytes>>(d).unwrap_or_default() }
    Mirror { destination, share }
    Cors {
        allow_origins, allow_methods, allow_headers, expose_headers, max_age, allow_credentials,
        forward_unmatched_preflights,
    }
    Fault { delay, abort }
    Timeouts { request, per_try }
    Retry { attempts, per_try_timeout, conditions, backoff, remote_localities, avoid_previous, retry_after }
    RetryBudget { percent: percent, minimum, interval }
    Session { name, carrier, absolute_timeout, idle_timeout }
}

cases! {
    RouteParent { |d| Self::ServicePort(any(d)), |d| Self::Service(any(d)), |d| Self::Bind(any(d)) }
    Rules { |d| Self::Http { order: any(d), rules: any(d) }, |d| Self::Tls(any(d)), |d| Self::Tcp(any(d)) }
    Order { |_| Self::Specificity, |_| Self::Listed }
    PathMatch {
        |d| Self::Exact(path(d)), |d| Self::Segments(path(d)), |d| Self::Prefix(path(d)), |d| Self::Regex(any(d)),
        |d| Self::ExactIgnoringCase(path(d)), |d| Self::PrefixIgnoringCase(path(d)),
    }
    HttpAction { |d| Self::Forward(any(d)), |d| Self::Redirect(any(d)), |d| Self::Respond(any(d)) }
    Destination {
        |d| Self::Service { service: any(d), subset: any(d) }, |d| Self::Backend(any(d)), |d| Self::Invalid(any(d)),
    }
    Filter {
        |d| Self::RequestHeaders(any(d)), |d| Self::ResponseHeaders(any(d)), |d| Self::Rewrite(any(d)),
        |d| Self::Mirror(any(d)), |d| Self::Cors(any(d)), |d| Self::Fault(any(d)), |d| Self::ExternalAuth(any(d)),
        |d| Self::ExternalProcessing(Arc::new(any(d))), |d| Self::Invalid(any(d)),
    }
    BodySendMode { |_| Self::None, |_| Self::Streamed, |_| Self::Buffered }
    BackendFilter {
        |d| Self::RequestHeaders(any(d)), |d| Self::ResponseHeaders(any(d)), |d| Self::Rewrite(any(d)),
        |d| Self::Mirror(any(d)), |d| Self::Redirect(any(d)), |d| Self::Invalid(any(d)),
    }
    PathRewrite {
        |d| Self::Full(path(d)), |d| Self::Prefix(path(d)), |_| Self::RawPrefix("".into()),
        |d| Self::Regex(any(d), path(d)),
    }
    RedirectPort { |_| Self::Derived, |_| Self::Requested, |_| Self::AsNamed, |d| Self::Given(any(d)) }
    Abort { |d| Self::Http(status(d)), |d| Self::Grpc(d.0.u8(..=16)) }
    RetryCondition {
        |_| Self::ServerError, |_| Self::GatewayError, |_| Self::Reset, |_| Self::ResetBeforeRequest,
        |_| Self::ConnectFailure, |_| Self::RefusedStream, |_| Self::RetriableClientError, |_| Self::RateLimited,
        |d| Self::Status(status(d)), |d| Self::Header(any(d), any(d)), |d| Self::Grpc(d.0.u8(..=16)),
    }
    SessionCarrier { |d| Self::Cookie { permanent: any(d) }, |_| Self::Header }
}

// === policies ===

fields! {
    Policy { object, targets, part, created, kind }
    Authorization { action, rules, dry_run }
    Rule { from, to, when }
    Source { principals, request_principals, namespaces, service_accounts, trust_domains, ips, remote_ips }
    Operation { hosts, ports, methods, paths }
    ExternalAuth {
        provider, service, protocol, timeout, fail_open, status_on_error: status, clear_route_cache, body,
    }
    ExternalAuthBody { limit: |d: &mut Dice| d.of(&[1, u32::MAX]), allow_partial, as_bytes }
    Authentication { rules }
    JwtRule {
        issuer, audiences, keys, locations, payload_header,
        claim_headers: |d: &mut Dice| d.rarely(|d| (any(d), at_least_one(d))), forward, space_delimited_claims,
    }
    TrafficRules { settings, ports, subsets }
    Subset { name, labels, settings, ports }
    TrafficSettings { balancer, locality, warmup, limits, outliers, tls, retry_budget, proxy_protocol }
    Warmup { duration: some_time, minimum_percent: percent, aggression_milli: |_: &mut Dice| 1_000 }
    ConnectionLimits {
        max_connections, connect_timeout, max_connection_duration, tcp_idle_timeout, keepalive,
        max_pending_requests, max_requests, max_requests_per_connection, max_retries, http_idle_timeout,
        max_concurrent_streams, http_version, http2_keepalive,
    }
    Http2Keepalive { interval: some_time, timeout: some_time }
    SuccessRate { minimum_hosts, request_volume, deviations_milli }
    FailureRate { percent: |_: &mut Dice| 85, minimum_hosts, request_volume }
    Keepalive { probes, time, interval }
    OutlierDetection {
        consecutive_5xx, consecutive_gateway_errors, consecutive_local_origin_failures, interval: some_time,
        base_ejection_time, max_ejection_percent: percent, min_health_percent: percent,
        error_statuses: |d: &mut Dice| d.of(&[vec![], vec![429, 500]]), success_rate, failure_rate,
    }
    LocalLimit { descriptor, requests, interval: some_time, burst, when }
    Descriptor { entries, when }
    GlobalLimit { service, domain, descriptors, timeout, fail_closed }
    DescriptorEntry { key, source, value }
    HealthCheck {
        probe, interval: some_time, timeout: some_time, unhealthy_threshold: |_: &mut Dice| 3,
        healthy_threshold: |_: &mut Dice| 1,
    }
    ExternalProcessing {
        name, service, mode, timeout: some_time, failure_mode_allow, body_limit: |_: &mut Dice| 9, mutation_rules,
        allow_mode_override,
    }
    ProcessingMode {
        request_headers, response_headers, request_body, response_body, request_trailers, response_trailers,
    }
    MutationRules { allow_all_routing, disallow_system, disallow_all }
    AccessLogging { sinks }
    LoggedTo { sink, filter }
    Metrics { overrides }
    MetricOverride { metric, disabled, tags }
    Tracing {
        exporter, sampling: percent, disabled, no_propagation, tags, not_by_request_id, no_istio_tags,
        path_limit: percent,
    }
    Distribution {
        from, to: |d: &mut Dice| {
            let part = percent(d);
            vec![(any(d), part), (any(d), 100 - part)]
        },
    }
}

impl<T: Any> Any for Values<T> {
    fn any(dice: &mut Dice) -> Self {
        Self {
            any: any(dice),
            none: any(dice),
            broken: dice.0.u8(..8) == 0,
        }
    }
}

cases! {
    Target {
        |_| Self::Mesh, |d| Self::Namespace(any(d)), |d| Self::Gateway(any(d)), |d| Self::Listener(any(d), any(d)),
        |d| Self::Service(any(d)), |d| Self::ServicePort(any(d)), |d| Self::Backend(any(d)), |d| Self::Route(any(d)),
        |d| Self::RouteRule(any(d), any(d)),
    }
    PolicyKind {
        |d| Self::Authorization(any(d)), |d| Self::Authentication(any(d)), |d| Self::Traffic(any(d)),
        |d| Self::BackendTls(any(d)), |d| Self::RateLimit(any(d)), |d| Self::HealthCheck(any(d)),
        |d| Self::Session(any(d)), |d| Self::Retry(any(d)), |d| Self::RetryBudget(any(d)), |d| Self::Fault(any(d)),
        |d| Self::AccessLogging(any(d)), |d| Self::Metrics(any(d)), |d| Self::Tracing(any(d)),
        |d| Self::PathNormalization(any(d)), |d| Self::ForwardClientIdentity(any(d)), |d| Self::TrustedProxies(any(d)),
    }
    PathNormalization {
        |_| Self::None, |_| Self::Base, |_| Self::MergeSlashes, |_| Self::DecodeAndMergeSlashes,
    }
    Action {
        |_| Self::Allow, |_| Self::Deny, |_| Self::Audit, |d| Self::External(any(d)), |d| Self::ExternalUnknown(any(d)),
    }
    Condition {
        |d| Self::Text(any(d), any(d)), |d| Self::Ip(any(d), any(d)), |d| Self::DestinationPort(any(d)),
        |d| Self::Unknown(any(d)),
    }
    TextAttribute {
        |d| Self::RequestHeader(any(d)), |_| Self::SourceNamespace, |_| Self::SourceServiceAccount,
        |_| Self::SourcePrincipal, |_| Self::SourceTrustDomain, |_| Self::RequestPrincipal, |_| Self::Audiences,
        |_| Self::Presenter, |d| Self::Claim(at_least_one(d)), |_| Self::ServerName,
    }
    IpAttribute { |_| Self::Source, |_| Self::Remote, |_| Self::Destination }
    PathPattern { |d| Self::Text(any(d)), |d| Self::Template(any(d)) }
    Segment { |d| Self::Literal(any(d)), |_| Self::Literal("".into()), |_| Self::One, |_| Self::Many }
    ExternalAuthProtocol {
        |_| Self::Grpc,
        |d| Self::Http {
            path_prefix: path(d), include_request_headers: any(d), additional_headers: any(d),
            upstream_headers_on_allow: any(d), downstream_headers_on_allow: any(d),
            downstream_headers_on_deny: any(d),
        },
    }
    KeySet {
        |d| Self::Inline(any(d)), |d| Self::Remote { uri: "http://a/b".into(), timeout: any(d) },
        |d| Self::Unusable(any(d)),
    }
    TokenLocation {
        |d| Self::Header { name: any(d), prefix: "Bearer ".into() }, |d| Self::Query(any(d)), |d| Self::Cookie(any(d)),
    }
    Balancer {
        |_| Self::LeastRequest, |_| Self::PeakEwma, |_| Self::RoundRobin, |_| Self::Random, |_| Self::Passthrough,
        |d| Self::ConsistentHash { key: any(d), ring: any(d) },
    }
    HashKey {
        |d| Self::Header(any(d)), |_| Self::SourceIp, |d| Self::Query(any(d)),
        |d| Self::Cookie { name: any(d), path: any(d), ttl: any(d), attributes: any(d) },
    }
    HashRing { |_| Self::Ring(1_024), |d| Self::Maglev(d.of(&[2, 3, 65_537, 5_000_011])) }
    LocalityRules {
        |_| Self::Off, |_| Self::Nearest, |d| Self::Distribute(any(d)), |d| Self::Failover(any(d)),
        |d| Self::Priority(any(d)),
    }
    HttpVersionPolicy { |_| Self::Declared, |_| Self::Http2, |_| Self::NoUpgrade, |_| Self::Client }
    ProxyProtocolVersion { |_| Self::V1, |_| Self::V2 }
    RateLimit { |d| Self::Local(any(d)), |d| Self::Global(any(d)) }
    DescriptorSource {
        |d| Self::Header(any(d)), |_| Self::Path, |_| Self::Method, |_| Self::Authority, |_| Self::SourcePrincipal,
        |_| Self::SourceNamespace, |d| Self::Claim(at_least_one(d)), |_| Self::RemoteAddress,
        |d| Self::Constant(any(d)), |d| Self::Expression(any(d)),
    }
    Probe {
        |d| Self::Http { path: path(d), host: any(d), statuses: vec![(200, status(d))] },
        |d| Self::Grpc { service: any(d) }, |_| Self::Tcp,
    }
    LogSink {
        |d| Self::File { path: any(d), format: any(d) },
        |d| Self::Otlp { service: any(d), body: any(d), attributes: any(d) },
    }
    LogFormat { |_| Self::Default, |_| Self::DefaultJson, |d| Self::Text(any(d)), |d| Self::Json(any(d)) }
    TraceExporter {
        |d| Self::OtlpGrpc(any(d)), |d| Self::OtlpHttp(any(d), path(d)), |d| Self::Zipkin(any(d), path(d)),
    }
    TraceTag {
        |d| Self::Literal(any(d)), |d| Self::Environment(any(d), any(d)), |d| Self::Header(any(d), any(d)),
        |d| Self::Formatted(any(d)),
    }
}
