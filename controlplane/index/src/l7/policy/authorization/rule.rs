//! One rule.

use controlplane_k8s_api::security::{self, ConditionKey};
use mesh_model::l7::TextMatch;
use mesh_model::l7::authorization::{
    Action, Condition, IpAttribute, Operation, PathPattern, Rule, Segment, Source, TextAttribute, Values,
};
use mesh_types::Strng;

use super::Around;
use crate::derived::{self, ConditionReason};
use crate::l7::policy::text;
use crate::trust_domains;

/// What is wrong with a rule.
pub(super) struct Problems {
    path: String,
    found: Vec<String>,
}

pub(super) fn rule(around: &Around<'_>, rule: &security::Rule, problems: &mut Problems) -> Rule {
    if rule.unreadable {
        return unreadable();
    }
    let from = rule.from.iter().enumerate();
    let to = rule.to.iter().enumerate();
    let when = rule.when.iter().enumerate();
    Rule {
        from: from
            .map(|(i, from)| {
                source(
                    around,
                    &from.source,
                    &mut problems.within(format!("from[{i}].source")),
                )
            })
            .collect(),
        to: to
            .map(|(i, to)| operation(&to.operation, &mut problems.within(format!("to[{i}].operation"))))
            .collect(),
        when: when
            .map(|(i, when)| condition(around, when, &mut problems.within(format!("when[{i}]"))))
            .collect(),
    }
}

/// What matches nobody where a match lets in, and everybody where it keeps out.
fn unreadable() -> Rule {
    let mut nobody_knows = Source::default();
    nobody_knows.principals.broken = true;
    Rule {
        from: vec![nobody_knows],
        ..Rule::default()
    }
}

fn source(around: &Around<'_>, source: &security::Source, at: &mut At<'_>) -> Source {
    let account = |text: &str| service_account(text, around.namespace);
    let principal = |text: &str| principals(text, around.trust_domains);
    let mut lowered = Source {
        principals: at.many(
            "principals",
            &source.principals,
            &source.not_principals,
            principal,
        ),
        request_principals: at.values(
            "requestPrincipals",
            &source.request_principals,
            &source.not_request_principals,
            text::starred,
        ),
        namespaces: at.values(
            "namespaces",
            &source.namespaces,
            &source.not_namespaces,
            text::starred,
        ),
        service_accounts: at.values(
            "serviceAccounts",
            &source.service_accounts,
            &source.not_service_accounts,
            account,
        ),
        trust_domains: at.values(
            "trustDomains",
            &source.trust_domains,
            &source.not_trust_domains,
            text::starred,
        ),
        ips: at.values("ipBlocks", &source.ip_blocks, &source.not_ip_blocks, text::block),
        remote_ips: at.values(
            "remoteIpBlocks",
            &source.remote_ip_blocks,
            &source.not_remote_ip_blocks,
            text::block,
        ),
    };
    if *source == security::Source::default() {
        at.tell("", "is empty: nobody knows which sources are meant");
        lowered.principals.broken = true;
    }
    lowered
}

fn operation(operation: &security::Operation, at: &mut At<'_>) -> Operation {
    let mut lowered = Operation {
        hosts: at.values("hosts", &operation.hosts, &operation.not_hosts, text::starred),
        ports: at.values("ports", &operation.ports, &operation.not_ports, text::port),
        methods: at.values(
            "methods",
            &operation.methods,
            &operation.not_methods,
            text::starred,
        ),
        paths: at.values("paths", &operation.paths, &operation.not_paths, path),
    };
    if *operation == security::Operation::default() {
        at.tell("", "is empty: nobody knows which operations are meant");
        lowered.paths.broken = true;
    }
    lowered
}

fn condition(around: &Around<'_>, when: &security::Condition, at: &mut At<'_>) -> Condition {
    let Some(key) = ConditionKey::parse(&when.key) else {
        at.tell("key", &format!("{:?} is no attribute", when.key.as_str()));
        return Condition::Unknown(when.key.clone());
    };
    let attribute = match key {
        ConditionKey::SourceIp => return ip(IpAttribute::Source, when, at),
        ConditionKey::RemoteIp => return ip(IpAttribute::Remote, when, at),
        ConditionKey::DestinationIp => return ip(IpAttribute::Destination, when, at),
        ConditionKey::DestinationPort => {
            return Condition::DestinationPort(
                at.needed(when, |at, any, none| at.values("values", any, none, text::port)),
            );
        }
        ConditionKey::EnvoyFilter(_) => {
            at.tell("key", "is about a filter of Envoy's, which is not here");
            return Condition::Unknown(when.key.clone());
        }
        ConditionKey::RequestHeader(name) => match text::header(&name) {
            Ok(name) => TextAttribute::RequestHeader(name),
            Err(why) => {
                at.tell("key", &why);
                return Condition::Unknown(when.key.clone());
            }
        },
        ConditionKey::SourceNamespace => TextAttribute::SourceNamespace,
        ConditionKey::SourcePrincipal => TextAttribute::SourcePrincipal,
        ConditionKey::SourceServiceAccount => TextAttribute::SourceServiceAccount,
        ConditionKey::SourceTrustDomain => TextAttribute::SourceTrustDomain,
        ConditionKey::RequestPrincipal => TextAttribute::RequestPrincipal,
        ConditionKey::RequestAudiences => TextAttribute::Audiences,
        ConditionKey::RequestPresenter => TextAttribute::Presenter,
        ConditionKey::RequestClaim(path) => TextAttribute::Claim(path),
        ConditionKey::ConnectionSni => TextAttribute::ServerName,
        ConditionKey::ExternalAuth(name) => TextAttribute::ExternalAuth(name),
    };
    let values = at.needed(when, |at, any, none| match attribute {
        TextAttribute::SourcePrincipal => {
            at.many("values", any, none, |text| principals(text, around.trust_domains))
        }
        TextAttribute::SourceServiceAccount => at.values("values", any, none, |text| {
            service_account(text, around.namespace)
        }),
        // In brackets it is an element of a list; elements and texts are asked alike.
        TextAttribute::ExternalAuth(_) => at.values("values", any, none, |value| {
            let inside = value.strip_prefix('[').and_then(|v| v.strip_suffix(']'));
            text::starred(inside.unwrap_or(value))
        }),
        _ => at.values("values", any, none, text::starred),
    });
    Condition::Text(attribute, values)
}

