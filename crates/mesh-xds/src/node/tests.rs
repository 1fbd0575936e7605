use super::*;

#[test]
fn a_ztunnel_is_named_as_upstream_names_it() {
    let info = NodeInfo::ztunnel(None, "ztunnel-abc", "istio-system", "n1");
    let node = Node::from(&info);
    assert_eq!(
        node.id,
        "ztunnel~1.1.1.1~ztunnel-abc.istio-system~istio-system.svc.cluster.local"
    );
    let keys: Vec<_> = node.metadata.as_ref().unwrap().fields.keys().cloned().collect();
    assert_eq!(keys, ["INSTANCE_IPS", "NAME", "NAMESPACE", "NODE_NAME"]);
    assert_eq!(NodeInfo::try_from(&node), Ok(info));
}

#[test]
fn a_node_that_says_too_little_is_named() {
    let good = Node::from(&NodeInfo::ztunnel(None, "z", "ns", "n1"));
    let mut bad = good.clone();
    bad.id = "ztunnel~1.1.1.1".to_owned();
    assert!(matches!(NodeInfo::try_from(&bad), Err(InvalidNode::Id(_))));
    let mut bad = good.clone();
    bad.id = "ztunnel~nowhere~z.ns~ns.svc".to_owned();
    assert!(matches!(NodeInfo::try_from(&bad), Err(InvalidNode::Id(_))));
    let mut bad = good;
    bad.metadata.as_mut().unwrap().fields.remove("NODE_NAME");
    assert_eq!(NodeInfo::try_from(&bad), Err(InvalidNode::Metadata("NODE_NAME")));
}

#[test]
fn a_gateways_proxy_says_which_gateway_in_its_own_namespace() {
    let info = NodeInfo::waypoint(None, "waypoint-abc", "shop", "n1", "waypoint");
    let node = Node::from(&info);
    assert!(
        node.id.starts_with("waypoint~1.1.1.1~waypoint-abc.shop~"),
        "{}",
        node.id
    );
    let info = NodeInfo::try_from(&node).unwrap();
    assert_eq!(info.gateway().as_deref(), Some("shop/waypoint"));
    assert_eq!(NodeInfo::ztunnel(None, "z", "shop", "n1").gateway(), None);
    assert_eq!(NodeInfo::waypoint(None, "w", "shop", "n1", "").gateway(), None);
}
