//! Every answer of the index is that of a naive reading, and the order of the routes never matters.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::*;
use crate::l7::Pattern;

#[test]
fn the_index_answers_as_a_naive_reading_does_in_any_order() {
    let mut rng = Rng::with_seed(11);
    for _ in 0..300 {
        let mut routes: Vec<_> = (0..rng.usize(1..30))
            .map(|n| Arc::new(random_route(&mut rng, n)))
            .collect();
        let table = RouteTable::compile(routes.clone(), Hostnames::Matched);
        rng.shuffle(&mut routes);
        let shuffled = RouteTable::compile(routes.clone(), Hostnames::Matched);
        for _ in 0..40 {
            let sent = random_request(&mut rng);
            let answer = |table: &RouteTable| {
                let selected = table.select(&sent.request(), &sent.client(), &sent.claims);
                selected.map(|s| (s.route.key(), s.rule_index, s.match_index))
            };
            let expected = naive(&routes, &sent);
            assert_eq!(answer(&table), expected, "{sent:?} {routes:#?}");
            assert_eq!(answer(&shuffled), expected, "{sent:?} {routes:#?}");
        }
    }
}

/// Tables that are changed route by route answer as those that are made anew, and whoever kept one keeps its answers.
#[test]
fn a_changed_table_is_one_that_was_made_of_what_is_attached() {
    let mut rng = Rng::with_seed(17);
    for number in 0..60 {
        let hostnames = rng.choice([Hostnames::Ignored, Hostnames::Matched]).unwrap();
        let mut table = RouteTable::compile([], hostnames);
        let mut attached = BTreeMap::<Strng, Arc<Route>>::new();
        let mut kept = Vec::new();
        // Few paths and many routes: buckets become long, are split, and shrink again.
        let names = rng.usize(5..80);
        for step in 0..150 {
            let name = rng.usize(..names);
            let growing = step < 100;
            let gone = attached.remove(&route_key(name));
            gone.iter().for_each(|old| table.remove(old));
            if rng.u8(..4) > if growing { 0 } else { 2 } {
                let new = Arc::new(any_route(&mut rng, name));
                table.insert(&new);
                attached.insert(route_key(name), new);
            }
            if step % 25 == 0 {
                kept.push((table.clone(), attached.clone()));
            }
        }
        kept.push((table, attached));
        for (table, attached) in kept {
            let anew = RouteTable::compile(attached.into_values(), hostnames);
            assert_answers_are_the_same(&mut rng, &table, &anew, number);
        }
    }
}

#[test]
fn nothing_is_left_of_routes_that_are_gone() {
    let mut rng = Rng::with_seed(19);
    let mut routes: Vec<_> = (0..200).map(|n| Arc::new(any_route(&mut rng, n))).collect();
    let mut table = RouteTable::compile(routes.clone(), Hostnames::Matched);
    rng.shuffle(&mut routes);
    routes.iter().for_each(|route| table.remove(route));
    assert_eq!(
        format!("{table:?}"),
        format!("{:?}", RouteTable::compile([], Hostnames::Matched))
    );
}

fn assert_answers_are_the_same(rng: &mut Rng, one: &RouteTable, other: &RouteTable, number: usize) {
    for _ in 0..60 {
        let sent = random_request(rng);
        let (request, client) = (sent.request(), sent.client());
        let name = rng.choice(HOSTS).unwrap().trim_start_matches("*.");
        let local = Local {
            address: [10, 0, 0, rng.u8(..4)].into(),
            port: 80,
        };
        let answer = |table: &RouteTable| {
            let http = table.select(&request, &client, &sent.claims);
            let tls = table.select_tls(Some(name), &client);
            let tcp = table.select_tcp(local, &client);
            (
                [
                    table.has_http(&client),
                    table.has_tls(&client),
                    table.has_tcp(&client),
                ],
                http.map(|s| (s.route.clone(), s.rule_index, s.match_index)),
                tls.map(|s| (s.route.clone(), s.rule_index)),
                tcp.map(|s| (s.route.clone(), s.rule_index)),
            )
        };
        assert_eq!(answer(one), answer(other), "case {number}: {sent:?}");
    }
}

