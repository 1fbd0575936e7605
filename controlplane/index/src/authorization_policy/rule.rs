//! One rule: `to`, `from` and each `when` become a clause; a rule matches when all its clauses do.

use controlplane_k8s_api::security::{Condition as When, Operation, Rule, Source};
use controlplane_k8s_api::validate::names;
use ipnet::IpNet;
use mesh_model::policy::{Action, Clause, Match, Rule as MeshRule, ServiceAccountMatch, StringMatch};
use mesh_types::Strng;

use crate::derived::{Condition, ConditionReason};
use crate::trust_domains;

/// Where a policy stands.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// Its namespace.
    pub(super) namespace: &'a Strng,
    /// What identities of this mesh may begin with.
    pub(super) trust_domains: &'a [Strng],
}

/// Converts a rule; nothing when it has to be left out. `path` leads to it, for conditions.
pub(super) fn convert(
    action: Action,
    around: Around<'_>,
    rule: &Rule,
    path: &str,
    conditions: &mut Vec<Condition>,
) -> Option<MeshRule> {
    if rule.unreadable {
        // What is not understood of an object is told of in its status.
        return (action == Action::Deny).then(MeshRule::default);
    }
    let mut lost = Losses::default();
    let to = rule.to.iter().enumerate();
    let to = to.map(|(i, to)| operation(&to.operation, &format!("{path}.to[{i}].operation"), &mut lost));
    let to: Vec<Part> = to.collect();
    let from = rule.from.iter().enumerate();
    let from = from.map(|(i, from)| {
        source(
            &from.source,
            around,
            &format!("{path}.from[{i}].source"),
            &mut lost,
        )
    });
    let from: Vec<Part> = from.collect();
    let whens = rule.when.iter().enumerate();
    let whens =
        whens.map(|(i, when)| vec![self::when(when, around, &format!("{path}.when[{i}]"), &mut lost)]);
    let clauses: Vec<Vec<Part>> = [to, from]
        .into_iter()
        .chain(whens)
        .filter(|c| !c.is_empty())
        .collect();
    if lost.is_empty() {
        let plain = |parts: Vec<Part>| Clause {
            matches: parts.into_iter().map(|p| p.matched).collect(),
        };
        return Some(MeshRule {
            clauses: clauses.into_iter().map(plain).collect(),
        });
    }
    match action {
        Action::Allow => {
            let message = format!("the rule is left out, so it allows nothing: {}", lost.reasons());
            conditions.push(Condition::at(ConditionReason::RuleDropped, path, message));
            None
        }
        Action::Deny => Some(broadened(clauses, &lost, path, conditions)),
    }
}

impl Around<'_> {
    /// Principals, those of this mesh under each of its trust domains.
    fn principals(&self, values: &[Strng]) -> Vec<Strng> {
        let values = values.iter();
        values
            .flat_map(|value| trust_domains::under_each(value, self.trust_domains))
            .collect()
    }
}

/// One alternative of a clause.
struct Part {
    matched: Match,
    /// A restriction was malformed: what is left is less than what the author wrote.
    malformed: bool,
}

/// What was left out of a rule, and why.
#[derive(Default)]
struct Losses(Vec<String>);

/// A DENY rule without its lost parts. A clause that lost everything is left out, so the others deny more; when nothing
/// is left that a node proxy could look at, the rule denies nothing, since it was only about requests. Malformed values
/// are another matter: nobody knows what the author meant, so they deny whatever the rest of the rule does.
fn broadened(
    clauses: Vec<Vec<Part>>,
    lost: &Losses,
    path: &str,
    conditions: &mut Vec<Condition>,
) -> MeshRule {
    let mut whole = Vec::new();
    let mut malformed = false;
    for parts in clauses {
        if parts.iter().any(|p| p.malformed && p.matched.is_empty()) {
            // This alternative matches anything, hence so does its clause.
            malformed = true;
            continue;
        }
        malformed |= parts.iter().any(|p| p.malformed);
        let matches: Vec<Match> = parts.into_iter().map(|p| p.matched).collect();
        if matches.iter().any(|m| !m.is_empty()) {
            whole.push(Clause { matches });
        }
    }
    if whole.is_empty() && !malformed {
        let message = format!("the rule denies nothing at a node proxy: {}", lost.reasons());
        conditions.push(Condition::at(ConditionReason::RuleWithoutEffect, path, message));
        // A match without values matches nothing (what istiod sends in this case).
        let nothing = Clause {
            matches: vec![Match::default()],
        };
        return MeshRule {
            clauses: vec![nothing],
        };
    }
    let message = format!("the rule denies more than it says: {}", lost.reasons());
    conditions.push(Condition::at(ConditionReason::RuleBroadened, path, message));
    MeshRule { clauses: whole }
}

