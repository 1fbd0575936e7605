//! What belongs to a gateway is for its proxies alone.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const ROUTE: TypeUrl = TypeUrl::ROUTE;

/// A client that keeps what it was sent.
struct Proxy {
    subscriber: Subscriber,
    node: NodeInfo,
    held: BTreeMap<String, String>,
    /// Every name that it ever heard.
    heard: BTreeSet<String>,
}

impl Proxy {
    fn of(cache: &ResourceCache, gateway: Option<&str>) -> Self {
        let node = match gateway {
            Some(gateway) => NodeInfo::waypoint(None, "w", "shop", "n", gateway),
            None => NodeInfo::ztunnel(None, "z", "shop", "n"),
        };
        let mut proxy = Self {
            subscriber: Subscriber::new(cache),
            node,
            held: BTreeMap::new(),
            heard: BTreeSet::new(),
        };
        proxy.connect(cache);
        proxy
    }

    /// A new stream, on which it says what it holds.
    fn connect(&mut self, cache: &ResourceCache) {
        self.subscriber = Subscriber::new(cache);
        let request = DeltaDiscoveryRequest {
            node: Some((&self.node).into()),
            type_url: ROUTE.as_str().to_owned(),
            initial_resource_versions: self.held.clone(),
            ..Default::default()
        };
        self.subscriber.session.receive(request).unwrap();
    }

    /// Takes one push; says what it was.
    fn take(&mut self) -> Option<String> {
        let push = self.subscriber.push()?;
        self.subscriber.ack(&push);
        for resource in &push.resources {
            self.heard.insert(resource.name.clone());
            self.held.insert(resource.name.clone(), resource.version.clone());
        }
        for name in &push.removed_resources {
            self.heard.insert(name.clone());
            self.held.remove(name);
        }
        Some(summary(Some(push)))
    }

    fn names(&self) -> Vec<&str> {
        self.held.keys().map(String::as_str).collect()
    }
}

fn routes() -> ResourceCache {
    let cache = ResourceCache::new(&TypeUrl::IN_ORDER);
    cache.set_ready();
    cache
}

fn for_gateways(name: &str, body: &str, gateways: &[&str]) -> Change {
    put(ROUTE, name, body).for_gateways(gateways.iter().map(|g| format!("shop/{g}")))
}

#[test]
fn a_proxy_is_sent_what_is_for_everybody_and_what_is_for_its_gateway() {
    let cache = routes();
    cache.publish(vec![
        put(ROUTE, "all", "1"),
        for_gateways("a", "1", &["a"]),
        for_gateways("both", "1", &["a", "b"]),
        for_gateways("nobody", "1", &[]),
        put(ROUTE, "other", "1").for_gateways(["bank/a"]),
    ]);
    let proxies = [Some("a"), Some("b"), None].map(|gateway| {
        let mut proxy = Proxy::of(&cache, gateway);
        proxy.take();
        proxy
    });
    let held: Vec<_> = proxies.iter().map(Proxy::names).collect();
    assert_eq!(held, [vec!["a", "all", "both"], vec!["all", "both"], vec!["all"]]);
}

#[test]
fn a_resource_that_moves_goes_from_the_one_and_comes_to_the_other() {
    let cache = routes();
    cache.publish(vec![for_gateways("r", "1", &["a"])]);
    let (mut a, mut b, mut c) = (
        Proxy::of(&cache, Some("a")),
        Proxy::of(&cache, Some("b")),
        Proxy::of(&cache, Some("c")),
    );
    for proxy in [&mut a, &mut b, &mut c] {
        proxy.take();
    }
    // The body is the same: it is the audience that changes.
    cache.publish(vec![for_gateways("r", "1", &["b"])]);
    assert_eq!((a.take(), a.names()), (Some("Route -r".to_owned()), vec![]));
    assert_eq!((b.take(), b.names()), (Some("Route +r".to_owned()), vec!["r"]));
    assert_eq!(c.take(), None);
    // Who was told is not told again.
    cache.publish(vec![for_gateways("r", "2", &["b"])]);
    assert_eq!((a.take(), b.take()), (None, Some("Route +r".to_owned())));
    cache.publish(vec![Change::remove(ROUTE, "r")]);
    assert_eq!(
        (a.take(), b.take(), c.take()),
        (None, Some("Route -r".to_owned()), None)
    );
    assert!(c.heard.is_empty(), "{:?}", c.heard);
}

