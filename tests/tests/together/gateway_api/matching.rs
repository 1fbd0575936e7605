//! Which rule takes a request.

use super::{both, edge, rules, version};
use crate::cases::{Via, check, http_route, http_route_of, to};
use crate::harness::Together;

// row: HTTPRoute rules.matches.path
// row: HTTPRoute rules.matches.headers
#[test]
fn matching() {
    let with = |paths: &str, header: &str| format!("{paths}, {}", version(header));
    both(
        &rules(&[
            (&with("{path: {type: PathPrefix, value: /}}", "one"), "v1"),
            (&with("{path: {type: PathPrefix, value: /v2}}", "two"), "v2"),
        ]),
        &[
            ("GET /", "v1"),
            ("GET /example", "v1"),
            ("GET / version:one", "v1"),
            ("GET /v2", "v2"),
            ("GET / version:two", "v2"),
            ("GET /v2/", "v2"),
            ("GET /v2/example", "v2"),
            ("GET /v2example", "v1"),
            ("GET /foo/v2/example", "v1"),
        ],
    );
}

#[test]
fn exact_paths() {
    both(
        &rules(&[
            ("{path: {type: Exact, value: /one}}", "v1"),
            ("{path: {type: Exact, value: /two}}", "v2"),
        ]),
        &[
            ("GET /one", "v1"),
            ("GET /two", "v2"),
            ("GET /two?query=yes", "v2"),
            ("GET /", "404"),
            ("GET /one/example", "404"),
            ("GET /two/", "404"),
            ("GET /Two", "404"),
        ],
    );
}

#[test]
fn headers() {
    both(
        &rules(&[
            (&version("one"), "v1"),
            (&version("two"), "v2"),
            (
                "{headers: [{name: version, value: two}, {name: color, value: orange}]}",
                "v1",
            ),
            (
                "{headers: [{name: color, value: blue}]}, {headers: [{name: color, value: green}]}",
                "v1",
            ),
            (
                "{headers: [{name: color, value: red}]}, {headers: [{name: color, value: yellow}]}",
                "v2",
            ),
        ]),
        &[
            ("GET / version:one", "v1"),
            ("GET / Version:one", "v1"),
            ("GET / version:two", "v2"),
            ("GET / version:two color:orange", "v1"),
            ("GET / color:blue", "v1"),
            ("GET / color:green", "v1"),
            ("GET / color:red", "v2"),
            ("GET / color:yellow", "v2"),
            ("GET / color:purple", "404"),
            ("GET /", "404"),
            ("GET / version:One", "404"),
        ],
    );
}

// row: HTTPRoute rules.matches.queryParams
#[test]
fn query_parameters() {
    let animal =
        |more: &str, value: &str| format!("{{{more} queryParams: [{{name: animal, value: {value}}}]}}");
    let path = |p: &str| format!("path: {{type: PathPrefix, value: {p}}},");
    let header = |value: &str| format!("headers: [{{name: version, value: {value}}}],");
    both(
        &rules(&[
            (&animal("", "whale"), "v1"),
            (&animal("", "dolphin"), "v2"),
            (
                "{queryParams: [{name: animal, value: dolphin}, {name: color, value: blue}]}, {queryParams: [{name: ANIMAL, value: Whale}]}",
                "v3",
            ),
            (&animal(&path("/path1"), "whale"), "v1"),
            (&animal(&header("one"), "whale"), "v2"),
            (&animal(&(path("/path2") + &header("two")), "whale"), "v3"),
            (
                &format!(
                    "{}, {}",
                    animal(&path("/path3"), "shark"),
                    animal(&(path("/path4") + &header("three")), "kraken")
                ),
                "v1",
            ),
            ("{path: {type: PathPrefix, value: /path5}}", "v1"),
            (&animal("", "hydra"), "v2"),
            (&version("four"), "v3"),
        ]),
        &[
            ("GET /?animal=whale", "v1"),
            ("GET /?animal=dolphin", "v2"),
            ("GET /?animal=whale&otherparam=irrelevant", "v1"),
            ("GET /?animal=dolphin&color=yellow", "v2"),
            ("GET /?animal=dolphin&color=blue", "v3"),
            ("GET /?ANIMAL=Whale", "v3"),
            ("GET /?animal=whale&animal=dolphin", "v1"),
            ("GET /?color=blue", "404"),
            ("GET /?animal=dog", "404"),
            ("GET /?animal=whaledolphin", "404"),
            ("GET /", "404"),
            ("GET /path1?animal=whale", "v1"),
            ("GET /?animal=whale version:one", "v2"),
            ("GET /path2?animal=whale version:two", "v3"),
            ("GET /path3?animal=shark", "v1"),
            ("GET /path4?animal=kraken version:three", "v1"),
            ("GET /path5?animal=hydra", "v1"),
            ("GET /?animal=hydra version:four", "v3"),
        ],
    );
}

