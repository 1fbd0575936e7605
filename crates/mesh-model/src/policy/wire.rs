//! A policy on the wire: `istio.security.Authorization`.
//!
//! Nothing is dropped: a `source_ips` list whose only range is malformed would otherwise become "from anywhere".

use bytes::Bytes;
use ipnet::IpNet;
use mesh_proto::istio::security as pb;
use mesh_proto::istio::security::string_match::MatchType;
use mesh_types::{NamespacedName, Strng};
use prost::Message;

use super::{Action, Authorization, Clause, Match, Rule, Scope, ServiceAccountMatch, StringMatch};
use crate::gateway::{decode_ip, encode_ip};
use crate::invalid::{
    FieldProblem, InField, InvalidResource, Problem, ResourceKind, items, misnamed, unreadable,
};
use crate::port::decode_port_number;

impl Authorization {
    /// Reads a resource as it came over xDS.
    ///
    /// # Errors
    /// Names the resource and the field; a resource that goes by another name than its content says is refused, as it
    /// could never be removed.
    pub fn decode(name: &str, body: Bytes) -> Result<Self, InvalidResource> {
        let message =
            pb::Authorization::decode(body).map_err(|e| unreadable(ResourceKind::Authorization, name, &e))?;
        let policy = Self::try_from(message)?;
        let own_name = policy.name.to_string();
        match own_name == name {
            true => Ok(policy),
            false => Err(misnamed(ResourceKind::Authorization, name, &own_name)),
        }
    }

    /// The body of the resource.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        pb::Authorization::from(self).encode_to_vec().into()
    }
}

impl TryFrom<pb::Authorization> for Authorization {
    type Error = InvalidResource;

    fn try_from(policy: pb::Authorization) -> Result<Self, Self::Error> {
        decode(&policy).map_err(|e| {
            let name = format!("{}/{}", policy.namespace, policy.name);
            e.of(ResourceKind::Authorization, name)
        })
    }
}

impl From<&Authorization> for pb::Authorization {
    /// Canonical: what has its default value is absent.
    fn from(policy: &Authorization) -> Self {
        Self {
            name: policy.name.name.to_string(),
            namespace: policy.name.namespace.to_string(),
            scope: encode_scope(policy.scope).into(),
            action: encode_action(policy.action).into(),
            rules: policy.rules.iter().map(encode_rule).collect(),
            dry_run: policy.dry_run,
            extensions: Vec::new(),
        }
    }
}

/// A range from an address and a prefix length. Bits beyond the prefix are kept: they mean nothing, and the range then
/// reads as it was written.
pub(crate) fn decode_range(address: &[u8], length: u32) -> Result<IpNet, FieldProblem> {
    let ip = decode_ip(address).field("address")?;
    let misfit = Problem::PrefixLength { address: ip, length };
    // A mapped address has become an IPv4 one, and loses 96 bits of its prefix with that.
    let mapped = ip.is_ipv4() && address.len() == 16;
    let length = match mapped {
        true => length.checked_sub(96),
        false => Some(length),
    };
    length
        .and_then(|length| u8::try_from(length).ok())
        .and_then(|length| IpNet::new(ip, length).ok())
        .ok_or(misfit)
        .field("length")
}

fn decode(policy: &pb::Authorization) -> Result<Authorization, FieldProblem> {
    for (field, value) in [("name", &policy.name), ("namespace", &policy.namespace)] {
        non_empty(value).field(field)?;
        if value.contains('/') {
            return Err(Problem::NamespacedName(value.clone())).field(field);
        }
    }
    Ok(Authorization {
        name: NamespacedName::new(policy.namespace.as_str(), policy.name.as_str()),
        scope: decode_scope(policy.scope).field("scope")?,
        action: decode_action(policy.action).field("action")?,
        rules: items("rules", &policy.rules, decode_rule)?,
        dry_run: policy.dry_run,
    })
}

fn decode_scope(scope: i32) -> Result<Scope, Problem> {
    match pb::Scope::try_from(scope) {
        Ok(pb::Scope::Global) => Ok(Scope::Global),
        Ok(pb::Scope::Namespace) => Ok(Scope::Namespace),
        Ok(pb::Scope::WorkloadSelector) => Ok(Scope::WorkloadSelector),
        Err(_) => Err(Problem::UnknownValue(scope)),
    }
}

fn encode_scope(scope: Scope) -> pb::Scope {
    match scope {
        Scope::Global => pb::Scope::Global,
        Scope::Namespace => pb::Scope::Namespace,
        Scope::WorkloadSelector => pb::Scope::WorkloadSelector,
    }
}

fn decode_action(action: i32) -> Result<Action, Problem> {
    match pb::Action::try_from(action) {
        Ok(pb::Action::Allow) => Ok(Action::Allow),
        Ok(pb::Action::Deny) => Ok(Action::Deny),
        Err(_) => Err(Problem::UnknownValue(action)),
    }
}

fn encode_action(action: Action) -> pb::Action {
    match action {
        Action::Allow => pb::Action::Allow,
        Action::Deny => pb::Action::Deny,
    }
}

