//! What a decision costs with 10,000 rules: choosing a route, and authorization.
//!
//! `cargo bench -p mesh-model --bench l7`

#![expect(
    clippy::disallowed_types,
    reason = "a benchmark measures the real time; nothing pauses it"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use mesh_model::l7::authorization::{
    Action, Authorization, Authorizer, Condition, Operation, PathPattern, Rule, Segment, Source,
    TextAttribute, Values,
};
use mesh_model::l7::request::{Claims, Client, Local, Request};
use mesh_model::l7::route::{HttpAction, HttpMatch, HttpRule, NamedMatch, Order, PathMatch, Route, Rules};
use mesh_model::l7::select::{Hostnames, RouteTable};
use mesh_model::l7::{Created, ObjectRef, Pattern, TextMatch};
use mesh_types::{Identity, NamespacedName, Strng};

const RULES: usize = 10_000;
const ROUNDS: usize = 200_000;
/// Nanoseconds for an authorization at p99.
const REQUIRED: u128 = 5_000;

fn main() {
    println!("{RULES} rules, one decision, in nanoseconds");
    println!(
        "{:<58}{:>8}{:>8}{:>8}{:>12}",
        "", "p50", "p99", "p99.9", "compile ms"
    );
    routes();
    let slowest = authorizations();
    let met = slowest <= REQUIRED;
    println!(
        "authorization: at most {} ns required at p99: {} ({slowest} ns)",
        REQUIRED,
        if met { "met" } else { "missed" }
    );
    if !met {
        std::process::exit(1);
    }
}

fn routes() {
    let segments = |n: usize| HttpMatch {
        path: Some(PathMatch::Segments(
            format!("/team-{}/service-{n}", n % 100).into(),
        )),
        ..HttpMatch::default()
    };
    let exact = |n: usize| HttpMatch {
        path: Some(PathMatch::Exact(format!("/pkg.Service{n}/Method").into())),
        ..HttpMatch::default()
    };
    let tenant = |n: usize| HttpMatch {
        headers: vec![NamedMatch {
            name: "x-tenant".into(),
            value: TextMatch::Exact(format!("tenant-{n}").into()),
        }],
        ..HttpMatch::default()
    };
    let any = |_| HttpMatch::default();
    select(
        "routes: prefixes by segment",
        segments,
        "shop",
        Hostnames::Ignored,
    );
    select(
        "routes: exact paths (gRPC methods)",
        exact,
        "shop",
        Hostnames::Ignored,
    );
    select(
        "routes: one header, a value each",
        tenant,
        "shop",
        Hostnames::Ignored,
    );
    select(
        "routes: a host each, on a gateway",
        any,
        "host",
        Hostnames::Matched,
    );
    let regex = |n: usize| match n % 100 {
        0 => HttpMatch {
            path: Some(PathMatch::Regex(
                Pattern::new(&format!("/r{n}/[a-z]+")).expect("the expression is well formed"),
            )),
            ..HttpMatch::default()
        },
        _ => segments(n),
    };
    select(
        "routes: prefixes, and 100 regular expressions",
        regex,
        "shop",
        Hostnames::Ignored,
    );
}

fn select(what: &str, matching: impl Fn(usize) -> HttpMatch, host: &str, hostnames: Hostnames) {
    let routes: Vec<_> = (0..RULES)
        .map(|n| Arc::new(route(n, matching(n), host)))
        .collect();
    let start = Instant::now();
    let table = RouteTable::compile(routes, hostnames);
    let compile = start.elapsed();
    let _ = measure(what, compile, |n| {
        let authority = if host == "shop" {
            "shop".to_owned()
        } else {
            format!("{host}-{n}.example.com")
        };
        let path = match n % 3 {
            0 => format!("/team-{}/service-{n}/items/7", n % 100),
            1 => format!("/pkg.Service{n}/Method"),
            _ => format!("/r{n}/abc"),
        };
        let (headers, table) = (headers(n), &table);
        move || {
            let request = request(&authority, &path, &headers);
            black_box(table_select(table, &request));
        }
    });
}

/// Gives the slowest p99 of all sorts of rules.
fn authorizations() -> u128 {
    let principal = |n: usize| format!("cluster.local/ns/ns-{}/sa/client-{n}", n % 200);
    let callers_and_paths = |n: usize| Rule {
        from: vec![Source {
            principals: one(TextMatch::Exact(principal(n).into())),
            ..Source::default()
        }],
        to: vec![Operation {
            methods: one(TextMatch::Exact("GET".into())),
            paths: one(PathPattern::Text(TextMatch::Prefix(
                format!("/team-{}/", n % 100).into(),
            ))),
            ..Operation::default()
        }],
        when: vec![],
    };
    let callers = authorize(
        "authorization: a caller, a method and a prefix each",
        callers_and_paths,
    );
    let templates = authorize("authorization: one caller, a template each", |n| Rule {
        from: vec![Source {
            namespaces: one(TextMatch::Exact("ns-7".into())),
            ..Source::default()
        }],
        to: vec![Operation {
            paths: one(PathPattern::Template(vec![
                Segment::Literal(format!("team-{}", n % 100).into()),
                Segment::Literal(format!("service-{n}").into()),
                Segment::Many,
            ])),
            ..Operation::default()
        }],
        when: vec![],
    });
    let headers = authorize("authorization: a namespace and a header each", |n| Rule {
        from: vec![Source {
            namespaces: one(TextMatch::Exact(format!("ns-{}", n % 200).into())),
            ..Source::default()
        }],
        to: vec![],
        when: vec![Condition::Text(
            TextAttribute::RequestHeader("x-tenant".into()),
            one(TextMatch::Exact(format!("tenant-{n}").into())),
        )],
    });
    let mixed = authorize("authorization: mixed, and 20 that no index helps", |n| {
        match n % 500 {
            0 => Rule {
                to: vec![Operation {
                    paths: one(PathPattern::Text(TextMatch::Suffix(
                        format!("/secret-{n}").into(),
                    ))),
                    ..Operation::default()
                }],
                ..Rule::default()
            },
            _ => callers_and_paths(n),
        }
    });
    [callers, templates, headers, mixed]
        .into_iter()
        .max()
        .unwrap_or_default()
}

