use mesh_model::l7::bind::Serves;
use mesh_state::{StateReader, Update, mesh};
use mesh_testkit::{pod, service};

use super::*;

fn gateway() -> Gateway {
    Gateway::new(NamespacedName::new("shop", "waypoint"), "cluster.local")
}

fn with(updates: Vec<Update>) -> StateReader {
    let (mut writer, reader) = mesh(mesh_state::Settings::default());
    writer.apply(updates);
    reader
}

fn shop() -> StateReader {
    with(vec![
        service("waypoint").at("10.96.0.100").port(15008, 15008).into(),
        service("db")
            .at("10.96.0.1")
            .port(80, 8080)
            .behind("waypoint")
            .into(),
        service("byaddress")
            .at("10.96.0.2")
            .port(80, 8080)
            .behind_address("10.96.0.100")
            .into(),
        service("elsewhere")
            .at("10.96.0.3")
            .port(80, 8080)
            .behind("other")
            .into(),
        service("free").at("10.96.0.4").port(80, 8080).into(),
        pod("waypoint-1").at("10.0.0.9").into(),
        pod("db-1")
            .at("10.0.0.1")
            .hbone()
            .serving("db", 80, 8080)
            .behind("waypoint")
            .into(),
        pod("free-1").at("10.0.0.2").hbone().into(),
    ])
}

fn ask(target: &str, serves: Serves) -> Result<Frontend, Refused> {
    shop().query(|view| frontend(view, &target.parse().unwrap(), &gateway(), serves))
}

#[test]
fn a_service_that_is_bound_here_is_served() {
    for (target, name) in [("10.96.0.1:80", "db"), ("10.96.0.2:80", "byaddress")] {
        match ask(target, Serves::Services) {
            Ok(Frontend::Service {
                service, port: 80, ..
            }) => assert_eq!(service.name, *name),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_not_served_here_is_refused_with_its_reason() {
    for (target, reason) in [
        ("10.96.0.1:81", "no_such_port"),
        ("10.96.0.3:80", "not_served"),
        ("10.96.0.4:80", "not_served"),
        ("10.0.0.2:8080", "not_served"),
        // The proxy's own admin port, by its pod's address and by loopback.
        ("10.0.0.9:15000", "not_served"),
        ("127.0.0.1:15000", "unknown_destination"),
        ("192.0.2.1:80", "unknown_destination"),
        ("db.shop.svc.cluster.local:80", "host_name"),
    ] {
        assert_eq!(ask(target, Serves::All).unwrap_err().reason(), reason, "{target}");
    }
}

#[test]
fn services_and_workloads_are_served_as_the_listener_says() {
    assert_eq!(
        ask("10.0.0.1:8080", Serves::Services).unwrap_err().reason(),
        "kind_not_served"
    );
    assert_eq!(
        ask("10.96.0.1:80", Serves::Workloads).unwrap_err().reason(),
        "kind_not_served"
    );
    assert_eq!(
        ask("10.96.0.1:80", Serves::Nothing).unwrap_err().reason(),
        "kind_not_served"
    );
    match ask("10.0.0.1:8080", Serves::Workloads) {
        Ok(Frontend::Workload {
            workload, port: 8080, ..
        }) => assert_eq!(workload.name, *"db-1"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn host_names_are_for_several_networks() {
    let gateway = Gateway {
        multi_network: true,
        ..gateway()
    };
    let target = "db.shop.svc.cluster.local:80".parse().unwrap();
    let found = shop().query(|view| frontend(view, &target, &gateway, Serves::Services));
    assert!(
        matches!(found, Ok(Frontend::Service { port: 80, .. })),
        "{found:?}"
    );
}
