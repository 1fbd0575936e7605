//! Connections through waypoints: a stand-in speaks the wire format and delivers with an identity of its own.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use mesh_hbone::{
    ConnectRequest, ConnectResponse, HboneOptions, Hop, Pool, ReceiveBudget, TunnelHeaders, serve_tls,
};
use mesh_net::{DialOptions, relay};
use mesh_state::Update;
use mesh_testkit::apps::App;
use mesh_testkit::objects::{CLUSTER, NAMESPACE, identity};
use mesh_testkit::{allow, pod, service};
use mesh_tls::ExpectedPeers;
use mesh_types::{NextHop, WorkloadUid};
use tokio::net::TcpListener;
use tokio::task::spawn_local;

use crate::lab::{Lab, closed, echo, in_lab};

/// A request, as a waypoint got it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    waypoint: &'static str,
    peer: String,
    authority: String,
    host: Option<String>,
    from: Option<String>,
    network: Option<String>,
    described: bool,
}

/// What all waypoints of a test got.
type Log = Rc<RefCell<Vec<Seen>>>;

/// Starts a waypoint of this name at a host, which delivers everything to the pod `db` at host 2, port 9000.
async fn stand_in(lab: &Rc<Lab>, name: &'static str, host: u8, log: &Log) {
    let (own, db) = (lab.address(host), lab.address(2));
    let listener = TcpListener::bind(format!("{own}:15008")).await.unwrap();
    let certificate = lab.authority.certificate(&identity(NAMESPACE, name));
    let pool = Rc::new(Pool::new(
        lab.authority.clone(),
        Rc::new(HboneOptions::default()),
        ReceiveBudget::default(),
        |_, task| drop(spawn_local(task)),
    ));
    let hop = Hop {
        next: NextHop::new(format!("{db}:15008").parse().unwrap()),
        netns: None,
        dial: DialOptions::default(),
        source: identity(NAMESPACE, name),
        expected: ExpectedPeers::identity_or(&identity(NAMESPACE, "db"), [] as [&str; 0]),
        source_ip: own.parse().unwrap(),
        instance: WorkloadUid::of_pod(CLUSTER, NAMESPACE, "db"),
    };
    let target: SocketAddr = format!("{db}:9000").parse().unwrap();
    let log = log.clone();
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (config, pool, hop, log) = (
                certificate.server_config(),
                pool.clone(),
                hop.clone(),
                log.clone(),
            );
            spawn_local(async move {
                let (options, budget) = (HboneOptions::default(), ReceiveBudget::default());
                let mut connection = serve_tls(stream, config, &options, &budget).await.unwrap();
                while let Some(Ok(tunnel)) = connection.next().await {
                    let headers = &tunnel.request.headers;
                    let forwarded = headers.forwarded.as_ref();
                    log.borrow_mut().push(Seen {
                        waypoint: name,
                        peer: connection.peer().to_string(),
                        authority: tunnel.request.authority.to_string(),
                        host: forwarded.and_then(|f| f.host.as_ref()).map(ToString::to_string),
                        from: forwarded.map(|f| f.for_.ip().to_string()),
                        network: headers.forwarded_network.as_ref().map(ToString::to_string),
                        described: headers.baggage.is_some() && headers.traceparent.is_some(),
                    });
                    let request = ConnectRequest {
                        authority: target.into(),
                        headers: TunnelHeaders::default(),
                    };
                    let (pool, hop) = (pool.clone(), hop.clone());
                    spawn_local(async move {
                        match pool.tunnel(&hop, &request).await {
                            Ok(up) => {
                                let down = tunnel.accept(&ConnectResponse::default()).unwrap();
                                relay(down, up, &Default::default()).await;
                            }
                            Err(_) => tunnel.refuse(mesh_hbone::Refusal::Unavailable),
                        }
                    });
                }
            });
        }
    });
}

/// Who bypassed or reached whom: `web` at host 1, `db` at host 2 which only `allowed` may call, waypoints `wp` at host 3
/// and `wp2` at host 4 (in the configuration; whether they run is the test's).
async fn guarded(lab: &Rc<Lab>, allowed: &[&str], guarded: impl FnOnce() -> Vec<Update>) {
    let at = |host| lab.address(host);
    let policy = allowed
        .iter()
        .fold(allow("waypoints"), |p, who| p.from_account(who));
    lab.apply([
        pod("web").at(&at(1)).hbone().into(),
        service("wp").at("10.96.9.1").port(15008, 15008).into(),
        pod("wp").at(&at(3)).hbone().serving("wp", 15008, 15008).into(),
        service("wp2").at("10.96.9.2").port(15008, 15008).into(),
        pod("wp2").at(&at(4)).hbone().serving("wp2", 15008, 15008).into(),
        policy.into(),
    ]);
    for update in guarded() {
        lab.apply([update]);
    }
    lab.start_proxy("web", 1);
    lab.start_proxy("db", 2);
    lab.start_app(App::Echo, 2, 9000).await;
}

