//! Our own kinds.

use std::time::Duration;

use std::collections::BTreeSet;

use mesh_types::Strng;

use crate::error::FieldPath;
use crate::gateway::CookieLifetime;
use crate::lateen::{
    BodySendMode, CountedBy, DescriptorEntry, DescriptorSource, ExternalProcessorFilter, FaultError,
    FaultFilter, GlobalLimit, GlobalRateLimit, HealthCheckPolicy, HealthProbe, HttpHealthCheck, LocalLimit,
    RateLimitBackend, RateLimitPolicy, SessionCarrier, SessionPolicy, TextMatch,
};
use crate::validate::{Check, expressions, gateway, http, names, patterns};
use crate::value::GatewayDuration;

pub(super) fn rate_limit_policy(check: &mut Check, policy: &RateLimitPolicy) {
    let (spec, path) = (&policy.spec, FieldPath::from("spec"));
    gateway::targets(
        check,
        &path.field("targetRefs"),
        &spec.target_refs,
        &TRAFFIC_TARGETS,
    );
    if spec.local.is_none() && spec.global.is_none() {
        check.refuse(path.clone(), "needs local or global");
    }
    if let Some(local) = &spec.local {
        let path = path.field("local").field("limits");
        if local.limits.is_empty() {
            check.refuse(path.clone(), "is required");
        }
        check.at_most(&path, local.limits.len(), MAX_LIMITS);
        for (i, limit) in local.limits.iter().enumerate() {
            local_limit(check, &path.item(i), limit);
        }
    }
    if let Some(global) = &spec.global {
        global_limit(check, &path.field("global"), global);
    }
}

fn local_limit(check: &mut Check, path: &FieldPath, limit: &LocalLimit) {
    when(check, path, limit.when.as_ref());
    entries(check, &path.field("by"), &limit.by);
    if limit.requests == 0 {
        check.refuse(path.field("requests"), "0 would let nothing pass");
    }
    positive(check, path.field("interval"), Some(limit.interval));
    if limit.burst.is_some_and(|b| b == 0) {
        check.refuse(path.field("burst"), "0 would let nothing pass");
    }
}

fn global_limit(check: &mut Check, path: &FieldPath, global: &GlobalRateLimit) {
    positive(check, path.field("timeout"), global.timeout);
    match &global.counted {
        CountedBy::Mesh(limits) => quotas(check, &path.field("limits"), limits),
        CountedBy::Backend(backend) => rate_limit_backend(check, path, backend),
    }
}

fn quotas(check: &mut Check, path: &FieldPath, limits: &[GlobalLimit]) {
    if limits.is_empty() {
        check.refuse(path.clone(), "is required");
    }
    check.at_most(path, limits.len(), MAX_LIMITS);
    let mut names = BTreeSet::new();
    for (i, limit) in limits.iter().enumerate() {
        let path = path.item(i);
        when(check, &path, limit.when.as_ref());
        entries(check, &path.field("by"), &limit.by);
        if limit.requests == 0 {
            check.refuse(path.field("requests"), "0 would let nothing pass");
        }
        match &limit.name {
            None => drop(names.insert(i.to_string())),
            Some(name) if name.is_empty() => check.refuse(path.field("name"), "is empty"),
            Some(name) if !names.insert(name.to_string()) => {
                check.refuse(
                    path.field("name"),
                    "is another limit's, too: they would be counted together",
                );
            }
            Some(_) => {}
        }
    }
}

fn rate_limit_backend(check: &mut Check, path: &FieldPath, backend: &RateLimitBackend) {
    gateway::backend(check, &path.field("backendRef"), &backend.backend_ref);
    if backend.domain.is_empty() {
        check.refuse(path.field("domain"), "is empty");
    }
    let path = path.field("descriptors");
    if backend.descriptors.is_empty() {
        check.refuse(path.clone(), "is required");
    }
    check.at_most(&path, backend.descriptors.len(), MAX_LIMITS);
    for (i, descriptor) in backend.descriptors.iter().enumerate() {
        when(check, &path.item(i), descriptor.when.as_ref());
        let path = path.item(i).field("entries");
        if descriptor.entries.is_empty() {
            check.refuse(path.clone(), "is required");
        }
        entries(check, &path, &descriptor.entries);
    }
}

