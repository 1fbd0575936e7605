//! Somebody else decides: a real authorization service of the test's own, on Envoy's wire and over HTTP.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mesh_extensions::authorization::{Allowed, CHECK, Check, Checked, CheckedBody, Denied};
use mesh_extensions::headers::{ChangedName, HeaderAction, HeaderChange};
use mesh_model::l7::TextMatch;
use mesh_model::l7::authorization::{Action, ExternalAuth, ExternalAuthBody, ExternalAuthProtocol};
use mesh_testkit::{pod, service};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use waypoint::flags::ResponseFlag;

use super::lab::wires::{Says, Unary};
use super::lab::{Answer, App, Lab, get, http1, in_lab, post, read};
use super::security::authorization;
use super::{at, shop};

fn provider(protocol: ExternalAuthProtocol) -> ExternalAuth {
    ExternalAuth {
        provider: "gatekeeper".into(),
        service: at("gatekeeper"),
        protocol,
        timeout: Duration::from_millis(500),
        fail_open: false,
        status_on_error: 403,
        clear_route_cache: false,
        body: None,
    }
}

/// A policy that sends everything there.
fn ask(lab: &Lab, provider: ExternalAuth) {
    let action = Action::External(Box::new(provider));
    lab.serve([authorization("ask", action, false, Vec::new())]);
}

/// The service that is asked, at host 7.
fn gatekeeper(lab: &Lab) -> SocketAddr {
    let ip = lab.ip(7);
    lab.apply([
        service("gatekeeper").at("10.96.0.7").port(80, 9100).into(),
        pod("gatekeeper").at(&ip).serving("gatekeeper", 80, 9100).into(),
    ]);
    format!("{ip}:9100").parse().unwrap()
}

fn change(name: ChangedName, value: &str, action: HeaderAction) -> HeaderChange {
    HeaderChange {
        name,
        value: value.parse().unwrap(),
        action,
    }
}

fn header(name: &str) -> ChangedName {
    ChangedName::Header(name.parse().unwrap())
}

async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    let mut http = http1(TcpStream::connect(address).await.unwrap()).await;
    read(http.send_request(request).await.unwrap()).await
}

#[test]
fn a_service_on_envoys_wire_lets_pass_and_changes_requests_and_answers() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let keeper = Unary::start(gatekeeper(&lab)).await;
        ask(&lab, provider(ExternalAuthProtocol::Grpc));
        keeper.says(Says::Message(
            Checked::Allowed(Allowed {
                headers: vec![
                    change(header("x-user"), "bob", HeaderAction::Overwrite),
                    change(header("x-list"), "2", HeaderAction::Append),
                    change(header("content-length"), "7", HeaderAction::Overwrite),
                    change(ChangedName::Path, "/b/../c?d=1", HeaderAction::Overwrite),
                ],
                remove: vec!["x-secret".parse().unwrap()],
                response_headers: vec![change(header("x-checked"), "yes", HeaderAction::Overwrite)],
                ..Allowed::default()
            })
            .encode(),
        ));
        let address = lab.open_plain("shop", 80);
        let mut request = post("/a?b", "body");
        for (name, value) in [("x-list", "1"), ("x-secret", "s"), ("x-user", "forged")] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer = send(address, request).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["x-checked"], "yes");
        assert!(answer.body.starts_with("web\nPOST /c?d=1\n"), "{}", answer.body);
        for there in [
            "x-user: bob\n",
            "x-list: 1\n",
            "x-list: 2\n",
            "content-length: 4\n",
            "body: body\n",
        ] {
            assert!(answer.body.contains(there), "{there}: {}", answer.body);
        }
        assert!(!answer.body.contains("x-secret"), "{}", answer.body);

        let asked = keeper.asked();
        assert_eq!((asked.len(), asked[0].0.as_str()), (1, CHECK));
        let check = Check::decode(&asked[0].1).unwrap();
        let request = check.request.unwrap();
        assert_eq!(
            (
                request.method.as_str(),
                request.path.as_str(),
                request.host.as_str()
            ),
            ("POST", "/a?b", "shop")
        );
        assert_eq!(request.headers["x-secret"], "s");
        assert_eq!(request.body, None);
        assert_eq!(
            check.destination.principal.as_deref(),
            Some("spiffe://cluster.local/ns/shop/sa/waypoint")
        );
    });
}

