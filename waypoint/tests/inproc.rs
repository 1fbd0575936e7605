//! The data path end to end in one process: a client's tunnel, the waypoint, and endpoints in the mesh and outside.

#[path = "inproc/balance.rs"]
mod balance;
#[path = "inproc/external_auth.rs"]
mod external_auth;
#[expect(dead_code, reason = "other tests use more of it")]
mod lab;
#[path = "inproc/pools.rs"]
mod pools;
#[path = "inproc/rate_limit.rs"]
mod rate_limit;
#[path = "inproc/security.rs"]
mod security;
#[path = "inproc/telemetry.rs"]
mod telemetry;
#[path = "inproc/tokens.rs"]
mod tokens;

use std::sync::Arc;

use http_body_util::BodyExt;
use lab::{App, Lab, get, http1, http2, in_lab, in_lab_with_threads, post, read};
use mesh_model::AppProtocol;
use mesh_model::l7::authorization::{Action, Authorization, Operation, PathPattern, Rule, Values};
use mesh_model::l7::filter::{
    Abort, Fault, Filter, HeaderEdits, PathRewrite, Redirect, RedirectPort, Rewrite, Share,
};
use mesh_model::l7::resilience::{Retry, RetryCondition, Timeouts};
use mesh_model::l7::route::{
    Destination, HttpAction, HttpBackend, HttpRule, Order, Route, RouteParent, Rules,
};
use mesh_model::l7::{Created, ObjectRef, Policy, PolicyKind, ServicePort, Target, TextMatch};
use mesh_runtime::drain::Drained;
use mesh_state::l7::L7Update;
use mesh_testkit::objects::hostname;
use mesh_testkit::{pod, service};
use mesh_types::NamespacedName;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use waypoint::flags::ResponseFlag;

/// The service `shop` with the waypoint in front of it, and an endpoint at host 1, port 9000.
async fn shop(lab: &Lab, app: App) {
    let ip = lab.ip(1);
    lab.enroll(AppProtocol::Unknown);
    lab.apply([pod("web").at(&ip).serving("shop", 80, 9000).into()]);
    lab.app(app, "web", 1, 9000).await;
}

fn at(service: &str) -> ServicePort {
    ServicePort {
        service: hostname("shop", service),
        port: 80,
    }
}

/// A route of the service `shop` with these shares.
fn route(name: &str, shares: &[(&str, u32)]) -> Route {
    let backends = shares.iter().map(|(service, weight)| HttpBackend {
        weight: *weight,
        destination: Destination::Service {
            service: at(service),
            subset: None,
        },
        filters: Vec::new(),
    });
    Route {
        object: ObjectRef {
            kind: "HTTPRoute".into(),
            name: NamespacedName::new("shop", name),
        },
        part: "".into(),
        parents: vec![RouteParent::Service(hostname("shop", "shop"))],
        created: Created::unknown(),
        consumer: None,
        hostnames: Vec::new(),
        rules: Rules::Http {
            order: Order::Specificity,
            rules: vec![HttpRule {
                name: None,
                matches: Vec::new(),
                filters: Vec::new(),
                action: HttpAction::Forward(backends.collect()),
                timeouts: Timeouts::default(),
                retry: None,
                session: None,
            }],
        },
    }
}

/// A route of the service `shop` to a subset of it.
fn to_subset(name: &str) -> L7Update {
    let mut route = route("subset", &[("shop", 1)]);
    if let Rules::Http { rules, .. } = &mut route.rules
        && let HttpAction::Forward(backends) = &mut rules[0].action
        && let Destination::Service { subset, .. } = &mut backends[0].destination
    {
        *subset = Some(name.into());
    }
    L7Update::Route(Arc::new(route))
}

#[test]
fn a_request_through_a_tunnel_reaches_the_services_endpoint() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let waypoint = lab.open_hbone();
        let client = lab.client("client");
        let tunnel = lab
            .tunnel(&client, "client", waypoint, "10.96.0.1:80")
            .await
            .unwrap();
        let mut http = http1(tunnel.into_io()).await;
        for n in 0..3 {
            let request = post(&format!("/cart?n={n}"), format!("item {n}"));
            let answer = read(http.send_request(request).await.unwrap()).await;
            assert_eq!(answer.status, 200);
            assert!(
                answer.body.starts_with(&format!("web\nPOST /cart?n={n}\n")),
                "{}",
                answer.body
            );
            assert!(
                answer.body.contains(&format!("body: item {n}\n")),
                "{}",
                answer.body
            );
            assert!(answer.body.contains("host: shop\n"), "{}", answer.body);
        }
        let reports = lab.reports(3).await;
        let report = &reports[0];
        assert_eq!(report.status, 200);
        assert!(report.flags.is_empty());
        assert_eq!(report.received, 6);
        let client = report.accepted.client.identity.as_ref().unwrap();
        assert_eq!(client.to_string(), "spiffe://cluster.local/ns/shop/sa/client");
    });
}

