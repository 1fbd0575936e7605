//! Mutual TLS, STRICT and policies of layer 4, as applications and wires see them.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::access::AccessLine;

use crate::Test;
use crate::enrolment::is_captured;
use crate::mesh::{AMBIENT, Mesh, Pod};
use crate::traffic::Captures;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "pods_of_one_node_and_of_two_talk_by_mutual_tls_and_the_servers_proxy_knows_who_asks",
        run: mutual_tls,
    },
    Test {
        name: "strict_refuses_whoever_is_not_in_the_mesh_and_permissive_does_not",
        run: strict,
    },
    Test {
        name: "probes_of_every_kind_reach_pods_in_the_mesh_permissive_and_strict",
        run: probes,
    },
    Test {
        name: "a_policy_of_layer_4_admits_whom_it_names_and_nobody_else",
        run: policy,
    },
];

fn mutual_tls(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("tls", AMBIENT)?;
    for (name, node) in [("web", 0), ("near", 0), ("far", 1)] {
        mesh.start_server("tls", name, node, "")?;
    }
    let web = mesh.pod("tls", "web")?;
    for (name, node) in [("near", 0), ("far", 1)] {
        let server = mesh.pod("tls", name)?;
        ensure!(is_captured(mesh, &server)?, "{name}");
        mesh.wait_tunnel(&web, &server)?;
        let word = format!("canary-to-{name}");
        let captures = Captures::start(mesh, &[&word])?;
        let answer = mesh.send(&web, &server, &word)?;
        let seen = captures.stop();
        ensure!(answer == word, "{answer}");
        seen.nothing_in_the_clear()?;
        // On one node a pod's traffic passes its interface on the node, and comes by the other's.
        let there = &seen.nodes[node];
        ensure!(there.tunnelled > 0, "{seen:?}");
        ensure!((seen.wire.tunnelled > 0) == (node == 1), "{seen:?}");
        mesh.eventually("the server's proxy has said who asked", || {
            let lines = mesh.access(node)?;
            Ok(lines.iter().any(|line| is_from(line, &web, &server)))
        })?;
    }
    mesh.forget("tls")
}

/// Whether a key of a line is an address of this pod.
fn is_of(line: &AccessLine, key: &str, pod: &Pod) -> bool {
    line.get(key)
        .is_some_and(|address| address.starts_with(&format!("{}:", pod.ip)))
}

/// Whether a line tells of an incoming connection from this pod, with its identity, to the other.
pub(crate) fn is_from(line: &AccessLine, from: &Pod, to: &Pod) -> bool {
    line.is("direction", "inbound")
        && is_of(line, "src.addr", from)
        && is_of(line, "dst.addr", to)
        && line.is("src.identity", &from.identity("default"))
        && line.is("dst.identity", &to.identity("default"))
}

fn strict(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("vault", AMBIENT)?;
    mesh.namespace("street", "")?;
    mesh.start_server("vault", "safe", 1, "")?;
    mesh.start_server("vault", "clerk", 0, "")?;
    mesh.start_server("street", "passer-by", 0, "")?;
    let (safe, clerk) = (mesh.pod("vault", "safe")?, mesh.pod("vault", "clerk")?);
    let stranger = mesh.pod("street", "passer-by")?;
    mesh.wait_tunnel(&clerk, &safe)?;
    ensure!(
        mesh.send(&stranger, &safe, "good day")? == "good day",
        "PERMISSIVE takes plain text"
    );
    mesh.strict("vault")?;
    mesh.eventually("the stranger is refused", || {
        Ok(!mesh.reaches(&stranger, &safe, "good day"))
    })?;
    for _ in 0..5 {
        ensure!(
            !mesh.reaches(&stranger, &safe, "once more"),
            "the stranger got through"
        );
        ensure!(mesh.send(&clerk, &safe, "it is me")? == "it is me", "the clerk");
    }
    // Those of the mesh reach whoever is outside.
    ensure!(mesh.send(&clerk, &stranger, "hello")? == "hello", "outwards");
    mesh.kubectl
        .run(&["delete", "peerauthentication", "default", "-n", "vault"])?;
    mesh.eventually("the stranger is taken again", || {
        Ok(mesh.reaches(&stranger, &safe, "good day"))
    })?;
    mesh.forget("vault")?;
    mesh.forget("street")
}

