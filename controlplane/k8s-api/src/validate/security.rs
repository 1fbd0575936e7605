//! The two policy kinds: the rules of Istio's CRDs and of its admission webhook.

mod request_authentication;

use mesh_types::Strng;

use super::{Check, http, names, patterns};
use crate::error::FieldPath;
use crate::security::{
    Action, AuthorizationPolicy, Condition, ConditionKey, Operation, PLAIN_CONDITION_KEYS,
    PeerAuthentication, Rule, Source, TargetRef, WorkloadSelector,
};

pub(super) use request_authentication::request_authentication;

pub(super) fn authorization_policy(check: &mut Check, policy: &AuthorizationPolicy) {
    let spec = &policy.spec;
    let path = FieldPath::from("spec");
    attachment(
        check,
        &policy.metadata.namespace,
        spec.selector.as_ref(),
        spec.target_ref.as_ref(),
        &spec.target_refs,
    );
    match (spec.action, &spec.provider) {
        (Action::Custom, None) => {
            check.refuse(path.field("provider"), "is required when the action is CUSTOM")
        }
        (Action::Allow | Action::Deny | Action::Audit, Some(_)) => {
            check.refuse(path.field("provider"), "is only for the action CUSTOM");
        }
        _ => {}
    }
    rules(check, &path.field("rules"), spec.action, &spec.rules);
}

/// What a policy is for: the workloads with some labels, or targets of its own namespace.
pub(super) fn attachment(
    check: &mut Check,
    own_namespace: &Strng,
    selector: Option<&WorkloadSelector>,
    target: Option<&TargetRef>,
    targets: &[TargetRef],
) {
    let path = FieldPath::from("spec");
    let attachments = [selector.is_some(), target.is_some(), !targets.is_empty()];
    if attachments.iter().filter(|a| **a).count() > 1 {
        let reason = "may have only one of selector, targetRef and targetRefs";
        check.refuse(path.clone(), reason);
    }
    if let Some(selector) = selector {
        self::selector(check, &path.field("selector"), selector);
    }
    if let Some(target) = target {
        target_ref(check, &path.field("targetRef"), target, own_namespace);
    }
    check.at_most(&path.field("targetRefs"), targets.len(), MAX_TARGET_REFS);
    for (i, target) in targets.iter().enumerate() {
        target_ref(check, &path.field("targetRefs").item(i), target, own_namespace);
    }
}

pub(super) fn peer_authentication(check: &mut Check, policy: &PeerAuthentication) {
    let spec = &policy.spec;
    let path = FieldPath::from("spec");
    if let Some(selector) = &spec.selector {
        self::selector(check, &path.field("selector"), selector);
    }
    let selects = spec.selector.as_ref().is_some_and(|s| !s.match_labels.is_empty());
    if !spec.port_level_mtls.is_empty() && !selects {
        check.refuse(path.field("portLevelMtls"), "needs a selector with labels");
    }
    for port in spec.port_level_mtls.keys() {
        let number = port.0.to_string();
        check.grammar(
            path.field("portLevelMtls").field(&number),
            names::port(&number).map(drop),
        );
    }
}

fn selector(check: &mut Check, path: &FieldPath, selector: &WorkloadSelector) {
    for (key, value) in &selector.match_labels {
        let field = path.field("matchLabels").field(key);
        if key.is_empty() {
            check.refuse(field, "has an empty label key");
        } else if key.contains('*') || value.contains('*') {
            // Kubernetes' own grammar forbids it too; this says what the author expected.
            check.refuse(
                field,
                "has a `*`: selectors compare whole values, wildcards are not supported",
            );
        } else {
            check.grammar(field.clone(), names::label_key(key));
            check.grammar(field, names::label_value(value));
        }
    }
}

fn target_ref(check: &mut Check, path: &FieldPath, target: &TargetRef, own_namespace: &Strng) {
    if target
        .namespace
        .as_ref()
        .is_some_and(|n| !n.is_empty() && n != own_namespace)
    {
        check.refuse(path.field("namespace"), "must be the policy's own namespace");
    }
    if target.name.is_empty() {
        check.refuse(path.field("name"), "is empty");
    }
    if !TARGETS.contains(&(target.group.as_str(), target.kind.as_str())) {
        let known: Vec<String> = TARGETS
            .iter()
            .map(|(group, kind)| format!("{group:?}/{kind}"))
            .collect();
        let reason = format!(
            "{:?}/{} cannot be a policy's target, only {}",
            target.group,
            target.kind,
            known.join(", ")
        );
        check.refuse(path.field("kind"), reason);
    }
}

fn rules(check: &mut Check, path: &FieldPath, action: Action, rules: &[Rule]) {
    if action == Action::Deny && rules.is_empty() {
        check.refuse(
            path.clone(),
            "is empty: a DENY policy without rules never denies anything",
        );
    }
    if rules.len() > MAX_RULES {
        check.refuse(path.clone(), format!("has more than {MAX_RULES} items"));
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = path.item(i);
        for (j, from) in rule.from.iter().enumerate() {
            source(check, &path.field("from").item(j).field("source"), &from.source);
        }
        for (j, to) in rule.to.iter().enumerate() {
            operation(check, &path.field("to").item(j).field("operation"), &to.operation);
        }
        for (j, when) in rule.when.iter().enumerate() {
            condition(check, &path.field("when").item(j), when);
        }
    }
}

