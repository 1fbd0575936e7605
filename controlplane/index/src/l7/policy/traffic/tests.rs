use std::time::Duration;

use controlplane_k8s_api::Kind;
use mesh_model::l7::policy::PolicyKind;
use mesh_model::l7::resilience::RetryBudget;
use mesh_model::l7::tls::{BackendTls, Trust};
use mesh_model::l7::traffic::{
    Balancer, ConnectionLimits, Distribution, HashKey, HashRing, Http2Keepalive, HttpVersionPolicy,
    Keepalive, LocalityRules, OutlierDetection, ProxyProtocolVersion, TrafficRules, TrafficSettings, Warmup,
};

use crate::l7::policy::fixture::{Sent, object};

const KEY: &str = "DestinationRule/shop/d/traffic";

fn rule(spec: &str) -> String {
    let spec = format!("{{host: web, {spec}}}");
    object("networking.istio.io/v1", "DestinationRule", "shop/d", &spec)
}

fn traffic<'s>(sent: &'s Sent, key: &str) -> &'s TrafficRules {
    match sent.kind(key) {
        PolicyKind::Traffic(rules) => rules,
        other => panic!("{other:?}"),
    }
}

fn settings(policy: &str) -> TrafficSettings {
    let sent = Sent::of(&rule(&format!("trafficPolicy: {{{policy}}}")));
    traffic(&sent, KEY).settings.clone()
}

const fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[test]
fn balancers() {
    for (written, expected) in [
        ("simple: LEAST_REQUEST", Balancer::LeastRequest),
        ("simple: UNSPECIFIED", Balancer::LeastRequest),
        ("simple: RANDOM", Balancer::Random),
        ("simple: ROUND_ROBIN", Balancer::RoundRobin),
        ("simple: PASSTHROUGH", Balancer::Passthrough),
        (
            "consistentHash: {httpHeaderName: X-User}",
            Balancer::ConsistentHash {
                key: HashKey::Header("x-user".into()),
                ring: HashRing::Ring(1024),
            },
        ),
        (
            "consistentHash: {useSourceIp: true, maglev: {tableSize: 251}}",
            Balancer::ConsistentHash {
                key: HashKey::SourceIp,
                ring: HashRing::Maglev(251),
            },
        ),
        (
            "consistentHash: {httpQueryParameterName: q, ringHash: {minimumRingSize: 7}}",
            Balancer::ConsistentHash {
                key: HashKey::Query("q".into()),
                ring: HashRing::Ring(7),
            },
        ),
        (
            "consistentHash: {httpCookie: {name: c, path: /p, ttl: 0s, attributes: [{name: SameSite, value: Lax}]}}",
            Balancer::ConsistentHash {
                key: HashKey::Cookie {
                    name: "c".into(),
                    path: Some("/p".into()),
                    ttl: Some(Duration::ZERO),
                    attributes: vec![("SameSite".into(), "Lax".into())],
                },
                ring: HashRing::Ring(1024),
            },
        ),
    ] {
        let settings = settings(&format!("loadBalancer: {{{written}}}"));
        assert_eq!(settings.balancer, Some(expected));
    }
    assert_eq!(settings("").balancer, None);
}

#[test]
fn a_cookie_that_would_end_itself_hashes_nothing() {
    let sent = Sent::of(&rule(
        "trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {name: c, path: '/;x'}}}}",
    ));
    assert_eq!(
        traffic(&sent, KEY).settings.balancer,
        Some(Balancer::LeastRequest)
    );
    let told = sent.conditions(Kind::DestinationRule, "shop/d");
    assert!(
        told[0].starts_with("spec.trafficPolicy.loadBalancer.consistentHash.httpCookie: "),
        "{told:?}"
    );
}

#[test]
fn places_and_warm_up() {
    let locality =
        |written: &str| settings(&format!("loadBalancer: {{localityLbSetting: {{{written}}}}}")).locality;
    assert_eq!(
        locality("enabled: false, failoverPriority: [a]"),
        Some(LocalityRules::Off)
    );
    assert_eq!(locality("enabled: true"), Some(LocalityRules::Nearest));
    assert_eq!(locality(""), None);
    assert_eq!(
        locality("distribute: [{from: a/*, to: {b/*: 30, c/*: 70}}]"),
        Some(LocalityRules::Distribute(vec![Distribution {
            from: "a/*".into(),
            to: vec![("b/*".into(), 30), ("c/*".into(), 70)],
        }]))
    );
    assert_eq!(
        locality("failover: [{from: a, to: b}]"),
        Some(LocalityRules::Failover(vec![("a".into(), "b".into())]))
    );
    assert_eq!(
        locality("failoverPriority: [region, v=1]"),
        Some(LocalityRules::Priority(vec!["region".into(), "v=1".into()]))
    );
    assert_eq!(
        settings("loadBalancer: {warmup: {duration: 30s, minimumPercent: 20, aggression: 1.5}}").warmup,
        Some(Warmup {
            duration: Duration::from_secs(30),
            minimum_percent: 20,
            aggression_milli: 1500,
        })
    );
    assert_eq!(
        settings("loadBalancer: {warmupDurationSecs: 1s}")
            .warmup
            .map(|w| (w.minimum_percent, w.aggression_milli)),
        Some((10, 1000))
    );
}

