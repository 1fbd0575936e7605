//! What is done with a connection once it is known what is meant: HTTP, TLS by its name, or bytes.
//!
//! # Layout
//! - this file: which of them.
//! - [`mod@http`]: requests, one by one.
//! - [`mod@tcp`]: bytes, unread.

pub mod http;
pub mod tcp;

use std::rc::Rc;
use std::time::Duration;

use mesh_dataplane::drain_signal::DrainListener;

use tokio::time::sleep;

use crate::connection::Accepted;
use crate::detect::{Spoken, detect};
use crate::stream::Stream;
use crate::worker::Worker;

/// Serves a connection, or a stream of a tunnel, to its end.
pub async fn serve(worker: Rc<Worker>, mut stream: Stream, accepted: Accepted, mut drain: DrainListener) {
    let spoken = tokio::select! {
        biased;
        spoken = detect(&mut stream, accepted.frontend.protocol()) => spoken,
        // Who has said nothing until then, has nothing to lose.
        () = async { drain.draining().await; sleep(FIRST_BYTE).await } => return,
    };
    let spoken = match spoken {
        Ok(spoken) => spoken,
        Err(error) => {
            tracing::debug!(peer = %accepted.client.peer, %error, "the client is gone");
            return;
        }
    };
    if spoken != Spoken::Silent {
        return serve_spoken(worker, stream, accepted, spoken, drain).await;
    }
    if let Some(heard) = Box::pin(tcp::serve_silent(worker.clone(), stream, accepted)).await {
        serve_spoken(worker, heard.client, heard.accepted, heard.spoken, drain).await;
    }
}

async fn serve_spoken(
    worker: Rc<Worker>,
    stream: Stream,
    accepted: Accepted,
    spoken: Spoken,
    drain: DrainListener,
) {
    match spoken {
        Spoken::Http1 => Box::pin(http::http1::serve(worker, stream, accepted, drain)).await,
        Spoken::Http2 => Box::pin(http::http2::serve(worker, stream, accepted, drain)).await,
        Spoken::Tls(server_name) => Box::pin(tcp::serve(worker, stream, accepted, Some(server_name))).await,
        Spoken::Tcp | Spoken::Silent => Box::pin(tcp::serve(worker, stream, accepted, None)).await,
    }
}

/// During a drain: what a connection that was opened before it, and has sent nothing, has for its first byte.
const FIRST_BYTE: Duration = Duration::from_secs(1);