fn source(check: &mut Check, path: &FieldPath, source: &Source) {
    if *source == Source::default() {
        check.refuse(path.clone(), "is empty: it would match every source");
    }
    let fields = [
        ("principals", &source.principals),
        ("notPrincipals", &source.not_principals),
        ("requestPrincipals", &source.request_principals),
        ("notRequestPrincipals", &source.not_request_principals),
        ("namespaces", &source.namespaces),
        ("notNamespaces", &source.not_namespaces),
        ("serviceAccounts", &source.service_accounts),
        ("notServiceAccounts", &source.not_service_accounts),
        ("trustDomains", &source.trust_domains),
        ("notTrustDomains", &source.not_trust_domains),
    ];
    for (name, values) in fields {
        no_empty_values(check, &path.field(name), values);
    }
    for (name, values, others) in [
        (
            "serviceAccounts",
            &source.service_accounts,
            [&source.principals, &source.namespaces],
        ),
        (
            "notServiceAccounts",
            &source.not_service_accounts,
            [&source.not_principals, &source.not_namespaces],
        ),
    ] {
        service_accounts(check, &path.field(name), values);
        if !values.is_empty() && others.iter().any(|o| !o.is_empty()) {
            check.refuse(
                path.field(name),
                "cannot stand beside principals or namespaces of the same sort",
            );
        }
    }
    for (name, blocks) in [
        ("ipBlocks", &source.ip_blocks),
        ("notIpBlocks", &source.not_ip_blocks),
        ("remoteIpBlocks", &source.remote_ip_blocks),
        ("notRemoteIpBlocks", &source.not_remote_ip_blocks),
    ] {
        each(check, &path.field(name), blocks, |b| names::ip_block(b).map(drop));
    }
}

fn service_accounts(check: &mut Check, path: &FieldPath, values: &[Strng]) {
    if values.len() > MAX_SERVICE_ACCOUNTS {
        check.refuse(
            path.clone(),
            format!("has more than {MAX_SERVICE_ACCOUNTS} items"),
        );
    }
    each(check, path, values, service_account);
}

fn service_account(value: &str) -> Result<(), String> {
    let (namespace, name) = value.split_once('/').map_or((None, value), |(n, s)| (Some(n), s));
    if namespace.is_none_or(|n| names::label(n).is_ok()) && names::subdomain(name).is_ok() {
        return Ok(());
    }
    Err(format!(
        "{value:?} is neither <name> nor <namespace>/<name>; wildcards are not supported"
    ))
}

fn operation(check: &mut Check, path: &FieldPath, operation: &Operation) {
    if *operation == Operation::default() {
        check.refuse(path.clone(), "is empty: it would match every operation");
    }
    for (name, values) in [("hosts", &operation.hosts), ("notHosts", &operation.not_hosts)] {
        no_empty_values(check, &path.field(name), values);
    }
    for (name, methods) in [
        ("methods", &operation.methods),
        ("notMethods", &operation.not_methods),
    ] {
        each(check, &path.field(name), methods, http::method);
    }
    for (name, paths) in [("paths", &operation.paths), ("notPaths", &operation.not_paths)] {
        each(check, &path.field(name), paths, patterns::authorization_path);
    }
    for (name, ports) in [("ports", &operation.ports), ("notPorts", &operation.not_ports)] {
        each(check, &path.field(name), ports, |p| names::port(p).map(drop));
    }
}

fn condition(check: &mut Check, path: &FieldPath, condition: &Condition) {
    if condition.values.is_empty() && condition.not_values.is_empty() {
        check.refuse(path.clone(), "needs values or notValues");
    }
    let Some(key) = ConditionKey::parse(&condition.key) else {
        let known = PLAIN_CONDITION_KEYS.map(|(name, _)| name);
        let reason = match crate::decode::nearest(&condition.key, &known) {
            Some(nearest) => format!("{:?} is no attribute; did you mean {nearest:?}?", condition.key),
            None => format!("{:?} is no attribute", condition.key),
        };
        return check.refuse(path.field("key"), reason);
    };
    if let ConditionKey::RequestHeader(name) = &key {
        check.grammar(path.field("key"), http::header_name(name));
    }
    if let ConditionKey::EnvoyFilter(_) = key {
        let reason = "is about a filter of Envoy's, which is not here: an ALLOW rule with it never matches, a DENY \
                      rule goes without it";
        check.warn(path.field("key"), reason);
    }
    for (name, values) in [
        ("values", &condition.values),
        ("notValues", &condition.not_values),
    ] {
        let path = path.field(name);
        match key {
            ConditionKey::SourceIp | ConditionKey::DestinationIp | ConditionKey::RemoteIp => {
                each(check, &path, values, |v| names::ip_block(v).map(drop));
            }
            ConditionKey::DestinationPort => each(check, &path, values, |v| names::port(v).map(drop)),
            ConditionKey::SourceServiceAccount => each(check, &path, values, service_account),
            _ => no_empty_values(check, &path, values),
        }
    }
}

fn no_empty_values(check: &mut Check, path: &FieldPath, values: &[Strng]) {
    each(check, path, values, |value| {
        if value.is_empty() {
            Err("is empty: it would match nothing".to_owned())
        } else {
            Ok(())
        }
    });
}

fn each(check: &mut Check, path: &FieldPath, values: &[Strng], grammar: impl Fn(&str) -> Result<(), String>) {
    for (i, value) in values.iter().enumerate() {
        check.grammar(path.item(i), grammar(value));
    }
}

/// The CRD's limits (`security.istio.io/v1`).
const MAX_TARGET_REFS: usize = 16;
const MAX_RULES: usize = 512;
const MAX_SERVICE_ACCOUNTS: usize = 16;
/// What `targetRefs` may name.
const TARGETS: [(&str, &str); 4] = [
    ("", "Service"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("networking.istio.io", "ServiceEntry"),
];
