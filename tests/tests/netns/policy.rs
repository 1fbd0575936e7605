//! PeerAuthentication and AuthorizationPolicy, on new connections and on open ones.

use anyhow::{Context, Result, ensure};
use lab::Lab;
use lab::config::PodSpec;
use serde_json::Value;

use crate::client::{Fate, hold, say};
use crate::harness::{Test, test};
use crate::party::{ENROLLED, Party, namespaces};
use crate::trace::Trace;

pub(crate) const TESTS: &[Test] = &[
    test(
        "strict_mtls_of_a_namespace_the_mesh_or_a_workload_refuses_plaintext_and_names_the_policy",
        strict,
    ),
    test(
        "processes_of_the_node_itself_count_as_probes_of_its_pods_under_strict_and_nobody_else_does",
        probes,
    ),
    test(
        "authorization_policies_allow_and_deny_by_principal_namespace_address_and_port",
        by_every_field,
    ),
    test(
        "a_policy_closes_the_open_connections_it_forbids_and_only_those_and_its_removal_admits_again",
        open_connections,
    ),
    test(
        "a_policy_that_comes_to_select_a_workload_by_its_labels_closes_open_connections",
        newly_selected,
    ),
];

fn strict(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let client = Party::start(lab, "client", 0, true)?;
    let plain = Party::start(lab, "plain-client", 0, false)?;
    let server = Party::start(lab, "server", 1, true)?;
    let mut trace = Trace::follow(lab)?;
    let shared = "istio-system/istio_converted_static_strict";
    for (namespace, name) in [(ENROLLED, "of-namespace"), ("istio-system", "of-mesh")] {
        let open = hold(plain.namespace(), server.echo())?;
        let mut tunnelled = hold(client.namespace(), server.echo())?;
        let file = peer_authentication(lab, namespace, name, "mtls: {mode: STRICT}")?;
        lists(lab, "server", shared, true)?;
        // The connection that was open goes; the one with an identity stays.
        let fate = open.end();
        ensure!(fate == Fate::Reset, "{fate:?}");
        tunnelled.echo("I am who I am")?;
        let closed = [
            ("direction", "inbound"),
            ("src.workload", "plain-client"),
            ("policy", shared),
        ];
        trace.expect_error(1, &closed, "closed due to policy change")?;
        for address in [server.pod.v4(), server.pod.v6()] {
            let to = (address, 9000).into();
            let fate = say(plain.namespace(), to, "plain")?;
            ensure!(fate == Fate::Reset, "{name}, {to}: {fate:?}");
            let denied = [
                ("direction", "inbound"),
                ("dst.addr", &to.to_string()),
                ("policy", shared),
            ];
            let line = trace.expect_error(1, &denied, "policy rejection")?;
            ensure!(line.get("src.identity").is_none(), "{line:?}");
            let fate = say(client.namespace(), to, "mtls")?;
            ensure!(
                fate == Fate::Answered("mtls".to_owned()),
                "{name}, {to}: {fate:?}"
            );
        }
        lab.config().remove(&file)?;
        lists(lab, "server", shared, false)?;
        let fate = say(plain.namespace(), server.echo(), "plain again")?;
        ensure!(
            fate == Fate::Answered("plain again".to_owned()),
            "{name}: {fate:?}"
        );
    }
    let spec = "selector: {matchLabels: {app: server}}\n  mtls: {mode: STRICT}\n  portLevelMtls: {9001: {mode: PERMISSIVE}}";
    peer_authentication(lab, ENROLLED, "of-workload", spec)?;
    let own = "shop/converted_peer_authentication_of-workload";
    lists(lab, "server", own, true)?;
    let fate = say(plain.namespace(), server.echo(), "plain")?;
    ensure!(fate == Fate::Reset, "{fate:?}");
    trace.expect_error(
        1,
        &[("direction", "inbound"), ("policy", own)],
        "policy rejection",
    )?;
    let fate = say(plain.namespace(), server.at(9001), "")?;
    ensure!(
        matches!(&fate, Fate::Answered(s) if s.starts_with("220 ")),
        "{fate:?}"
    );
    let fate = say(client.namespace(), server.echo(), "mtls")?;
    ensure!(fate == Fate::Answered("mtls".to_owned()), "{fate:?}");
    Ok(())
}

