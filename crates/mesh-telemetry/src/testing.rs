//! A record to begin with.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, Method, Version};

use crate::flags::ResponseFlags;
use crate::record::{Connection, End, Record, Request, Response, ServiceName, Upstream};

/// What records borrow.
pub(crate) struct Story {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) response_headers: HeaderMap,
    pub(crate) source: End,
    pub(crate) destination: End,
    pub(crate) service: ServiceName,
}

impl Story {
    pub(crate) fn new() -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("x-team", "blue".parse().unwrap());
        headers.append("x-many", "a".parse().unwrap());
        headers.append("x-many", "b".parse().unwrap());
        let mut response_headers = HeaderMap::new();
        response_headers.insert("server", "nginx".parse().unwrap());
        Self {
            method: Method::GET,
            headers,
            response_headers,
            source: End {
                name: Some("productpage-v1-abc".into()),
                workload: Some("productpage-v1".into()),
                canonical_service: Some("productpage".into()),
                canonical_revision: Some("v1".into()),
                namespace: Some("default".into()),
                cluster: Some("client-cluster".into()),
                ..End::default()
            },
            destination: End {
                workload: Some("ratings-v1".into()),
                canonical_service: Some("ratings".into()),
                canonical_revision: Some("v1".into()),
                namespace: Some("default".into()),
                principal: Some("spiffe://cluster.global/ns/default/sa/ratings".parse().unwrap()),
                cluster: Some("server-cluster".into()),
                ..End::default()
            },
            service: ServiceName {
                hostname: "server.default.svc.cluster.local".into(),
                name: "server".into(),
                namespace: "default".into(),
            },
        }
    }

    /// A request that went well.
    pub(crate) fn record(&self) -> Record<'_> {
        Record {
            began: began(),
            duration: Duration::from_millis(31),
            request_duration: Some(Duration::from_millis(1)),
            answered_after: Some(Duration::from_millis(30)),
            service_time: Some(Duration::from_millis(29)),
            request: Some(Request {
                method: &self.method,
                path: "/details/0?q=1",
                authority: "details:9080",
                scheme: "http",
                version: Version::HTTP_11,
                grpc: false,
                id: Some("7ec25152-ca8e-923b-a736-49838ce316f4"),
                user_agent: Some("curl/7.52.1"),
                forwarded_for: None,
                headers: Some(&self.headers),
                messages: None,
            }),
            response: Response {
                code: 200,
                flags: ResponseFlags::NONE,
                details: "via_upstream",
                headers: Some(&self.response_headers),
                ..Response::default()
            },
            received: 0,
            sent: 178,
            received_whole: 120,
            sent_whole: 300,
            connection: Connection {
                peer: address("172.17.0.11:40210"),
                local: address("10.102.66.227:9080"),
                mutual_tls: false,
                server_name: None,
            },
            source: &self.source,
            destination: &self.destination,
            service: Some(&self.service),
            upstream: Upstream {
                address: Some(address("172.17.0.10:80")),
                local: Some(address("172.17.0.11:45194")),
                cluster: Some("outbound|9080||global-sidecar.mesh-operator.svc.cluster.local"),
                failure: None,
                attempts: 1,
            },
            route: None,
            trace: None,
            metadata: None,
        }
    }
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// 2021-12-23T06:24:55.527Z
pub(crate) fn began() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_640_240_695_527)
}
