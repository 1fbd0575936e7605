use controlplane_index::status::{ConditionType, StatusCondition, StatusReason};
use mesh_kube::fake::FakeApi;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;

static SERVICES: Resource = Resource::namespaced("", "v1", "services", "Service");

fn key() -> ObjectKey {
    ObjectKey {
        kind: Kind::Service,
        namespace: "shop".into(),
        name: "cart".into(),
    }
}

fn bound(holds: bool) -> ObjectStatus {
    ObjectStatus {
        conditions: vec![StatusCondition {
            kind: ConditionType::WaypointBound,
            holds,
            reason: StatusReason::WaypointAccepted,
            message: String::new(),
            generation: None,
        }],
        ..ObjectStatus::new(key())
    }
}

/// A writer, and the control loop that it asks.
struct Fixture {
    api: FakeApi,
    statuses: watch::Sender<KnownStatuses>,
    changed: watch::Sender<u64>,
    /// Whose duty it is.
    ours: watch::Sender<bool>,
    /// Whether another revision tells of what names none.
    shared_is_defaults: watch::Sender<bool>,
}

impl Fixture {
    fn start() -> Self {
        let api = FakeApi::new();
        api.put(
            &SERVICES,
            json!({"metadata": {"namespace": "shop", "name": "cart"}, "spec": {}}),
        );
        Self::start_with(api, "default", Vec::new(), vec![bound(true)])
    }

    fn start_with(
        api: FakeApi,
        revision: &str,
        selectors: Vec<LabelSelector>,
        statuses: Vec<ObjectStatus>,
    ) -> Self {
        let count = Count::Done;
        let (statuses, known) = watch::channel(KnownStatuses { statuses, count });
        let (ask, mut asked) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(question) = asked.recv().await {
                if let Question::KnownStatuses(answer) = question {
                    drop(answer.send(Some(known.borrow().clone())));
                }
            }
        });
        let (changed, changes) = watch::channel(0);
        let (ours, told) = watch::channel(true);
        let (shared_is_defaults, is_defaults) = watch::channel(false);
        let whose = Whose {
            revision: revision.to_owned(),
            root_namespace: "istio-system".to_owned(),
            selectors: watch::channel(Some(selectors)).1,
            shared_is_defaults: is_defaults,
        };
        tokio::spawn(keep(api.client(), whose, ask, changes, told));
        Self {
            api,
            statuses,
            changed,
            ours,
            shared_is_defaults,
        }
    }

    async fn say(&self, statuses: Vec<ObjectStatus>) {
        self.say_counted(statuses, Count::Done).await;
    }

    async fn say_counted(&self, statuses: Vec<ObjectStatus>, count: Count) {
        self.statuses.send_replace(KnownStatuses { statuses, count });
        self.changed.send_modify(|n| *n += 1);
        a_while().await;
    }

    fn condition(&self) -> Value {
        self.status(&SERVICES, "cart")["conditions"][0]["status"].clone()
    }

    fn status(&self, resource: &Resource, name: &str) -> Value {
        let object = self.api.object(resource, &ObjectName::new("shop", name));
        object.expect("it is there")["status"].clone()
    }

    fn writes(&self) -> usize {
        self.api
            .requests()
            .iter()
            .filter(|r| r.starts_with("PUT") || r.starts_with("PATCH"))
            .count()
    }
}

async fn a_while() {
    sleep(Duration::from_secs(20)).await;
}

#[tokio::test(start_paused = true)]
async fn what_changes_is_written_once_and_what_is_unsaid_is_taken_away() {
    let fixture = Fixture::start();
    a_while().await;
    assert_eq!(fixture.condition(), "True");
    fixture.say(vec![bound(true)]).await;
    assert_eq!(fixture.writes(), 1, "nothing changed");
    fixture.say(vec![bound(false)]).await;
    assert_eq!(fixture.condition(), "False");
    fixture.say(Vec::new()).await;
    assert_eq!(fixture.condition(), Value::Null);
    assert_eq!(fixture.writes(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_outage_delays_a_write_and_nothing_else() {
    let fixture = Fixture::start();
    a_while().await;
    fixture.api.away(true);
    fixture.say(vec![bound(false)]).await;
    fixture.api.away(false);
    a_while().await;
    assert_eq!(fixture.condition(), "False");
}

static GATEWAYS: Resource = Resource::namespaced("gateway.networking.k8s.io", "v1", "gateways", "Gateway");
static ROUTES: Resource = Resource::namespaced("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute");
/// A waypoint with a load balancer, a pod of it, and a route for a service behind nobody.
const OUTSIDE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop, uid: u-1, generation: 3}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: waypoint, namespace: shop}
spec: {type: LoadBalancer, clusterIP: 10.96.0.9, ports: [{name: mesh, port: 15008}]}
---
apiVersion: v1
kind: Pod
metadata: {name: waypoint-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: waypoint}}
spec: {nodeName: n1, serviceAccountName: waypoint}
status: {podIP: 10.0.0.9, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: shop}
spec: {parentRefs: [{group: '', kind: Service, name: cart}], rules: [{backendRefs: [{name: cart, port: 80}]}]}
";

