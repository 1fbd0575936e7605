use mesh_state::{StateReader, Update};
use mesh_testkit::{pod, service};

use super::super::tests::{With, ask_as, ask_with, line, spiffe, world};
use super::super::{Answer, Names, Need, Resolved, Via};

/// A waypoint `wp` that is there, one `gone` that nobody knows, one `hollow` without an endpoint, one `sick` whose only
/// endpoint is not ready, and what they stand in front of.
fn guarded() -> StateReader {
    guarded_and([])
}

fn guarded_and<const N: usize>(more: [Update; N]) -> StateReader {
    let mut updates: Vec<Update> = vec![
        service("hollow").at("10.96.9.1").port(15008, 15008).into(),
        service("sick").at("10.96.9.2").port(15008, 15008).into(),
        pod("sick-1")
            .at("10.0.9.2")
            .hbone()
            .unhealthy()
            .serving("sick", 15008, 15008)
            .into(),
        service("far").at("10.96.9.3").port(15008, 15008).into(),
        pod("far-1")
            .at("10.0.9.3")
            .in_network("other")
            .hbone()
            .serving("far", 15008, 15008)
            .into(),
        service("wp2").at("10.96.9.4").port(15008, 15008).into(),
        pod("wp2-1")
            .at("10.0.9.4")
            .hbone()
            .serving("wp2", 15008, 15008)
            .into(),
    ];
    for (n, waypoint) in ["wp", "gone", "hollow", "sick", "far"].iter().enumerate() {
        let (closed, open) = (format!("closed-{n}"), format!("open-{n}"));
        updates.extend([
            service(&closed)
                .at(&format!("10.96.1.{n}"))
                .port(80, 80)
                .behind(waypoint)
                .into(),
            service(&open)
                .at(&format!("10.96.2.{n}"))
                .port(80, 80)
                .behind(waypoint)
                .failing_open()
                .into(),
            pod(&closed)
                .at(&format!("10.0.1.{n}"))
                .hbone()
                .behind(waypoint)
                .serving(&closed, 80, 80)
                .into(),
            pod(&open)
                .at(&format!("10.0.2.{n}"))
                .hbone()
                .behind(waypoint)
                .failing_open()
                .serving(&open, 80, 80)
                .into(),
        ]);
    }
    updates.extend(more);
    world(updates)
}

#[test]
fn a_missing_waypoint_closes_the_way_unless_the_binding_opens_it() {
    let state = guarded();
    let ask = |to: &str| line(ask_as(&state, "client", to, &[]));
    for (n, name, trouble) in [
        (1, "gone", "is not known"),
        (2, "hollow", "has no endpoint that is ready"),
        (3, "sick", "has no endpoint that is ready"),
        (
            4,
            "far",
            "is in another network, and crossing networks is not supported by this version",
        ),
    ] {
        let past = format!("past shop/{name}.shop.svc.cluster.local, which {trouble}");
        for to in [format!("10.96.1.{n}:80"), format!("10.0.1.{n}:80")] {
            let closed = match name {
                "sick" => "tunnel 10.0.9.2:15008".to_owned(),
                _ => "refused: no_waypoint".to_owned(),
            };
            assert!(ask(&to).starts_with(&closed), "{to}: {}", ask(&to));
        }
        let (to, expected) = (format!("10.96.2.{n}:80"), spiffe(&format!("open-{n}")));
        assert_eq!(
            ask(&to),
            format!("tunnel 10.0.2.{n}:15008 for 10.0.2.{n}:80 of open-{n} expecting {expected} {past}")
        );
        let to = format!("10.0.2.{n}:80");
        assert_eq!(
            ask(&to),
            format!("tunnel 10.0.2.{n}:15008 for 10.0.2.{n}:80 expecting {expected} {past}")
        );
    }
}

#[test]
fn a_waypoint_that_is_there_is_used_whatever_the_binding_says() {
    let state = guarded();
    let wp = spiffe("wp-1");
    for (to, of) in [
        ("10.96.1.0:80", " of closed-0"),
        ("10.96.2.0:80", " of open-0"),
        ("10.0.1.0:80", ""),
        ("10.0.2.0:80", ""),
    ] {
        assert_eq!(
            line(ask_as(&state, "client", to, &[])),
            format!("tunnel 10.0.0.9:15008 for {to}{of} expecting {wp}")
        );
    }
}

