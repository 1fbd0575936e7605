use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::l7::Created;
use crate::l7::authorization::{Action, Authorization};
use crate::l7::filter::{Abort, Fault, Share};
use crate::l7::policy::PathNormalization;
use crate::l7::resilience::RetryBudget;
use crate::l7::telemetry::{AccessLogging, LogFormat, LogSink, LoggedTo, MetricOverride, Metrics};
use crate::l7::tls::{BackendTls, TlsOrigination};
use crate::l7::traffic::{
    Balancer, ConnectionLimits, LocalityRules, OutlierDetection, ProxyProtocolVersion, Subset, TrafficRules,
    TrafficSettings,
};

#[test]
fn the_most_specific_target_wins_then_age_then_name() {
    let targets = [
        Target::Mesh,
        Target::Namespace("gw".into()),
        Target::Gateway(gateway()),
        Target::Listener(gateway(), "http".into()),
        Target::Service(service().service),
        Target::ServicePort(service()),
        Target::Backend("b".into()),
        Target::Route(object("route")),
        Target::RouteRule(object("route"), "rule".into()),
    ];
    let place = Place::at(gateway())
        .with_listener("http".into())
        .with_service(service())
        .with_backend("b".into())
        .with_route(object("route"), Some("rule".into()));
    let mut policies = Policies::default();
    for (n, target) in targets.iter().enumerate() {
        // The more specific, the younger: age does not help the others.
        let created = Created::at(n as u64);
        policies.insert(policy(
            &format!("p{n}"),
            created,
            std::slice::from_ref(target),
            fault(n as u16),
        ));
        assert_eq!(status(&policies, &place), n as u16);
    }
    let tied = |name, created| policy(name, created, &targets[8..], fault(99));
    policies.insert(tied("younger", Created::unknown()));
    assert_eq!(status(&policies, &place), 8);
    policies.insert(tied("older", Created::at(1)));
    assert_eq!(status(&policies, &place), 99);
    policies.remove("Fault/ns/older/fault");
    policies.insert(policy("a", Created::at(8), &targets[8..], fault(100)));
    assert_eq!(status(&policies, &place), 100);
    assert_eq!(policies.len(), 11);
}

#[test]
fn other_places_are_not_touched() {
    let elsewhere = [
        Target::Namespace("other".into()),
        Target::Gateway(NamespacedName::new("gw", "other")),
        Target::Listener(gateway(), "other".into()),
        Target::Service(NamespacedHostname::new("app", "other")),
        Target::ServicePort(ServicePort {
            port: 81,
            ..service()
        }),
        Target::Backend("other".into()),
        Target::Route(object("other")),
        Target::RouteRule(object("route"), "other".into()),
    ];
    let policies: Policies = elsewhere
        .iter()
        .enumerate()
        .map(|(n, target)| {
            policy(
                &format!("p{n}"),
                Created::unknown(),
                std::slice::from_ref(target),
                fault(1),
            )
        })
        .collect();
    let place = Place::at(gateway())
        .with_service(service())
        .with_route(object("route"), None);
    assert_eq!(Effective::at(&policies, &place), Effective::default());
}

#[test]
fn all_authorizations_count_each_once() {
    let both = [Target::Mesh, Target::Service(service().service)];
    let allow = || {
        PolicyKind::Authorization(Authorization {
            action: Action::Allow,
            rules: vec![],
            dry_run: false,
        })
    };
    let policies: Policies = [
        policy("twice", Created::at(2), &both, allow()),
        policy("mesh", Created::at(1), &both[..1], allow()),
    ]
    .into_iter()
    .collect();
    let effective = Effective::at(&policies, &Place::at(gateway()).with_service(service()));
    let names: Vec<_> = effective
        .authorizations
        .iter()
        .map(|g| g.object.name.name.as_str())
        .collect();
    assert_eq!(names, ["twice", "mesh"]);
    assert_eq!(effective.authorizations[0].target, both[1]);
    assert!(!effective.authorizer().is_empty());
    assert!(effective.attached.iter().all(|attached| attached.counts));
}

