//! A client's HTTP/1 connection: what it may send, how long it may take, and what goes on after a change of protocol.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use mesh_dataplane::drain_signal::DrainListener;
use mesh_net::{RelayCounters, relay};
use tokio::time::{Instant, sleep};

use super::gate::{Gate, Gated, Waited, refuse};
use super::story::Story;
use super::{Connection, Requests, Upgraded};
use crate::connection::Accepted;
use crate::flags::ResponseFlag;
use crate::stream::Stream;
use crate::telemetry::Report;
use crate::worker::Worker;

/// How a connection came to its end.
enum End {
    Http(Result<(), hyper::Error>),
    /// It waited for too long.
    Waited(Waited),
}

type Http = http1::Connection<TokioIo<Gated>, Requests>;

/// Serves requests until the client, the drain, a timer or a change of protocol ends it.
pub(crate) async fn serve(worker: Rc<Worker>, stream: Stream, accepted: Accepted, drain: DrainListener) {
    let connection = Rc::new(Connection::new(worker, accepted));
    let settings = connection.worker.settings.clone();
    let gate = Gate::new(&settings);
    let requests = Requests {
        connection: connection.clone(),
        gate: Some(gate.clone()),
    };
    let mut http = http1::Builder::new()
        // The gate has timers that cost nothing while requests come.
        .header_read_timeout(None)
        .max_headers(settings.headers)
        .max_header_size(settings.header_bytes)
        .max_buf_size(settings.connection_buffer)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(Gated::new(stream, gate.clone())), requests);
    let ended = drive(&mut http, &connection, &gate, drain).await;
    let parts = http.into_parts();
    let mut stream = parts.io.into_inner().into_inner();
    let status = match ended {
        // To hyper, what the gate does not let through may look like the end.
        End::Http(Ok(())) if gate.violation().is_none() => {
            let upgraded = connection.upgraded.borrow_mut().take();
            return match upgraded {
                Some(upgraded) => {
                    stream.unread(parts.read_buf);
                    carry(stream, upgraded).await;
                }
                // The client may be gone already.
                None => drop(tokio::io::AsyncWriteExt::shutdown(&mut stream).await),
            };
        }
        End::Waited(Waited::Idle) => {
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
            return;
        }
        End::Waited(Waited::Head) => {
            report(&connection, StatusCode::REQUEST_TIMEOUT, "request_header_timeout");
            StatusCode::REQUEST_TIMEOUT
        }
        End::Http(result) => match told(&connection, &gate, result.err()) {
            Some(status) => status,
            None => return,
        },
    };
    refuse(&mut stream, status).await;
}

/// Tells of an error; gives the status with which the client is still to be answered.
fn told(connection: &Connection, gate: &Gate, error: Option<hyper::Error>) -> Option<StatusCode> {
    let cause = error.as_ref().map(tracing::field::display);
    tracing::debug!(peer = %connection.accepted.client.peer, error = cause, "HTTP/1 connection ended");
    // Whoever is being answered hears of it there, or has.
    if connection.active.get() > 0 {
        return None;
    }
    if let Some(violation) = gate.violation() {
        if gate.is_in_body_of(connection.requests.get()) {
            return None;
        }
        let status = StatusCode::from_u16(violation.status()).unwrap_or(StatusCode::BAD_REQUEST);
        report(connection, status, violation.details());
        return gate.can_answer().then_some(status);
    }
    if error.is_some_and(|error| error.is_parse()) {
        // Hyper has answered.
        report(connection, StatusCode::BAD_REQUEST, "http1.codec_error");
    }
    None
}

fn report(connection: &Connection, status: StatusCode, details: &'static str) {
    let mut story = Story::new(
        connection.worker.telemetry.clone(),
        Report::new(connection.accepted.clone()),
    );
    story.planned(connection.compiled().1.applied.telemetry.clone());
    story.answered_with(status);
    story.details = details;
    story.flags.add(ResponseFlag::DownstreamProtocolError);
    story.complete();
}

async fn drive(http: &mut Http, connection: &Connection, gate: &Gate, mut drain: DrainListener) -> End {
    let settings = &connection.worker.settings;
    let (mut asked, mut draining) = (false, false);
    let mut timer = pin!(sleep(settings.header_timeout));
    let mut drained = pin!(drain.draining());
    poll_fn(|cx| {
        if !asked && drained.as_mut().poll(cx).is_ready() {
            asked = true;
            timer.as_mut().reset(Instant::now() + FIRST_REQUEST);
        }
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let due = if connection.active.get() > 0 {
                gate.busy(now);
                Err(now + settings.header_timeout)
            } else if asked && gate.is_between() {
                Ok(Waited::Idle)
            } else {
                gate.overdue(settings, now)
            };
            match due {
                Ok(waited) => return Poll::Ready(End::Waited(waited)),
                Err(at) => timer.as_mut().reset(at),
            }
        }
        loop {
            // Its first bytes are here: a connection that is told to end before its first request was read would end
            // without an answer.
            if asked && !draining && connection.requests.get() > 0 {
                draining = true;
                Pin::new(&mut *http).graceful_shutdown();
            }
            let ended = http.poll_without_shutdown(cx);
            if ended.is_ready() || !asked || draining || connection.requests.get() == 0 {
                return ended.map(End::Http);
            }
        }
    })
    .await
}

/// Bytes, after the protocol was changed.
async fn carry(client: Stream, upgraded: Upgraded) {
    let Upgraded {
        endpoint,
        mut standing,
        mut story,
    } = upgraded;
    let counters = RelayCounters::default();
    let revoked = tokio::select! {
        biased;
        denied = standing.revoked() => Some(denied),
        _ = relay(client.into_chunks(), endpoint.into_chunks(), &counters) => None,
    };
    story.received += counters.to_up();
    story.sent += counters.to_down();
    if let Some(denied) = revoked {
        story.flags.add(ResponseFlag::LocalReset);
        story.policy = Some(denied.policy);
        story.details = denied.details;
    }
    story.complete();
}

/// During a drain: what a connection that was opened before it, and has sent nothing, has for its first request.
const FIRST_REQUEST: std::time::Duration = std::time::Duration::from_secs(1);