#[test]
fn a_waypoint_that_cannot_be_reached_is_as_good_as_missing() {
    let state = guarded();
    let ask = |to: &str| {
        let with = With {
            waypoint_unreachable: true,
            ..With::default()
        };
        match ask_with(&state, "client", to, &with) {
            Ok(Answer::Plan(plan)) => line(Ok(plan)),
            other => panic!("{other:?}"),
        }
    };
    let expected = spiffe("open-0");
    assert_eq!(
        ask("10.96.2.0:80"),
        format!(
            "tunnel 10.0.2.0:15008 for 10.0.2.0:80 of open-0 expecting {expected} past shop/wp.shop.svc.cluster.local, which cannot be reached"
        )
    );
    // Where the binding does not open the way, only the waypoint is tried.
    let wp = spiffe("wp-1");
    assert_eq!(
        ask("10.96.1.0:80"),
        format!("tunnel 10.0.0.9:15008 for 10.96.1.0:80 of closed-0 expecting {wp}")
    );
}

#[test]
fn a_refusal_names_the_waypoint_and_what_is_wrong_with_it() {
    let refused = ask_as(&guarded(), "client", "10.96.1.2:80", &[]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "waypoint shop/hollow.shop.svc.cluster.local has no endpoint that is ready; going past it would evade its policies"
    );
}

#[test]
fn an_unready_endpoint_of_a_waypoint_is_better_than_none_and_worse_than_any_that_is_ready() {
    let state = guarded();
    let sick = |to: &str, of: &str| {
        let (name, expected) = ("shop/sick.shop.svc.cluster.local", spiffe("sick-1"));
        format!("tunnel 10.0.9.2:15008 for {to}{of} expecting {expected} by {name}, which is not ready")
    };
    let ask = |to: &str, avoid: &[_]| line(ask_as(&state, "client", to, avoid));
    assert_eq!(ask("10.96.1.3:80", &[]), sick("10.96.1.3:80", " of closed-3"));
    assert_eq!(ask("10.0.1.3:80", &[]), sick("10.0.1.3:80", ""));
    // Tried in vain once, it is still the only one.
    let tried = [pod("sick-1").build().uid];
    assert_eq!(ask("10.96.1.3:80", &tried), sick("10.96.1.3:80", " of closed-3"));

    // Of several waypoints it is the one that has it that is named.
    let canary = service("canary")
        .at("10.96.3.1")
        .port(80, 80)
        .partly_behind("gone", 90)
        .partly_behind("sick", 10);
    let state = guarded_and([canary.into()]);
    assert_eq!(
        line(ask_as(&state, "client", "10.96.3.1:80", &[])),
        sick("10.96.3.1:80", " of canary")
    );

    // It steps back as soon as another one is ready, even one that was tried in vain.
    let well = pod("well-1").at("10.0.9.5").hbone().serving("sick", 15008, 15008);
    let state = guarded_and([well.clone().into()]);
    for avoid in [vec![], vec![well.build().uid]] {
        assert_eq!(
            line(ask_as(&state, "client", "10.96.1.3:80", &avoid)),
            format!(
                "tunnel 10.0.9.5:15008 for 10.96.1.3:80 of closed-3 expecting {}",
                spiffe("well-1")
            )
        );
    }
}

#[test]
fn the_log_says_of_an_unready_waypoint_that_failed_what_it_was() {
    let unready = Via::UnreadyWaypoint {
        waypoint: "shop/wp".into(),
    };
    assert!(unready.is_waypoint());
    assert_eq!(
        unready.explained("connection refused".into()),
        "waypoint shop/wp has no endpoint that is ready; one that is not was tried: connection refused"
    );
    let ready = Via::Waypoint { fail_open: true };
    assert_eq!(ready.explained("connection refused".into()), "connection refused");
}

