use mesh_state::{Settings, StateReader, Update, mesh};
use mesh_testkit::objects::{self, hostname, identity};
use mesh_testkit::{pod, service};

use super::*;

/// Draws the same of everything, the first for 0.
struct Draw(u64);

impl Random for Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0.min(end - 1)
    }
}

const VIP: &str = "10.96.0.1";

pub(super) fn world(extra: Vec<Update>) -> StateReader {
    let (mut writer, reader) = mesh(Settings::default());
    let mut updates: Vec<Update> = vec![
        pod("client")
            .at("10.0.0.1")
            .hbone()
            .serving("self", 80, 8080)
            .into(),
        pod("plain").at("10.0.0.2").into(),
        pod("meshed")
            .at("10.0.0.3")
            .hbone()
            .serving("db", 5432, 15432)
            .into(),
        service("db").at(VIP).port(5432, 5432).into(),
        service("empty").at("10.96.0.2").port(80, 80).into(),
        service("self").at("10.96.0.3").port(80, 8080).into(),
        service("through")
            .at("10.96.0.4")
            .port(80, 80)
            .passing_through()
            .into(),
        service("named")
            .at("10.96.0.5")
            .port(80, 8080)
            .also_known_as("spiffe://other/named")
            .into(),
        pod("named-1")
            .at("10.0.0.4")
            .hbone()
            .serving("named", 80, 8080)
            .into(),
        service("wp").at("10.96.0.9").port(15008, 15008).into(),
        pod("wp-1")
            .at("10.0.0.9")
            .hbone()
            .serving("wp", 15008, 15008)
            .into(),
    ];
    updates.extend(extra);
    writer.apply(updates);
    reader
}

/// What is asked beside who and where to.
#[derive(Default)]
pub(super) struct With<'a> {
    pub(super) avoid: &'a [WorkloadUid],
    pub(super) names: Names,
    pub(super) waypoint_unreachable: bool,
    pub(super) draw: u64,
}

pub(super) fn ask_with(
    state: &StateReader,
    client: &str,
    to: &str,
    with: &With<'_>,
) -> Result<Answer, Refused> {
    state.query(|view| {
        let uid = WorkloadUid::of_pod(objects::CLUSTER, objects::NAMESPACE, client);
        let client = view.workload_by_uid(&uid).expect("the client is in the mesh");
        let question = Question {
            client,
            to: OrigDst::new(to.parse().unwrap()),
            avoid: with.avoid,
            names: &with.names,
            waypoint_unreachable: with.waypoint_unreachable,
        };
        plan(view, &question, &mut Draw(with.draw))
    })
}

pub(super) fn ask_as(
    state: &StateReader,
    client: &str,
    to: &str,
    avoid: &[WorkloadUid],
) -> Result<Plan, Refused> {
    let with = With {
        avoid,
        ..With::default()
    };
    ask_with(state, client, to, &with).map(|answer| match answer {
        Answer::Plan(plan) => plan,
        Answer::Need(need) => panic!("needs {need:?}"),
    })
}

fn ask(to: &str) -> Result<Plan, Refused> {
    ask_as(&world(Vec::new()), "client", to, &[])
}

/// A plan in one line: how, where to, for what, and who is expected.
pub(super) fn line(plan: Result<Plan, Refused>) -> String {
    let service = |t: &Target| {
        let name = t.service.as_ref().map(|s| s.name.to_string());
        name.map(|n| format!(" of {n}")).unwrap_or_default()
    };
    let past = |t: &Target| match &t.via {
        Via::Past { waypoint, why } => format!(" past {waypoint}, which {why}"),
        Via::UnreadyWaypoint { waypoint } => format!(" by {waypoint}, which is not ready"),
        Via::Nothing | Via::Waypoint { .. } => String::new(),
    };
    match plan {
        Ok(Plan::Passthrough(next)) => format!("passthrough {next}"),
        Ok(Plan::Plain(target)) => format!("plain {}{}{}", target.next, service(&target), past(&target)),
        Ok(Plan::Tunnel {
            target,
            authority,
            expected,
        }) => format!(
            "tunnel {} for {authority}{} expecting {expected}{}",
            target.next,
            service(&target),
            past(&target)
        ),
        Err(refused) => format!("refused: {}", refused.reason()),
    }
}

pub(super) fn spiffe(account: &str) -> String {
    identity(objects::NAMESPACE, account).to_string()
}

