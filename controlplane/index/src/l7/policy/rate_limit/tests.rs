use std::time::Duration;

use controlplane_k8s_api::lateen::{DescriptorSource as SourceSpec, TextMatch as MatchSpec};
use controlplane_k8s_api::{Kind, Object};
use mesh_model::l7::TextMatch;
use mesh_model::l7::policy::PolicyKind;
use mesh_model::l7::rate_limit::{Descriptor, DescriptorEntry, DescriptorSource, LocalLimit, RateLimit};

use crate::l7::policy::fixture::{Sent, object};

fn policy(spec: &str) -> String {
    let spec = format!("{{targetRefs: [{{kind: Service, name: web}}], {spec}}}");
    object("lateen.dev/v1alpha1", "RateLimitPolicy", "shop/l", &spec)
}

fn limit<'s>(sent: &'s Sent, label: &str) -> &'s RateLimit {
    match sent.kind(&format!("RateLimitPolicy/shop/l/{label}")) {
        PolicyKind::RateLimit(limit) => limit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_sort_of_descriptor() {
    let by = "{attribute: Path, value: {prefix: /a}}, {attribute: Method, value: {exact: GET}}, {attribute: Authority, value: {suffix: .b}}, {attribute: SourcePrincipal}, {attribute: SourceNamespace}, {attribute: RemoteAddress}";
    let more = "{header: X-User, key: user, value: {regex: 'a+'}}, {claim: a.b}, {constant: c}";
    let sent = Sent::of(&policy(&format!(
        "local: {{limits: [{{by: [{by}], requests: 5, interval: 1m, burst: 9}}, {{by: [{more}], requests: 2, interval: 1s}}]}}"
    )));
    let RateLimit::Local(limits) = limit(&sent, "rate-limit") else {
        panic!()
    };
    let entries = limits.iter().flat_map(|limit| &limit.descriptor);
    let sources: Vec<_> = entries.map(|entry| (entry.key.as_str(), &entry.source)).collect();
    assert_eq!(
        sources,
        [
            ("path", &DescriptorSource::Path),
            ("method", &DescriptorSource::Method),
            ("authority", &DescriptorSource::Authority),
            ("source_principal", &DescriptorSource::SourcePrincipal),
            ("source_namespace", &DescriptorSource::SourceNamespace),
            ("remote_address", &DescriptorSource::RemoteAddress),
            ("user", &DescriptorSource::Header("x-user".into())),
            ("a.b", &DescriptorSource::Claim(vec!["a".into(), "b".into()])),
            ("generic_key", &DescriptorSource::Constant("c".into())),
        ]
    );
    assert_eq!(
        limits[0].descriptor[0].value,
        Some(TextMatch::Prefix("/a".into()))
    );
    assert_eq!((limits[0].requests, limits[0].burst), (5, 9));
    assert_eq!(
        limits[1],
        LocalLimit {
            descriptor: limits[1].descriptor.clone(),
            requests: 2,
            interval: Duration::from_secs(1),
            burst: 2,
            when: None,
        }
    );
}

#[test]
fn one_object_may_count_here_and_elsewhere() {
    let global = |backend: &str| {
        policy(&format!(
            "local: {{limits: [{{requests: 1, interval: 1s}}]}}, global: {{backendRef: {backend}, domain: shop, descriptors: [{{entries: [{{header: x}}]}}], failureMode: Closed}}"
        ))
    };
    let mut sent = Sent::of(&global("{name: api, port: 80}"));
    assert_eq!(
        sent.keys(),
        [
            "RateLimitPolicy/shop/l/global-rate-limit",
            "RateLimitPolicy/shop/l/rate-limit"
        ]
    );
    let RateLimit::Global(limit) = limit(&sent, "global-rate-limit") else {
        panic!()
    };
    assert_eq!(
        limit.service.service.to_string(),
        "shop/api.shop.svc.cluster.local"
    );
    assert_eq!(
        (limit.timeout, limit.fail_closed),
        (Duration::from_millis(100), true)
    );
    assert_eq!(
        limit.descriptors,
        [Descriptor {
            entries: vec![DescriptorEntry {
                key: "x".into(),
                source: DescriptorSource::Header("x".into()),
                value: None,
            }],
            when: None,
        }]
    );
    for backend in [
        "{name: none, port: 80}",
        "{name: ledger, namespace: bank, port: 80}",
        "{kind: Thing, group: example.com, name: x}",
    ] {
        sent.set(&global(backend));
        assert_eq!(sent.keys(), ["RateLimitPolicy/shop/l/rate-limit"], "{backend}");
        assert_eq!(
            sent.status(Kind::RateLimitPolicy, "shop/l"),
            ["Service web: Accepted=true PartiallyInvalid"]
        );
        let told = sent.conditions(Kind::RateLimitPolicy, "shop/l");
        assert!(told[0].starts_with("spec.global.backendRef: "), "{told:?}");
    }
    let grant = "{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, metadata: {name: g, namespace: bank}, spec: {from: [{group: lateen.dev, kind: RateLimitPolicy, namespace: shop}], to: [{group: '', kind: Service}]}}\n---\n";
    sent.set(&(grant.to_owned() + &global("{name: ledger, namespace: bank, port: 80}")));
    assert_eq!(sent.keys().len(), 2);
}

#[test]
fn a_limit_that_cannot_be_read_is_left_out_whole() {
    type Breaking = fn(&mut controlplane_k8s_api::lateen::LocalLimit);
    let breakings: [Breaking; 7] = [
        |limit| limit.interval = <_>::default(),
        |limit| limit.when = Some("request.colour == 'red'".into()),
        |limit| limit.when = Some("response.code == 200".into()),
        |limit| limit.by[0].source = SourceSpec::Expression("size(request.path)".into()),
        |limit| limit.by[0].source = SourceSpec::Header("no header".into()),
        |limit| limit.by[0].source = SourceSpec::Claim("a..b".into()),
        |limit| limit.by[0].value = Some(MatchSpec::Regex("(".into())),
    ];
    for breaking in breakings {
        let mut sent = Sent::of("");
        let yaml = policy(
            "local: {limits: [{by: [{header: x}], requests: 1, interval: 1s}, {requests: 2, interval: 1s}]}",
        );
        sent.set_broken(&yaml, |object| {
            let Object::RateLimitPolicy(policy) = object else {
                panic!()
            };
            breaking(&mut policy.spec.local.as_mut().unwrap().limits[0]);
        });
        let RateLimit::Local(limits) = limit(&sent, "rate-limit") else {
            panic!()
        };
        assert_eq!(limits.iter().map(|limit| limit.requests).collect::<Vec<_>>(), [2]);
        let told = sent.conditions(Kind::RateLimitPolicy, "shop/l");
        assert!(told[0].starts_with("spec.local.limits[0]."), "{told:?}");
    }
}
