use super::absent::Kind;
use super::*;
use crate::output::Format;

const AUTHORIZATION: &str = "type.googleapis.com/istio.security.Authorization";

fn page() -> Value {
    json!([{
        "node": {"kind": "ztunnel", "ip": "10.0.0.2", "name": "ztunnel-b", "namespace": "istio-system", "node": "n2", "metadata": {}},
        "subscriptions": [
            {"type_url": "type.googleapis.com/istio.workload.Address", "wildcard": true, "sent": 9, "acknowledged": 9,
             "outstanding": false, "refusals": 0, "refused": null, "published": 8, "last_refusal": null},
            {"type_url": AUTHORIZATION, "wildcard": true, "sent": 9, "acknowledged": 7, "published": 12,
             "outstanding": false, "refusals": 2, "refused": "shop/web: ports: 0 is no port",
             "last_refusal": {"message": "shop/web: ports: 0 is no port"}},
        ],
        "resources": {AUTHORIZATION: {"sent": "9", "acked": "7", "sentTime": "1970-01-01T00:00:00Z",
                      "lastRefusalTime": "1970-01-01T00:00:00Z"}},
    }, {"node": null, "subscriptions": []}])
}

#[test]
fn each_proxy_and_type_has_a_row_and_refusals_say_why() {
    let status = Status::read(&page()).expect("the page").with(certificates());
    assert!(status.is_refused());
    assert_eq!(
        status.view().table.text(),
        "PROXY                    KIND      NODE   TYPE            STATE     SYNCED   BEHIND   REFUSALS   LAST REFUSAL   CERTIFICATE ENDS\n\
         ztunnel-b.istio-system   ztunnel   n2     Address         SYNCED    9        0        0          -              in 12h0m\n\
         ztunnel-b.istio-system   ztunnel   n2     Authorization   REFUSED   7        5        2          0s ago         in 12h0m\n\
         ztunnel-b.istio-system refuses Authorization: shop/web: ports: 0 is no port\n"
    );
}

fn certificates() -> Certificates {
    let held = json!([{"identity": "spiffe://cluster.local/ns/shop/sa/web", "expirationTime": "1970-01-01T12:00:00Z"}]);
    let held = Lifetimes::read(&held).expect("the page");
    Certificates {
        of: BTreeMap::from([("ztunnel-b.istio-system".to_owned(), held)]),
        others: "not asked".to_owned(),
        now: 0,
    }
}

#[test]
fn certificates_are_in_every_format_and_who_was_not_asked_has_the_reason_in_its_cell() {
    let status = Status::read(&page()).expect("the page").with(certificates());
    let data = status.view().data;
    assert_eq!(data["proxies"][0]["certificates"]["endsInSeconds"], 43_200);
    assert_eq!(data["proxies"][0]["certificates"]["count"], 1);
    assert_eq!(
        data["proxies"][1]["certificates"],
        json!({"unknown": "not asked"})
    );
    for (format, expected) in [
        (Format::Table, "in 12h0m"),
        (Format::Json, "\"endsInSeconds\": 43200"),
        (Format::Yaml, "endsInSeconds: 43200"),
    ] {
        let text = status.view().text(format).expect("text");
        assert!(text.contains(expected), "{text}");
    }
    let nobody_asked = Status::read(&page()).expect("the page").with(Certificates {
        others: "no answer within 10 s".to_owned(),
        ..Certificates::default()
    });
    let text = nobody_asked.view().table.text();
    assert!(text.contains("unknown: no answer within 10 s"), "{text}");
}

/// A proxy that was sent something at 10:00:00 and has not answered, and refused something at 9:00:00.
fn silent(now: &str) -> Status {
    let page = json!([{
        "node": {"kind": "ztunnel", "ip": "10.0.0.2", "name": "z", "namespace": "istio-system", "node": "n2", "metadata": {}},
        "subscriptions": [
            {"type_url": AUTHORIZATION, "wildcard": true, "sent": 9, "acknowledged": 7, "published": 40, "outstanding": true,
             "refusals": 1, "refused": null, "last_refusal": {"message": "shop/web: ports: 0 is no port"}},
        ],
        "resources": {AUTHORIZATION: {"sent": "9", "acked": "7", "sentTime": "2026-11-22T10:00:00Z",
                      "lastRefusalTime": "2026-11-22T09:00:00Z"}},
    }]);
    let certificates = Certificates {
        now: seconds(now).expect("a time"),
        ..Certificates::default()
    };
    Status::read(&page).expect("the page").with(certificates)
}

#[test]
fn a_proxy_that_hangs_falls_behind_and_is_not_well_after_some_seconds() {
    // Every change is under way for a moment.
    assert!(silent("2026-11-22T10:00:09Z").is_well());
    let hung = silent("2026-11-22T10:05:00Z");
    assert!(!hung.is_well());
    let text = hung.view().table.text();
    assert!(
        text.contains("STALE   7        33       1          1h5m ago"),
        "{text}"
    );
    assert!(
        text.contains("z.istio-system has not answered what it was sent of Authorization 5m0s ago"),
        "{text}"
    );
}

