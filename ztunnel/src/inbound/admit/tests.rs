use mesh_state::{Settings, StateReader, StateWriter, Update, mesh};
use mesh_testkit::objects::{self, identity};
use mesh_testkit::{allow, deny, pod, service};
use mesh_types::Strng;
use mesh_zds::PodInfo;

use super::*;

const LOCAL: &str = "10.0.0.3";

fn world(extra: Vec<Update>) -> (StateWriter, StateReader) {
    let (mut writer, reader) = mesh(Settings::default());
    let mut updates: Vec<Update> = vec![
        pod("db")
            .at(LOCAL)
            .at("10.0.0.33")
            .hbone()
            .serving("db", 5432, 15432)
            .serving("other", 80, 8080)
            .into(),
        pod("web").at("10.0.0.1").hbone().into(),
        service("db").at("10.96.0.1").port(5432, 5432).into(),
        service("other").at("10.96.0.2").port(80, 8080).into(),
        service("foreign").at("10.96.0.3").port(80, 80).into(),
        pod("foreign-1")
            .at("10.0.0.9")
            .hbone()
            .serving("foreign", 80, 80)
            .into(),
    ];
    updates.extend(extra);
    writer.apply(updates);
    (writer, reader)
}

fn local_pod(account: &str) -> Arc<LocalPod> {
    let info = PodInfo {
        name: "db".into(),
        namespace: objects::NAMESPACE.into(),
        service_account: account.into(),
    };
    Arc::new(LocalPod::new(info, objects::CLUSTER, Strng::default()))
}

fn arrival(source: Option<&str>) -> Arrival {
    Arrival {
        pod: local_pod("db"),
        source: source.map(|account| identity(objects::NAMESPACE, account)),
        peer: Peer::new("10.0.0.1:40000".parse().unwrap()),
    }
}

fn tunnel(
    state: &StateReader,
    source: &str,
    authority: &str,
    host: Option<&str>,
) -> Result<Admission, Refused> {
    let local = LocalAddr::new(format!("{LOCAL}:15008").parse().unwrap());
    let authority = authority.parse().unwrap();
    state.query(|view| admit(view, &arrival(Some(source)), local, &authority, host))
}

fn plaintext(state: &StateReader, to: &str) -> Result<Admission, Refused> {
    state.query(|view| admit_plaintext(view, &arrival(None), OrigDst::new(to.parse().unwrap())))
}

/// An answer in one line.
fn line(answer: &Result<Admission, Refused>) -> String {
    match answer {
        Ok(admission) => {
            let service = admission.service.as_ref();
            let of = service.map(|s| format!(" of {}", s.name)).unwrap_or_default();
            match &admission.permission {
                Ok(_) => format!("{}{of}", admission.target),
                Err(denied) => format!("denied: {denied}"),
            }
        }
        Err(refused) => format!("{}: {}", refused.refusal().status().as_u16(), refused.reason()),
    }
}

#[test]
fn only_this_pod_is_served() {
    let (_writer, state) = world(Vec::new());
    for (authority, expected) in [
        ("10.0.0.3:9000", "10.0.0.3:9000"),
        ("10.0.0.3:15432", "10.0.0.3:15432 of db"),
        // A name of a service that this pod serves, at the pod's own port.
        ("db.shop.svc.cluster.local:5432", "10.0.0.3:15432 of db"),
        ("other.shop.svc.cluster.local:80", "10.0.0.3:8080 of other"),
        // Anything else would make the proxy an open relay.
        ("10.0.0.9:80", "400: not_here"),
        ("10.0.0.33:80", "400: not_here"),
        ("127.0.0.1:80", "400: not_here"),
        ("[::1]:80", "400: not_here"),
        ("0.0.0.0:80", "400: not_here"),
        ("169.254.169.254:80", "400: not_here"),
        ("10.96.0.1:5432", "400: not_here"),
        ("foreign.shop.svc.cluster.local:80", "400: not_served"),
        ("db.shop.svc.cluster.local:1", "400: not_served"),
        ("example.com:80", "400: not_served"),
        ("localhost:80", "400: not_served"),
        // The proxy's own ports.
        ("10.0.0.3:15001", "400: self_call"),
        ("10.0.0.3:15006", "400: self_call"),
        ("10.0.0.3:15008", "400: self_call"),
        // IPv4-mapped is the same address.
        ("[::ffff:10.0.0.3]:9000", "10.0.0.3:9000"),
    ] {
        assert_eq!(
            line(&tunnel(&state, "web", authority, None)),
            expected,
            "{authority}"
        );
    }
}

#[test]
fn the_service_in_labels_is_one_that_the_pod_serves() {
    let (_writer, state) = world(Vec::new());
    for (host, expected) in [
        (Some("other.shop.svc.cluster.local"), "10.0.0.3:15432 of other"),
        (Some("foreign.shop.svc.cluster.local"), "10.0.0.3:15432 of db"),
        (Some("nonsense"), "10.0.0.3:15432 of db"),
        (None, "10.0.0.3:15432 of db"),
    ] {
        assert_eq!(
            line(&tunnel(&state, "web", "10.0.0.3:15432", host)),
            expected,
            "{host:?}"
        );
    }
}