#[test]
fn what_is_changed_or_gone_no_longer_counts() {
    let place = Place::at(gateway()).with_service(service());
    let mut policies = Policies::default();
    policies.insert(policy("p", Created::unknown(), &[Target::Mesh], fault(1)));
    policies.insert(policy(
        "p",
        Created::unknown(),
        &[Target::Service(service().service)],
        fault(2),
    ));
    assert_eq!(status(&policies, &place), 2);
    assert!(Effective::at(&policies, &Place::at(gateway())).fault.is_none());
    policies.remove("Fault/ns/p/fault");
    assert!(policies.is_empty());
    assert!(Effective::at(&policies, &place).fault.is_none());
}

#[test]
fn logs_of_the_most_specific_target_replace_the_others_each_with_its_filter() {
    let logging = |sinks: &[&str], filter: Option<&str>| {
        PolicyKind::AccessLogging(AccessLogging {
            sinks: sinks
                .iter()
                .map(|path| LoggedTo {
                    sink: LogSink::File {
                        path: (*path).into(),
                        format: LogFormat::Default,
                    },
                    filter: filter.map(Into::into),
                })
                .collect(),
        })
    };
    let mut policies = Policies::default();
    assert_eq!(Effective::at(&policies, &Place::at(gateway())).logging, None);
    let mesh = [Target::Mesh];
    policies.insert(policy(
        "mesh",
        Created::unknown(),
        &mesh,
        logging(&["/dev/stdout"], Some("f")),
    ));
    let at_service = [Target::Service(service().service)];
    policies.insert(policy("a", Created::at(1), &at_service, logging(&["/a"], None)));
    policies.insert(policy(
        "b",
        Created::at(2),
        &at_service,
        logging(&["/b"], Some("g")),
    ));
    let paths = |policies: &Policies, place: &Place| -> Vec<String> {
        let logged = Effective::at(policies, place).logging.unwrap();
        let shown = logged.iter().map(|given| {
            let LogSink::File { path, .. } = &given.value.sink else {
                panic!("all go to files")
            };
            format!("{path} {}", given.value.filter.as_deref().unwrap_or_default())
        });
        shown.collect()
    };
    let place = Place::at(gateway()).with_service(service());
    assert_eq!(paths(&policies, &place), ["/a ", "/b g"]);
    assert_eq!(paths(&policies, &Place::at(gateway())), ["/dev/stdout f"]);
    let counts: Vec<_> = Effective::at(&policies, &place)
        .attached
        .iter()
        .map(|a| a.counts)
        .collect();
    assert_eq!(counts, [true, true, false]);
    let port = [Target::ServicePort(service())];
    policies.insert(policy("off", Created::unknown(), &port, logging(&[], None)));
    assert!(paths(&policies, &place).is_empty());
}

#[test]
fn metrics_go_from_the_general_to_the_specific() {
    let metrics = |label: &str| {
        PolicyKind::Metrics(Metrics {
            overrides: vec![MetricOverride {
                metric: None,
                disabled: None,
                tags: vec![(label.into(), None)],
            }],
        })
    };
    let policies: Policies = [
        policy(
            "gateway",
            Created::at(1),
            &[Target::Gateway(gateway())],
            metrics("b"),
        ),
        policy("mesh", Created::at(2), &[Target::Mesh], metrics("a")),
    ]
    .into_iter()
    .collect();
    let effective = Effective::at(&policies, &Place::at(gateway()));
    let labels: Vec<_> = effective
        .metrics
        .iter()
        .map(|g| g.value[0].tags[0].0.as_str())
        .collect();
    assert_eq!(labels, ["a", "b"]);
}

#[test]
fn defaults_where_nobody_says_anything() {
    let effective = Effective::at(&Policies::default(), &Place::at(gateway()));
    assert_eq!(effective.path_normalization(), PathNormalization::Base);
    assert!(!effective.forwards_client_identity());
    let mut policies = Policies::default();
    let merge = PolicyKind::PathNormalization(PathNormalization::MergeSlashes);
    policies.insert(policy("n", Created::unknown(), &[Target::Mesh], merge));
    let told = PolicyKind::ForwardClientIdentity(true);
    policies.insert(policy(
        "x",
        Created::unknown(),
        &[Target::Gateway(gateway())],
        told,
    ));
    let effective = Effective::at(&policies, &Place::at(gateway()));
    assert_eq!(effective.path_normalization(), PathNormalization::MergeSlashes);
    assert!(effective.forwards_client_identity());
}

