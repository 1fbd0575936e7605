//! Each kind of policies: what it is attached to, and what it says.

use controlplane_collections::Index;
use controlplane_k8s_api::gateway::{BackendTlsPolicy, Gateway};
use controlplane_k8s_api::lateen::{HealthCheckPolicy, RateLimitBackend, RateLimitPolicy, SessionPolicy};
use controlplane_k8s_api::mesh::MeshConfig as MeshConfigObject;
use controlplane_k8s_api::networking::ProxyConfig;
use controlplane_k8s_api::security::{AuthorizationPolicy, RequestAuthentication};
use controlplane_k8s_api::telemetry::{Telemetry, TelemetrySpec};
use controlplane_k8s_api::{Metadata, Resource};
use mesh_model::l7::policy::PolicyKind;
use mesh_model::l7::tls::BackendTls;
use mesh_model::l7::{ServicePort, Target};
use mesh_types::{NamespacedHostname, NamespacedName, Strng};

use super::authorization::{Around, authorization};
use super::backend_tls::{Fault, Unusable, backend_tls};
use super::external::external_auth;
use super::lowering::{Content, CredentialsOf, LoweredPolicy, Lowering};
use super::providers::Providers;
use super::targets::{Attachment, Reaches, Reference, TargetKey, TargetReference};
use super::{authentication, gateways, health_check, mesh, quota, rate_limit, session, telemetry};
use crate::age::Age;
use crate::derived::{Condition, ConditionReason, Derived};
use crate::status::{ConditionType, StatusCondition, StatusReason};

/// The policies of a kind by what they are attached to.
pub(super) type ByTarget<V> = Index<TargetKey, NamespacedName, V>;
/// Telemetries that are for a whole namespace.
pub(super) type Telemetries = Index<Strng, NamespacedName, Telemetry>;

pub(super) fn authorization_policy(
    lowering: &Lowering<'_, '_>,
    policy: &AuthorizationPolicy,
) -> Vec<LoweredPolicy> {
    let spec = &policy.spec;
    let named = spec.target_ref.is_some() || !spec.target_refs.is_empty();
    let attachment = match named {
        true => Attachment::by_istio(lowering, spec.target_ref.as_ref(), &spec.target_refs),
        false => Attachment::by_selector(lowering, spec.selector.as_ref()),
    };
    if !named && attachment.targets.is_empty() {
        // Node proxies carry it out, and say so.
        return Vec::new();
    }
    let around = Around {
        namespace: &lowering.name.namespace,
        trust_domains: &lowering.settings().trust_domains,
    };
    let provider = |name: &str| match lowering.provider(name) {
        Some(provider) => external_auth(provider, lowering),
        None => Err(format!(
            "provider {name:?} is none of the mesh's extensionProviders"
        )),
    };
    let mut conditions = Vec::new();
    let annotations = &policy.metadata.annotations;
    let lowered = authorization(&around, annotations, spec, provider, &mut conditions);
    let content = Content::new(vec![PolicyKind::Authorization(lowered)], conditions);
    lowering.policies(&policy.metadata, attachment, content)
}

pub(super) fn request_authentication(
    lowering: &Lowering<'_, '_>,
    policy: &RequestAuthentication,
) -> Vec<LoweredPolicy> {
    let spec = &policy.spec;
    let attachment = match spec.target_ref.is_some() || !spec.target_refs.is_empty() {
        true => Attachment::by_istio(lowering, spec.target_ref.as_ref(), &spec.target_refs),
        false => or_needs_targets(Attachment::by_selector(lowering, spec.selector.as_ref())),
    };
    let mut conditions = Vec::new();
    let rules = authentication::authentication(spec, &mut conditions);
    let content = Content::new(vec![PolicyKind::Authentication(rules)], conditions);
    lowering.policies(&policy.metadata, attachment, content)
}

/// A policy without targets that no gateway's proxies are selected by.
fn or_needs_targets(mut attachment: Attachment) -> Attachment {
    if attachment.targets.is_empty() {
        let message = "names no targets: waypoints carry out only what names them or what they serve";
        attachment.references = vec![Reference::of_whole(Some((
            StatusReason::TargetNotFound,
            message.to_owned(),
        )))];
        attachment.conditions.push(Condition::at(
            ConditionReason::ReferenceUnresolved,
            "spec.targetRefs",
            message,
        ));
    }
    attachment
}

