//! The data plane end to end in one process: outbound and inbound proxies, tunnels between them, real sockets.

mod lab;
mod waypoint;

use std::io::ErrorKind;
use std::time::Duration;

use lab::{closed, echo, in_lab, reset};
use mesh_runtime::drain::{DrainMode, Drained};
use mesh_testkit::apps::App;
use mesh_testkit::objects::identity;
use mesh_testkit::{allow, deny, pod, service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// Two enrolled pods, `web` at host 1 and `db` at host 2, with an application of `db` on port 9000.
async fn two_pods(lab: &lab::Lab, app: App) {
    let (web, db) = (lab.address(1), lab.address(2));
    lab.apply([
        pod("web").at(&web).hbone().into(),
        pod("db").at(&db).hbone().serving("db", 80, 9000).into(),
        service("db").at("10.96.0.1").port(80, 9000).into(),
    ]);
    lab.start_proxy("web", 1);
    lab.start_proxy("db", 2);
    lab.start_app(app, 2, 9000).await;
}

#[test]
fn between_two_enrolled_pods_there_is_mutual_tls() {
    in_lab(|lab| async move {
        two_pods(&lab, App::Echo).await;
        let db = lab.address(2);
        let mut stream = lab.connect(1, &format!("{db}:9000")).await;
        echo(&mut stream, "over a tunnel").await;
        let open = lab.connections("db");
        assert_eq!(open["inbound"][0]["protocol"], "HBONE", "{open}");
        assert_eq!(open["inbound"][0]["actualDst"], format!("{db}:9000"));
        let open = lab.connections("web");
        assert_eq!(open["outbound"][0]["actualDst"], format!("{db}:15008"));
        stream.shutdown().await.unwrap();
        closed(&mut stream).await;
        for reporter in ["source", "destination"] {
            let labels = [
                &format!("reporter=\"{reporter}\"") as &str,
                "source_principal=\"spiffe://cluster.local/ns/shop/sa/web\"",
                "destination_principal=\"spiffe://cluster.local/ns/shop/sa/db\"",
                "connection_security_policy=\"mutual_tls\"",
                "response_flags=\"-\"",
            ];
            // The destination learns of the end through the tunnel, a moment later.
            while lab.metric("istio_tcp_connections_closed_total", &labels) < 1.0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(lab.metric("istio_tcp_received_bytes_total", &labels), 13.0);
            assert_eq!(lab.metric("istio_tcp_sent_bytes_total", &labels), 13.0);
        }
        assert_eq!(lab.connections("db")["inbound"], serde_json::json!([]));
    });
}

#[test]
fn a_service_address_leads_to_its_endpoint() {
    in_lab(|lab| async move {
        two_pods(&lab, App::Echo).await;
        let mut stream = lab.connect(1, "10.96.0.1:80").await;
        echo(&mut stream, "by service").await;
        let labels = ["reporter=\"destination\"", "destination_service_name=\"db\""];
        assert_eq!(lab.metric("istio_tcp_connections_opened_total", &labels), 1.0);
    });
}

#[test]
fn a_server_may_speak_first_and_directions_end_apart() {
    in_lab(|lab| async move {
        two_pods(&lab, App::Greet).await;
        lab.start_app(App::Count, 2, 9001).await;
        let db = lab.address(2);
        let mut stream = lab.connect(1, &format!("{db}:9000")).await;
        let mut greeting = [0; 6];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"hello\n");

        let mut stream = lab.connect(1, &format!("{db}:9001")).await;
        let sent = vec![b'x'; 3_000_000];
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "3000000");
    });
}

#[test]
fn many_connections_share_a_tunnel() {
    in_lab(|lab| async move {
        two_pods(&lab, App::Echo).await;
        let to = format!("{}:9000", lab.address(2));
        let mut streams = Vec::new();
        for i in 0..50 {
            let mut stream = lab.connect(1, &to).await;
            echo(&mut stream, &format!("connection {i}")).await;
            streams.push(stream);
        }
        let sockets = lab.metric("istio_tcp_sockets_open", &["reporter=\"destination\""]);
        assert_eq!(sockets, 1.0, "one HBONE connection carries them all");
    });
}

