//! The tables of Gateway API's conformance tests, as far as they are about selection.

use super::*;

/// MeshHTTPRouteMatching, HTTPRouteMatching.
#[test]
fn paths_by_segment_and_headers() {
    let table = table([gateway_api(
        "matching",
        vec![
            (vec![prefix("/"), prefix("/").header("version", "one")], "v1"),
            (vec![prefix("/v2"), prefix("/").header("version", "two")], "v2"),
        ],
    )]);
    for (target, to) in [
        ("/", "v1"),
        ("/example", "v1"),
        ("/v2", "v2"),
        ("/v2/", "v2"),
        ("/v2/example", "v2"),
        ("/v2example", "v1"),
        ("/foo/v2/example", "v1"),
    ] {
        assert_eq!(get(target).goes_to(&table), to, "{target}");
    }
    assert_eq!(get("/").header("version", "one").goes_to(&table), "v1");
    assert_eq!(get("/").header("version", "two").goes_to(&table), "v2");
}

/// MeshTrafficSplit, HTTPRouteExactPathMatching.
#[test]
fn exact_paths() {
    let table = table([gateway_api(
        "exact",
        vec![(vec![exact("/v1")], "v1"), (vec![exact("/v2")], "v2")],
    )]);
    for (target, to) in [
        ("/v1", "v1"),
        ("/v2", "v2"),
        ("/v1/", "404"),
        ("/", "404"),
        ("/V1", "404"),
    ] {
        assert_eq!(get(target).goes_to(&table), to, "{target}");
    }
}

/// HTTPRouteMatchingAcrossRoutes: the hosts of a route limit it, and rules of several routes rank together.
#[test]
fn rules_of_several_routes_rank_together() {
    let mut one = gateway_api(
        "one",
        vec![(vec![prefix("/"), prefix("/").header("version", "one")], "v1")],
    );
    one.hostnames = vec!["example.com".into(), "example.net".into()];
    let mut two = gateway_api(
        "two",
        vec![(vec![prefix("/v2"), prefix("/").header("version", "two")], "v2")],
    );
    two.hostnames = vec!["example.com".into()];
    let table = listener([one, two]);
    let at = |host: &str, target: &str| get(target).host(host);
    for (sent, to) in [
        (at("example.com", "/"), "v1"),
        (at("example.com", "/example"), "v1"),
        (at("example.net", "/example"), "v1"),
        (at("example.com", "/example").header("version", "one"), "v1"),
        (at("example.com", "/v2"), "v2"),
        (at("example.com", "/v2/"), "v2"),
        (at("example.com:8080", "/v2/example"), "v2"),
        (at("EXAMPLE.com.", "/").header("version", "two"), "v2"),
        (at("example.net", "/v2"), "v1"),
        (at("example.net", "/v2example"), "v1"),
        (at("example.org", "/"), "404"),
    ] {
        assert_eq!(sent.goes_to(&table), to, "{sent:?}");
    }
}

/// HTTPRoutePathMatchOrder: exact before prefix, then the longer prefix, whatever the order of the rules.
#[test]
fn the_order_of_paths() {
    let table = table([gateway_api(
        "order",
        vec![
            (vec![prefix("/match")], "prefix"),
            (vec![prefix("/match/prefix/one")], "long"),
            (vec![exact("/match/exact")], "exact"),
            (vec![prefix("/match/prefix")], "middle"),
            (vec![exact("/match/exact/one")], "exact one"),
            (vec![prefix("/match/exact")], "below exact"),
        ],
    )]);
    for (target, to) in [
        ("/match/exact", "exact"),
        ("/match/exact/one", "exact one"),
        ("/match/exact/two", "below exact"),
        ("/match/prefix/one/any", "long"),
        ("/match/prefix/two", "middle"),
        ("/match/any", "prefix"),
    ] {
        assert_eq!(get(target).goes_to(&table), to, "{target}");
    }
}

/// HTTPRouteHeaderMatching: all headers of a match, any match of a rule, names in any case, more headers first.
#[test]
fn headers() {
    let any = HttpMatch::default;
    let table = table([gateway_api(
        "headers",
        vec![
            (vec![any().header("version", "one")], "v1"),
            (vec![any().header("version", "two")], "v2"),
            (
                vec![any().header("version", "two").header("color", "orange")],
                "v1",
            ),
            (
                vec![any().header("color", "blue"), any().header("color", "green")],
                "v1",
            ),
            (
                vec![any().header("color", "red"), any().header("color", "yellow")],
                "v2",
            ),
        ],
    )]);
    for (sent, to) in [
        (get("/").header("version", "one"), "v1"),
        (get("/").header("version", "two"), "v2"),
        (get("/").header("version", "two").header("color", "orange"), "v1"),
        (get("/").header("color", "blue"), "v1"),
        (get("/").header("color", "green"), "v1"),
        (get("/").header("color", "red"), "v2"),
        (get("/").header("color", "yellow"), "v2"),
        (get("/").header("color", "purple"), "404"),
        (get("/"), "404"),
        (get("/").header("version", "one").header("version", "two"), "404"),
    ] {
        assert_eq!(sent.goes_to(&table), to, "{sent:?}");
    }
}