#[test]
fn an_endpoint_in_the_mesh_is_reached_through_a_tunnel_with_the_waypoints_identity() {
    in_lab(|lab| async move {
        let ip = lab.ip(1);
        lab.enroll(AppProtocol::Unknown);
        lab.apply([pod("web").at(&ip).hbone().serving("shop", 80, 9000).into()]);
        lab.app(App::Http, "web", 1, 9000).await;
        lab.node("web", 1).await;
        let (_client, tunnel) = lab.to_shop().await;
        let mut http = http1(tunnel.into_io()).await;
        let answer = read(http.send_request(get("/")).await.unwrap()).await;
        assert_eq!((answer.status, &answer.headers["x-app"] == "web"), (200, true));
    });
}

#[test]
fn shares_of_a_route_are_kept_over_one_connection() {
    in_lab(|lab| async move {
        let (one, two) = (lab.ip(1), lab.ip(2));
        lab.apply([
            service("waypoint").at("10.96.0.100").into(),
            service("shop")
                .at("10.96.0.1")
                .port(80, 9000)
                .behind("waypoint")
                .into(),
            service("v1").at("10.96.0.2").port(80, 9000).into(),
            service("v2").at("10.96.0.3").port(80, 9000).into(),
            pod("v1").at(&one).serving("v1", 80, 9000).into(),
            pod("v2").at(&two).serving("v2", 80, 9000).into(),
        ]);
        lab.app(App::Http, "v1", 1, 9000).await;
        lab.app(App::Http, "v2", 2, 9000).await;
        lab.serve([L7Update::Route(Arc::new(route(
            "split",
            &[("v1", 70), ("v2", 30)],
        )))]);
        let (_client, tunnel) = lab.to_shop().await;
        let mut http = http1(tunnel.into_io()).await;
        let mut first = 0;
        for _ in 0..500 {
            let answer = read(http.send_request(get("/")).await.unwrap()).await;
            first += usize::from(answer.headers["x-app"] == "v1");
        }
        assert!((325..=375).contains(&first), "{first} of 500, 350 wanted");
        // A change of the route is seen by the next request, on the same connection.
        lab.serve([L7Update::Route(Arc::new(route("split", &[("v1", 0), ("v2", 1)])))]);
        for _ in 0..20 {
            let answer = read(http.send_request(get("/")).await.unwrap()).await;
            assert_eq!(answer.headers["x-app"], "v2");
        }
        let reports = lab.reports(520).await;
        assert_eq!(reports[0].route.as_deref(), Some("shop.split.0"));
    });
}

#[test]
fn what_is_not_served_is_refused() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let waypoint = lab.open_hbone();
        let client = lab.client("client");
        for target in [
            "10.96.0.1:81",
            "10.96.0.100:80",
            "192.0.2.1:80",
            "127.0.0.1:15000",
        ] {
            let refused = lab.tunnel(&client, "client", waypoint, target).await;
            assert!(refused.is_err(), "{target}");
        }
    });
}

#[test]
fn http2_goes_through_with_its_trailers() {
    in_lab(|lab| async move {
        shop(&lab, App::Http2).await;
        let (_client, tunnel) = lab.to_shop().await;
        let mut http = http2(tunnel.into_io()).await;
        let request = || {
            let mut request = get("http://shop/trailers");
            request.headers_mut().remove("host");
            request
        };
        let answer = read(http.send_request(request()).await.unwrap()).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "data"));
        assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
        let reports = lab.reports(1).await;
        assert_eq!(reports[0].grpc_status, Some(0));
    });
}

#[test]
fn a_server_may_speak_first_on_a_port_that_says_nothing() {
    in_lab(|lab| async move {
        shop(&lab, App::Greet).await;
        let (_client, tunnel) = lab.to_shop().await;
        let mut io = tunnel.into_io();
        let mut greeting = [0; 6];
        io.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"hello\n");
        io.write_all(b"and you").await.unwrap();
        io.shutdown().await.unwrap();
        let mut rest = String::new();
        io.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "and you");
        let reports = lab.reports(1).await;
        assert_eq!((reports[0].sent, reports[0].received), (13, 7));
    });
}