#[test]
fn outside_the_mesh_and_not_enrolled_is_plain() {
    in_lab(|lab| async move {
        two_pods(&lab, App::Echo).await;
        lab.apply([pod("plain").at(&lab.address(3)).into()]);
        lab.start_app(App::Echo, 3, 9000).await;
        lab.start_app(App::Echo, 4, 9000).await;
        for host in [3, 4] {
            let mut stream = lab.connect(1, &format!("{}:9000", lab.address(host))).await;
            echo(&mut stream, "as it is").await;
        }
        let plain = ["connection_security_policy=\"unknown\"", "reporter=\"source\""];
        assert_eq!(lab.metric("istio_tcp_connections_opened_total", &plain), 2.0);
    });
}

#[test]
fn a_pod_may_mean_itself() {
    in_lab(|lab| async move {
        two_pods(&lab, App::Echo).await;
        for to in [format!("{}:9000", lab.address(2)), "10.96.0.1:80".to_owned()] {
            let mut stream = lab.connect(2, &to).await;
            echo(&mut stream, "myself").await;
        }
    });
}

#[test]
fn what_cannot_be_reached_is_reset_and_said() {
    in_lab(|lab| async move {
        two_pods(&lab, App::Echo).await;
        lab.apply([service("empty").at("10.96.0.9").port(80, 80).into()]);
        reset(&mut lab.connect(1, "10.96.0.9:80").await).await;
        reset(&mut lab.connect(1, &format!("{}:15001", lab.address(1))).await).await;
        let early = |reason| lab.metric("lateen_connections_refused_early_total", &[reason]);
        assert_eq!(early("reason=\"no_healthy_endpoint\""), 1.0);
        assert_eq!(early("reason=\"self_call\""), 1.0);
        // Nobody listens on this port of the application.
        reset(&mut lab.connect(1, &format!("{}:9999", lab.address(2))).await).await;
        let failed = |flag| {
            lab.metric(
                "istio_tcp_connections_failed_total",
                &["reporter=\"source\"", flag],
            )
        };
        assert_eq!(failed("response_flags=\"CONNECT\""), 1.0);
    });
}

#[test]
fn a_tunnel_that_cannot_be_had_is_never_plain() {
    in_lab(|lab| async move {
        two_pods(&lab, App::Echo).await;
        // An application that would take plain connections, behind a workload that the mesh knows as enrolled.
        lab.apply([pod("dead").at(&lab.address(5)).hbone().into()]);
        lab.start_app(App::Echo, 5, 9000).await;
        let mut stream = lab.connect(1, &format!("{}:9000", lab.address(5))).await;
        stream.write_all(b"secret").await.unwrap();
        closed(&mut stream).await;
        // And one whose proxy proves to be somebody else.
        lab.apply([
            pod("victim").at(&lab.address(6)).hbone().into(),
            pod("mallory").hbone().into(),
        ]);
        lab.start_proxy("mallory", 6);
        let mut stream = lab.connect(1, &format!("{}:9000", lab.address(6))).await;
        closed(&mut stream).await;
        let flag = [
            "response_flags=\"IDENTITY_ERROR\"",
            "destination_workload=\"victim\"",
        ];
        assert_eq!(lab.metric("istio_tcp_connections_failed_total", &flag), 1.0);
        let plain = ["connection_security_policy=\"unknown\""];
        assert_eq!(lab.metric("istio_tcp_connections_opened_total", &plain), 0.0);
    });
}

#[test]
fn another_endpoint_is_tried_when_one_cannot_be_reached() {
    in_lab(|lab| async move {
        two_pods(&lab, App::Echo).await;
        let dead = pod("db-dead").at(&lab.address(6)).hbone().serving("db", 80, 9000);
        lab.apply([dead.into()]);
        for i in 0..10 {
            let mut stream = lab.connect(1, "10.96.0.1:80").await;
            echo(&mut stream, &format!("attempt {i}")).await;
        }
    });
}

#[test]
fn policies_allow_and_deny_and_strict_takes_no_plaintext() {
    in_lab(|lab| async move {
        two_pods(&lab, App::Echo).await;
        lab.apply([pod("eve").at(&lab.address(3)).hbone().into()]);
        lab.start_proxy("eve", 3);
        let to = format!("{}:9000", lab.address(2));
        echo(&mut lab.connect(1, &to).await, "allowed").await;
        echo(&mut lab.connect(3, &to).await, "allowed").await;
        echo(&mut lab.connect_plaintext(4, 2, &to).await, "allowed").await;

        lab.apply([allow("web-only").from_account("web").into()]);
        echo(&mut lab.connect(1, &to).await, "still allowed").await;
        reset(&mut lab.connect(3, &to).await).await;
        reset(&mut lab.connect_plaintext(4, 2, &to).await).await;
        let denied = ["response_flags=\"DENY\"", "reporter=\"destination\""];
        assert!(lab.metric("istio_tcp_connections_failed_total", &denied) >= 2.0);
    });
}

