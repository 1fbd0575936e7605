use super::*;
use crate::IgnoredReason;
use crate::service::TargetPort;

fn errors(text: &str) -> Vec<String> {
    parse(text)
        .into_iter()
        .filter_map(|r| r.err().map(|e| e.in_file("f.yaml")))
        .collect()
}

fn policy(spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: shop}}\nspec:\n{spec}"
    )
}

fn one_error(text: &str) -> String {
    let mut errors = errors(text);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    errors.remove(0)
}

#[test]
fn misspelt_policy_field_is_an_error_that_names_place_path_and_nearest_field() {
    let text =
        policy("  rules:\n  - from:\n    - source:\n        principal: [a]\n        namespaces: [b]\n");
    assert_eq!(
        one_error(&text),
        "f.yaml:8:9: AuthorizationPolicy shop/p: spec.rules[0].from[0].source.principal: there is no such field; \
         did you mean \"principals\"?"
    );
}

#[test]
fn misspelt_spec_does_not_leave_a_policy_empty() {
    let text = policy("  action: ALLOW\n").replace("spec:", "sepc:");
    assert_eq!(
        one_error(&text),
        "f.yaml:4:1: AuthorizationPolicy shop/p: sepc: there is no such field; did you mean \"spec\"?"
    );
}

#[test]
fn nothing_behind_a_policy_field_is_an_error() {
    for (spec, field) in [
        ("  rules:\n  - from:\n", "spec.rules[0].from"),
        ("  rules:\n  - from: []\n", "spec.rules[0].from"),
        (
            "  rules:\n  - from: [{source: {namespaces: []}}]\n",
            "spec.rules[0].from[0].source.namespaces",
        ),
        (
            "  rules:\n  - from: [{source: {}}]\n",
            "spec.rules[0].from[0].source",
        ),
        ("  rules:\n  - from: [{}]\n", "spec.rules[0].from[0].source"),
        ("  rules:\n", "spec.rules"),
        ("  selector:\n", "spec.selector"),
    ] {
        let error = one_error(&policy(spec));
        assert!(error.contains(&format!(" {field}: ")), "{spec}: {error}");
    }
}

#[test]
fn wrong_types_and_values_say_what_is_needed() {
    let cases = [
        (
            "  action: DENYY\n  rules: [{}]\n",
            "spec.action: \"DENYY\" is not known; did you mean \"DENY\"?",
        ),
        (
            "  rules: [{to: [{operation: {ports: [8080]}}]}]\n",
            "spec.rules[0].to[0].operation.ports[0]: is integer `8080`, but must be a string",
        ),
        (
            "  rules: [{to: [{operation: {ports: [\"80800\"]}}]}]\n",
            "spec.rules[0].to[0].operation.ports[0]: \"80800\" is not a port number from 1 to 65535",
        ),
        (
            "  rules: [{from: [{source: {ipBlocks: [10.0.0.0/33]}}]}]\n",
            "spec.rules[0].from[0].source.ipBlocks[0]: \"10.0.0.0/33\" is neither an IP address nor a range like \
             10.0.0.0/8",
        ),
        (
            "  action: DENY\n",
            "spec.rules: is empty: a DENY policy without rules never denies anything",
        ),
        (
            "  rules: [{when: [{key: source.namespce, values: [a]}]}]\n",
            "spec.rules[0].when[0].key: \"source.namespce\" is no attribute; did you mean \"source.namespace\"?",
        ),
    ];
    for (spec, expected) in cases {
        let error = one_error(&policy(spec));
        assert!(error.ends_with(expected), "{error}\n{expected}");
    }
}

#[test]
fn each_fault_of_an_object_is_reported() {
    let text = policy(
        "  selector: {matchLabels: {app: \"w*\"}}\n  targetRef: {kind: Service, name: x}\n  provider: {name: x}\n",
    );
    let errors = errors(&text);
    assert_eq!(errors.len(), 3, "{errors:#?}");
    assert!(
        errors
            .iter()
            .all(|e| e.contains("AuthorizationPolicy shop/p: spec"))
    );
}