fn ip(attribute: IpAttribute, when: &security::Condition, at: &mut At<'_>) -> Condition {
    let values = at.needed(when, |at, any, none| at.values("values", any, none, text::block));
    Condition::Ip(attribute, values)
}

/// A principal of this mesh is so under each of its trust domains.
fn principals(value: &str, trust_domains: &[Strng]) -> Result<Vec<TextMatch>, String> {
    let each = trust_domains::under_each(value, trust_domains);
    each.iter().map(|principal| text::starred(principal)).collect()
}

/// A bare name is one of the policy's own namespace.
fn service_account(value: &str, own_namespace: &Strng) -> Result<TextMatch, String> {
    let (namespace, name) = value.split_once('/').unwrap_or((own_namespace, value));
    if namespace.is_empty() || name.is_empty() || name.contains('/') || value.contains('*') {
        return Err(format!("{value:?} is neither <name> nor <namespace>/<name>"));
    }
    Ok(TextMatch::Exact(format!("{namespace}/{name}").into()))
}

/// A text with a `*` at one end, or a template.
fn path(value: &str) -> Result<PathPattern, String> {
    controlplane_k8s_api::validate::patterns::authorization_path(value)?;
    if !value.contains(['{', '}']) {
        return text::starred(value).map(PathPattern::Text);
    }
    let Some(segments) = value.strip_prefix('/') else {
        return Err(format!(
            "{value:?} is a template that does not begin with a slash"
        ));
    };
    let segment = |segment: &str| match segment {
        "{*}" => Segment::One,
        "{**}" => Segment::Many,
        literal => Segment::Literal(literal.into()),
    };
    Ok(PathPattern::Template(segments.split('/').map(segment).collect()))
}

/// Where values are read, and where what is wrong with them is told.
struct At<'p> {
    path: String,
    found: &'p mut Vec<String>,
}

impl Problems {
    pub(super) fn new(path: String) -> Self {
        Self {
            path,
            found: Vec::new(),
        }
    }

    fn within(&mut self, path: String) -> At<'_> {
        At {
            path: format!("{}.{path}", self.path),
            found: &mut self.found,
        }
    }

    /// What becomes of the rule with that.
    pub(super) fn tell(self, action: &Action, conditions: &mut Vec<derived::Condition>) {
        if self.found.is_empty() {
            return;
        }
        let (reason, consequence) = match action {
            Action::Allow => (
                ConditionReason::RuleDropped,
                "so it allows nothing by what is wrong",
            ),
            Action::Deny => (ConditionReason::RuleBroadened, "so it denies more than it says"),
            Action::Audit => (ConditionReason::RuleBroadened, "so it notes more than it says"),
            Action::External(_) | Action::ExternalUnknown(_) => (
                ConditionReason::RuleBroadened,
                "so more is asked about than it says",
            ),
        };
        let message = format!(
            "a part of it cannot be used, {consequence}: {}",
            self.found.join("; ")
        );
        conditions.push(derived::Condition::at(reason, self.path, message));
    }
}

impl At<'_> {
    fn tell(&mut self, field: &str, reason: &str) {
        let dot = if field.is_empty() { "" } else { "." };
        self.found.push(format!("{}{dot}{field} {reason}", self.path));
    }

    /// What may be and what may not; with a value that cannot be read nobody knows either.
    fn values<T>(
        &mut self,
        field: &str,
        any: &[Strng],
        none: &[Strng],
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Values<T> {
        self.many(field, any, none, |text| read(text).map(|value| vec![value]))
    }

    /// The same, where one text may stand for several values.
    fn many<T>(
        &mut self,
        field: &str,
        any: &[Strng],
        none: &[Strng],
        read: impl Fn(&str) -> Result<Vec<T>, String>,
    ) -> Values<T> {
        let mut values = Values::default();
        let excluded = format!("not{}{}", field[..1].to_ascii_uppercase(), &field[1..]);
        for (field, texts, side) in [(field, any, &mut values.any), (&excluded, none, &mut values.none)] {
            for text in texts {
                match read(text) {
                    Ok(read) => side.extend(read),
                    Err(why) => {
                        self.tell(field, &why);
                        values.broken = true;
                    }
                }
            }
        }
        values
    }

    /// The values of a condition, which must have some.
    fn needed<T>(
        &mut self,
        when: &security::Condition,
        read: impl FnOnce(&mut Self, &[Strng], &[Strng]) -> Values<T>,
    ) -> Values<T> {
        let mut values = read(self, &when.values, &when.not_values);
        if when.values.is_empty() && when.not_values.is_empty() {
            self.tell("values", "is absent, as is notValues");
            values.broken = true;
        }
        values
    }
}