#[test]
fn an_address_of_the_mesh_or_outside() {
    for (to, expected) in [
        // Outside the mesh: unchanged.
        ("192.0.2.1:443", "passthrough 192.0.2.1:443".to_owned()),
        ("[2001:db8::1]:443", "passthrough [2001:db8::1]:443".to_owned()),
        // A pod that is not enrolled.
        ("10.0.0.2:80", "plain 10.0.0.2:80".to_owned()),
        // One that is; IPv4-mapped addresses are the same.
        (
            "10.0.0.3:80",
            format!(
                "tunnel 10.0.0.3:15008 for 10.0.0.3:80 expecting {}",
                spiffe("meshed")
            ),
        ),
        (
            "[::ffff:10.0.0.3]:80",
            format!(
                "tunnel 10.0.0.3:15008 for 10.0.0.3:80 expecting {}",
                spiffe("meshed")
            ),
        ),
    ] {
        assert_eq!(line(ask(to)), expected, "{to}");
    }
}

#[test]
fn a_service() {
    for (to, expected) in [
        // The endpoint's own port counts.
        (
            "10.96.0.1:5432",
            format!(
                "tunnel 10.0.0.3:15008 for 10.0.0.3:15432 of db expecting {}",
                spiffe("meshed")
            ),
        ),
        ("10.96.0.1:1", "refused: unknown_port".to_owned()),
        ("10.96.0.2:80", "refused: no_healthy_endpoint".to_owned()),
        ("10.96.0.4:80", "plain 10.96.0.4:80 of through".to_owned()),
        // The service's other identities are expected, too.
        (
            "10.96.0.5:80",
            format!(
                "tunnel 10.0.0.4:15008 for 10.0.0.4:8080 of named expecting {} or spiffe://other/named",
                spiffe("named-1")
            ),
        ),
    ] {
        assert_eq!(line(ask(to)), expected, "{to}");
    }
}

#[test]
fn a_pod_that_means_itself() {
    for (to, expected) in [
        // Its own address and its own service behave like anybody's.
        (
            "10.0.0.1:80",
            format!(
                "tunnel 10.0.0.1:15008 for 10.0.0.1:80 expecting {}",
                spiffe("client")
            ),
        ),
        (
            "10.96.0.3:80",
            format!(
                "tunnel 10.0.0.1:15008 for 10.0.0.1:8080 of self expecting {}",
                spiffe("client")
            ),
        ),
        ("127.0.0.1:80", "passthrough 127.0.0.1:80".to_owned()),
        // The ports of its proxy are nobody's.
        ("10.0.0.1:15001", "refused: self_call".to_owned()),
        ("10.0.0.1:15006", "refused: self_call".to_owned()),
        ("10.0.0.1:15008", "refused: self_call".to_owned()),
        ("127.0.0.1:15001", "refused: self_call".to_owned()),
        ("127.0.0.1:15006", "refused: self_call".to_owned()),
        ("127.0.0.1:15008", "refused: self_call".to_owned()),
        ("127.9.9.9:15001", "refused: self_call".to_owned()),
        ("[::1]:15001", "refused: self_call".to_owned()),
        ("[::ffff:127.0.0.1]:15008", "refused: self_call".to_owned()),
        ("0.0.0.0:15001", "refused: self_call".to_owned()),
    ] {
        assert_eq!(line(ask(to)), expected, "{to}");
    }
}

#[test]
fn what_needs_a_waypoint_goes_to_it() {
    let state = world(vec![
        service("guarded")
            .at("10.96.1.1")
            .port(80, 80)
            .behind("wp")
            .into(),
        pod("guarded-1")
            .at("10.0.1.1")
            .hbone()
            .serving("guarded", 80, 80)
            .into(),
        pod("alone").at("10.0.1.2").hbone().behind("wp").into(),
        service("by-address")
            .at("10.96.1.3")
            .port(80, 80)
            .behind_address("10.0.0.9")
            .into(),
        service("lost")
            .at("10.96.1.4")
            .port(80, 80)
            .behind("nobody")
            .into(),
        service("astray")
            .at("10.96.1.5")
            .port(80, 80)
            .behind_address("10.9.9.9")
            .into(),
        service("hollow")
            .at("10.96.1.6")
            .port(80, 80)
            .behind("empty-wp")
            .into(),
        service("empty-wp").at("10.96.1.7").port(15008, 15008).into(),
    ]);
    let wp = spiffe("wp-1");
    for (to, expected) in [
        (
            "10.96.1.1:80",
            format!("tunnel 10.0.0.9:15008 for 10.96.1.1:80 of guarded expecting {wp}"),
        ),
        (
            "10.0.1.2:80",
            format!("tunnel 10.0.0.9:15008 for 10.0.1.2:80 expecting {wp}"),
        ),
        (
            "10.96.1.3:80",
            format!("tunnel 10.0.0.9:15008 for 10.96.1.3:80 of by-address expecting {wp}"),
        ),
        // A waypoint that is not there is not gone past.
        ("10.96.1.4:80", "refused: no_waypoint".to_owned()),
        ("10.96.1.5:80", "refused: no_waypoint".to_owned()),
        ("10.96.1.6:80", "refused: no_waypoint".to_owned()),
        // Nor is a plain pod address of a guarded service: the address has no waypoint of its own.
        (
            "10.0.1.1:80",
            format!(
                "tunnel 10.0.1.1:15008 for 10.0.1.1:80 expecting {}",
                spiffe("guarded-1")
            ),
        ),
    ] {
        assert_eq!(line(ask_as(&state, "client", to, &[])), expected, "{to}");
    }
    // The waypoint itself goes on to the destination.
    assert_eq!(
        line(ask_as(&state, "wp-1", "10.96.1.1:80", &[])),
        format!(
            "tunnel 10.0.1.1:15008 for 10.0.1.1:80 of guarded expecting {}",
            spiffe("guarded-1")
        )
    );
    assert_eq!(
        line(ask_as(&state, "wp-1", "10.0.1.2:80", &[])),
        format!(
            "tunnel 10.0.1.2:15008 for 10.0.1.2:80 expecting {}",
            spiffe("alone")
        )
    );
}