fn decode_rule(rule: &pb::Rule) -> Result<Rule, FieldProblem> {
    let clauses = items("clauses", &rule.clauses, |clause| {
        let matches = items("matches", &clause.matches, decode_match)?;
        Ok::<_, FieldProblem>(Clause { matches })
    })?;
    Ok(Rule { clauses })
}

fn encode_rule(rule: &Rule) -> pb::Rule {
    let encode_clause = |clause: &Clause| pb::Clause {
        matches: clause.matches.iter().map(encode_match).collect(),
    };
    pb::Rule {
        clauses: rule.clauses.iter().map(encode_clause).collect(),
    }
}

fn decode_match(m: &pb::Match) -> Result<Match, FieldProblem> {
    let range = |a: &pb::Address| decode_range(&a.address, a.length);
    let port = |p: &u32| decode_port_number(*p);
    let account = decode_service_account;
    Ok(Match {
        namespaces: items("namespaces", &m.namespaces, decode_string)?,
        not_namespaces: items("not_namespaces", &m.not_namespaces, decode_string)?,
        principals: items("principals", &m.principals, decode_string)?,
        not_principals: items("not_principals", &m.not_principals, decode_string)?,
        service_accounts: items("service_accounts", &m.service_accounts, account)?,
        not_service_accounts: items("not_service_accounts", &m.not_service_accounts, account)?,
        source_ips: items("source_ips", &m.source_ips, range)?,
        not_source_ips: items("not_source_ips", &m.not_source_ips, range)?,
        destination_ips: items("destination_ips", &m.destination_ips, range)?,
        not_destination_ips: items("not_destination_ips", &m.not_destination_ips, range)?,
        destination_ports: items("destination_ports", &m.destination_ports, port)?,
        not_destination_ports: items("not_destination_ports", &m.not_destination_ports, port)?,
    })
}

fn encode_match(m: &Match) -> pb::Match {
    let strings = |from: &[StringMatch]| from.iter().map(encode_string).collect();
    let ranges = |from: &[IpNet]| from.iter().map(encode_range).collect();
    let ports = |from: &[u16]| from.iter().map(|p| u32::from(*p)).collect();
    let accounts = |from: &[ServiceAccountMatch]| from.iter().map(encode_service_account).collect();
    pb::Match {
        namespaces: strings(&m.namespaces),
        not_namespaces: strings(&m.not_namespaces),
        principals: strings(&m.principals),
        not_principals: strings(&m.not_principals),
        source_ips: ranges(&m.source_ips),
        not_source_ips: ranges(&m.not_source_ips),
        destination_ips: ranges(&m.destination_ips),
        not_destination_ips: ranges(&m.not_destination_ips),
        destination_ports: ports(&m.destination_ports),
        not_destination_ports: ports(&m.not_destination_ports),
        service_accounts: accounts(&m.service_accounts),
        not_service_accounts: accounts(&m.not_service_accounts),
        extensions: Vec::new(),
    }
}

fn decode_string(m: &pb::StringMatch) -> Result<StringMatch, FieldProblem> {
    match m
        .match_type
        .as_ref()
        .ok_or(Problem::Missing)
        .field("match_type")?
    {
        MatchType::Exact(s) => non_empty(s).map(StringMatch::Exact).field("exact"),
        MatchType::Prefix(s) => non_empty(s).map(StringMatch::Prefix).field("prefix"),
        MatchType::Suffix(s) => non_empty(s).map(StringMatch::Suffix).field("suffix"),
        MatchType::Presence(pb::Presence {}) => Ok(StringMatch::Presence),
    }
}

fn encode_string(m: &StringMatch) -> pb::StringMatch {
    let match_type = match m {
        StringMatch::Exact(s) => MatchType::Exact(s.to_string()),
        StringMatch::Prefix(s) => MatchType::Prefix(s.to_string()),
        StringMatch::Suffix(s) => MatchType::Suffix(s.to_string()),
        StringMatch::Presence => MatchType::Presence(pb::Presence {}),
    };
    pb::StringMatch {
        match_type: Some(match_type),
    }
}

fn decode_service_account(m: &pb::ServiceAccountMatch) -> Result<ServiceAccountMatch, FieldProblem> {
    Ok(ServiceAccountMatch {
        namespace: non_empty(&m.namespace).field("namespace")?,
        service_account: non_empty(&m.service_account).field("serviceAccount")?,
    })
}

fn encode_service_account(m: &ServiceAccountMatch) -> pb::ServiceAccountMatch {
    pb::ServiceAccountMatch {
        namespace: m.namespace.to_string(),
        service_account: m.service_account.to_string(),
    }
}

fn encode_range(range: &IpNet) -> pb::Address {
    pb::Address {
        address: encode_ip(range.addr()),
        length: range.prefix_len().into(),
    }
}

fn non_empty(value: &str) -> Result<Strng, Problem> {
    match value {
        "" => Err(Problem::Empty),
        value => Ok(Strng::from(value)),
    }
}
