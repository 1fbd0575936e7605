//! Services that decide about requests, on Envoy's wires: gRPC over HTTP/2, one message each way.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mesh_extensions::framing::{frame, single};
use tokio::net::TcpListener;
use tokio::task::spawn_local;

use super::LocalExecutor;

/// What a service answers: a message, or a status of gRPC; nothing at all is no answer.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    Message(Bytes),
    Status(u8),
    Nothing,
}

/// A service: what it was asked, and what it says.
#[derive(Clone)]
pub(crate) struct Unary {
    says: Rc<RefCell<Says>>,
    asked: Rc<RefCell<Vec<(String, Bytes)>>>,
}

impl Unary {
    /// Starts one.
    pub(crate) async fn start(address: SocketAddr) -> Self {
        let service = Self {
            says: Rc::new(RefCell::new(Says::Nothing)),
            asked: Rc::default(),
        };
        let listener = TcpListener::bind(address).await.unwrap();
        let serving = service.clone();
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                let answer = service_fn(move |request| serving.clone().answer(request));
                let builder = hyper::server::conn::http2::Builder::new(LocalExecutor);
                let serve = builder.serve_connection(TokioIo::new(stream), answer);
                spawn_local(async move { drop(serve.await) });
            }
        });
        service
    }

    /// From now on.
    pub(crate) fn says(&self, says: Says) {
        *self.says.borrow_mut() = says;
    }

    /// Method and message of everything that was asked.
    pub(crate) fn asked(&self) -> Vec<(String, Bytes)> {
        self.asked.borrow().clone()
    }

    async fn answer(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
        let (head, body) = request.into_parts();
        assert_eq!(head.headers["content-type"], "application/grpc");
        assert!(head.headers.contains_key("grpc-timeout"));
        let body = body.collect().await.unwrap().to_bytes();
        let message = single(&body, 1 << 20).unwrap();
        self.asked
            .borrow_mut()
            .push((head.uri.path().to_owned(), message));
        let says = self.says.borrow().clone();
        let (message, status) = match says {
            Says::Message(message) => (Some(message), 0),
            Says::Status(status) => (None, status),
            Says::Nothing => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                (None, 4)
            }
        };
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", u16::from(status).into());
        let message = message.map(|message| Ok(Frame::data(frame(&message))));
        let frames: Vec<_> = message
            .into_iter()
            .chain([Ok(Frame::trailers(trailers))])
            .collect();
        let mut response = Response::new(BodyExt::boxed(StreamBody::new(futures_util::stream::iter(
            frames,
        ))));
        let content_type = "application/grpc".parse().unwrap();
        response.headers_mut().insert("content-type", content_type);
        Ok(response)
    }
}
