//! Services that are no Kubernetes Services, and bindings to waypoints that are not there, from YAML to the connection.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use lab::Lab;
use serde_json::Value;

use crate::client::{Fate, say};
use crate::harness::{Test, test};
use crate::party::{ENROLLED, Party, namespaces};
use crate::trace::Trace;

pub(crate) const TESTS: &[Test] = &[
    test(
        "service_entries_lead_to_their_endpoints_and_to_pods_that_they_select_at_own_and_at_given_addresses",
        service_entries,
    ),
    test(
        "a_waypoint_that_is_not_there_closes_what_asks_for_it_until_an_annotation_or_the_label_none_opens_it",
        missing_waypoint,
    ),
];

fn service_entries(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let client = Party::start(lab, "client", 0, true)?;
    let outside = Party::start(lab, "outside", 1, false)?;
    let inside = Party::start(lab, "inside", 1, true)?;
    let endpoints = format!("endpoints: [{{address: {}}}]", outside.pod.v4());
    let selector = "location: MESH_INTERNAL, workloadSelector: {labels: {app: inside}}";
    for (name, spec) in [
        ("own", format!("addresses: [240.1.0.1], {endpoints}")),
        ("given", endpoints.clone()),
        ("selected", format!("addresses: [240.1.0.2], {selector}")),
    ] {
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: {ENROLLED}}}\n\
             spec: {{hosts: [{name}.example.com], resolution: STATIC, ports: [{{number: 80, name: tcp, protocol: TCP, targetPort: 9000}}], {spec}}}\n"
        );
        lab.config().write(&format!("entry-{name}.yaml"), &text)?;
    }
    let mut trace = Trace::follow(lab)?;
    for (name, server) in [("own", &outside), ("given", &outside), ("selected", &inside)] {
        lab.nodes()[0].wait_for_config(&format!("an endpoint of {name}"), |dump| {
            let endpoints = service(dump, name).map(|s| &s["endpoints"]);
            endpoints
                .and_then(Value::as_object)
                .is_some_and(|e| !e.is_empty())
        })?;
        let dump = lab.nodes()[0].config_dump()?;
        let vip = service(&dump, name).and_then(|s| s["vips"][0].as_str());
        let vip = vip.with_context(|| format!("{name} has no address: {dump}"))?;
        let to = SocketAddr::new(vip.trim_start_matches('/').parse()?, 80);
        if name == "given" {
            ensure!(vip.starts_with("/240.240."), "{vip}");
        }
        let fate = say(client.namespace(), to, name)?;
        ensure!(
            fate == Fate::Answered(name.to_owned()),
            "{name} at {to}: {fate:?}"
        );
        let host = format!("{name}.example.com");
        let mut values = vec![("direction", "outbound"), ("dst.service", host.as_str())];
        let identity = server.identity();
        if server.captured {
            values.push(("dst.identity", &identity));
        }
        let line = trace.expect(0, &values)?;
        ensure!(
            line.get("dst.identity").is_some() == server.captured,
            "{name}: {line:?}"
        );
    }
    Ok(())
}

fn missing_waypoint(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let client = Party::start(lab, "client", 0, true)?;
    let _server = Party::start(lab, "server", 1, true)?;
    let to: SocketAddr = "10.96.9.1:80".parse()?;
    let mut trace = Trace::follow(lab)?;
    let fail_open = "annotations: {lateen.dev/waypoint-fail-open: \"true\"}";
    for (what, metadata, bound) in [
        ("no label", "", false),
        ("a label", "labels: {istio.io/use-waypoint: wp}", true),
        (
            "a label and the annotation",
            &format!("labels: {{istio.io/use-waypoint: wp}}, {fail_open}"),
            false,
        ),
        ("a label again", "labels: {istio.io/use-waypoint: wp}", true),
        ("the label none", "labels: {istio.io/use-waypoint: none}", false),
    ] {
        let text = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: server, namespace: {ENROLLED}, {metadata}}}\n\
             spec: {{clusterIP: {}, selector: {{app: server}}, ports: [{{name: tcp, port: 80, targetPort: 9000}}]}}\n",
            to.ip()
        );
        lab.config().write("service-server.yaml", &text)?;
        lab.nodes()[0].wait_for_config(what, |dump| {
            service(dump, "server").is_some_and(|s| s["waypoint"].is_null() != bound)
        })?;
        let fate = say(client.namespace(), to, what)?;
        if bound {
            ensure!(fate == Fate::Reset, "{what}: {fate:?}");
            let values = [("direction", "outbound")];
            trace.expect_error(0, &values, "waypoint shop/wp.shop.svc.cluster.local")?;
        } else {
            ensure!(fate == Fate::Answered(what.to_owned()), "{what}: {fate:?}");
        }
    }
    Ok(())
}

fn service<'a>(dump: &'a Value, name: &str) -> Option<&'a Value> {
    dump["services"].as_array()?.iter().find(|s| s["name"] == name)
}
