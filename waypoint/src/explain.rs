//! What would become of a request or connection, without sending it: `GET /explain`. It asks what requests ask: the same
//! frontends, routes and policies, compiled by the same functions.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use mesh_model::l7::authorization::{Ask, Decision, DenyReason, DryRun, Hit, Verdict};
use mesh_model::l7::bind::Serves;
use mesh_model::l7::edit;
use mesh_model::l7::request::{Claims, Client, Local, Request};
use mesh_runtime::admin;
use mesh_state::StateReader;
use mesh_state::l7::L7Snapshot;
use mesh_types::{Authority, Identity};
use serde::Serialize;

use crate::exchange::scheme;
use crate::filters::authorization::named;
use crate::filters::identity;
use crate::frontend::{Gateway, frontend};
use crate::proxy::http::head;
use crate::route::{Routed, Tables};

/// What is asked about.
#[derive(Clone, Debug)]
pub struct Question {
    /// What the client's tunnel asks for.
    pub to: Authority,
    /// Who asks.
    pub from: Option<Identity>,
    /// Where from.
    pub address: IpAddr,
    /// The name in its TLS handshake.
    pub server_name: Option<String>,
    /// The request; without one it is about a connection.
    pub request: Option<Asked>,
    /// What its token says; it is taken as verified.
    pub claims: Claims,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub target: Uri,
    /// Its host.
    pub host: String,
    /// Its headers.
    pub headers: HeaderMap,
}

/// What becomes of it, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// Whether policies let it pass; somebody else may still be asked.
    pub allowed: bool,
    /// The policy and the rule that decided, as in the log: `ns[..]-policy[..]-rule[..]`; `none` where no ALLOW policy
    /// matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The path that is compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The rule of a route that takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The status with which the waypoint itself answers, where it forwards nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<u16>,
    /// Who is asked before, and which rule wants it.
    pub asks: Vec<String>,
    /// AUDIT rules that match.
    pub audited: Vec<String>,
    /// What policies on trial would do.
    pub dry_run: Vec<String>,
    /// Everything that is attached here.
    pub policies: Vec<AttachedPolicy>,
}

/// A policy that is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttachedPolicy {
    /// What it says, in a word.
    pub kind: &'static str,
    /// The object.
    pub object: String,
    /// What it is attached to.
    pub target: String,
    /// Whether it counts; otherwise another one of its kind does instead.
    pub counts: bool,
}

/// Answers.
///
/// # Errors
/// Says why nothing is served there.
pub fn explain(
    state: &StateReader,
    snapshot: &L7Snapshot,
    gateway: &Gateway,
    question: &Question,
) -> Result<Explained, String> {
    let frontend = state
        .query(|view| frontend(view, &question.to, gateway, Serves::All))
        .map_err(|refused| refused.to_string())?;
    let tables = Tables::default();
    let compiled = tables.compiled(snapshot, &frontend, gateway);
    let client = Client {
        identity: question.from.as_ref(),
        address: question.address,
        remote_address: question.address,
        server_name: question.server_name.as_deref(),
        labels: &[],
    };
    let local = local(&question.to);
    let Some(asked) = &question.request else {
        let authorizer = &compiled.applied.authorizer;
        let decision = authorizer.connection(&client, local);
        let mut explained = Explained::of(&decision, &authorizer.ask_connection(&client, local));
        explained.attached(&compiled.applied);
        return Ok(explained);
    };
    let path = edit::normalize(asked.target.path(), compiled.normalization).into_owned();
    let mut headers = asked.headers.clone();
    head::strip_named(&mut headers);
    identity::clean(&mut headers);
    let request = Request {
        method: &asked.method,
        scheme: scheme(&headers, &frontend, "http"),
        authority: &asked.host,
        path: &path,
        query: asked.target.query(),
        headers: &headers,
        metadata: None,
    };
    let routed = tables.route(&compiled, &frontend, &request, &client, &question.claims);
    let rule = routed.rule();
    let applied = compiled.applied_to(rule);
    let decision = applied
        .authorizer
        .request(&request, &client, &question.claims, local);
    let asks = compiled.applied.authorizer.ask(&request, &client, local);
    let mut explained = Explained {
        route: rule.map(|rule| rule.name.to_string()),
        answer: match &routed {
            Routed::Forward(_) => None,
            Routed::Reply(replied) => Some(replied.reply.status.as_u16()),
        },
        ..Explained::of(&decision, &asks)
    };
    explained.path = Some(path.clone());
    explained.attached(applied);
    Ok(explained)
}

