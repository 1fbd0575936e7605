use std::time::Duration;

use mesh_xds::server::{Refusal, Refused};
use mesh_xds::{NodeInfo, TypeUrl};
use serde_json::json;

use super::*;

#[test]
fn an_entry_has_our_words_and_istiods() {
    let subscriber = SubscriberStatus {
        node: Some(NodeInfo::ztunnel(None, "z", "istio-system", "n1").described("1.2.3", "c1")),
        subscriptions: vec![SubscriptionStatus {
            type_url: TypeUrl::ADDRESS,
            wildcard: true,
            published: 12,
            sent: 9,
            answered: 9,
            acknowledged: 7,
            outstanding: true,
            refusals: 1,
            refused: Some("no".to_owned()),
            refused_changes: Refused::default(),
            last_refusal: Some(Refusal {
                message: "no".to_owned(),
                at: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_281_806)),
            }),
            pushed: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_281_805)),
        }],
    };
    let nobody = SubscriberStatus {
        node: None,
        subscriptions: vec![],
    };
    let page = serde_json::to_value(page(&[subscriber, nobody])).unwrap();
    assert_eq!(page[0]["node"]["name"], "z");
    assert_eq!(page[0]["subscriptions"][0]["acknowledged"], 7);
    assert_eq!(page[0]["subscriptions"][0]["published"], 12);
    assert_eq!(page[0]["subscriptions"][0]["last_refusal"]["message"], "no");
    assert_eq!(page[0]["proxy"], "z.istio-system");
    assert_eq!(page[0]["proxy_type"], "ztunnel");
    assert_eq!(page[0]["istio_version"], "1.2.3");
    assert_eq!(page[0]["cluster_id"], "c1");
    assert_eq!(
        page[0]["resources"]["type.googleapis.com/istio.workload.Address"],
        json!({"sent": "9", "acked": "7", "sentTime": "2026-11-21T17:23:25Z", "lastError": "no",
               "lastRefusalTime": "2026-11-21T17:23:26Z"})
    );
    assert_eq!(page[1], json!({"node": null, "subscriptions": []}));
}
