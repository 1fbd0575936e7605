use controlplane_index::status::{Parent, ParentStatus};
use mesh_xds::Change;

use super::*;

fn object(name: &str) -> ObjectKey {
    object::of(TypeUrl::ROUTE, name).expect("an object")
}

fn delivery(content: u64, proxies: u64, delivered: u64, refused: u64) -> Delivery {
    Delivery {
        content,
        proxies,
        delivered,
        refused,
    }
}

fn told(instance: &str, deliveries: &[(&str, Delivery)]) -> Told {
    let deliveries = deliveries
        .iter()
        .map(|(name, delivery)| (object(name), *delivery));
    Told {
        instance: instance.to_owned(),
        deliveries: deliveries.collect(),
    }
}

const ROUTE: &str = "HTTPRoute/shop/web";

#[test]
fn replicas_proxies_add_up_and_whoever_tells_twice_counts_once() {
    let own = told("a", &[(ROUTE, delivery(7, 2, 1, 1))]);
    let others = vec![
        told("b", &[(ROUTE, delivery(7, 3, 3, 0))]),
        told("b", &[(ROUTE, delivery(7, 3, 3, 0))]),
        own.clone(),
        told("c", &[]),
    ];
    assert_eq!(merged(own, others)[&object(ROUTE)], delivery(7, 5, 4, 1));
}

#[test]
fn proxies_of_a_replica_that_knows_something_else_are_still_to_have_it() {
    let own = told("a", &[(ROUTE, delivery(7, 2, 2, 0))]);
    let others = vec![told(
        "b",
        &[
            (ROUTE, delivery(6, 3, 3, 1)),
            ("HTTPRoute/shop/gone", delivery(1, 1, 1, 0)),
        ],
    )];
    let all = merged(own, others);
    assert_eq!(all[&object(ROUTE)], delivery(7, 5, 2, 0));
    assert_eq!(all.len(), 1, "what is gone here is nobody's business");
}

#[test]
fn resources_are_named_by_their_objects() {
    let of = |type_url, name| object::of(type_url, name).map(|o| o.reference().to_string());
    assert_eq!(
        of(TypeUrl::AUTHORIZATION, "shop/web").as_deref(),
        Some("AuthorizationPolicy shop/web")
    );
    assert_eq!(
        of(TypeUrl::AUTHORIZATION, "shop/converted_peer_authentication_web").as_deref(),
        Some("PeerAuthentication shop/web")
    );
    assert_eq!(
        of(
            TypeUrl::AUTHORIZATION,
            "istio-system/istio_converted_static_strict"
        ),
        None
    );
    assert_eq!(
        of(TypeUrl::POLICY, "RequestAuthentication/shop/jwt/jwt").as_deref(),
        Some("RequestAuthentication shop/jwt")
    );
    assert_eq!(of(TypeUrl::POLICY, "Gateway/shop/wp/x"), None);
    assert_eq!(of(TypeUrl::POLICY, "Nonsense/shop/wp"), None);
    assert_eq!(
        of(TypeUrl::ROUTE, "HTTPRoute/shop/web/rule").as_deref(),
        Some("HTTPRoute shop/web")
    );
}

/// A board of one policy, of a mesh without proxies of its own.
fn board() -> (DeliveryBoard, ResourceCache) {
    let cache = ResourceCache::new(&TypeUrl::IN_ORDER);
    publish(&cache, "1");
    (DeliveryBoard::new("a", cache.clone(), Vec::new), cache)
}

fn publish(cache: &ResourceCache, body: &str) {
    cache.publish(vec![Change::upsert(
        TypeUrl::AUTHORIZATION,
        "shop/p",
        body.to_owned(),
    )]);
}

fn policy() -> ObjectKey {
    object::of(TypeUrl::AUTHORIZATION, "shop/p").expect("an object")
}

fn said(board: &DeliveryBoard) -> Option<(bool, StatusReason, String)> {
    let mut statuses = vec![ObjectStatus::new(policy())];
    board.state(&mut statuses);
    let condition = statuses.remove(0).conditions.pop()?;
    assert_eq!(condition.kind, ConditionType::Delivered);
    Some((condition.holds, condition.reason, condition.message))
}

