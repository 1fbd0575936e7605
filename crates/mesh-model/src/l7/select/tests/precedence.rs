use serde_json::json;

use super::*;
use crate::l7::Pattern;
use crate::l7::route::ClaimMatch;

#[test]
fn each_criterion_decides_only_where_the_former_ones_do_not() {
    let any = HttpMatch::default;
    let regex = |text: &str| with_path(PathMatch::Regex(Pattern::new(text).unwrap()));
    // The strongest first; the same request meets all of them.
    let ladder = [
        exact("/a/b"),
        prefix("/a/b").method("GET").header("x", "1").header("y", "1"),
        prefix("/a/b").method("GET").header("x", "1").query("p", "1"),
        prefix("/a/b").method("GET").header("x", "1"),
        prefix("/a/b").method("GET"),
        prefix("/a/b").header("x", "1").header("y", "1"),
        prefix("/a/b").query("p", "1").query("q", "1"),
        prefix("/a/b").query("p", "1"),
        prefix("/a/b"),
        prefix("/a").method("GET").header("x", "1"),
        prefix("/a"),
        regex("/a/b|/never").header("x", "1"),
        regex("/a/b|/never"),
        regex("/a/."),
        prefix("/").method("GET"),
        any().header("x", "1"),
        prefix("/"),
    ];
    let names: Vec<_> = (0..ladder.len()).map(|n| format!("{n:02}")).collect();
    for from in 0..ladder.len() {
        // Weaker ones first, so that the order of rules does not help.
        let rules = (from..ladder.len()).rev();
        let rules = rules.map(|n| (vec![ladder[n].clone()], names[n].as_str()));
        let table = table([gateway_api("ladder", rules.collect())]);
        let sent = get("/a/b?p=1&q=1").header("x", "1").header("y", "1");
        assert_eq!(sent.goes_to(&table), names[from]);
    }
}

#[test]
fn ties_go_to_the_older_route_then_by_name_then_to_the_first_rule() {
    let at = |created: Created, namespace: &str, name: &str, to: &'static str| {
        let mut route = gateway_api(name, vec![(vec![prefix("/")], to), (vec![prefix("/")], "second")]);
        route.created = created;
        route.object.name.namespace = namespace.into();
        route
    };
    let older = at(Created::at(1), "z", "z", "older");
    let younger = at(Created::at(2), "a", "a", "younger");
    let unknown = at(Created::unknown(), "a", "a", "unknown");
    let other_name = at(Created::unknown(), "a", "b", "other name");
    let other_namespace = at(Created::unknown(), "b", "a", "other namespace");
    let all = [other_namespace, other_name, unknown, younger, older];
    for (count, winner) in [
        (5, "older"),
        (4, "younger"),
        (3, "unknown"),
        (2, "other name"),
        (1, "other namespace"),
    ] {
        assert_eq!(get("/").goes_to(&table(all[..count].to_vec())), winner);
    }
}

#[test]
fn lists_are_read_in_order_and_before_everything_else() {
    let any = HttpMatch::default;
    let raw = |path: &str| with_path(PathMatch::Prefix(path.into()));
    let listed = |name: &str, rules| route(name, Order::Listed, rules);
    let table = table([
        listed(
            "first",
            vec![
                (vec![raw("/shop")], "raw"),
                (vec![exact("/shop/cart")], "hidden"),
                (vec![any().header("x", "1")], "header"),
                (vec![], "default"),
                (vec![exact("/late")], "behind the default"),
            ],
        ),
        listed(
            "second",
            vec![(vec![exact("/other")], "second"), (vec![], "second default")],
        ),
        gateway_api("route", vec![(vec![exact("/shop/cart")], "gateway api")]),
    ]);
    for (sent, to) in [
        (get("/shopping"), "raw"),
        (get("/shop/cart"), "raw"),
        (get("/").header("x", "1"), "header"),
        (get("/late"), "default"),
        (get("/other"), "second"),
        (get("/"), "default"),
    ] {
        assert_eq!(sent.goes_to(&table), to, "{sent:?}");
    }
}

