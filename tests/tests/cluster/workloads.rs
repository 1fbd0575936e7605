//! Whatever Kubernetes runs: Services with and without an address, StatefulSets, Jobs, the network of nodes, both families.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::Test;
use crate::mesh::{AMBIENT, LIMIT, Mesh, is_ready};
use crate::traffic::Captures;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "services_with_and_without_an_address_and_stateful_sets_are_reached_by_name_over_the_mesh",
        run: by_name,
    },
    Test {
        name: "jobs_and_cron_jobs_in_the_mesh_run_to_their_end",
        run: jobs,
    },
    Test {
        name: "the_nodes_own_network_reaches_pods_in_the_mesh_and_is_reached_by_them",
        run: host_network,
    },
    Test {
        name: "pods_of_both_families_talk_by_mutual_tls_over_ipv6_too",
        run: both_families,
    },
];

fn by_name(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("names", AMBIENT)?;
    mesh.strict("names")?;
    mesh.kubectl.apply(NAMES)?;
    mesh.start_server("names", "client", 0, "")?;
    let client = mesh.pod("names", "client")?;
    for server in mesh.pods("names", "app=db", 2)? {
        mesh.wait_tunnel(&client, &server)?;
    }
    for name in [
        "db",
        "db.names",
        "db.names.svc.cluster.local",
        "db-each",
        "db-0.db-each",
        "db-1.db-each.names.svc.cluster.local",
    ] {
        let text = format!("canary for {name}");
        let captures = Captures::start(mesh, &[&text])?;
        // In the pod itself: its resolver is asked. What the command prints crosses the node in the clear, and is a ledger.
        mesh.eventually(&format!("{name} answers"), || {
            let to = format!("{name}:9000");
            let one = [
                "/lab-app",
                "load",
                &to,
                "--rate",
                "5",
                "--seconds",
                "1",
                "--text",
                &text,
            ];
            let ledger = mesh.kubectl.exec("names", "client", &one)?;
            Ok(ledger.contains("\"failed\":0"))
        })?;
        captures.stop().nothing_in_the_clear().context(name)?;
    }
    mesh.forget("names")
}

const NAMES: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: db, namespace: names}
spec:
  selector: {app: db}
  ports: [{name: tcp, port: 9000}]
---
apiVersion: v1
kind: Service
metadata: {name: db-each, namespace: names}
spec:
  clusterIP: None
  selector: {app: db}
  ports: [{name: tcp, port: 9000}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: names}
spec:
  serviceName: db-each
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 0
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: db}}}
      containers:
      - name: app
        image: lab/app:1
        imagePullPolicy: Never
        args: [serve, --tcp, "9000"]
        readinessProbe: {tcpSocket: {port: 9000}, periodSeconds: 1}
"#;

fn jobs(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("chores", AMBIENT)?;
    mesh.strict("chores")?;
    let server = mesh.server("chores", "list", 1, "")?;
    let to = server.echo();
    mesh.kubectl.apply(&format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: once, namespace: chores}}\nspec:\n  template: {{spec: {POD}}}\n---\n\
         apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: often, namespace: chores}}\nspec:\n  schedule: \"* * * * *\"\n  \
         jobTemplate: {{spec: {{template: {{spec: {POD}}}}}}}\n",
        POD = chore(&to)
    ))?;
    let ended_well = |job: &Value| (job["status"]["succeeded"] == 1).then_some(());
    let once = ["job", "once", "-n", "chores"];
    mesh.kubectl
        .wait("the Job has ended well", &once, LIMIT, ended_well)?;
    // Its minute comes by itself; told that it missed one, its controller makes up for it at once.
    let missed = r#"{"status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}}"#;
    let patch = [
        "patch",
        "cronjob",
        "often",
        "-n",
        "chores",
        "--subresource=status",
    ];
    mesh.kubectl
        .run(&[&patch[..], &["--type=merge", "-p", missed]].concat())?;
    let jobs = ["jobs", "-n", "chores"];
    mesh.kubectl
        .wait("a Job of the CronJob has ended well", &jobs, LIMIT, |list| {
            let jobs = list["items"].as_array()?;
            let often = |job: &&Value| job["metadata"]["ownerReferences"][0]["kind"] == "CronJob";
            jobs.iter().filter(often).find_map(ended_well)
        })?;
    // STRICT: whoever was heard was in the mesh from its first packet.
    mesh.forget("chores")
}

/// A pod that says something to a server, once, from its first moment on.
fn chore(to: &SocketAddr) -> String {
    format!(
        "{{restartPolicy: Never, containers: [{{name: app, image: lab/app:1, imagePullPolicy: Never, \
         args: [send, \"{to}\", --text, done]}}]}}"
    )
}

fn host_network(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("ground", AMBIENT)?;
    let inside = mesh.server("ground", "inside", 0, "")?;
    let beside = mesh.server("ground", "beside", 0, "  hostNetwork: true\n")?;
    let beyond = mesh.server("ground", "beyond", 1, "  hostNetwork: true\n")?;
    for node in [&beside, &beyond] {
        mesh.eventually(&format!("{} is reached", node.name), || {
            Ok(mesh.reaches(&inside, node, "from a pod"))
        })?;
        let what = format!("{} reaches a pod that takes plain text", node.name);
        mesh.eventually(&what, || Ok(mesh.reaches(node, &inside, "from a node")))?;
    }
    mesh.strict("ground")?;
    // A node has no identity; its own kubelet's probes are let in by their address, and nobody else of another node.
    mesh.eventually("another node's programs are refused", || {
        Ok(!mesh.reaches(&beyond, &inside, "from a node"))
    })?;
    ensure!(mesh.reaches(&inside, &beyond, "from a pod"), "outwards");
    mesh.forget("ground")
}

fn both_families(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("six", AMBIENT)?;
    mesh.strict("six")?;
    mesh.start_server("six", "client", 0, "")?;
    mesh.start_server("six", "near", 0, "")?;
    mesh.start_server("six", "far", 1, "")?;
    let client = mesh.pod("six", "client")?;
    for name in ["near", "far"] {
        let server = mesh.pod("six", name)?;
        mesh.wait_tunnel(&client, &server)?;
        let object = mesh.kubectl.get(&["pod", name, "-n", "six"])?;
        ensure!(is_ready(&object), "{object}");
        let addresses = object["status"]["podIPs"].as_array().context("addresses")?;
        let addresses = addresses
            .iter()
            .filter_map(|a| a["ip"].as_str()?.parse::<IpAddr>().ok());
        let six = addresses
            .into_iter()
            .find(IpAddr::is_ipv6)
            .context("an IPv6 address")?;
        let text = format!("canary of six for {name}");
        let captures = Captures::start(mesh, &[&text])?;
        let answer = mesh.send_to(&client, SocketAddr::new(six, 9000), &text)?;
        let seen = captures.stop();
        ensure!(answer == text, "{answer}");
        seen.nothing_in_the_clear()?;
        ensure!(seen.nodes[server.node].tunnelled > 0, "{seen:?}");
    }
    mesh.forget("six")
}