#[test]
fn limits() {
    let tcp = "maxConnections: 5, connectTimeout: 1s, tcpKeepalive: {probes: 3, time: 7s, interval: 2s}, maxConnectionDuration: 1h, idleTimeout: 0s";
    let http = "http1MaxPendingRequests: 1, http2MaxRequests: 2, maxRequestsPerConnection: 3, maxRetries: 4, idleTimeout: 9s, h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 8, http2KeepAlive: {interval: 5s}";
    let limits = settings(&format!("connectionPool: {{tcp: {{{tcp}}}, http: {{{http}}}}}")).limits;
    assert_eq!(
        limits,
        Some(ConnectionLimits {
            max_connections: Some(5),
            connect_timeout: seconds(1),
            max_connection_duration: seconds(3600),
            // Never.
            tcp_idle_timeout: seconds(100 * 365 * 24 * 3600),
            keepalive: Some(Keepalive {
                probes: Some(3),
                time: seconds(7),
                interval: seconds(2),
            }),
            max_pending_requests: Some(1),
            max_requests: Some(2),
            max_requests_per_connection: Some(3),
            max_retries: Some(4),
            http_idle_timeout: seconds(9),
            max_concurrent_streams: Some(8),
            http_version: HttpVersionPolicy::Http2,
            http2_keepalive: Some(Http2Keepalive {
                interval: Duration::from_secs(5),
                timeout: Duration::from_secs(20),
            }),
        })
    );
    assert_eq!(
        settings("connectionPool: {tcp: {maxConnections: 0}}").limits,
        Some(ConnectionLimits::default()),
        "0 is no limit"
    );
    let version = |written: &str| {
        settings(&format!("connectionPool: {{http: {{{written}}}}}"))
            .limits
            .unwrap()
            .http_version
    };
    assert_eq!(version("useClientProtocol: true"), HttpVersionPolicy::Client);
    assert_eq!(
        version("h2UpgradePolicy: DO_NOT_UPGRADE"),
        HttpVersionPolicy::NoUpgrade
    );
}

#[test]
fn outliers() {
    let outliers = |written: &str| {
        settings(&format!("outlierDetection: {{{written}}}"))
            .outliers
            .unwrap()
    };
    assert_eq!(outliers(""), OutlierDetection::default());
    assert_eq!(
        outliers(
            "consecutive5xxErrors: 0, consecutiveGatewayErrors: 2, splitExternalLocalOriginErrors: true, interval: 1s, baseEjectionTime: 2s, maxEjectionPercent: 50, minHealthPercent: 30, outlierDetectionHttpErrorCodes: [429, 503]"
        ),
        OutlierDetection {
            consecutive_5xx: 0,
            consecutive_gateway_errors: 2,
            consecutive_local_origin_failures: Some(5),
            interval: Duration::from_secs(1),
            base_ejection_time: Duration::from_secs(2),
            max_ejection_percent: 50,
            min_health_percent: 30,
            error_statuses: vec![429, 503],
            ..OutlierDetection::default()
        }
    );
    assert_eq!(outliers("consecutiveErrors: 4").consecutive_gateway_errors, 4);
}

#[test]
fn budgets_proxy_protocol_and_tunnels() {
    let settings = settings(
        "retryBudget: {percent: 12.6, minRetryConcurrency: 4, budgetInterval: 1s}, proxyProtocol: {version: V2}",
    );
    assert_eq!(
        settings.retry_budget,
        Some(RetryBudget {
            percent: 13,
            minimum: 4,
            interval: Duration::from_secs(1),
        })
    );
    assert_eq!(settings.proxy_protocol, Some(ProxyProtocolVersion::V2));
    // What must go through a proxy goes nowhere without it.
    let sent = Sent::of(&rule(
        "trafficPolicy: {tunnel: {targetHost: a.example.com, targetPort: 443}}",
    ));
    assert!(matches!(
        traffic(&sent, KEY).settings.tls,
        Some(BackendTls::Invalid(_))
    ));
    let told = sent.conditions(Kind::DestinationRule, "shop/d");
    assert!(
        told[0].starts_with("spec.trafficPolicy.tunnel: is not supported"),
        "{told:?}"
    );
}

