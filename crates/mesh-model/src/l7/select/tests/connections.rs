use super::*;
use crate::l7::route::TcpBackend;

#[test]
fn server_names_the_longest_first() {
    let table = table([
        tls("a", Created::at(2), &[(&["*.example.com"], "below")]),
        tls(
            "b",
            Created::at(1),
            &[(&["www.example.com"], "old"), (&["*.deep.example.com"], "deep")],
        ),
        tls(
            "c",
            Created::at(3),
            &[(&["www.example.com", "*.example.com"], "young")],
        ),
        tls("d", Created::at(4), &[(&[], "any")]),
    ]);
    let sent = get("/");
    let to = |name: Option<&str>| {
        let selected = table.select_tls(name, &sent.client());
        selected.and_then(|s| s.rule.name.clone()).unwrap_or_default()
    };
    assert_eq!(to(Some("www.example.com")), "old");
    assert_eq!(to(Some("WWW.Example.com")), "old");
    assert_eq!(to(Some("a.example.com")), "below");
    assert_eq!(to(Some("a.deep.example.com")), "deep");
    assert_eq!(to(Some("example.com")), "any");
    assert_eq!(to(None), "any");
}

#[test]
fn without_a_rule_for_it_a_connection_goes_nowhere() {
    let table = table([tls("a", Created::unknown(), &[(&["example.com"], "a")])]);
    let sent = get("/");
    assert!(table.select_tls(None, &sent.client()).is_none());
    assert!(table.select_tls(Some("other"), &sent.client()).is_none());
    assert!(table.has_tls(&sent.client()));
    assert!(!table.has_http(&sent.client()) && !table.has_tcp(&sent.client()));
}

#[test]
fn of_several_tcp_routes_the_oldest_serves() {
    let table = table([
        tcp("a", Created::at(2), &[(&[], "young")]),
        tcp(
            "b",
            Created::at(1),
            &[(&["10.0.0.0/8"], "ten"), (&["::/0"], "six")],
        ),
    ]);
    let sent = get("/");
    let to = |address: &str| {
        let local = Local {
            address: address.parse().unwrap(),
            port: 80,
        };
        let selected = table.select_tcp(local, &sent.client()).unwrap();
        (selected.rule.name.clone().unwrap(), selected.rule_index)
    };
    assert_eq!(to("10.1.1.1"), ("ten".into(), 0));
    assert_eq!(to("fd00::1"), ("six".into(), 1));
    assert_eq!(to("192.0.2.1"), ("young".into(), 0));
}

fn tls(name: &str, created: Created, rules: &[(&[&str], &str)]) -> Route {
    let rules = rules.iter().map(|(names, to)| TlsRule {
        name: Some((*to).into()),
        server_names: names.iter().map(|name| (*name).into()).collect(),
        backends: vec![to_backend(to)],
    });
    Route {
        created,
        rules: Rules::Tls(rules.collect()),
        ..gateway_api(name, vec![])
    }
}

fn tcp(name: &str, created: Created, rules: &[(&[&str], &str)]) -> Route {
    let rules = rules.iter().map(|(ranges, to)| TcpRule {
        name: Some((*to).into()),
        destinations: ranges.iter().map(|range| range.parse().unwrap()).collect(),
        backends: vec![to_backend(to)],
    });
    Route {
        created,
        rules: Rules::Tcp(rules.collect()),
        ..gateway_api(name, vec![])
    }
}

fn to_backend(to: &str) -> TcpBackend {
    TcpBackend {
        weight: 1,
        destination: Destination::Backend(to.into()),
    }
}