#[test]
fn weighted_waypoints_are_drawn_and_stand_in_for_each_other() {
    let bound = |weighted: &[(&str, u32)], one: Option<&str>| {
        let mut canary = service("canary").at("10.96.3.1").port(80, 80);
        canary = one.into_iter().fold(canary, |s, one| s.behind(one));
        weighted
            .iter()
            .fold(canary, |s, (name, weight)| s.partly_behind(name, *weight))
    };
    let ask = |weighted: &[(&str, u32)], one, draw| {
        let mut updates: Vec<Update> = vec![
            service("wp2").at("10.96.9.4").port(15008, 15008).into(),
            pod("wp2-1")
                .at("10.0.9.4")
                .hbone()
                .serving("wp2", 15008, 15008)
                .into(),
            pod("canary-1")
                .at("10.0.3.1")
                .hbone()
                .serving("canary", 80, 80)
                .into(),
        ];
        updates.push(bound(weighted, one).into());
        let state = world(updates);
        let with = With {
            draw,
            ..With::default()
        };
        match ask_with(&state, "client", "10.96.3.1:80", &with) {
            Ok(Answer::Plan(plan)) => plan.next().ip().to_string(),
            Ok(Answer::Need(need)) => panic!("{need:?}"),
            Err(refused) => refused.reason().to_owned(),
        }
    };
    let both = [("wp", 90), ("wp2", 10)];
    let (wp, wp2) = ("10.0.0.9", "10.0.9.4");
    for (weighted, one, draw, expected) in [
        (&both[..], Some("wp"), 0, wp),
        (&both, Some("wp"), 89, wp),
        (&both, Some("wp"), 90, wp2),
        // Without a weight, the one.
        (&[("wp2", 0)], Some("wp"), 0, wp),
        // What was drawn is missing: any other that is bound enforces the same policies.
        (&[("gone", 90), ("wp2", 10)], Some("wp"), 0, wp),
        (&[("gone", 90), ("wp2", 10)], None, 0, wp2),
        (&[("gone", 90), ("lost", 10)], None, 0, "no_waypoint"),
    ] {
        assert_eq!(ask(weighted, one, draw), expected, "{weighted:?} {one:?} {draw}");
    }
}

#[test]
fn what_comes_from_any_of_its_waypoints_goes_on_to_the_destination() {
    let state = world(vec![
        service("wp2").at("10.96.9.4").port(15008, 15008).into(),
        // Not ready yet, or no more: it is the waypoint all the same.
        pod("wp2-1")
            .at("10.0.9.4")
            .hbone()
            .unhealthy()
            .serving("wp2", 15008, 15008)
            .into(),
        service("canary")
            .at("10.96.3.1")
            .port(80, 80)
            .behind("wp")
            .partly_behind("wp", 100)
            .partly_behind("wp2", 0)
            .into(),
        pod("canary-1")
            .at("10.0.3.1")
            .hbone()
            .serving("canary", 80, 80)
            .into(),
    ]);
    for client in ["wp-1", "wp2-1"] {
        let expected = spiffe("canary-1");
        assert_eq!(
            line(ask_as(&state, client, "10.96.3.1:80", &[])),
            format!("tunnel 10.0.3.1:15008 for 10.0.3.1:80 of canary expecting {expected}")
        );
    }
}

#[test]
fn a_waypoint_with_a_host_name_is_resolved_first() {
    let state = world(vec![
        service("outside").at("10.96.9.5").port(15008, 15008).into(),
        pod("outside-1")
            .called("wp.example")
            .hbone()
            .serving("outside", 15008, 15008)
            .into(),
        service("guarded")
            .at("10.96.3.2")
            .port(80, 80)
            .behind("outside")
            .into(),
    ]);
    let ask = |names| {
        let with = With {
            names,
            ..With::default()
        };
        ask_with(&state, "client", "10.96.3.2:80", &with)
    };
    assert_eq!(
        ask(Names::new()),
        Ok(Answer::Need(Need::Dns("wp.example".into())))
    );
    let addresses = Resolved::Addresses(["192.0.2.1".parse().unwrap()].into());
    let Ok(Answer::Plan(plan)) = ask([("wp.example".into(), addresses)].into()) else {
        panic!("no plan");
    };
    let expected = spiffe("outside-1");
    assert_eq!(
        line(Ok(plan)),
        format!("tunnel 192.0.2.1:15008 for 10.96.3.2:80 of guarded expecting {expected}")
    );
}