/// For requests, mostly; for connections, at times.
fn any_route(rng: &mut Rng, n: usize) -> Route {
    let mut route = random_route(rng, n);
    route.object.name.namespace = "a".into();
    let rules = rng.usize(..3);
    match rng.u8(..8) {
        0 => {
            let names = |rng: &mut Rng| {
                (0..rng.usize(..3))
                    .map(|_| rng.choice(HOSTS).unwrap().into())
                    .collect()
            };
            let rule = |rng: &mut Rng| TlsRule {
                name: None,
                server_names: names(rng),
                backends: Vec::new(),
            };
            route.rules = Rules::Tls((0..rules).map(|_| rule(rng)).collect());
        }
        1 => {
            let range = |rng: &mut Rng| format!("10.0.0.{}/32", rng.u8(..4)).parse().unwrap();
            let rule = |rng: &mut Rng| TcpRule {
                name: None,
                destinations: (0..rng.usize(..3)).map(|_| range(rng)).collect(),
                backends: Vec::new(),
            };
            route.rules = Rules::Tcp((0..rules).map(|_| rule(rng)).collect());
        }
        _ => {}
    }
    route
}

fn route_key(n: usize) -> Strng {
    format!("r{n}").into()
}

type Place = (Strng, usize, Option<usize>);

fn naive(routes: &[Arc<Route>], sent: &Sent) -> Option<Place> {
    let namespace = sent.client().namespace().cloned();
    let consumes = namespace.is_some() && routes.iter().any(|r| r.consumer == namespace);
    let scope = if consumes { namespace } else { None };
    let mut all = Vec::new();
    for route in routes.iter().filter(|r| r.consumer == scope) {
        let Some(host) = host_rank(route, sent.request().host()) else {
            continue;
        };
        let Rules::Http { order, rules } = &route.rules else {
            continue;
        };
        let mut closed = false;
        for (rule_index, rule) in rules.iter().enumerate() {
            let alternatives: Vec<_> = match rule.matches.len() {
                0 => vec![(None, HttpMatch::default())],
                _ => rule
                    .matches
                    .iter()
                    .cloned()
                    .enumerate()
                    .map(|(n, m)| (Some(n), m))
                    .collect(),
            };
            for (match_index, m) in alternatives {
                let everything = *order == Order::Listed && m == HttpMatch::default();
                if !closed && m.matches(&sent.request(), &sent.client(), &sent.claims) {
                    let rank = (host, order_rank(*order, everything), specificity(*order, &m));
                    let name = &route.object.name;
                    let tie = (
                        route.created,
                        name.namespace.clone(),
                        name.name.clone(),
                        rule_index,
                        match_index,
                    );
                    all.push((rank, tie, (route.key(), rule_index, match_index)));
                }
                closed |= everything;
            }
        }
    }
    all.into_iter()
        .min_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)))
        .map(|(_, _, place)| place)
}

fn order_rank(order: Order, everything: bool) -> u8 {
    match (order, everything) {
        (Order::Listed, false) => 0,
        (Order::Listed, true) => 1,
        (Order::Specificity, _) => 2,
    }
}

fn host_rank(route: &Route, host: &str) -> Option<i64> {
    if route.hostnames.is_empty() {
        return Some(i64::MAX);
    }
    let rank = |pattern: &Strng| match pattern.strip_prefix('*') {
        Some(suffix) => {
            (host.len() > suffix.len() && host.ends_with(suffix)).then(|| 1000 - suffix.len() as i64)
        }
        None => (pattern == host).then_some(0),
    };
    route.hostnames.iter().filter_map(rank).min()
}

