//! What requests and connections meet on their way: raw bytes at both ends of a waypoint.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

#[expect(dead_code, reason = "other tests use more of it")]
mod lab;

#[path = "data_path/answers.rs"]
mod answers;
#[path = "data_path/binds.rs"]
mod binds;
#[path = "data_path/conformance.rs"]
mod conformance;
#[path = "data_path/connections.rs"]
mod connections;
#[path = "data_path/copies.rs"]
mod copies;
#[path = "data_path/floods.rs"]
mod floods;
#[path = "data_path/grpc_web.rs"]
mod grpc_web;
#[path = "data_path/life.rs"]
mod life;
#[path = "data_path/upgrades.rs"]
mod upgrades;
#[path = "data_path/watermarks.rs"]
mod watermarks;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use lab::Lab;
use mesh_model::AppProtocol;
use mesh_model::l7::resilience::Timeouts;
use mesh_model::l7::route::{
    Destination, HttpAction, HttpBackend, HttpRule, Order, Route, RouteParent, Rules,
};
use mesh_model::l7::{Created, ObjectRef, ServicePort};
use mesh_state::l7::L7Update;
use mesh_testkit::objects::hostname;
use mesh_testkit::{pod, service};
use mesh_types::NamespacedName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

/// The service `shop` and an endpoint at host 1, port 9000, where `serve` is run for each connection.
async fn shop<F: Future<Output = ()> + 'static>(
    lab: &Rc<Lab>,
    protocol: AppProtocol,
    serve: impl Fn(TcpStream) -> F + 'static,
) -> SocketAddr {
    backend(lab, "shop", 1, protocol, serve).await;
    lab.open_plain("shop", 80)
}

/// One more service, with an endpoint at a host.
async fn backend<F: Future<Output = ()> + 'static>(
    lab: &Rc<Lab>,
    name: &str,
    host: u8,
    protocol: AppProtocol,
    serve: impl Fn(TcpStream) -> F + 'static,
) {
    let ip = lab.ip(host);
    lab.apply([
        service(name)
            .at(&format!("10.96.0.{host}"))
            .port(80, 9000)
            .speaking(protocol)
            .into(),
        pod(name).at(&ip).serving(name, 80, 9000).into(),
    ]);
    let listener = TcpListener::bind((ip, 9000))
        .await
        .expect("the address is this test's own");
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn_local(serve(stream));
        }
    });
}

/// Reads one head; absent at the end.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(seen).ok()
}

/// Answers every request without a body with these bytes.
async fn answering(mut stream: TcpStream, answer: &'static str) {
    while head(&mut stream).await.is_some() {
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Everything until the end.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

fn to(service: &str) -> Destination {
    Destination::Service {
        service: ServicePort {
            service: hostname("shop", service),
            port: 80,
        },
        subset: None,
    }
}

/// A route of `shop`.
fn route(kind: &str, name: &str, rules: Rules) -> L7Update {
    L7Update::Route(Arc::new(Route {
        object: ObjectRef {
            kind: kind.into(),
            name: NamespacedName::new("shop", name),
        },
        part: "".into(),
        parents: vec![RouteParent::Service(hostname("shop", "shop"))],
        created: Created::unknown(),
        consumer: None,
        hostnames: Vec::new(),
        rules,
    }))
}

/// A rule for all requests, which go to `service`.
fn http_rule(service: &str) -> HttpRule {
    HttpRule {
        name: None,
        matches: Vec::new(),
        filters: Vec::new(),
        action: HttpAction::Forward(vec![HttpBackend {
            weight: 1,
            destination: to(service),
            filters: Vec::new(),
        }]),
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
    }
}

fn http(rule: HttpRule) -> Rules {
    Rules::Http {
        order: Order::Specificity,
        rules: vec![rule],
    }
}
