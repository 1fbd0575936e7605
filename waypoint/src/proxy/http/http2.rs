//! A client's HTTP/2 connection.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use mesh_dataplane::drain_signal::DrainListener;
use tokio::time::{Instant, sleep};

use super::frames::{Counting, Flood, Told};
use super::{Connection, Requests};
use crate::connection::Accepted;
use crate::rt::Local;
use crate::stream::Stream;
use crate::worker::Worker;

/// Serves requests until the client, the drain or a timer ends it.
pub(crate) async fn serve(worker: Rc<Worker>, stream: Stream, accepted: Accepted, mut drain: DrainListener) {
    let connection = Rc::new(Connection::new(worker, accepted));
    let settings = connection.worker.settings.clone();
    let requests = Requests {
        connection: connection.clone(),
        gate: None,
    };
    let told = Rc::new(Told::default());
    let mut http = pin!(
        http2::Builder::new(Local(connection.worker.tasks.clone()))
            .timer(TokioTimer::new())
            .max_concurrent_streams(settings.max_streams)
            .initial_stream_window_size(settings.stream_window)
            .initial_connection_window_size(settings.connection_window)
            .max_send_buf_size(settings.send_buffer)
            .max_header_list_size(u32::try_from(settings.header_bytes).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(settings.pending_resets)
            .max_local_error_reset_streams(settings.faulty_streams)
            .auto_date_header(false)
            .enable_connect_protocol()
            .serve_connection(
                TokioIo::new(Counting::new(stream, told.clone(), connection.unsent.clone())),
                requests
            )
    );
    let mut draining = false;
    let mut idle_since = Instant::now();
    let mut drained = pin!(drain.draining());
    let mut timer = pin!(sleep(settings.idle_timeout));
    let mut header_timer = pin!(sleep(settings.header_timeout));
    let ended = poll_fn(|cx| {
        if !draining && drained.as_mut().poll(cx).is_ready() {
            draining = true;
            http.as_mut().graceful_shutdown();
        }
        while !draining && timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if connection.active.get() > 0 {
                idle_since = now;
            }
            let due = idle_since + settings.idle_timeout;
            if due <= now {
                draining = true;
                http.as_mut().graceful_shutdown();
            } else {
                timer.as_mut().reset(due);
            }
        }
        if let Poll::Ready(ended) = http.as_mut().poll(cx) {
            return Poll::Ready(ended.map_err(Ended::Multiplexer));
        }
        // No other frame may come before a header's last, so that nothing else of the connection is cut off.
        let Some(since) = told.header_since.get() else {
            return Poll::Pending;
        };
        let due = since + settings.header_timeout;
        if header_timer.deadline() != due {
            header_timer.as_mut().reset(due);
        }
        header_timer.as_mut().poll(cx).map(|()| Err(Ended::HeaderTimeout))
    });
    let Err(error) = ended.await else { return };
    let peer = connection.accepted.client.peer;
    let reason = match &error {
        Ended::HeaderTimeout => Some("http2_header_timeout"),
        Ended::Multiplexer(error) => told.flood.get().map(Flood::reason).or_else(|| excess(error)),
    };
    if let Some(reason) = reason {
        connection.worker.telemetry.refused(peer, reason);
    }
    tracing::debug!(%peer, %error, "HTTP/2 connection ended");
}

/// Why it ended, other than by itself.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("a request's header did not come to its end in time")]
    HeaderTimeout,
    #[error(transparent)]
    Multiplexer(hyper::Error),
}

/// The multiplexer has had enough of what it counts itself.
fn excess(error: &hyper::Error) -> Option<&'static str> {
    let h2 = std::error::Error::source(error)?.downcast_ref::<h2::Error>()?;
    let ours = h2.is_go_away() && h2.is_library();
    (ours && h2.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)).then_some("http2_excess")
}
