use super::*;

fn add() -> AddEvent {
    AddEvent {
        netns: "/run/netns/pod".into(),
        pod_name: "web-0".into(),
        pod_namespace: "shop".into(),
        ips: vec![
            IpConfig {
                interface: Some(1),
                address: IpNet {
                    ip: "10.0.0.7".parse().expect("an address"),
                    prefix: 24,
                },
                gateway: Some("10.0.0.1".parse().expect("an address")),
            },
            IpConfig {
                interface: None,
                address: IpNet {
                    ip: "fd00::7".parse().expect("an address"),
                    prefix: 65,
                },
                gateway: None,
            },
        ],
        pod_uid: Some("6f6d".into()),
        container_id: Some("c0ffee".into()),
    }
}

#[test]
fn the_keys_are_upstreams() {
    let json: serde_json::Value = serde_json::to_value(add()).expect("JSON");
    let expected = serde_json::json!({
        "Netns": "/run/netns/pod",
        "PodName": "web-0",
        "PodNamespace": "shop",
        "IPs": [
            {"Interface": 1, "Address": {"IP": "10.0.0.7", "Mask": "////AA=="}, "Gateway": "10.0.0.1"},
            {"Interface": null, "Address": {"IP": "fd00::7", "Mask": "//////////+AAAAAAAAAAA=="}, "Gateway": ""},
        ],
        "PodUID": "6f6d",
        "ContainerID": "c0ffee",
    });
    assert_eq!(json, expected);
}

#[test]
fn every_event_survives_the_wire() {
    let sandbox = SandboxEvent {
        container_id: "c0ffee".into(),
        netns: None,
        pod_name: Some("web-0".into()),
        pod_namespace: Some("shop".into()),
        pod_uid: None,
    };
    let gc = GcEvent {
        valid_container_ids: vec!["a".into(), "b".into()],
    };
    for event in [
        Event::Add(add()),
        Event::Del(sandbox.clone()),
        Event::Check(sandbox),
        Event::Gc(gc),
        Event::Status,
    ] {
        assert_eq!(Event::parse(event.path(), &event.body()), Ok(event));
    }
}

#[test]
fn a_foreign_plugins_event_is_understood() {
    let body = br#"{"Netns":"/var/run/netns/x","PodName":"a","PodNamespace":"b","IPs":null}"#;
    let Ok(Event::Add(event)) = Event::parse("/cmdadd", body) else {
        panic!("upstream's event");
    };
    assert_eq!(
        (event.ips.len(), event.pod_uid, event.container_id),
        (0, None, None)
    );
}

#[test]
fn a_mistake_is_named_with_its_path_and_place() {
    let error = Event::parse("/cmdadd", b"{\"Netns\": 3}")
        .expect_err("a number")
        .to_string();
    assert!(error.contains("/cmdadd") && error.contains("line 1"), "{error}");
    assert!(Event::parse("/cmdnothing", b"{}").is_err());
    let twice = br#"{"Netns":"/a","Netns":"/b","PodName":"a","PodNamespace":"b","IPs":[]}"#;
    assert!(Event::parse("/cmdadd", twice).is_err());
    let holes = br#"{"IP":"10.0.0.1","Mask":"/wD/AA=="}"#;
    assert!(serde_json::from_slice::<IpNet>(holes).is_err());
}
