use mesh_model::lb::Random;
use mesh_state::{Settings, StateReader, Update, mesh};
use mesh_testkit::{deny, pod, service};
use serde_json::{Value, json};

use super::*;

struct First;

impl Random for First {
    fn below(&mut self, _: u64) -> u64 {
        0
    }
}

fn world() -> StateReader {
    let (mut writer, reader) = mesh(Settings::default());
    let updates: Vec<Update> = vec![
        pod("client").at("10.0.0.1").hbone().into(),
        pod("plain").at("10.0.0.2").into(),
        pod("meshed")
            .at("10.0.0.3")
            .hbone()
            .serving("db", 5432, 15432)
            .into(),
        service("db").at("10.96.0.1").port(5432, 5432).into(),
        service("empty").at("10.96.0.2").port(80, 80).into(),
    ];
    writer.apply(updates);
    reader
}

fn ask(from: &str, to: &str) -> Result<Value, String> {
    let question = Question {
        from: Client::read(from).expect("a client"),
        to: Asked::read(to).expect("a destination"),
    };
    explain(&world(), &question, &mut First).map(|explained| json!(explained))
}

#[test]
fn a_tunnel_names_service_workload_authority_and_who_must_be_there() {
    let explained = ask("10.0.0.1", "10.96.0.1:5432").expect("an answer");
    assert_eq!(explained["goes"], "tunnel");
    assert_eq!(explained["authority"], "10.0.0.3:15432");
    assert_eq!(explained["address"], "10.0.0.3:15008");
    assert_eq!(explained["waypoint"], false);
    assert_eq!(explained["policies"], json!({"allowed": true}));
    assert_eq!(explained["expected"].as_array().map(Vec::len), Some(1));
    assert!(explained["service"].as_str().is_some_and(|s| s.contains("db")));
}

#[test]
fn what_the_mesh_does_not_know_goes_as_it_is_and_what_takes_no_tunnels_goes_plain() {
    assert_eq!(
        ask("10.0.0.1", "192.0.2.1:80").expect("an answer")["goes"],
        "passthrough"
    );
    assert_eq!(
        ask("10.0.0.1", "10.0.0.2:80").expect("an answer")["goes"],
        "plain"
    );
}

#[test]
fn a_refusal_says_why() {
    let explained = ask("10.0.0.1", "10.96.0.2:80").expect("an answer");
    assert_eq!(explained["goes"], "refused");
    assert!(
        explained["reason"]
            .as_str()
            .is_some_and(|r| r.contains("no healthy endpoint"))
    );
}

#[test]
fn clients_are_found_by_name_and_who_is_not_there_is_named() {
    let namespace = mesh_testkit::objects::NAMESPACE;
    assert_eq!(
        ask(&format!("{namespace}/client"), "10.96.0.1:5432"),
        ask("10.0.0.1", "10.96.0.1:5432")
    );
    let error = ask("nowhere/nobody", "10.96.0.1:5432").expect_err("nobody");
    assert_eq!(error, "from: the mesh knows of no workload nowhere/nobody");
    let error = ask("10.0.0.1", "nobody.example:1").expect_err("nowhere");
    assert!(
        error.starts_with("to: the mesh knows of no service nobody.example"),
        "{error}"
    );
}

/// A world whose database takes nobody without an identity, and whose shop has a waypoint in front of it.
fn strict() -> StateReader {
    let (mut writer, reader) = mesh(Settings::default());
    let updates: Vec<Update> = vec![
        pod("client").at("10.0.0.1").hbone().into(),
        pod("outside").at("10.0.0.2").into(),
        pod("db")
            .at("10.0.0.3")
            .hbone()
            .serving("db", 5432, 15432)
            .selected_by("strict")
            .into(),
        pod("waypoint").at("10.0.0.4").hbone().into(),
        service("db").at("10.96.0.1").port(5432, 5432).into(),
        service("guarded")
            .at("10.96.0.3")
            .port(5432, 5432)
            .behind_address("10.0.0.4")
            .into(),
        pod("cart")
            .at("10.0.0.5")
            .hbone()
            .serving("guarded", 5432, 5432)
            .selected_by("strict")
            .into(),
        deny("strict").from_nobody().by_selector().into(),
    ];
    writer.apply(updates);
    reader
}

fn ask_strict(from: &str, to: &str) -> Value {
    let question = Question {
        from: Client::read(from).expect("a client"),
        to: Asked::read(to).expect("a destination"),
    };
    let explained = explain(&strict(), &question, &mut First);
    json!(explained.expect("an answer"))
}

#[test]
fn whoever_is_outside_of_the_mesh_arrives_in_the_clear_and_is_judged_without_an_identity() {
    for from in ["10.0.0.2", "192.0.2.77"] {
        let explained = ask_strict(from, "10.96.0.1:5432");
        assert_eq!(explained["clientInMesh"], false, "{from}");
        assert_eq!(explained["identity"], "", "{from}");
        assert_eq!(explained["goes"], "plain", "{from}");
        assert_eq!(explained["destination"], "10.0.0.3:15432", "{from}");
        assert_eq!(explained["policies"]["allowed"], false, "{from}");
        assert_eq!(explained["policies"]["policy"], "shop/strict", "{from}");
    }
    assert_eq!(ask_strict("192.0.2.77", "10.96.0.1:5432")["client"], "192.0.2.77");
    let inside = ask_strict("10.0.0.1", "10.96.0.1:5432");
    assert_eq!(inside["clientInMesh"], true);
    assert_eq!(inside["policies"], json!({"allowed": true}));
}

