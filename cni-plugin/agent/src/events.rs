//! The event socket: the plugin's requests over HTTP/1.1 on a Unix socket that only this user may open.

use std::fs::{self, Permissions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cni_plugin::event::{AddEvent, Event, IpConfig, MAX_EVENT, SandboxEvent};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;
use mesh_net::{Netns, NetnsId, netns as network};
use mesh_runtime::admin::{self, AdminLimits, Request, Response, Routes};
use mesh_types::NamespacedName;
use mesh_zds::ZdsServer;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, sleep};

use crate::announce::Announcer;
use crate::config::HostConfig;
use crate::controller::Requests;
use crate::controller::operations::SHOW_ZTUNNEL;
use crate::enroll::{Answer, Authority, PodKey, Record, SandboxName};
use crate::metrics::{Metrics, RequestOutcome};

/// The socket; its file goes when it is dropped, unless a successor's stands there.
#[derive(Debug)]
pub struct EventSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file, so that a successor's socket is not removed.
    file: (u64, u64),
}

/// Answers the plugin's requests.
#[derive(Clone)]
pub struct EventServer {
    inner: Arc<Inner>,
}

struct Inner {
    requests: Requests,
    zds: ZdsServer,
    announcer: Announcer,
    metrics: Metrics,
    host: NetnsId,
    mounts: HostConfig,
}

// === impl EventSocket ===

impl EventSocket {
    /// Listens at `path`, mode 0600. The socket appears there ready, in one step, in the place of an earlier one.
    ///
    /// # Errors
    /// Fails when the directory is missing or not writable, or the path is too long for a socket.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(format!(".{}", std::process::id()));
        let fresh = PathBuf::from(fresh);
        match fs::remove_file(&fresh) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(&fresh)?;
        let published = publish(&fresh, path);
        if published.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        Ok(Self {
            listener,
            path: path.to_owned(),
            file: published?,
        })
    }

    /// Serves until dropped.
    pub async fn serve(self, server: EventServer) {
        let routes = server.routes();
        let limits = AdminLimits {
            connections: MAX_CONNECTIONS,
            body: MAX_EVENT,
            receive: RECEIVE_DEADLINE,
        };
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) if is_permitted(&stream) => {
                        connections.push(admin::serve_connection(stream, &routes, limits));
                    }
                    Ok(_) => tracing::warn!("somebody else than root connected to the event socket; refused"),
                    Err(error) => {
                        tracing::warn!(%error, "the event socket cannot accept");
                        sleep(ACCEPT_BACKOFF).await;
                    }
                },
                Some(()) = connections.next(), if !connections.is_empty() => {}
            }
        }
    }
}

impl Drop for EventSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn publish(fresh: &Path, path: &Path) -> io::Result<(u64, u64)> {
    fs::set_permissions(fresh, Permissions::from_mode(0o600))?;
    let file = identity(fresh)?;
    fs::rename(fresh, path)?;
    Ok(file)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let meta = fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

/// The mode of the file says it already; this says it of who opened it.
fn is_permitted(stream: &UnixStream) -> bool {
    let own = fs::metadata("/proc/self").map(|meta| meta.uid());
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == 0 || own.is_ok_and(|own| own == peer.uid()))
}

// === impl EventServer ===

impl EventServer {
    /// A server; `host` is the node's own namespace, which no pod may claim as its own, and `mounts` says where the paths
    /// of the host are seen.
    #[must_use]
    pub fn new(
        requests: Requests,
        zds: ZdsServer,
        announcer: Announcer,
        metrics: Metrics,
        host: NetnsId,
        mounts: HostConfig,
    ) -> Self {
        let inner = Inner {
            requests,
            zds,
            announcer,
            metrics,
            host,
            mounts,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// What it answers to.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let mut routes = Routes::new();
        for (path, about) in [
            ("/cmdadd", "a pod starts"),
            ("/cmddel", "a sandbox is gone"),
            ("/cmdcheck", "is a sandbox in order?"),
            ("/cmdgc", "only these sandboxes exist"),
            ("/status", "can a pod start now?"),
        ] {
            let server = self.clone();
            routes = routes.post(path, about, move |request| {
                let server = server.clone();
                async move { server.answer(path, &request).await }
            });
        }
        routes
    }

    async fn answer(&self, path: &'static str, request: &Request) -> Response {
        let begun = Instant::now();
        let answer = match Event::parse(path, request.body()) {
            Ok(event) => self.inner.serve(event).await,
            Err(error) => Err(error.to_string()),
        };
        let took = begun.elapsed();
        let (outcome, status, text) = match answer {
            Ok(Answer::Done) => (RequestOutcome::Done, StatusCode::OK, String::new()),
            Ok(Answer::Unavailable(text)) => {
                (RequestOutcome::Unavailable, StatusCode::SERVICE_UNAVAILABLE, text)
            }
            Ok(Answer::Refused(text)) => (RequestOutcome::Refused, StatusCode::INTERNAL_SERVER_ERROR, text),
            Err(text) => (RequestOutcome::Invalid, StatusCode::BAD_REQUEST, text),
        };
        let command = path.trim_start_matches("/cmd").trim_start_matches('/');
        self.inner.metrics.request(command, outcome, took);
        if outcome != RequestOutcome::Done {
            tracing::warn!(
                path,
                status = status.as_u16(),
                reason = text,
                "a request of the CNI plugin was not granted"
            );
        }
        admin::text(status, text)
    }
}

impl Inner {
    async fn serve(&self, event: Event) -> Result<Answer, String> {
        match event {
            Event::Add(event) => {
                let begun = Instant::now();
                let (record, netns) = self.record(event)?;
                let pod = record.pod.clone();
                let answer = self.requests.add(record, netns).await;
                if answer == Answer::Done {
                    // What the mesh adds to the start of this pod.
                    let microseconds = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                    tracing::info!(%pod, microseconds, "a starting pod is answered for");
                }
                Ok(answer)
            }
            Event::Del(event) => Ok(self.requests.del(sandbox(event)?).await),
            Event::Check(event) => Ok(self.requests.check(sandbox(event)?).await),
            Event::Gc(event) => Ok(self
                .requests
                .gc(event.valid_container_ids.into_iter().collect())
                .await),
            Event::Status => Ok(self.status()),
        }
    }