/// What an index says of objects.
fn derived(yaml: &str) -> Vec<ObjectStatus> {
    use controlplane_index::{Index, MeshConfig, ObjectChange};

    let mut index = Index::new(MeshConfig::default());
    let objects = controlplane_k8s_api::parse(yaml).into_iter();
    index.apply(objects.map(|object| ObjectChange::Set(object.expect("it is well-formed").value)));
    index.statuses()
}

/// The status and the reason of a condition.
fn told(conditions: &Value, kind: &str) -> (String, String) {
    let all = conditions.as_array().map(Vec::as_slice).unwrap_or_default();
    let found = all.iter().find(|c| c["type"] == kind).unwrap_or(&Value::Null);
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

#[tokio::test(start_paused = true)]
async fn a_gateway_has_its_load_balancers_addresses_and_a_route_hears_of_its_waypoint() {
    let fixture = Fixture::start();
    let gateway =
        json!({"metadata": {"namespace": "shop", "name": "waypoint", "uid": "u-1", "generation": 3}});
    fixture.api.put(&GATEWAYS, gateway);
    let parents = json!([{"group": "", "kind": "Service", "name": "cart"}]);
    let route = json!({"metadata": {"namespace": "shop", "name": "cart"}, "spec": {"parentRefs": parents}});
    fixture.api.put(&ROUTES, route);
    let status = |resource: &Resource, name: &str| fixture.status(resource, name);
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());

    fixture.say(derived(OUTSIDE)).await;
    let waiting = status(&GATEWAYS, "waypoint");
    assert_eq!(waiting["addresses"], Value::Null);
    assert_eq!(
        told(&waiting["conditions"], "Programmed"),
        pair("False", "AddressNotAssigned")
    );
    assert_eq!(told(&waiting["conditions"], "Accepted"), pair("True", "Accepted"));
    let parent = &status(&ROUTES, "cart")["parents"][0];
    assert_eq!(told(&parent["conditions"], "Accepted"), pair("True", "Accepted"));
    assert_eq!(
        told(&parent["conditions"], "ResolvedWaypoints"),
        pair("False", "MissingUseWaypointLabel")
    );

    let given = OUTSIDE
        .replace(
            "ports: [{name: mesh, port: 15008}]}",
            "ports: [{name: mesh, port: 15008}]}\nstatus: {loadBalancer: {ingress: [{ip: 192.0.2.7}]}}",
        )
        .replace(
            "{name: cart, namespace: shop}\nspec: {clusterIP",
            "{name: cart, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}\nspec: {clusterIP",
        );
    fixture.say(derived(&given)).await;
    let there = status(&GATEWAYS, "waypoint");
    assert_eq!(
        there["addresses"],
        json!([{"type": "IPAddress", "value": "192.0.2.7"}])
    );
    assert_eq!(
        told(&there["conditions"], "Programmed"),
        pair("True", "Programmed")
    );
    assert_eq!(there["conditions"][0]["observedGeneration"], 3);
    let parent = &status(&ROUTES, "cart")["parents"][0];
    assert_eq!(
        told(&parent["conditions"], "ResolvedWaypoints"),
        pair("True", "ResolvedWaypoints")
    );
}

static POLICIES: Resource = Resource::namespaced(
    "security.istio.io",
    "v1",
    "authorizationpolicies",
    "AuthorizationPolicy",
);

fn put(api: &FakeApi, resource: &Resource, name: &str, status: Value) {
    let metadata = json!({"namespace": "shop", "name": name});
    api.put(resource, json!({"metadata": metadata, "status": status}));
}

