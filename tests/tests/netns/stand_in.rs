//! A waypoint that is none: it speaks the wire format, notes what it was asked for, and delivers everything to one
//! address, with an identity of its own.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use lab::Lab;
use mesh_hbone::{
    ConnectRequest, ConnectResponse, HboneOptions, Hop, IncomingTunnel, Pool, ReceiveBudget, Refusal,
    TunnelHeaders, serve_tls,
};
use mesh_net::{DialOptions, Netns, RelayCounters, relay};
use mesh_tls::{CertSource, CertUnavailable, ExpectedPeers, WorkloadCertificate};
use mesh_types::{Identity, NextHop, WorkloadUid, ports};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

use crate::client::listen;
use crate::hbone::{forged, true_root};
use crate::party::Party;

/// A request, as the waypoint got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Who the client proved to be.
    pub(crate) peer: String,
    /// Where it wanted to go.
    pub(crate) authority: String,
    /// The service that it named.
    pub(crate) host: Option<String>,
}

/// A running stand-in; dropped, it is gone.
pub(crate) struct StandIn {
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Starts one on port 15008 of a pod, with the pod's identity, which delivers to `to`.
    pub(crate) fn start(lab: &Lab, pod: &Party, to: &Party, port: u16) -> Result<Self> {
        let at = SocketAddr::new(pod.pod.v4(), ports::HBONE);
        let listener = listen(pod.namespace(), at)?;
        listener.set_nonblocking(true)?;
        let work = Work {
            certificate: forged(true_root(lab)?, &pod.identity(), std::time::SystemTime::now())?,
            netns: Netns::open(&pod.namespace().path())?,
            target: to.at(port),
            expected: to.identity().parse().context("identity")?,
            asked: Arc::default(),
        };
        let asked = work.asked.clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else {
                return;
            };
            LocalSet::new().block_on(&runtime, async move {
                tokio::select! {
                    _ = stopped => {}
                    _ = accept(listener, work) => {}
                }
            });
        });
        Ok(Self {
            asked,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What it was asked for so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It ended by itself only if it panicked, which it has told.
            drop(thread.join());
        }
    }
}

#[derive(Clone)]
struct Work {
    certificate: Arc<WorkloadCertificate>,
    netns: Netns,
    target: SocketAddr,
    expected: Identity,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// The one certificate that it has.
#[derive(Clone)]
struct Own(Arc<WorkloadCertificate>);

impl CertSource for Own {
    async fn get(&self, _: &Identity) -> Result<Arc<WorkloadCertificate>, CertUnavailable> {
        Ok(self.0.clone())
    }
}

async fn accept(listener: std::net::TcpListener, work: Work) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let pool = Rc::new(Pool::new(
        Own(work.certificate.clone()),
        Rc::new(HboneOptions::default()),
        ReceiveBudget::default(),
        |_, task| drop(spawn_local(task)),
    ));
    loop {
        let (stream, _) = listener.accept().await?;
        let (work, pool) = (work.clone(), pool.clone());
        spawn_local(async move {
            let (options, budget) = (HboneOptions::default(), ReceiveBudget::default());
            let config = work.certificate.server_config();
            let Ok(mut connection) = serve_tls(stream, config, &options, &budget).await else {
                return;
            };
            while let Some(Ok(tunnel)) = connection.next().await {
                let forwarded = tunnel.request.headers.forwarded.as_ref();
                work.asked.lock().push(Asked {
                    peer: connection.peer().to_string(),
                    authority: tunnel.request.authority.to_string(),
                    host: forwarded.and_then(|f| f.host.as_ref()).map(ToString::to_string),
                });
                spawn_local(deliver(work.clone(), pool.clone(), tunnel));
            }
        });
    }
}

async fn deliver(work: Work, pool: Rc<Pool<Own>>, tunnel: IncomingTunnel) {
    let hop = Hop {
        next: NextHop::new(SocketAddr::new(work.target.ip(), ports::HBONE)),
        netns: Some(work.netns.clone()),
        dial: DialOptions::default(),
        source: work.certificate.identity().clone(),
        expected: ExpectedPeers::identity_or(&work.expected, [] as [&str; 0]),
        source_ip: work.target.ip(),
        instance: WorkloadUid::new("target"),
    };
    let request = ConnectRequest {
        authority: work.target.into(),
        headers: TunnelHeaders::default(),
    };
    match pool.tunnel(&hop, &request).await {
        Ok(up) => {
            if let Ok(down) = tunnel.accept(&ConnectResponse::default()) {
                relay(down, up, &Arc::new(RelayCounters::default())).await;
            }
        }
        Err(_) => tunnel.refuse(Refusal::Unavailable),
    }
}
