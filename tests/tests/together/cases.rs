//! Tables of requests and what is expected of them.

use crate::harness::{Ask, Together};

/// Where requests of a table go.
#[derive(Clone, Copy)]
pub(crate) enum Via {
    /// The Service `web`, through the waypoint.
    Mesh,
    /// A listener of a gateway.
    Listener(u16),
}

/// Asks each of these, and compares. A request is method, path and headers (`name:value`; `host:` is the host) with blanks
/// between them. What is expected is a version (`v1`), a status (`404`), or a status and a `location`.
pub(crate) fn check(mesh: &Together, via: Via, cases: &[(&str, &str)]) {
    let wrong = cases.iter().filter_map(|(request, expected)| {
        let answer = ask(mesh, via, request).send();
        let got = match (answer.by(), answer.header("location")) {
            ("", None) => answer.status.to_string(),
            ("", Some(location)) => format!("{} {location}", answer.status),
            (by, _) => by.trim_start_matches("web-").to_owned(),
        };
        (got != *expected).then(|| format!("{request}: {got} instead of {expected}"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A request of such a table.
pub(crate) fn ask<'a>(mesh: &'a Together, via: Via, request: &str) -> Ask<'a> {
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut ask = mesh.ask(method, path);
    if let Via::Listener(port) = via {
        ask = ask.at(port);
    }
    for word in words {
        ask = match word.split_once(':') {
            Some(("host", host)) => ask.host(host),
            Some((name, value)) => ask.header(name, value),
            None => ask,
        };
    }
    ask
}

/// An HTTPRoute of the Service `web`, from the flow form of its rules.
pub(crate) fn http_route(rules: &str) -> String {
    http_route_of("web", "{group: '', kind: Service, name: web}", "", rules)
}

/// Any HTTPRoute.
pub(crate) fn http_route_of(name: &str, parents: &str, more: &str, rules: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: {name}, namespace: shop}}, \
         spec: {{parentRefs: [{parents}], {more} rules: [{rules}]}}}}"
    )
}

/// A backend of a rule.
pub(crate) fn to(version: &str) -> String {
    format!("backendRefs: [{{name: web-{version}, port: 80}}]")
}

/// A rule with a path prefix, more, and a backend.
pub(crate) fn under(prefix: &str, more: &str, version: &str) -> String {
    format!(
        "{{matches: [{{path: {{type: PathPrefix, value: {prefix}}}}}], {more} {}}}",
        to(version)
    )
}

/// One more version of `web`.
pub(crate) fn third(mesh: &Together) {
    mesh.service("web-v3", "version: v3");
    mesh.backend("web-v3", "version: v3");
}
