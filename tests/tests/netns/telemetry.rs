//! What the proxies say of known flows: metrics and the configuration dump, as upstream's tools read them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use lab::Lab;
use lab::config::PodSpec;
use serde_json::{Value, json};

use crate::client::{Fate, LIMIT, hold, say};
use crate::harness::{Test, test};
use crate::party::{ENROLLED, Party, knows_service, namespaces};

pub(crate) const TESTS: &[Test] = &[
    test(
        "tcp_metrics_have_upstreams_names_and_labels_and_both_reporters_count_the_same_bytes",
        metrics,
    ),
    test(
        "failed_and_denied_connections_are_counted_with_their_reason",
        failures,
    ),
    test(
        "the_configuration_dump_shows_workloads_services_certificates_and_open_connections",
        dump,
    ),
];

fn metrics(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let client = PodSpec::new(ENROLLED, "client", 0).label("version", "v2");
    let client = Party::of(lab, &client, true)?;
    let server = Party::start(lab, "server", 1, true)?;
    lab.config()
        .service(ENROLLED, "server", "10.96.4.1", "server", &[(80, 9001)])?;
    knows_service(lab, 0, "server")?;
    // The server greets, and echoes: different numbers of bytes each way, of two connections.
    let greeting = "220 lab-app at your service\r\n".len();
    for text in ["twelve bytes", "and thirteen!"] {
        let fate = say(client.namespace(), "10.96.4.1:80".parse()?, text)?;
        ensure!(
            matches!(&fate, Fate::Answered(s) if s.ends_with(text)),
            "{fate:?}"
        );
    }
    for (node, reporter) in [(0, "source"), (1, "destination")] {
        let labels = expected_labels(reporter);
        let series = |name: &str| -> Result<Option<f64>> {
            Ok(read(&lab.nodes()[node].metrics()?, name)?.remove(&labels))
        };
        // The proxies learn of the end one after the other.
        lab::wait::until(
            &format!("both connections closed at the {reporter}"),
            LIMIT,
            || (series("istio_tcp_connections_closed_total").ok()? == Some(2.0)).then_some(()),
        )
        .with_context(|| lab.nodes()[node].metrics().unwrap_or_default())?;
        for (name, value) in [
            ("istio_tcp_connections_opened_total", 2),
            ("istio_tcp_received_bytes_total", 25),
            ("istio_tcp_sent_bytes_total", 25 + 2 * greeting),
        ] {
            let found = series(name)?;
            ensure!(found == Some(value as f64), "{reporter} {name}: {found:?}");
        }
        let page = lab.nodes()[node].metrics()?;
        for name in [
            "connections_opened",
            "connections_closed",
            "received_bytes",
            "sent_bytes",
        ] {
            let said = format!("# TYPE istio_tcp_{name}_total counter");
            ensure!(page.lines().any(|l| l == said), "{said} is missing");
        }
        ensure!(
            page.contains("istio_build{component=\"ztunnel\",tag=\""),
            "{page}"
        );
    }
    drop(server);
    Ok(())
}

