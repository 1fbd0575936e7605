use crate::ConditionReason;
use crate::fixture::{Mesh, pod, registered};

const MODES: [&str; 5] = ["", "UNSET", "DISABLE", "PERMISSIVE", "STRICT"];
const SOMEBODY: &str = "spiffe://cluster.local/ns/x/sa/y";

fn peer(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {{name: {name}, namespace: {namespace}}}, spec: {{{spec}}}}}\n---\n"
    )
}

fn with_pod(objects: &str) -> Mesh {
    let mut mesh = Mesh::of(&(objects.to_owned() + &pod("shop/web", "labels: {app: web}", "")));
    mesh.register("shop/web", registered("10.0.0.1"));
    mesh
}

fn takes_plaintext(mesh: &Mesh, port: u16) -> bool {
    assert!(
        mesh.admits("shop/web", Some(SOMEBODY), "10.0.0.2", port),
        "mutual TLS is always taken"
    );
    mesh.admits("shop/web", None, "10.0.0.2", port)
}

/// What Istio's documentation says, without policies: the narrowest mode that is set counts.
fn oracle(levels: &[&str]) -> bool {
    let set = levels.iter().rev().find(|m| !matches!(**m, "" | "UNSET"));
    set.is_none_or(|m| *m != "STRICT")
}

#[test]
fn every_combination_of_levels_takes_plaintext_exactly_where_the_documentation_says() {
    for mesh in MODES {
        for namespace in MODES {
            for workload in MODES {
                for port in MODES {
                    let mtls = |mode: &str| {
                        if mode.is_empty() {
                            String::new()
                        } else {
                            format!("mtls: {{mode: {mode}}}, ")
                        }
                    };
                    let mut objects = String::new();
                    if !mesh.is_empty() {
                        objects += &peer("istio-system", "mesh", &mtls(mesh));
                    }
                    if !namespace.is_empty() {
                        objects += &peer("shop", "namespace", &mtls(namespace));
                    }
                    let ports = match port {
                        "" => String::new(),
                        port => format!("portLevelMtls: {{80: {{mode: {port}}}, 443: {{mode: STRICT}}}}"),
                    };
                    objects += &peer(
                        "shop",
                        "web",
                        &format!(
                            "selector: {{matchLabels: {{app: web}}}}, {}{ports}",
                            mtls(workload)
                        ),
                    );
                    let actual = with_pod(&objects);
                    let levels = [mesh, namespace, workload];
                    let case = format!("{levels:?} {port}");
                    assert_eq!(takes_plaintext(&actual, 9999), oracle(&levels), "{case}");
                    assert_eq!(
                        takes_plaintext(&actual, 80),
                        oracle(&[mesh, namespace, workload, port]),
                        "{case}"
                    );
                    let strict = if port.is_empty() { "" } else { "STRICT" };
                    assert_eq!(
                        takes_plaintext(&actual, 443),
                        oracle(&[mesh, namespace, workload, strict]),
                        "{case}"
                    );
                }
            }
        }
    }
}

#[test]
fn oldest_counts_at_each_level() {
    let aged = |namespace: &str, name: &str, age: &str, spec: &str| {
        peer(namespace, name, spec).replace(
            "metadata: {",
            &format!("metadata: {{creationTimestamp: \"{age}\", "),
        )
    };
    let (old, young) = ("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
    let strict = "mtls: {mode: STRICT}";
    let permissive = "mtls: {mode: PERMISSIVE}";
    let selector = "selector: {matchLabels: {app: web}}, ";
    for prefix in ["", selector] {
        let spec = |mode: &str| format!("{prefix}{mode}");
        let mesh =
            with_pod(&(aged("shop", "b", old, &spec(strict)) + &aged("shop", "a", young, &spec(permissive))));
        assert!(!takes_plaintext(&mesh, 80));
        let mesh =
            with_pod(&(aged("shop", "b", young, &spec(strict)) + &aged("shop", "a", old, &spec(permissive))));
        assert!(takes_plaintext(&mesh, 80));
        // Without an age, the first name; and whoever has an age is older.
        let mesh = with_pod(&(peer("shop", "b", &spec(permissive)) + &peer("shop", "a", &spec(strict))));
        assert!(!takes_plaintext(&mesh, 80));
        let mesh =
            with_pod(&(aged("shop", "b", young, &spec(permissive)) + &peer("shop", "a", &spec(strict))));
        assert!(takes_plaintext(&mesh, 80));
    }
}

#[test]
fn selectors_in_the_root_namespace_and_elsewhere_do_not_count() {
    let selector = "selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}";
    let mesh = with_pod(
        &(peer("istio-system", "a", selector)
            + &peer("bank", "b", selector)
            + &peer("bank", "c", "mtls: {mode: STRICT}")),
    );
    assert!(takes_plaintext(&mesh, 80));
    assert_eq!(mesh.reasons("istio-system/a"), [ConditionReason::Unsupported]);
}

#[test]
fn empty_selector_stands_for_the_namespace() {
    let mesh = with_pod(&peer(
        "shop",
        "a",
        "selector: {matchLabels: {}}, mtls: {mode: STRICT}",
    ));
    assert!(!takes_plaintext(&mesh, 80));
}

#[test]
fn shared_policy_is_there_while_any_object_is() {
    let mut mesh = with_pod("");
    assert!(mesh.policies.is_empty());
    mesh.set(&(peer("bank", "a", "mtls: {mode: DISABLE}") + &peer("bank", "b", "")));
    assert_eq!(
        mesh.policies.keys().collect::<Vec<_>>(),
        ["istio-system/istio_converted_static_strict"]
    );
    mesh.remove(controlplane_k8s_api::Kind::PeerAuthentication, "bank/a");
    assert_eq!(mesh.told, 0);
    mesh.remove(controlplane_k8s_api::Kind::PeerAuthentication, "bank/b");
    assert!(mesh.policies.is_empty());
}

#[test]
fn change_of_a_wider_level_reaches_policies_that_inherit_from_it() {
    let exception = "selector: {matchLabels: {app: web}}, portLevelMtls: {80: {mode: PERMISSIVE}}";
    let mut mesh = with_pod(&peer("shop", "web", exception));
    assert!(takes_plaintext(&mesh, 80) && takes_plaintext(&mesh, 81));
    mesh.set(&peer("istio-system", "default", "mtls: {mode: STRICT}"));
    assert!(takes_plaintext(&mesh, 80) && !takes_plaintext(&mesh, 81));
    mesh.set(&peer("shop", "default", "mtls: {mode: DISABLE}"));
    assert!(takes_plaintext(&mesh, 80) && takes_plaintext(&mesh, 81));
}
