use controlplane_index::{Index, MeshConfig, ObjectChange};
use controlplane_k8s_api::parse;
use mesh_kube::fake::FakeApi;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use super::*;

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop, uid: u-1}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
";
const WITH_SETTINGS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop, uid: u-1}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
  infrastructure: {labels: {team: edge}, parametersRef: {group: '', kind: ConfigMap, name: options}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: options, namespace: shop}
data: {podDisruptionBudget: '{spec: {minAvailable: 1}}', deployment: '{spec: {replicas: 2}}'}
";

/// A controller, and the control loop that it asks.
struct Fixture {
    api: FakeApi,
    waypoints: watch::Sender<Waypoints>,
    changed: watch::Sender<u64>,
    /// Whose duty it is.
    _ours: watch::Sender<bool>,
}

fn waypoints(yaml: &str) -> Waypoints {
    let mut index = Index::new(MeshConfig::default());
    let objects = parse(yaml).into_iter();
    index.apply(objects.map(|object| ObjectChange::Set(object.expect("it is well-formed").value)));
    index.waypoints()
}

impl Fixture {
    fn start(prepare: impl FnOnce(&FakeApi), yaml: &str) -> Self {
        let api = FakeApi::new();
        for part in Part::ALL {
            api.serve(resource(part));
        }
        api.serve(&GATEWAY_CLASSES);
        prepare(&api);
        Self::start_on(api, Settings::default(), yaml)
    }

    fn start_on(api: FakeApi, settings: Settings, yaml: &str) -> Self {
        let (waypoints, known) = watch::channel(waypoints(yaml));
        let (ask, mut asked) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(question) = asked.recv().await {
                if let Question::Waypoints(answer) = question {
                    drop(answer.send(Some(known.borrow().clone())));
                }
            }
        });
        let (changed, changes) = watch::channel(0);
        let (told, ours) = watch::channel(true);
        tokio::spawn(keep(api.client(), settings, ask, changes, ours));
        Self {
            api,
            waypoints,
            changed,
            _ours: told,
        }
    }

    async fn say(&self, yaml: &str) {
        self.waypoints.send_replace(waypoints(yaml));
        self.changed.send_modify(|n| *n += 1);
        a_while().await;
    }

    fn object(&self, part: Part) -> Option<Value> {
        self.api
            .object(resource(part), &ObjectName::new("shop", "waypoint"))
    }

    fn applied(&self) -> usize {
        let requests = self.api.requests();
        requests
            .iter()
            .filter(|request| request.starts_with("PATCH"))
            .count()
    }
}

