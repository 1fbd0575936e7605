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

/// What a keeper is told.
struct Told {
    ours: watch::Sender<bool>,
    trusted: watch::Sender<String>,
    selectors: watch::Sender<Option<Vec<LabelSelector>>>,
}

fn start(api: &FakeApi) -> Told {
    start_with(api, "root", Some(Vec::new()))
}

fn start_with(api: &FakeApi, root: &str, selectors: Option<Vec<LabelSelector>>) -> Told {
    let (told, ours) = watch::channel(true);
    let (trusted, roots) = watch::channel(root.to_owned());
    let (selecting, selectors) = watch::channel(selectors);
    let settings = Settings {
        root_namespace: "mesh".to_owned(),
        roots,
        selectors,
        with_bundle: true,
    };
    tokio::spawn(keep(api.client(), settings, ours));
    Told {
        ours: told,
        trusted,
        selectors: selecting,
    }
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
    let told = start(&api);
    a_while().await;
    told.ours.send_replace(false);
    a_while().await;
    namespace(&api, "bank");
    a_while().await;
    assert_eq!(map(&api, "bank"), None);
    told.ours.send_replace(true);
    a_while().await;
    assert_eq!(map(&api, "bank").as_deref(), Some("root"));
}

#[tokio::test(start_paused = true)]
async fn another_root_comes_to_every_namespace() {
    let api = api();
    namespace(&api, "bank");
    let told = start(&api);
    a_while().await;
    told.trusted.send_replace("old and new".to_owned());
    a_while().await;
    for namespace in ["shop", "bank"] {
        assert_eq!(map(&api, namespace).as_deref(), Some("old and new"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_refuses_keeps_no_other_one_from_its_root() {
    for code in [403, 422, 500] {
        let api = api();
        for name in ["aaa", "bank", "mesh"] {
            namespace(&api, name);
        }
        api.refuse(&CONFIG_MAPS, "aaa", Some(code));
        let told = start(&api);
        a_while().await;
        for name in ["mesh", "bank", "shop"] {
            assert_eq!(map(&api, name).as_deref(), Some("root"), "{code}: {name}");
        }
        told.trusted.send_replace("another".to_owned());
        a_while().await;
        assert_eq!(map(&api, "shop").as_deref(), Some("another"), "{code}");
        sleep(Duration::from_secs(3600)).await;
        let asked = api.requests();
        let asked = asked
            .iter()
            .filter(|r| r.starts_with("PATCH") && r.contains("/aaa/"));
        assert!(
            (5..40).contains(&asked.clone().count()),
            "{code}: {}",
            asked.count()
        );
        api.refuse(&CONFIG_MAPS, "aaa", None);
        sleep(Duration::from_secs(700)).await;
        assert_eq!(map(&api, "aaa").as_deref(), Some("another"), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_delays_all_of_them_and_nothing_else() {
    let api = api();
    let told = start(&api);
    a_while().await;
    api.away(true);
    told.trusted.send_replace("another".to_owned());
    sleep(Duration::from_secs(300)).await;
    api.away(false);
    a_while().await;
    assert_eq!(map(&api, "shop").as_deref(), Some("another"));
}

#[tokio::test(start_paused = true)]
async fn only_namespaces_of_the_mesh_have_it() {
    let api = api();
    namespace(&api, "mesh");
    let labelled = json!({"metadata": {"name": "bank", "labels": {"mesh": "on"}}});
    api.put(&NAMESPACES, labelled);
    let told = start_with(&api, "root", None);
    a_while().await;
    assert_eq!(
        map(&api, "mesh").as_deref(),
        Some("root"),
        "its own waits for nobody"
    );
    assert_eq!(map(&api, "bank"), None, "nobody knows whose it is");
    let on = LabelSelector {
        match_labels: [("mesh".into(), "on".into())].into_iter().collect(),
        ..LabelSelector::default()
    };
    told.selectors.send_replace(Some(vec![on]));
    a_while().await;
    assert_eq!(map(&api, "bank").as_deref(), Some("root"));
    assert_eq!(map(&api, "shop"), None);
    api.put(
        &NAMESPACES,
        json!({"metadata": {"name": "shop", "labels": {"mesh": "on"}}}),
    );
    a_while().await;
    assert_eq!(map(&api, "shop").as_deref(), Some("root"), "it came to the mesh");
}

#[tokio::test(start_paused = true)]
async fn two_meshes_in_one_namespace_do_not_write_without_pause() {
    let api = api();
    let one = start_with(&api, "one", Some(Vec::new()));
    let _other = start_with(&api, "other", Some(Vec::new()));
    sleep(Duration::from_secs(3600)).await;
    let in_an_hour = writes(&api);
    assert!(in_an_hour < 50, "{in_an_hour} writes in an hour");
    // Whoever stays alone in it has it in the end.
    one.ours.send_replace(false);
    sleep(Duration::from_secs(1800)).await;
    assert_eq!(map(&api, "shop").as_deref(), Some("other"));
    let before = writes(&api);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(writes(&api), before);
}

#[test]
fn whoever_else_writes_it_is_named() {
    let mut spread = Spread::new("mesh", "root");
    let written = json!({"metadata": {"name": NAME, "namespace": "shop", "managedFields": [
        {"manager": "kubectl", "fieldsV1": {"f:metadata": {}}},
        {"manager": "pilot-discovery", "fieldsV1": {"f:data": {}}},
        {"manager": HOW.manager, "fieldsV1": {"f:data": {}}},
    ]}, "data": {KEY: "theirs"}});
    spread.map(Event::Applied(serde_json::from_value(written).unwrap()));
    assert_eq!(spread.writer("shop"), Some("pilot-discovery"));
    spread.written("shop");
    assert_eq!(spread.writer("shop"), None);
}

fn bundles() -> Resource {
    bundles_in("v1beta1")
}

fn bundles_in(version: &'static str) -> Resource {
    Resource::cluster_wide(
        cluster_wide::GROUP,
        version,
        cluster_wide::PLURAL,
        "ClusterTrustBundle",
    )
}

fn named() -> ObjectName {
    ObjectName::cluster("istio.io:istiod-ca:root-cert")
}

fn bundle(api: &FakeApi) -> Option<String> {
    let object = api.object(&bundles(), &named())?;
    Some(object["spec"]["trustBundle"].as_str()?.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_bundle_is_written_where_there_are_such_and_put_back() {
    let api = api();
    api.serve(&bundles());
    let told = start(&api);
    a_while().await;
    assert_eq!(bundle(&api).as_deref(), Some("root"), "{:?}", api.requests());
    api.remove(&bundles(), &named());
    sleep(Duration::from_secs(600)).await;
    assert_eq!(bundle(&api).as_deref(), Some("root"), "it is looked at again");
    told.trusted.send_replace("another".to_owned());
    a_while().await;
    assert_eq!(bundle(&api).as_deref(), Some("another"));
}

#[tokio::test(start_paused = true)]
async fn a_bundle_is_written_in_the_best_version_that_is_served() {
    for served in [
        &["v1alpha1"][..],
        &["v1alpha1", "v1beta1"],
        &["v1alpha1", "v1beta1", "v1"],
    ] {
        let api = api();
        let versions: Vec<_> = served.iter().map(|version| bundles_in(version)).collect();
        versions.iter().for_each(|version| api.serve(version));
        let _told = start(&api);
        a_while().await;
        let best = api.object(versions.last().unwrap(), &named()).unwrap();
        assert_eq!(
            best["spec"]["trustBundle"],
            "root",
            "{served:?}: {:?}",
            api.requests()
        );
        let version = served.last().unwrap();
        assert_eq!(best["apiVersion"], format!("{}/{version}", cluster_wide::GROUP));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_cannot_be_written_at_first_is_written_later() {
    let api = api();
    api.serve(&bundles());
    api.forbid(&bundles(), true);
    let _told = start(&api);
    a_while().await;
    assert_eq!(bundle(&api), None);
    assert_eq!(map(&api, "shop").as_deref(), Some("root"), "nobody waits for it");
    api.forbid(&bundles(), false);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bundle(&api).as_deref(), Some("root"));
}

#[tokio::test(start_paused = true)]
async fn an_api_server_without_bundles_is_as_good_as_any_until_it_has_some() {
    let api = api();
    let _told = start(&api);
    sleep(Duration::from_secs(3600)).await;
    let looks = api.requests();
    let looks = looks.iter().filter(|r| r.contains("certificates.k8s.io")).count();
    assert!((2..20).contains(&looks), "{looks} looks in an hour");
    api.serve(&bundles());
    sleep(Duration::from_secs(600)).await;
    assert_eq!(bundle(&api).as_deref(), Some("root"));
}

/// As for every run of somebody's tests: nobody fights over it.
#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_made_anew_again_and_again_has_it_each_time() {
    let api = api();
    let _ours = start(&api);
    a_while().await;
    for time in 0..12 {
        api.remove(&CONFIG_MAPS, &ObjectName::new("shop", NAME));
        api.remove(&NAMESPACES, &ObjectName::new("", "shop"));
        // The next one is heard of together with the end of the last one, or after it.
        if time % 2 == 0 {
            a_while().await;
        }
        namespace(&api, "shop");
        a_while().await;
        assert_eq!(map(&api, "shop").as_deref(), Some("root"), "the {time}th time");
    }
}