/// Upstream's labels, all of them, with the values of the flow.
fn expected_labels(reporter: &str) -> BTreeMap<String, String> {
    [
        ("reporter", reporter),
        ("source_workload", "client"),
        ("source_canonical_service", "client"),
        ("source_canonical_revision", "v2"),
        ("source_workload_namespace", "shop"),
        ("source_principal", "spiffe://cluster.local/ns/shop/sa/client"),
        ("source_app", "client"),
        ("source_version", "v2"),
        ("source_cluster", "Kubernetes"),
        ("destination_service", "server.shop.svc.cluster.local"),
        ("destination_service_namespace", "shop"),
        ("destination_service_name", "server"),
        ("destination_workload", "server"),
        ("destination_canonical_service", "server"),
        ("destination_canonical_revision", "latest"),
        ("destination_workload_namespace", "shop"),
        (
            "destination_principal",
            "spiffe://cluster.local/ns/shop/sa/server",
        ),
        ("destination_app", "server"),
        ("destination_version", "latest"),
        ("destination_cluster", "Kubernetes"),
        ("request_protocol", "tcp"),
        ("response_flags", "-"),
        ("connection_security_policy", "mutual_tls"),
        ("source_region", "lab"),
        ("source_zone", "lab-a"),
        ("destination_region", "lab"),
        ("destination_zone", "lab-b"),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .collect()
}

fn failures(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let client = Party::start(lab, "client", 0, true)?;
    let plain = Party::start(lab, "plain-client", 0, false)?;
    let server = Party::start(lab, "server", 1, true)?;
    lab.config().write(
        "policy.yaml",
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: no-greeting, namespace: shop}\nspec:\n  action: DENY\n  rules: [{to: [{operation: {ports: [\"9001\"]}}]}]\n",
    )?;
    lab.nodes()[1].wait_for_config("the policy", |dump| {
        dump["policies"].as_array().is_some_and(|p| p.len() == 1)
    })?;
    for (from, to) in [
        (&client, server.at(9001)),
        (&plain, server.at(9001)),
        (&client, server.at(7999)),
        (&plain, server.at(7999)),
    ] {
        let fate = say(from.namespace(), to, "")?;
        ensure!(fate == Fate::Reset, "{to}: {fate:?}");
    }
    let name = "istio_tcp_connections_failed_total";
    for (node, reporter, source, security, flag) in [
        (1, "destination", "client", "mutual_tls", "DENY"),
        (1, "destination", "client", "mutual_tls", "CONNECT"),
        (1, "destination", "plain-client", "unknown", "DENY"),
        (1, "destination", "plain-client", "unknown", "CONNECT"),
        (0, "source", "client", "mutual_tls", "DENY"),
        (0, "source", "client", "mutual_tls", "CONNECT"),
    ] {
        let wanted = [
            ("reporter", reporter),
            ("source_workload", source),
            ("destination_workload", "server"),
            ("connection_security_policy", security),
            ("response_flags", flag),
        ];
        let page = || lab.nodes()[node].metrics();
        lab::wait::until(&format!("{name} with {wanted:?}"), LIMIT, || {
            let series = read(&page().ok()?, name).ok()?;
            let fits = |labels: &BTreeMap<String, String>| {
                wanted.iter().all(|(k, v)| labels.get(*k).is_some_and(|l| l == v))
            };
            let found: Vec<_> = series.iter().filter(|(labels, _)| fits(labels)).collect();
            matches!(found.as_slice(), [(_, 1.0)]).then_some(())
        })
        .with_context(|| page().unwrap_or_default())?;
    }
    Ok(())
}

fn dump(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let client = Party::start(lab, "client", 0, true)?;
    let plain = Party::start(lab, "plain-client", 0, false)?;
    let server = Party::start(lab, "server", 1, true)?;
    lab.config()
        .service(ENROLLED, "server", "10.96.4.1", "server", &[(80, 9000)])?;
    knows_service(lab, 0, "server")?;
    let vip: SocketAddr = "10.96.4.1:80".parse()?;
    let held = [
        hold(client.namespace(), vip)?,
        hold(plain.namespace(), server.echo())?,
    ];
    let [near, far] = [lab.nodes()[0].config_dump()?, lab.nodes()[1].config_dump()?];
    for part in [
        "workloads",
        "services",
        "policies",
        "stagedServices",
        "staticConfig",
        "version",
        "config",
        "certificates",
        "workloadState",
    ] {
        ensure!(near.get(part).is_some(), "{part} is missing: {near:#}");
    }
    let workload = find(&near["workloads"], "name", "server")?;
    contains(
        workload,
        &json!({
            "uid": "Kubernetes//Pod/shop/server",
            "workloadIps": [server.pod.v4().to_string(), server.pod.v6().to_string()],
            "protocol": "HBONE", "namespace": "shop", "serviceAccount": "server",
            "workloadName": "server", "workloadType": "pod",
            "canonicalName": "server", "canonicalRevision": "latest",
            "node": "node2", "status": "Healthy", "clusterId": "Kubernetes", "trustDomain": "cluster.local",
            "locality": {"region": "lab", "zone": "lab-b", "subzone": ""},
        }),
    )?;
    contains(
        find(&near["workloads"], "name", "plain-client")?,
        &json!({"protocol": "TCP"}),
    )?;
    contains(
        find(&near["services"], "name", "server")?,
        &json!({
            "namespace": "shop", "hostname": "server.shop.svc.cluster.local", "vips": ["/10.96.4.1"],
            "ports": {"80": 9000},
            "endpoints": {"Kubernetes//Pod/shop/server": {
                "workloadUid": "Kubernetes//Pod/shop/server", "port": {"80": 9000}, "status": "Healthy",
            }},
        }),
    )?;
    let certificate = find(&far["certificates"], "identity", &server.identity())?;
    contains(certificate, &json!({"state": "Available"}))?;
    for chain in ["certChain", "rootCerts"] {
        for key in ["pem", "serialNumber", "validFrom", "expirationTime"] {
            ensure!(
                certificate[chain][0][key].is_string(),
                "{chain}[0].{key}: {certificate:#}"
            );
        }
    }
    // Each proxy lists what is open, and only its own pods.
    let [outbound, tunnelled, plaintext] = [
        json!({"protocol": "HBONE", "originalDst": vip.to_string(), "actualDst": server.at(15008).to_string(),
            "src": held[0].local()?.to_string()}),
        json!({"protocol": "HBONE", "actualDst": server.echo().to_string()}),
        json!({"protocol": "TCP", "actualDst": server.echo().to_string(), "src": held[1].local()?.to_string()}),
    ];
    for (dump, name, inbound, expected) in [
        (&near, "client", false, vec![outbound]),
        (&far, "server", true, vec![tunnelled, plaintext]),
    ] {
        let pods = dump["workloadState"].as_object().context("workloadState")?;
        ensure!(pods.len() == 1, "{pods:?}");
        let pod = pods.values().next().context("a pod")?;
        contains(pod, &json!({"state": "Up"}))?;
        let info = json!({"name": name, "namespace": "shop", "serviceAccount": name});
        contains(&pod["info"], &info)?;
        let (some, none) = if inbound {
            ("inbound", "outbound")
        } else {
            ("outbound", "inbound")
        };
        let open = &pod["connections"];
        ensure!(open[none] == json!([]), "{open:#}");
        ensure!(
            open[some].as_array().map(Vec::len) == Some(expected.len()),
            "{open:#}"
        );
        for (connection, expected) in open[some].as_array().into_iter().flatten().zip(&expected) {
            contains(connection, expected)?;
        }
    }
    Ok(())
}

fn find<'v>(list: &'v Value, key: &str, value: &str) -> Result<&'v Value> {
    let found = list.as_array().and_then(|l| l.iter().find(|v| v[key] == value));
    found.with_context(|| format!("nothing with {key} {value}: {list:#}"))
}

fn contains(object: &Value, expected: &Value) -> Result<()> {
    for (key, value) in expected.as_object().into_iter().flatten() {
        ensure!(&object[key] == value, "{key} is not {value}: {object:#}");
    }
    Ok(())
}

/// The series of one family: labels and value.
fn read(page: &str, family: &str) -> Result<BTreeMap<BTreeMap<String, String>, f64>> {
    let lines = page
        .lines()
        .filter_map(|l| l.strip_prefix(family)?.strip_prefix('{'));
    lines
        .map(|line| {
            let (labels, value) = line.rsplit_once("} ").context("a series without a value")?;
            // No value of the lab's has a quotation mark or a comma in it.
            let pairs = labels.split(',').filter_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                Some((key.to_owned(), value.trim_matches('"').to_owned()))
            });
            Ok((pairs.collect(), value.trim().parse().context("a value")?))
        })
        .collect()
}