pub(super) fn telemetry(
    lowering: &Lowering<'_, '_>,
    telemetries: Telemetries,
    object: &Telemetry,
) -> Vec<LoweredPolicy> {
    let spec = &object.spec;
    let (namespace, root) = (&lowering.name.namespace, &lowering.config.root_namespace);
    let oldest = |namespace: &Strng| {
        let all = lowering.fetch.by(telemetries, namespace);
        all.min_by_key(|(_, telemetry)| Age::of(&telemetry.metadata))
    };
    let mut above: Vec<&TelemetrySpec> = Vec::new();
    let whole = is_of_namespace(spec);
    if !(whole && namespace == root) {
        above.extend(oldest(root).map(|(_, telemetry)| &telemetry.spec));
    }
    if !whole && namespace != root {
        above.extend(oldest(namespace).map(|(_, telemetry)| &telemetry.spec));
    }
    let attachment = match () {
        () if whole => Attachment::by_namespace(lowering),
        () if spec.target_ref.is_some() || !spec.target_refs.is_empty() => {
            Attachment::by_istio(lowering, spec.target_ref.as_ref(), &spec.target_refs)
        }
        () => or_needs_targets(Attachment::by_selector(lowering, spec.selector.as_ref())),
    };
    let rival = oldest(namespace).filter(|(oldest, _)| whole && *oldest != lowering.name);
    if let Some((oldest, _)) = rival {
        let message = format!("Telemetry {oldest} is older, and counts for the namespace");
        let condition = Condition::new(ConditionReason::Conflicted, message.clone());
        let mut content = Content::new(Vec::new(), vec![condition]);
        content.refused = Some((StatusReason::Conflicted, message));
        return lowering.policies(&object.metadata, attachment, content);
    }
    let mut conditions = Vec::new();
    let told = &mut conditions;
    let settings = lowering.settings();
    let defaults = telemetry::Defaults {
        logs: &settings.logs,
        tracer: &settings.tracer,
    };
    let logging = telemetry::access_logging(spec, &above, &defaults, lowering, told);
    let metrics = telemetry::metrics(spec, lowering, told);
    let tracing = telemetry::tracing(spec, &above, defaults.tracer, lowering, told);
    let kinds = [
        logging.map(PolicyKind::AccessLogging),
        metrics.map(PolicyKind::Metrics),
        tracing.map(PolicyKind::Tracing),
    ];
    let content = Content::new(kinds.into_iter().flatten().collect(), conditions);
    lowering.policies(&object.metadata, attachment, content)
}

/// Whether a Telemetry is for a whole namespace, or the mesh.
pub(super) fn is_of_namespace(spec: &TelemetrySpec) -> bool {
    let selects = spec.selector.as_ref().is_some_and(|s| !s.match_labels.is_empty());
    !selects && spec.target_ref.is_none() && spec.target_refs.is_empty()
}

pub(super) fn backend_tls_policy(
    lowering: &Lowering<'_, '_>,
    by_target: ByTarget<BackendTlsPolicy>,
    policy: &BackendTlsPolicy,
) -> Vec<LoweredPolicy> {
    let rival = |target: &TargetReference<'_>| older(lowering, by_target, &policy.metadata, target);
    let targets = &policy.spec.target_refs;
    let attachment = Attachment::by_policy(lowering, targets, Reaches::Endpoints, rival);
    // Authorities alone: of the policy's own namespace.
    let credentials = CredentialsOf {
        lowering,
        namespace: &lowering.name.namespace,
    };
    let (tls, problems) = backend_tls(&policy.spec, &credentials);
    let usable = !matches!(tls, BackendTls::Invalid(_));
    let conditions = problems.iter().map(|problem| {
        let reason = match problem.fault {
            Fault::Invalid => ConditionReason::Invalid,
            Fault::Kind | Fault::Bundle => ConditionReason::ReferenceUnresolved,
        };
        let consequence = if usable { "" } else { "; no connection is made" };
        Condition::at(
            reason,
            problem.field.clone(),
            format!("{}{consequence}", problem.message),
        )
    });
    let mut content = Content::new(vec![PolicyKind::BackendTls(tls)], conditions.collect());
    content.beside = vec![resolved_refs(&problems)];
    if !usable {
        let all: Vec<String> = problems
            .iter()
            .map(|p| format!("{} {}", p.field, p.message))
            .collect();
        let reason = match problems.iter().any(|p| p.fault == Fault::Invalid) {
            true => StatusReason::Invalid,
            false => StatusReason::NoValidCaCertificate,
        };
        content.refused = Some((reason, format!("no connection is made: {}", all.join("; "))));
    }
    lowering.policies(&policy.metadata, attachment, content)
}