fn when(check: &mut Check, path: &FieldPath, when: Option<&Strng>) {
    if let Some(when) = when {
        check.grammar(path.field("when"), expressions::condition(when));
    }
}

fn entries(check: &mut Check, path: &FieldPath, entries: &[DescriptorEntry]) {
    check.at_most(path, entries.len(), MAX_ENTRIES);
    for (i, entry) in entries.iter().enumerate() {
        let path = path.item(i);
        if entry.key.is_empty() {
            check.refuse(path.field("key"), "is empty");
        }
        match &entry.source {
            DescriptorSource::Header(name) => check.grammar(path.field("header"), http::header_name(name)),
            DescriptorSource::Claim(name) if name.split('.').any(str::is_empty) => {
                check.refuse(path.field("claim"), "names no claim");
            }
            DescriptorSource::Constant(text) if text.is_empty() => {
                check.refuse(path.field("constant"), "is empty");
            }
            DescriptorSource::Expression(text) => {
                check.grammar(path.field("expression"), expressions::key(text));
            }
            DescriptorSource::Attribute(_) | DescriptorSource::Claim(_) | DescriptorSource::Constant(_) => {}
        }
        match &entry.value {
            Some(TextMatch::Regex(pattern)) => {
                check.grammar(path.field("value").field("regex"), patterns::regex(pattern));
            }
            Some(TextMatch::Exact(text) | TextMatch::Prefix(text) | TextMatch::Suffix(text))
                if text.is_empty() =>
            {
                check.refuse(path.field("value"), "is empty; leave it out for any");
            }
            _ => {}
        }
    }
}

pub(super) fn health_check_policy(check: &mut Check, policy: &HealthCheckPolicy) {
    let (spec, path) = (&policy.spec, FieldPath::from("spec"));
    gateway::targets(
        check,
        &path.field("targetRefs"),
        &spec.target_refs,
        &SERVICE_TARGETS,
    );
    match &spec.probe {
        HealthProbe::Http(probe) => http_probe(check, &path.field("http"), probe),
        HealthProbe::Grpc(_) | HealthProbe::Tcp(_) => {}
    }
    positive(check, path.field("interval"), spec.interval);
    positive(check, path.field("timeout"), spec.timeout);
    for (name, threshold) in [
        ("unhealthyThreshold", spec.unhealthy_threshold),
        ("healthyThreshold", spec.healthy_threshold),
    ] {
        if threshold == Some(0) {
            check.refuse(path.field(name), "must be at least 1");
        }
    }
}

fn http_probe(check: &mut Check, path: &FieldPath, probe: &HttpHealthCheck) {
    // A query may follow.
    let bare = probe.path.split('?').next().unwrap_or_default();
    check.grammar(path.field("path"), http::path(bare));
    if let Some(host) = &probe.host {
        check.grammar(path.field("host"), names::domain(host));
    }
    for (i, range) in probe.expected_statuses.iter().enumerate() {
        let field = path.field("expectedStatuses").item(i);
        let ends = http::status(u32::from(range.first)).and_then(|()| http::status(u32::from(range.last)));
        check.grammar(field.clone(), ends);
        if range.first > range.last {
            check.refuse(
                field,
                format!("{}-{} ends before it begins", range.first, range.last),
            );
        }
    }
}

pub(super) fn session_policy(check: &mut Check, policy: &SessionPolicy) {
    let (spec, path) = (&policy.spec, FieldPath::from("spec"));
    gateway::targets(
        check,
        &path.field("targetRefs"),
        &spec.target_refs,
        &SESSION_TARGETS,
    );
    match &spec.carrier {
        SessionCarrier::Cookie(cookie) => {
            let field = path.field("cookie");
            check.grammar(field.field("name"), http::header_name(&cookie.name));
            if cookie.lifetime == CookieLifetime::Permanent && spec.absolute_timeout.is_none() {
                let reason = "is required for a permanent cookie";
                check.refuse(path.field("absoluteTimeout"), reason);
            }
        }
        SessionCarrier::Header(header) => {
            let grammar = http::changeable_header(&header.name);
            check.grammar(path.field("header").field("name"), grammar);
        }
    }
    positive(check, path.field("absoluteTimeout"), spec.absolute_timeout);
    positive(check, path.field("idleTimeout"), spec.idle_timeout);
    if let (Some(idle), Some(absolute)) = (spec.idle_timeout, spec.absolute_timeout)
        && idle > absolute
    {
        check.warn(
            path.field("idleTimeout"),
            "has no effect: the session has ended by then",
        );
    }
}

