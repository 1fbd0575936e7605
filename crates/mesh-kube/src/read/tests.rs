use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::KubeError;
use crate::fake::FakeApi;
use crate::resource::{ObjectName, Resource};
use crate::watch::Selection;

static PODS: Resource = Resource::namespaced("", "v1", "pods", "Pod");

#[derive(Debug, Deserialize)]
struct Named {
    metadata: NameOnly,
}

#[derive(Debug, Deserialize)]
struct NameOnly {
    name: String,
}

fn pod(namespace: &str, name: &str) -> Value {
    json!({"metadata": {"namespace": namespace, "name": name}, "spec": {"nodeName": "a"}})
}

#[tokio::test]
async fn a_list_of_many_pages_is_whole() {
    let api = FakeApi::new();
    for i in 0..600 {
        api.put(&PODS, pod("shop", &format!("p{i:03}")));
    }
    api.put(&PODS, pod("other", "q"));
    let client = api.client();
    let all: Vec<Named> = client.list(&Selection::all(PODS.clone())).await.expect("a list");
    assert_eq!(all.len(), 601);
    let shop: Vec<Named> = client
        .list(&Selection::all(PODS.clone()).in_namespace("shop"))
        .await
        .expect("a list");
    assert_eq!(shop.len(), 600);
    assert_eq!(shop[599].metadata.name, "p599");
}

#[tokio::test]
async fn an_object_is_there_or_not() {
    let api = FakeApi::new();
    api.put(&PODS, pod("shop", "cart"));
    let client = api.client();
    let found: Option<Named> = client
        .find(&PODS, &ObjectName::new("shop", "cart"))
        .await
        .expect("an answer");
    assert_eq!(found.expect("a pod").metadata.name, "cart");
    let gone = ObjectName::new("shop", "gone");
    assert!(
        client
            .find::<Value>(&PODS, &gone)
            .await
            .expect("an answer")
            .is_none()
    );
    let error = client.get::<Value>(&PODS, &gone).await.expect_err("no pod");
    assert!(matches!(error, KubeError::NotFound(_)), "{error}");
}

#[tokio::test]
async fn what_is_not_served_has_no_version() {
    let api = FakeApi::new();
    let client = api.client();
    let group = "security.istio.io";
    assert_eq!(
        client.served_versions(group, "peerauthentications").await,
        Ok(vec![])
    );
    api.serve(&Resource::namespaced(
        group,
        "v1beta1",
        "peerauthentications",
        "PeerAuthentication",
    ));
    api.serve(&Resource::namespaced(
        group,
        "v1",
        "peerauthentications",
        "PeerAuthentication",
    ));
    api.serve(&Resource::namespaced(group, "v1", "others", "Other"));
    let versions = client
        .served_versions(group, "peerauthentications")
        .await
        .expect("versions");
    assert_eq!(versions, ["v1", "v1beta1"]);
    assert_eq!(client.served_versions("", "pods").await, Ok(vec![]));
    api.serve(&PODS);
    assert_eq!(
        client.served_versions("", "pods").await,
        Ok(vec!["v1".to_owned()])
    );
}
