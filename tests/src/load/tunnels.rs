//! The same load inside tunnels of the mesh: HTTP/1.1 in streams of HBONE, at both ends, without applications behind it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use mesh_hbone::{
    ConnectRequest, ConnectResponse, HboneOptions, Hop, IncomingTunnel, Pool, ReceiveBudget, Tunnel,
    serve_tls,
};
use mesh_net::{ChunkRead, ChunkWrite, DialOptions};
use mesh_testkit::TestAuthority;
use mesh_tls::ExpectedPeers;
use mesh_types::{Authority, Identity, NextHop, WorkloadUid};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalOptions;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;

use super::http1::{self, Answers};
use super::origin::Talk;
use super::{Histogram, Outcome};

/// A load through tunnels.
#[derive(Clone, Debug)]
pub struct TunnelLoad {
    /// Where tunnels are made to.
    pub to: SocketAddr,
    /// Who is there.
    pub server: Identity,
    /// Who asks.
    pub client: Identity,
    /// What each stream asks for.
    pub target: SocketAddr,
    /// Streams, each with one request at a time.
    pub streams: usize,
    /// For so long.
    pub length: Duration,
}

/// Runs a load on the calling thread to its end. Its tunnels are made before it counts.
///
/// # Errors
/// Fails with the first stream that does.
pub fn run(load: &TunnelLoad, authority: &TestAuthority) -> Result<Outcome> {
    on_this_thread(async {
        let pool = Pool::new(
            authority.clone(),
            Rc::new(HboneOptions::default()),
            ReceiveBudget::default(),
            |_, driver| drop(spawn_local(driver)),
        );
        let hop = Hop {
            next: NextHop::new(load.to),
            netns: None,
            dial: DialOptions::default(),
            source: load.client.clone(),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            expected: ExpectedPeers::one(&load.server),
            instance: WorkloadUid::new("bench"),
        };
        let request = ConnectRequest::to(Authority::from(load.target));
        let mut tunnels = Vec::new();
        for _ in 0..load.streams {
            let tunnel = pool.tunnel(&hop, &request).await;
            let tunnel = tunnel.map_err(|e| anyhow!("tunnel: {e}"))?;
            tunnels.push(tunnel);
        }
        let latency = Rc::new(RefCell::new(Histogram::new()));
        let over = Rc::new(Cell::new(false));
        let start = Instant::now();
        let ask = |tunnel| spawn_local(ping_pong(tunnel, over.clone(), latency.clone()));
        let tasks: Vec<JoinHandle<Result<()>>> = tunnels.into_iter().map(ask).collect();
        tokio::time::sleep(load.length).await;
        let seconds = start.elapsed().as_secs_f64();
        over.set(true);
        let requests = latency.borrow().count();
        for task in tasks {
            task.await??;
        }
        pool.close();
        let latency = latency.borrow().clone();
        Ok(Outcome {
            requests,
            seconds,
            latency,
        })
    })
}

async fn ping_pong(mut tunnel: Tunnel, over: Rc<Cell<bool>>, latency: Rc<RefCell<Histogram>>) -> Result<()> {
    let mut answers = Answers::default();
    while !over.get() {
        let asked = Instant::now();
        write(&mut tunnel, Bytes::from_static(http1::QUESTION)).await?;
        let mut complete = 0;
        while complete == 0 {
            let Some(came) = read(&mut tunnel).await? else {
                bail!("the stream was closed");
            };
            complete += answers.read(&came)?;
        }
        latency.borrow_mut().record(asked.elapsed());
    }
    Ok(())
}

/// Takes tunnels to `address` as `identity`, and answers the requests in their streams, on the calling thread, for ever.
///
/// # Errors
/// Fails when the address cannot be had.
pub fn serve(address: SocketAddr, identity: &Identity, authority: &TestAuthority) -> Result<()> {
    let certificate = authority.certificate(identity);
    on_this_thread(async {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| address.to_string())?;
        loop {
            let (stream, _) = listener.accept().await?;
            let config = certificate.server_config();
            spawn_local(async move { take_tunnels(stream, config).await });
        }
    })
}

async fn take_tunnels(stream: TcpStream, config: std::sync::Arc<rustls::ServerConfig>) {
    let (options, budget) = (HboneOptions::default(), ReceiveBudget::default());
    // A client that goes away is none of the server's business.
    let Ok(mut connection) = serve_tls(stream, config, &options, &budget).await else {
        return;
    };
    while let Some(Ok(tunnel)) = connection.next().await {
        spawn_local(async move { drop(answer(tunnel).await) });
    }
}

async fn answer(tunnel: IncomingTunnel) -> Result<()> {
    let mut tunnel = tunnel.accept(&ConnectResponse::default())?;
    let (mut talk, answer) = (Talk::default(), http1::answer());
    let mut out = Vec::new();
    while let Some(came) = read(&mut tunnel).await? {
        talk.read(&came, &answer, &mut out)?;
        if !out.is_empty() {
            write(&mut tunnel, std::mem::take(&mut out).into()).await?;
        }
    }
    Ok(())
}

async fn read(tunnel: &mut Tunnel) -> Result<Option<Bytes>> {
    Ok(std::future::poll_fn(|cx| tunnel.poll_chunk(cx)).await?)
}

async fn write(tunnel: &mut Tunnel, bytes: Bytes) -> Result<()> {
    let mut chunks = VecDeque::from([bytes]);
    while !chunks.is_empty() {
        std::future::poll_fn(|cx| tunnel.poll_write_chunks(cx, &mut chunks)).await?;
    }
    std::future::poll_fn(|cx| tunnel.poll_flush(cx)).await?;
    Ok(())
}

fn on_this_thread<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(work)
}