fn operation(operation: &Operation, path: &str, lost: &mut Losses) -> Part {
    for (field, values) in [
        ("hosts", &operation.hosts),
        ("notHosts", &operation.not_hosts),
        ("methods", &operation.methods),
        ("notMethods", &operation.not_methods),
        ("paths", &operation.paths),
        ("notPaths", &operation.not_paths),
    ] {
        lost.request_attribute(path, field, values);
    }
    let mut values = Values::new(path, lost);
    let matched = Match {
        destination_ports: values.any_of("ports", &operation.ports, port),
        not_destination_ports: values.none_of("notPorts", &operation.not_ports, port),
        ..Match::default()
    };
    values.part(matched)
}

fn source(source: &Source, around: Around<'_>, path: &str, lost: &mut Losses) -> Part {
    for (field, values) in [
        ("requestPrincipals", &source.request_principals),
        ("notRequestPrincipals", &source.not_request_principals),
        ("remoteIpBlocks", &source.remote_ip_blocks),
        ("notRemoteIpBlocks", &source.not_remote_ip_blocks),
    ] {
        lost.request_attribute(path, field, values);
    }
    let mut values = Values::new(path, lost);
    let account = |text: &str| service_account(text, around.namespace);
    let mut principals = values.any_of("principals", &around.principals(&source.principals), text);
    let not_principals = around.principals(&source.not_principals);
    let mut not_principals = values.none_of("notPrincipals", &not_principals, text);
    not_principals.extend(values.none_of("notTrustDomains", &source.not_trust_domains, trust_domain));
    if source.principals.is_empty() {
        principals = values.any_of("trustDomains", &source.trust_domains, trust_domain);
    } else if !source.trust_domains.is_empty() {
        // Both together would need two clauses, which only one of several sources cannot have.
        values.lose("trustDomains", "cannot be enforced beside principals");
    }
    let matched = Match {
        namespaces: values.any_of("namespaces", &source.namespaces, text),
        not_namespaces: values.none_of("notNamespaces", &source.not_namespaces, text),
        principals,
        not_principals,
        service_accounts: values.any_of("serviceAccounts", &source.service_accounts, account),
        not_service_accounts: values.none_of("notServiceAccounts", &source.not_service_accounts, account),
        source_ips: values.any_of("ipBlocks", &source.ip_blocks, block),
        not_source_ips: values.none_of("notIpBlocks", &source.not_ip_blocks, block),
        ..Match::default()
    };
    values.part(matched)
}

fn when(when: &When, around: Around<'_>, path: &str, lost: &mut Losses) -> Part {
    let (any, none) = (&when.values, &when.not_values);
    let mut matched = Match::default();
    let mut values = Values::new(path, lost);
    match when.key.as_str() {
        "source.ip" => {
            matched.source_ips = values.any_of("values", any, block);
            matched.not_source_ips = values.none_of("notValues", none, block);
        }
        "source.namespace" => {
            matched.namespaces = values.any_of("values", any, text);
            matched.not_namespaces = values.none_of("notValues", none, text);
        }
        "source.principal" => {
            matched.principals = values.any_of("values", &around.principals(any), text);
            matched.not_principals = values.none_of("notValues", &around.principals(none), text);
        }
        "destination.ip" => {
            matched.destination_ips = values.any_of("values", any, block);
            matched.not_destination_ips = values.none_of("notValues", none, block);
        }
        "destination.port" => {
            matched.destination_ports = values.any_of("values", any, port);
            matched.not_destination_ports = values.none_of("notValues", none, port);
        }
        key => values
            .lost
            .note(path, "key", &format!("{key:?} is no attribute of connections")),
    }
    values.part(matched)
}