    fn status(&self) -> Answer {
        if self.zds.connected() == 0 {
            return Answer::Unavailable(format!(
                "no ztunnel is connected to the node agent; its pods: {SHOW_ZTUNNEL}"
            ));
        }
        let status = self.announcer.status();
        if status.connected {
            return Answer::Done;
        }
        let why = status
            .last_error
            .map(|error| format!(": {error}"))
            .unwrap_or_default();
        let who = match self.announcer {
            Announcer::Registration(_) => Authority::ControlPlane,
            Announcer::Annotation(_) => Authority::ApiServer,
        };
        Answer::Unavailable(format!("{who} cannot be reached{why}"))
    }

    /// What is to be known of a starting pod; its namespace is opened and must not be the node's.
    fn record(&self, event: AddEvent) -> Result<(Record, Netns), String> {
        let pod = name(&event.pod_namespace, &event.pod_name)?;
        let path = event.netns.display();
        if !event.netns.is_absolute() {
            return Err(format!("Netns {path:?} of pod {pod} is no absolute path"));
        }
        let netns_path = self.mounts.path(&event.netns);
        let netns = Netns::open(&netns_path).map_err(|e| format!("Netns {path} of pod {pod}: {e}"))?;
        if netns.id() == self.host {
            return Err(format!(
                "Netns {path} of pod {pod} is the node's own network namespace"
            ));
        }
        let key = event
            .pod_uid
            .or_else(|| event.container_id.clone())
            .unwrap_or_else(|| pod.to_string());
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(format!(
                "PodUID of pod {pod} is empty or longer than {MAX_KEY} bytes"
            ));
        }
        let mut ips: Vec<IpAddr> = Vec::new();
        for ip in told_or_found(&event.ips, &netns).map_err(|e| format!("IPs of pod {pod}: {e}"))? {
            if !ips.contains(&ip) {
                ips.push(ip);
            }
        }
        if ips.is_empty() || ips.len() > MAX_ADDRESSES {
            return Err(format!(
                "IPs of pod {pod}: {} addresses, not 1 to {MAX_ADDRESSES}",
                ips.len()
            ));
        }
        let record = Record {
            key: PodKey(key),
            pod,
            container_id: event.container_id,
            netns_path,
            netns: netns.id(),
            ips,
            enrolment: None,
            older: Vec::new(),
        };
        Ok((record, netns))
    }
}

/// The pod's addresses: what the plugins before ours gave it, or, where ours is called alone, what its network has.
fn told_or_found(told: &[IpConfig], netns: &Netns) -> io::Result<Vec<IpAddr>> {
    if !told.is_empty() {
        return Ok(told.iter().map(|ip| ip.address.ip.to_canonical()).collect());
    }
    let mut found = netns.run(network::addresses)??;
    found.retain(|ip| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    });
    Ok(found)
}

fn sandbox(event: SandboxEvent) -> Result<SandboxName, String> {
    if event.container_id.is_empty() {
        return Err("ContainerID is empty".to_owned());
    }
    let pod = match (event.pod_namespace, event.pod_name) {
        (Some(namespace), Some(pod_name)) => Some(name(&namespace, &pod_name)?),
        _ => None,
    };
    Ok(SandboxName {
        container_id: event.container_id,
        pod,
    })
}

/// As Kubernetes names objects; what comes here ends in files, logs and other people's messages.
fn name(namespace: &str, name: &str) -> Result<NamespacedName, String> {
    let fits = |text: &str, longest: usize| {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        (1..=longest).contains(&text.len()) && text.bytes().all(allowed)
    };
    if !fits(namespace, 63) {
        return Err(format!(
            "PodNamespace {:?} is no name of a namespace",
            short(namespace)
        ));
    }
    if !fits(name, 253) {
        return Err(format!("PodName {:?} is no name of a pod", short(name)));
    }
    Ok(NamespacedName::new(namespace, name))
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Starting pods on one node at once, and some: the rest waits in the kernel's queue.
const MAX_CONNECTIONS: usize = 256;
const RECEIVE_DEADLINE: Duration = Duration::from_secs(5);
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Kubernetes' uids have 36 bytes, runtimes' ids 64.
const MAX_KEY: usize = 128;
const MAX_ADDRESSES: usize = 16;
