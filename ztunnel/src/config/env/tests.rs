use std::collections::HashMap;

use super::*;

fn read_with(vars: &[(&str, &str)]) -> Result<Read, InvalidEnv> {
    let vars: HashMap<_, _> = vars
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    read(&vars)
}

fn refusals(vars: &[(&str, &str)]) -> Vec<String> {
    let problems = read_with(vars).expect_err("refused").0;
    problems.into_iter().map(|p| p.key).collect()
}

#[test]
fn an_empty_environment_gives_upstreams_defaults() {
    let Read { config, warnings } = read_with(&[]).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(&*config.node.cluster_id, "Kubernetes");
    assert_eq!(config.node.trust_domain.as_str(), "cluster.local");
    assert_eq!(
        config.pods.agent_socket.to_str(),
        Some("/var/run/ztunnel/ztunnel.sock")
    );
    assert_eq!(config.pods.mark, 1337);
    assert!(config.pods.original_source && config.pods.ipv6 && config.pods.port_reuse);
    assert_eq!(config.pods.user_timeout, None);
    assert_eq!(config.hbone, HboneOptions::default());
    assert!(config.response_baggage);
    assert_eq!(config.xds.address.to_string(), "https://localhost:15012");
    assert_eq!(
        config.xds.root,
        RootSource::Path("./var/run/secrets/istio/root-cert.pem".into())
    );
    assert_eq!(config.secret_ttl, Duration::from_secs(86_400));
    assert_eq!(config.termination_deadline, Duration::from_secs(5));
    assert_eq!(config.log_filter, "info");
}

