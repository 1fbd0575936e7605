use serde_json::{Value, json};

use super::*;

fn crd(plural: &str, bundle: &str, versions: &[(&str, bool)]) -> Crd {
    let versions: Vec<Value> = versions
        .iter()
        .map(|(name, served)| json!({"name": name, "served": served}))
        .collect();
    serde_json::from_value(json!({
        "metadata": {"name": format!("{plural}.gateway.networking.k8s.io"), "annotations": {BUNDLE_VERSION: bundle}},
        "spec": {"group": "gateway.networking.k8s.io", "names": {"plural": plural, "kind": plural}, "versions": versions},
    }))
    .expect("a CRD")
}

fn codes(crd: Crd) -> Vec<Code> {
    judge(&[crd]).into_iter().map(|(code, ..)| code).collect()
}

#[test]
fn kinds_that_are_there_in_older_versions_only_are_told() {
    let future = [Code::FutureUnsupportedGatewayApiVersion];
    assert_eq!(
        codes(crd("referencegrants", "v1.4.0", &[("v1beta1", true)])),
        future
    );
    let off = crd("referencegrants", "v1.4.0", &[("v1beta1", true), ("v1", false)]);
    assert_eq!(codes(off), future);
    for fine in [
        crd("referencegrants", "v1.5.0", &[("v1beta1", true), ("v1", true)]),
        // Nobody reads it.
        crd("udproutes", "v1.0.0", &[("v1alpha2", true)]),
    ] {
        assert_eq!(codes(fine), []);
    }
}

#[test]
fn kinds_that_are_not_read_or_of_an_old_release_are_named_with_what_is_asked_for() {
    let below = [Code::GatewayApiCrdVersionBelowMinimum];
    let gone = crd("tlsroutes", "v0.3.0", &[("v1alpha1", true), ("v1", false)]);
    assert_eq!(codes(gone.clone()), below);
    let (_, object, text) = judge(&[gone]).remove(0);
    assert_eq!(
        object,
        "CustomResourceDefinition tlsroutes.gateway.networking.k8s.io"
    );
    assert!(
        text.contains("v1alpha1 is served") && text.contains("v0.3.0") && text.contains("upgrade"),
        "{text}"
    );
    let old = crd("gateways", "v1.0.0", &[("v1", true)]);
    assert_eq!(codes(old), below);
    for bundle in ["v1.1.0", "v1.10.2", "unknown"] {
        assert_eq!(codes(crd("gateways", bundle, &[("v1", true)])), [], "{bundle}");
    }
}