/// HTTPRouteMethodMatching: a method outranks headers, a path outranks a method.
#[test]
fn methods() {
    let any = HttpMatch::default;
    let table = table([gateway_api(
        "methods",
        vec![
            (vec![any().method("POST")], "v1"),
            (vec![any().method("GET")], "v2"),
            (vec![prefix("/path1").method("GET")], "v1"),
            (vec![any().method("PUT").header("version", "one")], "v2"),
            (
                vec![prefix("/path2").method("POST").header("version", "two")],
                "v3",
            ),
            (vec![prefix("/path5")], "v1"),
            (vec![any().method("PATCH")], "v2"),
            (vec![any().header("version", "four")], "v1"),
        ],
    )]);
    let sent = |method: Method, target: &str| get(target).method(method);
    for (sent, to) in [
        (sent(Method::POST, "/"), "v1"),
        (sent(Method::GET, "/"), "v2"),
        (sent(Method::HEAD, "/"), "404"),
        (sent(Method::GET, "/path1"), "v1"),
        (sent(Method::PUT, "/").header("version", "one"), "v2"),
        (sent(Method::PUT, "/"), "404"),
        (sent(Method::POST, "/path2").header("version", "two"), "v3"),
        (sent(Method::POST, "/path2"), "v1"),
        (sent(Method::PATCH, "/path5"), "v1"),
        (sent(Method::PATCH, "/").header("version", "four"), "v2"),
    ] {
        assert_eq!(sent.goes_to(&table), to, "{sent:?}");
    }
}

/// MeshHTTPRouteQueryParamMatching, HTTPRouteQueryParamMatching.
#[test]
fn query_parameters() {
    let any = HttpMatch::default;
    let table = table([gateway_api(
        "query",
        vec![
            (vec![any().query("animal", "whale")], "v1"),
            (vec![any().query("animal", "dolphin")], "v2"),
            (
                vec![any().query("animal", "dolphin").query("color", "blue")],
                "v3",
            ),
            (vec![any().query("ANIMAL", "Whale")], "v3"),
            (
                vec![
                    prefix("/path1").query("animal", "whale"),
                    any().query("animal", "whale").header("version", "one"),
                ],
                "v1b",
            ),
            (
                vec![
                    prefix("/path2").query("animal", "whale").header("version", "two"),
                    prefix("/path3").query("animal", "shark"),
                ],
                "v2b",
            ),
            (
                vec![prefix("/path5").query("animal", "hydra"), prefix("/path5")],
                "v4",
            ),
            (
                vec![any().header("version", "four").query("animal", "hydra")],
                "v5",
            ),
        ],
    )]);
    for (sent, to) in [
        (get("/?animal=whale"), "v1"),
        (get("/?animal=dolphin"), "v2"),
        (get("/?animal=whale&otherparam=irrelevant"), "v1"),
        (get("/?animal=dolphin&color=yellow"), "v2"),
        (get("/?color=blue&animal=dolphin"), "v3"),
        (get("/?animal=whale&animal=dolphin"), "v1"),
        (get("/?ANIMAL=Whale"), "v3"),
        (get("/path1?animal=whale"), "v1b"),
        (get("/?animal=whale").header("version", "one"), "v1b"),
        (get("/path2?animal=whale").header("version", "two"), "v2b"),
        (get("/path3?animal=shark"), "v2b"),
        (get("/path5?animal=hydra").header("version", "four"), "v4"),
        (get("/path4?animal=hydra").header("version", "four"), "v5"),
        (get("/?animal=%64olphin"), "v2"),
        (get("/"), "404"),
        (get("/?animal=shark"), "404"),
        (get("/path4?animal=dog"), "404"),
    ] {
        assert_eq!(sent.goes_to(&table), to, "{sent:?}");
    }
}

/// HTTPRouteHostnameIntersection, HTTPRouteListenerHostnameMatching: a star stands for one label or more.
#[test]
fn hosts_and_wildcards() {
    let with_hosts = |name: &str, hosts: &[&str], to: &'static str| {
        let mut route = gateway_api(name, vec![(vec![prefix("/")], to)]);
        route.hostnames = hosts.iter().map(|host| (*host).into()).collect();
        route
    };
    let table = listener([
        with_hosts("a", &["*.example.com"], "below"),
        with_hosts("b", &["very.specific.com", "www.example.com"], "named"),
        with_hosts("c", &["*.deep.example.com"], "deep"),
    ]);
    for (host, to) in [
        ("very.specific.com", "named"),
        ("non.matching.com", "404"),
        ("www.example.com", "named"),
        ("a.example.com", "below"),
        ("a.b.example.com", "below"),
        ("a.deep.example.com", "deep"),
        ("deep.example.com", "below"),
        ("example.com", "404"),
        (".example.com", "404"),
        ("", "404"),
    ] {
        assert_eq!(get("/").host(host).goes_to(&table), to, "{host}");
    }
}

/// MeshFrontendHostname: to a service, hosts mean nothing.
#[test]
fn a_service_is_not_chosen_by_host() {
    let mut route = gateway_api("echo", vec![(vec![prefix("/")], "v1")]);
    route.hostnames = vec!["echo-v1".into()];
    assert_eq!(get("/").host("echo-v2").goes_to(&table([route])), "v1");
}

/// MeshConsumerRoute: only clients of the route's namespace see it, and they see nothing else.
#[test]
fn consumer_routes() {
    let own = gateway_api("own", vec![(vec![prefix("/")], "own")]);
    let mut consumer = gateway_api("consumer", vec![(vec![prefix("/v1")], "consumer")]);
    consumer.consumer = Some("consumers".into());
    let both = table([own, consumer.clone()]);
    assert_eq!(get("/v1").in_namespace("consumers").goes_to(&both), "consumer");
    assert_eq!(get("/v2").in_namespace("consumers").goes_to(&both), "404");
    assert_eq!(get("/v1").in_namespace("others").goes_to(&both), "own");
    assert_eq!(get("/v1").goes_to(&both), "own");
    // For others, there is no route at all: the service's own endpoints take it.
    let alone = table([consumer]);
    assert!(!alone.has_http(&get("/v1").in_namespace("others").client()));
    assert!(alone.has_http(&get("/v1").in_namespace("consumers").client()));
}
