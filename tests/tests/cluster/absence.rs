//! Pods of a STRICT namespace that start while a part of the mesh is away. None of them ever sends or is heard in the clear, and
//! each is in the mesh once the part is back, without a restart.
//!
//! Without the agent or the ztunnel of its node a pod waits: its sandbox is refused, and tried again. Without the control plane it
//! starts, and its connections fail: no proxy acts for a pod, or admits anybody to one, of which it was not told. Where another node
//! alone is without the control plane, whoever calls from there is refused, and kept silent until then.

use anyhow::{Context as _, Result, ensure};
use lab::access::AccessLine;
use lab::cut::{CUT_OFF, MENDED};
use mesh_types::ports::STRICT_TABLE;
use serde_json::Value;

use crate::Test;
use crate::mesh::{AMBIENT, LIMIT, Mesh, Pod, SYSTEM, is_ready, printed};
use crate::security::is_from;
use crate::traffic::Captures;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "a_pod_that_starts_while_the_ztunnel_of_its_node_is_away_waits_for_it_and_sends_nothing_in_the_clear",
        run: |mesh| waits(mesh, "unproxied", "ztunnel", "app=ztunnel", "ztunnel"),
    },
    Test {
        name: "a_pod_that_starts_while_the_agent_of_its_node_is_away_waits_for_it_and_sends_nothing_in_the_clear",
        run: |mesh| {
            waits(
                mesh,
                "unwatched",
                "istio-cni-node",
                "k8s-app=istio-cni-node",
                "agent",
            )
        },
    },
    Test {
        name: "a_pod_that_starts_while_the_control_plane_is_away_is_heard_by_nobody_until_it_is_back",
        run: without_control_plane,
    },
    Test {
        name: "a_pod_that_starts_while_another_node_alone_has_lost_the_control_plane_is_told_nothing_in_the_clear_from_there",
        run: unheard_of,
    },
];

/// Who is there before the part goes: a server on the other node and a neighbour on the newcomer's, both in the mesh, and somebody
/// outside of it.
struct Town<'a> {
    mesh: &'a Mesh,
    namespace: &'static str,
    settled: Pod,
    neighbour: Pod,
    stranger: Pod,
    /// What the newcomer says from its first moment on.
    word: String,
    captures: Captures,
}

impl<'a> Town<'a> {
    fn settle(mesh: &'a Mesh, namespace: &'static str) -> Result<Self> {
        let outside = format!("{namespace}-street");
        mesh.namespace(namespace, AMBIENT)?;
        mesh.namespace(&outside, "")?;
        mesh.strict(namespace)?;
        mesh.start_server(namespace, "settled", 1, "")?;
        mesh.start_server(namespace, "neighbour", NODE, "")?;
        mesh.start_server(&outside, "stranger", 1, "")?;
        let settled = mesh.pod(namespace, "settled")?;
        let neighbour = mesh.pod(namespace, "neighbour")?;
        mesh.wait_tunnel(&neighbour, &settled)?;
        let word = format!("canary-of-the-newcomer-to-{namespace}");
        Ok(Self {
            captures: Captures::start(mesh, &[&word, CALL])?,
            stranger: mesh.pod(&outside, "stranger")?,
            mesh,
            namespace,
            settled,
            neighbour,
            word,
        })
    }

    /// A pod that echoes, and that says its word to the settled one again and again.
    fn newcomer(&self) -> Result<()> {
        let talker = format!(
            "  - name: talker\n    image: lab/app:1\n    imagePullPolicy: Never\n    \
             args: [load, \"{}\", --rate, \"5\", --seconds, \"900\", --text, {}]\n",
            self.settled.echo(),
            self.word
        );
        self.mesh.start_server(self.namespace, "newcomer", NODE, &talker)
    }

    fn object(&self) -> Result<Value> {
        self.mesh.kubectl.get(&["pod", "newcomer", "-n", self.namespace])
    }

