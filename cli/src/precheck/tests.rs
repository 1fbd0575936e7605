use super::*;
use crate::check::Verdict;

fn facts() -> Facts {
    Facts {
        kubernetes: "v1.34.1".into(),
        nodes: vec![node("n1", "linux", "True")],
        ..Facts::default()
    }
}

fn node(name: &str, system: &str, ready: &str) -> Node {
    Node {
        metadata: Meta {
            name: name.into(),
            ..Meta::default()
        },
        status: NodeStatus {
            node_info: NodeInfo {
                kubelet_version: "v1.34.1".into(),
                operating_system: system.into(),
            },
            conditions: vec![NodeCondition {
                kind: "Ready".into(),
                status: ready.into(),
            }],
        },
    }
}

fn crd(group: &str, plural: &str, versions: &[&str], annotations: &[(&str, &str)]) -> Crd {
    Crd {
        metadata: Meta {
            name: format!("{plural}.{group}"),
            annotations: annotations.iter().map(|&(k, v)| (k.into(), v.into())).collect(),
            ..Meta::default()
        },
        spec: CrdSpec {
            group: group.into(),
            names: CrdNames {
                plural: plural.into(),
                kind: String::new(),
            },
            versions: versions
                .iter()
                .map(|&name| CrdVersion {
                    name: name.into(),
                    served: true,
                })
                .collect(),
        },
    }
}

fn gateway_api_crds(version: &str) -> Vec<Crd> {
    let about = [
        ("gateway.networking.k8s.io/bundle-version", version),
        ("gateway.networking.k8s.io/channel", "standard"),
    ];
    let kinds = ["gatewayclasses", "gateways", "httproutes", "grpcroutes"];
    let mut crds: Vec<Crd> = kinds
        .iter()
        .map(|plural| crd(GATEWAY_API, plural, &["v1"], &about))
        .collect();
    crds.push(crd(GATEWAY_API, "referencegrants", &["v1beta1"], &about));
    crds
}

const GATEWAY_API: &str = "gateway.networking.k8s.io";

fn judged(facts: &Facts, platform: &str) -> Checks {
    precheck(
        facts,
        &Wanted {
            system: "istio-system",
            release: "lateen",
            platform,
        },
    )
}

/// What is said of a matter, where something is not well with it.
fn bad(facts: &Facts, matter: &str) -> Vec<(Verdict, String)> {
    let checks = judged(facts, "");
    let bad = checks.bad();
    let about = bad.all().iter().filter(|check| check.matter == matter);
    about
        .map(|check| (check.verdict, format!("{}; {}", check.found, check.remedy)))
        .collect()
}

#[test]
fn a_cluster_that_has_everything_can_take_the_mesh() {
    let facts = Facts {
        crds: gateway_api_crds("v1.4.0"),
        ..facts()
    };
    let checks = judged(&facts, "");
    assert_eq!(checks.bad(), Checks::default());
    assert!(
        checks
            .view("fine")
            .table
            .text()
            .contains("version v1.4.0, channel standard")
    );
}

#[test]
fn a_kubernetes_that_is_too_old_is_an_error_and_suffixes_do_not_matter() {
    for (version, verdict) in [
        ("v1.31.9", Some(Verdict::Error)),
        ("v1.32.0", None),
        ("v1.33.5-gke.1080000", None),
        ("v1.34+", None),
        ("dev", Some(Verdict::Warning)),
    ] {
        let facts = Facts {
            kubernetes: version.into(),
            ..facts()
        };
        assert_eq!(
            bad(&facts, "kubernetes").first().map(|(v, _)| *v),
            verdict,
            "{version}"
        );
    }
}

#[test]
fn rights_that_are_missing_are_named_with_their_place() {
    let right = |resource: &str, verb| Right {
        group: "apps".into(),
        resource: resource.into(),
        verb,
        everywhere: false,
    };
    let facts = Facts {
        denied: vec![
            right("daemonsets", "create"),
            right("daemonsets", "delete"),
            right("deployments", "patch"),
        ],
        unserved: vec!["PodMonitor (monitoring.coreos.com/v1)".into()],
        ..facts()
    };
    let found = bad(&facts, "rights");
    let starts = [
        "the cluster has no kind PodMonitor (monitoring.coreos.com/v1), ",
        "you may not create, delete daemonsets.apps in the mesh's namespace; ",
        "you may not patch deployments.apps in the mesh's namespace; ",
    ];
    assert_eq!(found.len(), starts.len(), "{found:?}");
    for ((verdict, said), start) in found.iter().zip(starts) {
        assert_eq!(*verdict, Verdict::Error);
        assert!(said.starts_with(start), "{said}");
    }
}

#[test]
fn an_istio_of_the_same_names_is_an_error_and_one_elsewhere_a_warning() {
    let part = |kind, namespace: &str, annotations: &[(&str, &str)]| Part {
        kind,
        metadata: Meta {
            name: "istiod".into(),
            namespace: namespace.into(),
            annotations: annotations.iter().map(|&(k, v)| (k.into(), v.into())).collect(),
            ..Meta::default()
        },
    };
    let ours = [(HELM_RELEASE, "lateen"), (HELM_NAMESPACE, "istio-system")];
    for (part, verdict) in [
        (part("Deployment", "istio-system", &[]), Some(Verdict::Error)),
        (part("Deployment", "old-mesh", &[]), Some(Verdict::Warning)),
        (part("DaemonSet", "old-mesh", &[]), Some(Verdict::Error)),
        (part("Deployment", "istio-system", &ours), None),
    ] {
        let facts = Facts {
            parts: vec![part.clone()],
            ..facts()
        };
        let found = bad(&facts, "other meshes");
        assert_eq!(found.first().map(|(v, _)| *v), verdict, "{part:?}: {found:?}");
    }
}