/// `db` as the service at [`VIP`], which is bound to `wp`.
fn db_behind_wp(address: &str) -> Vec<Update> {
    vec![
        pod("db").at(address).hbone().serving("db", 80, 9000).into(),
        service("db").at("10.96.0.1").port(80, 9000).behind("wp").into(),
    ]
}

const VIP: &str = "10.96.0.1:80";

#[test]
fn a_service_is_reached_through_its_waypoint_which_delivers_as_itself() {
    in_lab(|lab| async move {
        let db = lab.address(2);
        guarded(&lab, &["wp"], || db_behind_wp(&db)).await;
        let log = Log::default();
        stand_in(&lab, "wp", 3, &log).await;
        echo(&mut lab.connect(1, VIP).await, "through the waypoint").await;
        let expected = Seen {
            waypoint: "wp",
            peer: identity(NAMESPACE, "web").to_string(),
            authority: VIP.to_owned(),
            host: Some("db.shop.svc.cluster.local".to_owned()),
            from: Some(lab.address(1)),
            network: None,
            described: true,
        };
        assert_eq!(*log.borrow(), [expected]);
        let delivered = [
            "reporter=\"destination\"",
            "source_principal=\"spiffe://cluster.local/ns/shop/sa/wp\"",
        ];
        assert_eq!(lab.metric("istio_tcp_connections_opened_total", &delivered), 1.0);
        // Whoever goes to the pod itself is not the waypoint, which the policy is about.
        closed(&mut lab.connect(1, &format!("{db}:9000")).await).await;
    });
}

#[test]
fn a_workload_is_reached_through_its_waypoint_by_its_own_address() {
    in_lab(|lab| async move {
        let db = lab.address(2);
        guarded(&lab, &["wp"], || {
            vec![pod("db").at(&db).hbone().behind("wp").into()]
        })
        .await;
        let log = Log::default();
        stand_in(&lab, "wp", 3, &log).await;
        let to = format!("{db}:9000");
        echo(&mut lab.connect(1, &to).await, "through the waypoint").await;
        let seen = log.borrow()[0].clone();
        assert_eq!((seen.authority, seen.host), (to, None));
    });
}

#[test]
fn a_waypoint_that_is_gone_closes_the_way() {
    in_lab(|lab| async move {
        let db = lab.address(2);
        guarded(&lab, &["wp", "web"], || db_behind_wp(&db)).await;
        // Nobody listens there, then the configuration has it no more, then not even its service.
        closed(&mut lab.connect(1, VIP).await).await;
        let failed = ["reporter=\"source\"", "response_flags=\"CONNECT\""];
        while lab.metric("istio_tcp_connections_failed_total", &failed) < 1.0 {
            tokio::task::yield_now().await;
        }
        for gone in ["Kubernetes//Pod/shop/wp", "shop/wp.shop.svc.cluster.local"] {
            lab.apply([Update::RemoveAddress(gone.into())]);
            closed(&mut lab.connect(1, VIP).await).await;
        }
        let refused = ["reporter=\"source\"", "reason=\"no_waypoint\""];
        assert_eq!(
            lab.metric("lateen_connections_refused_early_total", &refused),
            2.0
        );
        let arrived = ["reporter=\"destination\""];
        assert_eq!(lab.metric("istio_tcp_connections_opened_total", &arrived), 0.0);
    });
}

#[test]
fn a_waypoint_that_is_said_to_be_unready_is_tried_before_anybody_is_refused() {
    in_lab(|lab| async move {
        let db = lab.address(2);
        guarded(&lab, &["wp", "web"], || db_behind_wp(&db)).await;
        let log = Log::default();
        stand_in(&lab, "wp", 3, &log).await;
        let wp = pod("wp").at(&lab.address(3)).hbone();
        lab.apply([wp.unhealthy().serving("wp", 15008, 15008).into()]);
        echo(&mut lab.connect(1, VIP).await, "through the waypoint").await;
        assert_eq!(log.borrow().len(), 1);
        // What stands there instead of it gets nothing, ready or not.
        let second = pod("wp").at(&lab.address(4)).hbone();
        stand_in(&lab, "wp2", 4, &log).await;
        lab.apply([second.unhealthy().serving("wp", 15008, 15008).into()]);
        closed(&mut lab.connect(1, VIP).await).await;
        // Nobody listens there: refused, and the pod itself hears nothing.
        let gone = pod("wp").at(&lab.address(6)).hbone();
        lab.apply([gone.unhealthy().serving("wp", 15008, 15008).into()]);
        closed(&mut lab.connect(1, VIP).await).await;
        assert_eq!(log.borrow().len(), 1);
        let arrived = ["reporter=\"destination\""];
        assert_eq!(lab.metric("istio_tcp_connections_opened_total", &arrived), 1.0);
    });
}