async fn a_while() {
    sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_becomes_an_account_a_deployment_and_a_service() {
    let fixture = Fixture::start(|_| {}, GATEWAY);
    a_while().await;
    for part in [Part::ServiceAccount, Part::Deployment, Part::Service] {
        let object = fixture.object(part).expect("it is made");
        let metadata = &object["metadata"];
        assert_eq!(metadata["labels"][children::MANAGED], "istio.io-mesh-controller");
        assert_eq!(
            metadata["ownerReferences"][0]["uid"], "u-1",
            "it goes with its Gateway"
        );
    }
    assert_eq!(fixture.object(Part::PodDisruptionBudget), None);
    for class in ["istio-waypoint", "lateen-waypoint"] {
        let made = fixture.api.object(&GATEWAY_CLASSES, &ObjectName::cluster(class));
        assert!(made.is_some(), "there was no {class}");
    }
    let requests = fixture.api.requests();
    let applied = requests.iter().find(|request| request.starts_with("PATCH"));
    let applied = applied.expect("it is applied");
    assert!(
        applied.ends_with("?fieldManager=lateen-gateways"),
        "{applied}: nothing is forced"
    );
    let before = fixture.applied();
    fixture.say(GATEWAY).await;
    assert_eq!(fixture.applied(), before, "nothing changed");
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_away_or_changed_is_put_right_and_what_is_not_asked_for_is_deleted() {
    let fixture = Fixture::start(|_| {}, WITH_SETTINGS);
    a_while().await;
    let budget = fixture
        .object(Part::PodDisruptionBudget)
        .expect("settings ask for it");
    assert_eq!(budget["spec"]["minAvailable"], 1);
    assert_eq!(
        fixture.object(Part::Service).expect("made")["metadata"]["labels"]["team"],
        "edge"
    );

    fixture
        .api
        .remove(resource(Part::Deployment), &ObjectName::new("shop", "waypoint"));
    a_while().await;
    let mut deployment = fixture.object(Part::Deployment).expect("it is made again");
    assert_eq!(deployment["spec"]["replicas"], 2);
    drop(
        deployment["spec"]
            .as_object_mut()
            .expect("fields")
            .remove("replicas"),
    );
    fixture.api.put(resource(Part::Deployment), deployment);
    a_while().await;
    let deployment = fixture.object(Part::Deployment).expect("it is there");
    assert_eq!(deployment["spec"]["replicas"], 2, "put right");

    fixture.say(GATEWAY).await;
    assert_eq!(fixture.object(Part::PodDisruptionBudget), None);
    assert!(fixture.object(Part::Deployment).is_some());
}

#[tokio::test(start_paused = true)]
async fn what_is_somebody_elses_is_left_alone() {
    let theirs =
        json!({"metadata": {"namespace": "shop", "name": "waypoint"}, "spec": {"ports": [{"port": 80}]}});
    let fixture = Fixture::start(|api| api.put(resource(Part::Service), theirs), GATEWAY);
    a_while().await;
    let service = fixture.object(Part::Service).expect("it is there");
    assert_eq!(service["spec"], json!({"ports": [{"port": 80}]}));
    assert!(fixture.object(Part::Deployment).is_some(), "the rest is made");
    fixture
        .say("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
        .await;
    assert!(
        fixture.object(Part::Deployment).is_some(),
        "its owner takes it along, nobody else"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_refuses_is_told_in_the_gateways_status_until_it_is_taken() {
    let gateway =
        json!({"metadata": {"name": "waypoint", "namespace": "shop", "uid": "u-1", "generation": 2}});
    let prepare = |api: &FakeApi| {
        api.put(&GATEWAYS, gateway);
        api.refuse(resource(Part::Deployment), "shop", Some(422));
    };
    let fixture = Fixture::start(prepare, GATEWAY);
    a_while().await;
    let status = || {
        let gateway = fixture
            .api
            .object(&GATEWAYS, &ObjectName::new("shop", "waypoint"));
        gateway.expect("it is there")["status"].clone()
    };
    let condition = &status()["conditions"][0];
    assert_eq!(condition["type"], "lateen.dev/ObjectsMade");
    assert_eq!(condition["reason"], "Refused");
    let message = condition["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("waypoint") && message.contains("not taken here"),
        "{message}"
    );
    assert!(fixture.object(Part::Service).is_some(), "the rest is made");
    let before = fixture.applied();
    sleep(Duration::from_secs(30)).await;
    let tries = fixture.api.requests();
    let tries = tries.iter().filter(|request| request.contains("/gateways/"));
    assert_eq!(
        tries.filter(|request| request.starts_with("PATCH")).count(),
        1,
        "it is said once"
    );
    assert!(fixture.applied() > before, "and tried again");
    fixture.api.refuse(resource(Part::Deployment), "shop", None);
    sleep(Duration::from_secs(30)).await;
    assert!(fixture.object(Part::Deployment).is_some());
    assert_eq!(status()["conditions"], Value::Null);
}

/// Another controller that takes a field as often as it changes: it keeps it, and nobody answers back.
#[tokio::test(start_paused = true)]
async fn a_field_that_somebody_else_took_is_theirs_and_the_rest_is_ours() {
    let fixture = Fixture::start(|_| {}, WITH_SETTINGS);
    a_while().await;
    let before = fixture.applied();
    for replicas in 5..10 {
        let mut deployment = fixture.object(Part::Deployment).expect("it is there");
        deployment["spec"]["replicas"] = json!(replicas);
        deployment["metadata"]["annotations"]["example.org/scaled"] = json!("yes");
        fixture.api.put(resource(Part::Deployment), deployment);
        sleep(Duration::from_secs(30)).await;
        let deployment = fixture.object(Part::Deployment).expect("it is there");
        assert_eq!(deployment["spec"]["replicas"], replicas);
        assert_eq!(deployment["metadata"]["annotations"]["example.org/scaled"], "yes");
    }
    let tries = fixture.applied() - before;
    assert!(
        tries <= 2 * 5,
        "{tries} tries: a change is looked at, and that is all"
    );
    // What they did not take follows the Gateway.
    fixture
        .say(&WITH_SETTINGS.replace("team: edge", "team: core"))
        .await;
    let deployment = fixture.object(Part::Deployment).expect("it is there");
    assert_eq!(deployment["metadata"]["labels"]["team"], "core");
    assert_eq!(deployment["spec"]["replicas"], 9);
    // And what they give back is ours again.
    let mut deployment = fixture.object(Part::Deployment).expect("it is there");
    drop(
        deployment["spec"]
            .as_object_mut()
            .expect("fields")
            .remove("replicas"),
    );
    fixture.api.put(resource(Part::Deployment), deployment);
    a_while().await;
    let deployment = fixture.object(Part::Deployment).expect("it is there");
    assert_eq!(deployment["spec"]["replicas"], 2);
}

/// Not by a label of their own making, not by an owner of another kind: whatever bears the name and no Gateway's label.
#[tokio::test(start_paused = true)]
async fn objects_and_gateways_of_others_are_never_written() {
    let theirs = |part: Part| {
        let kind = resource(part).kind.to_string();
        json!({"kind": kind, "metadata": {"namespace": "shop", "name": "waypoint", "labels": {"app": "mine"}}, "spec": {"x": "y"}})
    };
    let foreign = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop, uid: u-2}
spec: {gatewayClassName: nginx, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
";
    let both = [Part::Deployment, Part::Service];
    let yaml = format!("{foreign}{GATEWAY}");
    let fixture = Fixture::start(
        |api| both.iter().for_each(|p| api.put(resource(*p), theirs(*p))),
        &yaml,
    );
    let at_first = both.map(|part| fixture.object(part));
    for i in 0..5 {
        // Whatever happens around them.
        fixture
            .say(&yaml.replace("port: 15008", &format!("port: {}", 15008 + i)))
            .await;
        sleep(Duration::from_secs(30)).await;
    }
    assert_eq!(both.map(|part| fixture.object(part)), at_first);
    assert!(
        fixture.object(Part::ServiceAccount).is_some(),
        "the rest of ours is made"
    );
    let edge = |request: &String| request.contains("/edge");
    assert!(
        !fixture.api.requests().iter().any(edge),
        "a Gateway of another class is none of our business"
    );
    let writes = fixture.api.requests();
    let of_theirs = writes
        .iter()
        .filter(|r| r.contains("/deployments/waypoint") || r.contains("/services/waypoint"));
    assert!(
        of_theirs.clone().all(|r| r.starts_with("GET")),
        "{:?}",
        of_theirs.collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn two_revisions_do_not_undo_each_others_work() {
    let own = GATEWAY
        .replace("{name: waypoint", "{labels: {istio.io/rev: canary}, name: own")
        .replace("u-1", "u-2");
    let first = Fixture::start(|_| {}, GATEWAY);
    let canary = Settings {
        revision: "canary".into(),
        image: "lateen/waypoint:next".into(),
        ..Settings::default()
    };
    // It knows of every Gateway that names no other revision.
    let _second = Fixture::start_on(first.api.clone(), canary, &format!("{GATEWAY}---{own}"));
    sleep(Duration::from_secs(60)).await;
    let image = |name: &str| {
        let name = ObjectName::new("shop", name);
        let deployment = first.api.object(resource(Part::Deployment), &name);
        let deployment = deployment.expect("it is made");
        deployment["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    assert_eq!(image("own"), "lateen/waypoint:next");
    assert_eq!(image("waypoint"), Settings::default().image.as_str());
    let before = first.applied();
    sleep(Duration::from_secs(600)).await;
    assert_eq!(first.applied(), before, "nobody undoes anything");
    let requests = first.api.requests();
    let managers = requests.iter().filter_map(|r| r.split_once("fieldManager="));
    let mut managers: Vec<&str> = managers.map(|(_, manager)| manager).collect();
    managers.sort_unstable();
    managers.dedup();
    assert_eq!(managers, ["lateen-gateways", "lateen-gateways-canary"]);
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_be_read_change_nothing() {
    let fixture = Fixture::start(|_| {}, WITH_SETTINGS);
    a_while().await;
    let before = fixture.applied();
    fixture
        .say(&WITH_SETTINGS.replace("kind: ConfigMap, name: options", "kind: ConfigMap, name: none"))
        .await;
    assert_eq!(fixture.applied(), before);
    assert!(
        fixture.object(Part::PodDisruptionBudget).is_some(),
        "what there is stays"
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_delays_what_is_made_and_nothing_else() {
    let fixture = Fixture::start(|api| api.away(true), GATEWAY);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(fixture.object(Part::Deployment), None);
    fixture.api.away(false);
    sleep(Duration::from_secs(60)).await;
    assert!(fixture.object(Part::Deployment).is_some());
}

#[test]
fn what_is_laid_over_objects_is_kept_of_config_maps() {
    for part in Part::ALL {
        let kept = controlplane_kube::spare::CONFIG_MAP_KEYS;
        assert!(kept.contains(&part.key()), "{}", part.key());
    }
}
