use std::collections::HashMap;

use super::*;

fn with(vars: &[(&str, &str)]) -> Result<Read, InvalidEnv> {
    let needed = [("POD_NAMESPACE", "shop"), ("GATEWAY_NAME", "waypoint")];
    let vars: HashMap<String, String> = needed
        .iter()
        .chain(vars)
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    read(&vars)
}

#[test]
fn the_variables_of_istios_template_are_enough() {
    let read = with(&[
        ("SERVICE_ACCOUNT", "waypoint"),
        ("CA_ADDR", "istiod.istio-system.svc:15012"),
        (
            "PROXY_CONFIG",
            r#"{"discoveryAddress":"cp:15012","concurrency":3,"proxyMetadata":{}}"#,
        ),
    ])
    .unwrap();
    let config = read.config;
    assert_eq!(
        config.node.identity.to_string(),
        "spiffe://cluster.local/ns/shop/sa/waypoint"
    );
    assert_eq!(config.node.gateway.to_string(), "shop/waypoint");
    assert_eq!(config.xds.address.to_string(), "https://cp:15012");
    assert_eq!(
        config.ca.address.to_string(),
        "https://istiod.istio-system.svc:15012"
    );
    assert_eq!(config.worker_threads, 3);
    assert_eq!(
        read.warnings,
        ["PROXY_CONFIG: proxyMetadata has no effect in this version"]
    );
}

#[test]
fn a_gateway_may_be_found_under_another_name_than_its_own() {
    let node = with(&[]).unwrap().config.node;
    assert_eq!(node.service.as_str(), "waypoint");
    let node = with(&[("ISTIO_META_WORKLOAD_NAME", "front")])
        .unwrap()
        .config
        .node;
    assert_eq!(
        (node.gateway.to_string().as_str(), node.service.as_str()),
        ("shop/waypoint", "front")
    );
}

#[test]
fn every_bad_value_is_told_at_once() {
    let error = with(&[
        ("CONNECTION_TERMINATION_DEADLINE", "5"),
        ("PROXY_CONFIG", "{"),
        ("INSTANCE_IP", "x"),
    ]);
    let error = error.unwrap_err().to_string();
    for key in ["CONNECTION_TERMINATION_DEADLINE", "PROXY_CONFIG", "INSTANCE_IP"] {
        assert!(error.contains(key), "{error}");
    }
    let nothing = read(&HashMap::<String, String>::new()).unwrap_err().to_string();
    assert!(nothing.contains("POD_NAMESPACE: is needed"), "{nothing}");
}
