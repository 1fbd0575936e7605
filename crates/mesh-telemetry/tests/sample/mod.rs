//! A request as most are, for what counts its costs.

use std::time::{Duration, SystemTime};

use http::{Method, Version};
use mesh_telemetry::flags::ResponseFlags;
use mesh_telemetry::record::{Connection, Record, Request, Response, Upstream};
use mesh_telemetry::{End, ServiceName};

/// A workload of the mesh.
pub(crate) fn end(name: &str) -> End {
    End {
        workload: Some(name.into()),
        canonical_service: Some(name.into()),
        canonical_revision: Some("v1".into()),
        namespace: Some("shop".into()),
        principal: format!("spiffe://cluster.local/ns/shop/sa/{name}").parse().ok(),
        cluster: Some("Kubernetes".into()),
        ..End::default()
    }
}

/// What is asked.
pub(crate) fn service() -> ServiceName {
    ServiceName {
        hostname: "server.shop.svc.cluster.local".into(),
        name: "server".into(),
        namespace: "shop".into(),
    }
}

/// A GET over HTTP/1.1, answered by an endpoint.
pub(crate) fn record<'a>(source: &'a End, destination: &'a End, service: &'a ServiceName) -> Record<'a> {
    let address = |text: &str| text.parse().expect("an address");
    Record {
        began: SystemTime::now(),
        duration: Duration::from_micros(730),
        request_duration: None,
        answered_after: Some(Duration::from_micros(700)),
        service_time: Some(Duration::from_micros(650)),
        request: Some(Request {
            method: &Method::GET,
            path: "/items?limit=10",
            authority: "server.shop",
            scheme: "http",
            version: Version::HTTP_11,
            grpc: false,
            id: Some("7ec25152-ca8e-923b-a736-49838ce316f4"),
            user_agent: Some("curl/8.5.0"),
            forwarded_for: None,
            headers: None,
            messages: None,
        }),
        response: Response {
            code: 200,
            flags: ResponseFlags::NONE,
            details: "via_upstream",
            ..Response::default()
        },
        received: 0,
        sent: 1234,
        received_whole: 180,
        sent_whole: 1400,
        connection: Connection {
            peer: address("10.0.0.7:40210"),
            local: address("10.96.0.10:80"),
            mutual_tls: true,
            server_name: None,
        },
        source,
        destination,
        service: Some(service),
        upstream: Upstream {
            address: Some(address("10.0.0.9:8080")),
            cluster: Some("inbound-vip|80|http|server.shop.svc.cluster.local"),
            attempts: 1,
            ..Upstream::default()
        },
        route: Some("default"),
        trace: None,
        metadata: None,
    }
}
