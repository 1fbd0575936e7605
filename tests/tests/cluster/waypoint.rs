//! Waypoints: made of Gateways by the control plane, bound by labels, asked by nobody but the mesh.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::Test;
use crate::mesh::{AMBIENT, LIMIT, Mesh, Pod, is_ready, printed};
use crate::traffic::Load;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "a_waypoint_of_a_namespace_routes_and_denies_rolls_unnoticed_and_goes_without_a_trace",
        run: of_a_namespace,
    },
    Test {
        name: "a_gateway_whose_service_is_of_a_load_balancer_is_programmed_with_its_address",
        run: load_balanced,
    },
    Test {
        name: "a_service_and_a_workload_are_bound_to_waypoints_of_their_own_by_a_label",
        run: of_one_object,
    },
];

/// Two versions of a server, a Service of both, and a client.
pub(crate) struct Shop<'a> {
    mesh: &'a Mesh,
    namespace: &'static str,
    pub(crate) client: Pod,
    pub(crate) service: SocketAddr,
    /// Of a Service of its own: a rule about paths denies every connection that has none.
    pub(crate) echo: SocketAddr,
}

impl<'a> Shop<'a> {
    pub(crate) fn open(mesh: &'a Mesh, namespace: &'static str) -> Result<Self> {
        mesh.with_gateway_api()?;
        mesh.namespace(namespace, AMBIENT)?;
        mesh.strict(namespace)?;
        mesh.kubectl.apply(&SHOP.replace("NAMESPACE", namespace))?;
        mesh.start_server(namespace, "client", 0, "")?;
        let client = mesh.pod(namespace, "client")?;
        for server in mesh.pods(namespace, "app=cart", 2)? {
            mesh.wait_tunnel(&client, &server)?;
        }
        let address = |name: &str, port: u16| -> Result<SocketAddr> {
            let service = mesh.kubectl.get(&["service", name, "-n", namespace])?;
            let address = service["spec"]["clusterIP"].as_str().context("an address")?;
            Ok(SocketAddr::new(address.parse()?, port))
        };
        Ok(Self {
            mesh,
            namespace,
            client,
            service: address("cart", 80)?,
            echo: address("cart-echo", 9000)?,
        })
    }

    /// The status and the text that the Service answers with.
    fn get(&self, path: &str) -> Result<(String, String)> {
        self.get_from(self.service, path)
    }

    fn get_from(&self, server: SocketAddr, path: &str) -> Result<(String, String)> {
        self.request_of(server, "GET", path)
    }

    /// The same for any method.
    pub(crate) fn request(&self, method: &str, path: &str) -> Result<(String, String)> {
        self.request_of(self.service, method, path)
    }

    fn request_of(&self, server: SocketAddr, method: &str, path: &str) -> Result<(String, String)> {
        let url = format!("http://{server}{path}");
        let mut curl = self.mesh.inside(&self.client, "curl")?;
        let how = ["-s", "--max-time", "5", "-X", method, "-w", "\n%{http_code}"];
        let said = printed(curl.args(how).arg(&url))?;
        let (body, status) = said.rsplit_once('\n').context("an answer")?;
        Ok((status.to_owned(), body.to_owned()))
    }

    /// Waits until an answer has this status, and a text that begins so.
    pub(crate) fn answers(&self, path: &str, status: &str, begins: &str) -> Result<()> {
        let what = format!("{path} is answered with {status} {begins:?}");
        self.mesh.eventually(&what, || {
            let (got, body) = self.get(path)?;
            Ok(got == status && body.starts_with(begins))
        })
    }

    /// How many of some requests are answered by this version.
    fn share(&self, version: &str) -> Result<usize> {
        let answers = (0..SOME).map(|_| self.get("/"));
        let answers = answers.collect::<Result<Vec<_>>>()?;
        Ok(answers
            .iter()
            .filter(|(_, body)| body.starts_with(version))
            .count())
    }

    fn object(&self, kind: &str, name: &str) -> Result<Value> {
        self.mesh.kubectl.get(&[kind, name, "-n", self.namespace])
    }

    pub(crate) fn lateen(&self, arguments: &[&str]) -> Result<String> {
        self.mesh
            .lateen
            .run(&[arguments, &["-n", self.namespace]].concat())
    }
}