#[test]
fn cilium_has_to_let_others_into_its_chain() {
    let of = |config: &[(&str, &str)]| Facts {
        cilium: Some(config.iter().map(|&(k, v)| (k.into(), v.into())).collect()),
        ..facts()
    };
    // Nothing said is Cilium's default, which keeps others out.
    for config in [&[][..], &[("cni-exclusive", "true")]] {
        let found = bad(&of(config), "cni");
        assert_eq!(found[0].0, Verdict::Error);
        assert!(found[0].1.contains("cni.exclusive=false"), "{found:?}");
    }
    assert_eq!(bad(&of(&[("cni-exclusive", "false")]), "cni"), []);
    let socket = of(&[("cni-exclusive", "false"), ("kube-proxy-replacement", "true")]);
    assert!(
        bad(&socket, "cni")[0]
            .1
            .contains("socketLB.hostNamespaceOnly=true")
    );
    let masquerade = of(&[("cni-exclusive", "false"), ("enable-bpf-masquerade", "true")]);
    assert_eq!(bad(&masquerade, "cni")[0].0, Verdict::Warning);
}

#[test]
fn each_platform_is_recognised_and_has_to_be_told_to_the_charts() {
    let labelled = |key: &str, value: &str| {
        let mut node = node("n1", "linux", "True");
        node.metadata.labels.insert(key.into(), value.into());
        Facts {
            nodes: vec![node],
            ..facts()
        }
    };
    let version = |version: &str| Facts {
        kubernetes: version.into(),
        ..facts()
    };
    let k3d = Facts {
        nodes: vec![node("k3d-test-server-0", "linux", "True")],
        ..version("v1.34.1+k3s1")
    };
    let openshift = Facts {
        openshift: true,
        ..facts()
    };
    for (facts, name) in [
        (version("v1.34.1+k3s1"), "k3s"),
        (k3d, "k3d"),
        (openshift, "openshift"),
        (labelled("minikube.k8s.io/name", "minikube"), "minikube"),
        (labelled("microk8s.io/cluster", "true"), "microk8s"),
    ] {
        let found = bad(&facts, "platform");
        assert_eq!(found[0].0, Verdict::Error, "{name}");
        assert!(
            found[0].1.ends_with(&format!("--set global.platform={name}")),
            "{found:?}"
        );
        assert!(!judged(&facts, name).has_errors(), "{name}");
    }
    // The charts see this one by its version.
    assert_eq!(bad(&version("v1.33.5-gke.1080000"), "platform"), []);
    assert_eq!(judged(&facts(), "k3s").bad().all()[0].matter, "platform");
}

#[test]
fn gateway_api_is_optional_and_what_is_missing_of_it_is_said() {
    let of = |crds: Vec<Crd>| bad(&Facts { crds, ..facts() }, "gateway api");
    let none = of(Vec::new());
    assert_eq!(none[0].0, Verdict::Warning);
    assert!(none[0].1.contains("no waypoints"), "{none:?}");
    assert!(of(gateway_api_crds("v1.0.0"))[0].1.contains("older than 1.1"));
    let mut crds = gateway_api_crds("v1.4.0");
    crds.retain(|crd| crd.spec.names.plural != "grpcroutes");
    crds[2].spec.versions[0].served = false;
    let found = of(crds);
    assert!(
        found[0].1.contains("without httproutes (v1), grpcroutes (v1)"),
        "{found:?}"
    );
}

#[test]
fn kinds_of_the_experimental_channel_are_said_to_be_missing_and_are_no_fault() {
    let said = |crds: Vec<Crd>| {
        let checks = judged(&Facts { crds, ..facts() }, "");
        assert_eq!(checks.bad(), Checks::default());
        let about = checks.all().iter().filter(|check| check.matter == "gateway api");
        about
            .map(|check| check.found.clone())
            .collect::<Vec<_>>()
            .join("; ")
    };
    let mut crds = gateway_api_crds("v1.4.0");
    assert!(
        said(crds.clone()).contains("without backendtlspolicies (v1 or v1alpha3), tlsroutes"),
        "{}",
        said(crds)
    );
    for plural in ["backendtlspolicies", "tlsroutes"] {
        crds.push(crd(GATEWAY_API, plural, &["v1"], &[]));
    }
    let found = said(crds.clone());
    assert!(
        found.starts_with("without tcproutes (v1 or v1alpha2), "),
        "{found}"
    );
    crds.push(crd(GATEWAY_API, "tcproutes", &["v1alpha2"], &[]));
    assert_eq!(said(crds), "version v1.4.0, channel standard");
}

#[test]
fn nodes_without_linux_or_not_ready_are_said() {
    let of = |nodes: Vec<Node>| bad(&Facts { nodes, ..facts() }, "nodes");
    assert_eq!(of(vec![node("w", "windows", "True")])[0].0, Verdict::Error);
    assert_eq!(
        of(vec![node("a", "linux", "True"), node("w", "windows", "True")])[0].0,
        Verdict::Warning
    );
    let unready = of(vec![node("a", "linux", "False"), node("b", "linux", "True")]);
    assert!(unready[0].1.starts_with("not ready: a; "), "{unready:?}");
}

#[test]
fn a_namespace_that_keeps_node_parts_out_is_an_error_with_the_command() {
    let system = Meta {
        labels: [(POD_SECURITY.to_owned(), "restricted".to_owned())].into(),
        ..Meta::default()
    };
    let facts = Facts {
        system: Some(system),
        ..facts()
    };
    let found = bad(&facts, "namespace");
    assert_eq!(found[0].0, Verdict::Error);
    assert!(found[0].1.contains("enforce=privileged"), "{found:?}");
}
