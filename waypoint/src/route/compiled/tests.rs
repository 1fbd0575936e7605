use fastrand::Rng;
use http::{HeaderMap, Method};
use mesh_model::l7::authorization::{Action, Authorization};
use mesh_model::l7::policy::PolicyKind;
use mesh_model::l7::request::{Claims, Client, Request};
use mesh_model::l7::route::{HttpAction, HttpMatch, HttpRule, Order, PathMatch, Rules};
use mesh_model::l7::{Created, ObjectRef, Policy, Target};
use mesh_state::l7::{L7Kind, L7Update, l7};
use mesh_testkit::objects::hostname;
use mesh_types::NamespacedName;

use super::*;

#[test]
fn what_is_kept_up_to_date_is_what_is_compiled_anew() {
    let mut rng = Rng::with_seed(29);
    for _ in 0..10 {
        let (mut writer, _reader) = l7();
        let place = shop();
        let mut sources = Sources::of(&writer.snapshot(), &place);
        let mut kept = Rc::new(Compiled::new(&sources, &writer.snapshot(), &place));
        for _ in 0..120 {
            let updates = (0..rng.usize(1..6)).map(|_| update(&mut rng)).collect();
            writer.apply(updates);
            let snapshot = writer.snapshot();
            kept = kept.with(&mut sources, &snapshot, &place);
            let anew = Compiled::new(&Sources::of(&snapshot, &place), &snapshot, &place);
            for path in PATHS {
                assert_eq!(answer(&kept, path), answer(&anew, path), "{path}");
            }
            assert_eq!(kept.applied.effective, anew.applied.effective);
        }
    }
}

#[test]
fn a_changed_route_takes_nothing_from_the_others() {
    let (mut writer, _reader) = l7();
    let place = shop();
    writer.apply(vec![route(0, "/a", 1), route(1, "/b", 1)]);
    let mut sources = Sources::of(&writer.snapshot(), &place);
    let first = Rc::new(Compiled::new(&sources, &writer.snapshot(), &place));
    assert!(Rc::ptr_eq(
        &first,
        &first.with(&mut sources, &writer.snapshot(), &place)
    ));
    let (a, b) = (memory(&first, "/a"), memory(&first, "/b"));

    writer.apply(vec![route(0, "/a", 2)]);
    let second = first.with(&mut sources, &writer.snapshot(), &place);
    assert!(
        !Rc::ptr_eq(&a, &memory(&second, "/a")),
        "another route stands there"
    );
    assert!(Rc::ptr_eq(&b, &memory(&second, "/b")), "shares go on");
    assert!(
        Rc::ptr_eq(&first.applied, &second.applied),
        "no policy is compiled again"
    );
    // Whoever holds the former state still finds what it had.
    assert_eq!(answer(&first, "/a").unwrap().2, Created::at(1));
    assert_eq!(answer(&second, "/a").unwrap().2, Created::at(2));
}

fn shop() -> Place {
    let service = ServicePort {
        service: hostname("shop", "shop"),
        port: 80,
    };
    Place::at(NamespacedName::new("shop", "waypoint")).with_service(service)
}

fn memory(compiled: &Compiled, path: &str) -> Rc<Memory> {
    let headers = HeaderMap::new();
    let selected = compiled
        .routes
        .select(&request(path, &headers), &nobody(), &Claims::none());
    let selected = selected.expect("a rule takes it");
    compiled.memory(selected.route, selected.rule_index)
}

/// Which rule of which state of which route takes a request, and how many policies count for it.
fn answer(compiled: &Compiled, path: &str) -> Option<(Strng, usize, Created, usize)> {
    let headers = HeaderMap::new();
    let selected = compiled
        .routes
        .select(&request(path, &headers), &nobody(), &Claims::none())?;
    let applied = compiled.applies.at(selected.route, selected.rule_index);
    Some((
        selected.route.key(),
        selected.rule_index,
        selected.route.created,
        applied.effective.authorizations.len(),
    ))
}

fn request<'a>(path: &'a str, headers: &'a HeaderMap) -> Request<'a> {
    Request {
        method: &Method::GET,
        scheme: "http",
        authority: "shop",
        path,
        query: None,
        headers,
        metadata: None,
    }
}

fn nobody() -> Client<'static> {
    Client {
        identity: None,
        address: [10, 0, 0, 1].into(),
        remote_address: [10, 0, 0, 1].into(),
        server_name: None,
        labels: &[],
    }
}

fn update(rng: &mut Rng) -> L7Update {
    let n = rng.usize(..12);
    match rng.u8(..12) {
        0 => policy(n, rng.usize(..14)),
        1 => L7Update::Remove(L7Kind::Policy, key_of_policy(n)),
        2 | 3 => L7Update::Remove(L7Kind::Route, format!("HTTPRoute/shop/r{n}").into()),
        _ => route(n, rng.choice(PATHS).unwrap_or("/"), rng.u64(1..5)),
    }
}

/// Attached to the service, to its port, to both, or elsewhere.
fn route(n: usize, path: &str, created: u64) -> L7Update {
    let service = hostname("shop", if n == 11 { "other" } else { "shop" });
    let port = RouteParent::ServicePort(ServicePort {
        service: service.clone(),
        port: 80,
    });
    let parents = match n % 3 {
        0 => vec![port],
        1 => vec![RouteParent::Service(service)],
        _ => vec![port, RouteParent::Service(service)],
    };
    let rule = |name: &str, path: &str| HttpRule {
        name: Some(name.into()),
        matches: vec![HttpMatch {
            path: Some(PathMatch::Exact(path.into())),
            ..HttpMatch::default()
        }],
        filters: Vec::new(),
        action: HttpAction::Forward(Vec::new()),
        timeouts: Default::default(),
        retry: None,
        session: None,
    };
    L7Update::Route(Arc::new(Route {
        object: object("HTTPRoute", n),
        part: Strng::default(),
        parents,
        created: Created::at(created),
        consumer: None,
        hostnames: Vec::new(),
        rules: Rules::Http {
            order: Order::Specificity,
            rules: vec![rule("one", path), rule("two", "/always")],
        },
    }))
}

fn policy(n: usize, target: usize) -> L7Update {
    let route = object("HTTPRoute", target);
    let target = match target {
        12 => Target::Service(hostname("shop", "shop")),
        13 => Target::Mesh,
        n if n % 2 == 0 => Target::Route(route),
        _ => Target::RouteRule(route, "two".into()),
    };
    L7Update::Policy(Arc::new(Policy {
        part: "".into(),
        object: object("AuthorizationPolicy", n),
        targets: vec![target],
        created: Created::unknown(),
        kind: PolicyKind::Authorization(Authorization {
            action: Action::Deny,
            rules: Vec::new(),
            dry_run: false,
        }),
    }))
}

fn key_of_policy(n: usize) -> Strng {
    let L7Update::Policy(policy) = policy(n, 0) else {
        unreachable!("it is one")
    };
    policy.key()
}

fn object(kind: &str, n: usize) -> ObjectRef {
    ObjectRef {
        kind: kind.into(),
        name: NamespacedName::new("shop", format!("r{n}")),
    }
}

const PATHS: [&str; 5] = ["/a", "/b", "/c", "/always", "/never"];
