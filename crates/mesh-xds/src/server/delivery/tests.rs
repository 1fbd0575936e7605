use mesh_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use mesh_proto::google::rpc::Status;

use super::*;
use crate::node::NodeInfo;
use crate::server::{Change, ServerSession};

const TYPES: [TypeUrl; 2] = [TypeUrl::POLICY, TypeUrl::ROUTE];

/// A proxy that follows routes and policies.
struct Proxy {
    session: ServerSession,
    accepts: bool,
}

impl Proxy {
    fn waypoint(cache: &ResourceCache, gateway: &str) -> Self {
        Self::of(
            cache,
            &NodeInfo::waypoint(None, "wp", "shop", "node-a", gateway),
            &TYPES,
        )
    }

    fn of(cache: &ResourceCache, node: &NodeInfo, types: &[TypeUrl]) -> Self {
        let mut session = ServerSession::new(cache.clone());
        for type_url in types {
            let request = DeltaDiscoveryRequest {
                node: Some(node.into()),
                type_url: type_url.as_str().to_owned(),
                ..Default::default()
            };
            session.receive(request).unwrap();
        }
        Self {
            session,
            accepts: true,
        }
    }

    /// Takes everything that waits for it.
    fn settle(&mut self) {
        while let Some(push) = self.session.next_push().unwrap() {
            let error_detail = (!self.accepts).then(|| Status {
                code: 3,
                message: "no".to_owned(),
                details: Vec::new(),
            });
            let answer = DeltaDiscoveryRequest {
                type_url: push.type_url.to_string(),
                response_nonce: push.nonce,
                error_detail,
                ..Default::default()
            };
            self.session.receive(answer).unwrap();
        }
    }
}

fn cache() -> ResourceCache {
    ResourceCache::new(&TYPES)
}

fn publish(cache: &ResourceCache, name: &str, body: &str, gateways: &[&str]) {
    let type_url = if name.starts_with("route") {
        TypeUrl::ROUTE
    } else {
        TypeUrl::POLICY
    };
    let change = Change::upsert(type_url, name, body.to_owned());
    cache.publish(vec![change.for_gateways(gateways.iter().copied())]);
}

/// Of objects that are the first part of names: proxies, delivered, refused.
fn told(cache: &ResourceCache, proxies: &[&Proxy]) -> BTreeMap<String, [u64; 3]> {
    let subscribers: Vec<_> = proxies.iter().map(|proxy| proxy.session.status()).collect();
    let object = |_, name: &str| name.split('/').next().map(str::to_owned);
    let deliveries = cache.deliveries(&TYPES, &subscribers, object);
    let said = |d: Delivery| [d.proxies, d.delivered, d.refused];
    deliveries
        .into_iter()
        .map(|(object, d)| (object, said(d)))
        .collect()
}

#[test]
fn a_proxy_counts_where_it_is_to_have_something_and_once_it_accepted_all_of_it() {
    let cache = cache();
    publish(&cache, "route", "1", &["shop/a"]);
    let (mut a, mut b) = (Proxy::waypoint(&cache, "a"), Proxy::waypoint(&cache, "b"));
    assert_eq!(told(&cache, &[&a, &b])["route"], [1, 0, 0]);
    a.settle();
    b.settle();
    assert_eq!(told(&cache, &[&a, &b])["route"], [1, 1, 0]);
    // Another part of it, for another gateway too: nobody has all of it again until it came.
    publish(&cache, "route/part", "1", &["shop/a", "shop/b"]);
    assert_eq!(told(&cache, &[&a, &b])["route"], [2, 0, 0]);
    b.settle();
    assert_eq!(told(&cache, &[&a, &b])["route"], [2, 1, 0]);
    a.settle();
    assert_eq!(told(&cache, &[&a, &b])["route"], [2, 2, 0]);
}

#[test]
fn what_changed_is_under_way_again_and_what_did_not_stays_delivered() {
    let cache = cache();
    publish(&cache, "route", "1", &["shop/a"]);
    publish(&cache, "policy", "1", &["shop/a"]);
    let mut a = Proxy::waypoint(&cache, "a");
    a.settle();
    publish(&cache, "policy", "2", &["shop/a"]);
    let said = told(&cache, &[&a]);
    assert_eq!((said["route"], said["policy"]), ([1, 1, 0], [1, 0, 0]));
    a.settle();
    assert_eq!(told(&cache, &[&a])["policy"], [1, 1, 0]);
}