pub(super) fn fault_filter(check: &mut Check, filter: &FaultFilter) {
    let (spec, path) = (&filter.spec, FieldPath::from("spec"));
    if spec.delay.is_none() && spec.abort.is_none() {
        check.refuse(path.clone(), "needs delay or abort");
    }
    if let Some(delay) = &spec.delay {
        let path = path.field("delay");
        positive(check, path.field("fixedDelay"), Some(delay.fixed_delay));
        check.percent(path.field("percentage"), delay.percentage);
    }
    if let Some(abort) = &spec.abort {
        let path = path.field("abort");
        if let FaultError::Http(status) = abort.error {
            check.grammar(path.field("httpStatus"), http::status(u32::from(status)));
        }
        check.percent(path.field("percentage"), abort.percentage);
    }
}

pub(super) fn external_processor_filter(check: &mut Check, filter: &ExternalProcessorFilter) {
    let (spec, path) = (&filter.spec, FieldPath::from("spec"));
    gateway::backend(check, &path.field("backendRef"), &spec.backend_ref);
    positive(check, path.field("messageTimeout"), spec.message_timeout);
    let (mode, field) = (&spec.processing_mode, path.field("processingMode"));
    let bodies = [mode.request_body_mode, mode.response_body_mode];
    let heads = [mode.request_header_mode, mode.response_header_mode];
    let trailers = [mode.request_trailer_mode, mode.response_trailer_mode];
    let something = heads.iter().any(|mode| mode.sends(true))
        || trailers.iter().any(|mode| mode.sends(false))
        || bodies.iter().any(|mode| *mode != BodySendMode::None);
    if !something {
        check.refuse(field, "sends nothing");
    }
    let field = path.field("maxBodyBytes");
    match spec.max_body_bytes {
        Some(0) => check.refuse(field, "0 would let no body pass"),
        Some(bytes) if bytes > MAX_BODY => check.refuse(field, format!("is more than {MAX_BODY}")),
        Some(_) if !bodies.contains(&BodySendMode::Buffered) && !spec.allow_mode_override => {
            check.warn(field, "has no effect: no body is BUFFERED");
        }
        _ => {}
    }
    let rules = spec.mutation_rules;
    if rules.allow_all_routing && (rules.disallow_system || rules.disallow_all) {
        let field = path.field("mutationRules").field("allowAllRouting");
        check.warn(field, "has no effect: the other rules disallow the same");
    }
}

fn positive(check: &mut Check, field: FieldPath, duration: Option<GatewayDuration>) {
    if duration.is_some_and(|d| d.0 < Duration::from_millis(1)) {
        check.refuse(field, "is less than 1ms");
    }
}

const SERVICE_TARGETS: [(&str, &str); 2] = [("", "Service"), ("networking.istio.io", "ServiceEntry")];
const SESSION_TARGETS: [(&str, &str); 4] = [
    ("", "Service"),
    ("networking.istio.io", "ServiceEntry"),
    ("gateway.networking.k8s.io", "HTTPRoute"),
    ("gateway.networking.k8s.io", "GRPCRoute"),
];
const TRAFFIC_TARGETS: [(&str, &str); 5] = [
    ("", "Service"),
    ("networking.istio.io", "ServiceEntry"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "HTTPRoute"),
    ("gateway.networking.k8s.io", "GRPCRoute"),
];
/// So that a request is decided quickly however long the list.
const MAX_LIMITS: usize = 32;
const MAX_ENTRIES: usize = 8;
/// However many requests wait for a processor, memory is left for others.
const MAX_BODY: u32 = 4 * 1024 * 1024;