fn resolved_refs(problems: &[Unusable]) -> StatusCondition {
    let unresolved = problems.iter().find_map(|problem| match problem.fault {
        Fault::Kind => Some((StatusReason::InvalidKind, problem)),
        Fault::Bundle => Some((StatusReason::InvalidCaCertificateRef, problem)),
        Fault::Invalid => None,
    });
    let kind = ConditionType::ResolvedRefs;
    match unresolved {
        None => StatusCondition::new(
            kind,
            true,
            StatusReason::ResolvedRefs,
            "everything that it refers to is there",
        ),
        Some((reason, problem)) => StatusCondition::new(
            kind,
            false,
            reason,
            format!("{} {}", problem.field, problem.message),
        ),
    }
}

pub(super) fn rate_limit_policy(lowering: &Lowering<'_, '_>, policy: &RateLimitPolicy) -> Vec<LoweredPolicy> {
    let targets = &policy.spec.target_refs;
    let attachment = Attachment::by_policy(lowering, targets, Reaches::Clients, |_| None);
    let mut conditions = Vec::new();
    let limits = rate_limit::rate_limits(&policy.spec, lowering.name, lowering, &mut conditions);
    let kinds = limits.into_iter().map(PolicyKind::RateLimit).collect();
    lowering.policies(&policy.metadata, attachment, Content::new(kinds, conditions))
}

impl rate_limit::Counters for Lowering<'_, '_> {
    fn named(&self, backend: &RateLimitBackend) -> Result<ServicePort, String> {
        rate_limit_backend(self, backend)
    }

    fn of_mesh(&self) -> (ServicePort, bool) {
        let service = quota::service(self.config);
        let host = self.lookups.hosts.get(self.fetch, &service.service);
        let there = host.is_some_and(|host| host.port(service.port).is_some());
        (service, there)
    }
}

/// The rate-limit service that a policy names.
fn rate_limit_backend(
    lowering: &Lowering<'_, '_>,
    backend: &RateLimitBackend,
) -> Result<ServicePort, String> {
    let reference = &backend.backend_ref;
    let (kind, name) = (&reference.kind, &reference.name);
    let own = &lowering.name.namespace;
    let namespace = reference.namespace.as_ref().unwrap_or(own);
    let referrer = (lowering.kind.group().name(), lowering.kind.as_str(), own.as_str());
    let to = (reference.group.as_str(), kind.as_str(), name.as_str());
    if !lowering
        .lookups
        .grants
        .permit(lowering.fetch, referrer, namespace, to)
    {
        return Err(format!(
            "is {kind} {namespace}/{name} of another namespace, which has no ReferenceGrant for it"
        ));
    }
    let hosts = &lowering.lookups.hosts;
    let named = NamespacedName::new(namespace.clone(), name.clone());
    let service: Option<NamespacedHostname> = match (reference.group.as_str(), kind.as_str()) {
        ("", "Service") => Some(crate::service::hostname(lowering.config, &named)),
        ("networking.istio.io", "ServiceEntry") => {
            let facts = lowering.fetch.get(lowering.lookups.entries.entries, &named);
            let facts = facts.and_then(|derived| derived.value.as_ref());
            facts.and_then(|facts| Some(facts.hosts.first()?.name.clone()))
        }
        ("networking.istio.io", "Hostname") => {
            let host = crate::service_entry::normal(name);
            let found = hosts.find(lowering.fetch, lowering.config, &host, namespace);
            found.map(|(service, _)| service)
        }
        _ => return Err(format!("is {kind}, which nobody can be asked at")),
    };
    let found = service.and_then(|service| {
        let host = hosts.get(lowering.fetch, &service)?;
        Some((service, host))
    });
    let (service, host) =
        found.ok_or_else(|| format!("is {kind} {namespace}/{name}, which there is none of"))?;
    let port = reference
        .port
        .filter(|port| *port != 0)
        .or_else(|| host.only_port());
    match port {
        Some(port) => Ok(ServicePort { service, port }),
        None => Err(format!(
            "is {kind} {namespace}/{name} without saying which of its ports"
        )),
    }
}

pub(super) fn health_check_policy(
    lowering: &Lowering<'_, '_>,
    by_target: ByTarget<HealthCheckPolicy>,
    policy: &HealthCheckPolicy,
) -> Vec<LoweredPolicy> {
    let rival = |target: &TargetReference<'_>| older(lowering, by_target, &policy.metadata, target);
    let targets = &policy.spec.target_refs;
    let attachment = Attachment::by_policy(lowering, targets, Reaches::Endpoints, rival);
    let mut conditions = Vec::new();
    let check = health_check::health_check(&policy.spec, &mut conditions);
    let kinds = check.map(PolicyKind::HealthCheck).into_iter().collect();
    lowering.policies(&policy.metadata, attachment, Content::new(kinds, conditions))
}