#[test]
fn a_port_has_its_own_block_and_a_subset_what_differs() {
    let sent = Sent::of(&rule(
        "trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}, portLevelSettings: [{port: {number: 90}, loadBalancer: {simple: RANDOM}}]}, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2, a: b}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, portLevelSettings: [{port: {number: 80}, outlierDetection: {}}]}}]",
    ));
    let rules = traffic(&sent, KEY);
    assert_eq!(rules.ports.len(), 1);
    assert_eq!(
        rules.ports[&90],
        TrafficSettings {
            balancer: Some(Balancer::Random),
            ..TrafficSettings::default()
        }
    );
    let [v1, v2] = rules.subsets.as_slice() else {
        panic!("{rules:?}")
    };
    assert_eq!(
        (v1.name.as_str(), &v1.labels),
        ("v1", &vec![("version".into(), "v1".into())])
    );
    assert_eq!(v1.settings, TrafficSettings::default());
    assert_eq!(v2.labels.len(), 2);
    assert_eq!(v2.settings.balancer, Some(Balancer::RoundRobin));
    assert_eq!(v2.ports[&80].outliers, Some(OutlierDetection::default()));
}

fn secret(name: &str, data: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: {name}, namespace: shop}}, stringData: {{{data}}}}}\n---\n"
    )
}

#[test]
fn tls_modes() {
    let certificate = secret("mine", "tls.crt: c, tls.key: k, ca.crt: a") + &secret("only-ca", "cacert: b");
    let bundle = "{apiVersion: v1, kind: ConfigMap, metadata: {name: cas, namespace: shop}, data: {ca.crt: '-----BEGIN CERTIFICATE-----'}}\n---\n";
    let tls = |written: &str| {
        let sent = Sent::of(
            &(certificate.clone() + bundle + &rule(&format!("trafficPolicy: {{tls: {{{written}}}}}"))),
        );
        traffic(&sent, KEY).settings.tls.clone().unwrap()
    };
    assert_eq!(tls("mode: DISABLE"), BackendTls::Off);
    assert_eq!(tls("mode: ISTIO_MUTUAL"), BackendTls::Off);
    let on = |written: &str| match tls(written) {
        BackendTls::On(origination) => origination,
        other => panic!("{written}: {other:?}"),
    };
    let simple = on("mode: SIMPLE, sni: s.example.com, subjectAltNames: [n]");
    assert_eq!(simple.trust, Trust::System);
    assert_eq!(
        (simple.server_name.as_deref(), simple.subject_alt_names.len()),
        (Some("s.example.com"), 1)
    );
    assert_eq!(on("mode: SIMPLE, insecureSkipVerify: true").trust, Trust::Anybody);
    assert_eq!(
        on("mode: SIMPLE, credentialName: only-ca").trust,
        Trust::Authorities("b".into())
    );
    assert_eq!(
        on("mode: SIMPLE, credentialName: 'configmap://cas'").trust,
        Trust::Authorities("-----BEGIN CERTIFICATE-----".into())
    );
    let mutual = on("mode: MUTUAL, credentialName: mine");
    assert_eq!(mutual.trust, Trust::Authorities("a".into()));
    let certificate = mutual.certificate.unwrap();
    assert_eq!(
        (&certificate.chain[..], &certificate.key[..]),
        (&b"c"[..], &b"k"[..])
    );
    // Nothing is sent where it cannot be sent as it must.
    for written in [
        "mode: SIMPLE, caCertificates: /etc/ca.pem",
        "mode: SIMPLE, caCrl: /etc/crl.pem",
        "mode: SIMPLE, credentialName: none",
        "mode: SIMPLE, credentialName: 'configmap://none'",
        "mode: MUTUAL, clientCertificate: /c, privateKey: /k",
        "mode: MUTUAL, credentialName: only-ca",
        "mode: MUTUAL, credentialName: 'configmap://cas'",
    ] {
        assert!(matches!(tls(written), BackendTls::Invalid(_)), "{written}");
    }
}

#[test]
fn a_secret_that_comes_later_is_found() {
    let mut sent = Sent::of(&rule(
        "trafficPolicy: {tls: {mode: MUTUAL, credentialName: late}}",
    ));
    assert!(matches!(
        traffic(&sent, KEY).settings.tls,
        Some(BackendTls::Invalid(_))
    ));
    sent.set(&secret("late", "tls.crt: c, tls.key: k"));
    assert!(matches!(
        traffic(&sent, KEY).settings.tls,
        Some(BackendTls::On(_))
    ));
    assert_eq!(sent.told.len(), 1);
}