#[test]
fn a_waypoint_is_asked_for_clients_of_the_mesh_only_and_what_follows_it_is_judged_too() {
    let outside = ask_strict("10.0.0.2", "10.96.0.3:5432");
    assert_eq!(outside["goes"], "plain");
    assert_eq!(outside["waypoint"], false);
    assert!(
        outside["past"]
            .as_str()
            .is_some_and(|past| past.contains("is not asked")),
        "{outside}"
    );
    assert_eq!(outside["policies"]["policy"], "shop/strict");
    let inside = ask_strict("10.0.0.1", "10.96.0.3:5432");
    assert_eq!(inside["waypoint"], true);
    assert_eq!(inside["policies"], Value::Null);
    assert_eq!(inside["behind"]["goes"], "tunnel");
    assert_eq!(inside["behind"]["destination"], "10.0.0.5:5432");
    assert_eq!(inside["behind"]["policies"], json!({"allowed": true}));
}

#[test]
fn a_waypoint_that_is_not_ready_is_told_as_tried_and_as_unready() {
    let (mut writer, state) = mesh(Settings::default());
    let updates: Vec<Update> = vec![
        pod("client").at("10.0.0.1").hbone().into(),
        service("wp").at("10.96.0.9").port(15008, 15008).into(),
        pod("wp-1")
            .at("10.0.0.9")
            .hbone()
            .unhealthy()
            .serving("wp", 15008, 15008)
            .into(),
        pod("db").at("10.0.0.3").hbone().behind("wp").into(),
    ];
    writer.apply(updates);
    let question = Question {
        from: Client::read("10.0.0.1").expect("a client"),
        to: Asked::read("10.0.0.3:5432").expect("a destination"),
    };
    let explained = json!(explain(&state, &question, &mut First).expect("an answer"));
    assert_eq!(explained["goes"], "tunnel");
    assert_eq!(explained["waypoint"], true);
    assert_eq!(explained["address"], "10.0.0.9:15008");
    let unready =
        "waypoint shop/wp.shop.svc.cluster.local has no endpoint that is ready, and one that is not is tried";
    assert_eq!(explained["unready"], unready);
    assert_eq!(explained["behind"]["goes"], "tunnel", "{explained}");
}

/// A waypoint's policies may go by the client's address, and people by the waypoint's name.
#[test]
fn the_clients_address_and_the_waypoints_service_are_told() {
    let (mut writer, reader) = mesh(Settings::default());
    let updates: Vec<Update> = vec![
        pod("client").at("10.0.0.1").hbone().into(),
        pod("proxy")
            .at("10.0.0.4")
            .hbone()
            .serving("gate", 15008, 15008)
            .into(),
        service("gate").at("10.96.0.9").port(15008, 15008).into(),
        service("guarded")
            .at("10.96.0.3")
            .port(80, 80)
            .behind("gate")
            .into(),
        pod("cart")
            .at("10.0.0.5")
            .hbone()
            .serving("guarded", 80, 80)
            .into(),
    ];
    writer.apply(updates);
    let namespace = mesh_testkit::objects::NAMESPACE;
    for from in ["10.0.0.1".to_owned(), format!("{namespace}/client")] {
        let question = Question {
            from: Client::read(&from).expect("a client"),
            to: Asked::read("10.96.0.3:80").expect("a destination"),
        };
        let explained = json!(explain(&reader, &question, &mut First).expect("an answer"));
        assert_eq!(explained["clientAddress"], "10.0.0.1", "{from}");
        assert_eq!(explained["waypoint"], true, "{from}: {explained}");
        let gateway = explained["gateway"].as_str().expect("the waypoint's service");
        assert!(gateway.contains("gate"), "{gateway}");
        assert_eq!(explained["behind"]["gateway"], Value::Null);
    }
    // Of whoever the mesh does not know the address is what was asked about.
    assert_eq!(
        ask("192.0.2.7", "10.96.0.1:5432").expect("an answer")["clientAddress"],
        "192.0.2.7"
    );
}

#[test]
fn nobody_judges_what_comes_to_a_workload_outside_of_the_mesh() {
    let explained = ask_strict("10.0.0.1", "10.0.0.2:80");
    assert_eq!(explained["goes"], "plain");
    assert_eq!(explained["policies"], Value::Null);
}

#[test]
fn host_names_stand_for_their_services() {
    let view = world();
    let hostname = view.query(|view| {
        let mut services = view.services();
        services
            .find(|service| &*service.name == "db")
            .map(|service| service.hostname.hostname.to_string())
    });
    let host = format!("{}:5432", hostname.expect("the service"));
    assert_eq!(ask("10.0.0.1", &host), ask("10.0.0.1", "10.96.0.1:5432"));
}

#[test]
fn what_is_neither_address_nor_name_is_not_read() {
    for text in ["", "a", "a/", "/b", "a/b/c"] {
        assert_eq!(Client::read(text), None, "{text:?}");
    }
    for text in ["", "10.0.0.1", "host", ":80", "host:many", "a:b:80"] {
        assert_eq!(Asked::read(text), None, "{text:?}");
    }
}
