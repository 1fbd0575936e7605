use mesh_kube::fake::FakeApi;
use serde_json::json;

use super::*;
use crate::roster::Instance;

/// An agent of a DaemonSet, in a pod that its watch has seen.
fn agent(api: &FakeApi) -> DaemonSet {
    api.put(
        &DAEMON_SET,
        json!({"metadata": {"namespace": "istio-system", "name": "istio-cni-node"}}),
    );
    let annotator = Annotator::new(api.client(), Settling::blindly(Duration::ZERO));
    let seen = Instance {
        uid: "abcde".to_owned(),
        ips: Vec::new(),
        redirection: None,
    };
    annotator.seen(own_pod(), Some(seen));
    DaemonSet {
        client: api.client(),
        name: ObjectName::new("istio-system", "istio-cni-node"),
        could_ask: true,
        own_pod: Some(own_pod()),
        annotator,
        always_leave: false,
    }
}

fn own_pod() -> NamespacedName {
    NamespacedName::new("istio-system", "istio-cni-node-abcde")
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_pod_was_removed_by_force_leaves_its_node_as_it_is() {
    let api = FakeApi::new();
    let agent = agent(&api);
    assert_eq!(agent.ending().await, Ending::Stay);
    api.unauthorized(true);
    let annotator = agent.annotator.clone();
    // Its watch hears of it somewhat later than the kubelet.
    let (ending, ()) = tokio::join!(agent.ending(), async {
        tokio::time::sleep(HEARD / 2).await;
        annotator.seen(own_pod(), None);
    });
    assert_eq!(ending, Ending::Stay);
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_account_went_with_the_rest_takes_all_of_it_away() {
    let api = FakeApi::new();
    let agent = agent(&api);
    api.unauthorized(true);
    assert_eq!(agent.ending().await, Ending::Leave);
    api.unauthorized(false);
    api.forbid(&DAEMON_SET, true);
    assert_eq!(agent.ending().await, Ending::Leave);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_was_allowed_to_ask_takes_nothing_away() {
    let api = FakeApi::new();
    let mut agent = agent(&api);
    agent.could_ask = false;
    api.unauthorized(true);
    assert_eq!(agent.ending().await, Ending::Stay);
    api.unauthorized(false);
    api.forbid(&DAEMON_SET, true);
    assert_eq!(agent.ending().await, Ending::Stay);
}
