//! Collectors are services of the mesh, and are reached as other services are.

use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use mesh_model::l7::ServicePort;
use mesh_telemetry::export::{Deliver, DeliveryError};

use crate::filters::call::{self, CallError};
use crate::worker::Worker;

/// Over a worker's connections, as long as it lasts.
pub(super) struct Upstream(pub(super) Weak<Worker>);

impl Upstream {
    fn worker(&self) -> Result<Rc<Worker>, DeliveryError> {
        let gone = || DeliveryError::Never("the worker has ended".to_owned());
        self.0.upgrade().ok_or_else(gone)
    }
}

impl Deliver for Upstream {
    async fn grpc(
        &self,
        to: &ServicePort,
        method: &'static str,
        message: Bytes,
    ) -> Result<Bytes, DeliveryError> {
        let worker = self.worker()?;
        call::unary(&worker, to, method, &message, LIMIT)
            .await
            .map_err(of_call)
    }

    async fn http(
        &self,
        to: &ServicePort,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<StatusCode, DeliveryError> {
        let worker = self.worker()?;
        let host = format!("{}:{}", to.service.hostname, to.port);
        let head = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, HeaderValue::from_static(content_type))
            .header(header::CONTENT_LENGTH, body.len())
            .body(())
            .map_err(|error| DeliveryError::Never(error.to_string()))?;
        let called = call::http(&worker, to, &head, &body, LIMIT).await;
        called.map(|called| called.head.status).map_err(of_call)
    }
}

fn of_call(error: CallError) -> DeliveryError {
    // OTLP, "Failures": what may be sent again.
    const AGAIN: [u32; 7] = [1, 4, 8, 10, 11, 14, 15];
    match &error {
        CallError::NoEndpoint | CallError::Lost(_) | CallError::TimedOut => {
            DeliveryError::Later(error.to_string())
        }
        CallError::Grpc { code, .. } if AGAIN.contains(code) => DeliveryError::Later(error.to_string()),
        CallError::Status(status) if matches!(status.as_u16(), 429 | 502..=504) => {
            DeliveryError::Later(error.to_string())
        }
        _ => DeliveryError::Never(error.to_string()),
    }
}

/// Less than what the exporter waits.
const LIMIT: Duration = Duration::from_secs(9);
