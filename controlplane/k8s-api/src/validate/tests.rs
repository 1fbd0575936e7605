mod entries;
mod gateway;
mod lateen;
mod mesh;
mod routes;
mod traffic;

use crate::parse;

/// The reasons why an object is refused, as `field: reason`.
fn refusals(text: &str) -> Vec<String> {
    parse(text)
        .into_iter()
        .filter_map(Result::err)
        .map(|e| format!("{}: {}", e.field, e.reason))
        .collect()
}

fn refused(text: &str, beginnings: &[&str]) {
    let refusals = refusals(text);
    assert_eq!(refusals.len(), beginnings.len(), "{text}\n{refusals:#?}");
    for (refusal, beginning) in refusals.iter().zip(beginnings) {
        assert!(refusal.starts_with(beginning), "{refusal}\n{beginning}");
    }
}

/// The object is fit for use, and nothing about it is odd.
fn accepted(text: &str) {
    warned(text, &[]);
}

/// The object is fit for use, with these warnings.
fn warned(text: &str, beginnings: &[&str]) {
    let results = parse(text);
    assert_eq!(results.len(), 1, "{text}");
    for result in results {
        let object = result.unwrap_or_else(|e| panic!("{text}\n{e}"));
        assert!(object.value.key().is_some(), "{text} is ignored");
        let warnings = object
            .warnings
            .iter()
            .map(|w| format!("{}: {}", w.field, w.reason));
        let warnings: Vec<_> = warnings.collect();
        assert_eq!(warnings.len(), beginnings.len(), "{text}\n{warnings:#?}");
        for (warning, beginning) in warnings.iter().zip(beginnings) {
            assert!(warning.starts_with(beginning), "{warning}\n{beginning}");
        }
    }
}

fn authorization(spec: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: p, namespace: a}}, spec: {spec}}}"
    )
}

fn peer(spec: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {{name: p, namespace: a}}, spec: {spec}}}"
    )
}

#[test]
fn names_follow_kubernetes() {
    let pod = |name: &str| format!("{{apiVersion: v1, kind: Pod, metadata: {{name: {name:?}}}}}");
    refused(&pod("a.b-c.1"), &[]);
    for name in ["A", "-a", "a..b", "a_b", "a/b", &"a".repeat(254)] {
        refused(&pod(name), &["metadata.name: "]);
    }
    refused(
        "{apiVersion: v1, kind: Namespace, metadata: {name: a.b}}",
        &["metadata.name: "],
    );
    refused(
        "{apiVersion: v1, kind: Service, metadata: {name: 1a}, spec: {ports: [{port: 1}]}}",
        &["metadata.name: "],
    );
    refused(
        "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: B, labels: {x/y/z: a, b: \"-\"}}}",
        &[
            "metadata.namespace: ",
            "metadata.labels.b: ",
            "metadata.labels.x/y/z: ",
        ],
    );
}

#[test]
fn pods_have_real_addresses_and_ports() {
    refused(
        "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {serviceAccountName: A, nodeName: \"-\", containers: [{ports: [{containerPort: 0, name: TooLong}]}]}, status: {podIP: x, podIPs: [{ip: 1.2.3}]}}",
        &[
            "spec.serviceAccountName: ",
            "spec.nodeName: ",
            "spec.containers[0].ports[0].containerPort: ",
            "spec.containers[0].ports[0].name: ",
            "status.podIP: ",
            "status.podIPs[0].ip: ",
        ],
    );
}

#[test]
fn services_and_slices_have_real_addresses_and_ports() {
    refused(
        "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: x, clusterIPs: [y], ports: [{name: a, port: 80}, {name: a, port: 80, targetPort: TooBig}]}}",
        &[
            "spec.clusterIP: ",
            "spec.clusterIPs[0]: ",
            "spec.ports[1].port: ",
            "spec.ports[1].name: ",
            "spec.ports[1].targetPort: ",
        ],
    );
    refused(
        "{apiVersion: v1, kind: Service, metadata: {name: a}}",
        &["spec.ports: "],
    );
    refused(
        "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: None}}",
        &[],
    );
    refused(
        "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 65536}]}}",
        &["spec.ports[0].port: "],
    );
    refused(
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv6, endpoints: [{addresses: [10.0.0.1]}, {addresses: []}], ports: [{port: 0}]}",
        &[
            "endpoints[0].addresses[0]: ",
            "endpoints[1].addresses: ",
            "ports[0].port: ",
        ],
    );
}