#[test]
fn a_resource_that_comes_back_for_others_is_gone_for_who_had_it() {
    let cache = routes();
    cache.publish(vec![for_gateways("r", "1", &["a"])]);
    let mut a = Proxy::of(&cache, Some("a"));
    a.take();
    cache.publish(vec![Change::remove(ROUTE, "r")]);
    cache.publish(vec![for_gateways("r", "1", &["b"])]);
    assert_eq!(a.take(), Some("Route -r".to_owned()));
}

#[test]
fn asking_by_name_shows_nothing_that_is_for_others() {
    let cache = routes();
    cache.publish(vec![for_gateways("r", "1", &["a"])]);
    let mut ztunnel = Subscriber::new(&cache);
    ztunnel.subscribe(ROUTE, &["r"], &[]).unwrap();
    assert_eq!(summary(ztunnel.push()), "Route -r");
    ztunnel.subscribe(ROUTE, &["r"], &[]).unwrap();
}

#[test]
fn types_that_were_not_asked_for_are_not_sent() {
    let cache = routes();
    cache.publish(vec![put(ROUTE, "r", "1"), put(ADDRESS, "a", "1")]);
    let mut ztunnel = Subscriber::new(&cache);
    ztunnel.ask(ADDRESS);
    let push = ztunnel.push().unwrap();
    assert_eq!(push.type_url, ADDRESS.as_str());
    ztunnel.ack(&push);
    cache.publish(vec![put(ROUTE, "r", "2")]);
    assert!(ztunnel.push().is_none());
}

/// Whatever is published for whom, and however slowly anybody takes it.
#[test]
fn everybody_ends_up_with_what_is_theirs_and_hears_of_nothing_else() {
    let gateways = ["a", "b", "c"];
    for seed in 0..40 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let cache = routes();
        let viewers = [Some("a"), Some("b"), Some("c"), None];
        let mut proxies = viewers.map(|gateway| Proxy::of(&cache, gateway));
        // The present scope of each name, and everybody who ever could see it.
        let mut present: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        let mut ever: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for round in 0..200 {
            let name = format!("r{}", dice.u8(..6));
            if dice.u8(..4) == 0 {
                present.remove(&name);
                cache.publish(vec![Change::remove(ROUTE, name)]);
            } else {
                let scope: Vec<_> = gateways.into_iter().filter(|_| dice.bool()).collect();
                let body = (round / 8).to_string();
                cache.publish(vec![for_gateways(&name, &body, &scope)]);
                ever.entry(name.clone()).or_default().extend(&scope);
                present.insert(name, scope.into_iter().collect());
            }
            let proxy = &mut proxies[dice.usize(..4)];
            match dice.u8(..8) {
                0 => proxy.connect(&cache),
                1..4 => drop(proxy.take()),
                _ => {}
            }
        }
        for (proxy, gateway) in proxies.iter_mut().zip(viewers) {
            while proxy.take().is_some() {}
            let of_gateway = |scopes: &BTreeMap<String, BTreeSet<&str>>| -> BTreeSet<String> {
                let theirs = scopes
                    .iter()
                    .filter(|(_, s)| gateway.is_some_and(|g| s.contains(g)));
                theirs.map(|(name, _)| name.clone()).collect()
            };
            let held: BTreeSet<_> = proxy.held.keys().cloned().collect();
            assert_eq!(held, of_gateway(&present), "{gateway:?}, seed {seed}");
            assert!(
                proxy.heard.is_subset(&of_gateway(&ever)),
                "{gateway:?}, seed {seed}"
            );
        }
    }
}
