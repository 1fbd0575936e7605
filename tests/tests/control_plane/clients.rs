//! Whom a control plane believes, and what it issues and sends to them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_certs::client::{CaClientSettings, FetchCertificate as _};
use mesh_certs::{CaClient, FetchError};
use mesh_tls::TlsSettings;
use mesh_types::Identity;
use mesh_xds::{ApplyBatch, Batch, ClientConfig, NodeInfo, Rejected, TypeUrl};

use super::bench::{Bench, CONTROL_PLANE, ZTUNNEL};

pub(super) fn a_pods_token_is_believed_until_the_pod_is_another_one(bench: &mut Bench) -> Result<()> {
    let plane = bench.plane(3)?;
    let kubectl = bench.api.kubectl();
    kubectl.apply(ZTUNNEL)?;
    let token = |audience: &str| bench.token(audience);
    let (good, other) = (token("istio-ca")?, token("another")?);
    let believed = |answer: &str| answer.contains("grpc-status: 3");
    let denied = |answer: &str| answer.contains("grpc-status: 16");
    let answer = bench.until(&plane, "the token is believed", || {
        bench
            .answer_to(&plane, &good)
            .ok()
            .filter(|answer| believed(answer))
    });
    answer?;
    let answer = bench.answer_to(&plane, &other)?;
    ensure!(denied(&answer) && answer.contains("audience"), "{answer}");
    // Another pod of this name: the token is of one that is gone.
    kubectl.run(&["delete", "pod", "ztunnel-1", "-n", "istio-system", "--force"])?;
    kubectl.apply(ZTUNNEL)?;
    bench.until(&plane, "the token is not believed any more", || {
        bench
            .answer_to(&plane, &good)
            .ok()
            .filter(|answer| denied(answer))
    })?;
    let renewed = token("istio-ca")?;
    bench.until(&plane, "the new pod's is", || {
        bench
            .answer_to(&plane, &renewed)
            .ok()
            .filter(|answer| believed(answer))
    })?;
    Ok(())
}

/// A role that has every resource and no path beside them, such as that of the keys.
pub(super) fn where_the_api_servers_keys_cannot_be_read_it_is_asked_about_each_token(
    bench: &mut Bench,
) -> Result<()> {
    let kubectl = bench.api.kubectl();
    kubectl.apply(ZTUNNEL)?;
    kubectl.apply(KEYLESS)?;
    bench.api.keys().issue("keyless", "keyless", None, &[], &[])?;
    let plane = bench.plane_as(&bench.api.keys().kubeconfig("keyless")?, 11, &[])?;
    bench.until(&plane, "it says that it has no keys", || {
        let log = plane.process.log();
        log.contains("tokens are reviewed by the API server, one by one")
            .then_some(())
    })?;
    let (good, other) = (bench.token("istio-ca")?, bench.token("another")?);
    let answers = |what: &str, token: &str, status: &str| {
        bench.until(&plane, what, || {
            let answer = bench.answer_to(&plane, token).ok()?;
            answer.contains(status).then_some(())
        })
    };
    answers("the token is believed", &good, "grpc-status: 3")?;
    answers("one for somebody else is not", &other, "grpc-status: 16")?;
    let (signed, _) = good.rsplit_once('.').context("a token")?;
    let forged = format!("{signed}.AAAA");
    answers("nor is one that nobody signed", &forged, "grpc-status: 16")
}

