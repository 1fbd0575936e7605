use mesh_model::lb::Random;
use mesh_state::{Settings, StateReader, Update, mesh};
use mesh_testkit::{pod, service};
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
fn clients_are_found_by_name_and_strangers_are_named() {
    let namespace = mesh_testkit::objects::NAMESPACE;
    assert_eq!(
        ask(&format!("{namespace}/client"), "10.96.0.1:5432"),
        ask("10.0.0.1", "10.96.0.1:5432")
    );
    let error = ask("10.9.9.9", "10.96.0.1:5432").expect_err("nobody");
    assert_eq!(error, "from: the mesh knows of no address 10.9.9.9");
    let error = ask("10.0.0.1", "nobody.example:1").expect_err("nowhere");
    assert!(
        error.starts_with("to: the mesh knows of no service nobody.example"),
        "{error}"
    );
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
