//! What passes a waypoint, and with whose identity at each hop.

use anyhow::{Context, Result, ensure};
use lab::Lab;

use crate::harness::{Test, test};
use crate::l7_stage::Stage;
use crate::trace::Trace;

pub(crate) const TESTS: &[Test] = &[
    test(
        "a_request_passes_the_waypoint_with_the_right_identity_at_each_hop",
        identities,
    ),
    test(
        "http_of_both_versions_grpc_websocket_and_tcp_pass_the_waypoint",
        protocols,
    ),
    test(
        "routes_split_by_weight_and_by_header_and_follow_their_file",
        routes,
    ),
];

fn identities(lab: &mut Lab) -> Result<()> {
    let mut stage = Stage::set(lab)?;
    let mut trace = Trace::follow(lab)?;
    let answer = stage.get(&["-i", "http://10.96.3.1/who"])?;
    ensure!(
        answer.status == "200" && answer.by.starts_with("app-v"),
        "{answer:?}"
    );
    let (client, waypoint) = (
        "spiffe://cluster.local/ns/shop/sa/client",
        stage.waypoint.identity(),
    );
    let app = format!("spiffe://cluster.local/ns/shop/sa/{}", answer.by);
    let hop = format!("{}:15008", stage.waypoint.replicas[0].address());
    trace.expect(
        0,
        &[
            ("direction", "outbound"),
            ("src.identity", client),
            ("dst.addr", &hop),
            ("dst.hbone_addr", "10.96.3.1:80"),
            ("dst.workload", "waypoint-5f6b7c8d9-1"),
            ("dst.identity", &waypoint),
        ],
    )?;
    let process = stage.waypoint.replicas[0].process()?;
    lab::wait::until("the waypoint's own line", crate::client::LIMIT, || {
        process.log().contains("\"GET /who HTTP/1.1\" 200 ").then_some(())
    })?;
    // The waypoint keeps its connection for the next request; its line comes when it ends.
    stage.waypoint.replicas[0].drain()?;
    trace.expect(
        1,
        &[
            ("direction", "inbound"),
            ("src.identity", &waypoint),
            ("dst.workload", &answer.by),
            ("dst.identity", &app),
        ],
    )?;
    Ok(())
}

fn protocols(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab)?;
    let app = lab.products().path("lab-app").display().to_string();
    // Debian's curl cannot make a second request of this kind on one connection.
    for (version, count) in [("--http1.1", 2), ("--http2-prior-knowledge", 1)] {
        let urls = vec!["http://10.96.3.1/one"; count];
        let all = stage.get_all(&[&[version], &urls[..]].concat())?;
        let right = all.iter().all(|a| a.status == "200" && a.by.starts_with("app-v"));
        ensure!(right && all.len() == count, "{version}: {all:?}");
    }
    for (arguments, wanted) in [
        (
            vec!["grpc", "10.96.3.1:9090", "one", "two"],
            vec!["status=200", ": one", ": two", "grpc-status=0"],
        ),
        (
            vec!["grpc", "--method", "/lab.Echo/Status14", "10.96.3.1:9090"],
            vec!["status=200", "grpc-status=14"],
        ),
        (
            vec!["websocket", "10.96.3.1:80", "hello", "again"],
            vec!["status=101", "hello", "again", "closed"],
        ),
        (vec!["send", "10.96.3.1:9000", "--text", "bytes"], vec!["bytes"]),
    ] {
        let said = stage.client.run(&app, &arguments)?;
        let right = said.ok && wanted.iter().all(|w| said.out.contains(w));
        ensure!(right, "{arguments:?}: {said:?}");
    }
    Ok(())
}

fn routes(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab)?;
    let rules = |rules: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: app, namespace: shop}}\nspec:\n  parentRefs: [{{group: '', kind: Service, name: app, port: 80}}]\n  rules:\n{rules}"
        )
    };
    let write = |text: &str| lab.config().write("route.yaml", &rules(text));
    let by = |name: &'static str| move |a: &crate::l7_stage::Answer| a.status == "200" && a.by == name;

    write("  - backendRefs: [{name: app-v2, port: 80}]\n")?;
    // The Service has both, so that either answers before the rule is there.
    stage.until_all("all to the second", &["http://10.96.3.1/w?[1-20]"], by("app-v2"))?;
    let all = stage.get_all(&["http://10.96.3.1/w?[1-50]"])?;
    ensure!(all.len() == 50 && all.iter().all(by("app-v2")), "{all:?}");

    write("  - backendRefs: [{name: app-v1, port: 80, weight: 80}, {name: app-v2, port: 80, weight: 20}]\n")?;
    stage.until("the first again", &["http://10.96.3.1/w"], by("app-v1"))?;
    let all = stage.get_all(&["http://10.96.3.1/w?[1-500]"])?;
    let second = all.iter().filter(|a| by("app-v2")(a)).count();
    let first = all.iter().filter(|a| by("app-v1")(a)).count();
    // Five points either way, over re-used connections.
    ensure!(
        first + second == 500 && (75..=125).contains(&second),
        "{first} and {second}"
    );

    write(
        "  - matches: [{headers: [{name: x-tester, value: 'yes'}]}]\n    backendRefs: [{name: app-v2, port: 80}]\n  - backendRefs: [{name: app-v1, port: 80}]\n",
    )?;
    stage.until_all(
        "by header",
        &["-H", "x-tester: yes", "http://10.96.3.1/h?[1-20]"],
        by("app-v2"),
    )?;
    let all = stage.get_all(&["http://10.96.3.1/h?[1-20]"])?;
    ensure!(all.iter().all(by("app-v1")), "{all:?}");

    // What does not parse leaves the last good one in force.
    lab.config().write(
        "route.yaml",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nspec: [\n",
    )?;
    lab.config()
        .service("shop", "other", "10.96.3.9", "other", &[(80, 80)])?;
    crate::party::knows_service(lab, 0, "other").context("the files after it")?;
    let answer = stage.get(&["-H", "x-tester: yes", "http://10.96.3.1/h"])?;
    ensure!(by("app-v2")(&answer), "{answer:?}");

    // A backend that is not there is 500, and no one else's turn.
    lab.config().write(
        "route.yaml",
        &rules("  - backendRefs: [{name: nowhere, port: 80}]\n"),
    )?;
    stage.until("the invalid backend", &["http://10.96.3.1/h"], |a| {
        a.status == "500"
    })?;
    lab.config().remove("route.yaml")?;
    stage.until("no route at all", &["http://10.96.3.1/h"], |a| a.status == "200")?;
    Ok(())
}
