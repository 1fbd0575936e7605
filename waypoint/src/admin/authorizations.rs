//! Which requests may pass, for people: `authorizations` of `/config_dump`. Of each policy what it does, where it is attached, and
//! its rules, a line each, in the words of AuthorizationPolicy.

use mesh_model::l7::authorization::{
    Action, Authorization, Condition, IpAttribute, Operation, PathPattern, Rule, Segment, Source,
    TextAttribute, Values,
};
use mesh_model::l7::{Policy, PolicyKind, Target, TextMatch};
use serde::Serialize;

/// A policy that says which requests may pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthorizationDump {
    /// The object.
    policy: String,
    /// `Allow`, `Deny`, `Audit` or `Custom`.
    action: &'static str,
    /// Who is asked, where somebody else is.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// It decides nothing.
    dry_run: bool,
    /// What it is attached to.
    targets: Vec<TargetDump>,
    /// What it matches: any of these.
    rules: Vec<String>,
}

/// What a policy is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct TargetDump {
    /// The service, `<namespace>/<host>`, where it counts for that one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    /// For people.
    name: String,
}

impl AuthorizationDump {
    /// Nothing of policies of other kinds.
    pub(super) fn of(policy: &Policy) -> Option<Self> {
        let PolicyKind::Authorization(authorization) = &policy.kind else {
            return None;
        };
        let Authorization {
            action,
            rules,
            dry_run,
        } = authorization;
        let (action, provider) = match action {
            Action::Allow => ("Allow", None),
            Action::Deny => ("Deny", None),
            Action::Audit => ("Audit", None),
            Action::External(external) => ("Custom", Some(external.provider.to_string())),
            Action::ExternalUnknown(provider) => ("Custom", Some(format!("{provider}, which is not known"))),
        };
        Some(Self {
            policy: policy.object.to_string(),
            action,
            provider,
            dry_run: *dry_run,
            targets: policy.targets.iter().map(TargetDump::of).collect(),
            rules: rules.iter().map(rule).collect(),
        })
    }
}

impl TargetDump {
    fn of(target: &Target) -> Self {
        let service = match target {
            Target::Service(service) => Some(service.to_string()),
            Target::ServicePort(port) => Some(port.service.to_string()),
            _ => None,
        };
        Self {
            service,
            name: target.to_string(),
        }
    }
}

fn rule(rule: &Rule) -> String {
    let Rule { from, to, when } = rule;
    let mut parts = Vec::new();
    if !from.is_empty() {
        parts.push(format!("from {}", joined(from.iter().map(source), " or ")));
    }
    if !to.is_empty() {
        parts.push(format!("to {}", joined(to.iter().map(operation), " or ")));
    }
    if !when.is_empty() {
        parts.push(format!("when {}", joined(when.iter().map(condition), " and ")));
    }
    match parts.as_slice() {
        [] => "anything".to_owned(),
        parts => parts.join(", "),
    }
}

fn source(source: &Source) -> String {
    let Source {
        principals,
        request_principals,
        namespaces,
        service_accounts,
        trust_domains,
        ips,
        remote_ips,
    } = source;
    all([
        values("principals", principals, text),
        values("requestPrincipals", request_principals, text),
        values("namespaces", namespaces, text),
        values("serviceAccounts", service_accounts, text),
        values("trustDomains", trust_domains, text),
        values("ipBlocks", ips, ToString::to_string),
        values("remoteIpBlocks", remote_ips, ToString::to_string),
    ])
}

fn operation(operation: &Operation) -> String {
    let Operation {
        hosts,
        ports,
        methods,
        paths,
    } = operation;
    all([
        values("hosts", hosts, text),
        values("ports", ports, ToString::to_string),
        values("methods", methods, text),
        values("paths", paths, path),
    ])
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Text(attribute, of) => values(&named(attribute), of, text),
        Condition::Ip(attribute, of) => {
            let name = match attribute {
                IpAttribute::Source => "source.ip",
                IpAttribute::Remote => "remote.ip",
                IpAttribute::Destination => "destination.ip",
            };
            values(name, of, ToString::to_string)
        }
        Condition::DestinationPort(of) => values("destination.port", of, ToString::to_string),
        Condition::Unknown(name) => Some(format!("{name} (not known here)")),
    }
    .unwrap_or_else(|| "anything".to_owned())
}

/// As AuthorizationPolicy writes it.
fn named(attribute: &TextAttribute) -> String {
    match attribute {
        TextAttribute::RequestHeader(name) => format!("request.headers[{name}]"),
        TextAttribute::SourceNamespace => "source.namespace".to_owned(),
        TextAttribute::SourceServiceAccount => "source.serviceAccount".to_owned(),
        TextAttribute::SourcePrincipal => "source.principal".to_owned(),
        TextAttribute::SourceTrustDomain => "source.trustDomain".to_owned(),
        TextAttribute::RequestPrincipal => "request.auth.principal".to_owned(),
        TextAttribute::Audiences => "request.auth.audiences".to_owned(),
        TextAttribute::Presenter => "request.auth.presenter".to_owned(),
        TextAttribute::Claim(path) => {
            let path = path.iter().map(|part| format!("[{part}]"));
            format!("request.auth.claims{}", joined(path, ""))
        }
        TextAttribute::ServerName => "connection.sni".to_owned(),
        TextAttribute::ExternalAuth(name) => format!("experimental.envoy.filters.http.ext_authz[{name}]"),
    }
}

/// A field and its values; nothing where it has none.
fn values<T>(name: &str, of: &Values<T>, show: impl Fn(&T) -> String) -> Option<String> {
    let list = |values: &[T]| joined(values.iter().map(&show), "|");
    let mut parts = Vec::new();
    if !of.any.is_empty() {
        parts.push(format!("{name}={}", list(&of.any)));
    }
    if !of.none.is_empty() {
        parts.push(format!("{name}!={}", list(&of.none)));
    }
    if of.broken {
        parts.push(format!("{name} (with a value that cannot be read)"));
    }
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn all<const N: usize>(fields: [Option<String>; N]) -> String {
    let said: Vec<String> = fields.into_iter().flatten().collect();
    match said.as_slice() {
        [] => "anything".to_owned(),
        said => said.join(" "),
    }
}

fn text(text: &TextMatch) -> String {
    match text {
        TextMatch::Exact(text) => text.to_string(),
        TextMatch::Prefix(text) => format!("{text}*"),
        TextMatch::Suffix(text) => format!("*{text}"),
        TextMatch::Regex(pattern) => format!("regex({})", pattern.as_str()),
        TextMatch::Present => "*".to_owned(),
    }
}

fn path(path: &PathPattern) -> String {
    match path {
        PathPattern::Text(of) => text(of),
        PathPattern::Template(segments) => {
            let segments = segments.iter().map(|segment| match segment {
                Segment::Literal(text) => format!("/{text}"),
                Segment::One => "/{*}".to_owned(),
                Segment::Many => "/{**}".to_owned(),
            });
            joined(segments, "")
        }
    }
}

fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests;
