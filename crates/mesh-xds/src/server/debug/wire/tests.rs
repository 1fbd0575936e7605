use super::*;
use crate::node::NodeInfo;
use crate::resource::TypeUrl;
use crate::server::Refused;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn standing(standing: Standing, pushed: Option<SystemTime>) -> TypeStanding {
    TypeStanding {
        type_url: "type.googleapis.com/istio.workload.Address".to_owned(),
        standing,
        pushed,
    }
}

fn client(types: Vec<TypeStanding>) -> ClientStanding {
    ClientStanding {
        pod: "ztunnel-1.a".to_owned(),
        namespace: "istio-system".to_owned(),
        cluster: "Kubernetes".to_owned(),
        version: "1.2.3".to_owned(),
        types,
    }
}

#[test]
fn what_goes_onto_the_wire_comes_back() {
    let all = [
        client(vec![]),
        ClientStanding {
            cluster: String::new(),
            version: String::new(),
            ..client(vec![standing(Standing::NotSent, None)])
        },
        client(vec![
            standing(Standing::Synced, Some(at(1_795_281_805))),
            standing(Standing::Stale, Some(at(1))),
            standing(Standing::NotSent, None),
            standing(
                Standing::Refused("shop/web: ports: 0 is no port".to_owned()),
                Some(at(2)),
            ),
            standing(Standing::Refused(String::new()), None),
        ]),
    ];
    for client in all {
        assert_eq!(ClientStanding::from_any(&client.to_any()), Ok(client));
    }
}

#[test]
fn the_words_are_istiods() {
    let subscription = |sent, acknowledged, outstanding, refused: Option<&str>| SubscriptionStatus {
        type_url: TypeUrl::ADDRESS,
        wildcard: true,
        published: sent,
        sent,
        answered: acknowledged,
        acknowledged,
        outstanding,
        refusals: 0,
        refused: refused.map(str::to_owned),
        refused_changes: Refused::default(),
        last_refusal: None,
        pushed: Some(at(7) + Duration::from_millis(3)),
    };
    let unsent = SubscriptionStatus {
        pushed: None,
        ..subscription(0, 0, false, None)
    };
    let unread = SubscriptionStatus {
        published: 10,
        ..subscription(9, 9, false, None)
    };
    for (subscription, status, details) in [
        (unread, ConfigStatus::Stale, None),
        (subscription(9, 9, false, None), ConfigStatus::Synced, None),
        (subscription(0, 0, false, None), ConfigStatus::Synced, None),
        (subscription(9, 9, true, None), ConfigStatus::Stale, None),
        (subscription(9, 7, false, None), ConfigStatus::Stale, None),
        (unsent, ConfigStatus::NotSent, None),
        (
            subscription(9, 7, false, Some("no")),
            ConfigStatus::Error,
            Some("no"),
        ),
    ] {
        let node = NodeInfo::ztunnel(None, "z", "istio-system", "n1").described("1.2.3", "c1");
        let subscriber = SubscriberStatus {
            node: Some(node),
            subscriptions: vec![subscription.clone()],
        };
        let client = ClientStanding::of(&subscriber).expect("it has said who it is");
        let config = ClientConfig::from(&client);
        let node = config.node.expect("a node");
        assert_eq!(node.id, "z.istio-system");
        let of_type = &config.generic_xds_configs[0];
        assert_eq!(of_type.config_status, i32::from(status), "{subscription:?}");
        let updated = of_type.last_updated.map(|t| (t.seconds, t.nanos));
        assert_eq!(updated, subscription.pushed.map(|_| (7, 0)));
        let said = of_type.error_state.as_ref().map(|state| state.details.as_str());
        assert_eq!(said, details);
        assert_eq!(
            (client.version.as_str(), client.cluster.as_str()),
            ("1.2.3", "c1")
        );
    }
    let nobody = SubscriberStatus {
        node: None,
        subscriptions: vec![],
    };
    assert_eq!(ClientStanding::of(&nobody), None);
}

#[test]
fn what_is_no_such_message_is_named() {
    let any = client(vec![]).to_any();
    let other = Any {
        type_url: "type.googleapis.com/envoy.config.core.v3.Node".to_owned(),
        ..any.clone()
    };
    assert!(matches!(
        ClientStanding::from_any(&other),
        Err(InvalidStanding::Type(_))
    ));
    let broken = Any {
        value: vec![0xff].into(),
        ..any
    };
    assert!(matches!(
        ClientStanding::from_any(&broken),
        Err(InvalidStanding::Bytes(_))
    ));
    let mut config = ClientConfig::from(&client(vec![standing(Standing::Synced, None)]));
    config.generic_xds_configs[0].config_status = 9;
    assert!(matches!(
        ClientStanding::try_from(config),
        Err(InvalidStanding::Status(9, _))
    ));
    assert_eq!(
        ClientStanding::try_from(ClientConfig::default()),
        Err(InvalidStanding::Id(String::new()))
    );
}
