//! One tunnel to the application.

use std::net::SocketAddr;
use std::rc::Rc;

use mesh_dataplane::enforce::Enforced;
use mesh_dataplane::labels;
use mesh_dataplane::record::{
    ConnectionRecord, End, Failure, Opening, Outcome, Reporter, Security, ServiceName, refused_early,
};
use mesh_hbone::{ConnectResponse, IncomingTunnel, Refusal, TunnelHeaders};
use mesh_net::{DialOptions, TcpChunks, dial, relay};
use mesh_tls::CertSource;
use mesh_types::{Identity, LocalAddr, NetworkAddress, NextHop, Peer, SourceAddr};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::admit::{Admission, Arrival, Denied, Standing, admit};
use crate::connections::Protocol;
use crate::outbound::connect::dial_failure;
use crate::outbound::outcome;
use crate::worker::PodProxy;

/// Serves one tunnel to its end.
pub async fn serve<C: CertSource>(
    proxy: Rc<PodProxy<C>>,
    arrival: Arrival,
    local: LocalAddr,
    tunnel: IncomingTunnel,
) {
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
            return tunnel.refuse(refused.refusal());
        }
    };
    let (workload, target) = (admission.workload.clone(), admission.target);
    let record = ConnectionRecord::open(
        &seed.traffic,
        Opening {
            reporter: Reporter::Destination,
            security: Security::MutualTls,
            src: arrival.peer,
            dst: local.addr(),
            hbone_target: Some(request.authority.clone()),
            source: source_end(&proxy, tunnel.peer(), arrival.peer, &request.headers),
            destination: End::of_workload(&workload).with_principal(Some(workload.identity.clone())),
            service: admission.service.as_deref().map(ServiceName::from),
            start,
        },
    );
    let _listed = proxy.connections.inbound(arrival.peer, target, Protocol::Hbone);
    let ended = match stand(&proxy, admission) {
        Ok(mut enforced) => {
            let response = ConnectResponse {
                baggage: seed.settings.response_baggage.then(|| labels::baggage(&workload)),
            };
            forward(
                &proxy,
                tunnel,
                target,
                arrival.peer,
                &mut enforced,
                &response,
                &record,
            )
            .await
        }
        Err(denied) => {
            tunnel.refuse(Refusal::Denied);
            denied_outcome(&denied)
        }
    };
    record.finish(&ended);
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

/// Connects to the application, then answers 200, then relays. Whatever the client is answered, the outcome says why.
async fn forward<C: CertSource>(
    proxy: &PodProxy<C>,
    mut tunnel: IncomingTunnel,
    target: SocketAddr,
    peer: Peer,
    enforced: &mut Enforced<Standing>,
    response: &ConnectResponse,
    record: &ConnectionRecord,
) -> Outcome {
    let connected = tokio::select! {
        biased;
        denied = enforced.denied() => {
            tunnel.refuse(Refusal::Denied);
            return denied_outcome(&denied);
        }
        () = tunnel.abandoned() => return Outcome::Broken {
            error: "client side: gave up before the application answered".into(),
        },
        connected = dial_application(proxy, target, peer) => connected,
    };
    let application = match connected {
        Ok(stream) => TcpChunks::new(stream),
        Err(failed) => {
            tunnel.refuse(Refusal::Unavailable);
            return failed;
        }
    };
    let tunnel = match tunnel.accept(response) {
        Ok(tunnel) => tunnel,
        Err(error) => {
            return Outcome::Broken {
                error: format!("client side: {error}").into(),
            };
        }
    };
    tokio::select! {
        biased;
        denied = enforced.denied() => closed_outcome(&denied),
        end = relay(tunnel, application, record.counters()) => outcome(end),
    }
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

fn denied_outcome(denied: &Denied) -> Outcome {
    Outcome::denied(denied.policy().cloned(), denied.to_string())
}

/// For a connection that was open.
pub(crate) fn closed_outcome(denied: &Denied) -> Outcome {
    let error = format!("connection closed due to policy change: {denied}");
    Outcome::denied(denied.policy().cloned(), error)
}