#[test]
fn a_port_replaces_the_whole_and_a_subset_block_by_block() {
    let rules = rules();
    let subset = |name: &str| Some(Strng::from(name));
    let whole = rules.settings_for(Some(443), None);
    assert_eq!(whole, rules.settings);
    // A port: what it leaves out is the default, but for what cannot be said there.
    let port = rules.settings_for(Some(80), None);
    assert_eq!(port.balancer, Some(Balancer::Random));
    assert_eq!((port.outliers, port.limits, port.tls), (None, None, None));
    assert_eq!(port.proxy_protocol, Some(ProxyProtocolVersion::V1));
    assert_eq!(port.retry_budget, Some(RetryBudget::default()));
    // A subset: block by block, balancer and places being one.
    let v2 = rules.settings_for(Some(443), subset("v2").as_ref());
    assert_eq!(v2.balancer, Some(Balancer::RoundRobin));
    assert_eq!(v2.locality, None);
    assert_eq!(v2.outliers, rules.settings.outliers);
    assert_eq!(v2.limits, rules.settings.limits);
    // A port of the service, then the subset, then a port of the subset.
    let v2 = rules.settings_for(Some(80), subset("v2").as_ref());
    assert_eq!((v2.balancer, v2.outliers), (Some(Balancer::RoundRobin), None));
    let v2 = rules.settings_for(Some(8080), subset("v2").as_ref());
    assert_eq!((v2.balancer, v2.outliers), (Some(Balancer::PeakEwma), None));
}

#[test]
fn towards_a_service() {
    let at_service = [Target::Service(service().service)];
    let mut policies = Policies::default();
    let traffic = PolicyKind::Traffic(Box::new(rules()));
    policies.insert(policy("rule", Created::at(2), &at_service, traffic));
    let younger = PolicyKind::Traffic(Box::default());
    policies.insert(policy("younger", Created::at(3), &at_service, younger));
    let place = Place::at(gateway()).with_service(ServicePort {
        port: 443,
        ..service()
    });
    let v2 = EffectiveDestination::towards(&policies, &place, Some(&"v2".into())).unwrap();
    assert_eq!(v2.labels, [("version".into(), "v2".into())]);
    assert_eq!(v2.traffic.as_ref().unwrap().object.name.name, "rule");
    assert_eq!(v2.backend_tls.unwrap().value, BackendTls::Off);
    assert_eq!(v2.retry_budget.unwrap().value, RetryBudget::default());
    let counts: Vec<_> = v2
        .attached
        .iter()
        .map(|a| (a.object.name.name.as_str(), a.counts))
        .collect();
    assert_eq!(counts, [("rule", true), ("younger", false)]);
    assert_eq!(
        v2.attached[1].to_string(),
        "traffic: Traffic/ns/younger at service app/svc.app.svc.cluster.local (another one counts instead)"
    );

    let tls = |name: &str| {
        PolicyKind::BackendTls(BackendTls::On(TlsOrigination {
            server_name: Some(name.into()),
            ..TlsOrigination::default()
        }))
    };
    policies.insert(policy("young", Created::at(9), &at_service, tls("young")));
    policies.insert(policy("old", Created::at(1), &at_service, tls("old")));
    let effective = EffectiveDestination::towards(&policies, &place, None).unwrap();
    assert_eq!(effective.backend_tls.unwrap().object.name.name, "old");
    let unknown = EffectiveDestination::towards(&policies, &place, Some(&"v3".into()));
    assert_eq!(unknown.unwrap_err(), UnknownSubset { subset: "v3".into() });
    let nobody = EffectiveDestination::towards(&Policies::default(), &place, Some(&"v2".into()));
    assert!(nobody.is_err());
}

