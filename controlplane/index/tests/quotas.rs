//! Quotas: what the rate-limit service is told, and that it fits what waypoints are told.

use std::collections::{BTreeMap, BTreeSet};

use controlplane_index::{Index, MeshConfig, ObjectChange, Scoped};
use controlplane_k8s_api::{Kind, ObjectKey};
use mesh_model::l7::policy::PolicyKind;
use mesh_model::l7::quota::QuotaUnit;
use mesh_model::l7::rate_limit::{DescriptorSource, GlobalLimit, RateLimit};
use mesh_model::l7::{Policy, Quota};
use mesh_types::NamespacedName;

/// Namespace `shop` with a waypoint `wp` for its Service `web`; nobody serves `lone/alone`.
const MESH: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio.io/use-waypoint: wp}}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: wp, namespace: shop}, spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.1, ports: [{port: 80, name: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop}, spec: {clusterIP: 10.96.0.2, ports: [{port: 80, name: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: alone, namespace: lone}, spec: {clusterIP: 10.96.0.4, ports: [{port: 80}]}}
---
";
const SERVICE: &str = "{apiVersion: v1, kind: Service, metadata: {name: lateen-ratelimit, namespace: istio-system}, spec: {clusterIP: 10.96.0.9, ports: [{port: 8081, name: grpc}]}}\n---\n";
const LIMITS: &str = "limits: [{by: [{header: x-user, key: user}, {attribute: Path}], requests: 1000, unit: Day}, {name: all, requests: 9, unit: Month}]";

/// An index, and what those who follow its changes know.
struct Sent {
    index: Index,
    policies: BTreeMap<String, Policy>,
    quotas: BTreeMap<String, Scoped<Quota>>,
}

impl Sent {
    fn of(yaml: &str) -> Self {
        let mut sent = Self {
            index: Index::new(MeshConfig::default()),
            policies: BTreeMap::new(),
            quotas: BTreeMap::new(),
        };
        sent.set(MESH);
        sent.set(yaml);
        sent
    }

    fn set(&mut self, yaml: &str) {
        let objects = controlplane_k8s_api::parse(yaml).into_iter();
        let objects = objects.map(|object| ObjectChange::Set(object.expect("good YAML").value));
        self.index.apply(objects.collect::<Vec<_>>());
        self.follow();
    }

    fn follow(&mut self) {
        let changes = self.index.take_changes().l7;
        for change in changes.policies {
            match change.value {
                Some(scoped) => drop(self.policies.insert(change.name.to_string(), scoped.value)),
                None => drop(self.policies.remove(change.name.as_str())),
            }
        }
        for change in changes.quotas {
            let Some(scoped) = change.value else {
                self.quotas.remove(change.name.as_str());
                continue;
            };
            // What is sent, the service takes as it is.
            let decoded = Quota::decode(&change.name, scoped.value.encode());
            assert_eq!(decoded.as_ref(), Ok(&scoped.value));
            self.quotas.insert(change.name.to_string(), scoped);
        }
    }

    fn limit(&self) -> &GlobalLimit {
        match &self.policies["RateLimitPolicy/shop/q/global-rate-limit"].kind {
            PolicyKind::RateLimit(RateLimit::Global(limit)) => limit,
            other => panic!("{other:?}"),
        }
    }

    fn conditions(&self) -> Vec<String> {
        let conditions = self.index.conditions().into_iter();
        let own = conditions.filter(|(object, _)| object.kind == Kind::RateLimitPolicy);
        own.map(|(_, condition)| condition.to_string()).collect()
    }

    /// `<holds> <reason>` of each target.
    fn status(&self) -> Vec<String> {
        let statuses = self.index.statuses();
        let own = statuses.iter().filter(|s| s.object.kind == Kind::RateLimitPolicy);
        let parents = own.flat_map(|status| &status.parents);
        let conditions = parents.flat_map(|parent| &parent.conditions);
        conditions
            .map(|condition| format!("{} {}", condition.holds, condition.reason))
            .collect()
    }
}

fn object(namespace: &str, service: &str, global: &str) -> String {
    format!(
        "{{apiVersion: lateen.dev/v1alpha1, kind: RateLimitPolicy, metadata: {{name: q, namespace: {namespace}}}, spec: {{targetRefs: [{{kind: Service, name: {service}}}], global: {{{global}}}}}}}\n---\n"
    )
}

fn policy(global: &str) -> String {
    object("shop", "web", global)
}

#[test]
fn the_service_is_told_what_counts_and_who_may_count() {
    let sent = Sent::of(&format!("{SERVICE}{}", policy(LIMITS)));
    let Scoped { value, gateways } = &sent.quotas["lateen.dev/shop/q"];
    let limits: Vec<_> = value
        .limits
        .iter()
        .map(|l| (l.name.as_str(), l.keys.join(","), l.requests, l.unit))
        .collect();
    assert_eq!(
        limits,
        [
            ("0", "user,path".to_owned(), 1000, QuotaUnit::Day),
            ("all", String::new(), 9, QuotaUnit::Month),
        ]
    );
    let names = |set: &BTreeSet<NamespacedName>| set.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&value.callers), ["shop/wp"]);
    assert_eq!(names(gateways), ["istio-system/lateen-ratelimit"]);
}

