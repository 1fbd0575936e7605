use super::*;

fn source(text: &str) -> Vec<Source> {
    vec![Source {
        name: "shop.yaml".into(),
        text: text.into(),
    }]
}

const GOOD: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
";

#[test]
fn good_objects_are_counted() {
    let found = validate(&source(GOOD));
    assert!(!found.has_errors());
    assert_eq!(
        found.view().table.text(),
        "1 objects, nothing is wrong with them\n"
    );
}

#[test]
fn a_fault_names_place_object_field_and_reason_and_hides_nothing_else() {
    let bad = "\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec: {rules: [{from: [{source: {principal: [a]}}]}]}
---
";
    let found = validate(&source(&format!("{bad}{GOOD}")));
    assert!(found.has_errors());
    assert_eq!(found.objects.len(), 1);
    let fault = &found.faults[0];
    assert_eq!(fault.object, "AuthorizationPolicy shop/web");
    assert_eq!(fault.field, "spec.rules[0].from[0].source.principal");
    assert!(fault.place.starts_with("shop.yaml:4:"), "{}", fault.place);
    assert!(
        fault.message.contains("principals"),
        "names what was meant: {}",
        fault.message
    );
}

#[test]
fn a_kind_that_will_not_count_is_a_warning() {
    let found = validate(&source(
        "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: x, namespace: shop}\n",
    ));
    assert!(!found.has_errors());
    assert_eq!(found.faults.len(), 1);
    assert_eq!(found.faults[0].level(), "warning");
}

#[test]
fn files_stand_before_what_the_cluster_has_of_the_same_name() {
    let of = |file: &str, label: &str| {
        let text =
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {{from: {label}}}}}\n");
        validate(&[Source {
            name: file.into(),
            text,
        }])
    };
    let both = of("a.yaml", "file").over(of("", "cluster"));
    assert_eq!(both.objects.len(), 1);
    let metadata = both.objects[0].1.value.metadata().expect("metadata");
    assert_eq!(metadata.labels.get("from").map(|from| &**from), Some("file"));
}