/// The gateway's namespace comes before the service's, and that before others, whatever their age.
#[test]
fn the_nearest_rule_for_a_service_counts() {
    let rule = |namespace: &str, created, target: Target, balancer| {
        let rules = TrafficRules {
            settings: TrafficSettings {
                balancer: Some(balancer),
                ..TrafficSettings::default()
            },
            ..TrafficRules::default()
        };
        let of_helper = policy("rule", created, &[target], PolicyKind::Traffic(Box::new(rules)));
        let mut moved = Policy::clone(&of_helper);
        moved.object.name.namespace = namespace.into();
        Arc::new(moved)
    };
    let place = Place::at(gateway()).with_service(service());
    let balancer = |policies: &Policies| {
        let towards = EffectiveDestination::towards(policies, &place, None);
        let towards = towards.expect("no subset is asked for");
        let counting = towards.attached.iter().filter(|attached| attached.counts).count();
        assert!(counting <= 1);
        towards.traffic.and_then(|given| given.value.balancer)
    };
    let target = || Target::Service(service().service);
    let mut policies = Policies::default();
    policies.insert(rule("root", Created::at(1), target(), Balancer::Random));
    assert_eq!(balancer(&policies), Some(Balancer::Random));
    let own = &service().service.namespace;
    policies.insert(rule(own, Created::at(2), target(), Balancer::RoundRobin));
    assert_eq!(balancer(&policies), Some(Balancer::RoundRobin));
    policies.insert(rule(
        &gateway().namespace,
        Created::at(3),
        target(),
        Balancer::PeakEwma,
    ));
    assert_eq!(balancer(&policies), Some(Balancer::PeakEwma));
    // What is for everything never counts before what is for the service.
    policies.remove(&format!("Traffic/{}/rule/traffic", gateway().namespace));
    policies.insert(rule(
        &gateway().namespace,
        Created::at(0),
        Target::Mesh,
        Balancer::Passthrough,
    ));
    assert_eq!(balancer(&policies), Some(Balancer::RoundRobin));
}

fn rules() -> TrafficRules {
    let balancer = |balancer| TrafficSettings {
        balancer: Some(balancer),
        ..TrafficSettings::default()
    };
    TrafficRules {
        settings: TrafficSettings {
            balancer: Some(Balancer::LeastRequest),
            locality: Some(LocalityRules::Nearest),
            limits: Some(ConnectionLimits {
                max_connections: Some(1),
                connect_timeout: Some(Duration::from_secs(1)),
                ..ConnectionLimits::default()
            }),
            outliers: Some(OutlierDetection::default()),
            tls: Some(BackendTls::Off),
            retry_budget: Some(RetryBudget::default()),
            proxy_protocol: Some(ProxyProtocolVersion::V1),
            ..TrafficSettings::default()
        },
        ports: BTreeMap::from([(80, balancer(Balancer::Random))]),
        subsets: vec![Subset {
            name: "v2".into(),
            labels: vec![("version".into(), "v2".into())],
            settings: balancer(Balancer::RoundRobin),
            ports: BTreeMap::from([(8080, balancer(Balancer::PeakEwma))]),
        }],
    }
}

fn policy(name: &str, created: Created, targets: &[Target], kind: PolicyKind) -> Arc<Policy> {
    let mut label = kind.label().to_owned();
    label[..1].make_ascii_uppercase();
    Arc::new(Policy {
        part: "".into(),
        object: ObjectRef {
            kind: label.into(),
            name: NamespacedName::new("ns", name),
        },
        targets: targets.to_vec(),
        created,
        kind,
    })
}

fn fault(status: u16) -> PolicyKind {
    PolicyKind::Fault(Fault {
        delay: None,
        abort: Some((Abort::Http(status), Share::ALL)),
    })
}

fn status(policies: &Policies, place: &Place) -> u16 {
    let fault = Effective::at(policies, place).fault.expect("a fault is attached");
    match fault.value.abort {
        Some((Abort::Http(status), _)) => status,
        other => panic!("{other:?} is no status"),
    }
}

fn gateway() -> NamespacedName {
    NamespacedName::new("gw", "waypoint")
}

fn service() -> ServicePort {
    ServicePort {
        service: NamespacedHostname::new("app", "svc.app.svc.cluster.local"),
        port: 80,
    }
}

fn object(name: &str) -> ObjectRef {
    ObjectRef {
        kind: "HTTPRoute".into(),
        name: NamespacedName::new("app", name),
    }
}
