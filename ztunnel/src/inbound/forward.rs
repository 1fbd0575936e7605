//! One tunnel to the application.

use std::net::SocketAddr;
use std::rc::Rc;

use mesh_dataplane::enforce::Enforced;
use mesh_dataplane::labels;
use mesh_dataplane::record::{
    ConnectionRecord, End, Failure, Opening, Outcome, Reporter, Security, ServiceName, refused_early,
};
use mesh_hbone::{ConnectResponse, IncomingTunnel, Refusal, Tunnel, TunnelHeaders};
use mesh_net::{DialOptions, TcpChunks, dial, relay};
use mesh_tls::CertSource;
use mesh_types::{Identity, LocalAddr, NetworkAddress, NextHop, Peer, SourceAddr};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::admit::{Admission, Arrival, Denied, Standing, admit};
use crate::connections::{Listed, Protocol};
use crate::outbound::connect::dial_failure;
use crate::outbound::outcome;
use crate::worker::PodProxy;

/// An admitted connection whose two ends are there.
struct Forwarded {
    tunnel: Tunnel,
    application: TcpChunks,
    enforced: Enforced<Standing>,
    record: ConnectionRecord,
    _listed: Listed,
}

/// Serves one tunnel to its end.
pub async fn serve<C: CertSource>(
    proxy: Rc<PodProxy<C>>,
    arrival: Arrival,
    local: LocalAddr,
    tunnel: IncomingTunnel,
) {
    // Boxed: establishing is over soon, and what it needs is not to be held while bytes flow.
    let Some(forwarded) = Box::pin(establish(&proxy, arrival, local, tunnel)).await else {
        return;
    };
    let Forwarded {
        tunnel,
        application,
        mut enforced,
        record,
        _listed,
    } = forwarded;
    let ended = tokio::select! {
        biased;
        denied = enforced.denied() => closed_outcome(&denied),
        end = relay(tunnel, application, record.counters()) => outcome(end),
    };
    record.finish(&ended);
}

/// Admits, connects to the application, answers 200. Otherwise the client is refused and the reason recorded.
async fn establish<C: CertSource>(
    proxy: &PodProxy<C>,
    arrival: Arrival,
    local: LocalAddr,
    tunnel: IncomingTunnel,
) -> Option<Forwarded> {
    let start = Instant::now();
    let seed = &proxy.worker.seed;
    let request = &tunnel.request;
    let host = request.headers.forwarded.as_ref().and_then(|f| f.host.as_deref());
    let admitted = seed
        .state
        .query(|view| admit(view, &arrival, local, &request.authority, host));
    let admission = match admitted {
        Ok(admission) => admission,
        Err(refused) => {
            let (peer, reason) = (arrival.peer, refused.reason());
            refused_early(
                &seed.traffic,
                Reporter::Destination,
                peer,
                local.addr(),
                reason,
                &refused,
            );
            tunnel.refuse(refused.refusal());
            return None;
        }
    };
    let record = ConnectionRecord::open(
        &seed.traffic,
        opening(proxy, &admission, &arrival, local, &tunnel, start),
    );
    let listed = proxy
        .connections
        .inbound(arrival.peer, admission.target, Protocol::Hbone);
    match connect(proxy, admission, arrival.peer, tunnel).await {
        Ok((tunnel, application, enforced)) => Some(Forwarded {
            tunnel,
            application,
            enforced,
            record,
            _listed: listed,
        }),
        Err(outcome) => {
            record.finish(&outcome);
            None
        }
    }
}

