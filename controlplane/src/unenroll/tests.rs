use mesh_kube::fake::FakeApi;

use super::*;

fn cluster() -> FakeApi {
    let api = FakeApi::new();
    api.serve(&NAMESPACES);
    api.serve(&PODS);
    for (name, labels) in [
        ("shop", json!({LABEL: "ambient", "team": "a"})),
        ("other", json!({LABEL: "none"})),
        ("plain", json!({})),
    ] {
        api.put(&NAMESPACES, json!({"metadata": {"name": name, "labels": labels}}));
    }
    api
}

fn pod(name: &str, redirection: Option<&str>) -> Value {
    let annotations = redirection.map_or_else(|| json!({}), |r| json!({REDIRECTION: r}));
    json!({"metadata": {"namespace": "shop", "name": name, "annotations": annotations,
        "labels": {LABEL: "ambient", "app": "a"}}})
}

#[tokio::test(start_paused = true)]
async fn only_what_is_in_the_mesh_is_taken_out() {
    let api = cluster();
    api.put(&PODS, pod("cart", None));
    let done = unlabel(&api.client()).await.expect("done");
    assert_eq!(done.len(), 2, "{done:?}");
    let labels = |resource, name: ObjectName| {
        api.object(resource, &name).expect("there")["metadata"]["labels"].clone()
    };
    assert_eq!(
        labels(&NAMESPACES, ObjectName::cluster("shop")),
        json!({"team": "a"})
    );
    assert_eq!(
        labels(&NAMESPACES, ObjectName::cluster("other")),
        json!({LABEL: "none"})
    );
    assert_eq!(
        labels(&PODS, ObjectName::new("shop", "cart")),
        json!({"app": "a"})
    );
    assert_eq!(unlabel(&api.client()).await.expect("done"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn it_waits_until_the_last_pod_is_let_go() {
    let api = cluster();
    api.put(&PODS, pod("cart", Some("enabled")));
    api.put(&PODS, pod("done", Some("pending")));
    let begin = Instant::now();
    let agent = async {
        sleep(Duration::from_secs(20)).await;
        api.put(&PODS, pod("cart", None));
    };
    let client = api.client();
    let (result, ()) = tokio::join!(wait(&client, Duration::from_secs(60)), agent);
    result.expect("everybody is out");
    assert!(begin.elapsed() >= Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_done_are_not_waited_for() {
    let api = cluster();
    let done = ["Succeeded", "Failed"];
    for phase in done {
        let mut pod = pod(&phase.to_lowercase(), Some("enabled"));
        pod["status"] = json!({"phase": phase});
        api.put(&PODS, pod);
    }
    let mut running = pod("cart", Some("enabled"));
    running["status"] = json!({"phase": "Running"});
    api.put(&PODS, running);
    let begin = Instant::now();
    let error = wait(&api.client(), Duration::from_secs(5))
        .await
        .expect_err("one runs");
    assert!(
        error
            .to_string()
            .starts_with("pods are still in the mesh: shop/cart;"),
        "{error}"
    );
    let annotations = |name: &str| {
        let pod = api.object(&PODS, &ObjectName::new("shop", name)).expect("there");
        pod["metadata"]["annotations"].clone()
    };
    for phase in done {
        assert_eq!(annotations(&phase.to_lowercase()), json!({}), "{phase}");
    }
    assert_eq!(annotations("cart"), json!({REDIRECTION: "enabled"}));
    // A Job's pod that ends while it is waited for is let go as well.
    let mut ended = pod("cart", Some("enabled"));
    ended["status"] = json!({"phase": "Succeeded"});
    api.put(&PODS, ended);
    let waited = wait(&api.client(), Duration::from_secs(5)).await;
    waited.expect("nobody runs in the mesh");
    assert_eq!(annotations("cart"), json!({}));
    assert!(begin.elapsed() < Duration::from_secs(7), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn pods_that_stay_are_named() {
    let api = cluster();
    for index in 0..7 {
        api.put(&PODS, pod(&format!("cart-{index}"), Some("enabled")));
    }
    let error = wait(&api.client(), Duration::from_secs(5))
        .await
        .expect_err("they stay");
    let text = error.to_string();
    assert!(
        text.contains("shop/cart-0") && text.contains("and 2 more") && text.contains("--no-hooks"),
        "{text}"
    );
}