pub(super) fn session_policy(
    lowering: &Lowering<'_, '_>,
    by_target: ByTarget<SessionPolicy>,
    policy: &SessionPolicy,
) -> Vec<LoweredPolicy> {
    let rival = |target: &TargetReference<'_>| older(lowering, by_target, &policy.metadata, target);
    let targets = &policy.spec.target_refs;
    let attachment = Attachment::by_policy(lowering, targets, Reaches::Endpoints, rival);
    let mut conditions = Vec::new();
    let session = session::session(&policy.spec, &mut conditions);
    let kinds = session.map(PolicyKind::Session).into_iter().collect();
    lowering.policies(&policy.metadata, attachment, Content::new(kinds, conditions))
}

/// A policy that is older and attached to the same, of which only one can count.
fn older<S>(
    lowering: &Lowering<'_, '_>,
    by_target: ByTarget<Resource<S>>,
    own: &Metadata,
    target: &TargetReference<'_>,
) -> Option<String>
where
    Resource<S>: PartialEq + Send + Sync + 'static,
{
    let key = target.key(&lowering.name.namespace);
    let mut others = lowering.fetch.by(by_target, &key);
    let other = others.find(|(_, other)| Age::of(&other.metadata) < Age::of(own));
    other.map(|(name, _)| format!("{} {name}", lowering.kind))
}

/// It counts from the root namespace alone, and only that of our revision.
pub(super) fn mesh_config(
    lowering: &Lowering<'_, '_>,
    counts: Option<&NamespacedName>,
    object: &MeshConfigObject,
) -> Vec<LoweredPolicy> {
    if counts != Some(lowering.name) {
        let message = match counts {
            Some(other) if other.namespace == lowering.name.namespace => {
                format!("{} {other} counts instead", lowering.kind)
            }
            None if lowering.name.namespace == lowering.config.root_namespace => {
                format!(
                    "it counts only for another revision than {}",
                    lowering.config.revision
                )
            }
            _ => format!("it counts only in namespace {}", lowering.config.root_namespace),
        };
        let condition = Condition::new(ConditionReason::Conflicted, message.clone());
        let attachment = Attachment {
            references: vec![Reference::of_whole(Some((StatusReason::Conflicted, message)))],
            ..Attachment::default()
        };
        return lowering.policies(
            &object.metadata,
            attachment,
            Content::new(Vec::new(), vec![condition]),
        );
    }
    let mut conditions = Vec::new();
    let kinds = mesh::policies(
        lowering.config,
        &object.spec,
        lowering.settings(),
        lowering,
        &mut conditions,
    );
    let gateways = lowering.lookups.gateways.all(lowering.fetch);
    let attachment = Attachment {
        targets: vec![Target::Mesh],
        gateways: gateways.into_iter().map(|(name, _)| name.clone()).collect(),
        references: vec![Reference::of_whole(None)],
        ..Attachment::default()
    };
    lowering.policies(&object.metadata, attachment, Content::new(kinds, conditions))
}

/// What a Gateway's own annotations say.
pub(super) fn gateway(
    lowering: &Lowering<'_, '_>,
    class: Option<&controlplane_k8s_api::gateway::GatewayClass>,
    gateway: &Gateway,
) -> Vec<LoweredPolicy> {
    let served = lowering.lookups.gateways.get(lowering.fetch, lowering.name);
    let mut conditions = Vec::new();
    let kinds: Vec<PolicyKind> = gateways::forward_client_identity(gateway, class)
        .into_iter()
        .chain(gateways::trusted_proxies(gateway, &mut conditions))
        .collect();
    if served.is_none() || (kinds.is_empty() && conditions.is_empty()) {
        return Vec::new();
    }
    let attachment = Attachment {
        targets: vec![Target::Gateway(lowering.name.clone())],
        gateways: [lowering.name.clone()].into(),
        // Its status is another's.
        ..Attachment::default()
    };
    lowering.policies(&gateway.metadata, attachment, Content::new(kinds, conditions))
}

/// Nothing of it reaches proxies.
pub(super) fn proxy_config(lowering: &Lowering<'_, '_>, config: &ProxyConfig) -> Derived<()> {
    let fields = [
        ("concurrency", config.spec.concurrency.is_some()),
        (
            "environmentVariables",
            !config.spec.environment_variables.is_empty(),
        ),
        ("image", config.spec.image.is_some()),
    ];
    let conditions = fields.into_iter().filter(|(_, given)| *given).map(|(field, _)| {
        let message = "has no effect: a proxy's threads, variables and image are its Deployment's";
        Condition::at(ConditionReason::Unsupported, format!("spec.{field}"), message)
    });
    Derived {
        value: None,
        provenance: lowering.provenance(),
        conditions: conditions.collect(),
        status: Vec::new(),
    }
}