#[test]
fn who_it_denies_is_told_what_it_says() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let keeper = Unary::start(gatekeeper(&lab)).await;
        ask(&lab, provider(ExternalAuthProtocol::Grpc));
        let denied = |status| {
            Checked::Denied(Denied {
                code: 7,
                status,
                headers: vec![change(header("x-why"), "because", HeaderAction::Overwrite)],
                body: "not you".to_owned(),
                metadata: serde_json::Map::new(),
            })
        };
        let address = lab.open_plain("shop", 80);
        for (status, expected) in [(Some(418), 418), (None, 403)] {
            keeper.says(Says::Message(denied(status).encode()));
            let answer = send(address, get("/")).await;
            assert_eq!((answer.status, answer.body.as_str()), (expected, "not you"));
            assert_eq!(answer.headers["x-why"], "because");
        }
        let reports = lab.reports(2).await;
        assert_eq!(reports[0].details, "ext_authz_denied");
        assert_eq!(reports[0].policy.as_deref(), Some("ns[shop]-policy[ask]-rule[0]"));
        assert!(reports[0].flags.has(ResponseFlag::UnauthorizedExternalService));
    });
}

#[test]
fn without_an_answer_nobody_passes_unless_that_is_wanted() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let address = gatekeeper(&lab);
        let closed = ExternalAuth {
            status_on_error: 503,
            ..provider(ExternalAuthProtocol::Grpc)
        };
        let open = ExternalAuth {
            fail_open: true,
            ..closed.clone()
        };
        let shop = lab.open_plain("shop", 80);
        // Nobody listens yet.
        ask(&lab, closed.clone());
        assert_eq!(send(shop, get("/")).await.status, 503);
        let keeper = Unary::start(address).await;
        for says in [
            Says::Nothing,
            Says::Status(14),
            Says::Message(Bytes::from_static(b"\xff")),
        ] {
            keeper.says(says.clone());
            ask(&lab, closed.clone());
            let answer = send(shop, get("/")).await;
            assert_eq!((answer.status, answer.body.as_str()), (503, ""), "{says:?}");
            ask(&lab, open.clone());
            assert_eq!(send(shop, get("/")).await.status, 200, "{says:?}");
        }
        let reports = lab.reports(7).await;
        assert_eq!(reports[1].details, "ext_authz_error");
        let why = reports[1].upstream_failure.as_deref();
        assert_eq!(why, Some("gatekeeper: it took too long"));
    });
}

#[test]
fn the_body_is_shown_and_goes_on_unharmed() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let keeper = Unary::start(gatekeeper(&lab)).await;
        keeper.says(Says::Message(Checked::Allowed(Allowed::default()).encode()));
        let with = |limit, allow_partial| ExternalAuth {
            body: Some(ExternalAuthBody {
                limit,
                allow_partial,
                as_bytes: true,
            }),
            ..provider(ExternalAuthProtocol::Grpc)
        };
        let address = lab.open_plain("shop", 80);
        // Longer than what is kept for another try.
        let body = "0123456789".repeat(30_000);
        for (limit, partial, status) in [(400_000, false, 200), (100_000, true, 200), (100_000, false, 413)] {
            ask(&lab, with(limit, partial));
            let answer = send(address, post("/", body.clone())).await;
            assert_eq!(answer.status, status, "{limit} {partial}");
            if status == 200 {
                assert!(
                    answer.body.ends_with(&format!("body: {body}\n")),
                    "{limit} {partial}"
                );
                let check = Check::decode(&keeper.asked().last().unwrap().1).unwrap();
                let request = check.request.unwrap();
                let shown = limit.min(body.len() as u32) as usize;
                assert_eq!(
                    request.body,
                    Some(CheckedBody::Bytes(body.as_bytes()[..shown].to_vec().into()))
                );
                assert_eq!(
                    request.headers["x-envoy-auth-partial-body"],
                    (shown < body.len()).to_string()
                );
            }
        }
    });
}