#[test]
fn a_refusal_that_is_mended_is_told_still() {
    let status = silent("2026-11-22T10:00:00Z");
    assert!(!status.is_refused() && status.is_well());
    let text = status.view().table.text();
    assert!(
        text.contains("z.istio-system refused Authorization, which has changed or gone since: shop/web"),
        "{text}"
    );
}

#[test]
fn a_certificate_that_has_ended_is_not_well() {
    let mut page = page();
    page[0]["subscriptions"][1]["refused"] = Value::Null;
    let of = |now| {
        let certificates = Certificates {
            now,
            ..certificates()
        };
        Status::read(&page).expect("the page").with(certificates)
    };
    assert!(of(0).is_well());
    assert!(!of(43_200).is_well());
}

#[test]
fn a_type_of_which_there_is_nothing_alarms_nobody() {
    let url = "type.googleapis.com/lateen.config.v1.Policy";
    let page = |resources: Value| {
        json!([{
            "node": {"kind": "waypoint", "ip": "10.0.0.3", "name": "wp", "namespace": "shop", "node": "n2", "metadata": {}},
            "subscriptions": [{"type_url": url, "wildcard": true, "sent": 0, "acknowledged": 0, "outstanding": false,
                               "refusals": 0, "refused": null}],
            "resources": resources,
        }])
    };
    let told = json!({url: {"sent": "0", "acked": "0", "sentTime": "2026-11-21T15:00:00Z"}});
    let status = Status::read(&page(told)).expect("the page");
    assert_eq!(status.trouble_of("wp.shop"), None);
    let text = status.view().table.text();
    assert!(text.contains("Policy   EMPTY"), "{text}");
    assert!(
        text.ends_with("EMPTY: nothing of that type is meant for the proxy, and it was told so\n"),
        "{text}"
    );
    // Of a type that it asked for, and has heard nothing of, it is not so.
    let waiting = json!({url: {"sent": "0", "acked": "0"}});
    let status = Status::read(&page(waiting)).expect("the page");
    assert_eq!(
        status.trouble_of("wp.shop").as_deref(),
        Some("was not sent Policy yet")
    );
    assert!(status.view().table.text().contains("NOT SENT"));
}

#[test]
fn nobody_connected_is_said() {
    let status = Status::read(&json!([])).expect("the page");
    assert_eq!(status.view().table.text(), "no proxy is connected\n");
    assert!(!status.is_refused());
}

#[test]
fn another_page_is_an_error() {
    assert!(Status::read(&json!({"workloads": []})).is_err());
}

#[test]
fn who_runs_and_is_not_connected_has_a_row_and_is_not_well() {
    let running = |name: &str, namespace: &str, kind, since| Running {
        name: ObjectName::new(namespace, name),
        kind,
        node: "n1".to_owned(),
        since,
    };
    let all = vec![
        running("wp-1", "shop", Kind::Waypoint, 0),
        running("ztunnel-a", "istio-system", Kind::Ztunnel, 0),
        running("ztunnel-b", "istio-system", Kind::Ztunnel, 0),
        // It may find the control plane yet.
        running("wp-2", "shop", Kind::Waypoint, 91),
    ];
    let mut page = page();
    page[0]["subscriptions"][1]["refused"] = Value::Null;
    let status = Status::read(&page).expect("the page").with(Certificates {
        now: 100,
        ..certificates()
    });
    assert!(status.is_well());
    let status = status.beside(Ok(all), 100);
    let absent: Vec<String> = status.absent().iter().map(|one| one.name.to_string()).collect();
    assert_eq!(absent, ["istio-system/ztunnel-a", "shop/wp-1"]);
    assert!(!status.is_well());
    let view = status.view();
    let text = view.table.text();
    for line in [
        "wp-1.shop                waypoint   n1     -               NOT CONNECTED   -        -        -          -",
        "wp-1.shop runs, and is not connected to any replica of the control plane: what changes does not reach it, and its \
         certificates are not renewed; kubectl logs -n shop wp-1 says why\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!(
        view.data["notConnected"][1],
        json!({"name": "wp-1", "namespace": "shop", "kind": "waypoint", "node": "n1", "runs": "1m40s",
               "certificates": {"unknown": "not asked"}})
    );
}

#[test]
fn who_may_not_look_for_others_is_told_so() {
    let status = Status::read(&json!([])).expect("the page");
    let status = status.beside(Err("the pods: forbidden".to_owned()), 0);
    assert!(status.is_well());
    assert_eq!(
        status.view().table.text(),
        "no proxy is connected\nwhether others run that are not connected is not known: the pods: forbidden\n"
    );
}
