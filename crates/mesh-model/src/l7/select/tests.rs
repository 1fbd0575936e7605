mod conformance;
mod connections;
mod precedence;
mod random;
mod weights;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use mesh_types::{Identity, NamespacedName};

use super::*;
use crate::l7::route::{Destination, HttpAction, HttpBackend, NamedMatch, Order, PathMatch};
use crate::l7::{Created, ObjectRef, TextMatch};

/// A route whose rules are named by where they lead: matches, name.
fn route(name: &str, order: Order, rules: Vec<(Vec<HttpMatch>, &str)>) -> Route {
    let rules = rules.into_iter().map(|(matches, to)| HttpRule {
        name: Some(to.into()),
        matches,
        filters: Vec::new(),
        action: HttpAction::Forward(vec![backend(1, to)]),
        timeouts: Default::default(),
        retry: None,
        session: None,
    });
    Route {
        object: ObjectRef {
            kind: "HTTPRoute".into(),
            name: NamespacedName::new("app", name),
        },
        part: Strng::default(),
        parents: Vec::new(),
        created: Created::unknown(),
        consumer: None,
        hostnames: Vec::new(),
        rules: Rules::Http {
            order,
            rules: rules.collect(),
        },
    }
}

fn gateway_api(name: &str, rules: Vec<(Vec<HttpMatch>, &str)>) -> Route {
    route(name, Order::Specificity, rules)
}

fn backend(weight: u32, to: &str) -> HttpBackend {
    HttpBackend {
        weight,
        destination: Destination::Backend(to.into()),
        filters: Vec::new(),
    }
}

fn prefix(path: &str) -> HttpMatch {
    with_path(PathMatch::Segments(path.into()))
}

fn exact(path: &str) -> HttpMatch {
    with_path(PathMatch::Exact(path.into()))
}

fn with_path(path: PathMatch) -> HttpMatch {
    HttpMatch {
        path: Some(path),
        ..HttpMatch::default()
    }
}

fn named(name: &str, value: &str) -> NamedMatch {
    NamedMatch {
        name: name.into(),
        value: TextMatch::Exact(value.into()),
    }
}

impl HttpMatch {
    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(named(name, value));
        self
    }

    fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push(named(name, value));
        self
    }

    fn method(mut self, method: &str) -> Self {
        self.method = Some(TextMatch::Exact(method.into()));
        self
    }
}

/// A request, as a test writes it down.
#[derive(Clone, Debug)]
struct Sent {
    method: Method,
    authority: String,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    from: Option<Identity>,
    labels: Vec<(Strng, Strng)>,
    claims: Claims,
}

fn get(target: &str) -> Sent {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    Sent {
        method: Method::GET,
        authority: "echo".to_owned(),
        path: path.to_owned(),
        query,
        headers: HeaderMap::new(),
        from: None,
        labels: Vec::new(),
        claims: Claims::none(),
    }
}

impl Sent {
    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        let name = HeaderName::from_static(name);
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    fn host(mut self, authority: &str) -> Self {
        self.authority = authority.to_owned();
        self
    }

    fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    fn in_namespace(mut self, namespace: &str) -> Self {
        let id = format!("spiffe://cluster.local/ns/{namespace}/sa/client");
        self.from = Some(id.parse().unwrap());
        self
    }

    fn request(&self) -> Request<'_> {
        Request {
            method: &self.method,
            scheme: "http",
            authority: &self.authority,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
            metadata: None,
        }
    }

    fn client(&self) -> Client<'_> {
        Client {
            identity: self.from.as_ref(),
            address: [10, 0, 0, 1].into(),
            remote_address: [10, 0, 0, 1].into(),
            server_name: None,
            labels: &self.labels,
        }
    }

    /// Where it goes; nowhere is 404.
    fn goes_to<'t>(&self, table: &'t RouteTable) -> &'t str {
        let selected = table.select(&self.request(), &self.client(), &self.claims);
        selected.map_or("404", |s| s.rule.name.as_ref().unwrap())
    }
}

fn table(routes: impl IntoIterator<Item = Route>) -> RouteTable {
    RouteTable::compile(routes.into_iter().map(Arc::new), Hostnames::Ignored)
}

fn listener(routes: impl IntoIterator<Item = Route>) -> RouteTable {
    RouteTable::compile(routes.into_iter().map(Arc::new), Hostnames::Matched)
}
