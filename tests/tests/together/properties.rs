//! What holds for any rules: precedence, shares, and that changes of routes close nothing.

use std::collections::BTreeMap;

use crate::cases::{Via, ask, http_route, to};
use crate::harness::Together;

/// Any matches of the shapes that precedence is about, against an order that is written down a second time here.
#[test]
fn the_better_match_counts_whatever_the_rules_order() {
    let mesh = Together::shop("");
    crate::cases::third(&mesh);
    let mut random = fastrand::Rng::with_seed(4);
    let paths = ["Exact /a/b", "PathPrefix /a/b", "PathPrefix /a", "PathPrefix /"];
    for round in 0..40 {
        let rules: Vec<Shape> = (0..6).map(|_| Shape::any(&mut random, &paths)).collect();
        let texts: Vec<_> = rules
            .iter()
            .enumerate()
            .map(|(n, shape)| shape.rule(&format!("v{}", n % 3 + 1)))
            .collect();
        mesh.apply(&http_route(&texts.join(", ")));
        for request in [
            "GET /a/b?q=1 h:1 i:1",
            "GET /a/b",
            "POST /a/b/c h:1",
            "GET /a?q=1",
            "PUT /x i:1 h:1",
        ] {
            let fits = rules.iter().enumerate().filter(|(_, shape)| shape.fits(request));
            // Of equals the first.
            let best = fits.max_by_key(|(n, shape)| (shape.rank(), std::cmp::Reverse(*n)));
            let expected = best.map_or_else(|| "404".to_owned(), |(n, _)| format!("web-v{}", n % 3 + 1));
            let answer = ask(&mesh, Via::Mesh, request).send();
            let got = match answer.by() {
                "" => answer.status.to_string(),
                by => by.to_owned(),
            };
            assert_eq!(got, expected, "round {round}: {request} of {texts:#?}");
        }
    }
}

struct Shape {
    path: &'static str,
    method: bool,
    headers: usize,
    query: bool,
}

impl Shape {
    fn any(random: &mut fastrand::Rng, paths: &[&'static str]) -> Self {
        Self {
            path: paths[random.usize(..paths.len())],
            method: random.bool(),
            headers: random.usize(..3),
            query: random.bool(),
        }
    }

    fn rule(&self, version: &str) -> String {
        let (kind, path) = self.path.split_once(' ').unwrap_or_default();
        let method = if self.method { "method: GET," } else { "" };
        let headers = [
            "",
            "{name: h, value: '1'}",
            "{name: h, value: '1'}, {name: i, value: '1'}",
        ][self.headers];
        let query = if self.query {
            "queryParams: [{name: q, value: '1'}],"
        } else {
            ""
        };
        format!(
            "{{matches: [{{path: {{type: {kind}, value: {path}}}, {method} {query} headers: [{headers}]}}], {}}}",
            to(version)
        )
    }

    fn fits(&self, request: &str) -> bool {
        let mut words = request.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers: Vec<_> = words.collect();
        let (kind, pattern) = self.path.split_once(' ').unwrap_or_default();
        let fits_path = match kind {
            "Exact" => path == pattern,
            _ => {
                let rest = path.strip_prefix(pattern.trim_end_matches('/'));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        };
        let names = [&[][..], &["h:1"], &["h:1", "i:1"]][self.headers];
        fits_path
            && (!self.method || method == "GET")
            && (!self.query || query == "q=1")
            && names.iter().all(|name| headers.contains(name))
    }

    /// Exact path, longest prefix, method, number of headers, number of parameters.
    fn rank(&self) -> (bool, usize, bool, usize, bool) {
        let (kind, pattern) = self.path.split_once(' ').unwrap_or_default();
        (
            kind == "Exact",
            pattern.len(),
            self.method,
            self.headers,
            self.query,
        )
    }
}

/// 500 requests over connections that are kept: each share within five points of what was said.
#[test]
fn shares_are_kept_over_connections_that_are_kept() {
    let mesh = Together::shop("");
    crate::cases::third(&mesh);
    for two in [false, true] {
        let get = || if two { mesh.get("/").http2() } else { mesh.get("/") };
        let kept = [mesh.keep(get()), mesh.keep(get()), mesh.keep(get())];
        for shares in [[70, 30, 0], [10, 80, 10], [1, 1, 2], [90, 0, 10], [0, 100, 0]] {
            let backends = shares
                .iter()
                .enumerate()
                .map(|(n, weight)| format!("{{name: web-v{}, port: 80, weight: {weight}}}", n + 1));
            let backends: Vec<_> = backends.collect();
            mesh.apply(&http_route(&format!(
                "{{backendRefs: [{}]}}",
                backends.join(", ")
            )));
            let mut by = BTreeMap::<String, usize>::new();
            for n in 0..500 {
                *by.entry(kept[n % 3].send(get()).by().to_owned()).or_default() += 1;
            }
            let sum: usize = shares.iter().sum();
            for (n, weight) in shares.iter().enumerate() {
                let got = by.get(&format!("web-v{}", n + 1)).copied().unwrap_or_default();
                let wanted = 500 * weight / sum;
                assert!(
                    got.abs_diff(wanted) <= 25 && (*weight > 0 || got == 0),
                    "{shares:?}: {by:?}"
                );
            }
        }
    }
}

#[test]
fn a_websocket_survives_a_thousand_changes_of_its_route() {
    let mesh = Together::shop(&http_route("{backendRefs: [{name: web-v1, port: 80}]}"));
    let mut socket = mesh.connect("web:80");
    socket.write("GET /ws HTTP/1.1\r\nhost: web\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    assert!(socket.read_until("\r\n\r\n").starts_with("HTTP/1.1 101"));
    for n in 1..=1000 {
        let weight = n % 7;
        mesh.apply(&http_route(&format!(
            "{{backendRefs: [{{name: web-v1, port: 80, weight: {weight}}}, {{name: web-v2, port: 80, weight: 1}}]}}"
        )));
        if n % 100 == 0 {
            socket.write(format!("{n:04}"));
            assert_eq!(socket.read(4), format!("{n:04}"));
        }
    }
    mesh.remove("HTTPRoute", "web");
    socket.write("last");
    assert_eq!(socket.read(4), "last");
}

/// From 90/10 to 0/100, on one connection; each change counts from the next request.
#[test]
fn a_canary_is_turned() {
    let mesh = Together::shop("");
    let kept = mesh.keep(mesh.get("/"));
    for (old, new) in [(90, 10), (50, 50), (0, 100)] {
        mesh.apply(&http_route(&format!(
            "{{backendRefs: [{{name: web-v1, port: 80, weight: {old}}}, {{name: web-v2, port: 80, weight: {new}}}]}}"
        )));
        let second = (0..200)
            .filter(|_| kept.send(mesh.get("/")).by() == "web-v2")
            .count();
        assert!(second.abs_diff(2 * new) <= 30, "{second} of 200, {new} % wanted");
        assert!(new < 100 || second == 200);
    }
}
