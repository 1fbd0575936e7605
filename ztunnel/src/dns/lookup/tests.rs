use mesh_model::service::{VirtualAddress, Visibility};
use mesh_state::{Settings, StateReader, Update, mesh};
use mesh_testkit::objects::{CLUSTER, NAMESPACE};
use mesh_testkit::{pod, service};
use mesh_types::{NamespacedHostname, WorkloadUid};

use super::*;

/// An entry for a host outside, in a namespace.
fn entry(namespace: &str, host: &str, addresses: &[&str]) -> Service {
    let mut entry = Service::new(NamespacedHostname::new(namespace, host), host);
    entry.addresses = addresses
        .iter()
        .map(|text| match text.parse() {
            Ok(range) => VirtualAddress::range("", range),
            Err(_) => VirtualAddress::single("", text.parse().unwrap()),
        })
        .collect();
    entry
}

fn world() -> StateReader {
    let (mut writer, reader) = mesh(Settings::default());
    let mut remote = entry(NAMESPACE, "remote.example", &[]);
    remote.addresses = vec![VirtualAddress::single("other", "10.9.0.1".parse().unwrap())];
    let mut hidden = entry("bank", "hidden.example", &["240.240.0.9"]);
    hidden.visibility = Visibility::Namespace;
    let mut elsewhere = Service::new(
        NamespacedHostname::new("bank", "ledger.bank.svc.cluster.local"),
        "ledger",
    );
    elsewhere.addresses = vec![VirtualAddress::single("", "10.96.0.7".parse().unwrap())];
    let update = |service: Service| Update::Service(service);
    writer.apply(vec![
        pod("client").at("10.0.0.1").into(),
        service("web").at("10.96.0.1").at("fd96::1").into(),
        service("set").into(),
        pod("set-0")
            .at("10.0.0.2")
            .at("fd00::2")
            .serving("set", 80, 80)
            .into(),
        pod("set-1")
            .at("10.0.0.3")
            .unhealthy()
            .serving("set", 80, 80)
            .into(),
        pod("set-2")
            .at("10.0.0.4")
            .in_network("other")
            .serving("set", 80, 80)
            .into(),
        service("bare").into(),
        update(elsewhere),
        update(entry(NAMESPACE, "api.example.com", &["240.240.0.1", "2001:2::1"])),
        update(entry(NAMESPACE, "*.wild.example.com", &["240.240.0.2"])),
        update(entry(NAMESPACE, "*.example.com", &["240.240.0.3"])),
        update(entry(NAMESPACE, "headless.example", &[])),
        pod("outside").at("192.0.2.1").into(),
        update(entry(NAMESPACE, "ranged.example", &["198.51.100.0/24"])),
        update(entry(
            NAMESPACE,
            "mixed.example",
            &["198.51.100.0/24", "240.240.0.5"],
        )),
        update(remote),
        update(hidden),
        update(entry("bank", "shared.example", &["240.240.0.7"])),
        update(entry(NAMESPACE, "shared.example", &["240.240.0.6"])),
    ]);
    reader
}

/// The answer in one line.
fn ask(state: &StateReader, name: &str) -> String {
    let found = state.query(|view| {
        let uid = WorkloadUid::of_pod(CLUSTER, NAMESPACE, "client");
        let client = view.workload_by_uid(&uid).unwrap();
        look_up(view, client, "cluster.local", name)
    });
    match found {
        Lookup::Unknown => "unknown".to_owned(),
        Lookup::Known { alias, addresses } => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            let alias = alias.map(|a| format!("{a} = ")).unwrap_or_default();
            format!("{alias}{}", addresses.join(" "))
        }
    }
}

#[test]
fn names_of_the_mesh_and_others() {
    let state = world();
    let web = "10.96.0.1 fd96::1";
    for (name, expected) in [
        // A service of the cluster, by every name that it has.
        ("web.shop.svc.cluster.local", web),
        ("web.shop.svc", web),
        ("web.shop", web),
        ("web", web),
        ("ledger.bank", "10.96.0.7"),
        // Not the client's namespace's.
        ("ledger", "unknown"),
        // A headless one: the endpoints that are ready, in the client's network.
        ("set.shop.svc.cluster.local", "10.0.0.2 fd00::2"),
        ("set", "10.0.0.2 fd00::2"),
        // One without endpoints: the cluster's DNS knows better.
        ("bare.shop.svc.cluster.local", "unknown"),
        // Hosts outside, with the addresses that were given them.
        ("api.example.com", "240.240.0.1 2001:2::1"),
        ("headless.example", "unknown"),
        // The closest wildcard.
        ("a.wild.example.com", "240.240.0.2"),
        ("a.b.wild.example.com", "240.240.0.2"),
        ("other.example.com", "240.240.0.3"),
        ("wild.example.com", "240.240.0.3"),
        ("example.com", "unknown"),
        // A range is nothing to connect to.
        ("ranged.example", "unknown"),
        ("mixed.example", "240.240.0.5"),
        // Only in another network: known, and without an address.
        ("remote.example", ""),
        // Somebody else's.
        ("hidden.example", "unknown"),
        ("shared.example", "240.240.0.6"),
        ("nobody.example", "unknown"),
        ("cluster.local", "unknown"),
        ("svc.cluster.local", "unknown"),
    ] {
        assert_eq!(ask(&state, name), expected, "{name}");
    }
}

#[test]
fn below_a_search_domain_stands_an_alias() {
    let state = world();
    for (name, expected) in [
        (
            "api.example.com.shop.svc.cluster.local",
            "api.example.com = 240.240.0.1 2001:2::1",
        ),
        (
            "api.example.com.svc.cluster.local",
            "api.example.com = 240.240.0.1 2001:2::1",
        ),
        (
            "api.example.com.cluster.local",
            "api.example.com = 240.240.0.1 2001:2::1",
        ),
        (
            "x.wild.example.com.shop.svc.cluster.local",
            "x.wild.example.com = 240.240.0.2",
        ),
        (
            "web.shop.shop.svc.cluster.local",
            "web.shop.svc.cluster.local = 10.96.0.1 fd96::1",
        ),
        (
            "ledger.bank.svc.shop.svc.cluster.local",
            "ledger.bank.svc.cluster.local = 10.96.0.7",
        ),
        // The search domain of another namespace is none.
        ("api.example.com.bank.svc.cluster.local", "unknown"),
        ("nobody.example.shop.svc.cluster.local", "unknown"),
    ] {
        assert_eq!(ask(&state, name), expected, "{name}");
    }
}

#[test]
fn the_domain_of_the_cluster_is_what_it_is_said_to_be() {
    assert_eq!(
        completed("web", "shop", "mesh.example").as_deref(),
        Some("web.shop.svc.mesh.example")
    );
    let names: Vec<_> = candidates("a.b.mesh.example", "shop", "mesh.example")
        .into_iter()
        .map(|c| (c.name, c.below_search_domain))
        .collect();
    assert_eq!(
        names,
        [
            ("a.b.mesh.example".to_owned(), false),
            ("a.b".to_owned(), true),
            ("a.b.svc.mesh.example".to_owned(), true),
        ]
    );
}
