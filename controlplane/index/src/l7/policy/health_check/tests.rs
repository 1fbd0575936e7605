use std::time::Duration;

use controlplane_k8s_api::lateen::HealthProbe;
use controlplane_k8s_api::{Kind, Object};
use mesh_model::l7::health::{HealthCheck, Probe};
use mesh_model::l7::policy::PolicyKind;

use crate::l7::policy::fixture::{Sent, object};

fn policy(name: &str, spec: &str) -> String {
    let spec = format!("{{targetRefs: [{{kind: Service, name: web}}], {spec}}}");
    object("lateen.dev/v1alpha1", "HealthCheckPolicy", name, &spec)
}

fn check(sent: &Sent) -> &HealthCheck {
    match sent.kind("HealthCheckPolicy/shop/h/health-check") {
        PolicyKind::HealthCheck(check) => check,
        other => panic!("{other:?}"),
    }
}

#[test]
fn probes_and_times() {
    let sent = Sent::of(&policy(
        "shop/h",
        "http: {path: /ready?x=y, host: h.example.com, expectedStatuses: [204, 300-399]}, interval: 2s, timeout: 500ms, unhealthyThreshold: 4, healthyThreshold: 1",
    ));
    assert_eq!(
        *check(&sent),
        HealthCheck {
            probe: Probe::Http {
                path: "/ready?x=y".into(),
                host: Some("h.example.com".into()),
                statuses: vec![(204, 204), (300, 399)],
            },
            interval: Duration::from_secs(2),
            timeout: Duration::from_millis(500),
            unhealthy_threshold: 4,
            healthy_threshold: 1,
        }
    );
    let sent = Sent::of(&policy("shop/h", "grpc: {service: s}"));
    assert_eq!(check(&sent).probe, Probe::Grpc { service: "s".into() });
    let sent = Sent::of(&policy("shop/h", "tcp: {}"));
    assert_eq!(
        *check(&sent),
        HealthCheck {
            probe: Probe::Tcp,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            unhealthy_threshold: 3,
            healthy_threshold: 2,
        }
    );
}

#[test]
fn what_cannot_be_asked_is_not_asked() {
    type Breaking = fn(&mut controlplane_k8s_api::lateen::HttpHealthCheck);
    let breakings: [Breaking; 3] = [
        |http| http.path = "ready".into(),
        |http| http.host = Some("no host".into()),
        |http| http.expected_statuses[0].first = 999,
    ];
    for breaking in breakings {
        let mut sent = Sent::of("");
        sent.set_broken(
            &policy("shop/h", "http: {path: /, expectedStatuses: [200]}"),
            |object| {
                let Object::HealthCheckPolicy(policy) = object else {
                    panic!()
                };
                let HealthProbe::Http(http) = &mut policy.spec.probe else {
                    panic!()
                };
                breaking(http);
            },
        );
        assert_eq!(sent.keys(), Vec::<&str>::new());
        assert_eq!(
            sent.status(Kind::HealthCheckPolicy, "shop/h"),
            ["Service web: Accepted=false Invalid"]
        );
    }
}

#[test]
fn one_policy_has_a_target() {
    let sent = Sent::of(&(policy("shop/h", "tcp: {}") + &policy("shop/i", "tcp: {}")));
    assert_eq!(sent.keys(), ["HealthCheckPolicy/shop/h/health-check"]);
    assert_eq!(
        sent.status(Kind::HealthCheckPolicy, "shop/i"),
        ["Service web: Accepted=false Conflicted"]
    );
}