fn condition(kind: &str) -> Value {
    json!({"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

#[tokio::test(start_paused = true)]
async fn what_ceased_to_hold_while_nobody_wrote_is_taken_away_and_nothing_else() {
    let api = FakeApi::new();
    let both = json!([condition("istio.io/WaypointBound"), condition("example.org/Mine")]);
    put(&api, &SERVICES, "cart", json!({"conditions": both}));
    let theirs = json!([condition("example.org/Mine")]);
    put(&api, &SERVICES, "theirs", json!({"conditions": theirs}));
    put(&api, &SERVICES, "plain", json!({}));
    let fixture = Fixture::start_with(api, "default", Vec::new(), Vec::new());
    a_while().await;
    assert_eq!(fixture.status(&SERVICES, "cart")["conditions"], theirs);
    assert_eq!(fixture.status(&SERVICES, "theirs")["conditions"], theirs);
    // Applied, and since it was not applied before: taken away.
    assert_eq!(fixture.writes(), 2);
    let asked = fixture.api.requests().len();
    fixture.say(Vec::new()).await;
    assert_eq!(fixture.api.requests().len(), asked, "it is looked for once");
    // Whoever has the duty again looks again.
    fixture.ours.send_replace(false);
    a_while().await;
    put(&fixture.api, &SERVICES, "cart", json!({"conditions": both}));
    fixture.ours.send_replace(true);
    a_while().await;
    assert_eq!(fixture.status(&SERVICES, "cart")["conditions"], theirs);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_when_the_duty_begins_is_looked_at_later() {
    let api = FakeApi::new();
    let ours = json!({"conditions": [condition("istio.io/WaypointBound")]});
    put(&api, &SERVICES, "cart", ours);
    api.away(true);
    let fixture = Fixture::start_with(api, "default", Vec::new(), Vec::new());
    a_while().await;
    fixture.api.away(false);
    a_while().await;
    assert_eq!(fixture.condition(), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn entries_of_other_controllers_and_of_gateways_that_are_not_ours_stay() {
    let api = FakeApi::new();
    put(&api, &GATEWAYS, "edge", json!({}));
    let entry = |controller: &str, gateway: &str| json!({"controllerName": controller, "parentRef": {"name": gateway}, "conditions": []});
    let ours = gateway_api::CONTROLLER;
    for (route, entries) in [
        (
            "gone",
            json!([entry(ours, "gone"), entry("example.org/x", "gone")]),
        ),
        ("edge", json!([entry(ours, "edge")])),
        ("other", json!([entry("example.org/x", "gone")])),
    ] {
        put(&api, &ROUTES, route, json!({"parents": entries}));
    }
    let fixture = Fixture::start_with(api, "default", Vec::new(), Vec::new());
    a_while().await;
    let parents = |route: &str| fixture.status(&ROUTES, route)["parents"].clone();
    assert_eq!(parents("gone"), json!([entry("example.org/x", "gone")]));
    assert_eq!(
        parents("edge"),
        json!([entry(ours, "edge")]),
        "its controller's word"
    );
    assert_eq!(parents("other"), json!([entry("example.org/x", "gone")]));
    assert_eq!(fixture.writes(), 1);
}

#[tokio::test(start_paused = true)]
async fn objects_of_another_mesh_and_of_another_revision_are_left_to_them() {
    let api = FakeApi::new();
    let bears = json!({"conditions": [condition("istio.io/WaypointBound")]});
    for (namespace, label) in [("shop", "on"), ("theirs", "off")] {
        let metadata = json!({"name": namespace, "labels": {"mesh": label}});
        let namespaces = Resource::cluster_wide("", "v1", "namespaces", "Namespace");
        api.put(&namespaces, json!({"metadata": metadata}));
        let metadata = json!({"namespace": namespace, "name": "cart"});
        api.put(&SERVICES, json!({"metadata": metadata, "status": bears}));
    }
    let accepted = json!({"conditions": [condition("ZtunnelAccepted")]});
    let metadata = json!({"namespace": "shop", "name": "p", "labels": {"istio.io/rev": "canary"}});
    api.put(&POLICIES, json!({"metadata": metadata, "status": accepted}));
    let ours = LabelSelector {
        match_labels: [("mesh".into(), "on".into())].into_iter().collect(),
        ..LabelSelector::default()
    };
    let fixture = Fixture::start_with(api, "default", vec![ours], Vec::new());
    a_while().await;
    assert_eq!(fixture.condition(), Value::Null, "this one is ours");
    let theirs = fixture.api.object(&SERVICES, &ObjectName::new("theirs", "cart"));
    assert_eq!(theirs.expect("it is there")["status"], bears);
    assert_eq!(fixture.status(&POLICIES, "p"), accepted);
}

#[tokio::test(start_paused = true)]
async fn how_far_an_object_came_stands_until_somebody_counted() {
    let api = FakeApi::new();
    let delivered = json!({"conditions": [condition("lateen.dev/Delivered")]});
    for policy in ["told", "untold"] {
        put(&api, &POLICIES, policy, delivered.clone());
    }
    let told = |more: &[ConditionType]| {
        let key = ObjectKey {
            kind: Kind::AuthorizationPolicy,
            namespace: "shop".into(),
            name: "told".into(),
        };
        let said =
            |kind: &ConditionType| StatusCondition::new(*kind, true, StatusReason::Accepted, String::new());
        ObjectStatus {
            conditions: more.iter().map(said).collect(),
            ..ObjectStatus::new(key)
        }
    };
    let fixture = Fixture::start_with(api, "default", Vec::new(), Vec::new());
    fixture.statuses.send_replace(KnownStatuses {
        statuses: vec![told(&[ConditionType::Delivered])],
        count: Count::NotYet,
    });
    a_while().await;
    fixture.say_counted(Vec::new(), Count::NotYet).await;
    fixture.say_counted(Vec::new(), Count::NotYet).await;
    assert_eq!(fixture.status(&POLICIES, "untold"), delivered);
    let accepted = told(&[ConditionType::ZtunnelAccepted]);
    fixture.say_counted(vec![accepted.clone()], Count::NotYet).await;
    let conditions = fixture.status(&POLICIES, "told")["conditions"].clone();
    assert_eq!(conditions.as_array().map(Vec::len), Some(2), "{conditions}");
    // Counted: of whatever nothing is said, nothing is to be said.
    fixture.say(vec![accepted]).await;
    let conditions = fixture.status(&POLICIES, "told")["conditions"].clone();
    assert_eq!(conditions[0]["type"], "ZtunnelAccepted");
    assert_eq!(conditions[1], Value::Null, "{conditions}");
    assert_eq!(fixture.status(&POLICIES, "untold"), json!({}));
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_that_has_not_counted_yet_writes_nothing_of_it() {
    let api = FakeApi::new();
    let delivered = json!({"conditions": [condition("lateen.dev/Delivered")]});
    put(&api, &POLICIES, "p", delivered);
    let fixture = Fixture::start_with(api, "default", Vec::new(), Vec::new());
    fixture.statuses.send_replace(KnownStatuses {
        statuses: Vec::new(),
        count: Count::NotYet,
    });
    a_while().await;
    assert_eq!(fixture.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_gateways_status_is_the_word_of_the_revision_whose_it_is() {
    for (label, revision, writes) in [
        (json!({}), "default", 1),
        (json!({}), "canary", 0),
        (json!({"istio.io/rev": "canary"}), "canary", 1),
    ] {
        let api = FakeApi::new();
        let metadata = json!({"namespace": "shop", "name": "waypoint", "uid": "u-1", "labels": label});
        api.put(&GATEWAYS, json!({"metadata": metadata}));
        let mut statuses = derived(OUTSIDE);
        statuses.retain(|status| status.object.kind == Kind::Gateway);
        let fixture = Fixture::start_with(api, revision, Vec::new(), statuses);
        a_while().await;
        assert_eq!(fixture.writes(), writes, "{label} {revision}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_names_no_revision_is_the_default_ones_to_tell_of_as_long_as_there_is_one() {
    let api = FakeApi::new();
    let theirs = json!({"conditions": [condition("ZtunnelAccepted"), condition("lateen.dev/Delivered")]});
    let metadata = |name: &str, labels: Value| json!({"namespace": "shop", "name": name, "labels": labels});
    api.put(
        &SERVICES,
        json!({"metadata": metadata("cart", json!({"istio.io/rev": "canary"}))}),
    );
    let shared = metadata("shared", json!({}));
    api.put(&POLICIES, json!({"metadata": shared, "status": theirs}));
    let named = metadata("named", json!({"istio.io/rev": "canary"}));
    api.put(&POLICIES, json!({"metadata": named}));
    let accepted = |name: &str| {
        let key = ObjectKey {
            kind: Kind::AuthorizationPolicy,
            namespace: "shop".into(),
            name: name.into(),
        };
        let accepted = StatusCondition::new(
            ConditionType::ZtunnelAccepted,
            true,
            StatusReason::Accepted,
            String::new(),
        );
        ObjectStatus {
            conditions: vec![accepted],
            ..ObjectStatus::new(key)
        }
    };
    let said = vec![bound(true), accepted("shared"), accepted("named")];
    let fixture = Fixture::start_with(api, "canary", Vec::new(), Vec::new());
    fixture.shared_is_defaults.send_replace(true);
    fixture.say(said).await;
    assert_eq!(
        fixture.status(&POLICIES, "named")["conditions"][0]["status"],
        "True"
    );
    assert_eq!(fixture.status(&POLICIES, "shared"), theirs);
    assert_eq!(
        fixture.status(&SERVICES, "cart"),
        Value::Null,
        "a Service is everybody's"
    );
    assert_eq!(fixture.writes(), 1);
    // It is gone: somebody has to.
    fixture.shared_is_defaults.send_replace(false);
    a_while().await;
    assert_eq!(fixture.condition(), "True");
    let conditions = fixture.status(&POLICIES, "shared")["conditions"].clone();
    assert_eq!(conditions.as_array().map(Vec::len), Some(1), "{conditions}");
    // It is back, and says something else: that stands.
    fixture.shared_is_defaults.send_replace(true);
    a_while().await;
    let writes = fixture.writes();
    fixture.say(vec![accepted("named")]).await;
    assert_eq!(fixture.writes(), writes, "nothing of theirs is taken away");
}
