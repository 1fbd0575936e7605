//! Connections to the pods in plaintext, redirected to port 15006: accept → admit → forward → relay → record. Policies
//! see no identity, so that a STRICT pod takes none of them.

use std::rc::Rc;

use mesh_dataplane::enforce::Enforced;
use mesh_dataplane::record::{
    ConnectionRecord, End, Opening, Outcome, Reporter, Security, ServiceName, refused_early,
};
use mesh_net::{TcpChunks, relay};
use mesh_tls::CertSource;
use mesh_types::{NetworkAddress, OrigDst, Peer};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::connections::{Listed, Protocol};
use crate::inbound::admit::{Admission, Arrival, Standing, admit_plaintext};
use crate::inbound::forward::{closed_outcome, denied_outcome, dial_application, stand};
use crate::outbound::outcome;
use crate::worker::PodProxy;

/// An admitted connection whose application is there.
struct Forwarded {
    application: TcpChunks,
    enforced: Enforced<Standing>,
    record: ConnectionRecord,
    _listed: Listed,
}

/// Serves one plaintext connection to its end.
pub async fn serve<C: CertSource>(proxy: Rc<PodProxy<C>>, stream: TcpStream, peer: Peer) {
    let seed = &proxy.worker.seed;
    let _socket = seed.traffic.socket(Reporter::Destination);
    let to = match (seed.settings.original_destination)(&stream) {
        Ok(to) => to,
        Err(error) => {
            tracing::debug!(%peer, %error, "connection is gone before its destination was known");
            return;
        }
    };
    // Dropped without a relay, it is reset: the client must see that nobody took its connection.
    let down = TcpChunks::new(stream);
    // Boxed: establishing is over soon, and what it needs is not to be held while bytes flow.
    let Some(forwarded) = Box::pin(establish(&proxy, peer, to)).await else {
        return;
    };
    let Forwarded {
        application,
        mut enforced,
        record,
        _listed,
    } = forwarded;
    let ended = tokio::select! {
        biased;
        denied = enforced.denied() => closed_outcome(&denied),
        end = relay(down, application, record.counters()) => outcome(end),
    };
    record.finish(&ended);
}

/// Admits and connects to the application; else the reason is recorded.
async fn establish<C: CertSource>(proxy: &PodProxy<C>, peer: Peer, to: OrigDst) -> Option<Forwarded> {
    let start = Instant::now();
    let seed = &proxy.worker.seed;
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
        refuse("unknown_destination", &e);
        return None;
    }
    let admission = match seed.state.query(|view| admit_plaintext(view, &arrival, to)) {
        Ok(admission) => admission,
        Err(refused) => {
            refuse(refused.reason(), &refused);
            return None;
        }
    };
    let target = admission.target;
    let record = ConnectionRecord::open(&seed.traffic, opening(proxy, &admission, peer, start));
    let listed = proxy.connections.inbound(peer, target, Protocol::Tcp);
    match connect(proxy, admission, peer).await {
        Ok((application, enforced)) => Some(Forwarded {
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

async fn connect<C: CertSource>(
    proxy: &PodProxy<C>,
    admission: Admission,
    peer: Peer,
) -> Result<(TcpChunks, Enforced<Standing>), Outcome> {
    let target = admission.target;
    let mut enforced = stand(proxy, admission).map_err(|denied| denied_outcome(&denied))?;
    let connected = tokio::select! {
        biased;
        denied = enforced.denied() => return Err(denied_outcome(&denied)),
        connected = dial_application(proxy, target, peer) => connected,
    };
    Ok((TcpChunks::new(connected?), enforced))
}

fn opening<C: CertSource>(proxy: &PodProxy<C>, admission: &Admission, peer: Peer, start: Instant) -> Opening {
    let source = NetworkAddress::new(proxy.pod.network().clone(), peer.ip());
    let state = &proxy.worker.seed.state;
    let source = state.query(|view| view.workload_by_address(&source).cloned());
    let workload = &admission.workload;
    Opening {
        reporter: Reporter::Destination,
        security: Security::Unknown,
        src: peer,
        dst: admission.target,
        hbone_target: None,
        // The address says whose it is, which is good enough for a label and for nothing else.
        source: source.map_or_else(End::default, |w| End::of_workload(&w)),
        destination: End::of_workload(workload).with_principal(Some(workload.identity.clone())),
        service: admission.service.as_deref().map(ServiceName::from),
        start,
    }
}