#[test]
fn what_is_not_supported_is_refused_and_never_sent_plain() {
    let state = world(vec![
        service("far").at("10.96.2.1").port(80, 80).into(),
        pod("far-1")
            .at("10.0.2.1")
            .in_network("other")
            .hbone()
            .serving("far", 80, 80)
            .into(),
    ]);
    assert_eq!(
        line(ask_as(&state, "client", "10.96.2.1:80", &[])),
        "refused: other_network"
    );
}

#[test]
fn an_endpoint_that_failed_is_avoided_while_there_is_another() {
    let state = world(vec![
        service("pair").at("10.96.3.1").port(80, 80).into(),
        pod("pair-1")
            .at("10.0.3.1")
            .hbone()
            .serving("pair", 80, 80)
            .into(),
        pod("pair-2")
            .at("10.0.3.2")
            .hbone()
            .serving("pair", 80, 80)
            .into(),
    ]);
    let uid = |name| WorkloadUid::of_pod(objects::CLUSTER, objects::NAMESPACE, name);
    let mut random = fastrand::Rng::with_seed(7);
    let mut ask = |avoid: &[WorkloadUid]| {
        state.query(|view| {
            let question = Question {
                client: view.workload_by_uid(&uid("client")).unwrap(),
                to: OrigDst::new("10.96.3.1:80".parse().unwrap()),
                avoid,
                names: &Names::new(),
                waypoint_unreachable: false,
            };
            let Ok(Answer::Plan(plan)) = plan(view, &question, &mut random) else {
                panic!("no plan");
            };
            plan.next().ip().to_string()
        })
    };
    for _ in 0..20 {
        assert_eq!(ask(&[uid("pair-1")]), "10.0.3.2");
        assert_eq!(ask(&[uid("pair-2")]), "10.0.3.1");
    }
    assert!(["10.0.3.1", "10.0.3.2"].contains(&ask(&[uid("pair-1"), uid("pair-2")]).as_str()));
}

#[test]
fn refusals_name_what_they_are_about() {
    let text = |to| ask(to).unwrap_err().to_string();
    assert_eq!(
        text("10.96.0.2:80"),
        format!(
            "service {} has no healthy endpoint within reach",
            hostname(objects::NAMESPACE, "empty")
        )
    );
    assert_eq!(
        text("10.0.0.1:15001"),
        "10.0.0.1:15001 is a port of the proxy itself"
    );
}