#[test]
fn policies_attach_in_one_way_only() {
    refused(
        &authorization("{selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: x}]}"),
        &["spec: may have only one of"],
    );
    refused(
        &authorization("{targetRef: {kind: Service, name: x, namespace: other}}"),
        &["spec.targetRef.namespace: must be the policy's own"],
    );
    refused(
        &authorization("{targetRef: {kind: Pod, name: x}}"),
        &["spec.targetRef.kind: "],
    );
    let many = vec!["{kind: Service, name: x}"; 17].join(",");
    refused(
        &authorization(&format!("{{targetRefs: [{many}]}}")),
        &["spec.targetRefs: has more than 16"],
    );
    let many = vec!["{}"; 513].join(",");
    refused(
        &authorization(&format!("{{rules: [{many}]}}")),
        &["spec.rules: has more than 512"],
    );
}

#[test]
fn service_accounts_exclude_principals_and_namespaces() {
    let source = |s: &str| authorization(&format!("{{rules: [{{from: [{{source: {s}}}]}}]}}"));
    let at = "spec.rules[0].from[0].source";
    refused(&source("{serviceAccounts: [x, a/y]}"), &[]);
    for other in ["principals: [x]", "namespaces: [x]"] {
        refused(
            &source(&format!("{{serviceAccounts: [x], {other}}}")),
            &[&format!("{at}.serviceAccounts: cannot stand beside")],
        );
    }
    refused(
        &source("{notServiceAccounts: [x], notNamespaces: [x]}"),
        &[&format!("{at}.notServiceAccounts: cannot stand beside")],
    );
    refused(
        &source("{serviceAccounts: [\"a/*\", a/b/c]}"),
        &[
            &format!("{at}.serviceAccounts[0]: "),
            &format!("{at}.serviceAccounts[1]: "),
        ],
    );
    let many: Vec<String> = (0..17).map(|i| format!("s{i}")).collect();
    refused(
        &source(&format!("{{serviceAccounts: [{}]}}", many.join(","))),
        &[&format!("{at}.serviceAccounts: has more than 16")],
    );
    refused(
        &source("{principals: [\"\"]}"),
        &[&format!("{at}.principals[0]: is empty")],
    );
}

#[test]
fn peer_authentication_port_modes_need_a_selector() {
    refused(&peer("{mtls: {mode: STRICT}}"), &[]);
    refused(
        &peer("{portLevelMtls: {80: {mode: STRICT}}}"),
        &["spec.portLevelMtls: needs a selector"],
    );
    refused(
        &peer("{selector: {matchLabels: {a: b}}, portLevelMtls: {70000: {mode: STRICT}}}"),
        &["spec.portLevelMtls.70000: "],
    );
    refused(
        &peer("{selector: {matchLabels: {a: b}}, portLevelMtls: {http: {mode: STRICT}}}"),
        &["spec.portLevelMtls.http: "],
    );
    refused(&peer("{mtls: {mode: STRIKT}}"), &["spec.mtls.mode: "]);
    refused(
        &peer("{mtls: {mod: STRICT}}"),
        &["spec.mtls.mod: there is no such field"],
    );
}

#[test]
fn custom_needs_a_provider() {
    refused(
        &authorization("{action: CUSTOM, rules: [{}]}"),
        &["spec.provider: is required"],
    );
    refused(
        &authorization("{action: CUSTOM, provider: {name: x}, rules: [{}]}"),
        &[],
    );
}

