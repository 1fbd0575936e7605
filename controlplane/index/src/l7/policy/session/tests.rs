use std::time::Duration;

use controlplane_k8s_api::lateen::{SessionCarrier as CarrierSpec, SessionHeader};
use controlplane_k8s_api::{Kind, Object};
use mesh_model::l7::policy::PolicyKind;
use mesh_model::l7::session::{Session, SessionCarrier};

use crate::l7::policy::fixture::{Sent, object};

fn policy(spec: &str) -> String {
    let spec = format!("{{targetRefs: [{{kind: Service, name: web}}], {spec}}}");
    object("lateen.dev/v1alpha1", "SessionPolicy", "shop/s", &spec)
}

#[test]
fn cookies_and_headers() {
    for (spec, name, carrier, absolute) in [
        (
            "cookie: {name: Sticky}",
            "Sticky",
            SessionCarrier::Cookie { permanent: false },
            None,
        ),
        (
            "cookie: {name: Sticky, lifetime: Permanent}, absoluteTimeout: 1h",
            "Sticky",
            SessionCarrier::Cookie { permanent: true },
            Some(3600),
        ),
        (
            "header: {name: X-Session}, idleTimeout: 5s",
            "x-session",
            SessionCarrier::Header,
            None,
        ),
    ] {
        let sent = Sent::of(&policy(spec));
        let PolicyKind::Session(session) = sent.kind("SessionPolicy/shop/s/session") else {
            panic!()
        };
        assert_eq!(
            *session,
            Session {
                name: name.into(),
                carrier,
                absolute_timeout: absolute.map(Duration::from_secs),
                idle_timeout: (carrier == SessionCarrier::Header).then_some(Duration::from_secs(5)),
            }
        );
    }
}

#[test]
fn a_name_that_can_be_none_keeps_nobody() {
    let mut sent = Sent::of("");
    sent.set_broken(&policy("header: {name: x}"), |object| {
        let Object::SessionPolicy(policy) = object else {
            panic!()
        };
        policy.spec.carrier = CarrierSpec::Header(SessionHeader { name: "a b".into() });
    });
    assert_eq!(sent.keys(), Vec::<&str>::new());
    let told = sent.conditions(Kind::SessionPolicy, "shop/s");
    assert!(told[0].starts_with("spec.header.name: "), "{told:?}");
}