#[test]
fn everything_that_a_virtual_service_can_ask_for() {
    let any = HttpMatch::default;
    let text = |text: &str| Some(TextMatch::Exact(text.into()));
    let claim = |path: &[&str], value: &str| ClaimMatch {
        path: path.iter().map(|p| (*p).into()).collect(),
        value: TextMatch::Exact(value.into()),
    };
    let without = HttpMatch {
        without_headers: vec![named("x-internal", "1")],
        ..exact("/without")
    };
    let present = HttpMatch {
        headers: vec![NamedMatch {
            name: "x-any".into(),
            value: TextMatch::Present,
        }],
        ..exact("/present")
    };
    let cases = vec![
        (
            vec![HttpMatch {
                authority: text("Shop.example"),
                ..any()
            }],
            "authority",
        ),
        (
            vec![HttpMatch {
                source_namespace: Some("web".into()),
                ..exact("/ns")
            }],
            "namespace",
        ),
        (
            vec![HttpMatch {
                source_labels: vec![("app".into(), "a".into())],
                ..any()
            }],
            "labels",
        ),
        (
            vec![HttpMatch {
                claims: vec![claim(&["group", "name"], "admin")],
                ..any()
            }],
            "claims",
        ),
        (vec![without], "without"),
        (vec![present], "present"),
        (
            vec![with_path(PathMatch::ExactIgnoringCase("/Exact".into()))],
            "exact ignoring case",
        ),
        (
            vec![with_path(PathMatch::PrefixIgnoringCase("/Fix".into()))],
            "prefix ignoring case",
        ),
        (
            vec![with_path(PathMatch::Regex(Pattern::new("/r[0-9]+").unwrap()))],
            "regex",
        ),
    ];
    let table = table([route("vs", Order::Listed, cases)]);
    let mut labelled = get("/");
    labelled.labels = vec![("b".into(), "c".into()), ("app".into(), "a".into())];
    let mut with_claims = get("/");
    with_claims.claims = claims(json!({"group": {"name": ["user", "admin"]}}));
    for (sent, to) in [
        (get("/").host("SHOP.example:80"), "authority"),
        (get("/ns").in_namespace("web"), "namespace"),
        (get("/ns").in_namespace("other"), "404"),
        (get("/ns"), "404"),
        (labelled, "labels"),
        (with_claims, "claims"),
        (get("/without"), "without"),
        (get("/without").header("x-internal", "2"), "without"),
        (get("/without").header("x-internal", "1"), "404"),
        (get("/present").header("x-any", ""), "present"),
        (get("/present"), "404"),
        (get("/eXACT"), "exact ignoring case"),
        (get("/fIXed"), "prefix ignoring case"),
        (get("/r12"), "regex"),
        (get("/r12/"), "404"),
        (get("/"), "404"),
    ] {
        assert_eq!(sent.goes_to(&table), to, "{sent:?}");
    }
}

#[test]
fn several_values_of_a_header_are_one_text() {
    let table = table([gateway_api(
        "joined",
        vec![(vec![HttpMatch::default().header("x", "a,b")], "both")],
    )]);
    assert_eq!(get("/").header("x", "a").header("x", "b").goes_to(&table), "both");
    assert_eq!(get("/").header("x", "b").header("x", "a").goes_to(&table), "404");
}

#[test]
fn what_matched_is_told() {
    let table = table([gateway_api(
        "told",
        vec![
            (vec![exact("/x")], "x"),
            (vec![exact("/y"), prefix("/a/b")], "ab"),
        ],
    )]);
    let sent = get("/a/b/c");
    let selected = table
        .select(&sent.request(), &sent.client(), &sent.claims)
        .unwrap();
    assert_eq!((selected.rule_index, selected.match_index), (1, Some(1)));
    let path = selected.matched().unwrap().path.as_ref().unwrap();
    assert_eq!(path.matched_length("/a/b/c"), 4);
    assert!(table.has_http(&sent.client()));
}

fn claims(payload: serde_json::Value) -> Claims {
    Claims::new(payload.as_object().unwrap().clone(), &[])
}