#[test]
fn a_binding_that_says_so_is_done_without_while_the_waypoint_is_gone() {
    in_lab(|lab| async move {
        let db = lab.address(2);
        guarded(&lab, &["wp", "web"], || {
            vec![
                pod("db")
                    .at(&db)
                    .hbone()
                    .behind("wp")
                    .failing_open()
                    .serving("db", 80, 9000)
                    .into(),
                service("db")
                    .at("10.96.0.1")
                    .port(80, 9000)
                    .behind("wp")
                    .failing_open()
                    .into(),
            ]
        })
        .await;
        let direct = [
            "reporter=\"destination\"",
            "source_principal=\"spiffe://cluster.local/ns/shop/sa/web\"",
        ];
        let arrived = || lab.metric("istio_tcp_connections_opened_total", &direct);
        for (n, to) in [VIP.to_owned(), format!("{db}:9000")].iter().enumerate() {
            // It is configured and nobody answers; what is not sent in the clear either is a tunnel to the pod.
            echo(&mut lab.connect(1, to).await, "without the waypoint").await;
            assert_eq!(arrived(), (n + 1) as f64);
        }
        lab.apply([Update::RemoveAddress("Kubernetes//Pod/shop/wp".into())]);
        echo(&mut lab.connect(1, VIP).await, "without the waypoint").await;
        assert_eq!(arrived(), 3.0);
        // It returns, and is used.
        let log = Log::default();
        stand_in(&lab, "wp", 3, &log).await;
        lab.apply([pod("wp")
            .at(&lab.address(3))
            .hbone()
            .serving("wp", 15008, 15008)
            .into()]);
        echo(&mut lab.connect(1, VIP).await, "with the waypoint").await;
        assert_eq!(log.borrow().len(), 1);
        assert_eq!(arrived(), 3.0);
    });
}

#[test]
fn a_waypoint_that_is_somebody_else_is_not_gone() {
    in_lab(|lab| async move {
        let db = lab.address(2);
        guarded(&lab, &["web"], || {
            vec![
                pod("db").at(&db).hbone().serving("db", 80, 9000).into(),
                service("db")
                    .at("10.96.0.1")
                    .port(80, 9000)
                    .behind("wp")
                    .failing_open()
                    .into(),
            ]
        })
        .await;
        // At the waypoint's address stands a workload with another identity: that opens nothing.
        let log = Log::default();
        stand_in(&lab, "wp2", 3, &log).await;
        closed(&mut lab.connect(1, VIP).await).await;
        assert!(log.borrow().is_empty());
        let arrived = ["reporter=\"destination\""];
        assert_eq!(lab.metric("istio_tcp_connections_opened_total", &arrived), 0.0);
    });
}

#[test]
fn weighted_waypoints_share_the_connections_of_a_service() {
    in_lab(|lab| async move {
        let db = lab.address(2);
        guarded(&lab, &["wp", "wp2"], || {
            vec![
                pod("db").at(&db).hbone().serving("db", 80, 9000).into(),
                service("db")
                    .at("10.96.0.1")
                    .port(80, 9000)
                    .behind("wp")
                    .partly_behind("wp", 50)
                    .partly_behind("wp2", 50)
                    .into(),
            ]
        })
        .await;
        let log = Log::default();
        stand_in(&lab, "wp", 3, &log).await;
        stand_in(&lab, "wp2", 4, &log).await;
        for n in 0..60 {
            echo(&mut lab.connect(1, VIP).await, &format!("connection {n}")).await;
        }
        let of = |name| log.borrow().iter().filter(|seen| seen.waypoint == name).count();
        assert_eq!(of("wp") + of("wp2"), 60);
        // A chance of one in a billion to fail, for a fair coin.
        assert!(of("wp") > 5 && of("wp2") > 5, "{} and {}", of("wp"), of("wp2"));
        // One of them goes: the other carries everything.
        lab.apply([Update::RemoveAddress("Kubernetes//Pod/shop/wp".into())]);
        let before = of("wp");
        for n in 0..10 {
            echo(&mut lab.connect(1, VIP).await, &format!("connection {n}")).await;
        }
        assert_eq!((of("wp"), of("wp") + of("wp2")), (before, 70));
    });
}

#[test]
fn several_endpoints_of_a_waypoint_stand_in_for_each_other() {
    in_lab(|lab| async move {
        let db = lab.address(2);
        let second = lab.address(5);
        guarded(&lab, &["wp"], || {
            vec![
                pod("db").at(&db).hbone().behind("wp").into(),
                pod("wp-second")
                    .at(&second)
                    .with_account("wp")
                    .hbone()
                    .serving("wp", 15008, 15008)
                    .into(),
            ]
        })
        .await;
        let log = Log::default();
        // Only one of the two runs.
        stand_in(&lab, "wp", 5, &log).await;
        for n in 0..10 {
            echo(
                &mut lab.connect(1, &format!("{db}:9000")).await,
                &format!("connection {n}"),
            )
            .await;
        }
        assert_eq!(log.borrow().len(), 10);
    });
}
