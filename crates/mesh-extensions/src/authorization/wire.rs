//! `envoy.service.auth.v3`, both directions.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use mesh_proto::envoy::config::core::v3::{self as core, address, socket_address};
use mesh_proto::envoy::service::auth::v3 as pb;
use mesh_proto::envoy::r#type::v3::HttpStatus;
use mesh_proto::google::protobuf::Timestamp;
use mesh_proto::google::rpc;
use prost::Message as _;
use serde_json::{Map, Value};

use super::metadata;
use super::{Allowed, Check, Checked, CheckedBody, CheckedRequest, Denied, Peer};
use crate::Misunderstood;
use crate::headers::{MOST_CHANGES, changes, changes_to_wire, removals};

impl Check {
    /// As it is sent.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let request = pb::attribute_context::Request {
            time: self.time.and_then(timestamp),
            http: self.request.as_ref().map(request_to_wire),
        };
        let tls = |sni: &String| pb::attribute_context::TlsSession { sni: sni.clone() };
        let attributes = pb::AttributeContext {
            source: Some(peer_to_wire(&self.source)),
            destination: Some(peer_to_wire(&self.destination)),
            request: Some(request),
            tls_session: self.server_name.as_ref().map(tls),
            ..pb::AttributeContext::default()
        };
        let message = pb::CheckRequest {
            attributes: Some(attributes),
        };
        message.encode_to_vec().into()
    }

    /// As it came.
    ///
    /// # Errors
    /// Names the field that cannot be understood.
    pub fn decode(message: &[u8]) -> Result<Self, Misunderstood> {
        let message = pb::CheckRequest::decode(message).map_err(|_| Misunderstood::message())?;
        let attributes = message
            .attributes
            .ok_or_else(|| Misunderstood::new("attributes", "are missing"))?;
        let request = attributes.request.unwrap_or_default();
        Ok(Self {
            source: peer("source", attributes.source)?,
            destination: peer("destination", attributes.destination)?,
            time: request.time.and_then(|time| system_time(&time)),
            request: request.http.map(request_from_wire),
            server_name: attributes.tls_session.map(|tls| tls.sni),
        })
    }
}

impl Checked {
    /// As it is answered.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        use pb::check_response::HttpResponse;
        let (code, response, said) = match self {
            Self::Allowed(allowed) => {
                let parameter = |(key, value): &(String, String)| core::QueryParameter {
                    key: key.clone(),
                    value: value.clone(),
                };
                let response = pb::OkHttpResponse {
                    headers: changes_to_wire(&allowed.headers),
                    headers_to_remove: allowed.remove.iter().map(ToString::to_string).collect(),
                    response_headers_to_add: changes_to_wire(&allowed.response_headers),
                    query_parameters_to_set: allowed.query.iter().map(parameter).collect(),
                    query_parameters_to_remove: allowed.remove_query.clone(),
                    dynamic_metadata: None,
                };
                (0, HttpResponse::OkResponse(response), &allowed.metadata)
            }
            Self::Denied(denied) => {
                let response = pb::DeniedHttpResponse {
                    status: denied.status.map(|code| HttpStatus { code: code.into() }),
                    headers: changes_to_wire(&denied.headers),
                    body: denied.body.clone(),
                };
                (
                    denied.code,
                    HttpResponse::DeniedResponse(response),
                    &denied.metadata,
                )
            }
        };
        let message = pb::CheckResponse {
            status: Some(rpc::Status {
                code,
                ..rpc::Status::default()
            }),
            http_response: Some(response),
            dynamic_metadata: (!said.is_empty()).then(|| metadata::to_wire(said)),
        };
        message.encode_to_vec().into()
    }

    /// As it came. Without a status it is success, as protobuf has it (Envoy does the same).
    ///
    /// # Errors
    /// Names the field that cannot be understood. Nobody passes by such an answer.
    pub fn decode(message: &[u8]) -> Result<Self, Misunderstood> {
        use pb::check_response::HttpResponse;
        let message = pb::CheckResponse::decode(message).map_err(|_| Misunderstood::message())?;
        let code = message.status.map_or(0, |status| status.code);
        let said = message.dynamic_metadata.map(metadata::to_json);
        if code == 0 {
            return match message.http_response {
                Some(HttpResponse::OkResponse(response)) => allowed(response, said).map(Self::Allowed),
                None => Ok(Self::Allowed(Allowed {
                    metadata: said.unwrap_or_default(),
                    ..Allowed::default()
                })),
                Some(HttpResponse::DeniedResponse(_)) => Err(Misunderstood::new(
                    "status",
                    "says that it may pass, and denied_response that it may not",
                )),
            };
        }
        let response = match message.http_response {
            Some(HttpResponse::DeniedResponse(response)) => response,
            Some(HttpResponse::OkResponse(_)) | None => pb::DeniedHttpResponse::default(),
        };
        let status = response.status.filter(|status| status.code != 0);
        let status = status.map(|status| match u16::try_from(status.code) {
            Ok(code @ 200..=599) => Ok(code),
            _ => Err(Misunderstood::new("denied_response.status", "is no status")),
        });
        Ok(Self::Denied(Denied {
            code,
            status: status.transpose()?,
            headers: changes(&response.headers, MOST_CHANGES)?,
            body: response.body,
            metadata: said.unwrap_or_default(),
        }))
    }
}