/// Puts the connection under enforcement, connects to the application, then answers 200. Whatever else the client is
/// answered, the outcome says why.
async fn connect<C: CertSource>(
    proxy: &PodProxy<C>,
    admission: Admission,
    peer: Peer,
    mut tunnel: IncomingTunnel,
) -> Result<(Tunnel, TcpChunks, Enforced<Standing>), Outcome> {
    let target = admission.target;
    let response = ConnectResponse {
        baggage: proxy
            .worker
            .seed
            .settings
            .response_baggage
            .then(|| labels::baggage(&admission.workload)),
    };
    let mut enforced = match stand(proxy, admission) {
        Ok(enforced) => enforced,
        Err(denied) => {
            tunnel.refuse(Refusal::Denied);
            return Err(denied_outcome(&denied));
        }
    };
    let connected = tokio::select! {
        biased;
        denied = enforced.denied() => {
            tunnel.refuse(Refusal::Denied);
            return Err(denied_outcome(&denied));
        }
        () = tunnel.abandoned() => return Err(Outcome::Broken {
            error: "client side: gave up before the application answered".into(),
        }),
        connected = dial_application(proxy, target, peer) => connected,
    };
    let application = match connected {
        Ok(stream) => TcpChunks::new(stream),
        Err(failed) => {
            tunnel.refuse(Refusal::Unavailable);
            return Err(failed);
        }
    };
    match tunnel.accept(&response) {
        Ok(tunnel) => Ok((tunnel, application, enforced)),
        Err(error) => Err(Outcome::Broken {
            error: format!("client side: {error}").into(),
        }),
    }
}

/// Puts an admitted connection under enforcement, if it is allowed.
pub(crate) fn stand<C: CertSource>(
    proxy: &PodProxy<C>,
    admission: Admission,
) -> Result<Enforced<Standing>, Denied> {
    for trial in &admission.dry_run {
        tracing::info!(target = %admission.target, pod = %proxy.pod.info().name, "{trial}");
    }
    let worker = &proxy.worker;
    worker.enforcer.track(admission.permission?, &worker.seed.state)
}

/// Connects to the application from the client's address, so that it sees who called.
pub(crate) async fn dial_application<C: CertSource>(
    proxy: &PodProxy<C>,
    target: SocketAddr,
    peer: Peer,
) -> Result<TcpStream, Outcome> {
    let spoof = proxy.worker.seed.settings.original_source && peer.ip() != target.ip();
    let options = DialOptions {
        source: spoof.then(|| SourceAddr::new(SocketAddr::new(peer.ip(), 0))),
        ..proxy.dial_options()
    };
    let dialled = dial(proxy.netns.as_ref(), NextHop::new(target), &options).await;
    dialled.map_err(|error| {
        let failure = dial_failure(&error);
        Outcome::Failed(Failure {
            flag: failure.flag,
            policy: None,
            error: failure.error,
        })
    })
}

/// For a connection that was open.
pub(crate) fn closed_outcome(denied: &Denied) -> Outcome {
    let error = format!("connection closed due to policy change: {denied}");
    Outcome::denied(denied.policy().cloned(), error)
}

pub(crate) fn denied_outcome(denied: &Denied) -> Outcome {
    Outcome::denied(denied.policy().cloned(), denied.to_string())
}

fn opening<C: CertSource>(
    proxy: &PodProxy<C>,
    admission: &Admission,
    arrival: &Arrival,
    local: LocalAddr,
    tunnel: &IncomingTunnel,
    start: Instant,
) -> Opening {
    let (request, workload) = (&tunnel.request, &admission.workload);
    Opening {
        reporter: Reporter::Destination,
        security: Security::MutualTls,
        src: arrival.peer,
        dst: local.addr(),
        hbone_target: Some(request.authority.clone()),
        source: source_end(proxy, tunnel.peer(), arrival.peer, &request.headers),
        destination: End::of_workload(workload).with_principal(Some(workload.identity.clone())),
        service: admission.service.as_deref().map(ServiceName::from),
        start,
    }
}

/// The client, for telemetry: what the configuration says of the workload at its address, if that is who the certificate
/// names; else what the client said of itself. Through another network's gateway the address says nothing.
fn source_end<C: CertSource>(
    proxy: &PodProxy<C>,
    peer: &Identity,
    from: Peer,
    headers: &TunnelHeaders,
) -> End {
    let network = proxy.pod.network();
    let through_gateway = headers.forwarded_network.as_ref().is_some_and(|n| n != network);
    let address = NetworkAddress::new(network.clone(), from.ip());
    let known = proxy.worker.seed.state.query(|view| {
        let found = view.workload_by_address(&address);
        found.filter(|w| !through_gateway && w.identity == *peer).cloned()
    });
    match known {
        Some(workload) => End::of_workload(&workload).with_principal(Some(peer.clone())),
        None => labels::end(headers.baggage.as_ref(), peer.clone()),
    }
}