#[test]
fn requests_are_described_in_known_words() {
    let operation = |o: &str| authorization(&format!("{{rules: [{{to: [{{operation: {o}}}]}}]}}"));
    accepted(&operation(
        "{hosts: [\"*.example.com\"], methods: [GET, \"*\"], paths: [/a*, \"/x/{*}/y\", \"/z/{**}\"], notPaths: [\"*/b\"]}",
    ));
    let at = "spec.rules[0].to[0].operation";
    for (text, reason) in [
        (
            "{paths: [\"/{x}\"]}",
            ".paths[0]: \"/{x}\" has a segment with braces",
        ),
        ("{notPaths: [\"/{**}/{*}\"]}", ".notPaths[0]: "),
        (
            "{methods: [\"GET POST\"]}",
            ".methods[0]: \"GET POST\" is no HTTP method",
        ),
        ("{hosts: [\"\"]}", ".hosts[0]: is empty"),
    ] {
        refused(&operation(text), &[&format!("{at}{reason}")]);
    }
    let when = |key: &str, value: &str| {
        authorization(&format!(
            "{{rules: [{{when: [{{key: {key:?}, values: [{value:?}]}}]}}]}}"
        ))
    };
    for (key, value) in [
        ("request.headers[X-A]", "x*"),
        ("request.auth.claims[a][b]", "v"),
        ("request.auth.presenter", "v"),
        ("source.serviceAccount", "ns/a"),
        ("remote.ip", "10.0.0.0/8"),
        ("connection.sni", "*.example.com"),
    ] {
        accepted(&when(key, value));
    }
    for (key, value, reason) in [
        ("request.headers", "x", "key: \"request.headers\" is no attribute"),
        ("request.headers[a b]", "x", "key: \"a b\" is no header's name"),
        ("request.headers[a][b]", "x", "key: "),
        ("request.auth.claims[]", "x", "key: "),
        ("request.auth.claims[a]b", "x", "key: "),
        ("source.serviceAccount", "a/*", "values[0]: \"a/*\" is neither"),
        ("destination.port", "0", "values[0]: "),
    ] {
        refused(&when(key, value), &[&format!("spec.rules[0].when[0].{reason}")]);
    }
    warned(
        &when("experimental.envoy.filters.a[b]", "x"),
        &["spec.rules[0].when[0].key: is about a filter of Envoy's"],
    );
}

/// What an API server refuses of metadata is refused of a file, too: what it says goes over to other objects.
#[test]
fn metadata_is_what_an_api_server_takes() {
    let of = |metadata: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {{{metadata}}}, spec: {{address: 192.0.2.7}}}}"
        )
    };
    let named = |more: &str| of(&format!("name: a, namespace: a, {more}"));
    let (longest, longer) = ("n".repeat(253), "n".repeat(254));
    accepted(&of(&format!("name: {longest}, namespace: a")));
    refused(
        &of(&format!("name: {longer}, namespace: a")),
        &["metadata.name: \"nnn"],
    );
    refused(
        &of("name: a, namespace: Shop"),
        &["metadata.namespace: \"Shop\" is not"],
    );
    accepted(&named(&format!("labels: {{a: {}}}", "v".repeat(63))));
    refused(
        &named(&format!("labels: {{a: {}}}", "v".repeat(64))),
        &["metadata.labels.a: label value"],
    );
    refused(
        &named("labels: {a: \"b\\nkind: c\"}"),
        &["metadata.labels.a: label value \"b\\nkind: c\""],
    );
    accepted(&named("annotations: {example.com/A_b: \"\\n---\\n{{ .x }}\"}"));
    refused(&named("annotations: {\"a\\nb\": c}"), &["metadata.annotations"]);
    refused(&named("annotations: {a/b/c: d}"), &["metadata.annotations"]);
    let many = format!("annotations: {{a: {}}}", "v".repeat(256 * 1024));
    refused(
        &named(&many),
        &["metadata.annotations: has 262145 bytes, more than 262144"],
    );
}