#[test]
fn policies_decide_by_identity_and_target_port() {
    let (_writer, state) = world(vec![
        deny("no-eve").from_account("eve").into(),
        allow("web-only").from_account("web").into(),
        allow("open-port").to_port(8080).into(),
    ]);
    for (source, authority, expected) in [
        ("web", "10.0.0.3:9000", "10.0.0.3:9000"),
        (
            "bob",
            "10.0.0.3:9000",
            "denied: policy rejection: no ALLOW policy matches",
        ),
        ("bob", "10.0.0.3:8080", "10.0.0.3:8080 of other"),
        // The port that policies see is the target's, not the service's.
        ("bob", "other.shop.svc.cluster.local:80", "10.0.0.3:8080 of other"),
        (
            "eve",
            "10.0.0.3:8080",
            "denied: policy rejection: denied by policy shop/no-eve rule 0",
        ),
    ] {
        assert_eq!(
            line(&tunnel(&state, source, authority, None)),
            expected,
            "{source} to {authority}"
        );
    }
}

#[test]
fn a_policy_that_has_not_arrived_denies() {
    let selected = pod("db").at(LOCAL).hbone().selected_by("missing");
    let (mut writer, state) = world(vec![selected.into()]);
    let answer = tunnel(&state, "web", "10.0.0.3:80", None).unwrap();
    let denied = answer.permission.unwrap_err();
    assert_eq!(denied.policy(), Some(&"shop/missing".parse().unwrap()));
    writer.apply(vec![deny("missing").by_selector().from_account("eve").into()]);
    assert_eq!(line(&tunnel(&state, "web", "10.0.0.3:80", None)), "10.0.0.3:80");
}

#[test]
fn plaintext_has_no_identity() {
    let (mut writer, state) = world(Vec::new());
    for (to, expected) in [
        ("10.0.0.3:9000", "10.0.0.3:9000"),
        ("10.0.0.33:9000", "10.0.0.33:9000"),
        ("10.0.0.9:80", "400: not_served"),
        ("127.0.0.1:80", "400: not_served"),
        ("10.0.0.3:15001", "400: self_call"),
        ("10.0.0.3:15006", "400: self_call"),
        ("10.0.0.3:15008", "400: self_call"),
    ] {
        assert_eq!(line(&plaintext(&state, to)), expected, "{to}");
    }
    writer.apply(vec![deny("strict").from_nobody().into()]);
    assert_eq!(
        line(&plaintext(&state, "10.0.0.3:9000")),
        "denied: policy rejection: denied by policy shop/strict rule 0"
    );
    assert_eq!(
        line(&tunnel(&state, "web", "10.0.0.3:9000", None)),
        "10.0.0.3:9000"
    );
}

#[test]
fn a_pod_that_the_configuration_does_not_have_takes_nothing() {
    let (_writer, state) = mesh(Settings::default());
    assert_eq!(
        line(&tunnel(&state, "web", "10.0.0.3:80", None)),
        "503: unknown_destination"
    );
    assert_eq!(
        line(&plaintext(&state, "10.0.0.3:80")),
        "503: unknown_destination"
    );
    // Nor does one that runs under another account than the configuration says.
    let (_writer, state) = world(Vec::new());
    let mut other = arrival(Some("web"));
    other.pod = local_pod("impostor");
    let local = LocalAddr::new(format!("{LOCAL}:15008").parse().unwrap());
    let authority = "10.0.0.3:80".parse().unwrap();
    let answer = state.query(|view| admit(view, &other, local, &authority, None));
    assert_eq!(line(&answer), "503: unknown_destination");
}

#[test]
fn what_was_allowed_is_asked_again_of_the_workload_as_it_is_now() {
    let (mut writer, state) = world(Vec::new());
    let standing = tunnel(&state, "web", "10.0.0.3:80", None)
        .unwrap()
        .permission
        .unwrap();
    let recheck = |state: &StateReader| state.query(|view| standing.recheck(view));
    assert_eq!(recheck(&state), Ok(()));
    // A policy that selects the pod is there, and the pod does not list it yet.
    writer.apply(vec![deny("no-web").by_selector().from_account("web").into()]);
    assert_eq!(recheck(&state), Ok(()));
    // Only the workload changes: it lists the policy now.
    writer.apply(vec![pod("db").at(LOCAL).hbone().selected_by("no-web").into()]);
    assert_eq!(
        recheck(&state).unwrap_err().policy(),
        Some(&"shop/no-web".parse().unwrap())
    );
    // A pod that is gone from the configuration keeps its connections until the agent ends them.
    writer.apply(vec![Update::RemoveAddress("Kubernetes//Pod/shop/db".into())]);
    assert_eq!(recheck(&state), Ok(()));
}