#[test]
fn connections_are_asked_about_too() {
    in_lab(|lab| async move {
        shop(&lab, App::Greet).await;
        let keeper = Unary::start(gatekeeper(&lab)).await;
        ask(&lab, provider(ExternalAuthProtocol::Grpc));
        let address = lab.open_plain("shop", 80);
        keeper.says(Says::Message(Checked::Allowed(Allowed::default()).encode()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.read_exact(&mut [0; 6]).await.unwrap();
        drop(stream);
        keeper.says(Says::Message(
            Checked::Denied(Denied {
                code: 7,
                status: None,
                headers: Vec::new(),
                body: String::new(),
                metadata: serde_json::Map::new(),
            })
            .encode(),
        ));
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(stream.read(&mut [0; 1]).await.is_err());
        assert_eq!(Check::decode(&keeper.asked()[0].1).unwrap().request, None);
        // Of bytes no request of HTTP can be made: nobody passes.
        ask(&lab, provider(over_http()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(stream.read(&mut [0; 1]).await.is_err());
        let reports = lab.reports(3).await;
        assert_eq!(reports[1].details, "ext_authz_denied");
        assert_eq!(reports[2].details, "policy_not_enforced");
    });
}

fn over_http() -> ExternalAuthProtocol {
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| TextMatch::Exact((*name).into()))
            .collect()
    };
    ExternalAuthProtocol::Http {
        path_prefix: "/check".into(),
        include_request_headers: names(&["x-show"]),
        additional_headers: vec![("x-from".into(), "mesh".into())],
        upstream_headers_on_allow: names(&["x-user"]),
        downstream_headers_on_allow: names(&["x-told"]),
        downstream_headers_on_deny: names(&["x-why"]),
    }
}

/// What it was asked, and the status that it gives.
type Plain = Rc<RefCell<(Vec<String>, u16)>>;

async fn plain_keeper(address: SocketAddr) -> Plain {
    let listener = TcpListener::bind(address).await.unwrap();
    let plain: Plain = Rc::new(RefCell::new((Vec::new(), 200)));
    let served = plain.clone();
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let served = served.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let served = served.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let mut headers: Vec<_> = head
                        .headers
                        .iter()
                        .map(|(n, v)| format!("{n}={}", v.to_str().unwrap()))
                        .collect();
                    headers.sort();
                    let text = format!(
                        "{} {} {} {}",
                        head.method,
                        head.uri,
                        headers.join(" "),
                        body.len()
                    );
                    served.borrow_mut().0.push(text);
                    let response = Response::builder().status(served.borrow().1);
                    let response = response
                        .header("x-user", "bob")
                        .header("x-told", "yes")
                        .header("x-why", "because")
                        .header("x-other", "1")
                        .header("www-authenticate", "Basic");
                    Ok::<_, Infallible>(response.body(Full::new(Bytes::from_static(b"said so"))).unwrap())
                }
            });
            let serve =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            spawn_local(async move { drop(serve.await) });
        }
    });
    plain
}

#[test]
fn a_service_of_http_is_asked_with_a_request_like_the_one_in_question() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let keeper = plain_keeper(gatekeeper(&lab)).await;
        ask(&lab, provider(over_http()));
        let address = lab.open_plain("shop", 80);
        let request = || {
            let mut request = post("/a?b", "body");
            for (name, value) in [
                ("x-show", "1"),
                ("x-hide", "2"),
                ("authorization", "Basic x"),
                ("x-user", "forged"),
            ] {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            request
        };
        let answer = send(address, request()).await;
        assert_eq!((answer.status, &answer.headers["x-told"] == "yes"), (200, true));
        assert!(
            answer.body.contains("x-user: bob\n") && !answer.body.contains("forged"),
            "{}",
            answer.body
        );
        assert_eq!(
            keeper.borrow().0,
            ["POST /check/a?b authorization=Basic x content-length=0 host=shop x-from=mesh x-show=1 0"]
        );
        for (status, expected, body) in [(401, 401, "said so"), (302, 302, "said so"), (503, 403, "")] {
            keeper.borrow_mut().1 = status;
            let answer = send(address, request()).await;
            assert_eq!((answer.status, answer.body.as_str()), (expected, body));
            if status != 503 {
                assert_eq!(answer.headers["x-why"], "because");
                assert_eq!(answer.headers["www-authenticate"], "Basic");
                assert!(!answer.headers.contains_key("x-other"));
            }
        }
    });
}
