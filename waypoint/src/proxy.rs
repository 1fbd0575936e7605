//! What is done with a connection once it is known what is meant: HTTP, TLS by its name, or bytes.
//!
//! # Layout
//! - this file: which of them.
//! - [`mod@http`]: requests, one by one.
//! - [`mod@tcp`]: bytes, unread.

pub mod http;
pub mod tcp;

use std::rc::Rc;

use mesh_dataplane::drain_signal::DrainListener;

use crate::connection::Accepted;
use crate::detect::{Spoken, detect};
use crate::stream::Stream;
use crate::worker::Worker;

/// Serves a connection, or a stream of a tunnel, to its end.
pub async fn serve(worker: Rc<Worker>, mut stream: Stream, accepted: Accepted, drain: DrainListener) {
    let spoken = match detect(&mut stream, accepted.frontend.protocol()).await {
        Ok(spoken) => spoken,
        Err(error) => {
            tracing::debug!(peer = %accepted.client.peer, %error, "the client is gone");
            return;
        }
    };
    match spoken {
        Spoken::Http1 => http::serve_http1(worker, stream, accepted, drain).await,
        Spoken::Http2 => http::serve_http2(worker, stream, accepted, drain).await,
        Spoken::Tls(server_name) => tcp::serve(worker, stream, accepted, server_name).await,
        Spoken::Tcp => tcp::serve(worker, stream, accepted, None).await,
    }
}
