use mesh_kube::fake::FakeApi;
use tokio::sync::watch;
use tokio::time::sleep;

use super::*;

fn api() -> FakeApi {
    let api = FakeApi::new();
    api.serve(&CONFIG_MAPS);
    api.serve(&NAMESPACES);
    namespace(&api, "shop");
    namespace(&api, "kube-public");
    api
}

fn namespace(api: &FakeApi, name: &str) {
    api.put(&NAMESPACES, json!({"metadata": {"name": name}}));
}

fn map(api: &FakeApi, namespace: &str) -> Option<String> {
    let object = api.object(&CONFIG_MAPS, &ObjectName::new(namespace, NAME))?;
    Some(object["data"][KEY].as_str()?.to_owned())
}

/// What is told whose duty it is, and what is trusted.
type Told = (watch::Sender<bool>, watch::Sender<String>);

fn start(api: &FakeApi) -> Told {
    let (told, ours) = watch::channel(true);
    let (trusted, roots) = watch::channel("root".to_owned());
    tokio::spawn(keep(api.client(), "mesh".to_owned(), roots, true, ours));
    (told, trusted)
}

/// Time passes, and everything that waits for it happens.
async fn a_while() {
    sleep(Duration::from_secs(20)).await;
}

fn writes(api: &FakeApi) -> usize {
    api.requests().iter().filter(|r| r.starts_with("PATCH")).count()
}

#[tokio::test(start_paused = true)]
async fn every_namespace_has_it_and_those_that_come_later_too() {
    let api = api();
    let _ours = start(&api);
    a_while().await;
    assert_eq!(map(&api, "shop").as_deref(), Some("root"));
    assert_eq!(map(&api, "kube-public"), None);
    namespace(&api, "bank");
    a_while().await;
    assert_eq!(map(&api, "bank").as_deref(), Some("root"));
    assert_eq!(writes(&api), 2, "nothing is written twice");
}

#[tokio::test(start_paused = true)]
async fn the_mesh_itself_has_it_first() {
    let api = api();
    for name in ["bank", "mesh", "zoo"] {
        namespace(&api, name);
    }
    let _ours = start(&api);
    a_while().await;
    let patches = api.requests();
    let of = |namespace: &str| {
        let path = format!("PATCH /api/v1/namespaces/{namespace}/configmaps");
        patches
            .iter()
            .position(|r| r.starts_with(&path))
            .expect("it is written")
    };
    assert!(of("mesh") < of("bank") && of("mesh") < of("shop"), "{patches:?}");
}

#[tokio::test(start_paused = true)]
async fn what_others_change_or_delete_is_put_back() {
    let api = api();
    let _ours = start(&api);
    a_while().await;
    let other = json!({"metadata": {"namespace": "shop", "name": NAME}, "data": {KEY: "another"}});
    api.put(&CONFIG_MAPS, other);
    a_while().await;
    assert_eq!(map(&api, "shop").as_deref(), Some("root"));
    api.remove(&CONFIG_MAPS, &ObjectName::new("shop", NAME));
    a_while().await;
    assert_eq!(map(&api, "shop").as_deref(), Some("root"));
}

#[tokio::test(start_paused = true)]
async fn only_whose_duty_it_is_writes() {
    let api = api();
    let (told, _trusted) = start(&api);
    a_while().await;
    told.send_replace(false);
    a_while().await;
    namespace(&api, "bank");
    a_while().await;
    assert_eq!(map(&api, "bank"), None);
    told.send_replace(true);
    a_while().await;
    assert_eq!(map(&api, "bank").as_deref(), Some("root"));
}

#[tokio::test(start_paused = true)]
async fn another_root_comes_to_every_namespace() {
    let api = api();
    namespace(&api, "bank");
    let (_ours, trusted) = start(&api);
    a_while().await;
    trusted.send_replace("old and new".to_owned());
    a_while().await;
    for namespace in ["shop", "bank"] {
        assert_eq!(map(&api, namespace).as_deref(), Some("old and new"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bundle_is_written_where_there_are_such() {
    let api = api();
    let bundles = Resource::cluster_wide(BUNDLES_GROUP, "v1beta1", BUNDLES, "ClusterTrustBundle");
    api.serve(&bundles);
    let _ours = start(&api);
    a_while().await;
    let path = format!("/apis/{BUNDLES_GROUP}/v1beta1/{BUNDLES}/istio.io%3Aistiod-ca%3Aroot-cert");
    assert!(
        api.requests()
            .iter()
            .any(|r| r.starts_with(&format!("PATCH {path}"))),
        "{:?}",
        api.requests()
    );
}
