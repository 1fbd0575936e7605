//! Every code, by something that makes it appear: a message that nothing can bring about would be none.

use std::time::Duration;

use controlplane_index::MeshConfig;
use serde_json::{Value, json};

use super::live::tests::{pod, seen};
use super::live::{Seen, judge};
use super::{Code, analyze, contexts};
use crate::files::Source;
use crate::precheck::{Meta, Part, Right};
use crate::validate::{Validated, validate};

/// What makes it appear.
enum Provoked {
    /// Objects, with a namespace and a Service that are in order.
    Files(&'static str),
    /// A cluster in which all was well but for this, and objects.
    Cluster(fn(&mut Seen), &'static str),
    /// A Service that another cluster has otherwise.
    Contexts(&'static str),
}

use Provoked::{Cluster, Contexts, Files};

#[test]
fn something_makes_every_code_appear() {
    for code in Code::ALL {
        let found = codes(&provoke(code));
        assert!(found.contains(&code), "{code}: only {found:?}");
    }
    let well = codes(&Files(""));
    assert_eq!(well, [], "what is in order gives none");
}

fn codes(provoked: &Provoked) -> Vec<Code> {
    let config = MeshConfig::default();
    let objects = |text: &str| -> Validated {
        validate(&[Source {
            name: String::new(),
            text: text.to_owned(),
        }])
    };
    match provoked {
        Files(text) => {
            let found = analyze(&objects(&format!("{SHOP}{text}")), &config);
            found.messages().iter().map(|message| message.code).collect()
        }
        Cluster(change, text) => {
            let mut seen = seen();
            change(&mut seen);
            let said = judge(&seen, &objects(text), &config);
            said.into_iter().map(|(code, ..)| code).collect()
        }
        Contexts(text) => {
            let clusters = [SHOP, *text].map(|text| ("c".to_owned(), contexts::services(&objects(text))));
            let said = contexts::compare(&clusters);
            said.into_iter().map(|(code, ..)| code).collect()
        }
    }
}

fn provoke(code: Code) -> Provoked {
    match code {
        Code::ReferencedResourceNotFound => Files(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: cart, namespace: shop}\n\
             spec: {parentRefs: [{group: '', kind: Service, name: cart}], rules: [{backendRefs: [{name: gone, port: 80}]}]}\n",
        ),
        Code::SchemaValidationError => Files(
            "apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: shop}\nspec: {ports: [{port: many}]}\n",
        ),
        Code::NoMatchingWorkloadsFound => Files(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop, labels: {app: other}}\n\
             spec: {nodeName: n, containers: [{name: c}]}\n",
        ),
        Code::SchemaWarning => Files(
            "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: s, namespace: shop}\nspec: {}\n",
        ),
        Code::IneffectivePolicy => Files(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop}\n\
             spec: {selector: {matchLabels: {app: cart}}, action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}\n",
        ),
        Code::NegativeConditionStatus => Files(WAYPOINT),
        Code::WaypointUnusable => Files(
            "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop, labels: {istio.io/use-waypoint: gone}}\n\
             spec: {clusterIP: 10.0.0.2, ports: [{name: http, port: 80}]}\n",
        ),
        Code::Conflict => Files(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a, namespace: shop}\n\
             spec: {host: cart.shop.svc.cluster.local}\n---\n\
             apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: shop}\n\
             spec: {hosts: [cart.shop.svc.cluster.local], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}\n",
        ),
        Code::UnknownTargetPort => Files(
            "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n\
             spec: {clusterIP: 10.0.0.2, selector: {app: web}, ports: [{name: http, port: 80, targetPort: missing}]}\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, labels: {app: web}}\n\
             spec: {nodeName: n, containers: [{name: c}]}\nstatus: {podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}], phase: Running}\n",
        ),
        Code::InvalidAnnotation => Files(
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: typo, labels: {istio.io/dataplane-mode: ambiet}}\n",
        ),
        Code::UnsupportedKubernetesVersion => Cluster(|seen| seen.facts.kubernetes = "v1.20.0".into(), ""),
        Code::UnsupportedGatewayApiVersion => Cluster(|seen| seen.facts.crds.clear(), ""),
        Code::IneffectiveSelector => Files(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: w, namespace: shop}\n\
             spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}\n---\n\
             apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop}\n\
             spec: {selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: w}}, rules: [{}]}\n",
        ),
        Code::ConflictingServiceEntryProtocol => Files(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: shop}\n\
             spec: {hosts: [api.example.com], resolution: DNS, ports: [{number: 443, name: p, protocol: HTTP}]}\n---\n\
             apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: b, namespace: shop}\n\
             spec: {hosts: [api.example.com], resolution: DNS, ports: [{number: 443, name: p, protocol: TCP}]}\n",
        ),
        Code::NetworkPolicyBlocksTunnels => Cluster(
            |seen| {
                let spec = json!({"podSelector": {}, "ingress": [{"ports": [{"port": 8080}]}]});
                let policy = json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec});
                seen.network_policies = vec![policy];
            },
            "",
        ),
        Code::HiddenNamespace => Files(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
             data: {mesh: \"discoverySelectors: [{matchLabels: {team: a}}]\"}\n",
        ),
        Code::PodNotServed => Cluster(|seen| seen.pods.push(pod("lost", true)), ""),
        Code::TrustDomainMismatch => Files(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop}\n\
             spec: {rules: [{from: [{source: {principals: [old.example.com/ns/shop/sa/web]}}]}]}\n",
        ),
        Code::CertificateNearExpiry => Cluster(|seen| seen.now = Duration::from_secs(23 * 3600), ""),
        Code::SeveralControlPlanes => Cluster(
            |seen| {
                seen.facts.parts = vec![Part {
                    kind: "Deployment",
                    metadata: Meta {
                        name: "istiod".into(),
                        namespace: "other".into(),
                        ..Meta::default()
                    },
                }];
            },
            "",
        ),
        Code::UnknownAnnotation => Files(
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: n, annotations: {sidecar.istio.io/nonsense: \"1\"}}\n",
        ),
        Code::DeploymentAssociatedToMultipleServices => Files(SHARED_PORT),
        Code::DeploymentConflictingPorts => Files(SHARED_TARGET),
        Code::ServiceEntryAddressesRequired => Files(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: db, namespace: shop}\n\
             spec: {hosts: [db.example.com], resolution: NONE, ports: [{number: 5432, name: db, protocol: TCP}]}\n",
        ),
        Code::InvalidWebhook => Cluster(|seen| seen.webhooks = vec![webhook()], ""),
        Code::InsufficientPermissions => Cluster(
            |seen| {
                seen.facts.denied = vec![Right {
                    group: "apps".into(),
                    resource: "deployments".into(),
                    verb: "create",
                    everywhere: false,
                }];
            },
            "",
        ),
        Code::LocalhostListener => Cluster(
            |seen| {
                let at = json!({"name": "cart-1", "namespace": "shop", "listeners": ["127.0.0.1:8080"]});
                seen.listeners = vec![at];
            },
            "apiVersion: v1\nkind: Service\nmetadata: {name: cart, namespace: shop}\n\
             spec: {clusterIP: 10.0.0.1, selector: {app: cart}, ports: [{name: http, port: 80, targetPort: 8080}]}\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata: {name: cart-1, namespace: shop, labels: {app: cart}}\n\
             spec: {nodeName: n, containers: [{name: c}]}\n",
        ),
        Code::ExternalNameServiceTypeInvalidPortName => Files(
            "apiVersion: v1\nkind: Service\nmetadata: {name: out, namespace: shop}\n\
             spec: {type: ExternalName, externalName: api.example.com, ports: [{name: nonsense, port: 80}]}\n",
        ),
        Code::MultiClusterInconsistentService => Contexts(
            "apiVersion: v1\nkind: Service\nmetadata: {name: cart, namespace: shop}\n\
             spec: {clusterIP: 10.0.0.1, selector: {app: cart}, ports: [{name: http, port: 81}]}\n",
        ),
        Code::FutureUnsupportedGatewayApiVersion => Cluster(
            |seen| seen.facts.crds = vec![crd("referencegrants", "v1beta1")],
            "",
        ),
        Code::GatewayApiCrdVersionBelowMinimum => {
            Cluster(|seen| seen.facts.crds = vec![crd("gateways", "v1alpha1")], "")
        }
        Code::StrictOutsideMesh => Cluster(|seen| seen.pods.push(pod("outside", false)), STRICT),
        Code::StrictRefusesPlaintext => Cluster(
            |seen| {
                let page = "istio_tcp_connections_failed_total{reporter=\"destination\",destination_workload=\"cart\",\
                    destination_workload_namespace=\"shop\",response_flags=\"DENY\",connection_security_policy=\"unknown\"} 1\n";
                seen.metrics.insert("n1".into(), page.into());
            },
            STRICT,
        ),
    }
}

