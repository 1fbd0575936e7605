//! Listeners that stand in each other's way on one port (Gateway API, "Gateway", `listeners`).

use controlplane_k8s_api::gateway::{Listener, TlsMode};

use crate::status::StatusReason;

/// Why a listener gives way to an earlier one.
#[derive(Clone, Debug)]
pub(super) struct Conflict {
    pub(super) reason: StatusReason,
    pub(super) message: String,
}

/// What can be told apart on one port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoken {
    /// By `Host`.
    Http,
    /// By the name in the handshake.
    Tls(TlsMode),
    /// Not at all.
    Other,
}

/// For each listener, why an earlier one is served in its place.
pub(super) fn of(listeners: &[Listener]) -> Vec<Option<Conflict>> {
    let mut conflicts: Vec<Option<Conflict>> = Vec::with_capacity(listeners.len());
    for (i, listener) in listeners.iter().enumerate() {
        let earlier = listeners[..i].iter().zip(&conflicts);
        let conflict = earlier
            .filter(|(earlier, lost)| lost.is_none() && earlier.port == listener.port)
            .find_map(|(earlier, _)| between(earlier, listener));
        conflicts.push(conflict);
    }
    conflicts
}

fn between(earlier: &Listener, listener: &Listener) -> Option<Conflict> {
    let name = &earlier.name;
    if spoken(earlier) == Spoken::Other || spoken(earlier) != spoken(listener) {
        return Some(Conflict {
            reason: StatusReason::ProtocolConflict,
            message: format!("listener {name} speaks something else on port {}", listener.port),
        });
    }
    let host = |l: &Listener| l.hostname.as_deref().unwrap_or_default().to_ascii_lowercase();
    (host(earlier) == host(listener)).then(|| Conflict {
        reason: StatusReason::HostnameConflict,
        message: format!("listener {name} has the same port and host"),
    })
}

fn spoken(listener: &Listener) -> Spoken {
    match listener.protocol.as_str() {
        "HTTP" => Spoken::Http,
        "HTTPS" | "TLS" => Spoken::Tls(listener.tls.as_ref().map(|t| t.mode).unwrap_or_default()),
        _ => Spoken::Other,
    }
}
