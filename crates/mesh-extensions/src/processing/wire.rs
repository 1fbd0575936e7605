//! `envoy.service.ext_proc.v3`, both directions.

use bytes::Bytes;
use ext_proc::processing_mode::BodySendMode;
use http::HeaderValue;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::filters::http::ext_proc::v3 as ext_proc;
use mesh_proto::envoy::service::ext_proc::v3 as pb;
use mesh_proto::envoy::r#type::v3::HttpStatus;
use pb::common_response::ResponseStatus;
use pb::processing_request::Request;
use pb::processing_response::Response;
use prost::Message as _;

use super::{BodyMode, Changes, Immediate, ModeOverride, Part, Processed, Sent};
use crate::Misunderstood;
use crate::headers::{MOST_CHANGES, changes, changes_to_wire, removals};

impl Sent {
    /// As it is sent.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.message().encode_to_vec().into()
    }

    /// As it is sent first: with what else is to come.
    #[must_use]
    pub fn encode_first(&self, request_body: BodyMode, response_body: BodyMode) -> Bytes {
        let protocol = pb::ProtocolConfiguration {
            request_body_mode: body_mode(request_body).into(),
            response_body_mode: body_mode(response_body).into(),
            send_body_without_waiting_for_header_response: false,
        };
        let message = pb::ProcessingRequest {
            protocol_config: Some(protocol),
            ..self.message()
        };
        message.encode_to_vec().into()
    }

    fn message(&self) -> pb::ProcessingRequest {
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
            Self::Trailers { of_request, headers } => {
                let trailers = pb::HttpTrailers {
                    trailers: Some(head_to_wire(headers)),
                };
                match of_request {
                    true => Request::RequestTrailers(trailers),
                    false => Request::ResponseTrailers(trailers),
                }
            }
        };
        pb::ProcessingRequest {
            request: Some(request),
            ..pb::ProcessingRequest::default()
        }
    }

    /// As it came.
    ///
    /// # Errors
    /// When it cannot be understood.
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
        let trailers = |of_request, trailers: pb::HttpTrailers| {
            Ok(Self::Trailers {
                of_request,
                headers: head_from_wire(trailers.trailers.unwrap_or_default())?,
            })
        };
        match message.request {
            Some(Request::RequestHeaders(head)) => headers(true, head),
            Some(Request::ResponseHeaders(head)) => headers(false, head),
            Some(Request::RequestBody(message)) => body(true, message),
            Some(Request::ResponseBody(message)) => body(false, message),
            Some(Request::RequestTrailers(message)) => trailers(true, message),
            Some(Request::ResponseTrailers(message)) => trailers(false, message),
            None => Err(Misunderstood::new("request", "is missing")),
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
                let trailers = || pb::TrailersResponse {
                    header_mutation: Some(mutation(changes)),
                };
                match part {
                    Part::RequestTrailers => Response::RequestTrailers(trailers()),
                    Part::ResponseTrailers => Response::ResponseTrailers(trailers()),
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
        let mode = match self {
            Self::Go(_, changes) => changes.mode,
            Self::Answer(_) => None,
        };
        let message = pb::ProcessingResponse {
            response: Some(response),
            mode_override: mode.map(|mode| mode.to_wire()),
            ..pb::ProcessingResponse::default()
        };
        message.encode_to_vec().into()
    }

    /// As it came.
    ///
    /// # Errors
    /// Names the field that cannot be understood.
    pub fn decode(message: &[u8]) -> Result<Self, Misunderstood> {
        let message = pb::ProcessingResponse::decode(message).map_err(|_| Misunderstood::message())?;
        let trailers = |m: pb::TrailersResponse| {
            Some(pb::CommonResponse {
                header_mutation: m.header_mutation,
                ..pb::CommonResponse::default()
            })
        };
        let (part, response) = match message.response {
            Some(Response::RequestHeaders(m)) => (Part::RequestHeaders, m.response),
            Some(Response::ResponseHeaders(m)) => (Part::ResponseHeaders, m.response),
            Some(Response::RequestBody(m)) => (Part::RequestBody, m.response),
            Some(Response::ResponseBody(m)) => (Part::ResponseBody, m.response),
            Some(Response::RequestTrailers(m)) => (Part::RequestTrailers, trailers(m)),
            Some(Response::ResponseTrailers(m)) => (Part::ResponseTrailers, trailers(m)),
            Some(Response::ImmediateResponse(m)) => return immediate(m).map(Self::Answer),
            None => return Err(Misunderstood::new("response", "is missing")),
        };
        let mut changes = changes_from_wire(response.unwrap_or_default())?;
        // Envoy: only the answers to heads may say so.
        if matches!(part, Part::RequestHeaders | Part::ResponseHeaders) {
            let mode = message.mode_override.map(|mode| ModeOverride::from_wire(&mode));
            changes.mode = mode.transpose()?;
        }
        Ok(Self::Go(part, changes))
    }
}

impl ModeOverride {
    fn from_wire(mode: &ext_proc::ProcessingMode) -> Result<Self, Misunderstood> {
        use ext_proc::processing_mode::HeaderSendMode;
        // The default is to send heads and to skip trailers.
        let sends = |mode: i32, default: bool| match HeaderSendMode::try_from(mode) {
            Ok(HeaderSendMode::Default) => Ok(default),
            Ok(HeaderSendMode::Send) => Ok(true),
            Ok(HeaderSendMode::Skip) => Ok(false),
            Err(_) => Err(Misunderstood::new(
                "mode_override",
                "has a header mode that is unknown",
            )),
        };
        let body = |mode: i32| match BodySendMode::try_from(mode) {
            Ok(BodySendMode::None) => Ok(BodyMode::None),
            Ok(BodySendMode::Streamed) => Ok(BodyMode::Streamed),
            Ok(BodySendMode::Buffered) => Ok(BodyMode::Buffered),
            _ => Err(Misunderstood::new(
                "mode_override",
                "has a body mode that is none of NONE, STREAMED and BUFFERED",
            )),
        };
        Ok(Self {
            response_headers: sends(mode.response_header_mode, true)?,
            request_body: body(mode.request_body_mode)?,
            response_body: body(mode.response_body_mode)?,
            request_trailers: sends(mode.request_trailer_mode, false)?,
            response_trailers: sends(mode.response_trailer_mode, false)?,
        })
    }

    fn to_wire(self) -> ext_proc::ProcessingMode {
        use ext_proc::processing_mode::HeaderSendMode;
        let sends = |sends| match sends {
            true => HeaderSendMode::Send,
            false => HeaderSendMode::Skip,
        };
        ext_proc::ProcessingMode {
            request_header_mode: HeaderSendMode::Default.into(),
            response_header_mode: sends(self.response_headers).into(),
            request_body_mode: body_mode(self.request_body).into(),
            response_body_mode: body_mode(self.response_body).into(),
            request_trailer_mode: sends(self.request_trailers).into(),
            response_trailer_mode: sends(self.response_trailers).into(),
        }
    }
}

fn body_mode(mode: BodyMode) -> BodySendMode {
    match mode {
        BodyMode::None => BodySendMode::None,
        BodyMode::Streamed => BodySendMode::Streamed,
        BodyMode::Buffered => BodySendMode::Buffered,
    }
}

fn mutation(changes: &Changes) -> pb::HeaderMutation {
    pb::HeaderMutation {
        set_headers: changes_to_wire(&changes.headers),
        remove_headers: changes.remove.iter().map(ToString::to_string).collect(),
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
        header_mutation: Some(mutation(changes)),
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
        mode: None,
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