#[test]
fn a_plain_port_serves_without_tunnels() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let address = lab.open_plain("shop", 80);
        let mut http = http1(TcpStream::connect(address).await.unwrap()).await;
        let answer = read(http.send_request(get("/")).await.unwrap()).await;
        assert_eq!(answer.status, 200);
        let mut http = http2(TcpStream::connect(address).await.unwrap()).await;
        let mut request = get("http://shop/");
        request.headers_mut().remove("host");
        // The endpoint speaks HTTP/1.1 only, and the port does not say so.
        let answer = read(http.send_request(request).await.unwrap()).await;
        assert_eq!(answer.status, 503);
    });
}

#[test]
fn a_changed_protocol_is_carried_and_survives_route_changes() {
    in_lab(|lab| async move {
        shop(&lab, App::Upgrades).await;
        let address = lab.open_plain("shop", 80);
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET /ws HTTP/1.1\r\nhost: shop\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"welcome ") {
            assert_ne!(
                stream.read_buf(&mut seen).await.unwrap(),
                0,
                "{}",
                String::from_utf8_lossy(&seen)
            );
        }
        let head = String::from_utf8_lossy(&seen).to_lowercase();
        assert!(
            head.starts_with("http/1.1 101") && head.contains("upgrade: websocket"),
            "{head}"
        );
        for n in 0..200 {
            lab.serve([L7Update::Route(Arc::new(route(
                &format!("r{n}"),
                &[("shop", n + 1)],
            )))]);
        }
        stream.write_all(b"still here").await.unwrap();
        let mut echo = [0; 10];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"still here");
    });
}

#[test]
fn a_kept_connection_that_was_being_closed_is_nobodys_problem() {
    in_lab(|lab| async move {
        shop(&lab, App::ClosesKept).await;
        let address = lab.open_plain("shop", 80);
        let mut http = http1(TcpStream::connect(address).await.unwrap()).await;
        for _ in 0..5 {
            let answer = read(http.send_request(get("/")).await.unwrap()).await;
            assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
        }
    });
}

#[test]
fn failures_have_their_status_and_flag() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        lab.apply([
            service("nobody")
                .at("10.96.0.5")
                .port(80, 9000)
                .behind("waypoint")
                .into(),
            service("refusing")
                .at("10.96.0.6")
                .port(80, 1)
                .behind("waypoint")
                .into(),
            pod("refusing").at(&lab.ip(9)).serving("refusing", 80, 1).into(),
        ]);
        for (service, status, flag) in [
            ("nobody", 503, ResponseFlag::NoHealthyUpstream),
            ("refusing", 503, ResponseFlag::UpstreamConnectionFailure),
        ] {
            let address = lab.open_plain(service, 80);
            let mut http = http1(TcpStream::connect(address).await.unwrap()).await;
            let answer = read(http.send_request(get("/")).await.unwrap()).await;
            assert_eq!(answer.status, status, "{service}");
            let reports = lab.reports(1).await;
            let report = reports.last().unwrap();
            assert!(report.flags.has(flag), "{service}: {}", report.flags);
        }
    });
}

#[test]
fn a_grpc_client_is_answered_in_its_own_words() {
    in_lab(|lab| async move {
        lab.apply([service("nobody").at("10.96.0.5").port(80, 9000).into()]);
        let address = lab.open_plain("nobody", 80);
        let mut http = http2(TcpStream::connect(address).await.unwrap()).await;
        let mut request = post("http://shop/pkg.Service/Method", "");
        request.headers_mut().remove("host");
        request
            .headers_mut()
            .insert("content-type", "application/grpc".parse().unwrap());
        let answer = read(http.send_request(request).await.unwrap()).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["grpc-status"], "14");
    });
}

/// A policy of the service `shop` that denies these paths; all of them if there are none.
fn deny(name: &str, paths: &[&str]) -> L7Update {
    let paths = Values {
        any: paths
            .iter()
            .map(|path| PathPattern::Text(TextMatch::Prefix((*path).into())))
            .collect(),
        ..Values::default()
    };
    let to = Operation {
        paths,
        ..Operation::default()
    };
    let rule = Rule {
        to: vec![to],
        ..Rule::default()
    };
    L7Update::Policy(Arc::new(Policy {
        part: "".into(),
        object: ObjectRef {
            kind: "AuthorizationPolicy".into(),
            name: NamespacedName::new("shop", name),
        },
        targets: vec![Target::Service(hostname("shop", "shop"))],
        created: Created::unknown(),
        kind: PolicyKind::Authorization(Authorization {
            action: Action::Deny,
            rules: vec![rule],
            dry_run: false,
        }),
    }))
}

