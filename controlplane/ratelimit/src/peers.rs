//! Other shards, over HBONE like everybody else: one connection to each, made when it is needed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Version, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use mesh_extensions::framing;
use mesh_extensions::rate_limit::{Counted, Hit, SHOULD_RATE_LIMIT};
use mesh_hbone::{ConnectRequest, Hop, Pool};
use mesh_net::DialOptions;
use mesh_runtime::supervise::Tasks;
use mesh_tls::{CertSource, ExpectedPeers};
use mesh_types::{Authority, Identity, NextHop, WorkloadUid, ports};
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::serve::{FORWARDED, LONGEST, Local};
use crate::service::{PeerError, Peers};

/// A shard: the name that decides what it counts, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its name; it stays the same wherever it runs.
    pub name: String,
    /// A host name or an address.
    pub host: String,
    /// Where it ends HBONE.
    pub port: u16,
}

/// The connections to all of them.
pub struct Connections<C> {
    shards: Vec<Shard>,
    pool: Pool<C>,
    identity: Identity,
    own: IpAddr,
    /// The port that is asked for within the tunnel.
    service: u16,
    tasks: Tasks,
    open: RefCell<HashMap<usize, SendRequest<Full<Bytes>>>>,
}

impl<C: CertSource> Connections<C> {
    /// To these shards, in the order of their names. All of them run as `identity`.
    #[must_use]
    pub fn new(
        mut shards: Vec<Shard>,
        pool: Pool<C>,
        identity: Identity,
        own: IpAddr,
        service: u16,
        tasks: Tasks,
    ) -> Self {
        shards.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            shards,
            pool,
            identity,
            own,
            service,
            tasks,
            open: RefCell::default(),
        }
    }

    async fn sender(&self, shard: usize) -> Result<SendRequest<Full<Bytes>>, PeerError> {
        let open = self.open.borrow().get(&shard).cloned();
        if let Some(open) = open.filter(|open| !open.is_closed()) {
            return Ok(open);
        }
        let made = self.connect(&self.shards[shard]).await?;
        self.open.borrow_mut().insert(shard, made.clone());
        Ok(made)
    }

    async fn connect(&self, shard: &Shard) -> Result<SendRequest<Full<Bytes>>, PeerError> {
        let mut found = lookup_host((shard.host.as_str(), shard.port))
            .await
            .map_err(failed)?;
        let next = found
            .next()
            .ok_or_else(|| PeerError("its name has no address".to_owned()))?;
        let hop = Hop {
            next: NextHop::new(next),
            netns: None,
            dial: DialOptions::default(),
            source: self.identity.clone(),
            source_ip: self.own,
            expected: ExpectedPeers::one(&self.identity),
            instance: WorkloadUid::new(shard.name.as_str()),
        };
        let authority = Authority::Ip(SocketAddr::new(next.ip(), self.service));
        let tunnel = self
            .pool
            .tunnel(&hop, &ConnectRequest::to(authority))
            .await
            .map_err(failed)?;
        let handshake = Builder::new(Local(self.tasks.clone()))
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .handshake(TokioIo::new(tunnel.into_io()));
        let (sender, connection) = handshake.await.map_err(failed)?;
        self.tasks.spawn_local("HTTP/2 to another shard", async move {
            // An error is told to whoever waits for an answer.
            let _ = connection.await;
        });
        Ok(sender)
    }

    async fn call(&self, shard: usize, hit: &Hit) -> Result<Counted, PeerError> {
        let mut sender = self.sender(shard).await?;
        let mut request = Request::new(Full::new(framing::frame(&hit.encode())));
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        let uri = format!("http://shard{SHOULD_RATE_LIMIT}");
        *request.uri_mut() = uri.parse().map_err(failed)?;
        let headers = request.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(framing::CONTENT_TYPE),
        );
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(HeaderName::from_static(FORWARDED), HeaderValue::from_static("1"));
        let answer = match sender.send_request(request).await {
            Ok(answer) => answer,
            Err(error) => {
                self.open.borrow_mut().remove(&shard);
                return Err(failed(error));
            }
        };
        if answer.status() != StatusCode::OK {
            return Err(PeerError(format!("it answers {}", answer.status())));
        }
        let early = framing::status(answer.headers());
        let body = Limited::new(answer.into_body(), LONGEST)
            .collect()
            .await
            .map_err(failed)?;
        let late = body.trailers().and_then(framing::status);
        match late.or(early) {
            Some(framing::Status { code: 0, .. }) => {}
            Some(framing::Status { code, message }) => {
                return Err(PeerError(format!("gRPC status {code}: {message}")));
            }
            None => return Err(PeerError("it answers without a status of gRPC".to_owned())),
        }
        let limit = u32::try_from(LONGEST).unwrap_or(u32::MAX);
        let message = framing::single(&body.to_bytes(), limit).map_err(failed)?;
        Counted::decode(&message).map_err(failed)
    }
}

impl<C: CertSource> Peers for Connections<C> {
    async fn ask(&self, shard: usize, hit: &Hit, limit: Duration) -> Result<Counted, PeerError> {
        let asked = timeout(limit, self.call(shard, hit)).await;
        asked.unwrap_or_else(|_| Err(PeerError(format!("not within {limit:?}"))))
    }
}

impl FromStr for Shard {
    type Err = &'static str;

    /// `<name>=<host>` or `<name>=<host>:<port>`; an IPv6 address with a port is in brackets.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (name, host) = text
            .split_once('=')
            .ok_or("is not of the form <name>=<host>[:<port>]")?;
        if name.is_empty() || host.is_empty() {
            return Err("names no shard, or no host");
        }
        let (host, port) = match (host.parse::<IpAddr>(), host.rsplit_once(':')) {
            (Ok(_), _) | (Err(_), None) => (host, ports::HBONE),
            (Err(_), Some((host, port))) => (host, port.parse().map_err(|_| "has no port behind the colon")?),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            name: name.to_owned(),
            host: host.to_owned(),
            port,
        })
    }
}

fn failed(error: impl std::fmt::Display) -> PeerError {
    PeerError(error.to_string())
}

const KEEPALIVE: Duration = Duration::from_secs(10);