fn of_a_namespace(mesh: &mut Mesh) -> Result<()> {
    let shop = Shop::open(mesh, "boutique")?;
    ensure!(
        shop.get("/admin")?.0 == "200",
        "nobody decides about requests yet"
    );
    shop.lateen(&["waypoint", "apply", "--enroll-namespace", "--wait"])?;
    let gateway = shop.object("gateway", "waypoint")?;
    ensure!(holds(&gateway["status"], "Programmed"), "{gateway}");
    ensure!(
        gateway["status"]["addresses"][0]["value"].is_string(),
        "{gateway}"
    );

    mesh.kubectl.apply(&RULES.replace("NAMESPACE", "boutique"))?;
    shop.answers("/admin", "403", "RBAC: access denied")?;
    shop.answers("/", "200", "v1 ")?;
    ensure!(shop.share("v1")? == SOME, "all of it is v1's");
    mesh.eventually("the route's author is told", || {
        let route = shop.object("httproute", "cart")?;
        let parent = &route["status"]["parents"][0];
        Ok(parent["controllerName"] == "istio.io/gateway-controller" && holds(parent, "Accepted"))
    })?;
    mesh.kubectl.run(&[
        "patch",
        "httproute",
        "cart",
        "-n",
        "boutique",
        "--type=json",
        "-p",
        CANARY,
    ])?;
    shop.answers("/", "200", "v2 ")?;
    mesh.eventually("all of it is v2's", || Ok(shop.share("v2")? == SOME))?;

    refuses_strangers(&shop)?;
    rolled_under_load(&shop)?;

    shop.lateen(&["waypoint", "delete", "waypoint"])?;
    mesh.wait_pods("boutique", GATEWAY_NAME, 0, |_| true)?;
    mesh.eventually("nothing of it is left", || {
        let kinds = "deployments,services,serviceaccounts";
        let left = mesh.kubectl.get(&[kinds, "-n", "boutique", "-l", GATEWAY_NAME])?;
        Ok(left["items"].as_array().is_some_and(Vec::is_empty))
    })?;
    mesh.kubectl
        .run(&["label", "namespace", "boutique", "istio.io/use-waypoint-"])?;
    shop.answers("/admin", "200", "v")?;
    mesh.forget("boutique")
}

/// Nobody passes by a waypoint in the clear: the pods behind it take mutual TLS alone.
fn refuses_strangers(shop: &Shop<'_>) -> Result<()> {
    let mesh = shop.mesh;
    mesh.namespace("alley", "")?;
    let stranger = mesh.server("alley", "passer-by", 0, "")?;
    for server in [shop.echo, shop.service] {
        let answer = mesh.send_to(&stranger, server, "GET / HTTP/1.1\r\nHost: cart\r\n\r\n");
        ensure!(answer.as_ref().map_or(true, String::is_empty), "{answer:?}");
    }
    mesh.forget("alley")
}

/// New connections, and requests on connections that are kept, while other pods take the waypoint's place.
fn rolled_under_load(shop: &Shop<'_>) -> Result<()> {
    let (mesh, client) = (shop.mesh, &shop.client);
    let loads = [
        (
            "connections",
            Load::start(mesh, client, shop.echo, 20, "through the waypoint")?,
        ),
        ("requests", Load::asking(mesh, client, shop.service, 20, "/")?),
    ];
    let restart = ["-n", shop.namespace, "rollout", "restart", "deployment/waypoint"];
    let rolled = mesh.kubectl.run(&restart);
    let rolled = rolled.and_then(|_| mesh.rolled_out(shop.namespace, "deployment/waypoint"));
    let mut ledgers = Vec::new();
    for (what, load) in loads {
        ledgers.push((what, load.finish()?));
    }
    rolled?;
    for (what, ledger) in ledgers {
        println!(
            "  waypoint rolled: {} {what}, {} failed",
            ledger.ok + ledger.failed,
            ledger.failed
        );
        ledger.nobody_noticed().context(what)?;
    }
    Ok(())
}

fn load_balanced(mesh: &mut Mesh) -> Result<()> {
    mesh.with_gateway_api()?;
    mesh.namespace("cloud", AMBIENT)?;
    mesh.kubectl.apply(CLOUD)?;
    let service = ["service", "edge", "-n", "cloud"];
    let given = mesh
        .kubectl
        .wait("the load balancer gives an address", &service, LIMIT, |service| {
            let address = service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str();
            address.map(str::to_owned)
        })?;
    let gateway = ["gateway", "edge", "-n", "cloud"];
    mesh.kubectl
        .wait("the Gateway has that address", &gateway, LIMIT, |gateway| {
            let status = &gateway["status"];
            (holds(status, "Programmed") && status["addresses"][0]["value"] == given).then_some(())
        })?;
    mesh.forget("cloud")
}