#[test]
fn a_policy_denies_by_path_and_is_named() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        lab.serve([deny("no-admin", &["/admin"])]);
        let (_client, tunnel) = lab.to_shop().await;
        let mut http = http1(tunnel.into_io()).await;
        let answer = read(http.send_request(get("/admin/x")).await.unwrap()).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (403, "RBAC: access denied")
        );
        let answer = read(http.send_request(get("/shop")).await.unwrap()).await;
        assert_eq!(answer.status, 200);
        let reports = lab.reports(2).await;
        assert_eq!(
            reports[0].policy.as_deref(),
            Some("ns[shop]-policy[no-admin]-rule[0]")
        );
    });
}

#[test]
fn what_is_open_ends_when_it_is_not_allowed_any_more() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let address = lab.open_plain("shop", 80);
        let mut http = http1(TcpStream::connect(address).await.unwrap()).await;
        let mut stream = http.send_request(get("/stream")).await.unwrap().into_body();
        stream.frame().await.unwrap().unwrap();
        lab.serve([deny("nothing-any-more", &[])]);
        while let Some(Ok(_)) = stream.frame().await {}
        let reports = lab.reports(1).await;
        assert_eq!(reports[0].details, "rbac_access_denied");
    });
}

#[test]
fn bytes_end_when_they_are_not_allowed_any_more() {
    in_lab(|lab| async move {
        shop(&lab, App::Greet).await;
        let waypoint = lab.open_hbone();
        let client = lab.client("client");
        let tunnel = lab
            .tunnel(&client, "client", waypoint, "10.96.0.1:80")
            .await
            .unwrap();
        let mut io = tunnel.into_io();
        io.read_exact(&mut [0; 6]).await.unwrap();
        lab.serve([deny("nothing-any-more", &[])]);
        // A reset, not an end: nobody may take it for the whole.
        assert!(io.read(&mut [0; 1]).await.is_err());
        let again = lab
            .tunnel(&client, "client", waypoint, "10.96.0.1:80")
            .await
            .unwrap();
        assert!(again.into_io().read(&mut [0; 1]).await.is_err());
    });
}

#[test]
fn streams_of_one_tunnel_occupy_all_workers() {
    in_lab_with_threads(2, |lab| async move {
        shop(&lab, App::Http).await;
        let waypoint = lab.open_hbone();
        let client = lab.client("client");
        let mut kept = Vec::new();
        for _ in 0..4 {
            let tunnel = lab
                .tunnel(&client, "client", waypoint, "10.96.0.1:80")
                .await
                .unwrap();
            let mut http = http1(tunnel.into_io()).await;
            let body = "x".repeat(300_000);
            let answer = read(http.send_request(post("/", body.clone())).await.unwrap()).await;
            assert!(answer.body.contains(&body));
            // Its stream stays open, so that the next one goes elsewhere.
            kept.push(http);
        }
        assert_eq!(client.connections(), 1);
        lab.reports(4).await;
        assert_eq!(lab.threads(), ["data-0", "data-1"]);
    });
}

#[test]
fn a_drain_lets_requests_end_and_says_so_to_the_client() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let address = lab.open_plain("shop", 80);
        let mut stream = TcpStream::connect(address).await.unwrap();
        let half = b"POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: 4\r\n\r\nha";
        stream.write_all(half).await.unwrap();
        let drained = lab.drain(Duration::from_secs(30));
        let client = async {
            while TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
            stream.write_all(b"lf").await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let (answer, drained) = tokio::join!(client, drained);
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("body: half"),
            "{answer}"
        );
        assert!(answer.contains("connection: close"), "{answer}");
        assert_eq!(drained, Drained::Complete);
    });
}

