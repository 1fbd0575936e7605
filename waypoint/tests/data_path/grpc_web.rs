//! Clients of gRPC-web before a real server of gRPC.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use mesh_extensions::framing::frame;
use mesh_model::AppProtocol;
use mesh_model::l7::filter::{Cors, Filter};
use mesh_model::l7::matching::TextMatch;
use mesh_proto::envoy::service::auth::v3::authorization_server::{Authorization, AuthorizationServer};
use mesh_proto::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use mesh_proto::envoy::service::ext_proc::v3::external_processor_server::{
    ExternalProcessor, ExternalProcessorServer,
};
use mesh_proto::envoy::service::ext_proc::v3::{ProcessingRequest, ProcessingResponse};
use mesh_proto::google::rpc::Status as Rpc;
use prost::Message;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tonic::{Status, Streaming};

use crate::lab::{in_lab, read};
use crate::{http, http_rule, route, shop};

/// `Check` gives back the number of bytes that it got, or an error; `Process` answers one request three times, each time
/// when it is told to.
#[derive(Clone, Default)]
struct Server {
    go_on: Arc<Notify>,
}

#[tonic::async_trait]
impl Authorization for Server {
    async fn check(
        &self,
        request: tonic::Request<CheckRequest>,
    ) -> Result<tonic::Response<CheckResponse>, Status> {
        if request.metadata().contains_key("x-fail") {
            return Err(Status::permission_denied("not you, 100 %"));
        }
        let te = request.metadata().get("te").is_some_and(|te| te == "trailers");
        Ok(tonic::Response::new(CheckResponse {
            status: Some(Rpc {
                message: format!("{} {te}", request.into_inner().encoded_len()),
                ..Rpc::default()
            }),
            ..CheckResponse::default()
        }))
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<ProcessingResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ExternalProcessor for Server {
    type ProcessStream = Answers;

    async fn process(
        &self,
        request: tonic::Request<Streaming<ProcessingRequest>>,
    ) -> Result<tonic::Response<Answers>, Status> {
        let asked = request.into_inner().collect::<Vec<_>>().await;
        assert_eq!(asked.len(), 1, "clients of gRPC-web send one message");
        let go_on = self.go_on.clone();
        let answers = stream::unfold(0, move |n| {
            let go_on = go_on.clone();
            async move {
                if n > 0 {
                    go_on.notified().await;
                }
                let answer = match n {
                    0..3 => Ok(ProcessingResponse::default()),
                    _ => Err(Status::resource_exhausted("enough")),
                };
                Some((answer, n + 1))
            }
        });
        Ok(tonic::Response::new(Box::pin(answers.take(4))))
    }
}

impl Server {
    async fn serve(self, stream: TcpStream) {
        let one = stream::iter([Ok::<_, std::io::Error>(stream)]);
        let router = tonic::transport::Server::builder()
            .add_service(AuthorizationServer::new(self.clone()))
            .add_service(ExternalProcessorServer::new(self));
        drop(router.serve_with_incoming(one).await);
    }
}

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const PROCESS: &str = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";

fn ask(path: &str, kind: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(format!("http://shop{path}"))
        .header("host", "shop")
        .header("content-type", kind)
        .body(Full::new(body.into()))
        .unwrap()
}

/// What came: head, messages, and the lines of the last one.
async fn answer(response: Response<Incoming>, text: bool) -> (http::response::Parts, Vec<Bytes>, String) {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    assert!(body.trailers().is_none());
    let body = body.to_bytes();
    let body = match text {
        false => body,
        // Each piece by itself: padding may stand in the middle.
        true => body
            .chunks(4)
            .map(|four| STANDARD.decode(four).unwrap())
            .collect::<Vec<_>>()
            .concat()
            .into(),
    };
    let (mut rest, mut messages, mut trailers) = (body, Vec::new(), String::new());
    while !rest.is_empty() {
        assert!(trailers.is_empty(), "nothing stands behind trailers");
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        let flags = rest[0];
        let message = rest.split_to(5 + length).split_off(5);
        match flags {
            0 => messages.push(message),
            0x80 => trailers = String::from_utf8(message.to_vec()).unwrap(),
            other => panic!("flags {other}"),
        }
    }
    (head, messages, trailers)
}

fn message() -> Bytes {
    frame(&CheckRequest::default().encode_to_vec())
}

#[test]
fn browsers_call_servers_of_grpc() {
    in_lab(|lab| async move {
        let server = Server::default();
        let address = shop(&lab, AppProtocol::GrpcWeb, move |s| server.clone().serve(s)).await;
        let mut one = crate::lab::http1(TcpStream::connect(address).await.unwrap()).await;
        let mut two = crate::lab::http2(TcpStream::connect(address).await.unwrap()).await;
        for (kind, text) in [
            ("application/grpc-web+proto", false),
            ("application/grpc-web-text", true),
        ] {
            let body = match text {
                false => message(),
                true => STANDARD.encode(message()).into(),
            };
            for version in [1, 2] {
                let mut request = ask(CHECK, kind, body.clone());
                let response = match version {
                    1 => one.send_request(request).await.unwrap(),
                    _ => {
                        request.headers_mut().remove("host");
                        two.send_request(request).await.unwrap()
                    }
                };
                let (head, messages, trailers) = answer(response, text).await;
                assert_eq!(head.status, 200);
                let told = head.headers["content-type"].to_str().unwrap();
                assert!(told.starts_with(kind), "{told}");
                assert!(trailers.contains("grpc-status: 0\r\n"), "{trailers}");
                let message = CheckResponse::decode(messages[0].clone()).unwrap();
                assert_eq!(message.status.unwrap().message, "0 true", "{kind} {version}");
            }
        }
        let report = &lab.reports(4).await[3];
        assert_eq!(report.grpc_status, Some(0));
        assert!(report.request.as_ref().unwrap().grpc);
    });
}

#[test]
fn a_stream_comes_message_by_message() {
    in_lab(|lab| async move {
        let server = Server::default();
        let go_on = server.go_on.clone();
        let address = shop(&lab, AppProtocol::GrpcWeb, move |s| server.clone().serve(s)).await;
        let mut http = crate::lab::http1(TcpStream::connect(address).await.unwrap()).await;
        let body = frame(&ProcessingRequest::default().encode_to_vec());
        let response = http
            .send_request(ask(PROCESS, "application/grpc-web+proto", body))
            .await
            .unwrap();
        let mut body = response.into_body();
        for _ in 0..3 {
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            // The next one is not said before this one is here.
            assert_eq!(piece, frame(&[]));
            go_on.notify_one();
        }
        let last = body.collect().await.unwrap().to_bytes();
        let last = String::from_utf8_lossy(&last);
        assert!(last.contains("grpc-status: 8\r\n"), "{last}");
        assert!(last.contains("grpc-message: enough\r\n"), "{last}");
    });
}

#[test]
fn errors_are_a_status_of_grpc() {
    in_lab(|lab| async move {
        let server = Server::default();
        let address = shop(&lab, AppProtocol::GrpcWeb, move |s| server.clone().serve(s)).await;
        let connect = || async move { crate::lab::http1(TcpStream::connect(address).await.unwrap()).await };
        // Of the server: in the head, as nothing follows.
        let mut request = ask(CHECK, "application/grpc-web+proto", message());
        request.headers_mut().insert("x-fail", "1".parse().unwrap());
        let failed = read(connect().await.send_request(request).await.unwrap()).await;
        assert_eq!((failed.status, failed.body.as_str()), (200, ""));
        assert_eq!(failed.headers["grpc-status"], "7");
        assert_eq!(failed.headers["content-type"], "application/grpc-web+proto");
        // Of the client: no message, no base64.
        for (kind, body) in [
            ("application/grpc-web+proto", &b"\0\0\0\0\x09abc"[..]),
            ("application/grpc-web+proto", b"\x80\0\0\0\0"),
            ("application/grpc-web-text+proto", b"AAAA!"),
        ] {
            let request = ask(CHECK, kind, Bytes::from_static(body));
            let failed = read(connect().await.send_request(request).await.unwrap()).await;
            assert_eq!(failed.status, 200);
            assert_eq!(failed.headers["grpc-status"], "13", "{body:?}");
            assert_eq!(failed.headers["content-type"], kind);
        }
        // Of ours: nobody is there.
        lab.serve([route("HTTPRoute", "gone", http(http_rule("nobody")))]);
        let request = ask(CHECK, "application/grpc-web", message());
        let failed = read(connect().await.send_request(request).await.unwrap()).await;
        assert_eq!(failed.status, 200);
        assert_eq!(failed.headers["grpc-status"], "2");
        assert_eq!(failed.headers["content-type"], "application/grpc-web+proto");
    });
}

#[test]
fn what_is_no_grpc_is_told_so() {
    in_lab(|lab| async move {
        lab.app(crate::lab::App::Http2, "web", 1, 9000).await;
        lab.apply([
            mesh_testkit::service("shop")
                .at("10.96.0.1")
                .port(80, 9000)
                .speaking(AppProtocol::GrpcWeb)
                .into(),
            mesh_testkit::pod("shop")
                .at(&lab.ip(1))
                .serving("shop", 80, 9000)
                .into(),
        ]);
        let address = lab.open_plain("shop", 80);
        let mut http = crate::lab::http1(TcpStream::connect(address).await.unwrap()).await;
        for (path, status) in [("/status/404", "12"), ("/status/503", "14"), ("/", "2")] {
            let request = ask(path, "application/grpc-web+proto", message());
            let failed = read(http.send_request(request).await.unwrap()).await;
            assert_eq!(
                (failed.status, &failed.headers["grpc-status"]),
                (200, &status.parse().unwrap())
            );
        }
        // What is no gRPC-web passes as it is.
        let plain = read(http.send_request(ask("/plain", "text/plain", "x")).await.unwrap()).await;
        assert_eq!(plain.status, 200);
        assert!(
            plain.body.contains("content-type: text/plain\n"),
            "{}",
            plain.body
        );
    });
}

#[test]
fn browsers_that_ask_first_are_answered_by_the_rule() {
    in_lab(|lab| async move {
        let server = Server::default();
        let address = shop(&lab, AppProtocol::GrpcWeb, move |s| server.clone().serve(s)).await;
        let mut rule = http_rule("shop");
        rule.filters = vec![Filter::Cors(Cors {
            allow_origins: vec![TextMatch::Exact("https://web.example".into())],
            allow_methods: vec!["POST".into()],
            allow_headers: vec!["x-grpc-web".into(), "content-type".into()],
            expose_headers: vec!["grpc-status".into(), "grpc-message".into()],
            max_age: Some(Duration::from_secs(60)),
            allow_credentials: false,
            forward_unmatched_preflights: false,
        })];
        lab.serve([route("HTTPRoute", "cors", http(rule))]);
        let mut http = crate::lab::http1(TcpStream::connect(address).await.unwrap()).await;
        let preflight = Request::options(CHECK)
            .header("host", "shop")
            .header("origin", "https://web.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,x-grpc-web")
            .body(Full::default())
            .unwrap();
        let answered = read(http.send_request(preflight).await.unwrap()).await;
        assert_eq!(answered.status, 200);
        assert_eq!(
            answered.headers["access-control-allow-origin"],
            "https://web.example"
        );
        assert!(!answered.headers.contains_key("grpc-status"));
        let mut request = ask(CHECK, "application/grpc-web+proto", message());
        request
            .headers_mut()
            .insert("origin", "https://web.example".parse().unwrap());
        let (head, _, trailers) = answer(http.send_request(request).await.unwrap(), false).await;
        assert_eq!(
            head.headers["access-control-expose-headers"],
            "grpc-status, grpc-message"
        );
        assert!(trailers.contains("grpc-status: 0"));
    });
}