// row: HTTPRoute rules.matches.method
#[test]
fn methods() {
    both(
        &rules(&[
            ("{method: POST}", "v1"),
            ("{method: GET}", "v2"),
            ("{path: {type: PathPrefix, value: /path1}, method: GET}", "v1"),
            ("{headers: [{name: version, value: one}], method: PUT}", "v2"),
            (
                "{path: {type: PathPrefix, value: /path2}, headers: [{name: version, value: two}], method: POST}",
                "v3",
            ),
            (
                "{path: {type: PathPrefix, value: /path3}, method: PATCH}, {path: {type: PathPrefix, value: /path4}, headers: [{name: version, value: three}], method: DELETE}",
                "v1",
            ),
            ("{path: {type: PathPrefix, value: /path5}}", "v1"),
            ("{method: PATCH}", "v2"),
            (&version("four"), "v3"),
        ]),
        &[
            ("POST /", "v1"),
            ("GET /", "v2"),
            ("HEAD /", "404"),
            ("GET /path1", "v1"),
            ("PUT / version:one", "v2"),
            ("POST /path2 version:two", "v3"),
            ("PATCH /path3", "v1"),
            ("DELETE /path4 version:three", "v1"),
            ("HEAD /path1", "404"),
            ("POST /path5", "v1"),
            ("PATCH / version:four", "v2"),
        ],
    );
}

#[test]
fn order_of_paths() {
    let path = |kind: &str, value: &str| format!("{{path: {{type: {kind}, value: {value}}}}}");
    both(
        &rules(&[
            (&path("Exact", "/match"), "v1"),
            (&path("Exact", "/match/exact"), "v2"),
            (&path("Exact", "/match/exact/one"), "v3"),
            (&path("PathPrefix", "/match/"), "v3"),
            (&path("PathPrefix", "/match/prefix/"), "v1"),
            (&path("PathPrefix", "/match/prefix/one"), "v2"),
        ]),
        &[
            ("GET /match/exact/one", "v3"),
            ("GET /match/exact", "v2"),
            ("GET /match", "v1"),
            ("GET /match/prefix/one/any", "v2"),
            ("GET /match/prefix/any", "v1"),
            ("GET /match/any", "v3"),
        ],
    );
}

// row: HTTPRoute rules.name
#[test]
fn named_rules() {
    both(
        &format!(
            "{{name: first, matches: [{{path: {{type: PathPrefix, value: /named}}}}], {}}}, {{{}}}",
            to("v1"),
            to("v2")
        ),
        &[("GET /named", "v1"), ("GET /unnamed", "v2")],
    );
    // A policy may speak of the rule.
    let mesh = Together::shop("");
    mesh.apply(&http_route(&format!(
        "{{name: first, matches: [{{path: {{type: PathPrefix, value: /named}}}}], {}}}, {{{}}}",
        to("v1"),
        to("v2")
    )));
    mesh.apply(
        "{apiVersion: lateen.dev/v1alpha1, kind: RateLimitPolicy, metadata: {name: few, namespace: shop}, spec: {\
         targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: web, sectionName: first}], \
         local: {limits: [{requests: 1, interval: 1h}]}}}",
    );
    check(
        &mesh,
        Via::Mesh,
        &[
            ("GET /named", "v1"),
            ("GET /named", "429"),
            ("GET /other", "v2"),
            ("GET /other", "v2"),
        ],
    );
}

#[test]
fn of_several_routes_the_better_match_and_then_the_older_one_counts() {
    let edge = edge("");
    edge.apply(&http_route_of(
        "part1",
        "{name: edge}",
        "hostnames: [example.com, example.net],",
        &format!(
            "{{matches: [{{path: {{type: PathPrefix, value: /}}}}, {}], {}}}",
            version("one"),
            to("v1")
        ),
    ));
    edge.apply(&http_route_of(
        "part2",
        "{name: edge}",
        "hostnames: [example.com],",
        &format!(
            "{{matches: [{{path: {{type: PathPrefix, value: /v2}}}}, {}], {}}}",
            version("two"),
            to("v2")
        ),
    ));
    check(
        &edge,
        Via::Listener(80),
        &[
            ("GET / host:example.com", "v1"),
            ("GET /example host:example.com", "v1"),
            ("GET /example host:example.net", "v1"),
            ("GET /example host:example.com version:one", "v1"),
            ("GET /v2 host:example.com", "v2"),
            ("GET / host:example.com version:two", "v2"),
            ("GET /v2 host:example.net", "v1"),
            ("GET /v2/example host:example.com", "v2"),
            ("GET /v2example host:example.com", "v1"),
            ("GET /v2 host:example.org", "404"),
        ],
    );
    let dated = |name: &str, year: u16, version: &str| {
        format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: {name}, namespace: shop, creationTimestamp: '{year}-01-01T00:00:00Z'}}, spec: {{parentRefs: [{{name: edge}}], hostnames: [same.example], rules: [{{{}}}]}}}}",
            to(version)
        )
    };
    edge.apply(&dated("a-younger", 2025, "v1"));
    edge.apply(&dated("z-older", 2024, "v2"));
    check(&edge, Via::Listener(80), &[("GET / host:same.example", "v2")]);
    edge.remove("HTTPRoute", "z-older");
    check(&edge, Via::Listener(80), &[("GET / host:same.example", "v1")]);
}
