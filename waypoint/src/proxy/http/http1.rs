//! A client's HTTP/1 connection: what it may send, how long it may take, and what goes on after a change of protocol.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use mesh_dataplane::drain_signal::DrainListener;
use mesh_net::RelayCounters;
use tokio::time::{Instant, sleep, sleep_until};

use super::gate::{Gate, Gated, Waited, refuse};
use super::story::Story;
use super::{Connection, Requests, Upgraded};
use crate::body::Memory;
use crate::connection::Accepted;
use crate::flags::ResponseFlag;
use crate::stream::Stream;
use crate::stream::counted::relay;
use crate::telemetry::Report;
use crate::worker::Worker;

/// How a connection came to its end.
enum End {
    Http(Result<(), hyper::Error>),
    /// It waited for too long.
    Waited(Waited),
    /// Its client does not take an answer that it may not have any more.
    Denied,
}

type Http = http1::Connection<TokioIo<Gated>, Requests>;

/// The drain, as a connection takes it: a connection between two requests is not ended at once, since its client may be
/// sending the next one just now and would lose it. It is given some time for that request, whose answer says that it is
/// the last.
struct Drain<'a> {
    listener: &'a mut DrainListener,
    /// When nobody waits for another request any more; nothing before the drain.
    ends_at: Option<Instant>,
}

impl Drain<'_> {
    /// It has begun: when the connection ends if nothing more comes.
    fn begun(&mut self, requests: u64, now: Instant) -> Instant {
        let patience = if requests > 0 { NEXT_REQUEST } else { FIRST_REQUEST };
        *self.ends_at.get_or_insert(now + patience)
    }
}

/// Serves requests until the client, the drain, a timer or a change of protocol ends it.
///
/// Most of the time most connections wait for nothing in particular. What a request needs, hyper's buffers most of all,
/// is only there while there are any.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    mut stream: Stream,
    accepted: Accepted,
    mut drain: DrainListener,
) {
    let connection = Rc::new(Connection::new(worker, accepted));
    let gate = Gate::new(&connection.worker.settings, &connection.worker.memory);
    let mut drain = Drain {
        listener: &mut drain,
        ends_at: None,
    };
    let mut passed = Bytes::new();
    loop {
        let served = Box::pin(serve_requests(&connection, &gate, stream, passed, &mut drain)).await;
        let Some(resting) = served else { return };
        (stream, passed) = resting;
        connection.rest();
        if !rest(&connection, &gate, &mut stream, &mut drain).await {
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
            return;
        }
    }
}

/// Serves requests; gives the stream back when there are none for a while, with what went through the gate and was not
/// read.
async fn serve_requests(
    connection: &Rc<Connection>,
    gate: &Rc<Gate>,
    stream: Stream,
    passed: Bytes,
    drain: &mut Drain<'_>,
) -> Option<(Stream, Bytes)> {
    let settings = connection.worker.settings.clone();
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
        .serve_connection(
            TokioIo::new(Gated::new(
                stream,
                gate.clone(),
                connection.unsent.clone(),
                passed,
            )),
            requests,
        );
    let ended = drive(&mut http, connection, gate, drain).await;
    let parts = http.into_parts();
    let mut stream = parts.io.into_inner().into_inner();
    let status = match ended {
        End::Waited(Waited::Rest) => return Some((stream, parts.read_buf)),
        // To hyper, what the gate does not let through may look like the end.
        End::Http(Ok(())) if gate.violation().is_none() => {
            let upgraded = connection.upgraded.borrow_mut().take();
            match upgraded {
                Some(upgraded) => {
                    stream.unread(parts.read_buf);
                    Box::pin(carry(&connection.worker.memory, stream, upgraded)).await;
                }
                // The client may be gone already.
                None => drop(tokio::io::AsyncWriteExt::shutdown(&mut stream).await),
            };
            return None;
        }
        End::Waited(Waited::Idle) => {
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
            return None;
        }
        End::Denied => return None,
        End::Waited(Waited::Head) => {
            report(connection, StatusCode::REQUEST_TIMEOUT, "request_header_timeout");
            StatusCode::REQUEST_TIMEOUT
        }
        End::Http(result) => told(connection, gate, result.err())?,
    };
    refuse(&mut stream, status).await;
    None
}

