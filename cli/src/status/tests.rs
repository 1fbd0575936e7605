use super::*;

fn page() -> Value {
    json!([{
        "node": {"kind": "ztunnel", "ip": "10.0.0.2", "name": "ztunnel-b", "namespace": "istio-system", "node": "n2", "metadata": {}},
        "subscriptions": [
            {"type_url": "type.googleapis.com/istio.workload.Address", "wildcard": true, "sent": 9, "acknowledged": 9,
             "outstanding": false, "refusals": 0, "refused": null},
            {"type_url": "type.googleapis.com/istio.security.Authorization", "wildcard": true, "sent": 9, "acknowledged": 7,
             "outstanding": false, "refusals": 2, "refused": "shop/web: ports: 0 is no port"},
        ],
    }, {"node": null, "subscriptions": []}])
}

#[test]
fn each_proxy_and_type_has_a_row_and_refusals_say_why() {
    let status = Status::read(&page()).expect("the page");
    assert!(status.is_refused());
    assert_eq!(
        status.view().table.text(),
        "PROXY                    KIND      NODE   TYPE            STATE     BEHIND   REFUSALS\n\
         ztunnel-b.istio-system   ztunnel   n2     Address         SYNCED    0        0\n\
         ztunnel-b.istio-system   ztunnel   n2     Authorization   REFUSED   2        2\n\
         ztunnel-b.istio-system refused Authorization: shop/web: ports: 0 is no port\n"
    );
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
