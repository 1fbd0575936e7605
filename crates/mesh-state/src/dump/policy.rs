//! Policies as JSON.

use ipnet::IpNet;
use mesh_model::Authorization;
use mesh_model::policy::{Action, Match, Scope, ServiceAccountMatch, StringMatch};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Form<'a> {
    name: &'a str,
    namespace: &'a str,
    scope: &'static str,
    action: &'static str,
    /// Rules, of clauses, of matches.
    rules: Vec<Vec<Vec<MatchForm<'a>>>>,
    dry_run: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MatchForm<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    namespaces: Vec<StringForm<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_namespaces: Vec<StringForm<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    service_accounts: Vec<AccountForm<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_service_accounts: Vec<AccountForm<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    principals: Vec<StringForm<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_principals: Vec<StringForm<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source_ips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_source_ips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    destination_ips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_destination_ips: Vec<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    destination_ports: &'a [u16],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    not_destination_ports: &'a [u16],
}

/// As upstream: `{"Exact": ".."}`, and `{"Presence": []}`.
#[derive(Serialize)]
enum StringForm<'a> {
    Exact(&'a str),
    Prefix(&'a str),
    Suffix(&'a str),
    Presence(),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountForm<'a> {
    namespace: &'a str,
    service_account: &'a str,
}

impl<'a> Form<'a> {
    pub(super) fn of(policy: &'a Authorization) -> Self {
        let rules = policy.rules.iter().map(|rule| {
            let clauses = rule.clauses.iter();
            clauses
                .map(|clause| clause.matches.iter().map(MatchForm::of).collect())
                .collect()
        });
        Self {
            name: &policy.name.name,
            namespace: &policy.name.namespace,
            scope: match policy.scope {
                Scope::Global => "Global",
                Scope::Namespace => "Namespace",
                Scope::WorkloadSelector => "WorkloadSelector",
            },
            action: match policy.action {
                Action::Allow => "Allow",
                Action::Deny => "Deny",
            },
            rules: rules.collect(),
            dry_run: policy.dry_run,
        }
    }
}

impl<'a> MatchForm<'a> {
    fn of(m: &'a Match) -> Self {
        let strings = |from: &'a [StringMatch]| from.iter().map(StringForm::of).collect();
        let accounts = |from: &'a [ServiceAccountMatch]| from.iter().map(AccountForm::of).collect();
        let ranges = |from: &[IpNet]| from.iter().map(ToString::to_string).collect();
        Self {
            namespaces: strings(&m.namespaces),
            not_namespaces: strings(&m.not_namespaces),
            service_accounts: accounts(&m.service_accounts),
            not_service_accounts: accounts(&m.not_service_accounts),
            principals: strings(&m.principals),
            not_principals: strings(&m.not_principals),
            source_ips: ranges(&m.source_ips),
            not_source_ips: ranges(&m.not_source_ips),
            destination_ips: ranges(&m.destination_ips),
            not_destination_ips: ranges(&m.not_destination_ips),
            destination_ports: &m.destination_ports,
            not_destination_ports: &m.not_destination_ports,
        }
    }
}

impl<'a> StringForm<'a> {
    fn of(m: &'a StringMatch) -> Self {
        match m {
            StringMatch::Exact(s) => Self::Exact(s),
            StringMatch::Prefix(s) => Self::Prefix(s),
            StringMatch::Suffix(s) => Self::Suffix(s),
            StringMatch::Presence => Self::Presence(),
        }
    }
}

impl<'a> AccountForm<'a> {
    fn of(m: &'a ServiceAccountMatch) -> Self {
        Self {
            namespace: &m.namespace,
            service_account: &m.service_account,
        }
    }
}