#[test]
fn a_policy_closes_connections_that_are_open() {
    in_lab(|lab| async move {
        two_pods(&lab, App::Echo).await;
        let to = format!("{}:9000", lab.address(2));
        let mut tunnelled = lab.connect(1, &to).await;
        echo(&mut tunnelled, "open").await;
        let mut plaintext = lab.connect_plaintext(4, 2, &to).await;
        echo(&mut plaintext, "open").await;

        // STRICT: the plaintext one goes, the other one stays.
        lab.apply([deny("strict").from_nobody().into()]);
        reset(&mut plaintext).await;
        echo(&mut tunnelled, "still open").await;

        // A selector policy that is there already, and a workload that comes to list it.
        lab.apply([deny("no-web").by_selector().from_account("web").into()]);
        echo(&mut tunnelled, "not selected").await;
        let db = pod("db").at(&lab.address(2)).hbone().selected_by("no-web");
        lab.apply([db.into()]);
        reset(&mut tunnelled).await;
    });
}

#[test]
fn nothing_is_forwarded_before_the_configuration_is_complete() {
    in_lab(|lab| async move {
        lab.not_synced();
        two_pods(&lab, App::Echo).await;
        let mut stream = lab.connect(1, &format!("{}:9000", lab.address(2))).await;
        stream.write_all(b"early").await.unwrap();
        let mut back = [0; 5];
        let early = timeout(Duration::from_millis(50), stream.read_exact(&mut back)).await;
        assert!(early.is_err(), "nobody answers");
        lab.sync();
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"early");
    });
}

#[test]
fn without_a_configuration_connections_are_refused_in_time_and_it_is_said() {
    in_lab(|lab| async move {
        lab.not_synced();
        lab.waits_for_sync(Duration::from_millis(20));
        two_pods(&lab, App::Echo).await;
        let to = format!("{}:9000", lab.address(2));
        reset(&mut lab.connect(1, &to).await).await;
        reset(&mut lab.connect_hbone(3, 2).await).await;
        for reporter in ["source", "destination"] {
            let labels = ["reason=\"not_synced\"", &format!("reporter=\"{reporter}\"")];
            assert_eq!(
                lab.metric("lateen_connections_refused_early_total", &labels),
                1.0,
                "{}",
                lab.metrics()
            );
        }
        // The listeners are the same.
        lab.sync();
        echo(&mut lab.connect(1, &to).await, "now").await;
    });
}