    /// Waits until its sandbox was refused, for want of this part, and makes sure that nothing of it runs.
    fn is_kept_waiting(&self, part: &str) -> Result<()> {
        let about = "involvedObject.name=newcomer";
        let events = ["events", "-n", self.namespace, "--field-selector", about];
        self.mesh
            .kubectl
            .wait("the pod's sandbox is refused", &events, LIMIT, |list| {
                let mut said = list["items"]
                    .as_array()?
                    .iter()
                    .filter_map(|e| e["message"].as_str());
                said.find(|said| said.contains("istio-cni") && said.contains(part))
                    .map(drop)
            })?;
        let object = self.object()?;
        let containers = object["status"]["containerStatuses"].as_array();
        let started = containers
            .into_iter()
            .flatten()
            .any(|container| container["state"]["waiting"].is_null());
        ensure!(!started && object["status"]["phase"] == "Pending", "{object}");
        ensure!(
            object["metadata"]["annotations"]["ambient.istio.io/redirection"] != "enabled",
            "nobody is to take it for one of the mesh: {object}"
        );
        Ok(())
    }

    /// The part is back: the pod talks and is talked to by mutual TLS alone, as it was made and started once.
    fn takes_it_in(self) -> Result<()> {
        let (mesh, uid) = (self.mesh, self.object()?["metadata"]["uid"].clone());
        let newcomer = mesh.pod(self.namespace, "newcomer")?;
        mesh.wait_redirection(&newcomer, Some("enabled"))?;
        ensure!(mesh.rules(&newcomer)?.contains("redirect to :15001"), "captured");
        mesh.eventually("the newcomer is heard, with its identity", || {
            let lines = mesh.access(self.settled.node)?;
            let heard = |line| is_from(line, &newcomer, &self.settled) && line.get("error").is_none();
            Ok(lines.iter().any(heard))
        })?;
        for from in [&self.neighbour, &self.settled] {
            mesh.wait_tunnel(from, &newcomer)?;
        }
        self.strangers_are_refused(&newcomer)?;
        let object = self.object()?;
        let containers = object["status"]["containerStatuses"].as_array();
        let restarts = containers
            .context("containers")?
            .iter()
            .map(|c| &c["restartCount"]);
        ensure!(
            object["metadata"]["uid"] == uid && restarts.into_iter().all(|count| count == 0),
            "it was started again: {object}"
        );
        let seen = self.captures.stop();
        seen.nothing_in_the_clear()?;
        ensure!(seen.wire.tunnelled > 0, "{seen:?}");
        mesh.forget(&self.stranger.namespace)?;
        mesh.forget(self.namespace)
    }

    fn strangers_are_refused(&self, newcomer: &Pod) -> Result<()> {
        ensure!(
            !self.mesh.reaches(&self.stranger, newcomer, "may I come in"),
            "somebody outside of the mesh got through to a STRICT pod"
        );
        Ok(())
    }
}

fn waits(mesh: &Mesh, namespace: &'static str, daemon_set: &str, selector: &str, called: &str) -> Result<()> {
    let town = Town::settle(mesh, namespace)?;
    let patch = ["-n", SYSTEM, "patch", "daemonset", daemon_set, "-p"];
    mesh.kubectl.run(&[&patch[..], &[ELSEWHERE]].concat())?;
    mesh.wait_pods(SYSTEM, selector, 1, |pod| {
        pod["spec"]["nodeName"] == "node2" && is_ready(pod)
    })?;
    let kept = town.newcomer().and_then(|()| town.is_kept_waiting(called));
    // Whatever becomes of who is there already: nothing of it in the clear.
    drop(mesh.send(&town.neighbour, &town.settled, &town.word));
    mesh.kubectl.run(&[&patch[..], &[ANYWHERE]].concat())?;
    mesh.rolled_out(SYSTEM, &format!("daemonset/{daemon_set}"))?;
    mesh.wait_pods(SYSTEM, selector, 2, is_ready)?;
    kept?;
    town.takes_it_in()
}