/// Half of the rules refuse, half let pass; a hundred in each policy.
fn authorize(what: &str, rule: impl Fn(usize) -> Rule) -> u128 {
    let policies: Vec<_> = (0..RULES / 100)
        .map(|p| {
            let object = ObjectRef {
                kind: "AuthorizationPolicy".into(),
                name: NamespacedName::new("shop", format!("p{p}")),
            };
            let policy = Authorization {
                action: if p % 2 == 0 { Action::Allow } else { Action::Deny },
                rules: (0..100).map(|n| rule(p * 100 + n)).collect(),
                dry_run: false,
            };
            (object, policy)
        })
        .collect();
    let start = Instant::now();
    let authorizer = Authorizer::compile(policies.iter().map(|(object, policy)| (object, policy)));
    let empty = HeaderMap::new();
    black_box(decide(&authorizer, None, &request("shop", "/", &empty)));
    let compile = start.elapsed();
    measure(what, compile, |n| {
        let id = format!("spiffe://cluster.local/ns/ns-{}/sa/client-{n}", n % 200);
        let id: Identity = id.parse().expect("an identity");
        let path = format!("/team-{}/service-{n}/items/7", n % 100);
        let headers = headers(n);
        let authorizer = &authorizer;
        move || {
            black_box(decide(authorizer, Some(&id), &request("shop", &path, &headers)));
        }
    })
}

/// Times each decision by itself; what is decided about is made before. Gives p99, in nanoseconds.
fn measure<F: Fn()>(what: &str, compile: Duration, prepare: impl Fn(usize) -> F) -> u128 {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut times: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let decide = prepare(rng.usize(..RULES));
            let start = Instant::now();
            decide();
            start.elapsed().as_nanos()
        })
        .collect();
    times.sort_unstable();
    let at = |part: f64| times[(times.len() as f64 * part) as usize];
    let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
    println!(
        "{what:<58}{p50:>8}{p99:>8}{p999:>8}{:>12.1}",
        compile.as_secs_f64() * 1e3
    );
    p99
}

fn table_select(table: &RouteTable, request: &Request<'_>) -> Option<usize> {
    table
        .select(request, &client(None), &Claims::none())
        .map(|s| s.rule_index)
}

fn decide(authorizer: &Authorizer, identity: Option<&Identity>, request: &Request<'_>) -> bool {
    let local = Local {
        address: [10, 96, 0, 1].into(),
        port: 80,
    };
    authorizer
        .request(request, &client(identity), &Claims::none(), local)
        .is_allowed()
}

fn client(identity: Option<&Identity>) -> Client<'_> {
    Client {
        identity,
        address: [10, 0, 0, 1].into(),
        remote_address: [10, 0, 0, 1].into(),
        server_name: None,
        labels: &[],
    }
}

fn request<'a>(authority: &'a str, path: &'a str, headers: &'a HeaderMap) -> Request<'a> {
    Request {
        method: &Method::GET,
        scheme: "http",
        authority,
        path,
        query: None,
        headers,
        metadata: None,
    }
}

/// As a browser sends them, and a tenant.
fn headers(n: usize) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in [
        "accept",
        "accept-encoding",
        "cookie",
        "user-agent",
        "x-request-id",
    ] {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static("some value"),
        );
    }
    let tenant = HeaderValue::from_str(&format!("tenant-{n}")).expect("a value");
    headers.insert("x-tenant", tenant);
    headers
}

fn route(n: usize, matching: HttpMatch, host: &str) -> Route {
    Route {
        object: ObjectRef {
            kind: "HTTPRoute".into(),
            name: NamespacedName::new("app", format!("route-{n}")),
        },
        part: Strng::default(),
        parents: Vec::new(),
        created: Created::unknown(),
        consumer: None,
        hostnames: vec![format!("{host}-{n}.example.com").into()],
        rules: Rules::Http {
            order: Order::Specificity,
            rules: vec![HttpRule {
                name: None,
                matches: vec![matching],
                filters: Vec::new(),
                action: HttpAction::Forward(Vec::new()),
                timeouts: Default::default(),
                retry: None,
                session: None,
            }],
        },
    }
}

fn one<T>(value: T) -> Values<T> {
    Values {
        any: vec![value],
        ..Values::default()
    }
}
