use mesh_kube::fake::FakeApi;
use tokio::sync::watch;
use tokio::time::sleep;

use super::*;

const TAINT: &str = "cni.istio.io/not-ready";

struct Fixture {
    api: FakeApi,
    ours: watch::Sender<bool>,
}

impl Fixture {
    fn start() -> Self {
        let api = FakeApi::new();
        api.serve(&PODS);
        api.serve(&NODES);
        let (ours, told) = watch::channel(true);
        let untaint = Untaint {
            taint: TAINT.to_owned(),
            namespace: "istio-system".to_owned(),
            agents: "k8s-app=istio-cni-node".to_owned(),
        };
        tokio::spawn(keep(api.client(), untaint, told));
        Self { api, ours }
    }

    async fn node(&self, name: &str, taints: &[&str]) {
        let taints: Vec<Value> = taints
            .iter()
            .map(|key| json!({"key": key, "effect": "NoSchedule"}))
            .collect();
        self.api.put(
            &NODES,
            json!({"metadata": {"name": name}, "spec": {"taints": taints}}),
        );
        a_while().await;
    }

    async fn agent(&self, name: &str, node: &str, ready: &str) {
        let metadata = json!({
            "name": name, "namespace": "istio-system", "labels": {"k8s-app": "istio-cni-node"},
        });
        let status = json!({"conditions": [{"type": "Ready", "status": ready}]});
        let agent = json!({"metadata": metadata, "spec": {"nodeName": node}, "status": status});
        self.api.put(&PODS, agent);
        a_while().await;
    }

    fn taints(&self, node: &str) -> Vec<String> {
        let node = self
            .api
            .object(&NODES, &ObjectName::cluster(node))
            .expect("it is there");
        let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let key = |taint: &Value| taint["key"].as_str().unwrap_or_default().to_owned();
        taints.iter().map(key).collect()
    }

    fn writes(&self) -> usize {
        self.api
            .requests()
            .iter()
            .filter(|r| r.starts_with("PATCH"))
            .count()
    }
}

async fn a_while() {
    sleep(Duration::from_secs(20)).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_keeps_the_taint_until_its_own_agent_is_ready() {
    let fixture = Fixture::start();
    fixture.node("a", &["other", TAINT]).await;
    fixture.agent("agent-b", "b", "True").await;
    fixture.agent("agent-a", "a", "False").await;
    assert_eq!(fixture.taints("a"), ["other", TAINT]);
    fixture.agent("agent-a", "a", "True").await;
    assert_eq!(fixture.taints("a"), ["other"]);
    // A node that comes to an agent that is ready already, as after its reboot.
    fixture.node("b", &[TAINT]).await;
    assert_eq!(fixture.taints("b"), [""; 0]);
    assert_eq!(fixture.writes(), 2, "each once");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_refuses_keeps_no_other_one_waiting() {
    for code in [403, 422, 500] {
        let fixture = Fixture::start();
        fixture.api.refuse(&NODES, "a", Some(code));
        for node in ["a", "b"] {
            fixture.node(node, &[TAINT]).await;
            fixture.agent(&format!("agent-{node}"), node, "True").await;
        }
        assert_eq!(fixture.taints("a"), [TAINT]);
        assert_eq!(fixture.taints("b"), [""; 0], "{code}");
        fixture.api.refuse(&NODES, "a", None);
        sleep(Duration::from_secs(120)).await;
        assert_eq!(fixture.taints("a"), [""; 0], "{code}: tried again");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ends_speaks_for_no_node() {
    let fixture = Fixture::start();
    let metadata = json!({
        "name": "agent-a", "namespace": "istio-system", "labels": {"k8s-app": "istio-cni-node"},
        "deletionTimestamp": "2026-01-01T00:00:00Z",
    });
    let status = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    fixture.api.put(
        &PODS,
        json!({"metadata": metadata, "spec": {"nodeName": "a"}, "status": status}),
    );
    fixture.node("a", &[TAINT]).await;
    assert_eq!(fixture.taints("a"), [TAINT]);
}

#[tokio::test(start_paused = true)]
async fn only_whose_duty_it_is_takes_taints_off() {
    let fixture = Fixture::start();
    fixture.ours.send_replace(false);
    fixture.agent("agent-a", "a", "True").await;
    fixture.node("a", &[TAINT]).await;
    assert_eq!(fixture.taints("a"), [TAINT]);
    fixture.ours.send_replace(true);
    a_while().await;
    assert_eq!(fixture.taints("a"), [""; 0]);
}

#[test]
fn a_patch_holds_only_for_the_node_that_was_seen() {
    let mut waiting = Waiting::new(TAINT);
    let node = json!({"metadata": {"name": "a", "resourceVersion": "7"}, "spec": {"taints": [{"key": TAINT}, {"key": "x", "value": "y"}]}});
    waiting.node(Event::Applied(serde_json::from_value(node).unwrap()));
    let agent = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "a"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    waiting.agent(Event::Applied(serde_json::from_value(agent).unwrap()));
    let patch =
        json!({"metadata": {"resourceVersion": "7"}, "spec": {"taints": [{"key": "x", "value": "y"}]}});
    assert_eq!(waiting.over(), [("a".to_owned(), patch)]);
}
