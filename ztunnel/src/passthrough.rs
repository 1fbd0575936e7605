//! Connections to the pods in plaintext, redirected to port 15006: accept → admit → forward → relay → record. Policies
//! see no identity, so that a STRICT pod takes none of them.

use std::rc::Rc;

use mesh_dataplane::record::{
    ConnectionRecord, End, Opening, Outcome, Reporter, Security, ServiceName, refused_early,
};
use mesh_net::{TcpChunks, relay};
use mesh_tls::CertSource;
use mesh_types::{NetworkAddress, Peer};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::connections::Protocol;
use crate::inbound::admit::{Admission, Arrival, admit_plaintext};
use crate::inbound::forward::{closed_outcome, dial_application, stand};
use crate::outbound::outcome;
use crate::worker::PodProxy;

/// Serves one plaintext connection to its end.
pub async fn serve<C: CertSource>(proxy: Rc<PodProxy<C>>, stream: TcpStream, peer: Peer) {
    let start = Instant::now();
    let seed = &proxy.worker.seed;
    let _socket = seed.traffic.socket(Reporter::Destination);
    let to = match (seed.settings.original_destination)(&stream) {
        Ok(to) => to,
        Err(error) => {
            tracing::debug!(%peer, %error, "connection is gone before its destination was known");
            return;
        }
    };
    let arrival = Arrival {
        pod: proxy.pod.clone(),
        source: None,
        peer,
    };
    let refuse = |reason, error: &dyn std::fmt::Display| {
        refused_early(
            &seed.traffic,
            Reporter::Destination,
            peer,
            to.addr(),
            reason,
            error,
        );
    };
    if let Err(e) = proxy.pod.wait_for_workload(&seed.state, to.ip()).await {
        return refuse("unknown_destination", &e);
    }
    match seed.state.query(|view| admit_plaintext(view, &arrival, to)) {
        Ok(admission) => forward(&proxy, stream, peer, admission, start).await,
        Err(refused) => refuse(refused.reason(), &refused),
    }
}

async fn forward<C: CertSource>(
    proxy: &PodProxy<C>,
    stream: TcpStream,
    peer: Peer,
    admission: Admission,
    start: Instant,
) {
    let seed = &proxy.worker.seed;
    let target = admission.target;
    let source = NetworkAddress::new(proxy.pod.network().clone(), peer.ip());
    let source = seed
        .state
        .query(|view| view.workload_by_address(&source).cloned());
    let record = ConnectionRecord::open(
        &seed.traffic,
        Opening {
            reporter: Reporter::Destination,
            security: Security::Unknown,
            src: peer,
            dst: target,
            hbone_target: None,
            // The address says whose it is, which is good enough for a label and for nothing else.
            source: source.map_or_else(End::default, |w| End::of_workload(&w)),
            destination: End::of_workload(&admission.workload)
                .with_principal(Some(admission.workload.identity.clone())),
            service: admission.service.as_deref().map(ServiceName::from),
            start,
        },
    );
    let _listed = proxy.connections.inbound(peer, target, Protocol::Tcp);
    let ended = carry(proxy, stream, peer, admission, &record).await;
    record.finish(&ended);
}

async fn carry<C: CertSource>(
    proxy: &PodProxy<C>,
    stream: TcpStream,
    peer: Peer,
    admission: Admission,
    record: &ConnectionRecord,
) -> Outcome {
    let target = admission.target;
    let mut enforced = match stand(proxy, admission) {
        Ok(enforced) => enforced,
        Err(denied) => return Outcome::denied(denied.policy().cloned(), denied.to_string()),
    };
    let connected = tokio::select! {
        biased;
        denied = enforced.denied() => return closed_outcome(&denied),
        connected = dial_application(proxy, target, peer) => connected,
    };
    let application = match connected {
        Ok(application) => application,
        Err(failed) => return failed,
    };
    tokio::select! {
        biased;
        denied = enforced.denied() => closed_outcome(&denied),
        end = relay(TcpChunks::new(stream), TcpChunks::new(application), record.counters()) => outcome(end),
    }
}