#[test]
fn broken_document_leaves_its_neighbours_alone() {
    let text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\na: [\n---\nkind: Pod\n---\n# nothing\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n";
    let results = parse(text);
    let names: Vec<_> = results
        .iter()
        .filter_map(|r| {
            Some((
                r.as_ref().ok()?.at.line,
                r.as_ref().ok()?.value.reference().to_string(),
            ))
        })
        .collect();
    assert_eq!(
        names,
        [(1, "Namespace a".to_owned()), (11, "Namespace b".to_owned())]
    );
    let errors = errors(text);
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(
        errors[0].starts_with("f.yaml:6:") || errors[0].starts_with("f.yaml:5:"),
        "{}",
        errors[0]
    );
    assert!(errors[0].contains("not valid YAML"), "{}", errors[0]);
    assert_eq!(
        errors[1],
        "f.yaml:7:1: Pod without a name: apiVersion: is required"
    );
}

#[test]
fn duplicate_keys_are_errors_with_their_path() {
    let error = one_error("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  name: b\n");
    assert!(error.contains(":5:3:") && error.contains("name"), "{error}");
}

#[test]
fn core_kinds_tolerate_unknown_fields_and_nulls() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: s, creationTimestamp: null, labels: null, managedFields: []}\nspec: {ports: [{port: 80, targetPort: \"8080\", whatever: 1}, {name: x, port: 81, targetPort: http}], selector: null, unknown: {}}\nstatus: {loadBalancer: {}}\n";
    assert!(one_error(text).contains("spec.ports[0].name: is required where a Service has several ports"));
    let text = text.replace("{port: 80", "{name: y, port: 80");
    let object = parse(&text).remove(0).expect("valid").value;
    let Object::Service(service) = object else {
        panic!("a Service");
    };
    assert_eq!(service.metadata.namespace, "default");
    assert_eq!(service.spec.ports[0].target_port, Some(TargetPort::Number(8080)));
    assert_eq!(
        service.spec.ports[1].target_port,
        Some(TargetPort::Name("http".into()))
    );
}

#[test]
fn unknown_kinds_are_errors_in_our_groups_only() {
    let object = |api: &str, kind: &str| {
        parse(&format!(
            "apiVersion: {api}\nkind: {kind}\nmetadata: {{name: a, namespace: b}}\n"
        ))
        .remove(0)
    };
    let ignored = |api, kind| match object(api, kind) {
        Ok(Located {
            value: Object::Ignored(i),
            ..
        }) => i.reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(ignored("v1", "Event"), IgnoredReason::NotNeeded);
    assert_eq!(ignored("apps/v1", "Deployment"), IgnoredReason::NotNeeded);
    assert_eq!(
        ignored("gateway.networking.k8s.io/v1", "ListenerSet"),
        IgnoredReason::UnsupportedKind
    );
    assert_eq!(
        ignored("gateway.networking.k8s.io/v1alpha2", "UDPRoute"),
        IgnoredReason::UnsupportedKind
    );
    assert_eq!(
        ignored("gateway.networking.x-k8s.io/v1alpha1", "XBackendTrafficPolicy"),
        IgnoredReason::UnsupportedKind
    );
    assert_eq!(
        object("security.istio.io/v1", "AuthorisationPolicy")
            .expect_err("misspelt")
            .to_string(),
        "2:1: AuthorisationPolicy b/a: kind: \"AuthorisationPolicy\" is not known; did you mean \"AuthorizationPolicy\"?"
    );
    let error = object("security.istio.io/v2", "PeerAuthentication")
        .expect_err("no such version")
        .to_string();
    assert!(
        error.contains("apiVersion: \"security.istio.io/v2\" is not known"),
        "{error}"
    );
}

#[test]
fn control_characters_of_the_input_stay_out_of_messages() {
    let error = one_error("apiVersion: v1\nkind: \"Po\\nd\\e[31m\"\nmetadata: {name: a}\n");
    assert!(
        error.contains("Po\\nd") && !error.contains('\n') && !error.contains('\u{1b}'),
        "{error:?}"
    );
}

#[test]
fn borders_directives_marks_and_line_ends_are_yamls() {
    let object = |name: &str| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
    let text = format!(
        "\u{feff}# first\n{}---\n---\n--- # last\n{}...\n%YAML 1.2\n# why\n---\n{}",
        object("a"),
        object("b"),
        object("c")
    );
    for text in [text.clone(), text.replace('\n', "\r\n")] {
        let names: Vec<_> = parse(&text)
            .into_iter()
            .map(|r| r.expect("valid").value.reference().to_string())
            .collect();
        assert_eq!(names, ["Namespace a", "Namespace b", "Namespace c"]);
    }
}

#[test]
fn every_served_version_is_read() {
    for (api, kind, spec) in [
        ("networking.istio.io/v1", "WorkloadEntry", "{address: 10.0.0.1}"),
        (
            "networking.istio.io/v1beta1",
            "WorkloadEntry",
            "{address: 10.0.0.1}",
        ),
        (
            "networking.istio.io/v1alpha3",
            "WorkloadEntry",
            "{address: 10.0.0.1}",
        ),
        (
            "gateway.networking.k8s.io/v1",
            "GatewayClass",
            "{controllerName: a.b/c}",
        ),
        (
            "gateway.networking.k8s.io/v1beta1",
            "GatewayClass",
            "{controllerName: a.b/c}",
        ),
        ("security.istio.io/v1beta1", "PeerAuthentication", "{}"),
    ] {
        let text =
            format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: a, namespace: b}}\nspec: {spec}\n");
        let object = parse(&text).remove(0).expect("valid").value;
        assert_eq!(object.key().expect("understood").kind.as_str(), kind);
    }
}

#[test]
fn fields_that_do_not_exist_are_told_and_passed_over() {
    let text = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: b}\nspec:\n  hosts: [a.example.com]\n  resolution: DNS\n  ports:\n  - {number: 80, name: http, protocl: HTTP}\n  endpoint: []\n  location: null\nspecs: {}\n";
    let object = parse(text).remove(0).expect("valid");
    let warnings: Vec<_> = object.warnings.iter().map(|w| w.in_file("f.yaml")).collect();
    assert_eq!(
        warnings,
        [
            "f.yaml:8:30: ServiceEntry b/a: spec.ports[0].protocl: there is no such field; did you mean \"protocol\"?",
            "f.yaml:9:3: ServiceEntry b/a: spec.endpoint: there is no such field; did you mean \"endpoints\"?",
            "f.yaml:11:1: ServiceEntry b/a: specs: there is no such field; did you mean \"spec\"?",
        ]
    );
}