/// The kubelet's probes are plaintext from the node. Which process of the node is the kubelet cannot be told, so that all
/// of them pass, to the pods of their own node only.
fn probes(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let server = Party::start(lab, "server", 1, true)?;
    let neighbour = Party::start(lab, "neighbour", 1, false)?;
    peer_authentication(lab, ENROLLED, "strict", "mtls: {mode: STRICT}")?;
    lists(lab, "server", "istio-system/istio_converted_static_strict", true)?;
    let [far, near] = [0, 1].map(|n| lab.nodes()[n].namespace().clone());
    let mut trace = Trace::follow(lab)?;
    for address in [server.pod.v4(), server.pod.v6()] {
        let to = (address, 9000).into();
        let fate = say(&near, to, "are you well?")?;
        ensure!(
            fate == Fate::Answered("are you well?".to_owned()),
            "{to}: {fate:?}"
        );
        for (who, from) in [
            ("another node", &far),
            ("another machine", lab.control_namespace()),
            ("a pod beside it", neighbour.namespace()),
        ] {
            let fate = say(from, to, "are you well?")?;
            ensure!(fate == Fate::Reset, "{who} to {to}: {fate:?}");
            trace.expect_error(1, &[("dst.addr", &to.to_string())], "policy rejection")?;
        }
    }
    // The proxies did not even see the probes.
    let rest = trace.rest();
    ensure!(rest.is_empty(), "unexpected lines: {rest:#?}");
    Ok(())
}

/// The clients of [`by_every_field`], by their places in the expectations.
const CLIENTS: [&str; 4] = ["alice", "bob", "carol", "plain"];