fn webhook() -> Value {
    json!({"kind": "ValidatingWebhookConfiguration", "metadata": {"name": "istio-validator"},
        "webhooks": [{"name": "rev.validation.istio.io", "failurePolicy": "Fail",
            "clientConfig": {"service": {"namespace": "istio-system", "name": "gone"}}}]})
}

fn crd(plural: &str, version: &str) -> crate::precheck::Crd {
    serde_json::from_value(json!({
        "metadata": {"name": format!("{plural}.gateway.networking.k8s.io")},
        "spec": {"group": "gateway.networking.k8s.io", "names": {"plural": plural, "kind": plural},
            "versions": [{"name": version, "served": true}]},
    }))
    .expect("a CRD")
}

const SHOP: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.0.0.1, selector: {app: cart}, ports: [{name: http, port: 80}]}
---
";
/// Nobody runs it yet.
const WAYPOINT: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: w, namespace: shop}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
";
const STRICT: &str = "\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
";
const SHARED_PORT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {clusterIP: 10.0.0.3, selector: {app: web}, ports: [{name: dns, port: 53}]}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: shop}
spec: {clusterIP: 10.0.0.4, selector: {app: web}, ports: [{name: dns, port: 53, protocol: UDP}]}
";
const SHARED_TARGET: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {clusterIP: 10.0.0.3, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: shop}
spec: {clusterIP: 10.0.0.4, selector: {app: web}, ports: [{name: http, port: 81, targetPort: 8080}]}
";
