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
    statuses: watch::Sender<Vec<ObjectStatus>>,
    changed: watch::Sender<u64>,
    /// Whose duty it is.
    _ours: watch::Sender<bool>,
}

impl Fixture {
    fn start() -> Self {
        let api = FakeApi::new();
        api.put(
            &SERVICES,
            json!({"metadata": {"namespace": "shop", "name": "cart"}, "spec": {}}),
        );
        let (statuses, known) = watch::channel(vec![bound(true)]);
        let (ask, mut asked) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(question) = asked.recv().await {
                if let Question::KnownStatuses(answer) = question {
                    drop(answer.send(Some(known.borrow().clone())));
                }
            }
        });
        let (changed, changes) = watch::channel(0);
        let (told, ours) = watch::channel(true);
        tokio::spawn(keep(api.client(), ask, changes, ours));
        Self {
            api,
            statuses,
            changed,
            _ours: told,
        }
    }

    async fn say(&self, statuses: Vec<ObjectStatus>) {
        self.statuses.send_replace(statuses);
        self.changed.send_modify(|n| *n += 1);
        a_while().await;
    }

    fn condition(&self) -> Value {
        let object = self
            .api
            .object(&SERVICES, &ObjectName::new("shop", "cart"))
            .expect("a Service");
        object["status"]["conditions"][0]["status"].clone()
    }

    fn writes(&self) -> usize {
        self.api
            .requests()
            .iter()
            .filter(|r| r.starts_with("PUT"))
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
spec: {nodeName: n1}
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
    let status = |resource: &Resource, name: &str| {
        let object = fixture.api.object(resource, &ObjectName::new("shop", name));
        object.expect("it is there")["status"].clone()
    };
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
