//! TCP or a tunnel to where the plan says. A tunnel that cannot be had is a failed connection, never a plain one.

use std::borrow::Cow;
use std::time::Duration;

use mesh_dataplane::labels;
use mesh_dataplane::record::ResponseFlag;
use mesh_hbone::request::Traceparent;
use mesh_hbone::{ConnectError, ConnectRequest, ConnectStep, Forwarded, Hop, Tunnel, TunnelHeaders};
use mesh_model::Workload;
use mesh_net::{DialError, DialOptions, TcpChunks, dial};
use mesh_tls::CertSource;
use mesh_types::{Authority, NextHop, Peer, WorkloadUid};

use super::plan::{Plan, Target, Via};
use crate::worker::PodProxy;

/// The other end of a connection.
pub enum Upstream {
    /// A TCP connection.
    Tcp(TcpChunks),
    /// A tunnel.
    Tunnel(Box<Tunnel>),
}

/// Why there is none.
#[derive(Debug)]
pub struct ConnectFailure {
    /// What metrics call it.
    pub flag: ResponseFlag,
    /// What the log says.
    pub error: Cow<'static, str>,
    /// Another endpoint may do better.
    pub retryable: bool,
    /// Nobody is there, as opposed to somebody who refuses.
    pub nobody: bool,
}

/// Connects.
///
/// # Errors
/// Says why not, and whether to try another endpoint.
pub async fn connect<C: CertSource>(
    proxy: &PodProxy<C>,
    plan: &Plan,
    client: &Workload,
    peer: Peer,
) -> Result<Upstream, ConnectFailure> {
    match plan {
        Plan::Passthrough(next) => plain(proxy, *next).await,
        Plan::Plain(target) => plain(proxy, target.next).await,
        Plan::Tunnel {
            target,
            authority,
            expected,
        } => {
            let hop = Hop {
                next: target.next,
                netns: proxy.netns.clone(),
                dial: dial_options(proxy.dial_options(), &target.via),
                source: client.identity.clone(),
                expected: expected.clone(),
                source_ip: peer.ip(),
                instance: instance(target),
            };
            let request = request(authority, target, client, peer);
            let tunnel = proxy.pool.tunnel(&hop, &request).await;
            tunnel
                .map(|t| Upstream::Tunnel(Box::new(t)))
                .map_err(|e| ConnectFailure {
                    flag: e.flag().into(),
                    retryable: e.is_retryable(),
                    nobody: is_nobody(&e),
                    error: Cow::Owned(e.to_string()),
                })
        }
    }
}

/// An endpoint that is not ready may well not be there at all; whoever waits for it waited in vain before.
fn dial_options(options: DialOptions, via: &Via) -> DialOptions {
    let connect_timeout = match via {
        Via::UnreadyWaypoint { .. } => options.connect_timeout.min(UNREADY_CONNECT_TIMEOUT),
        Via::Nothing | Via::Waypoint { .. } | Via::Past { .. } => options.connect_timeout,
    };
    DialOptions {
        connect_timeout,
        ..options
    }
}

async fn plain<C: CertSource>(proxy: &PodProxy<C>, next: NextHop) -> Result<Upstream, ConnectFailure> {
    match dial(proxy.netns.as_ref(), next, &proxy.dial_options()).await {
        Ok(stream) => Ok(Upstream::Tcp(TcpChunks::new(stream))),
        Err(error) => Err(dial_failure(&error)),
    }
}

/// What a failed dial is called.
#[must_use]
pub fn dial_failure(error: &DialError) -> ConnectFailure {
    ConnectFailure {
        flag: ResponseFlag::ConnectFailure,
        retryable: error.is_retryable() && !error.is_local(),
        nobody: !error.is_local(),
        error: Cow::Owned(error.to_string()),
    }
}

fn is_nobody(error: &ConnectError) -> bool {
    match error {
        ConnectError::Dial(error) => !error.is_local(),
        ConnectError::TimedOut { step } => *step == ConnectStep::Dial,
        _ => false,
    }
}

fn instance(target: &Target) -> WorkloadUid {
    match &target.workload {
        Some(workload) => workload.uid.clone(),
        None => WorkloadUid::new(""),
    }
}

fn request(authority: &Authority, target: &Target, client: &Workload, peer: Peer) -> ConnectRequest {
    let host = target.service.as_ref().map(|s| s.hostname.hostname.clone());
    ConnectRequest {
        authority: authority.clone(),
        headers: TunnelHeaders {
            baggage: Some(labels::baggage(client)),
            forwarded: Some(Forwarded {
                for_: peer.addr(),
                host,
            }),
            traceparent: Some(Traceparent::random()),
            forwarded_network: None,
        },
    }
}

/// A handshake's second try is sent after 1 s.
const UNREADY_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