impl Question {
    /// Out of a request of the admin server: `to` (`10.96.0.1:80`), `from` (a SPIFFE id), `ip`, `sni`, `method`, `path`,
    /// `host`, `headers` (`name:value`, one in each line), `claims` (JSON).
    ///
    /// # Errors
    /// Names the parameter and says what is wrong with it.
    pub fn read(request: &admin::Request) -> Result<Self, String> {
        let text = |name: &str| request.query(name).filter(|text| !text.is_empty());
        fn parsed<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String>
        where
            T::Err: std::fmt::Display,
        {
            text.parse().map_err(|error| format!("{name}: {error}"))
        }
        let to =
            text("to").ok_or("to: is required: an address and a port, as a client's tunnel asks for them")?;
        let claims = match text("claims") {
            None => Claims::none(),
            Some(json) => {
                let claims = serde_json::from_str(json).map_err(|error| format!("claims: {error}"))?;
                Claims::new(claims, &[])
            }
        };
        let asked = match text("path") {
            None => None,
            Some(target) => Some(Asked {
                method: text("method").map_or(Ok(Method::GET), |method| parsed("method", method))?,
                target: parsed("path", target)?,
                host: text("host").unwrap_or_default().to_owned(),
                headers: headers(text("headers").unwrap_or_default())?,
            }),
        };
        Ok(Self {
            to: parsed("to", to)?,
            from: text("from").map(|id| parsed("from", id)).transpose()?,
            address: text("ip").map_or_else(|| Ok(Ipv4Addr::UNSPECIFIED.into()), |ip| parsed("ip", ip))?,
            server_name: text("sni").map(str::to_owned),
            request: asked,
            claims,
        })
    }
}

impl Explained {
    fn of(decision: &Decision<'_>, asks: &[Ask<'_>]) -> Self {
        let (allowed, policy) = match &decision.verdict {
            Verdict::Allow { by } => (true, by.as_ref().map(named)),
            Verdict::Deny(DenyReason::Policy(hit)) => (false, Some(named(hit))),
            Verdict::Deny(DenyReason::NoAllowMatched) => (false, Some("none".to_owned())),
        };
        let asked = |ask: &Ask<'_>| match ask.provider {
            Ok(provider) => format!("{} for {}", provider.provider, named(&ask.hit)),
            Err(unknown) => format!("nobody, as {unknown} is not known, for {}", named(&ask.hit)),
        };
        let trial = |trial: &DryRun<'_>| match trial {
            DryRun::WouldDeny(hit) => format!("deny {}", named(hit)),
            DryRun::WouldAllow(hit) => format!("allow {}", named(hit)),
            DryRun::WouldAsk(hit) => format!("ask {}", named(hit)),
            DryRun::NoAllowWouldMatch => "deny none".to_owned(),
        };
        let names = |hits: &[Hit<'_>]| hits.iter().map(named).collect();
        Self {
            allowed,
            policy,
            path: None,
            route: None,
            answer: None,
            asks: asks.iter().map(asked).collect(),
            audited: names(&decision.audited),
            dry_run: decision.dry_run.iter().map(trial).collect(),
            policies: Vec::new(),
        }
    }

    fn attached(&mut self, applied: &crate::filters::applied::Applied) {
        let attached = applied.effective.attached.iter();
        self.policies = attached
            .map(|policy| AttachedPolicy {
                kind: policy.kind,
                object: policy.object.to_string(),
                target: policy.target.to_string(),
                counts: policy.counts,
            })
            .collect();
        if let Some(policy) = applied.not_enforced.policy() {
            self.allowed = false;
            self.policy = Some(policy.to_string());
        }
    }
}

fn local(to: &Authority) -> Local {
    match to {
        Authority::Ip(address) => Local {
            address: address.ip(),
            port: address.port(),
        },
        Authority::Host { port, .. } => Local {
            address: Ipv4Addr::UNSPECIFIED.into(),
            port: *port,
        },
    }
}

fn headers(lines: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for line in lines.lines() {
        let pair = line.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        let (name, value) = pair.ok_or_else(|| format!("headers: {line:?} is not <name>:<value>"))?;
        headers.append(name, value);
    }
    Ok(headers)
}