#[test]
fn a_waypoint_sends_what_the_service_was_told_of() {
    let sent = Sent::of(&format!("{SERVICE}{}", policy(LIMITS)));
    let limit = sent.limit();
    assert_eq!(
        (limit.service.service.to_string(), limit.service.port),
        (
            "istio-system/lateen-ratelimit.istio-system.svc.cluster.local".to_owned(),
            8081
        )
    );
    let quota = &sent.quotas[limit.domain.as_str()].value;
    assert_eq!(limit.descriptors.len(), quota.limits.len());
    for (descriptor, limit) in limit.descriptors.iter().zip(&quota.limits) {
        let (first, rest) = descriptor.entries.split_first().unwrap();
        assert_eq!(first.key, "limit");
        assert_eq!(first.source, DescriptorSource::Constant(limit.name.clone()));
        assert_eq!(rest.iter().map(|e| e.key.clone()).collect::<Vec<_>>(), limit.keys);
    }
    assert_eq!(sent.conditions(), [] as [&str; 0]);
    assert_eq!(sent.status(), ["true Accepted"]);
}

#[test]
fn without_a_service_the_failure_mode_decides_and_the_status_says_so() {
    for (mode, closed, told) in [
        ("", false, "all requests pass"),
        ("failureMode: Closed, ", true, "answered with 500"),
    ] {
        let mut sent = Sent::of(&policy(&format!("{mode}{LIMITS}")));
        assert_eq!(sent.limit().fail_closed, closed);
        let conditions = sent.conditions();
        assert!(
            conditions[0].starts_with("spec.global.limits: the mesh has no rate-limit service")
                && conditions[0].ends_with(told),
            "{conditions:?}"
        );
        assert_eq!(sent.status(), ["true PartiallyInvalid"]);
        sent.set(SERVICE);
        assert_eq!(sent.conditions(), [] as [&str; 0]);
    }
}

#[test]
fn what_nobody_carries_out_or_others_count_is_not_told() {
    let alone = object("lone", "alone", LIMITS);
    let foreign =
        policy("backendRef: {name: api, port: 80}, domain: d, descriptors: [{entries: [{header: x}]}]");
    assert!(Sent::of(&format!("{SERVICE}{alone}{foreign}")).quotas.is_empty());
}

#[test]
fn a_policy_that_goes_takes_its_quota_along() {
    let mut sent = Sent::of(&format!("{SERVICE}{}", policy(LIMITS)));
    assert_eq!(sent.quotas.len(), 1);
    sent.index.apply(vec![ObjectChange::Remove(ObjectKey {
        kind: Kind::RateLimitPolicy,
        namespace: "shop".into(),
        name: "q".into(),
    })]);
    sent.follow();
    assert!(sent.quotas.is_empty() && sent.policies.is_empty());
}

/// What a user may write; errors name the field.
#[test]
fn what_is_written_is_checked() {
    let check = |global: &str| {
        let object = controlplane_k8s_api::parse(&policy(global)).into_iter().next();
        object.expect("an object").map(drop).map_err(|e| e.to_string())
    };
    for good in [
        LIMITS,
        "limits: [{requests: 1, unit: Second}], failureMode: Closed, timeout: 50ms",
        "backendRef: {name: l, port: 8081}, domain: shop, descriptors: [{entries: [{constant: all}]}]",
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for (wrong, reason) in [
        ("limits: []", "spec.global.limits: is required"),
        ("", "spec.global: needs limits, or all of backendRef,"),
        (
            "backendRef: {name: l, port: 1}, descriptors: []",
            "spec.global: needs limits, or all of backendRef,",
        ),
        (
            "limits: [{requests: 1, unit: Day}], domain: a",
            "spec.global: needs either limits, or backendRef,",
        ),
        (
            "limits: [{requests: 0, unit: Day}]",
            "spec.global.limits[0].requests: 0 would let nothing pass",
        ),
        (
            "limits: [{requests: 1, unit: Fortnight}]",
            "spec.global.limits[0].unit: ",
        ),
        (
            "limits: [{requests: 1}]",
            "spec.global.limits[0].unit: is required",
        ),
        (
            "limits: [{requests: 1, unit: Day}, {name: '0', requests: 1, unit: Hour}]",
            "spec.global.limits[1].name: is another limit's, too",
        ),
        (
            "limits: [{requests: 1, unit: Day, by: [{}]}]",
            "spec.global.limits[0].by[0]: needs exactly one of",
        ),
        (
            "limits: [{requests: 1, unit: Day, burst: 3}]",
            "spec.global.limits[0].burst: there is no such field",
        ),
    ] {
        let error = check(wrong).expect_err(wrong);
        assert!(error.contains(reason), "{error}");
    }
}