#[test]
fn a_plain_plan_holds_until_the_mesh_knows_who_takes_hbone_there() {
    let (mut writer, state) = mesh(Settings::default());
    writer.apply(vec![
        pod("client").at("10.0.0.1").hbone().into(),
        pod("plain").at("10.0.0.2").into(),
    ]);
    let (unknown, plain) = ("10.0.0.9:80", "10.0.0.2:80");
    let plans = [unknown, plain].map(|to| ask_as(&state, "client", to, &[]).unwrap());
    let as_client = |ask: &dyn Fn(&Plan, &View, &Workload) -> bool, plan: &Plan| {
        state.query(|view| {
            let uid = WorkloadUid::of_pod(objects::CLUSTER, objects::NAMESPACE, "client");
            let client = view.workload_by_uid(&uid).expect("the client is in the mesh");
            ask(plan, view, client)
        })
    };
    let holds = |plan: &Plan| as_client(&|plan, view, client| plan.still_holds(view, client), plan);
    let overtaken = |plan: &Plan| as_client(&|plan, view, client| plan.is_overtaken(view, client), plan);
    let both = || plans.each_ref().map(|plan| (holds(plan), overtaken(plan)));
    assert_eq!(both(), [(true, false), (true, false)]);
    // Somebody comes to the one address, and the workload at the other joins the mesh.
    writer.apply(vec![pod("new").at("10.0.0.9").hbone().into()]);
    assert_eq!(both(), [(false, true), (true, false)]);
    writer.apply(vec![pod("plain").at("10.0.0.2").hbone().into()]);
    assert_eq!(both(), [(false, true), (false, true)]);
    let tunnel = ask_as(&state, "client", unknown, &[]).unwrap();
    assert!(holds(&tunnel) && !overtaken(&tunnel));
    // A workload that is gone is nobody to connect to anew.
    writer.apply(vec![Update::RemoveAddress(
        WorkloadUid::of_pod(objects::CLUSTER, objects::NAMESPACE, "plain")
            .as_str()
            .into(),
    )]);
    assert!(!holds(&plans[1]) && !overtaken(&plans[1]));
}

/// A service whose endpoints have host names.
fn named_world() -> StateReader {
    let mut web = pod("web")
        .called("web.example.com")
        .serving("named-only", 80, 8080)
        .build();
    web.uid = WorkloadUid::new("Kubernetes/networking.istio.io/ServiceEntry/shop/web/web.example.com");
    let mut v4_only = service("v4-only").at("240.240.0.2").port(80, 8080).build();
    v4_only.ip_families = IpFamilies::V4Only;
    world(vec![
        service("named-only").at("240.240.0.1").port(80, 8080).into(),
        Update::Workload(web),
        Update::Service(v4_only),
        pod("web-2")
            .called("web.example.com")
            .serving("v4-only", 80, 8080)
            .into(),
    ])
}

fn names(addresses: &[&str]) -> Names {
    let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
    [("web.example.com".into(), Resolved::Addresses(addresses.into()))].into()
}

#[test]
fn a_host_name_is_resolved_first() {
    let state = named_world();
    let ask = |to, names| {
        let with = With {
            names,
            ..With::default()
        };
        ask_with(&state, "client", to, &with)
    };
    let plan = |to, names| match ask(to, names) {
        Ok(Answer::Plan(plan)) => line(Ok(plan)),
        Ok(Answer::Need(Need::Dns(name))) => format!("needs {name}"),
        Err(refused) => line(Err(refused)),
    };
    let (any, v4) = ("240.240.0.1:80", "240.240.0.2:80");
    let both = || names(&["2001:db8::1", "192.0.2.1"]);
    for (to, names, expected) in [
        (any, Names::new(), "needs web.example.com"),
        // Of the family that was asked for, where there is one.
        (any, both(), "plain 192.0.2.1:8080 of named-only"),
        (
            any,
            names(&["2001:db8::1"]),
            "plain [2001:db8::1]:8080 of named-only",
        ),
        (v4, both(), "plain 192.0.2.1:8080 of v4-only"),
        (v4, names(&["2001:db8::1"]), "refused: no_address"),
        // A host name may stand for an address of the client's own; its proxy's ports are nobody's nevertheless.
        (any, names(&["127.0.0.1"]), "plain 127.0.0.1:8080 of named-only"),
    ] {
        assert_eq!(plan(to, names), expected);
    }
    let failed = Resolved::Failed("host name web.example.com has no address".into());
    let failed: Names = [("web.example.com".into(), failed)].into();
    let refused = ask(any, failed).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "workload Kubernetes/networking.istio.io/ServiceEntry/shop/web/web.example.com: host name web.example.com has no address"
    );
    assert!(refused.endpoint().is_some());
}

#[test]
fn a_host_name_that_stands_for_the_proxy_itself_is_refused() {
    let mut looping = pod("looping")
        .called("web.example.com")
        .serving("looping", 80, 15001)
        .build();
    looping.uid = WorkloadUid::new("looping");
    let state = world(vec![
        service("looping").at("240.240.0.1").port(80, 15001).into(),
        Update::Workload(looping),
    ]);
    for own in ["127.0.0.1", "10.0.0.1"] {
        let with = With {
            names: names(&[own]),
            ..With::default()
        };
        let refused = ask_with(&state, "client", "240.240.0.1:80", &with).unwrap_err();
        assert_eq!(refused.reason(), "self_call", "{own}");
    }
}
