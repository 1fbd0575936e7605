use super::*;
use crate::fixture::{Mesh, objects, pod, registered};
use crate::status::{ConditionType, StatusReason};

#[test]
fn first_look_gives_everything_and_the_next_nothing() {
    let mut index = Index::new(MeshConfig::default());
    index.apply(
        objects(&pod("shop/web", "", ""))
            .into_iter()
            .map(ObjectChange::Set),
    );
    index.register([RegistrationChange::Set(
        crate::fixture::named("shop/web"),
        registered("10.0.0.1"),
    )]);
    let changes = index.take_changes();
    assert_eq!((changes.addresses.len(), changes.assignments.len()), (1, 1));
    assert_eq!(index.take_changes(), Changes::default());
}

#[test]
fn one_change_computes_only_the_pods_that_it_could_matter_to() {
    let service = |name: &str, app: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{clusterIP: 10.96.0.1, selector: {{app: {app}}}, ports: [{{port: 80}}]}}}}\n---\n"
        )
    };
    let mut yaml = service("a", "a") + &service("b", "b");
    for i in 0..20 {
        let app = if i % 2 == 0 { "a" } else { "b" };
        yaml += &pod(
            &format!("shop/p{i}"),
            &format!("labels: {{app: {app}, n: n{i}}}"),
            "",
        );
    }
    let mut mesh = Mesh::of(&yaml);
    for i in 0..20 {
        mesh.register(&format!("shop/p{i}"), registered(&format!("10.0.0.{i}")));
    }
    let mut computed = mesh.index.workload_computations();
    let mut since = |mesh: &Mesh| {
        let now = mesh.index.workload_computations();
        now - std::mem::replace(&mut computed, now)
    };
    mesh.set(&service("a", "a").replace("port: 80", "port: 81"));
    assert_eq!(
        (since(&mesh), mesh.told),
        (10, 11),
        "the Pods with app: a; and the service"
    );
    mesh.set(&service("c", "n3").replace("app: n3", "n: n3"));
    assert_eq!((since(&mesh), mesh.told), (1, 2));
    mesh.set(&pod("shop/p1", "labels: {app: b, n: other}", ""));
    assert_eq!((since(&mesh), mesh.told), (1, 0), "no output says so");
    mesh.register("shop/p1", registered("10.0.1.1"));
    assert_eq!((since(&mesh), mesh.told), (1, 1));
    mesh.set("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {x: y}}}");
    assert_eq!((since(&mesh), mesh.told), (0, 0), "nothing of that is used");
    mesh.set("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}}");
    assert_eq!((since(&mesh), mesh.told), (0, 20), "assignments only");
    mesh.set(
        "{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/region: r}}}",
    );
    assert_eq!((since(&mesh), mesh.told), (20, 20));
}

#[test]
fn removed_objects_take_everything_with_them() {
    let yaml = include_str!("../../tests/vectors/objects.yaml");
    let mut mesh = Mesh::of(yaml);
    let keys: Vec<_> = objects(yaml).iter().filter_map(Object::key).collect();
    assert!(mesh.addresses.len() > 10 && mesh.policies.len() > 5);
    for key in keys {
        mesh.apply(vec![ObjectChange::Remove(key)]);
    }
    assert!(mesh.addresses.is_empty() && mesh.policies.is_empty() && mesh.assignments.is_empty());
    assert_eq!(mesh.index.statuses(), []);
}

/// Whatever the order in which objects arrive, and however often they come and go, the end is the same.
#[test]
fn order_and_history_leave_no_trace() {
    let yaml = include_str!("../../tests/vectors/objects.yaml");
    let known: Vec<_> = objects(yaml).into_iter().filter(|o| o.key().is_some()).collect();
    let expected = Mesh::of(yaml);
    for step in [1, 5, 7, 11, 13] {
        let mut mesh = Mesh::of("");
        for i in 0..known.len() {
            let object = &known[(i * step + step) % known.len()];
            mesh.apply(vec![ObjectChange::Set(object.clone())]);
            if i % 3 == 0 {
                mesh.apply(vec![ObjectChange::Remove(object.key().expect("known"))]);
                mesh.apply(vec![ObjectChange::Set(object.clone())]);
            }
        }
        // A step that divides the number of objects leaves some out.
        mesh.apply(known.iter().cloned().map(ObjectChange::Set).collect());
        assert!(mesh.addresses == expected.addresses, "step {step}");
        assert!(mesh.policies == expected.policies && mesh.assignments == expected.assignments);
    }
}

#[test]
fn a_status_says_which_generation_of_the_object_it_is_about() {
    let policy = |generation: &str| {
        format!(
            "{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: p, namespace: shop, {generation}}}, spec: {{rules: [{{to: [{{operation: {{methods: [GET]}}}}]}}]}}}}"
        )
    };
    let mut mesh = Mesh::of(&policy("generation: 7"));
    let statuses = mesh.index.statuses();
    assert_eq!(statuses[0].observed_generation, Some(7));
    let accepted = statuses[0].condition(ConditionType::ZtunnelAccepted).unwrap();
    assert_eq!(
        (accepted.holds, accepted.reason),
        (false, StatusReason::UnsupportedValue)
    );
    mesh.set(&policy("").replace("methods: [GET]", "ports: [\"80\"]"));
    let statuses = mesh.index.statuses();
    assert_eq!(statuses[0].observed_generation, None);
    assert!(
        statuses[0]
            .condition(ConditionType::ZtunnelAccepted)
            .unwrap()
            .holds
    );
    mesh.set(&policy("").replace("spec: {", "spec: {targetRefs: [{kind: Service, name: web}], "));
    let statuses = mesh.index.statuses();
    assert_eq!(
        statuses[0].condition(ConditionType::ZtunnelAccepted),
        None,
        "it is a waypoint's"
    );
    assert_eq!(statuses[0].parents.len(), 1);
}
