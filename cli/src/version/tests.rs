use super::*;

fn some() -> Versions {
    let mut versions = Versions::default();
    versions.control_plane("istiod-1.istio-system", "1.2.3-rc.1-unknown-release\n");
    versions.clients(&json!([
        {"node": {}, "proxy": "z.istio-system", "proxy_type": "ztunnel", "istio_version": "1.2.2", "subscriptions": []},
        {"node": {}, "proxy": "w.shop", "proxy_type": "waypoint", "subscriptions": []},
        {"node": null, "subscriptions": []},
    ]));
    versions.clients(&json!([
        {"node": {}, "proxy": "w.shop", "proxy_type": "waypoint", "subscriptions": []},
    ]));
    versions
}

#[test]
fn client_control_plane_and_proxies_stand_side_by_side() {
    let view = some().view();
    let expected = format!(
        "COMPONENT       NAME                    VERSION\n\
         client          lateen                  {CLIENT}\n\
         control plane   istiod-1.istio-system   1.2.3-rc.1\n\
         waypoint        w.shop                  unknown\n\
         ztunnel         z.istio-system          1.2.2\n\
         not all are of the same version\n"
    );
    assert_eq!(view.table.text(), expected);
    assert_eq!(view.data["client"], CLIENT);
    assert_eq!(view.data["controlPlane"][0]["version"], "1.2.3-rc.1");
    assert_eq!(view.data["dataPlane"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_version_alone_is_taken_as_it_is() {
    let mut versions = Versions::default();
    versions.control_plane("istiod", "1.2.3");
    assert_eq!(versions.view().data["controlPlane"][0]["version"], "1.2.3");
}

#[test]
fn where_nobody_could_be_asked_the_reason_stands_below() {
    let view = Versions::unknown(&anyhow::anyhow!("no cluster")).view();
    assert!(
        view.table
            .text()
            .ends_with("the mesh was not asked: no cluster\n")
    );
    assert_eq!(view.data["notAsked"], "no cluster");
    assert_eq!(Versions::default().view().data.get("notAsked"), None);
}

#[test]
fn a_single_proxy_says_what_it_is() {
    let page = json!({"version": {"component": "ztunnel", "version": CLIENT}, "workloads": []});
    let view = Versions::of_proxy(&page).view();
    assert_eq!(view.data["dataPlane"][0]["kind"], "ztunnel");
    assert!(!view.table.text().contains("not all"));
}