#[test]
fn a_condition_says_how_many_have_it_and_nothing_where_nobody_is_to() {
    let (board, _) = board();
    assert_eq!(said(&board), None, "nobody asked yet");
    assert_eq!(board.state(&mut []), Count::NotYet);
    let content = board.own().deliveries[&policy()].content;
    let pin_up = |delivery| board.pin_up(BTreeMap::from([(policy(), delivery)]));
    assert!(pin_up(delivery(content, 0, 0, 0)));
    assert_eq!(board.state(&mut []), Count::Done);
    assert_eq!(said(&board), None);
    assert!(pin_up(delivery(content, 4, 3, 0)));
    let under_way = (false, StatusReason::UnderWay, "Delivered 3/4 proxies".to_owned());
    assert_eq!(said(&board), Some(under_way));
    assert!(!pin_up(delivery(content, 4, 3, 0)), "nothing new");
    pin_up(delivery(content, 4, 4, 0));
    let delivered = (true, StatusReason::Delivered, "Delivered 4/4 proxies".to_owned());
    assert_eq!(said(&board), Some(delivered));
    pin_up(delivery(content, 4, 3, 1));
    let (holds, reason, message) = said(&board).expect("something is said");
    assert_eq!((holds, reason), (false, StatusReason::RefusedByProxies));
    assert!(
        message.starts_with("Delivered 3/4 proxies; 1 refused it"),
        "{message}"
    );
    board.clear();
    assert_eq!(said(&board), None);
    assert_eq!(board.state(&mut []), Count::NotYet);
}

#[test]
fn what_changed_since_was_delivered_to_nobody_that_is_known_of() {
    let (board, cache) = board();
    let content = board.own().deliveries[&policy()].content;
    board.pin_up(BTreeMap::from([(policy(), delivery(content, 4, 4, 0))]));
    publish(&cache, "2");
    let under_way = (false, StatusReason::UnderWay, "Delivered 0/4 proxies".to_owned());
    assert_eq!(said(&board), Some(under_way));
}

#[test]
fn a_filter_is_delivered_with_the_routes_that_name_it() {
    let cache = ResourceCache::new(&TypeUrl::IN_ORDER);
    let publish = |body: &str| {
        cache.publish(vec![Change::upsert(
            TypeUrl::ROUTE,
            "HTTPRoute/shop/web/rule",
            body.to_owned(),
        )]);
    };
    publish("1");
    let board = DeliveryBoard::new("a", cache.clone(), Vec::new);
    let route = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web, namespace: shop}, spec: {rules: \
                 [{filters: [{type: ExtensionRef, extensionRef: {group: lateen.dev, kind: FaultFilter, name: slow}}]}]}}";
    let route = controlplane_k8s_api::parse(route).remove(0).expect("a route");
    let filter = ObjectKey {
        kind: Kind::FaultFilter,
        namespace: "shop".into(),
        name: "slow".into(),
    };
    assert_eq!(board.own().deliveries.get(&filter), None);
    board.take(&[FileChange::Set(object(ROUTE), Arc::new(route))]);
    let content = board.own().deliveries[&filter].content;
    board.pin_up(BTreeMap::from([(filter.clone(), delivery(content, 3, 3, 0))]));
    let said = || {
        let mut statuses = vec![ObjectStatus::new(filter.clone())];
        board.state(&mut statuses);
        statuses.remove(0).conditions.pop().map(|said| said.message)
    };
    assert_eq!(said().as_deref(), Some("Delivered 3/3 proxies"));
    // A filter that changes makes another route.
    publish("2");
    assert_eq!(said().as_deref(), Some("Delivered 0/3 proxies"));
    board.take(&[FileChange::Removed(object(ROUTE))]);
    assert_eq!(board.own().deliveries.get(&filter), None);
}

#[test]
fn of_a_route_it_is_said_at_each_parent() {
    let cache = ResourceCache::new(&TypeUrl::IN_ORDER);
    cache.publish(vec![Change::upsert(TypeUrl::ROUTE, ROUTE, "1".to_owned())]);
    let board = DeliveryBoard::new("a", cache, Vec::new);
    let content = board.own().deliveries[&object(ROUTE)].content;
    board.pin_up(BTreeMap::from([(object(ROUTE), delivery(content, 1, 1, 0))]));
    let parent = |name: &str| ParentStatus {
        parent: Parent {
            group: "gateway.networking.k8s.io".into(),
            kind: "Gateway".into(),
            namespace: "shop".into(),
            name: name.into(),
            section_name: None,
            port: None,
        },
        conditions: Vec::new(),
    };
    let mut status = ObjectStatus::new(object(ROUTE));
    status.parents = vec![parent("a"), parent("b")];
    let mut statuses = vec![status];
    board.state(&mut statuses);
    assert!(statuses[0].conditions.is_empty());
    for parent in &statuses[0].parents {
        assert_eq!(parent.conditions[0].message, "Delivered 1/1 proxies");
    }
}
