//! `envoy.service.ext_proc.v3`, both directions.

use bytes::Bytes;
use http::HeaderValue;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::service::ext_proc::v3 as pb;
use mesh_proto::envoy::r#type::v3::HttpStatus;
use pb::common_response::ResponseStatus;
use pb::processing_request::Request;
use pb::processing_response::Response;
use prost::Message as _;

use super::{Changes, Immediate, Part, Processed, Sent};
use crate::Misunderstood;
use crate::headers::{MOST_CHANGES, changes, changes_to_wire, removals};

impl Sent {
    /// As it is sent.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let request = match self {
            Self::Headers {
                of_request,
                headers,
                end,
            } => {
                let head = pb::HttpHeaders {
                    headers: Some(head_to_wire(headers)),
                    end_of_stream: *end,
                };
                match of_request {
                    true => Request::RequestHeaders(head),
                    false => Request::ResponseHeaders(head),
                }
            }
            Self::Body {
                of_request,
                body,
                end,
            } => {
                let body = pb::HttpBody {
                    body: body.clone(),
                    end_of_stream: *end,
                };
                match of_request {
                    true => Request::RequestBody(body),
                    false => Request::ResponseBody(body),
                }
            }
        };
        let message = pb::ProcessingRequest {
            request: Some(request),
            ..pb::ProcessingRequest::default()
        };
        message.encode_to_vec().into()
    }

    /// As it came.
    ///
    /// # Errors
    /// When it cannot be understood; trailers are not.
    pub fn decode(message: &[u8]) -> Result<Self, Misunderstood> {
        let message = pb::ProcessingRequest::decode(message).map_err(|_| Misunderstood::message())?;
        let headers = |of_request, head: pb::HttpHeaders| {
            Ok(Self::Headers {
                of_request,
                headers: head_from_wire(head.headers.unwrap_or_default())?,
                end: head.end_of_stream,
            })
        };
        let body = |of_request, body: pb::HttpBody| {
            Ok(Self::Body {
                of_request,
                body: body.body,
                end: body.end_of_stream,
            })
        };
        match message.request {
            Some(Request::RequestHeaders(head)) => headers(true, head),
            Some(Request::ResponseHeaders(head)) => headers(false, head),
            Some(Request::RequestBody(message)) => body(true, message),
            Some(Request::ResponseBody(message)) => body(false, message),
            Some(Request::RequestTrailers(_) | Request::ResponseTrailers(_)) | None => {
                Err(Misunderstood::new("request", "is neither headers nor a body"))
            }
        }
    }
}

impl Processed {
    /// As it is answered.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let response = match self {
            Self::Go(part, changes) => {
                let response = Some(changes_response(changes));
                match part {
                    Part::RequestHeaders => Response::RequestHeaders(pb::HeadersResponse { response }),
                    Part::ResponseHeaders => Response::ResponseHeaders(pb::HeadersResponse { response }),
                    Part::RequestBody => Response::RequestBody(pb::BodyResponse { response }),
                    Part::ResponseBody => Response::ResponseBody(pb::BodyResponse { response }),
                }
            }
            Self::Answer(answer) => Response::ImmediateResponse(pb::ImmediateResponse {
                status: Some(HttpStatus {
                    code: answer.status.into(),
                }),
                headers: Some(pb::HeaderMutation {
                    set_headers: changes_to_wire(&answer.headers),
                    remove_headers: Vec::new(),
                }),
                body: answer.body.clone(),
                grpc_status: answer.grpc_status.map(|status| pb::GrpcStatus {
                    status: status.into(),
                }),
                details: answer.details.clone(),
            }),
        };
        let message = pb::ProcessingResponse {
            response: Some(response),
            ..pb::ProcessingResponse::default()
        };
        message.encode_to_vec().into()
    }

    /// As it came.
    ///
    /// # Errors
    /// Names the field that cannot be understood; trailers and a change of what is sent are not.
    pub fn decode(message: &[u8]) -> Result<Self, Misunderstood> {
        let message = pb::ProcessingResponse::decode(message).map_err(|_| Misunderstood::message())?;
        let (part, response) = match message.response {
            Some(Response::RequestHeaders(m)) => (Part::RequestHeaders, m.response),
            Some(Response::ResponseHeaders(m)) => (Part::ResponseHeaders, m.response),
            Some(Response::RequestBody(m)) => (Part::RequestBody, m.response),
            Some(Response::ResponseBody(m)) => (Part::ResponseBody, m.response),
            Some(Response::ImmediateResponse(m)) => return immediate(m).map(Self::Answer),
            Some(Response::RequestTrailers(_) | Response::ResponseTrailers(_)) | None => {
                return Err(Misunderstood::new("response", "is neither headers nor a body"));
            }
        };
        Ok(Self::Go(part, changes_from_wire(response.unwrap_or_default())?))
    }
}

