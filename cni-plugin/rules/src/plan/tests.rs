use super::*;

fn actions(rules: &[Rule]) -> Vec<&Action> {
    rules.iter().map(|rule| &rule.action).collect()
}

#[test]
fn both_families_are_captured_alike() {
    for rules in [
        pod_nat_prerouting(&PodOptions::default()),
        pod_nat_output(&PodOptions::default()),
    ] {
        let redirects = rules.iter().filter(|r| matches!(r.action, Action::Redirect(_)));
        let families: Vec<_> = redirects
            .flat_map(|r| &r.matches)
            .filter_map(|m| match m {
                Match::NotToLoopback(family) => Some(*family),
                _ => None,
            })
            .collect();
        assert_eq!(families, Family::BOTH);
    }
}

#[test]
fn a_reply_is_exempt_before_anything_is_redirected_to_the_proxy() {
    let rules = pod_nat_output(&PodOptions::default());
    let exempt = rules
        .iter()
        .position(|r| r.matches.contains(&Match::Marked(SPOOFED)));
    let redirect = rules
        .iter()
        .position(|r| r.action == Action::Redirect(ports::OUTBOUND));
    assert!(exempt < redirect && exempt.is_some());
}

#[test]
fn the_chain_that_restores_the_mark_routes_anew() {
    let tables = pod(&PodOptions::default()).tables;
    let chains = tables.iter().flat_map(|t| &t.chains);
    let restoring: Vec<_> = chains
        .filter(|c| c.rules.iter().any(|r| r.action == Action::RestoreMark))
        .collect();
    assert_eq!(restoring.len(), 1);
    assert_eq!(
        (restoring[0].kind, restoring[0].hook),
        (ChainKind::Route, Hook::Output)
    );
}

#[test]
fn an_ingress_gateway_takes_plaintext_itself() {
    let options = PodOptions {
        bypass_inbound_capture: true,
        ..PodOptions::default()
    };
    assert!(pod_nat_prerouting(&options).is_empty());
    assert!(actions(&pod_nat_output(&options)).contains(&&Action::Redirect(ports::OUTBOUND)));
}

#[test]
fn dns_is_touched_only_where_its_capture_is_asked_for() {
    let mentions_udp = |ruleset: &Ruleset| {
        let rules = ruleset
            .tables
            .iter()
            .flat_map(|t| &t.chains)
            .flat_map(|c| &c.rules);
        rules
            .flat_map(|r| &r.matches)
            .any(|m| matches!(m, Match::UdpTo(_) | Match::UdpFrom(_)))
    };
    let plain = pod(&PodOptions::default());
    assert!(!mentions_udp(&plain));
    assert_eq!(plain.absent, [TableName::Raw]);
    let dns = pod(&PodOptions {
        dns_capture: true,
        ..PodOptions::default()
    });
    assert!(mentions_udp(&dns) && dns.absent.is_empty());
}

#[test]
fn every_reason_fits_into_the_kernel() {
    for ruleset in [everything(), host(&HostOptions::default())] {
        for rule in ruleset
            .tables
            .iter()
            .flat_map(|t| &t.chains)
            .flat_map(|c| &c.rules)
        {
            assert!(rule.why.len() <= 127 && !rule.why.contains('"'), "{}", rule.why);
        }
    }
}

#[test]
fn a_name_cannot_end_a_rule() {
    for bad in [
        "",
        "a\" accept",
        "a b",
        "eth0;",
        "much-too-long-a-name",
        "..",
        "*",
        "a\n",
    ] {
        assert!(InterfaceName::new(bad).is_err(), "{bad:?}");
    }
    assert!(InterfaceName::new("k6t-eth0").is_ok());
}

fn everything() -> Ruleset {
    pod(&PodOptions {
        dns_capture: true,
        reroute_virtual_interfaces: vec![InterfaceName::new("k6t-eth0").expect("valid")],
        ..PodOptions::default()
    })
}

#[test]
fn a_leaving_pod_keeps_what_established_connections_need_and_redirects_nothing() {
    let (leaving, member) = (leaving_pod(), pod(&PodOptions::default()));
    let redirects = |ruleset: &Ruleset| {
        let rules = ruleset
            .tables
            .iter()
            .flat_map(|t| &t.chains)
            .flat_map(|c| &c.rules);
        rules.filter(|r| matches!(r.action, Action::Redirect(_))).count()
    };
    assert!(redirects(&member) > 0);
    assert_eq!(redirects(&leaving), 0);
    let hooks = |ruleset: &Ruleset, name| {
        let tables = ruleset.tables.iter().filter(|t| t.name == name);
        tables
            .flat_map(|t| t.chains.iter().map(|c| (c.hook, c.kind)))
            .collect::<Vec<_>>()
    };
    assert_eq!(hooks(&leaving, TableName::Nat), hooks(&member, TableName::Nat));
    let mangle = |ruleset: &Ruleset| {
        ruleset
            .tables
            .iter()
            .find(|t| t.name == TableName::Mangle)
            .cloned()
    };
    assert_eq!(mangle(&leaving), mangle(&member));
}
