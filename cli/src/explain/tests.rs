use super::*;

fn ztunnel() -> Value {
    json!({
        "client": "Kubernetes//Pod/shop/web-1", "identity": "spiffe://cluster.local/ns/shop/sa/web", "to": "10.0.0.1:80",
        "goes": "tunnel", "address": "10.1.0.3:15008", "service": "shop/cart.shop.svc.cluster.local",
        "workload": "Kubernetes//Pod/shop/cart-1", "waypoint": false, "authority": "10.1.0.3:8080",
        "expected": ["spiffe://cluster.local/ns/shop/sa/cart"],
        "policies": {"allowed": false, "reason": "denied by policy shop/no-web[0]"},
    })
}

fn through_waypoint() -> Value {
    let mut page = ztunnel();
    page["waypoint"] = true.into();
    page.as_object_mut().expect("an object").remove("policies");
    page
}

#[test]
fn a_denial_names_its_policy() {
    let explained = Explained::of(&ztunnel(), None, Beside::default()).expect("the page");
    assert_eq!(*explained.passes(), Passes::No);
    let text = explained.view().table.text();
    assert!(text.contains("denied         "), "{text}");
    assert!(text.contains("denied by policy shop/no-web[0]"), "{text}");
    assert!(text.ends_with("it does not pass\n"), "{text}");
}

#[test]
fn a_waypoint_that_was_not_asked_leaves_it_open() {
    let explained = Explained::of(&through_waypoint(), None, Beside::default()).expect("the page");
    assert_eq!(*explained.passes(), Passes::Unknown(Open::Waypoint));
    assert_eq!(explained.view().data["passes"], "unknown");
}

#[test]
fn the_waypoints_answer_counts_where_there_is_one() {
    let denied =
        json!({"allowed": false, "policy": "ns[shop]-policy[get]-rule[0]", "asks": [], "policies": []});
    let explained = Explained::of(&through_waypoint(), Some(&denied), Beside::default()).expect("the pages");
    assert_eq!(*explained.passes(), Passes::No);
    let allowed = json!({"allowed": true, "route": "shop/cart.0", "asks": ["jwt"], "policies": []});
    let explained = Explained::of(&through_waypoint(), Some(&allowed), Beside::default()).expect("the pages");
    assert_eq!(*explained.passes(), Passes::Yes);
    let text = explained.view().table.text();
    assert!(
        text.contains("routed") && text.contains("shop/cart.0") && text.contains("jwt"),
        "{text}"
    );
}

#[test]
fn a_refusal_at_the_client_says_why() {
    let page = json!({"client": "c", "identity": "i", "to": "10.0.0.1:80", "goes": "refused",
        "reason": "service shop/cart has no port 80"});
    let explained = Explained::of(&page, None, Beside::default()).expect("the page");
    assert_eq!(*explained.passes(), Passes::No);
    assert!(explained.view().table.text().contains("has no port 80"));
}

#[test]
fn another_page_is_an_error() {
    assert!(Explained::of(&json!({"workloads": []}), None, Beside::default()).is_err());
}

#[test]
fn what_follows_a_waypoint_counts_too() {
    let mut page = through_waypoint();
    page["behind"] = json!({
        "goes": "tunnel", "address": "10.1.0.3:15008", "workload": "Kubernetes//Pod/shop/cart-1", "waypoint": false,
        "destination": "10.1.0.3:8080", "policies": {"allowed": false, "reason": "no ALLOW policy matches"},
    });
    let allowed = json!({"allowed": true, "asks": [], "policies": []});
    let explained = Explained::of(&page, Some(&allowed), Beside::default()).expect("the pages");
    assert_eq!(*explained.passes(), Passes::No);
    let text = explained.view().table.text();
    assert!(text.contains("no ALLOW policy matches"), "{text}");
    page["behind"]["policies"] = json!({"allowed": true});
    let explained = Explained::of(&page, Some(&allowed), Beside::default()).expect("the pages");
    assert_eq!(*explained.passes(), Passes::Yes);
    page["behind"] = json!({"goes": "refused", "reason": "service shop/cart has no healthy endpoint"});
    let explained = Explained::of(&page, Some(&allowed), Beside::default()).expect("the pages");
    assert_eq!(*explained.passes(), Passes::No);
}