fn by_every_field(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    lab.config().namespace("other", true)?;
    let clients = [
        Party::start(lab, "alice", 0, true)?,
        Party::start(lab, "bob", 1, true)?,
        Party::of(lab, &PodSpec::new("other", "carol", 0), true)?,
        Party::start(lab, "plain", 0, false)?,
    ];
    let server = Party::start(lab, "server", 1, true)?;
    let mut trace = Trace::follow(lab)?;
    let (bob, carol) = (clients[1].pod.v4(), clients[2].pod.v4());
    let nodes = "10.244.1.0/24";
    // Each: action, rules, who may speak to port 9000, who to port 9001.
    let (all, nobody): (&[&str], &[&str]) = (&CLIENTS, &[]);
    let cases: &[(&str, String, &[&str], &[&str])] = &[
        (
            "DENY",
            "[{from: [{source: {principals: [cluster.local/ns/shop/sa/alice]}}]}]".into(),
            &["bob", "carol", "plain"],
            &["bob", "carol", "plain"],
        ),
        (
            "DENY",
            "[{from: [{source: {notPrincipals: [\"*\"]}}]}]".into(),
            &["alice", "bob", "carol"],
            &["alice", "bob", "carol"],
        ),
        (
            "DENY",
            "[{from: [{source: {namespaces: [other]}}]}]".into(),
            &["alice", "bob", "plain"],
            &["alice", "bob", "plain"],
        ),
        (
            "DENY",
            format!("[{{from: [{{source: {{ipBlocks: [\"{bob}\", \"{carol}/32\"]}}}}]}}]"),
            &["alice", "plain"],
            &["alice", "plain"],
        ),
        (
            "DENY",
            "[{to: [{operation: {ports: [\"9001\"]}}]}]".into(),
            all,
            nobody,
        ),
        (
            "DENY",
            "[{from: [{source: {namespaces: [shop]}}], to: [{operation: {notPorts: [\"9000\"]}}]}]".into(),
            all,
            &["carol", "plain"],
        ),
        (
            "ALLOW",
            "[{from: [{source: {principals: [cluster.local/ns/shop/sa/alice]}}]}]".into(),
            &["alice"],
            &["alice"],
        ),
        (
            "ALLOW",
            "[{from: [{source: {namespaces: [\"sh*\"]}}], to: [{operation: {ports: [\"9000\"]}}]}]".into(),
            &["alice", "bob"],
            nobody,
        ),
        (
            "ALLOW",
            format!("[{{from: [{{source: {{ipBlocks: [\"{nodes}\"]}}}}]}}]"),
            &["alice", "carol", "plain"],
            &["alice", "carol", "plain"],
        ),
        ("ALLOW", "[]".into(), nobody, nobody),
    ];
    for (number, (action, rules, echo, greet)) in cases.iter().enumerate() {
        let name = format!("case-{number}");
        let file = policy(lab, &name, &format!("action: {action}\n  rules: {rules}"))?;
        enforced(lab, &name, true)?;
        for (port, allowed) in [(9000, echo), (9001, greet)] {
            for client in &clients {
                let what = format!("{action} {rules}: {} to port {port}", client.name());
                let fate = say(client.namespace(), server.at(port), "hello")?;
                if allowed.contains(&client.name()) {
                    ensure!(
                        matches!(&fate, Fate::Answered(s) if s.ends_with("hello")),
                        "{what}: {fate:?}"
                    );
                    continue;
                }
                ensure!(fate == Fate::Reset, "{what}: {fate:?}");
                let full = format!("{ENROLLED}/{name}");
                let mut values = vec![("direction", "inbound"), ("src.workload", client.name())];
                let error = if *action == "DENY" {
                    values.push(("policy", full.as_str()));
                    full.as_str()
                } else {
                    "no ALLOW policy matches"
                };
                trace.expect_error(1, &values, error).context(what)?;
            }
        }
        lab.config().remove(&file)?;
        enforced(lab, &name, false)?;
    }
    // An address is one of its family: who is let in by IPv6 is not let in by IPv4.
    let rules = format!(
        "rules: [{{from: [{{source: {{ipBlocks: [\"{}\"]}}}}]}}]",
        clients[0].pod.v6()
    );
    let file = policy(lab, "of-ipv6", &format!("action: ALLOW\n  {rules}"))?;
    enforced(lab, "of-ipv6", true)?;
    let to = (server.pod.v6(), 9000).into();
    let fates = [
        say(clients[0].namespace(), to, "by IPv6")?,
        say(clients[0].namespace(), server.echo(), "by IPv4")?,
        say(clients[3].namespace(), to, "by another's IPv6")?,
    ];
    let expected = [Fate::Answered("by IPv6".to_owned()), Fate::Reset, Fate::Reset];
    ensure!(fates == expected, "{rules}: {fates:?}");
    lab.config().remove(&file)?;
    enforced(lab, "of-ipv6", false)?;
    for client in &clients {
        let fate = say(client.namespace(), server.echo(), "free")?;
        ensure!(
            fate == Fate::Answered("free".to_owned()),
            "{}: {fate:?}",
            client.name()
        );
    }
    Ok(())
}

fn open_connections(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let alice = Party::start(lab, "alice", 0, true)?;
    let bob = Party::start(lab, "bob", 0, true)?;
    let plain = Party::start(lab, "plain", 0, false)?;
    let server = Party::start(lab, "server", 1, true)?;
    let mut trace = Trace::follow(lab)?;
    let forbidden = [
        hold(alice.namespace(), server.echo())?,
        hold(alice.namespace(), server.echo())?,
    ];
    let mut others = [
        hold(bob.namespace(), server.echo())?,
        hold(plain.namespace(), server.echo())?,
        hold(alice.namespace(), bob.echo())?,
    ];
    let spec = "action: DENY\n  selector: {matchLabels: {app: server}}\n  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/alice]}}]}]";
    let file = policy(lab, "no-alice", spec)?;
    for held in forbidden {
        let fate = held.end();
        ensure!(fate == Fate::Reset, "{fate:?}");
        let values = [
            ("direction", "inbound"),
            ("src.workload", "alice"),
            ("policy", "shop/no-alice"),
        ];
        trace.expect_error(1, &values, "connection closed due to policy change")?;
    }
    for held in &mut others {
        held.echo("still here")?;
    }
    let fate = say(alice.namespace(), server.echo(), "again?")?;
    ensure!(fate == Fate::Reset, "{fate:?}");
    lab.config().remove(&file)?;
    enforced(lab, "no-alice", false)?;
    lists(lab, "server", "shop/no-alice", false)?;
    let fate = say(alice.namespace(), server.echo(), "back")?;
    ensure!(fate == Fate::Answered("back".to_owned()), "{fate:?}");
    for held in &mut others {
        held.echo("and still here")?;
    }
    Ok(())
}