/// Reads the values of one alternative.
struct Values<'a> {
    path: &'a str,
    lost: &'a mut Losses,
    malformed: bool,
}

impl<'a> Values<'a> {
    fn new(path: &'a str, lost: &'a mut Losses) -> Self {
        Self {
            path,
            lost,
            malformed: false,
        }
    }

    /// Values of which one must match: with a malformed one among them, the restriction is not known any more.
    fn any_of<T>(
        &mut self,
        field: &str,
        texts: &[Strng],
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        match texts.iter().map(|t| read(t)).collect() {
            Ok(values) => values,
            Err(reason) => {
                self.lose(field, &reason);
                Vec::new()
            }
        }
    }

    /// Values of which none may match: without a malformed one, more matches.
    fn none_of<T>(
        &mut self,
        field: &str,
        texts: &[Strng],
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut values = Vec::with_capacity(texts.len());
        for text in texts {
            match read(text) {
                Ok(value) => values.push(value),
                Err(reason) => self.lose(field, &reason),
            }
        }
        values
    }

    fn lose(&mut self, field: &str, reason: &str) {
        self.malformed = true;
        self.lost.note(self.path, field, reason);
    }

    fn part(self, matched: Match) -> Part {
        Part {
            matched,
            malformed: self.malformed,
        }
    }
}

impl Losses {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn reasons(&self) -> String {
        self.0.join("; ")
    }

    fn note(&mut self, path: &str, field: &str, reason: &str) {
        self.0.push(format!("{path}.{field} {reason}"));
    }

    /// Notes an attribute of requests, which a node proxy does not see.
    fn request_attribute(&mut self, path: &str, field: &str, values: &[Strng]) {
        if !values.is_empty() {
            self.note(
                path,
                field,
                "is an attribute of requests, which only a waypoint sees",
            );
        }
    }
}

/// `*` is any text that is there, `*x` and `x*` an end and a beginning; a `*` elsewhere is itself.
fn text(value: &str) -> Result<StringMatch, String> {
    if value.is_empty() {
        return Err("has an empty value".to_owned());
    }
    Ok(match (value.strip_prefix('*'), value.strip_suffix('*')) {
        (Some(""), _) => StringMatch::Presence,
        (Some(end), _) => StringMatch::Suffix(end.into()),
        (None, Some(beginning)) => StringMatch::Prefix(beginning.into()),
        (None, None) => StringMatch::Exact(value.into()),
    })
}

/// A trust domain is what an identity begins with, up to the first slash.
fn trust_domain(value: &str) -> Result<StringMatch, String> {
    match text(value)? {
        StringMatch::Exact(domain) => Ok(StringMatch::Prefix(format!("{domain}/").into())),
        StringMatch::Suffix(_) => Err(format!(
            "{value:?} cannot be enforced: it does not begin the identity"
        )),
        other => Ok(other),
    }
}

fn port(value: &str) -> Result<u16, String> {
    names::port(value)
}

fn block(value: &str) -> Result<IpNet, String> {
    names::ip_block(value)
}

/// A bare name is one of the policy's own namespace.
fn service_account(value: &str, own_namespace: &Strng) -> Result<ServiceAccountMatch, String> {
    let (namespace, name) = match value.split_once('/') {
        Some((namespace, name)) => (Strng::from(namespace), name),
        None => (own_namespace.clone(), value),
    };
    if namespace.is_empty() || name.is_empty() || name.contains('/') {
        return Err(format!("{value:?} is neither <name> nor <namespace>/<name>"));
    }
    Ok(ServiceAccountMatch {
        namespace,
        service_account: name.into(),
    })
}