fn specificity(order: Order, m: &HttpMatch) -> [i64; 5] {
    if order == Order::Listed {
        return [0; 5];
    }
    let (class, length) = match &m.path {
        Some(PathMatch::Exact(p) | PathMatch::ExactIgnoringCase(p)) => (0, p.len()),
        Some(PathMatch::Regex(p)) => (2, p.as_str().len()),
        Some(PathMatch::Segments(p) | PathMatch::Prefix(p) | PathMatch::PrefixIgnoringCase(p))
            if p != "/" =>
        {
            (1, p.len())
        }
        _ => (3, 0),
    };
    let no_method = i64::from(m.method.is_none());
    [
        class,
        -(length as i64),
        no_method,
        -(m.headers.len() as i64),
        -(m.query.len() as i64),
    ]
}

fn random_route(rng: &mut Rng, n: usize) -> Route {
    let order = if rng.u8(..4) == 0 {
        Order::Listed
    } else {
        Order::Specificity
    };
    let rules = (0..rng.usize(1..5))
        .map(|_| ((0..rng.usize(..4)).map(|_| random_match(rng)).collect(), ""))
        .collect();
    let mut route = route(&format!("r{n}"), order, rules);
    route.object.name.namespace = rng.choice(["a", "b"]).unwrap().into();
    route.created = rng
        .choice([Created::at(1), Created::at(2), Created::unknown()])
        .unwrap();
    route.consumer = (rng.u8(..6) == 0).then(|| "web".into());
    route.hostnames = (0..rng.usize(..3))
        .map(|_| rng.choice(HOSTS).unwrap().into())
        .collect();
    route.hostnames.sort();
    route.hostnames.dedup();
    route
}

fn random_match(rng: &mut Rng) -> HttpMatch {
    let mut m = HttpMatch::default();
    let path: Strng = rng.choice(PATHS).unwrap().into();
    m.path = match rng.u8(..8) {
        0 => None,
        1 | 2 => Some(PathMatch::Exact(path)),
        3 | 4 => Some(PathMatch::Segments(path)),
        5 => Some(PathMatch::Prefix(path)),
        6 => Some(PathMatch::PrefixIgnoringCase(path)),
        _ => Some(PathMatch::Regex(
            Pattern::new(
                rng.choice(["/a.*", "/.", ".*b", "/a/b?.*", "/ab*", "/b|/a/b"])
                    .unwrap(),
            )
            .unwrap(),
        )),
    };
    for _ in 0..rng.usize(..3) {
        m = match rng.u8(..4) {
            0 => m.method(rng.choice(["GET", "POST"]).unwrap()),
            1 => m.query(rng.choice(["p", "q"]).unwrap(), rng.choice(["1", "2"]).unwrap()),
            _ => m.header(rng.choice(["x", "y"]).unwrap(), rng.choice(["1", "2"]).unwrap()),
        };
    }
    m
}

fn random_request(rng: &mut Rng) -> Sent {
    let mut sent = get(rng.choice(PATHS).unwrap());
    sent.path.push_str(rng.choice(["", "", "/", "b", "/b"]).unwrap());
    sent.authority = rng
        .choice(["a.b.c", "b.c", "x.b.c", "c", "x.y.b.c"])
        .unwrap()
        .to_owned();
    sent.query = rng
        .choice([None, Some("p=1"), Some("q=2&p=1"), Some("p=2&p=1")])
        .unwrap()
        .map(str::to_owned);
    if rng.bool() {
        sent = sent.header("x", rng.choice(["1", "2"]).unwrap());
    }
    if rng.bool() {
        sent = sent.header("y", rng.choice(["1", "2"]).unwrap());
    }
    if rng.u8(..4) == 0 {
        sent = sent.in_namespace("web");
    }
    sent
}

const HOSTS: [&str; 5] = ["a.b.c", "*.b.c", "b.c", "*.c", "*.y.b.c"];
const PATHS: [&str; 8] = ["/", "/a", "/a/b", "/A/b", "/ab", "/a/b/c", "/b", "/a/"];