#[test]
fn nobody_is_let_in_in_the_clear_before_the_configuration_has_the_pod() {
    in_lab(|lab| async move {
        lab.waits_for_sync(Duration::from_millis(500));
        let to = format!("{}:9000", lab.address(2));
        lab.start_app(App::Echo, 2, 9000).await;
        lab.start_proxy("db", 2);
        let early = timeout(Duration::from_millis(50), lab.try_plaintext(3, 2, &to)).await;
        assert!(early.is_err(), "held, and not let in: {early:?}");
        // Later, refused.
        let refused = async {
            loop {
                if let Ok(Err(error)) = timeout(Duration::from_millis(50), lab.try_plaintext(3, 2, &to)).await
                {
                    return error;
                }
            }
        };
        assert_eq!(refused.await.kind(), ErrorKind::ConnectionRefused);

        lab.apply([pod("db").at(&lab.address(2)).hbone().into()]);
        let let_in = async {
            loop {
                if let Ok(stream) = lab.try_plaintext(3, 2, &to).await {
                    return stream;
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        echo(&mut let_in.await, "and now").await;
    });
}

#[test]
fn who_dials_in_the_clear_before_the_news_of_the_pod_waits_and_is_let_in() {
    in_lab(|lab| async move {
        let to = format!("{}:9000", lab.address(2));
        lab.start_app(App::Echo, 2, 9000).await;
        lab.start_proxy("db", 2);
        let news = async {
            sleep(Duration::from_millis(50)).await;
            lab.apply([pod("db").at(&lab.address(2)).hbone().into()]);
        };
        let (mut stream, ()) = tokio::join!(lab.connect_plaintext(3, 2, &to), news);
        echo(&mut stream, "it was worth it").await;
    });
}

#[test]
fn a_strict_pod_lets_nobody_in_in_the_clear_until_other_proxies_have_heard_of_it() {
    in_lab(|lab| async move {
        two_pods(&lab, App::Echo).await;
        lab.apply([deny("strict").by_selector().from_nobody().into()]);
        let strict = |name, host| pod(name).at(&lab.address(host)).hbone().selected_by("strict");
        lab.lets_news_spread(Duration::from_secs(60));
        lab.start_app(App::Echo, 5, 9000).await;
        lab.start_proxy("young", 5);
        lab.apply([strict("young", 5).into()]);
        let to_young = format!("{}:9000", lab.address(5));
        echo(&mut lab.connect(1, &to_young).await, "by a tunnel").await;
        let plain = timeout(Duration::from_millis(50), lab.try_plaintext(3, 5, &to_young)).await;
        assert!(plain.is_err(), "held, and not let in: {plain:?}");

        lab.lets_news_spread(Duration::from_millis(1));
        lab.start_proxy("old", 6);
        lab.apply([strict("old", 6).into()]);
        let to_old = format!("{}:9000", lab.address(6));
        reset(&mut lab.connect_plaintext(3, 6, &to_old).await).await;
        let denied = ["response_flags=\"DENY\"", "reporter=\"destination\""];
        assert_eq!(lab.metric("istio_tcp_connections_failed_total", &denied), 1.0);
    });
}

#[test]
fn a_strict_pod_whose_clients_cannot_be_kept_silent_refuses_them_before_their_handshake() {
    in_lab(|lab| async move {
        lab.has_no_nftables();
        lab.apply([
            deny("strict").by_selector().from_nobody().into(),
            pod("db").at(&lab.address(2)).hbone().selected_by("strict").into(),
        ]);
        lab.start_proxy("db", 2);
        lab.start_app(App::Echo, 2, 9000).await;
        let to = format!("{}:9000", lab.address(2));
        let refused = async {
            loop {
                if let Err(error) = lab.try_plaintext(3, 2, &to).await {
                    return error;
                }
            }
        };
        assert_eq!(refused.await.kind(), ErrorKind::ConnectionRefused);

        lab.apply([pod("db").at(&lab.address(2)).hbone().into()]);
        let let_in = async {
            loop {
                if let Ok(stream) = lab.try_plaintext(3, 2, &to).await {
                    return stream;
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        echo(&mut let_in.await, "PERMISSIVE now").await;
    });
}

#[test]
fn an_identity_without_a_certificate_gets_no_connection() {
    in_lab(|lab| async move {
        two_pods(&lab, App::Echo).await;
        lab.authority.refuse(identity("shop", "web"));
        closed(&mut lab.connect(1, &format!("{}:9000", lab.address(2))).await).await;
        let flag = ["response_flags=\"IDENTITY_ERROR\""];
        assert_eq!(lab.metric("istio_tcp_connections_failed_total", &flag), 1.0);
    });
}

#[test]
fn a_graceful_drain_lets_connections_end_and_takes_no_new_ones() {
    in_lab(|lab| async move {
        two_pods(&lab, App::Echo).await;
        let to = format!("{}:9000", lab.address(2));
        let mut stream = lab.connect(1, &to).await;
        echo(&mut stream, "before").await;
        let draining = tokio::task::spawn_local(
            lab.drain_of("web")
                .drain(DrainMode::Graceful, Duration::from_secs(30)),
        );
        echo(&mut stream, "during").await;
        stream.shutdown().await.unwrap();
        closed(&mut stream).await;
        assert_eq!(draining.await.unwrap(), Drained::Complete);
    });
}

#[test]
fn an_immediate_drain_resets_what_is_open() {
    in_lab(|lab| async move {
        two_pods(&lab, App::Echo).await;
        let mut stream = lab.connect(1, &format!("{}:9000", lab.address(2))).await;
        echo(&mut stream, "before").await;
        let drained = lab
            .drain_of("db")
            .drain(DrainMode::Immediate, Duration::ZERO)
            .await;
        assert_eq!(drained, Drained::Complete);
        reset(&mut stream).await;
    });
}

#[test]
fn a_client_inside_a_draining_servers_tunnel_finishes() {
    in_lab(|lab| async move {
        two_pods(&lab, App::Echo).await;
        let mut stream = lab.connect(1, &format!("{}:9000", lab.address(2))).await;
        echo(&mut stream, "before").await;
        let draining = tokio::task::spawn_local(
            lab.drain_of("db")
                .drain(DrainMode::Graceful, Duration::from_secs(30)),
        );
        echo(&mut stream, "during").await;
        stream.shutdown().await.unwrap();
        closed(&mut stream).await;
        assert_eq!(draining.await.unwrap(), Drained::Complete);
    });
}