fn without_control_plane(mesh: &mut Mesh) -> Result<()> {
    let town = Town::settle(mesh, "unled")?;
    let scale = |replicas: &str| {
        let scale = ["-n", SYSTEM, "scale", "deployment", "istiod", replicas];
        mesh.kubectl.run(&scale).map(drop)
    };
    scale("--replicas=0")?;
    mesh.wait_pods(SYSTEM, "app=istiod", 0, |_| true)?;
    let nobody = town.newcomer().and_then(|()| is_heard_by_nobody(&town));
    scale("--replicas=2")?;
    mesh.wait_pods(SYSTEM, "app=istiod", 2, is_ready)?;
    nobody?;
    town.takes_it_in()
}

/// It runs and is captured; neither its own node's proxy nor another's lets anything of it pass.
fn is_heard_by_nobody(town: &Town<'_>) -> Result<()> {
    let mesh = town.mesh;
    let newcomer = mesh.pod(town.namespace, "newcomer")?;
    ensure!(mesh.rules(&newcomer)?.contains("redirect to :15001"), "captured");
    for to in [&town.settled, &town.neighbour] {
        ensure!(
            !mesh.reaches(&newcomer, to, &town.word),
            "who is not known reached {}",
            to.name
        );
    }
    // Nor does anybody reach it: their proxies do not know it either and dial it as it is, as they do anybody outside of the mesh, and
    // its own lets nobody in before it knows what the pod allows. Not even what they would have said crosses the wire.
    for from in [&town.settled, &town.neighbour] {
        ensure!(
            !mesh.reaches(from, &newcomer, CALL),
            "{} reached who is not known",
            from.name
        );
    }
    town.strangers_are_refused(&newcomer)?;
    // Those who were there before go on.
    ensure!(
        mesh.reaches(&town.neighbour, &town.settled, "good old days"),
        "those who are known reach each other"
    );
    Ok(())
}

fn unheard_of(mesh: &mut Mesh) -> Result<()> {
    let town = Town::settle(mesh, "unheard-of")?;
    let far = mesh.proxy(town.settled.node)?;
    let rules = |text: &str| printed(mesh.inside(&far, "nft")?.arg(text)).map(drop);
    rules(CUT_OFF)?;
    let told = town.newcomer().and_then(|()| is_told_nothing(&town));
    rules(MENDED)?;
    told?;
    town.takes_it_in()
}

/// It is in the mesh, and its own proxy knows; the one that is cut off takes it for somebody outside.
fn is_told_nothing(town: &Town<'_>) -> Result<()> {
    let mesh = town.mesh;
    let newcomer = mesh.pod(town.namespace, "newcomer")?;
    mesh.wait_tunnel(&town.neighbour, &newcomer)?;
    let rules = mesh.rules(&newcomer)?;
    ensure!(rules.contains(STRICT_TABLE), "{rules}");
    // Young, it lets nobody in; then they are let in, and are to stay silent.
    mesh.eventually(
        "who calls from the node that is cut off is refused by the newcomer's proxy",
        || {
            ensure!(
                !mesh.reaches(&town.settled, &newcomer, CALL),
                "it was let through"
            );
            let refused = |line: &AccessLine| {
                line.is("direction", "inbound")
                    && line.is("src.workload", &town.settled.name)
                    && line.is("dst.workload", "newcomer")
                    && line.get("error").is_some()
            };
            Ok(mesh.access(newcomer.node)?.iter().any(refused))
        },
    )?;
    for _ in 0..5 {
        ensure!(
            !mesh.reaches(&town.settled, &newcomer, CALL),
            "it was let through"
        );
        ensure!(!mesh.reaches(&town.stranger, &newcomer, CALL), "a stranger was");
    }
    Ok(())
}

/// What those in the mesh say to who is not known yet.
const CALL: &str = "canary-of-those-who-call-the-newcomer";
/// Where newcomers start.
const NODE: usize = 0;
/// A part of the mesh is kept from that node; patches of its DaemonSet.
const ELSEWHERE: &str = r#"{"spec":{"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":
  {"nodeSelectorTerms":[{"matchExpressions":[{"key":"kubernetes.io/hostname","operator":"NotIn","values":["node1"]}]}]}}}}}}}"#;
const ANYWHERE: &str = r#"{"spec":{"template":{"spec":{"affinity":null}}}}"#;