fn changes_response(changes: &Changes) -> pb::CommonResponse {
    let status = match changes.finish {
        true => ResponseStatus::ContinueAndReplace,
        false => ResponseStatus::Continue,
    };
    let body = |body: &Bytes| pb::BodyMutation {
        mutation: Some(match body.is_empty() {
            true => pb::body_mutation::Mutation::ClearBody(true),
            false => pb::body_mutation::Mutation::Body(body.clone()),
        }),
    };
    pb::CommonResponse {
        status: status.into(),
        header_mutation: Some(pb::HeaderMutation {
            set_headers: changes_to_wire(&changes.headers),
            remove_headers: changes.remove.iter().map(ToString::to_string).collect(),
        }),
        body_mutation: changes.body.as_ref().map(body),
        trailers: None,
        clear_route_cache: changes.choose_again,
    }
}

fn changes_from_wire(message: pb::CommonResponse) -> Result<Changes, Misunderstood> {
    use pb::body_mutation::Mutation;
    let finish = match ResponseStatus::try_from(message.status) {
        Ok(ResponseStatus::Continue) => false,
        Ok(ResponseStatus::ContinueAndReplace) => true,
        Err(_) => return Err(Misunderstood::new("response.status", "is unknown")),
    };
    let body = match message.body_mutation.and_then(|mutation| mutation.mutation) {
        Some(Mutation::Body(body)) => Some(body),
        Some(Mutation::ClearBody(true)) => Some(Bytes::new()),
        Some(Mutation::ClearBody(false)) | None => None,
    };
    let mutation = message.header_mutation.unwrap_or_default();
    Ok(Changes {
        headers: changes(&mutation.set_headers, MOST_CHANGES)?,
        remove: removals(&mutation.remove_headers, MOST_CHANGES)?,
        body,
        finish,
        choose_again: message.clear_route_cache,
    })
}

fn immediate(message: pb::ImmediateResponse) -> Result<Immediate, Misunderstood> {
    let status = message.status.map_or(0, |status| status.code);
    let Some(status @ 200..=599) = u16::try_from(status).ok() else {
        return Err(Misunderstood::new("immediate_response.status", "is no status"));
    };
    let grpc_status = message.grpc_status.map(|status| u8::try_from(status.status));
    Ok(Immediate {
        status,
        headers: changes(&message.headers.unwrap_or_default().set_headers, MOST_CHANGES)?,
        body: message.body,
        grpc_status: grpc_status
            .transpose()
            .map_err(|_| Misunderstood::new("immediate_response.grpc_status", "is no status"))?,
        details: message.details,
    })
}

/// The bytes of values, as processors expect them since Envoy 1.29.
fn head_to_wire(headers: &[(String, HeaderValue)]) -> core::HeaderMap {
    let header = |(name, value): &(String, HeaderValue)| core::HeaderValue {
        key: name.clone(),
        value: String::new(),
        raw_value: Bytes::copy_from_slice(value.as_bytes()),
    };
    core::HeaderMap {
        headers: headers.iter().map(header).collect(),
    }
}

fn head_from_wire(message: core::HeaderMap) -> Result<Vec<(String, HeaderValue)>, Misunderstood> {
    let header = |header: core::HeaderValue| {
        let value = match header.value.is_empty() {
            true => HeaderValue::from_bytes(&header.raw_value),
            false => HeaderValue::from_bytes(header.value.as_bytes()),
        };
        let value = value.map_err(|_| Misunderstood::new("headers", "have a value that is none"))?;
        Ok((header.key, value))
    };
    message.headers.into_iter().map(header).collect()
}
