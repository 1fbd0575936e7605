//! Cases of Gateway API's mesh tests that are about the data path, by their names there, and Istio's TestDirect.

use std::net::SocketAddr;
use std::rc::Rc;

use mesh_model::AppProtocol;
use mesh_model::l7::filter::{
    BackendFilter, Filter, HeaderEdits, PathRewrite, Redirect, RedirectPort, Rewrite,
};
use mesh_model::l7::route::{
    HttpAction, HttpBackend, HttpMatch, HttpRule, NamedMatch, Order, PathMatch, Route, RouteParent, Rules,
};
use mesh_model::l7::{ServicePort, TextMatch};
use mesh_state::l7::L7Update;
use mesh_testkit::objects::hostname;
use mesh_testkit::{pod, service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab::{Lab, in_lab};
use crate::{backend, head, http_rule, rest, route, to};

/// Tells its name and the head it got.
async fn echo(mut stream: TcpStream, name: &'static str) {
    while let Some(asked) = head(&mut stream).await {
        let body = format!("{name}\n{asked}");
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// `shop` with two versions, v1 and v2.
async fn versions(lab: &Rc<Lab>) -> SocketAddr {
    backend(lab, "shop", 1, AppProtocol::Http11, |s| echo(s, "shop")).await;
    backend(lab, "v1", 2, AppProtocol::Http11, |s| echo(s, "v1")).await;
    backend(lab, "v2", 3, AppProtocol::Http11, |s| echo(s, "v2")).await;
    lab.open_plain("shop", 80)
}

async fn ask(address: SocketAddr, request_line: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{request_line} HTTP/1.1\r\nhost: echo\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

fn rules(rules: Vec<HttpRule>) -> L7Update {
    let order = Order::Specificity;
    route("HTTPRoute", "mesh", Rules::Http { order, rules })
}

fn path(path: PathMatch) -> HttpMatch {
    HttpMatch {
        path: Some(path),
        ..HttpMatch::default()
    }
}

fn named(name: &str, value: &str) -> Vec<NamedMatch> {
    vec![NamedMatch {
        name: name.into(),
        value: TextMatch::Exact(value.into()),
    }]
}

fn matching(to: &str, matches: Vec<HttpMatch>) -> HttpRule {
    HttpRule {
        matches,
        ..http_rule(to)
    }
}

#[test]
fn mesh_http_route_matching() {
    in_lab(|lab| async move {
        let address = versions(&lab).await;
        let version = |value: &str| HttpMatch {
            headers: named("version", value),
            ..HttpMatch::default()
        };
        let prefix = |p: &str| path(PathMatch::Segments(p.into()));
        lab.serve([rules(vec![
            matching("v1", vec![prefix("/"), version("one")]),
            matching("v2", vec![prefix("/v2"), version("two")]),
        ])]);
        for (line, headers, to) in [
            ("GET /", "", "v1"),
            ("GET /example", "", "v1"),
            ("GET /", "Version: one\r\n", "v1"),
            ("GET /v2", "", "v2"),
            ("GET /v2/", "", "v2"),
            ("GET /v2/example", "", "v2"),
            ("GET /v2example", "", "v1"),
            ("GET /foo/v2/example", "", "v1"),
        ] {
            let answer = ask(address, line, headers).await;
            assert!(
                answer.contains(&format!("\r\n\r\n{to}\n")),
                "{line} {headers}: {answer}"
            );
        }
    });
}

#[test]
fn mesh_http_route_query_param_matching_and_nothing_matched() {
    in_lab(|lab| async move {
        let address = versions(&lab).await;
        let query = |value: &str| HttpMatch {
            query: named("animal", value),
            ..HttpMatch::default()
        };
        lab.serve([rules(vec![
            matching("v1", vec![query("whale")]),
            matching("v2", vec![query("dolphin")]),
        ])]);
        for (line, expected) in [
            ("GET /?animal=whale", "\r\n\r\nv1\n"),
            ("GET /?animal=dolphin&x=y", "\r\n\r\nv2\n"),
            ("GET /?animal=shark", "HTTP/1.1 404 "),
            ("GET /", "HTTP/1.1 404 "),
        ] {
            let answer = ask(address, line, "").await;
            assert!(answer.contains(expected), "{line}: {answer}");
        }
    });
}

#[test]
fn mesh_http_route_request_header_modifier() {
    in_lab(|lab| async move {
        let address = versions(&lab).await;
        let pair = |name: &str, value: &str| (name.into(), value.into());
        let edits = HeaderEdits {
            set: vec![pair("x-header-set", "set-overwrites-values")],
            add: vec![pair("x-header-add", "add-appends-values")],
            remove: vec!["x-header-remove".into()],
        };
        let mut rule = http_rule("v1");
        rule.filters = vec![Filter::RequestHeaders(edits.clone())];
        let mut of_backend = matching("v2", vec![path(PathMatch::Segments("/backend".into()))]);
        let HttpAction::Forward(backends) = &mut of_backend.action else {
            unreachable!("it forwards")
        };
        backends[0].filters = vec![BackendFilter::RequestHeaders(edits)];
        lab.serve([rules(vec![rule, of_backend])]);
        let sent =
            "X-Header-Set: some-other-value\r\nX-Header-Add: some-other-value\r\nX-Header-Remove: val\r\n";
        for line in ["GET /", "GET /backend"] {
            let answer = ask(address, line, sent).await;
            assert!(
                answer.contains("x-header-set: set-overwrites-values\r\n"),
                "{answer}"
            );
            assert!(
                answer.contains("x-header-add: some-other-value,add-appends-values\r\n"),
                "{answer}"
            );
            assert!(!answer.contains("x-header-remove"), "{answer}");
        }
    });
}

#[test]
fn mesh_http_route_redirects() {
    in_lab(|lab| async move {
        let address = versions(&lab).await;
        let to = |redirect: Redirect, p: &str| HttpRule {
            action: HttpAction::Redirect(redirect),
            ..matching("v1", vec![path(PathMatch::Segments(p.into()))])
        };
        let plain = || Redirect {
            scheme: None,
            hostname: None,
            port: RedirectPort::Derived,
            path: None,
            status: 302,
        };
        let mut all = vec![
            to(
                Redirect {
                    hostname: Some("example.org".into()),
                    ..plain()
                },
                "/host",
            ),
            to(
                Redirect {
                    port: RedirectPort::Given(8083),
                    ..plain()
                },
                "/port",
            ),
            to(
                Redirect {
                    scheme: Some("https".into()),
                    hostname: Some("example.org".into()),
                    ..plain()
                },
                "/scheme",
            ),
            to(
                Redirect {
                    path: Some(PathRewrite::Prefix("/new".into())),
                    hostname: Some("example.org".into()),
                    ..plain()
                },
                "/prefix",
            ),
            to(
                Redirect {
                    path: Some(PathRewrite::Full("/full".into())),
                    hostname: Some("example.org".into()),
                    ..plain()
                },
                "/whole",
            ),
        ];
        for status in [301, 303, 307, 308] {
            let redirect = Redirect {
                hostname: Some("example.org".into()),
                status,
                ..plain()
            };
            all.push(to(redirect, &format!("/{status}")));
        }
        lab.serve([rules(all)]);
        for (line, status, location) in [
            ("GET /host", 302, "http://example.org/host"),
            ("GET /port", 302, "http://echo:8083/port"),
            ("GET /scheme", 302, "https://example.org/scheme"),
            ("GET /prefix/lemon", 302, "http://example.org/new/lemon"),
            ("GET /whole/x", 302, "http://example.org/full"),
            ("GET /301", 301, "http://example.org/301"),
            ("GET /303", 303, "http://example.org/303"),
            ("GET /307", 307, "http://example.org/307"),
            ("GET /308", 308, "http://example.org/308"),
        ] {
            let answer = ask(address, line, "").await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{line}: {answer}"
            );
            assert!(
                answer.contains(&format!("location: {location}\r\n")),
                "{line}: {answer}"
            );
        }
    });
}

#[test]
fn mesh_http_route_rewrite_path() {
    in_lab(|lab| async move {
        let address = versions(&lab).await;
        let rewrite = |p: &str, path_rewrite: PathRewrite| HttpRule {
            filters: vec![Filter::Rewrite(Rewrite {
                authority: None,
                path: Some(path_rewrite),
            })],
            ..matching("v1", vec![path(PathMatch::Segments(p.into()))])
        };
        lab.serve([rules(vec![
            rewrite("/prefix/one", PathRewrite::Prefix("/one".into())),
            rewrite("/strip-prefix", PathRewrite::Prefix("/".into())),
            rewrite("/full/one", PathRewrite::Full("/one".into())),
        ])]);
        for (line, got) in [
            ("GET /prefix/one/two", "GET /one/two "),
            ("GET /strip-prefix/three", "GET /three "),
            ("GET /strip-prefix", "GET / "),
            ("GET /full/one/two", "GET /one "),
        ] {
            let answer = ask(address, line, "").await;
            assert!(answer.contains(&format!("v1\n{got}")), "{line}: {answer}");
        }
    });
}

#[test]
fn mesh_http_route_weight_with_an_invalid_share() {
    in_lab(|lab| async move {
        let address = versions(&lab).await;
        let share = |weight, destination| HttpBackend {
            weight,
            destination,
            filters: Vec::new(),
        };
        let invalid = mesh_model::l7::route::Destination::Invalid("BackendNotFound".into());
        let mut rule = http_rule("v1");
        rule.action = HttpAction::Forward(vec![share(70, to("v1")), share(30, invalid), share(0, to("v2"))]);
        lab.serve([rules(vec![rule])]);
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (mut good, mut bad) = (0, 0);
        for _ in 0..500 {
            stream
                .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                .await
                .unwrap();
            let answer = head(&mut stream).await.unwrap();
            let length = answer
                .split("content-length: ")
                .nth(1)
                .map(|l| l.split('\r').next().unwrap().parse().unwrap());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).await.unwrap();
            match answer.starts_with("HTTP/1.1 200 ") {
                true => good += 1,
                false if answer.starts_with("HTTP/1.1 500 ") => bad += 1,
                false => panic!("{answer}"),
            }
        }
        assert!(
            (325..=375).contains(&good) && (125..=175).contains(&bad),
            "{good} {bad}"
        );
        // No destination at all.
        let mut none = http_rule("v1");
        none.action = HttpAction::Forward(Vec::new());
        lab.serve([rules(vec![none])]);
        assert!(ask(address, "GET /", "").await.starts_with("HTTP/1.1 500 "));
    });
}

/// MeshFrontend, MeshFrontendHostname, MeshPorts: the address that is dialled chooses the routes, never Host.
#[test]
fn mesh_frontend_is_chosen_by_address_and_port() {
    in_lab(|lab| async move {
        versions(&lab).await;
        let ip = lab.ip(2);
        lab.apply([
            service("waypoint").at("10.96.0.100").into(),
            service("echo-v2")
                .at("10.96.0.61")
                .port(80, 9000)
                .port(8080, 9000)
                .behind("waypoint")
                .into(),
            service("echo-v1")
                .at("10.96.0.62")
                .port(80, 9000)
                .behind("waypoint")
                .into(),
            pod("e")
                .at(&ip)
                .behind("waypoint")
                .serving("echo-v2", 80, 9000)
                .serving("echo-v2", 8080, 9000)
                .serving("echo-v1", 80, 9000)
                .into(),
        ]);
        let mut rule = http_rule("v2");
        rule.filters = vec![Filter::ResponseHeaders(HeaderEdits {
            set: vec![("x-header-set".into(), "v2".into())],
            ..HeaderEdits::default()
        })];
        let L7Update::Route(of_port) = rules(vec![rule]) else {
            unreachable!("it is a route")
        };
        lab.serve([L7Update::Route(std::sync::Arc::new(Route {
            parents: vec![RouteParent::ServicePort(ServicePort {
                service: hostname("shop", "echo-v2"),
                port: 80,
            })],
            ..(*of_port).clone()
        }))]);
        let waypoint = lab.open_hbone();
        let client = lab.client("client");
        let pod_address = format!("{ip}:9000");
        for (target, host, routed) in [
            ("10.96.0.61:80", "echo-v2", true),
            ("10.96.0.61:80", "echo-v1", true),
            ("10.96.0.62:80", "echo-v2", false),
            ("10.96.0.61:8080", "echo-v2", false),
            (pod_address.as_str(), "echo-v2", false),
        ] {
            let tunnel = lab.tunnel(&client, "client", waypoint, target).await.unwrap();
            let mut io = tunnel.into_io();
            let get = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            io.write_all(get.as_bytes()).await.unwrap();
            let answer = rest(&mut io).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{target} {host}: {answer}");
            assert_eq!(
                answer.contains("x-header-set: v2"),
                routed,
                "{target} {host}: {answer}"
            );
        }
    });
}

/// MeshConsumerRoute: a route of the client's namespace is for its clients alone.
#[test]
fn mesh_consumer_route() {
    in_lab(|lab| async move {
        versions(&lab).await;
        lab.enroll(AppProtocol::Unknown);
        let L7Update::Route(consumer) = rules(vec![http_rule("v2")]) else {
            unreachable!("it is a route")
        };
        lab.serve([L7Update::Route(std::sync::Arc::new(Route {
            consumer: Some("elsewhere".into()),
            ..(*consumer).clone()
        }))]);
        let waypoint = lab.open_hbone();
        let client = lab.client("client");
        let tunnel = lab
            .tunnel(&client, "client", waypoint, "10.96.0.1:80")
            .await
            .unwrap();
        let mut io = tunnel.into_io();
        io.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        // This client is of namespace `shop`: for it there is no route.
        assert!(rest(&mut io).await.contains("\r\n\r\nshop\n"));
    });
}

/// Istio, TestDirect: what is not served here is refused, whoever asks.
#[test]
fn what_a_waypoint_does_not_serve_is_refused() {
    in_lab(|lab| async move {
        versions(&lab).await;
        let (own, other) = (lab.ip(2), lab.ip(3));
        lab.apply([
            service("waypoint").at("10.96.0.100").port(15008, 15008).into(),
            service("mine")
                .at("10.96.0.71")
                .port(80, 9000)
                .behind("waypoint")
                .into(),
            service("theirs")
                .at("10.96.0.72")
                .port(80, 9000)
                .behind("another")
                .into(),
            service("nobodys").at("10.96.0.73").port(80, 9000).into(),
            pod("mine")
                .at(&own)
                .behind("waypoint")
                .serving("mine", 80, 9000)
                .into(),
            pod("theirs").at(&other).into(),
        ]);
        let waypoint = lab.open_hbone();
        let client = lab.client("client");
        let (served, not_served) = (format!("{own}:9000"), format!("{other}:9000"));
        let admin = format!("{}:15000", waypoint.ip());
        for (target, accepted) in [
            ("10.96.0.71:80", true),
            (served.as_str(), true),
            ("10.96.0.71:81", false),
            ("10.96.0.72:80", false),
            ("10.96.0.73:80", false),
            (not_served.as_str(), false),
            ("10.96.0.100:15008", false),
            (admin.as_str(), false),
            ("127.0.0.1:15000", false),
            ("[::1]:15000", false),
            ("192.0.2.1:80", false),
            ("mine.shop.svc.cluster.local:80", false),
        ] {
            let tunnel = lab.tunnel(&client, "client", waypoint, target).await;
            assert_eq!(tunnel.is_ok(), accepted, "{target}");
        }
    });
}