fn newly_selected(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let client = Party::start(lab, "client", 0, true)?;
    let server = Party::start(lab, "server", 1, true)?;
    let other = Party::start(lab, "other", 1, true)?;
    let deny = "action: DENY\n  selector: {matchLabels: {tier: gold}}\n  rules: [{from: [{source: {namespaces: [shop]}}]}]";
    policy(lab, "gold", deny)?;
    enforced(lab, "gold", true)?;
    let held = hold(client.namespace(), server.echo())?;
    let mut unrelated = hold(client.namespace(), other.echo())?;
    let mut trace = Trace::follow(lab)?;
    // The label comes while the connection is open.
    lab.config()
        .pod(&server.pod.spec().clone().label("tier", "gold"))?;
    let fate = held.end();
    ensure!(fate == Fate::Reset, "{fate:?}");
    trace.expect(
        1,
        &[
            ("direction", "inbound"),
            ("policy", "shop/gold"),
            ("dst.workload", "server"),
        ],
    )?;
    unrelated.echo("unrelated")?;
    // It goes again, and a selector comes that selects what was there all the time.
    lab.config().pod(server.pod.spec())?;
    lists(lab, "server", "shop/gold", false)?;
    let held = hold(client.namespace(), server.echo())?;
    policy(lab, "gold", &deny.replace("tier: gold", "app: server"))?;
    let fate = held.end();
    ensure!(fate == Fate::Reset, "{fate:?}");
    trace.expect(
        1,
        &[
            ("direction", "inbound"),
            ("policy", "shop/gold"),
            ("dst.workload", "server"),
        ],
    )?;
    unrelated.echo("still unrelated")?;
    Ok(())
}

/// Writes an AuthorizationPolicy of the enrolled namespace; gives its file.
fn policy(lab: &Lab, name: &str, spec: &str) -> Result<String> {
    let file = format!("policy-{name}.yaml");
    let text = format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: {ENROLLED}}}\nspec:\n  {spec}\n"
    );
    lab.config().write(&file, &text)?;
    Ok(file)
}

/// Writes a PeerAuthentication; gives its file.
fn peer_authentication(lab: &Lab, namespace: &str, name: &str, spec: &str) -> Result<String> {
    let file = format!("peer-{namespace}-{name}.yaml");
    let text = format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  {spec}\n"
    );
    lab.config().write(&file, &text)?;
    Ok(file)
}

/// Waits until the server's ztunnel has a policy of the enrolled namespace, or has it no more.
fn enforced(lab: &Lab, name: &str, wanted: bool) -> Result<()> {
    lab.nodes()[1].wait_for_config(&format!("policy {name}: {wanted}"), |dump| {
        let found = list(&dump["policies"]).any(|p| p["name"] == name && p["namespace"] == ENROLLED);
        found == wanted
    })
}

/// Waits until a workload of the server's node lists a policy, or lists it no more.
fn lists(lab: &Lab, workload: &str, policy: &str, wanted: bool) -> Result<()> {
    let what = format!("policy {policy} of {workload}: {wanted}");
    lab.nodes()[1].wait_for_config(&what, |dump| {
        let found = list(&dump["workloads"]).find(|w| w["name"] == workload);
        found.is_some_and(|w| list(&w["authorizationPolicies"]).any(|p| p == policy) == wanted)
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
