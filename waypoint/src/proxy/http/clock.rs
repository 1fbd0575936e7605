//! How long a request may take, and when that time runs.
//!
//! It runs while others than the client are waited for: from the request's beginning to its connection and its answer,
//! and not while the client was asked for more of the body and has not sent any. So it counts from the request's last
//! byte (Envoy, `timeout` of a route: from when the whole request was read; Gateway API, GEP-1742, leaves the beginning
//! open), and a request that nobody takes is over in time all the same. Once there is an answer only the time after the
//! last byte counts: calls that are open both ways are not cut while their client may still speak.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::HeaderMap;
use mesh_model::l7::resilience::Timeouts;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::body::Replay;

/// The time of a request.
#[derive(Clone)]
pub(super) struct Clock {
    /// Absent: any time.
    limit: Option<Duration>,
    began: Instant,
    body: Option<Replay>,
}

/// When an answer's time is over.
pub(super) struct Deadline {
    limit: Duration,
    clock: Clock,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    /// Of a request that begins. What a client of gRPC wants to wait for counts where its rule allows no less.
    pub(super) fn new(timeouts: &Timeouts, grpc: bool, headers: &HeaderMap, body: Option<&Replay>) -> Self {
        let of_rule = timeouts.request.filter(|limit| !limit.is_zero());
        let of_client = match grpc {
            true => grpc_timeout(headers),
            false => None,
        };
        Self {
            limit: of_rule.into_iter().chain(of_client).min(),
            began: Instant::now(),
            body: body.cloned(),
        }
    }

    /// Resolves when its time is over.
    pub(super) async fn over(&self) {
        let Some(limit) = self.limit else {
            return std::future::pending().await;
        };
        loop {
            let since = match &self.body {
                Some(body) => poll_fn(|cx| body.poll_since(cx)).await,
                None => self.began,
            };
            if since + limit <= Instant::now() {
                return;
            }
            sleep_until(since + limit).await;
        }
    }

    /// What is left of it; nothing where there is no limit, or the client is waited for.
    pub(super) fn left(&self) -> Option<Duration> {
        Some((self.since()? + self.limit?).saturating_duration_since(Instant::now()))
    }

    /// The end of the answer's time.
    pub(super) fn deadline(self) -> Option<Deadline> {
        Some(Deadline {
            limit: self.limit?,
            clock: self,
            sleep: None,
        })
    }

    fn since(&self) -> Option<Instant> {
        match &self.body {
            Some(body) => body.since(),
            None => Some(self.began),
        }
    }
}

impl Deadline {
    /// Ready when it is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.sleep.is_none() {
            if let Some(body) = &self.clock.body {
                ready!(body.poll_completed(cx));
            }
            let since = self.clock.since().unwrap_or_else(Instant::now);
            self.sleep = Some(Box::pin(sleep_until(since + self.limit)));
        }
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// How long a client of gRPC waits ("gRPC over HTTP/2", `Timeout`): at most eight digits and a unit. Zero is no time to
/// do anything in, and so says nothing (Envoy).
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    let limit = match unit {
        'H' => Duration::from_secs(count * 3600),
        'M' => Duration::from_secs(count * 60),
        'S' => Duration::from_secs(count),
        'm' => Duration::from_millis(count),
        'u' => Duration::from_micros(count),
        'n' => Duration::from_nanos(count),
        _ => return None,
    };
    Some(limit).filter(|limit| !limit.is_zero())
}

#[cfg(test)]
mod tests;
