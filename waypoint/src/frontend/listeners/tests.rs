use mesh_model::AppProtocol;
use mesh_types::NamespacedName;

use super::*;

fn bind(listener: &str, hostnames: &[&str]) -> Arc<Bind> {
    Arc::new(Bind {
        gateway: NamespacedName::new("shop", "gw"),
        listener: listener.into(),
        port: 443,
        protocol: BindProtocol::Plain(Served::Routes {
            hostnames: hostnames.iter().map(|name| (*name).into()).collect(),
            protocol: AppProtocol::Http11,
        }),
    })
}

fn all() -> Vec<Arc<Bind>> {
    vec![
        bind("any", &[]),
        bind("wild", &["*.example.org"]),
        bind("wilder", &["*.deep.example.org"]),
        bind("exact", &["a.example.org"]),
    ]
}

fn said(at: usize, of: &[Arc<Bind>], host: &str) -> String {
    let frontend = Frontend::of_listener(&of[at]).expect("it serves routes");
    match frontend.meant(of.iter().cloned(), host) {
        Meant::Here => "here".to_owned(),
        Meant::Nobody => "nobody".to_owned(),
        Meant::Sibling(Frontend::Listener { bind, .. }) => bind.to_string(),
        Meant::Sibling(other) => panic!("{other:?}"),
    }
}

#[test]
fn the_most_exact_name_takes_a_request_wherever_it_came() {
    let all = all();
    for (host, whose) in [
        ("a.example.org", 3),
        ("A.Example.org:443", 3),
        ("b.example.org", 1),
        ("x.deep.example.org", 2),
        ("example.org", 0),
        ("other.test", 0),
    ] {
        for at in 0..all.len() {
            let expected = match at == whose {
                true => "here".to_owned(),
                false => all[whose].key().to_string(),
            };
            assert_eq!(said(at, &all, host), expected, "{host} at {at}");
        }
    }
    let named = &all[1..];
    assert_eq!(said(0, named, "other.test"), "nobody");
    assert_eq!(said(2, named, "a.example.org"), "here");
    assert_eq!(said(0, named, "a.example.org"), "shop/gw/exact");
}

#[test]
fn a_server_name_chooses_the_listener() {
    let chosen = |name: &str| by_server_name(all().into_iter(), name).map(|bind| bind.listener.to_string());
    assert_eq!(chosen("a.example.org").as_deref(), Some("exact"));
    assert_eq!(chosen("b.example.org").as_deref(), Some("wild"));
    assert_eq!(chosen("elsewhere.test").as_deref(), Some("any"));
    let named = all().split_off(1);
    assert_eq!(by_server_name(named.into_iter(), "elsewhere.test"), None);
}
