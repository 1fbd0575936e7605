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
    let explained = Explained::of(&ztunnel(), None, None).expect("the page");
    assert_eq!(explained.passes(), Passes::No);
    let text = explained.view().table.text();
    assert!(text.contains("denied         "), "{text}");
    assert!(text.contains("denied by policy shop/no-web[0]"), "{text}");
    assert!(text.ends_with("it does not pass\n"), "{text}");
}

#[test]
fn a_waypoint_that_was_not_asked_leaves_it_open() {
    let explained = Explained::of(&through_waypoint(), None, None).expect("the page");
    assert_eq!(explained.passes(), Passes::Unknown);
    assert_eq!(explained.view().data["passes"], "unknown");
}

#[test]
fn the_waypoints_answer_counts_where_there_is_one() {
    let denied =
        json!({"allowed": false, "policy": "ns[shop]-policy[get]-rule[0]", "asks": [], "policies": []});
    let explained = Explained::of(&through_waypoint(), Some(&denied), None).expect("the pages");
    assert_eq!(explained.passes(), Passes::No);
    let allowed = json!({"allowed": true, "route": "shop/cart.0", "asks": ["jwt"], "policies": []});
    let explained = Explained::of(&through_waypoint(), Some(&allowed), None).expect("the pages");
    assert_eq!(explained.passes(), Passes::Yes);
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
    let explained = Explained::of(&page, None, None).expect("the page");
    assert_eq!(explained.passes(), Passes::No);
    assert!(explained.view().table.text().contains("has no port 80"));
}

#[test]
fn another_page_is_an_error() {
    assert!(Explained::of(&json!({"workloads": []}), None, None).is_err());
}

#[test]
fn what_follows_a_waypoint_counts_too() {
    let mut page = through_waypoint();
    page["behind"] = json!({
        "goes": "tunnel", "address": "10.1.0.3:15008", "workload": "Kubernetes//Pod/shop/cart-1", "waypoint": false,
        "destination": "10.1.0.3:8080", "policies": {"allowed": false, "reason": "no ALLOW policy matches"},
    });
    let allowed = json!({"allowed": true, "asks": [], "policies": []});
    let explained = Explained::of(&page, Some(&allowed), None).expect("the pages");
    assert_eq!(explained.passes(), Passes::No);
    let text = explained.view().table.text();
    assert!(text.contains("no ALLOW policy matches"), "{text}");
    page["behind"]["policies"] = json!({"allowed": true});
    let explained = Explained::of(&page, Some(&allowed), None).expect("the pages");
    assert_eq!(explained.passes(), Passes::Yes);
    page["behind"] = json!({"goes": "refused", "reason": "service shop/cart has no healthy endpoint"});
    let explained = Explained::of(&page, Some(&allowed), None).expect("the pages");
    assert_eq!(explained.passes(), Passes::No);
}

#[test]
fn a_destination_outside_of_the_mesh_takes_what_comes() {
    let page = json!({"client": "c", "identity": "i", "to": "10.0.0.1:80", "goes": "plain", "address": "10.0.0.1:80",
        "destination": "10.0.0.1:80", "workload": "Kubernetes//Pod/legacy/db-0", "waypoint": false});
    let explained = Explained::of(&page, None, None).expect("the page");
    assert_eq!(explained.passes(), Passes::Yes);
    let text = explained.view().table.text();
    assert!(text.contains("taken as it comes"), "{text}");
}