fn of_one_object(mesh: &mut Mesh) -> Result<()> {
    let shop = Shop::open(mesh, "stalls")?;
    let pods = mesh.pods("stalls", "app=cart", 2)?;
    let pod = SocketAddr::new(pods[0].ip, 8080);
    for traffic in ["service", "workload"] {
        shop.lateen(&["waypoint", "apply", "--name", traffic, "--for", traffic, "--wait"])?;
        let policy = NO_ADMIN
            .replace("NAMESPACE", "stalls")
            .replace("GATEWAY", traffic);
        mesh.kubectl.apply(&policy)?;
    }
    ensure!(shop.get("/admin")?.0 == "200", "nothing is bound yet");
    let label = |what: &str, value: &str| {
        let label = ["label", "-n", "stalls", what, value];
        mesh.kubectl.run(&label).map(drop)
    };
    label("service/cart", "istio.io/use-waypoint=service")?;
    shop.answers("/admin", "403", "RBAC: access denied")?;
    ensure!(shop.get_from(pod, "/admin")?.0 == "200", "pods are not bound");
    label("service/cart", "istio.io/use-waypoint-")?;
    shop.answers("/admin", "200", "v")?;

    label(&format!("pod/{}", pods[0].name), "istio.io/use-waypoint=workload")?;
    mesh.eventually("its own address is the waypoint's business", || {
        Ok(shop.get_from(pod, "/admin")?.0 == "403")
    })?;
    ensure!(
        shop.get_from(pod, "/")?.0 == "200",
        "the rest of it is not denied"
    );
    label(&format!("pod/{}", pods[0].name), "istio.io/use-waypoint-")?;
    mesh.eventually("it is not any more", || {
        Ok(shop.get_from(pod, "/admin")?.0 == "200")
    })?;
    let waypoints = ["pods", "-n", "stalls", "-l", GATEWAY_NAME];
    let running = |list: &Value| {
        let pods = list["items"].as_array()?;
        (pods.len() == 2 && pods.iter().all(is_ready)).then_some(())
    };
    mesh.kubectl
        .wait("both waypoints run on", &waypoints, LIMIT, running)?;
    mesh.forget("stalls")
}

pub(crate) fn holds(status: &Value, kind: &str) -> bool {
    let conditions = status["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|c| c["type"] == kind && c["status"] == "True"))
}

/// So many requests are some.
const SOME: usize = 20;
pub(crate) const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
const SHOP: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: cart-v1, namespace: NAMESPACE, labels: {app: cart, version: v1}}
spec:
  nodeName: node1
  terminationGracePeriodSeconds: 0
  containers:
  - {name: app, image: lab/app:1, imagePullPolicy: Never, args: [serve, --name, v1, --tcp, "9000", --http, "8080"]}
---
apiVersion: v1
kind: Pod
metadata: {name: cart-v2, namespace: NAMESPACE, labels: {app: cart, version: v2}}
spec:
  nodeName: node2
  terminationGracePeriodSeconds: 0
  containers:
  - {name: app, image: lab/app:1, imagePullPolicy: Never, args: [serve, --name, v2, --tcp, "9000", --http, "8080"]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: NAMESPACE}
spec:
  selector: {app: cart}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: cart-echo, namespace: NAMESPACE}
spec: {selector: {app: cart}, ports: [{name: tcp, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart-v1, namespace: NAMESPACE}
spec: {selector: {app: cart, version: v1}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart-v2, namespace: NAMESPACE}
spec: {selector: {app: cart, version: v2}, ports: [{name: http, port: 80, targetPort: 8080}]}
"#;
const RULES: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: NAMESPACE}
spec:
  parentRefs: [{group: "", kind: Service, name: cart, port: 80}]
  rules:
  - backendRefs: [{name: cart-v1, port: 80, weight: 100}, {name: cart-v2, port: 80, weight: 0}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: NAMESPACE}
spec:
  targetRefs: [{group: "", kind: Service, name: cart}]
  action: DENY
  rules: [{to: [{operation: {paths: [/admin]}}]}]
"#;
const CLOUD: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: edge
  namespace: cloud
  annotations: {networking.istio.io/service-type: LoadBalancer}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
"#;
const NO_ADMIN: &str = r#"
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-admin-GATEWAY, namespace: NAMESPACE}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: GATEWAY}]
  action: DENY
  rules: [{to: [{operation: {paths: [/admin]}}]}]
"#;
const CANARY: &str = r#"[
  {"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 0},
  {"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": 100}]"#;