/// A client that sends its next request while the proxy begins to drain does not lose it: the connection takes it, and its
/// answer says that it is the last.
#[test]
fn a_connection_between_two_requests_at_the_drain_takes_one_more_and_says_that_it_is_the_last() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let address = lab.open_plain("shop", 80);
        let request = b"POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: 4\r\n\r\nmore";
        // One that was just answered, and one that rests.
        let mut fresh = TcpStream::connect(address).await.unwrap();
        let mut rests = TcpStream::connect(address).await.unwrap();
        for (stream, rest) in [(&mut rests, 600), (&mut fresh, 0)] {
            stream.write_all(request).await.unwrap();
            let mut answer = vec![0; 64 << 10];
            let length = stream.read(&mut answer).await.unwrap();
            assert!(!String::from_utf8_lossy(&answer[..length]).contains("connection: close"));
            // Longer than a connection needs to come to rest.
            tokio::time::sleep(Duration::from_millis(rest)).await;
        }
        let drained = lab.drain(Duration::from_secs(30));
        let clients = async {
            while TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
            for mut stream in [fresh, rests] {
                stream.write_all(request).await.unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                assert!(answer.contains("connection: close"), "{answer}");
            }
        };
        let ((), drained) = tokio::join!(clients, drained);
        assert_eq!(drained, Drained::Complete);
    });
}

/// A route to the service itself, changed by `change`.
fn ruled(change: impl FnOnce(&mut HttpRule)) -> L7Update {
    let mut route = route("rule", &[("shop", 1)]);
    let Rules::Http { rules, .. } = &mut route.rules else {
        unreachable!("it was made so")
    };
    change(&mut rules[0]);
    L7Update::Route(Arc::new(route))
}

#[test]
fn requests_and_answers_are_edited_as_the_rule_says() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        lab.serve([ruled(|rule| {
            let edits = |name: &str| HeaderEdits {
                set: vec![(name.into(), "yes".into())],
                remove: vec!["x-gone".into()],
                ..HeaderEdits::default()
            };
            rule.filters = vec![
                Filter::RequestHeaders(edits("x-asked")),
                Filter::ResponseHeaders(edits("x-answered")),
                Filter::Rewrite(Rewrite {
                    authority: Some("other".into()),
                    path: Some(PathRewrite::Full("/new".into())),
                }),
            ];
        })]);
        let address = lab.open_plain("shop", 80);
        let mut http = http1(TcpStream::connect(address).await.unwrap()).await;
        let mut request = get("/old/%7Epath?q=1");
        request.headers_mut().insert("x-gone", "1".parse().unwrap());
        let answer = read(http.send_request(request).await.unwrap()).await;
        assert!(answer.body.contains("GET /new?q=1\n"), "{}", answer.body);
        assert!(answer.body.contains("host: other\n") && answer.body.contains("x-asked: yes\n"));
        assert!(!answer.body.contains("x-gone"), "{}", answer.body);
        assert_eq!(answer.headers["x-answered"], "yes");
    });
}

#[test]
fn redirects_and_faults_are_answered_here() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let address = lab.open_plain("shop", 80);
        let mut http = http1(TcpStream::connect(address).await.unwrap()).await;
        lab.serve([ruled(|rule| {
            rule.action = HttpAction::Redirect(Redirect {
                scheme: Some("https".into()),
                hostname: Some("example.org".into()),
                port: RedirectPort::Derived,
                path: None,
                status: 301,
            });
        })]);
        let answer = read(http.send_request(get("/a?b")).await.unwrap()).await;
        assert_eq!(answer.status, 301);
        assert_eq!(answer.headers["location"], "https://example.org/a?b");
        lab.serve([ruled(|rule| {
            rule.filters = vec![Filter::Fault(Fault {
                delay: None,
                abort: Some((Abort::Http(418), Share::ALL)),
            })];
        })]);
        let answer = read(http.send_request(get("/")).await.unwrap()).await;
        assert_eq!(answer.status, 418);
        let reports = lab.reports(2).await;
        assert!(reports[1].flags.has(ResponseFlag::FaultInjected));
    });
}

#[test]
fn a_request_is_tried_again_and_not_for_longer_than_it_may_take() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let address = lab.open_plain("shop", 80);
        let mut http = http1(TcpStream::connect(address).await.unwrap()).await;
        // The application fails twice, the rule has two more tries for that; the body is sent each time.
        lab.serve([ruled(|rule| {
            rule.retry = Some(Retry {
                conditions: vec![RetryCondition::Status(503)],
                ..Retry::default()
            });
        })]);
        let answer = read(http.send_request(post("/flaky/2", "again")).await.unwrap()).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body.contains("body: again\n"));
        assert_eq!(lab.reports(1).await[0].attempts, 3);
        lab.serve([ruled(|rule| {
            rule.timeouts.request = Some(Duration::from_millis(50))
        })]);
        let answer = read(http.send_request(get("/slow")).await.unwrap()).await;
        assert_eq!(answer.status, 504);
        assert!(
            lab.reports(2).await[1]
                .flags
                .has(ResponseFlag::UpstreamRequestTimeout)
        );
    });
}