/// Waits until there is something to do for hyper: bytes, the end, a drain. False: it was idle for too long.
async fn rest(connection: &Connection, gate: &Gate, stream: &mut Stream, drain: &mut Drain<'_>) -> bool {
    let settings = &connection.worker.settings;
    let mut timer = pin!(sleep_until(Instant::now()));
    loop {
        let now = Instant::now();
        let drained = drain.ends_at.filter(|ends_at| *ends_at <= now);
        match gate.overdue(settings, now) {
            Err(at) if drained.is_none() => timer.as_mut().reset(drain.ends_at.map_or(at, |end| end.min(at))),
            _ => return false,
        }
        tokio::select! {
            biased;
            // An error comes again when it is read.
            _ = stream.readable() => return true,
            () = drain.listener.draining(), if drain.ends_at.is_none() => {
                drain.begun(connection.requests.get(), Instant::now());
            }
            () = timer.as_mut() => {}
        }
    }
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
    story.planned(
        connection
            .compiled(&connection.accepted)
            .1
            .applied
            .telemetry
            .clone(),
    );
    story.answered_with(status);
    story.details = details;
    story.flags.add(match status {
        StatusCode::SERVICE_UNAVAILABLE => ResponseFlag::UpstreamOverflow,
        _ => ResponseFlag::DownstreamProtocolError,
    });
    story.complete();
}

async fn drive(http: &mut Http, connection: &Connection, gate: &Gate, drain: &mut Drain<'_>) -> End {
    let settings = &connection.worker.settings;
    let mut draining = false;
    let mut timer = pin!(sleep(settings.rest_after));
    poll_fn(|cx| {
        if drain.ends_at.is_none() && pin!(drain.listener.draining()).poll(cx).is_ready() {
            let ends_at = drain.begun(connection.requests.get(), Instant::now());
            timer.as_mut().reset(ends_at);
        }
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let due = if connection.active.get() > 0 {
                gate.busy(now);
                Err(now + settings.rest_after)
            } else if let Some(ends_at) = drain.ends_at.filter(|_| gate.is_between()) {
                if ends_at <= now {
                    Ok(Waited::Idle)
                } else {
                    Err(ends_at)
                }
            } else {
                match (gate.overdue(settings, now), gate.rests(settings, now)) {
                    (Ok(waited), _) => Ok(waited),
                    (_, Ok(())) if drain.ends_at.is_none() && connection.requests.get() > 0 => {
                        Ok(Waited::Rest)
                    }
                    (Err(at), Err(rests)) => Err(at.min(rests)),
                    (Err(at), Ok(())) => Err(at.min(now + settings.rest_after)),
                }
            };
            match due {
                Ok(waited) => return Poll::Ready(End::Waited(waited)),
                Err(at) => timer.as_mut().reset(at),
            }
        }
        loop {
            // A request is being answered: that answer is told to be the last. A connection that is told so before would
            // end without an answer.
            if drain.ends_at.is_some() && !draining && connection.active.get() > 0 {
                draining = true;
                Pin::new(&mut *http).graceful_shutdown();
            }
            let ended = http.poll_without_shutdown(cx);
            if ended.is_pending() && connection.is_denied() {
                return Poll::Ready(End::Denied);
            }
            let begins = drain.ends_at.is_some() && !draining && connection.active.get() > 0;
            if ended.is_ready() || !begins {
                return ended.map(End::Http);
            }
        }
    })
    .await
}

/// Bytes, after the protocol was changed.
pub(super) async fn carry(memory: &Memory, client: Stream, upgraded: Upgraded) {
    let Upgraded {
        endpoint,
        mut standing,
        mut story,
    } = upgraded;
    let counters = RelayCounters::default();
    let revoked = tokio::select! {
        biased;
        denied = standing.revoked() => Some(denied),
        _ = relay(memory, client.into_chunks(), endpoint.into_chunks(), &counters) => None,
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
/// During a drain: what a connection between two requests has for the next, its last one. Clients that ask more often lose
/// nothing; less than what Istio gives a drain (5 s).
const NEXT_REQUEST: std::time::Duration = std::time::Duration::from_secs(3);
