//! The DNS server of a pod, on one worker: datagrams and streams.
//!
//! What the mesh knows is answered at once; what it must forward becomes a task, of which there are only so many at a
//! time. A datagram beyond that is dropped: its sender asks again, and an answer would come too late.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mesh_dns::message::{Trouble, refuse_unread};
use mesh_dns::servers::{read_framed, write_framed};
use mesh_dns::{Link, Query, Reply, Transport, message};
use mesh_model::Workload;
use mesh_runtime::drain::DrainWatcher;
use mesh_tls::CertSource;
use mesh_types::Peer;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::lookup::{Lookup, look_up};
use super::metrics::Labels;
use crate::worker::PodProxy;

/// Answers datagrams until the drain starts.
pub(crate) async fn serve_datagrams<C: CertSource>(
    proxy: Rc<PodProxy<C>>,
    socket: UdpSocket,
    mut drain: DrainWatcher,
) -> io::Result<()> {
    let socket = Rc::new(socket);
    let room = Arc::new(Semaphore::new(MOST_FORWARDED));
    // No question is longer, but for those with padding.
    let mut buffer = vec![0; 4096];
    loop {
        let received = tokio::select! {
            biased;
            _ = drain.draining() => return Ok(()),
            received = socket.recv_from(&mut buffer) => received,
        };
        let (length, peer) = match received {
            Ok(received) => received,
            // One datagram's trouble, or want of memory: never the end of the pod's DNS.
            Err(error) => {
                tracing::debug!(target: "dns", %error, "a question could not be received");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let octets = &buffer[..length];
        match at_once(&proxy, octets, peer, Transport::Udp) {
            Step::Answer(answer) => send(&socket, &answer, peer).await,
            Step::Silence => {}
            Step::Later => {
                let Ok(permit) = room.clone().try_acquire_owned() else {
                    tracing::debug!(target: "dns", %peer, "too many questions are under way; one was dropped");
                    continue;
                };
                let (serving, socket, octets) = (proxy.clone(), socket.clone(), octets.to_vec());
                proxy.clone().spawn("dns question", async move {
                    let answer = later(&serving, &octets, peer, Transport::Udp).await;
                    send(&socket, &answer, peer).await;
                    drop(permit);
                });
            }
        }
    }
}

/// Answers the questions of one stream, one after the other, until its client is done or silent.
pub(crate) async fn serve_stream<C: CertSource>(proxy: Rc<PodProxy<C>>, mut stream: TcpStream, peer: Peer) {
    while let Ok(Ok(Some(octets))) = timeout(IDLE, read_framed(&mut stream)).await {
        let answer = match at_once(&proxy, &octets, peer.addr(), Transport::Tcp) {
            Step::Answer(answer) => answer,
            // Who sends this over a stream means no good.
            Step::Silence => return,
            Step::Later => later(&proxy, &octets, peer.addr(), Transport::Tcp).await,
        };
        if !matches!(
            timeout(IDLE, write_framed(&mut stream, &answer)).await,
            Ok(Ok(()))
        ) {
            return;
        }
    }
}

async fn send(socket: &UdpSocket, answer: &[u8], peer: SocketAddr) {
    if let Err(error) = socket.send_to(answer, peer).await {
        tracing::debug!(target: "dns", %peer, %error, "an answer could not be sent");
    }
}

/// What becomes of a question.
enum Step {
    /// This is the answer.
    Answer(Vec<u8>),
    /// It gets none.
    Silence,
    /// The answer takes a while.
    Later,
}

/// What can be answered without waiting.
fn at_once<C: CertSource>(
    proxy: &PodProxy<C>,
    octets: &[u8],
    peer: SocketAddr,
    transport: Transport,
) -> Step {
    let query = match Query::read(octets) {
        Ok(query) => query,
        Err(why) => {
            tracing::debug!(target: "dns", %peer, "{why}");
            return refuse_unread(octets, why).map_or(Step::Silence, Step::Answer);
        }
    };
    let seed = &proxy.worker.seed;
    let name = query.name().filter(|_| is_about_addresses(&query));
    let found = seed.state.query(|view| {
        let client = proxy.pod.workload(view, peer.ip()).ok()?;
        Some((client.clone(), look_up(view, client, &seed.dns.domain, &name?)))
    });
    let Some((client, Lookup::Known { alias, mut addresses })) = found else {
        return Step::Later;
    };
    seed.dns
        .metrics
        .asked(Labels::of(query.kind(), transport, &client));
    tracing::debug!(target: "dns", %peer, %query, ?addresses, "answered");
    fastrand::shuffle(&mut addresses);
    let answer = Reply::Addresses {
        alias: alias.as_deref(),
        addresses: &addresses,
        ttl: TTL,
    };
    Step::Answer(message::reply(&query, &answer, limit(&query, transport)))
}

/// The rest: forwarded, or answered once the client is known.
async fn later<C: CertSource>(
    proxy: &PodProxy<C>,
    octets: &[u8],
    peer: SocketAddr,
    transport: Transport,
) -> Vec<u8> {
    let seed = &proxy.worker.seed;
    let failure = |query: &Query<'_>| {
        let failure = Reply::Trouble(Trouble::Failure);
        message::reply(query, &failure, limit(query, transport))
    };
    let Ok(query) = Query::read(octets) else {
        return Vec::new();
    };
    let known = seed
        .state
        .query(|view| proxy.pod.workload(view, peer.ip()).cloned());
    let client = match known {
        Ok(client) => client,
        Err(_) => match proxy.pod.wait_for_workload(&seed.state, peer.ip()).await {
            // Now that the client is known, so is what it may see.
            Ok(client) => match at_once(proxy, octets, peer, transport) {
                Step::Answer(answer) => return answer,
                Step::Silence | Step::Later => client,
            },
            Err(error) => {
                tracing::debug!(target: "dns", %peer, %query, %error, "unknown source");
                return failure(&query);
            }
        },
    };
    match forward(proxy, &query, &client, transport).await {
        Some(answer) => answer,
        None => failure(&query),
    }
}

async fn forward<C: CertSource>(
    proxy: &PodProxy<C>,
    query: &Query<'_>,
    client: &Arc<Workload>,
    transport: Transport,
) -> Option<Vec<u8>> {
    let seed = &proxy.worker.seed;
    let labels = Labels::of(query.kind(), transport, client);
    seed.dns.metrics.asked(labels);
    let link = Link {
        netns: proxy.netns.clone(),
        mark: seed.settings.mark,
    };
    let start = Instant::now();
    let asked = seed.dns.servers.ask(&link, query.octets(), transport).await;
    seed.dns.metrics.forwarded(labels, start.elapsed(), asked.is_ok());
    match asked {
        Ok(answer) => {
            tracing::debug!(target: "dns", %query, "forwarded");
            Some(answer)
        }
        Err(error) => {
            tracing::debug!(target: "dns", %query, %error, "forwarded in vain");
            None
        }
    }
}

/// Only addresses are the mesh's to know.
fn is_about_addresses(query: &Query<'_>) -> bool {
    matches!(query.kind(), mesh_dns::Kind::A | mesh_dns::Kind::Aaaa)
}

fn limit(query: &Query<'_>, transport: Transport) -> usize {
    match transport {
        Transport::Udp => query.payload(),
        Transport::Tcp => usize::from(u16::MAX),
    }
}

/// How long a client may remember what the mesh said, in seconds; upstream's number.
const TTL: u32 = 30;
/// For each pod on each worker. A pod that asks for more has lost its mind, or a resolver is gone.
const MOST_FORWARDED: usize = 512;
/// Between a failed read and the next.
const PAUSE: Duration = Duration::from_millis(20);
/// A stream may wait for so long between questions (RFC 7766, section 6.2.3: a few seconds).
const IDLE: Duration = Duration::from_secs(10);
