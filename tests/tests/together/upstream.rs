//! Towards the endpoints: what DestinationRules, BackendTLSPolicies, SessionPolicies, ServiceEntries and retries do to
//! requests.
//!
//! # Layout
//! - this file: servers that do as a test says, byte by byte.
//! - [`retries`]: when a request is tried again. - [`outliers`]: who is left out. - [`pools`]: connections and limits.
//! - [`limits`]: limits that nobody sees in an answer. - [`places`]: subsets, keys, places, and who is new.
//! - [`sessions`]: who stays where. - [`tls`]: TLS towards endpoints. - [`egress`]: hosts outside.
//! - [`long`]: what takes long.

mod egress;
mod limits;
mod long;
mod outliers;
mod places;
mod pools;
mod retries;
mod sessions;
mod tls;

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::harness::Together;

/// A DestinationRule of namespace `shop` with this traffic policy.
fn rule(host: &str, policy: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {{name: {host}, namespace: shop}}, \
         spec: {{host: {host}, trafficPolicy: {{{policy}}}}}}}"
    )
}

/// A VirtualService of namespace `shop` that sends everything to its own host, with more to say about it.
fn virtual_service(host: &str, http: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: {host}, namespace: shop}}, \
         spec: {{hosts: [{host}], http: [{{{http}, route: [{{destination: {{host: {host}}}}}]}}]}}}}"
    )
}

/// A Service `raw` whose port 80, named `port`, is a server of the test's own: `serve` gets each connection with its
/// number. Gives how many came.
fn raw(
    mesh: &Together,
    port: &str,
    serve: impl Fn(TcpStream, usize) + Send + Sync + 'static,
) -> Arc<AtomicUsize> {
    let backend = mesh.backend("raw", "app: raw");
    mesh.apply(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: raw, namespace: shop}}, spec: {{clusterIP: 10.96.1.1, \
         selector: {{app: raw}}, ports: [{{name: {port}, port: 80, targetPort: 7001}}]}}}}"
    ));
    listen(backend.ip, 7001, serve)
}

/// A server on threads of its own, for as long as the process lasts.
fn listen(
    ip: IpAddr,
    port: u16,
    serve: impl Fn(TcpStream, usize) + Send + Sync + 'static,
) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind((ip, port)).expect("the port is free");
    let (count, serve) = (Arc::new(AtomicUsize::new(0)), Arc::new(serve));
    let came = count.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let number = came.fetch_add(1, Ordering::SeqCst);
            let serve = serve.clone();
            thread::spawn(move || serve(stream, number));
        }
    });
    count
}

/// Reads a head, byte by byte: nothing behind it.
fn read_head(mut stream: &TcpStream) -> String {
    read_head_of(&mut stream)
}

/// The same of any stream.
fn read_head_of(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Answers requests without bodies until the other end closes: `answer` gets each head.
fn answer_all(stream: &TcpStream, mut answer: impl FnMut(&str) -> String) {
    loop {
        let head = read_head(stream);
        let mut stream = stream;
        if head.is_empty() || stream.write_all(answer(&head).as_bytes()).is_err() {
            return;
        }
    }
}

/// A 200 with this body.
fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
