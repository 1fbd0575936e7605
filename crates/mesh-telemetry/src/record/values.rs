//! A record's attributes, as expressions see them.

use std::borrow::Cow;

use http::HeaderMap;

use super::{End, Record, joined};
use crate::attributes::{Attribute, Attributes, EndField, HeaderSet};
use crate::cel::Value;

impl Attributes for Record<'_> {
    fn attribute(&self, attribute: Attribute) -> Option<Value<'_>> {
        use Attribute as A;
        match attribute {
            A::SourceEnd(field) => self.source.field(field),
            A::DestinationEnd(field) => self.destination.field(field),
            A::ServiceHost => Some(Value::text(self.service?.hostname.as_str())),
            A::ServiceName => Some(Value::text(self.service?.name.as_str())),
            A::ServiceNamespace => Some(Value::text(self.service?.namespace.as_str())),
            A::RequestPath
            | A::RequestUrlPath
            | A::RequestQuery
            | A::RequestHost
            | A::RequestScheme
            | A::RequestMethod
            | A::RequestReferer
            | A::RequestUserAgent
            | A::RequestId
            | A::RequestProtocol => self.request_attribute(attribute),
            A::RequestTime => Some(Value::time(self.began)),
            A::RequestDuration => Some(Value::span(self.duration)),
            A::RequestSize => Some(Value::count(self.received)),
            A::RequestTotalSize => Some(Value::count(self.received_whole)),
            A::RequestHeaders => Some(Value::Headers(HeaderSet::Request)),
            A::ResponseHeaders => Some(Value::Headers(HeaderSet::Response)),
            A::ResponseTrailers => Some(Value::Headers(HeaderSet::Trailers)),
            A::ResponseCode => Some(Value::Int(self.response.code.into())),
            A::ResponseDetails => text(self.response.details),
            A::ResponseFlags => Some(Value::count(self.response.flags.envoy_bits())),
            A::ResponseFlagNames => Some(Value::text(self.response.flags.to_string())),
            A::ResponseGrpcStatus => Some(Value::Int(self.response.grpc_status?.into())),
            A::ResponseSize => Some(Value::count(self.sent)),
            A::ResponseTotalSize => Some(Value::count(self.sent_whole)),
            A::ResponseBackendLatency => Some(Value::span(self.service_time?)),
            A::SourceAddress => Some(Value::text(self.connection.peer.to_string())),
            A::SourcePort => Some(Value::Int(self.connection.peer.port().into())),
            A::DestinationAddress => Some(Value::text(self.connection.local.to_string())),
            A::DestinationPort => Some(Value::Int(self.connection.local.port().into())),
            A::ConnectionMtls => Some(Value::Bool(self.connection.mutual_tls)),
            A::ConnectionServerName => text(self.connection.server_name?),
            A::ConnectionPeerCertificate => self.source.field(EndField::Principal),
            A::ConnectionTermination => text(self.response.termination?),
            A::UpstreamAddress => Some(Value::text(self.upstream.address?.to_string())),
            A::UpstreamPort => Some(Value::Int(self.upstream.address?.port().into())),
            A::UpstreamLocalAddress => Some(Value::text(self.upstream.local?.to_string())),
            A::UpstreamFailure => text(self.upstream.failure?),
            A::UpstreamAttempts => Some(Value::Int(self.upstream.attempts.into())),
            A::Cluster => text(self.upstream.cluster?),
            A::Route => text(self.route?),
        }
    }

    fn header(&self, set: HeaderSet, name: &str) -> Option<Cow<'_, str>> {
        match set {
            HeaderSet::Request => self.request.as_ref()?.header(name),
            HeaderSet::Response => joined(self.response.headers?, name),
            HeaderSet::Trailers => joined(self.response.trailers?, name),
        }
    }

    fn header_names(&self, set: HeaderSet) -> Vec<Cow<'_, str>> {
        let headers = match set {
            HeaderSet::Request => self.request.as_ref().and_then(|request| request.headers),
            HeaderSet::Response => self.response.headers,
            HeaderSet::Trailers => self.response.trailers,
        };
        let names = headers.map(HeaderMap::keys).into_iter().flatten();
        names.map(|name| Cow::Borrowed(name.as_str())).collect()
    }
}

impl<'a> Record<'a> {
    fn request_attribute(&self, attribute: Attribute) -> Option<Value<'a>> {
        use Attribute as A;
        let request = self.request.as_ref()?;
        match attribute {
            A::RequestPath => Some(Value::text(request.path)),
            A::RequestUrlPath => Some(Value::text(request.path_only())),
            A::RequestQuery => Some(Value::text(request.query().unwrap_or_default())),
            A::RequestHost => Some(Value::text(request.authority)),
            A::RequestScheme => Some(Value::text(request.scheme)),
            A::RequestMethod => Some(Value::text(request.method.as_str())),
            A::RequestReferer => request.header("referer").map(Value::String),
            A::RequestUserAgent => Some(Value::text(request.user_agent?)),
            A::RequestId => Some(Value::text(request.id?)),
            A::RequestProtocol => self.version().map(Value::text),
            _ => None,
        }
    }
}

impl End {
    /// What is known of it, as text.
    #[must_use]
    pub fn field(&self, field: EndField) -> Option<Value<'_>> {
        let known = match field {
            EndField::Name => &self.name,
            EndField::Workload => &self.workload,
            EndField::Namespace => &self.namespace,
            EndField::CanonicalService => &self.canonical_service,
            EndField::CanonicalRevision => &self.canonical_revision,
            EndField::Cluster => &self.cluster,
            EndField::Region => &self.region,
            EndField::Zone => &self.zone,
            EndField::Type => return self.kind_name().map(Value::text),
            EndField::Principal => return Some(Value::text(self.principal.as_ref()?.to_string())),
        };
        Some(Value::text(known.as_ref()?.as_str()))
    }
}

fn text(text: &str) -> Option<Value<'_>> {
    (!text.is_empty()).then(|| Value::text(text))
}
