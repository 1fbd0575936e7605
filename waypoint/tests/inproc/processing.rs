//! Somebody else changes requests and answers: a real processor of the test's own on Envoy's wire.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use mesh_extensions::headers::{ChangedName, HeaderAction, HeaderChange};
use mesh_extensions::processing::{Changes, Immediate, Part, Processed, Sent};
use mesh_model::l7::PolicyKind;
use mesh_model::l7::processing::{ExternalProcessing, ProcessedParts};
use mesh_testkit::{pod, service};
use tokio::net::TcpStream;

use super::lab::wires::{Replies, start_stream};
use super::lab::{Answer, App, Lab, get, http1, in_lab, post, read};
use super::security::policy;
use super::{at, shop};

const ALL: ProcessedParts = ProcessedParts {
    headers: true,
    body: true,
};

async fn processor(lab: &Lab, replies: Replies) {
    let ip = lab.ip(6);
    lab.apply([
        service("processor").at("10.96.0.6").port(80, 9300).into(),
        pod("processor").at(&ip).serving("processor", 80, 9300).into(),
    ]);
    start_stream(format!("{ip}:9300").parse().unwrap(), replies).await;
}

fn process(lab: &Lab, request: ProcessedParts, response: ProcessedParts, fail_open: bool) {
    let processing = ExternalProcessing {
        service: at("processor"),
        request,
        response,
        timeout: Duration::from_millis(500),
        fail_open,
        body_limit: 100_000,
    };
    lab.serve([policy("process", PolicyKind::ExternalProcessing(processing))]);
}

fn change(name: ChangedName, value: &str) -> HeaderChange {
    HeaderChange {
        name,
        value: value.parse().unwrap(),
        action: HeaderAction::Overwrite,
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
fn heads_and_bodies_are_changed_on_both_ways() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let heard: Rc<RefCell<Vec<Sent>>> = Rc::default();
        let log = heard.clone();
        let replies: Replies = Rc::new(move |message| {
            let sent = Sent::decode(&message).unwrap();
            log.borrow_mut().push(sent.clone());
            let processed = match sent {
                Sent::Headers { of_request: true, .. } => Processed::Go(
                    Part::RequestHeaders,
                    Changes {
                        headers: vec![
                            change(header("x-user"), "bob"),
                            change(ChangedName::Path, "/x/../new?q"),
                            change(ChangedName::Method, "DELETE"),
                            change(header("x-envoy-internal"), "true"),
                        ],
                        remove: vec!["x-secret".parse().unwrap()],
                        ..Changes::default()
                    },
                ),
                Sent::Body {
                    of_request: true,
                    body,
                    ..
                } => {
                    let new = [b"<", &body[..], b">"].concat();
                    Processed::Go(
                        Part::RequestBody,
                        Changes {
                            body: Some(new.into()),
                            ..Changes::default()
                        },
                    )
                }
                Sent::Headers { .. } => Processed::Go(
                    Part::ResponseHeaders,
                    Changes {
                        headers: vec![
                            change(header("x-seen"), "yes"),
                            change(ChangedName::Status, "201"),
                        ],
                        ..Changes::default()
                    },
                ),
                Sent::Body { body, .. } => {
                    let new = [&body[..], b"(read)"].concat();
                    Processed::Go(
                        Part::ResponseBody,
                        Changes {
                            body: Some(new.into()),
                            ..Changes::default()
                        },
                    )
                }
            };
            Ok(processed.encode())
        });
        processor(&lab, replies).await;
        process(&lab, ALL, ALL, false);
        let address = lab.open_plain("shop", 80);
        let mut request = post("/old", "hello");
        request.headers_mut().insert("x-secret", "s".parse().unwrap());
        let answer = send(address, request).await;
        assert_eq!((answer.status, &answer.headers["x-seen"] == "yes"), (201, true));
        assert!(answer.body.starts_with("web\nPOST /new?q\n"), "{}", answer.body);
        for there in ["x-user: bob\n", "content-length: 7\n", "body: <hello>\n(read)"] {
            assert!(answer.body.contains(there), "{there}: {}", answer.body);
        }
        for gone in ["x-secret", "x-envoy"] {
            assert!(!answer.body.contains(gone), "{gone}: {}", answer.body);
        }
        assert_eq!(answer.headers["content-length"], answer.body.len().to_string());
        // Without a body, only heads are shown.
        heard.borrow_mut().clear();
        assert_eq!(send(address, get("/")).await.status, 201);
        let kinds = |sent: &Sent| {
            matches!(
                sent,
                Sent::Headers {
                    of_request: true,
                    end: true,
                    ..
                }
            )
        };
        assert!(kinds(&heard.borrow()[0]));
        assert_eq!(heard.borrow().len(), 3);
    });
}

#[test]
fn it_may_answer_itself_and_may_have_nothing_more_to_say() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let replies: Replies = Rc::new(|message| match Sent::decode(&message).unwrap() {
            Sent::Headers { headers, .. } => {
                let path = headers.iter().find(|(name, _)| name == ":path").unwrap();
                match path.1.to_str().unwrap() {
                    "/stop" => Ok(Processed::Answer(Immediate {
                        status: 418,
                        headers: vec![change(header("x-why"), "because")],
                        body: Bytes::from_static(b"no"),
                        grpc_status: None,
                        details: String::new(),
                    })
                    .encode()),
                    "/broken" => Err(13),
                    "/odd" => Ok(Processed::Go(Part::ResponseBody, Changes::default()).encode()),
                    "/garbage" => Ok(Bytes::from_static(b"\xff")),
                    _ => Err(0),
                }
            }
            Sent::Body { .. } => Err(13),
        });
        processor(&lab, replies).await;
        let address = lab.open_plain("shop", 80);
        process(&lab, ALL, ALL, false);
        let answer = send(address, get("/stop")).await;
        assert_eq!((answer.status, answer.body.as_str()), (418, "no"));
        assert_eq!(answer.headers["x-why"], "because");
        // Who ends without an error has nothing to change. The answer's head has no path and ends the test's processor.
        let only_requests = ProcessedParts::default();
        process(&lab, ALL, only_requests, false);
        assert_eq!(send(address, post("/fine", "x")).await.status, 200);
        for path in ["/broken", "/odd", "/garbage"] {
            process(&lab, ALL, only_requests, false);
            assert_eq!(send(address, get(path)).await.status, 500, "{path}");
            process(&lab, ALL, only_requests, true);
            assert_eq!(send(address, get(path)).await.status, 200, "{path}");
        }
        let long = send(address, post("/fine", vec![b'x'; 200_000])).await;
        assert_eq!(
            long.status, 200,
            "nothing more is sent to who has nothing more to say"
        );
    });
}
