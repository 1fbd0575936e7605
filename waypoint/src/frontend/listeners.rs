//! Several listeners of a gateway on one port, told apart by host names (Gateway API, "Listener", `hostname`): an exact
//! name before a wildcard, a longer wildcard before a shorter one, any name before none. Pure.
//!
//! They share the sockets of the first of them, and these rules say whose a connection or request is. Where TLS ends, the
//! server name says so for the whole connection: a request for the host of another listener was sent the wrong way (421),
//! because that one may have other certificates and other rules for clients.

use std::sync::Arc;

use mesh_model::l7::Bind;
use mesh_model::l7::bind::{BindProtocol, Frontend as Served};
use mesh_model::l7::tls::TlsTermination;
use mesh_state::l7::L7Snapshot;
use mesh_types::Strng;

use super::{Frontend, covers};

/// Whose a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// The listener's to whose connection it came.
    Here,
    /// Another one's on the same port.
    Sibling(Frontend),
    /// Nobody's.
    Nobody,
}

/// What is done about TLS: listeners of one port are told apart only among those that do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Plain,
    TlsEnds,
    TlsPasses,
}

/// The listeners of a port that are told apart by names, with the one that this is about; none where it is not told apart.
pub fn siblings(snapshot: &L7Snapshot, own: &Frontend) -> impl Iterator<Item = Arc<Bind>> {
    let own = match own {
        Frontend::Listener { bind, .. } => snapshot.bind(bind),
        Frontend::Service { .. } | Frontend::Workload { .. } => None,
    };
    let of_port = own.into_iter().flat_map(|own| {
        let same = move |other: &&Arc<Bind>| {
            other.port == own.port && other.gateway == own.gateway && layer(other) == layer(own)
        };
        snapshot.binds().filter(same).cloned()
    });
    of_port.filter(|bind| layer(bind).is_some())
}

fn layer(bind: &Bind) -> Option<Layer> {
    match &bind.protocol {
        BindProtocol::Plain(Served::Routes { .. }) => Some(Layer::Plain),
        BindProtocol::Tls(TlsTermination::Terminate { .. }, Served::Routes { .. }) => Some(Layer::TlsEnds),
        BindProtocol::Tls(_, Served::Routes { .. }) => Some(Layer::TlsPasses),
        _ => None,
    }
}

/// The one of them whose connection names this server; nothing where none has a name that covers it.
#[must_use]
pub fn by_server_name(siblings: impl Iterator<Item = Arc<Bind>>, name: &str) -> Option<Arc<Bind>> {
    let rated = siblings.filter_map(|bind| Some((rating(names(&bind)?, name)?, bind)));
    // Of equals, which conflict, the first one.
    rated
        .fold(None, |best: Option<(usize, Arc<Bind>)>, next| match best {
            Some(best) if best.0 >= next.0 => Some(best),
            _ => Some(next),
        })
        .map(|(_, bind)| bind)
}

impl Frontend {
    /// Whose a request for `host` is that came to a listener.
    #[must_use]
    pub fn meant(&self, siblings: impl Iterator<Item = Arc<Bind>>, host: &str) -> Meant {
        let Self::Listener { hostnames, .. } = self else {
            return Meant::Here;
        };
        let host = without_port(host);
        let own = rating(hostnames, host);
        // Nobody's name is more exact.
        if own == Some(usize::MAX) {
            return Meant::Here;
        }
        // It is one of them, and no better than itself.
        let best = by_server_name(siblings, host);
        let rated = best
            .as_deref()
            .and_then(names)
            .and_then(|names| rating(names, host));
        match best
            .filter(|_| rated > own)
            .as_deref()
            .and_then(Self::of_listener)
        {
            Some(sibling) => Meant::Sibling(sibling),
            None if own.is_some() => Meant::Here,
            None => Meant::Nobody,
        }
    }

    /// Whether connections and requests for a host are taken here.
    #[must_use]
    pub fn takes(&self, host: &str) -> bool {
        match self {
            Self::Service { .. } | Self::Workload { .. } => true,
            Self::Listener { hostnames, .. } => rating(hostnames, host).is_some(),
        }
    }

    /// What is meant by a connection to a listener that serves routes.
    #[must_use]
    pub fn of_listener(bind: &Bind) -> Option<Self> {
        let (BindProtocol::Plain(Served::Routes { hostnames, protocol })
        | BindProtocol::Tls(_, Served::Routes { hostnames, protocol })) = &bind.protocol
        else {
            return None;
        };
        Some(Self::Listener {
            bind: bind.key(),
            hostnames: hostnames.as_slice().into(),
            port: bind.port,
            protocol: *protocol,
        })
    }
}

fn names(bind: &Bind) -> Option<&[Strng]> {
    match &bind.protocol {
        BindProtocol::Plain(Served::Routes { hostnames, .. })
        | BindProtocol::Tls(_, Served::Routes { hostnames, .. }) => Some(hostnames),
        _ => None,
    }
}

/// How exactly one of the names covers a host.
fn rating(names: &[Strng], host: &str) -> Option<usize> {
    if names.is_empty() {
        return Some(0);
    }
    let covering = names.iter().filter(|name| covers(name, host));
    covering
        .map(|name| {
            if name.starts_with('*') {
                name.len()
            } else {
                usize::MAX
            }
        })
        .max()
}

/// Listeners have names without ports.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests;
