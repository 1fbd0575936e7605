//! GRPCRoute, in the mesh and at a gateway.

use std::collections::BTreeMap;

use crate::harness::{Call, Together};

fn route(parent: &str, rules: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {{name: web, namespace: shop}}, \
         spec: {{parentRefs: [{parent}], rules: [{rules}]}}}}"
    )
}

fn to(version: &str) -> String {
    format!("backendRefs: [{{name: web-{version}, port: 9090}}]")
}

/// The same rules at a Service and at a listener.
fn both(rules: &str, check: impl Fn(&Together, &dyn Fn(&str) -> String)) {
    let mesh = Together::shop(&route("{group: '', kind: Service, name: web}", rules));
    let by = |call: &Call<'_>| {
        let end = call.send();
        match end.code {
            0 => end.answer.by().trim_start_matches("web-").to_owned(),
            code => format!("grpc {code}"),
        }
    };
    check(&mesh, &|line| by(&call(&mesh, line)));
    let edge = Together::gateway(
        "edge",
        "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge, namespace: shop}, spec: {gatewayClassName: lateen, listeners: [{name: web, port: 80, protocol: HTTP}]}}",
    );
    for version in ["v1", "v2"] {
        let name = format!("web-{version}");
        edge.service(&name, &format!("version: {version}"));
        edge.backend(&name, &format!("version: {version}"));
    }
    edge.apply(&route("{name: edge}", rules));
    check(&edge, &|line| by(&call(&edge, line).at(80)));
}

/// Method and headers, with blanks between them.
fn call<'a>(mesh: &'a Together, line: &str) -> Call<'a> {
    let mut words = line.split_whitespace();
    let mut call = mesh.grpc(words.next().unwrap_or_default());
    for word in words {
        let (name, value) = word.split_once(':').expect("a header");
        call = call.header(name, value);
    }
    call
}

fn table(of: &dyn Fn(&str) -> String, cases: &[(&str, &str)]) {
    let wrong: Vec<_> = cases
        .iter()
        .filter_map(|(line, expected)| {
            let got = of(line);
            (got != *expected).then(|| format!("{line}: {got} instead of {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn methods() {
    let rules = format!(
        "{{matches: [{{method: {{service: echo.Echo, method: Say}}}}], {}}}, {{matches: [{{method: {{service: echo.Echo, method: SayTwice}}}}], {}}}, \
         {{matches: [{{method: {{type: RegularExpression, service: 'other[.].*'}}}}], {}}}",
        to("v1"),
        to("v2"),
        to("v2")
    );
    both(&rules, |_, of| {
        table(
            of,
            &[
                ("/echo.Echo/Say", "v1"),
                ("/echo.Echo/SayTwice", "v2"),
                ("/other.Thing/Do", "v2"),
                ("/echo.Echo/SayThrice", "grpc 12"),
                ("/echo.echo/Say", "grpc 12"),
            ],
        );
    });
}

#[test]
fn headers() {
    let header = |name: &str, value: &str| format!("{{headers: [{{name: {name}, value: {value}}}]}}");
    let rule = |matches: &str, version: &str| format!("{{matches: [{matches}], {}}}", to(version));
    let rules = [
        rule(&header("version", "one"), "v1"),
        rule(&header("version", "two"), "v2"),
        rule(
            "{headers: [{name: version, value: two}, {name: color, value: orange}]}",
            "v1",
        ),
        rule(
            &format!("{}, {}", header("color", "blue"), header("color", "green")),
            "v1",
        ),
        rule(
            &format!("{}, {}", header("color", "red"), header("color", "yellow")),
            "v2",
        ),
    ];
    both(&rules.join(", "), |_, of| {
        table(
            of,
            &[
                ("/echo.Echo/Say version:one", "v1"),
                ("/echo.Echo/Say version:two", "v2"),
                ("/echo.Echo/Say version:two color:orange", "v1"),
                ("/echo.Echo/Say color:blue", "v1"),
                ("/echo.Echo/Say color:green", "v1"),
                ("/echo.Echo/Say color:red", "v2"),
                ("/echo.Echo/Say color:yellow", "v2"),
                ("/echo.Echo/Say color:purple", "grpc 12"),
                ("/echo.Echo/Say", "grpc 12"),
            ],
        );
    });
}

// row: GRPCRoute rules.backendRefs.weight
#[test]
fn weights() {
    let rules = "{name: shares, backendRefs: [{name: web-v1, port: 9090, weight: 70}, {name: web-v2, port: 9090, weight: 30}]}";
    both(rules, |_, of| {
        let mut by = BTreeMap::<String, usize>::new();
        for _ in 0..500 {
            *by.entry(of("/echo.Echo/Say")).or_default() += 1;
        }
        assert!(
            (325..=375).contains(&by["v1"]) && by["v1"] + by["v2"] == 500,
            "{by:?}"
        );
    });
}

#[test]
fn request_headers() {
    let rules = [
        ("set", "set: [{name: x-set, value: new}]"),
        ("add", "add: [{name: x-add, value: more}]"),
        ("remove", "remove: [x-remove]"),
    ]
    .map(|(case, edit)| {
        format!(
            "{{matches: [{{headers: [{{name: x-case, value: {case}}}]}}], filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{{edit}}}}}], {}}}",
            to("v1")
        )
    });
    let mesh = Together::shop(&route("{group: '', kind: Service, name: web}", &rules.join(", ")));
    for (case, name, expected) in [
        ("set", "x-set", Some("new")),
        ("add", "x-add", Some("old,more")),
        ("remove", "x-remove", None),
    ] {
        let call = mesh
            .grpc("/echo.Echo/Say")
            .header("x-case", case)
            .header(name, "old");
        let end = call.send();
        assert_eq!(
            (end.code, end.answer.seen().header(name).as_deref()),
            (0, expected),
            "{case}"
        );
    }
}

#[test]
fn nobody_is_unavailable_in_grpcs_own_words() {
    let mesh = Together::shop(&route(
        "{group: '', kind: Service, name: web}",
        "{backendRefs: [{name: nobody, port: 9090}]}",
    ));
    assert_eq!(mesh.reason("GRPCRoute", "web", "ResolvedRefs"), "BackendNotFound");
    let end = mesh.grpc("/echo.Echo/Say").send();
    assert_eq!((end.answer.status, end.code != 0), (200, true), "{end:?}");
}