/// `said` counts before what the answer says by its older name.
fn allowed(response: pb::OkHttpResponse, said: Option<Map<String, Value>>) -> Result<Allowed, Misunderstood> {
    let said = said.or_else(|| response.dynamic_metadata.map(metadata::to_json));
    let queries = [
        response.query_parameters_to_set.len(),
        response.query_parameters_to_remove.len(),
    ];
    if queries.into_iter().any(|count| count > MOST_CHANGES) {
        return Err(Misunderstood::new("ok_response.query_parameters", "are too many"));
    }
    let query = response.query_parameters_to_set.into_iter();
    Ok(Allowed {
        headers: changes(&response.headers, MOST_CHANGES)?,
        remove: removals(&response.headers_to_remove, MOST_CHANGES)?,
        response_headers: changes(&response.response_headers_to_add, MOST_CHANGES)?,
        query: query.map(|parameter| (parameter.key, parameter.value)).collect(),
        remove_query: response.query_parameters_to_remove,
        metadata: said.unwrap_or_default(),
    })
}

fn peer_to_wire(peer: &Peer) -> pb::attribute_context::Peer {
    let address = core::SocketAddress {
        address: peer.address.ip().to_string(),
        port_specifier: Some(socket_address::PortSpecifier::PortValue(
            peer.address.port().into(),
        )),
    };
    pb::attribute_context::Peer {
        address: Some(core::Address {
            address: Some(address::Address::SocketAddress(address)),
        }),
        labels: peer.labels.clone(),
        principal: peer.principal.clone().unwrap_or_default(),
        ..pb::attribute_context::Peer::default()
    }
}

fn peer(field: &'static str, message: Option<pb::attribute_context::Peer>) -> Result<Peer, Misunderstood> {
    let message = message.ok_or_else(|| Misunderstood::new(field, "is missing"))?;
    let wrong = || Misunderstood::new(field, "has no IP address and port");
    let Some(address::Address::SocketAddress(address)) = message.address.and_then(|a| a.address) else {
        return Err(wrong());
    };
    let Some(socket_address::PortSpecifier::PortValue(port)) = address.port_specifier else {
        return Err(wrong());
    };
    let ip: IpAddr = address.address.parse().map_err(|_| wrong())?;
    let port = u16::try_from(port).map_err(|_| wrong())?;
    Ok(Peer {
        address: SocketAddr::new(ip, port),
        principal: Some(message.principal).filter(|principal| !principal.is_empty()),
        labels: message.labels,
    })
}

fn request_to_wire(request: &CheckedRequest) -> pb::attribute_context::HttpRequest {
    let (body, raw_body) = match &request.body {
        None => Default::default(),
        Some(CheckedBody::Text(text)) => (text.clone(), Bytes::new()),
        Some(CheckedBody::Bytes(bytes)) => (String::new(), bytes.clone()),
    };
    pb::attribute_context::HttpRequest {
        id: request.id.clone(),
        method: request.method.clone(),
        headers: request.headers.clone(),
        path: request.path.clone(),
        host: request.host.clone(),
        scheme: request.scheme.clone(),
        size: request
            .size
            .map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX)),
        protocol: request.protocol.clone(),
        body,
        raw_body,
        ..pb::attribute_context::HttpRequest::default()
    }
}

fn request_from_wire(message: pb::attribute_context::HttpRequest) -> CheckedRequest {
    let body = match (message.body.is_empty(), message.raw_body.is_empty()) {
        (true, true) => None,
        (true, false) => Some(CheckedBody::Bytes(message.raw_body)),
        (false, _) => Some(CheckedBody::Text(message.body)),
    };
    CheckedRequest {
        id: message.id,
        method: message.method,
        path: message.path,
        host: message.host,
        scheme: message.scheme,
        protocol: message.protocol,
        headers: message.headers,
        size: u64::try_from(message.size).ok(),
        body,
    }
}

fn timestamp(time: SystemTime) -> Option<Timestamp> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp {
        seconds: i64::try_from(since.as_secs()).ok()?,
        nanos: i32::try_from(since.subsec_nanos()).ok()?,
    })
}

fn system_time(time: &Timestamp) -> Option<SystemTime> {
    let nanos = u32::try_from(time.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)?;
    let since = Duration::new(u64::try_from(time.seconds).ok()?, nanos);
    SystemTime::UNIX_EPOCH.checked_add(since)
}