fn asked(answer: &Value) -> Explained {
    let mut page = through_waypoint();
    page["behind"] = json!({
        "goes": "tunnel", "address": "10.1.0.3:15008", "workload": "Kubernetes//Pod/shop/cart-1", "waypoint": false,
        "destination": "10.1.0.3:8080", "policies": {"allowed": true},
    });
    Explained::of(&page, Some(answer), Beside::default()).expect("the pages")
}

/// A waypoint answers 404 where no rule takes the request; then nothing goes on, whatever would be allowed behind it.
#[test]
fn what_the_waypoint_answers_itself_is_told_and_an_error_does_not_pass() {
    let no_route = asked(&json!({"allowed": true, "path": "/nowhere", "answer": 404, "asks": []}));
    assert_eq!(*no_route.passes(), Passes::No);
    let text = no_route.view().table.text();
    assert!(text.contains("answers 404 itself"), "{text}");
    assert!(
        text.contains("no rule of the routes that are there takes the request"),
        "{text}"
    );
    assert!(
        !text.contains("to the service itself") && !text.contains("ztunnel of Kubernetes//Pod/shop/cart-1"),
        "{text}"
    );
    assert!(text.ends_with("it does not pass\n"), "{text}");
    for (status, passes, word) in [
        (302, Passes::Answered, "answered"),
        (200, Passes::Answered, "answered"),
        (500, Passes::No, "no"),
    ] {
        let answered = asked(
            &json!({"allowed": true, "path": "/", "route": "shop.cart.1", "answer": status, "asks": []}),
        );
        assert_eq!(*answered.passes(), passes, "{status}");
        let view = answered.view();
        assert_eq!(view.data["passes"], word);
        let text = view.table.text();
        assert!(
            text.contains(&format!("answers {status} itself")) && text.contains("shop.cart.1"),
            "{text}"
        );
    }
    // A refusal comes before any route.
    let denied = asked(&json!({"allowed": false, "policy": "none", "answer": 302, "asks": []}));
    assert_eq!(*denied.passes(), Passes::No);
    assert!(!denied.view().table.text().contains("302"));
    let forwarded = asked(&json!({"allowed": true, "path": "/", "asks": []}));
    assert_eq!(*forwarded.passes(), Passes::Yes);
    assert!(
        forwarded
            .view()
            .table
            .text()
            .contains("no route: to the service itself")
    );
}

#[test]
fn a_name_that_is_resolved_first_leaves_it_open() {
    let page = json!({"client": "c", "identity": "i", "to": "10.0.0.1:80", "goes": "needsName", "host": "db.example.com"});
    let explained = Explained::of(&page, None, Beside::default()).expect("the page");
    assert_eq!(
        *explained.passes(),
        Passes::Unknown(Open::Name("db.example.com".into()))
    );
    let view = explained.view();
    assert_eq!(view.data["passes"], "unknown");
    let text = view.table.text();
    assert!(
        text.contains("depends on what db.example.com resolves to"),
        "{text}"
    );
    assert!(!text.ends_with("\nit passes\n"), "{text}");
    let mut page = through_waypoint();
    page["behind"] = json!({"goes": "needsName", "host": "db.example.com"});
    let allowed = json!({"allowed": true, "asks": []});
    let explained = Explained::of(&page, Some(&allowed), Beside::default()).expect("the pages");
    assert_eq!(
        *explained.passes(),
        Passes::Unknown(Open::Name("db.example.com".into()))
    );
}

#[test]
fn a_waypoint_is_called_by_its_gateway_with_what_binds_to_it() {
    let mut page = through_waypoint();
    page["gateway"] = "shop/gate.shop.svc.cluster.local".into();
    let entry = binding::Labelled {
        kind: "Namespace",
        name: mesh_kube::ObjectName::cluster("shop"),
        labels: vec![("istio.io/use-waypoint".into(), "gate".into())],
        hosts: Vec::new(),
    };
    let connection = Connection::read(&page).expect("the page");
    let beside = Beside {
        binding: Binding::among(&[entry], &connection),
        ..Beside::default()
    };
    let explained =
        Explained::of(&page, Some(&json!({"allowed": true, "asks": []})), beside).expect("the pages");
    let view = explained.view();
    let text = view.table.text();
    assert!(
        text.contains("tunnel to the waypoint shop/gate at 10.1.0.3:15008"),
        "{text}"
    );
    assert!(
        text.contains("Namespace shop has the label istio.io/use-waypoint=gate"),
        "{text}"
    );
    assert!(text.contains("\nwaypoint shop/gate "), "{text}");
    assert_eq!(view.data["binding"]["gateway"], "shop/gate");
}