#[test]
fn a_refusal_is_told_until_what_was_refused_changes_and_is_accepted() {
    let cache = cache();
    publish(&cache, "policy", "1", &["shop/a"]);
    let mut a = Proxy::waypoint(&cache, "a");
    a.accepts = false;
    a.settle();
    assert_eq!(told(&cache, &[&a])["policy"], [1, 0, 1]);
    a.accepts = true;
    // What else it accepts does not bring it that.
    publish(&cache, "policy-of-others", "1", &["shop/a"]);
    a.settle();
    assert_eq!(told(&cache, &[&a])["policy-of-others"], [1, 1, 0]);
    assert_eq!(told(&cache, &[&a])["policy"], [1, 0, 1]);
    publish(&cache, "policy", "2", &["shop/a"]);
    assert_eq!(
        told(&cache, &[&a])["policy"],
        [1, 0, 0],
        "this one was not refused yet"
    );
    a.settle();
    assert_eq!(told(&cache, &[&a])["policy"], [1, 1, 0]);
}

#[test]
fn who_does_not_follow_a_type_or_asks_for_names_is_not_to_have_it() {
    let cache = cache();
    cache.publish(vec![Change::upsert(TypeUrl::ROUTE, "route", "1".to_owned())]);
    let node = NodeInfo::ztunnel(None, "z", "istio-system", "node-a");
    let policies_only = Proxy::of(&cache, &node, &[TypeUrl::POLICY]);
    let mut by_name = Proxy::of(&cache, &node, &[]);
    let request = DeltaDiscoveryRequest {
        node: Some((&node).into()),
        type_url: TypeUrl::ROUTE.as_str().to_owned(),
        resource_names_subscribe: vec!["route".to_owned()],
        ..Default::default()
    };
    by_name.session.receive(request).unwrap();
    assert_eq!(told(&cache, &[&policies_only, &by_name])["route"], [0, 0, 0]);
}

#[test]
fn replicas_that_publish_the_same_tell_the_same_content() {
    let content = |bodies: [&str; 2]| {
        let cache = cache();
        // In any order.
        publish(&cache, "route/b", bodies[1], &["shop/a"]);
        publish(&cache, "route/a", bodies[0], &["shop/b"]);
        publish(&cache, "policy", "other", &["shop/b"]);
        let object = |_, name: &str| name.split('/').next().map(str::to_owned);
        cache.deliveries(&TYPES, &[], object)["route"].content
    };
    assert_eq!(content(["1", "2"]), content(["1", "2"]));
    assert_ne!(content(["1", "2"]), content(["1", "3"]));
    assert_ne!(content(["1", "2"]), content(["2", "1"]));
}

#[test]
fn who_accepted_a_change_has_heard_and_who_hangs_or_refuses_has_not() {
    let cache = cache();
    publish(&cache, "route", "1", &["shop/a"]);
    let proxies = || ["a", "b", "c"].map(|name| Proxy::waypoint(&cache, name));
    let [mut accepts, mut refuses, hangs] = proxies();
    let heard = |proxies: [&Proxy; 3], change| {
        let subscribers = proxies.map(|proxy| proxy.session.status());
        let heard = Heard::of(&subscribers, TypeUrl::ROUTE, change, 1);
        assert_eq!(
            Heard::of(&subscribers, TypeUrl::ADDRESS, change, 1),
            Heard::default()
        );
        (heard.proxies, heard.acknowledged, heard.missing.len())
    };
    cache.publish(vec![Change::upsert(TypeUrl::ROUTE, "for-all", "1")]);
    let (body, change) = cache.published(TypeUrl::ROUTE, "for-all");
    assert_eq!(body.as_deref(), Some(&b"1"[..]));
    assert_eq!(heard([&accepts, &refuses, &hangs], change), (3, 0, 1));
    refuses.accepts = false;
    accepts.settle();
    refuses.settle();
    assert_eq!(heard([&accepts, &refuses, &hangs], change), (3, 1, 1));
    // That it is gone is a change, too.
    cache.publish(vec![Change::remove(TypeUrl::ROUTE, "for-all")]);
    let (body, gone) = cache.published(TypeUrl::ROUTE, "for-all");
    assert!(body.is_none() && gone > change);
    assert_eq!(heard([&accepts, &refuses, &hangs], gone).1, 0);
    refuses.accepts = true;
    accepts.settle();
    refuses.settle();
    assert_eq!(heard([&accepts, &refuses, &hangs], gone), (3, 2, 1));
    assert_eq!(cache.published(TypeUrl::ROUTE, "never"), (None, 0));
}