/// A pod that has no address yet, and of which no kubelet said anything.
pub(super) fn a_pods_certificate_is_issued_as_soon_as_the_pod_is_bound_to_its_node(
    bench: &mut Bench,
) -> Result<()> {
    let plane = bench.plane(6)?;
    let kubectl = bench.api.kubectl();
    kubectl.apply(ZTUNNEL)?;
    kubectl.apply(EARLY)?;
    let token = bench.token("istio-ca")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let identity: Identity = "spiffe://cluster.local/ns/shop/sa/early".parse()?;
    let fetch = || {
        runtime.block_on(async {
            let settings = CaClientSettings {
                lifetime: Duration::from_secs(600),
                impersonate: true,
                tls: TlsSettings::default(),
            };
            let client = CaClient::new(bench.channel(&plane, &token)?, settings);
            Ok::<_, anyhow::Error>(client.fetch(&identity).await)
        })
    };
    // Nobody but the scheduler says where it will run.
    bench.until(&plane, "the node proxy is known", || {
        matches!(fetch(), Ok(Err(FetchError::Refused(_)))).then_some(())
    })?;
    let binding = r#"{"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "early", "namespace": "shop"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "node-a"}}"#;
    kubectl.create_raw("/api/v1/namespaces/shop/pods/early/binding", binding)?;
    let certificate = bench.until(&plane, "it is issued", || fetch().ok()?.ok())?;
    ensure!(*certificate.identity() == identity, "{}", certificate.identity());
    let pod = kubectl.get(&["pod", "early", "-n", "shop"])?;
    ensure!(pod["status"]["podIP"].is_null(), "it had an address already");
    Ok(())
}

pub(super) fn a_policys_author_is_told_how_many_proxies_of_all_replicas_have_it(
    bench: &mut Bench,
) -> Result<()> {
    let (first, second) = (bench.plane(9)?, bench.plane(10)?);
    let kubectl = bench.api.kubectl();
    kubectl.apply(ZTUNNEL)?;
    kubectl.apply(DENY)?;
    kubectl.apply(&replicas(&[first.listen, second.listen]))?;
    let token = bench.token("istio-ca")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    // One proxy of each replica.
    let config = ClientConfig {
        node: NodeInfo::ztunnel(None, "ztunnel-1", "istio-system", "node-a"),
        types: vec![TypeUrl::AUTHORIZATION, TypeUrl::ADDRESS],
    };
    for plane in [&first, &second] {
        let _on_runtime = runtime.enter();
        let (handle, driver) = mesh_xds::client(&config, bench.channel(plane, &token)?, Accepts);
        runtime.spawn(driver);
        let ready = handle.ready();
        bench.until(plane, "a proxy holds everything", || ready.borrow().then_some(()))?;
    }
    let said = || {
        let policy = kubectl.get(&["authorizationpolicy", "deny", "-n", "shop"]).ok()?;
        let conditions = policy["status"]["conditions"].as_array()?.clone();
        let delivered = conditions
            .into_iter()
            .find(|c| c["type"] == "lateen.dev/Delivered")?;
        Some((
            delivered["status"] == "True",
            delivered["message"].as_str()?.to_owned(),
        ))
    };
    let both = || said().filter(|(holds, message)| *holds && message == "Delivered 2/2 proxies");
    let told = bench.until(&first, "its author is told", both);
    told.with_context(|| format!("{:?}; {}", said(), second.process.log_tail()))?;
    Ok(())
}

/// The control plane's Service, with a replica behind each port. Nothing selects them: they are no pods.
fn replicas(ports: &[u16]) -> String {
    let mut yaml = "{apiVersion: v1, kind: Service, metadata: {name: istiod, namespace: istio-system}, \
                    spec: {ports: [{name: https-dns, port: 15012}]}}"
        .to_owned();
    for port in ports {
        yaml.push_str(&format!(
            "\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: istiod-{port}\n  \
             namespace: istio-system\n  labels: {{kubernetes.io/service-name: istiod}}\naddressType: IPv4\n\
             endpoints: [{{addresses: [{CONTROL_PLANE}]}}]\nports: [{{name: https-dns, port: {port}}}]\n"
        ));
    }
    yaml
}

/// A proxy that takes whatever it is sent.
struct Accepts;

impl ApplyBatch for Accepts {
    fn apply(&mut self, _: Batch) -> Result<(), Vec<Rejected>> {
        Ok(())
    }
}

const KEYLESS: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: keyless}
rules: [{apiGroups: ['*'], resources: ['*'], verbs: ['*']}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: keyless}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: keyless}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: keyless}]
";
/// Not bound to any node.
const EARLY: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: early, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: early, namespace: shop}
spec:
  schedulerName: nobody
  serviceAccountName: early
  automountServiceAccountToken: false
  containers: [{name: main, image: none}]
";
const DENY: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: shop}
spec: {action: DENY, rules: [{from: [{source: {namespaces: [evil]}}]}]}
";
