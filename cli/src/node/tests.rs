use serde_json::json;

use super::*;

fn dump() -> Dump {
    let page = json!({
        "workloads": [
            {"name": "cart-1", "namespace": "shop", "workloadIps": ["10.1.0.2", "fd00::2"], "node": "n1",
             "waypoint": {"destination": "shop/w.shop.svc.cluster.local"}, "protocol": "HBONE", "status": "Healthy"},
            {"name": "db-0", "namespace": "data", "workloadIps": ["10.1.1.2"], "node": "n2", "protocol": "TCP", "status": "Unhealthy"},
        ],
        "services": [
            {"name": "cart", "namespace": "shop", "vips": ["/10.0.0.1"], "endpoints": {
                "a": {"status": "Healthy"}, "b": {"status": "Unhealthy"}}},
        ],
        "policies": [
            {"name": "deny", "namespace": "shop", "scope": "Namespace", "action": "Deny", "rules": [[], []]},
        ],
        "certificates": [
            {"identity": "spiffe://cluster.local/ns/shop/sa/cart", "state": "Available",
             "certChain": [{"serialNumber": "7", "validFrom": "a", "expirationTime": "b"}],
             "rootCerts": [{"serialNumber": "1", "validFrom": "c", "expirationTime": "d"}]},
            {"identity": "spiffe://cluster.local/ns/data/sa/db", "state": "Initializing"},
        ],
        "workloadState": {
            "uid-1": {"state": "Up", "info": {"name": "cart-1", "namespace": "shop", "serviceAccount": "cart"},
                "connections": {"inbound": [{"src": "10.1.1.2:4", "originalDst": "10.1.0.2:15008", "actualDst": "10.1.0.2:80"}],
                                "outbound": [{"src": "10.1.0.2:5", "originalDst": "10.0.0.9:80", "actualDst": "10.1.1.2:15008"}]}},
            "uid-2": {"state": "Pending", "info": {"name": "db-0", "namespace": "data", "serviceAccount": "db"}},
        },
    });
    Dump::read(&page).expect("the page")
}

fn text(what: What, filter: &Filter) -> String {
    dump().view(what, filter).table.text()
}

#[test]
fn workloads_are_as_istioctl_shows_them() {
    assert_eq!(
        text(What::Workloads, &Filter::default()),
        "NAMESPACE   POD NAME   ADDRESS            NODE   WAYPOINT                        PROTOCOL   STATUS\n\
         shop        cart-1     10.1.0.2,fd00::2   n1     shop/w.shop.svc.cluster.local   HBONE      Healthy\n\
         data        db-0       10.1.1.2           n2     None                            TCP        Unhealthy\n"
    );
}

#[test]
fn filters_hold_for_the_table_and_for_the_data() {
    let filter = Filter {
        namespace: Some("data".into()),
        ..Filter::default()
    };
    for (what, name) in [(What::Workloads, "name"), (What::Certificates, "identity")] {
        let view = dump().view(what, &filter);
        assert_eq!(view.data.as_array().map(Vec::len), Some(1), "{what:?}");
        assert!(
            view.data[0][name].as_str().is_some_and(|n| n.contains("db")),
            "{what:?}"
        );
        assert_eq!(view.table.text().lines().count(), 2, "{what:?}");
    }
    let node = Filter {
        workload_node: Some("n1".into()),
        ..Filter::default()
    };
    assert_eq!(
        dump().view(What::Workloads, &node).data.as_array().map(Vec::len),
        Some(1)
    );
}

/// `--name` and `-n` hold for everything that is printed, in whichever form.
#[test]
fn every_part_of_the_page_is_filtered() {
    let of = |namespace: &str, name: &str| Filter {
        namespace: Some(namespace.into()),
        name: Some(name.into()),
        ..Filter::default()
    };
    let (here, elsewhere) = (("shop", "cart"), ("data", "db"));
    for (what, (namespace, name), count) in [
        (What::Services, here, 1),
        (What::Services, elsewhere, 0),
        (What::Policies, ("shop", "deny"), 1),
        (What::Policies, elsewhere, 0),
    ] {
        let view = dump().view(what, &of(namespace, name));
        assert_eq!(view.data.as_array().map(Vec::len), Some(count), "{what:?} {name}");
        let lines = view.table.text().lines().count();
        assert_eq!(lines, count + 1, "{what:?} {name}: {}", view.table.text());
    }
    let connections = dump().view(What::Connections, &of("shop", "cart-1"));
    let uids: Vec<&String> = connections.data.as_object().expect("pods").keys().collect();
    assert_eq!(uids, ["uid-1"]);
    let all = dump().view(What::All, &of("data", "db-0"));
    for (part, count) in [
        ("workloads", 1),
        ("services", 0),
        ("policies", 0),
        ("certificates", 0),
    ] {
        assert_eq!(all.data[part].as_array().map(Vec::len), Some(count), "{part}");
    }
    assert!(all.data["workloadState"]["uid-2"].is_object());
    assert!(all.data["workloadState"]["uid-1"].is_null());
    let text = all.table.text();
    assert!(
        text.contains("workloads          1\n") && text.contains("services           0\n"),
        "{text}"
    );
    // What has no names stays as it is.
    let everything = dump().view(What::All, &Filter::default());
    assert_eq!(everything.data["services"].as_array().map(Vec::len), Some(1));
}

#[test]
fn connections_of_before_the_enrolment_stand_beside_those_of_the_proxy() {
    let older = Older::read(&json!({"uid-1": [{"local": "10.1.0.2:80", "remote": "10.9.0.1:7"}]}));
    let view = dump()
        .with(older.expect("the page"))
        .view(What::Connections, &Filter::default());
    let text = view.table.text();
    assert!(
        text.contains("Inbound") && text.contains("Outside the mesh"),
        "{text}"
    );
    assert_eq!(
        view.data["uid-1"]["olderThanEnrolment"][0]["remote"],
        "10.9.0.1:7"
    );
}

#[test]
fn services_count_the_endpoints_that_are_healthy() {
    assert!(
        text(What::Services, &Filter::default())
            .ends_with("shop        cart           /10.0.0.1     None       1/2\n")
    );
}

#[test]
fn a_certificate_that_is_not_there_yet_has_a_row() {
    let certificates = text(What::Certificates, &Filter::default());
    assert_eq!(certificates.lines().count(), 4, "{certificates}");
    assert!(
        certificates
            .lines()
            .any(|l| l.contains("sa/db") && l.contains("Initializing"))
    );
}

#[test]
fn connections_say_which_pod_has_them() {
    let connections = text(What::Connections, &Filter::default());
    assert!(connections.contains("cart-1.shop   Inbound"), "{connections}");
    assert!(connections.contains("cart-1.shop   Outbound"), "{connections}");
    let filter = Filter {
        namespace: Some("data".into()),
        ..Filter::default()
    };
    assert_eq!(text(What::Connections, &filter), "no such connection is open\n");
}

#[test]
fn another_page_is_an_error() {
    assert!(Dump::read(&json!([])).is_err());
}