/// Readiness and liveness of each kind; none would ever succeed if the node's rules did not let the kubelet past the proxy.
fn probes(mesh: &mut Mesh) -> Result<()> {
    let kinds = [
        ("http", "httpGet: {path: /, port: 8080}"),
        ("tcp", "tcpSocket: {port: 9000}"),
        ("grpc", "grpc: {port: 8081}"),
        ("exec", "exec: {command: [/lab-app, --version]}"),
    ];
    for namespace in ["asked", "asked-strictly"] {
        mesh.namespace(namespace, AMBIENT)?;
        if namespace == "asked-strictly" {
            mesh.strict(namespace)?;
        }
        for (name, probe) in kinds {
            let every = "periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 3";
            let more = format!(
                "    readinessProbe: {{{probe}, {every}}}\n    livenessProbe: {{{probe}, {every}, initialDelaySeconds: 1}}\n\
                 \x20 - name: grpc\n    image: lab/app:1\n    imagePullPolicy: Never\n    args: [web, --name, grpc, --port, \"8081\"]\n"
            );
            mesh.start_server(namespace, name, 1, &more)?;
        }
    }
    for namespace in ["asked", "asked-strictly"] {
        for (name, _) in kinds {
            let pod = mesh.pod(namespace, name)?;
            ensure!(is_captured(mesh, &pod)?, "{namespace}/{name}");
        }
    }
    // STRICT does hold: whoever is nobody's kubelet is refused.
    mesh.namespace("curious", "")?;
    let stranger = mesh.server("curious", "passer-by", 0, "")?;
    let asked = mesh.pod("asked-strictly", "tcp")?;
    mesh.eventually("a stranger is refused", || {
        Ok(!mesh.reaches(&stranger, &asked, "may I probe you"))
    })?;
    mesh.forget("curious")?;
    // As long as it takes a liveness probe to have a container killed, and some more.
    thread::sleep(Duration::from_secs(6));
    let pods = mesh.kubectl.get(&["pods", "-n", "asked-strictly"])?;
    for pod in pods["items"].as_array().context("pods")? {
        let containers = pod["status"]["containerStatuses"].as_array();
        for container in containers.context("statuses")? {
            ensure!(
                container["restartCount"] == 0 && container["ready"] == true,
                "{container}"
            );
        }
    }
    mesh.forget("asked")?;
    mesh.forget("asked-strictly")
}

fn policy(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("ledger", AMBIENT)?;
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: auditor, namespace: ledger}\n";
    mesh.kubectl.apply(account)?;
    mesh.start_server("ledger", "books", 1, "")?;
    mesh.start_server("ledger", "clerk", 0, "")?;
    mesh.start_server("ledger", "auditor", 0, "  serviceAccountName: auditor\n")?;
    let [books, clerk, auditor] = ["books", "clerk", "auditor"].map(|name| mesh.pod("ledger", name));
    let (books, clerk, auditor) = (books?, clerk?, auditor?);
    for client in [&clerk, &auditor] {
        mesh.wait_tunnel(client, &books)?;
    }
    mesh.kubectl.apply(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: books, namespace: ledger}\nspec:\n  \
         selector: {matchLabels: {app: books}}\n  action: ALLOW\n  rules:\n  - from:\n    - source: {principals: \
         [cluster.local/ns/ledger/sa/auditor]}\n    to:\n    - operation: {ports: [\"9000\"]}\n",
    )?;
    mesh.eventually("whom the policy does not name is refused", || {
        Ok(!mesh.reaches(&clerk, &books, "let me see"))
    })?;
    ensure!(
        mesh.send(&auditor, &books, "let me see")? == "let me see",
        "whom it names is admitted"
    );
    let elsewhere = SocketAddr::new(books.ip, 8080);
    let other = mesh.send_to(&auditor, elsewhere, "GET / HTTP/1.1\r\n\r\n");
    let answered = other.is_ok_and(|answer| answer.contains("answers"));
    ensure!(!answered, "only on the port that the policy names");
    mesh.eventually("the server's proxy has said whom it denied", || {
        let denied = |line: &AccessLine| {
            line.is("direction", "inbound") && is_of(line, "src.addr", &clerk) && line.get("error").is_some()
        };
        Ok(mesh.access(books.node)?.iter().any(denied))
    })?;
    mesh.forget("ledger")
}