/// What this version does not know must not end in a verdict.
#[test]
fn an_unknown_way_is_an_error() {
    let page = json!({"client": "c", "identity": "i", "to": "10.0.0.1:80", "goes": "sideways"});
    assert!(Explained::of(&page, None, Beside::default()).is_err());
}

#[test]
fn a_destination_outside_of_the_mesh_takes_what_comes() {
    let page = json!({"client": "c", "identity": "i", "to": "10.0.0.1:80", "goes": "plain", "address": "10.0.0.1:80",
        "destination": "10.0.0.1:80", "workload": "Kubernetes//Pod/legacy/db-0", "waypoint": false});
    let explained = Explained::of(&page, None, Beside::default()).expect("the page");
    assert_eq!(*explained.passes(), Passes::Yes);
    let text = explained.view().table.text();
    assert!(text.contains("taken as it comes"), "{text}");
}

#[test]
fn the_network_sees_what_proxies_dial() {
    let flows = |page: &Value| -> Vec<String> {
        let flows = Connection::read(page).expect("the page").flows();
        let shown = |end: &network::End| {
            let pod = end.pod.as_ref().map(ToString::to_string);
            format!("{} {:?}", pod.unwrap_or_default(), end.address)
        };
        let lines = flows
            .iter()
            .map(|flow| format!("{} > {} :{}", shown(&flow.from), shown(&flow.to), flow.port));
        lines.collect()
    };
    let mut page = ztunnel();
    page["clientAddress"] = "10.1.0.2".into();
    assert_eq!(
        flows(&page),
        ["shop/web-1 Some(10.1.0.2) > shop/cart-1 Some(10.1.0.3) :15008"]
    );
    let mut page = through_waypoint();
    page["workload"] = "Kubernetes//Pod/shop/wp-1".into();
    page["behind"] =
        json!({"goes": "plain", "address": "10.1.0.4:8080", "workload": "Kubernetes//Pod/shop/cart-1"});
    assert_eq!(
        flows(&page),
        [
            "shop/web-1 None > shop/wp-1 Some(10.1.0.3) :15008",
            "shop/wp-1 Some(10.1.0.3) > shop/cart-1 Some(10.1.0.4) :8080",
        ]
    );
    page["goes"] = "refused".into();
    assert_eq!(flows(&page), Vec::<String>::new());
    let stranger =
        json!({"client": "192.0.2.1", "identity": "", "to": "198.51.100.1:443", "goes": "passthrough"});
    assert_eq!(flows(&stranger), [" Some(192.0.2.1) >  Some(198.51.100.1) :443"]);
}

#[test]
fn what_network_policies_keep_away_is_said_below_and_changes_nothing_that_the_mesh_says() {
    let mut page = ztunnel();
    page["policies"] = json!({"allowed": true});
    let with = |network| {
        let beside = Beside {
            network,
            ..Beside::default()
        };
        Explained::of(&page, None, beside).expect("the page")
    };
    let kept = with(Some(vec!["NetworkPolicy a of shop: nothing".to_owned()]));
    assert_eq!(*kept.passes(), Passes::Yes);
    let view = kept.view();
    assert!(
        view.table.text().ends_with(
            "it passes\nit does not arrive where the network carries out NetworkPolicies:\n  NetworkPolicy a of shop: nothing\n"
        ),
        "{}",
        view.table.text()
    );
    assert_eq!(
        view.data["networkPolicies"],
        json!(["NetworkPolicy a of shop: nothing"])
    );
    assert_eq!(with(Some(Vec::new())).view().data["networkPolicies"], json!([]));
    let unknown = with(None).view();
    assert_eq!(unknown.data["networkPolicies"], Value::Null);
    assert!(!unknown.table.text().contains("NetworkPolicies"));
}
