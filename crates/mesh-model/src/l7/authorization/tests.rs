mod oracle;
mod order;
mod random;
mod rules;

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use mesh_types::{Identity, NamespacedName};

use super::*;
use crate::l7::ObjectRef;
use crate::l7::request::{Claims, Client, Local, Metadata, Request};

fn policy(name: &str) -> ObjectRef {
    ObjectRef {
        kind: "AuthorizationPolicy".into(),
        name: NamespacedName::new("shop", name),
    }
}

fn with_rules(action: Action, rules: Vec<Rule>) -> Authorization {
    Authorization {
        action,
        rules,
        dry_run: false,
    }
}

fn any<T>(values: impl IntoIterator<Item = T>) -> Values<T> {
    Values {
        any: values.into_iter().collect(),
        ..Values::default()
    }
}

fn none<T>(values: impl IntoIterator<Item = T>) -> Values<T> {
    Values {
        none: values.into_iter().collect(),
        ..Values::default()
    }
}

/// As policies write it: `a`, `a*`, `*a`, `*`.
fn text(text: &str) -> TextMatch {
    match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(""), _) => TextMatch::Present,
        (Some(suffix), _) => TextMatch::Suffix(suffix.into()),
        (_, Some(prefix)) => TextMatch::Prefix(prefix.into()),
        _ => TextMatch::Exact(text.into()),
    }
}

fn path(pattern: &str) -> PathPattern {
    if !pattern.contains('{') {
        return PathPattern::Text(text(pattern));
    }
    let segments = pattern
        .trim_start_matches('/')
        .split('/')
        .map(|segment| match segment {
            "{*}" => Segment::One,
            "{**}" => Segment::Many,
            literal => Segment::Literal(literal.into()),
        });
    PathPattern::Template(segments.collect())
}

fn from(source: Source) -> Rule {
    Rule {
        from: vec![source],
        ..Rule::default()
    }
}

fn to(operation: Operation) -> Rule {
    Rule {
        to: vec![operation],
        ..Rule::default()
    }
}

fn when(condition: Condition) -> Rule {
    Rule {
        when: vec![condition],
        ..Rule::default()
    }
}

/// A request, as a test writes it down.
#[derive(Clone, Debug)]
struct Sent {
    method: Method,
    authority: String,
    path: String,
    headers: HeaderMap,
    identity: Option<Identity>,
    address: IpAddr,
    remote: IpAddr,
    server_name: Option<String>,
    claims: Claims,
    metadata: Option<Metadata>,
    local: Local,
}

fn get(path: &str) -> Sent {
    Sent {
        method: Method::GET,
        authority: "shop:8080".to_owned(),
        path: path.to_owned(),
        headers: HeaderMap::new(),
        identity: Some("spiffe://cluster.local/ns/web/sa/front".parse().unwrap()),
        address: "10.0.0.1".parse().unwrap(),
        remote: "192.0.2.1".parse().unwrap(),
        server_name: None,
        claims: Claims::none(),
        metadata: None,
        local: Local {
            address: "10.96.0.1".parse().unwrap(),
            port: 80,
        },
    }
}

impl Sent {
    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        let name = HeaderName::from_static(name);
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    fn with_claims(mut self, claims: serde_json::Value) -> Self {
        self.claims = Claims::new(claims.as_object().unwrap().clone(), &[]);
        self
    }

    fn with_metadata(mut self, said: serde_json::Value) -> Self {
        self.metadata = Some(Metadata::new(said.as_object().unwrap().clone()));
        self
    }

    fn request(&self) -> Request<'_> {
        Request {
            method: &self.method,
            scheme: "http",
            authority: &self.authority,
            path: &self.path,
            query: None,
            headers: &self.headers,
            metadata: self.metadata.as_ref(),
        }
    }

    fn client(&self) -> Client<'_> {
        Client {
            identity: self.identity.as_ref(),
            address: self.address,
            remote_address: self.remote,
            server_name: self.server_name.as_deref(),
            labels: &[],
        }
    }

    fn decide<'t>(&self, authorizer: &'t Authorizer) -> Decision<'t> {
        authorizer.request(&self.request(), &self.client(), &self.claims, self.local)
    }

    fn decide_connection<'t>(&self, authorizer: &'t Authorizer) -> Decision<'t> {
        authorizer.connection(&self.client(), self.local)
    }

    /// Whether a rule matches, as it does in a policy that keeps requests out, and in one that lets them pass.
    fn matches(&self, rule: &Rule) -> (bool, bool) {
        let passes = |action: Action| {
            let policy = (&policy("p"), &with_rules(action, vec![rule.clone()]));
            self.decide(&Authorizer::compile([policy])).is_allowed()
        };
        (!passes(Action::Deny), passes(Action::Allow))
    }

    fn connection_matches(&self, rule: &Rule) -> (bool, bool) {
        let passes = |action: Action| {
            let policy = (&policy("p"), &with_rules(action, vec![rule.clone()]));
            self.decide_connection(&Authorizer::compile([policy]))
                .is_allowed()
        };
        (!passes(Action::Deny), passes(Action::Allow))
    }
}