#[test]
fn every_variable_arrives() {
    let Read { config, .. } = read_with(&[
        ("NODE_NAME", "node-1"),
        ("CLUSTER_ID", "one"),
        ("ISTIO_META_CLUSTER_ID", "two"),
        ("ISTIO_META_FLAVOUR", "mint"),
        ("NETWORK", "net"),
        ("TRUST_DOMAIN", "example.org"),
        ("INSTANCE_IP", "10.0.0.9"),
        ("POD_NAME", "ztunnel-x"),
        ("POD_NAMESPACE", "istio-system"),
        ("INPOD_UDS", "/tmp/z.sock"),
        ("KEEPALIVE_TIME", "60s"),
        ("KEEPALIVE_INTERVAL", "5s"),
        ("KEEPALIVE_RETRIES", "4"),
        ("USER_TIMEOUT_ENABLED", "true"),
        ("HTTP2_STREAM_WINDOW_SIZE", "65536"),
        ("HTTP2_CONNECTION_WINDOW_SIZE", "131072"),
        ("HTTP2_FRAME_SIZE", "16384"),
        ("POOL_MAX_STREAMS_PER_CONNECTION", "7"),
        ("POOL_UNUSED_RELEASE_TIMEOUT", "1m"),
        ("XDS_ADDRESS", "https://cp.example:15012"),
        ("XDS_ROOT_CA", "SYSTEM"),
        ("CA_ROOT_CA", "-----BEGIN CERTIFICATE-----\nx"),
        ("ALT_CA_HOSTNAME", "ca.example"),
        ("XDS_HEADER_x-a", "1"),
        ("CA_HEADER_x-b", "2"),
        ("SECRET_TTL", "1h"),
        ("COMPLIANCE_POLICY", "pqc"),
        ("TLS12_ENABLED", "true"),
        ("ZTUNNEL_WORKER_THREADS", "3"),
        ("RUST_LOG", "debug"),
        ("LOG_FORMAT", "json"),
        ("ENABLE_ORIG_SRC", "false"),
        ("IPV6_ENABLED", "false"),
        ("ENABLE_RESPONSE_BAGGAGE", "false"),
    ])
    .unwrap();
    assert_eq!(&*config.node.name, "node-1");
    assert_eq!(&*config.node.cluster_id, "two");
    assert!(config.node.metadata.contains(&("FLAVOUR".into(), "mint".into())));
    assert_eq!(config.node.instance_ip, Some("10.0.0.9".parse().unwrap()));
    assert_eq!(config.pods.user_timeout, Some(Duration::from_secs(80)));
    assert_eq!(config.hbone.stream_window, 65_536);
    assert_eq!(config.hbone.connection_window, 131_072);
    assert_eq!(config.hbone.frame_size, 16_384);
    assert_eq!(config.hbone.max_streams_per_connection, 7);
    assert_eq!(config.hbone.idle_timeout, Duration::from_secs(60));
    assert_eq!(config.xds.address.host(), "cp.example");
    assert_eq!(config.xds.root, RootSource::System);
    assert!(matches!(config.ca.root, RootSource::Inline(_)));
    assert_eq!(config.ca.alt_hostname.as_deref(), Some("ca.example"));
    assert_eq!(config.xds.headers, [("x-a".to_owned(), "1".to_owned())]);
    assert_eq!(config.ca.headers, [("x-b".to_owned(), "2".to_owned())]);
    assert_eq!(config.tls.groups, [KeyExchangeGroup::X25519MlKem768]);
    assert!(config.tls.tls12);
    assert_eq!(config.worker_threads, 3);
    assert_eq!(config.log_format, LogFormat::Json);
    assert!(!config.pods.original_source && !config.pods.ipv6 && !config.response_baggage);
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let keys = refusals(&[
        ("XDS_ADDRESS", "ftp://x"),
        ("HTTP2_FRAME_SIZE", "100"),
        ("KEEPALIVE_TIME", "10"),
        ("ZTUNNEL_WORKER_THREADS", "lots"),
        ("LOG_FORMAT", "xml"),
        ("TRUST_DOMAIN", "Not A Domain"),
        ("PACKET_MARK", "7"),
    ]);
    let expected = [
        "TRUST_DOMAIN",
        "KEEPALIVE_TIME",
        "PACKET_MARK",
        "HTTP2_FRAME_SIZE",
        "XDS_ADDRESS",
        "ZTUNNEL_WORKER_THREADS",
        "LOG_FORMAT",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn what_would_weaken_the_mesh_is_refused() {
    for (key, value) in [
        ("PROXY_MODE", "dedicated"),
        ("PROXY_MODE", "x"),
        ("ENABLE_PROXY", "false"),
        ("FAKE_CA", "true"),
        ("XDS_ON_DEMAND", "true"),
        ("UNSTABLE_ENABLE_SOCKS5", "true"),
        ("CRL_PATH", "/crl.pem"),
        ("LOCAL_XDS_PATH", "/x.yaml"),
        ("LOCAL_XDS", "{}"),
        ("COMPLIANCE_POLICY", "fips-140-2"),
        ("LATEEN_TLS_GROUPS", "X25519,none"),
    ] {
        assert_eq!(refusals(&[(key, value)]), [key], "{key}={value}");
    }
    read_with(&[
        ("PROXY_MODE", "shared"),
        ("ENABLE_PROXY", "true"),
        ("FAKE_CA", "false"),
    ])
    .unwrap();
}

#[test]
fn what_has_no_effect_is_said() {
    let Read { warnings, .. } =
        read_with(&[("LOCALHOST_APP_TUNNEL", "true"), ("PROXY_CONFIG", "a: b")]).unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with("PROXY_CONFIG "));
}

#[test]
fn the_deadline_leaves_kubernetes_a_margin() {
    for (vars, seconds) in [
        (&[("TERMINATION_GRACE_PERIOD_SECONDS", "30")][..], 25),
        (&[("TERMINATION_GRACE_PERIOD_SECONDS", "10")], 9),
        (&[("TERMINATION_GRACE_PERIOD_SECONDS", "0")], 1),
        (
            &[
                ("TERMINATION_GRACE_PERIOD_SECONDS", "30"),
                ("CONNECTION_TERMINATION_DEADLINE", "7s"),
            ],
            7,
        ),
    ] {
        let deadline = read_with(vars).unwrap().config.termination_deadline;
        assert_eq!(deadline, Duration::from_secs(seconds), "{vars:?}");
    }
}

#[test]
fn dns_is_captured_at_the_loopback_addresses_unless_it_is_said_otherwise() {
    for (vars, expected) in [
        (&[][..], vec!["127.0.0.1:15053", "[::1]:15053"]),
        (
            &[("ISTIO_META_DNS_CAPTURE", "true")],
            vec!["127.0.0.1:15053", "[::1]:15053"],
        ),
        (&[("ISTIO_META_DNS_CAPTURE", "false")], vec![]),
        (
            &[("ISTIO_META_DNS_PROXY_ADDR", "localhost:53053")],
            vec!["127.0.0.1:53053", "[::1]:53053"],
        ),
        (
            &[("ISTIO_META_DNS_PROXY_ADDR", "127.0.0.2:15053")],
            vec!["127.0.0.2:15053"],
        ),
    ] {
        let dns = read_with(vars).unwrap().config.dns;
        let listen: Vec<_> = dns.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, expected, "{vars:?}");
    }
    let vars = [
        ("CLUSTER_DOMAIN", "Mesh.Example."),
        ("LATEEN_RESOLV_CONF", "/etc/other"),
    ];
    let dns = read_with(&vars).unwrap().config.dns;
    assert_eq!(
        (&*dns.cluster_domain, dns.resolv_conf.to_str()),
        ("mesh.example", Some("/etc/other"))
    );
    assert_eq!(refusals(&[("ISTIO_META_DNS_PROXY_ADDR", "somewhere")]).len(), 1);
}
