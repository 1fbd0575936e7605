//! The open connections of a pod, for people: `/config_dump` shows them, in upstream's shape.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use mesh_types::{NextHop, OrigDst, Peer};
use parking_lot::Mutex;
use serde::{Serialize, Serializer};

/// The open connections of one pod; every worker writes into it.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    open: Arc<Mutex<Open>>,
}

/// A connection is listed until this is dropped.
#[derive(Debug)]
pub struct Listed {
    key: u64,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next_key: u64,
    by_key: BTreeMap<u64, Connection>,
}

#[derive(Clone, Copy, Debug)]
enum Connection {
    Inbound(Route),
    Outbound(Route),
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Route {
    src: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_dst: Option<SocketAddr>,
    actual_dst: SocketAddr,
    protocol: Protocol,
}

/// How a connection travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// Through a tunnel.
    Hbone,
    /// As it is.
    Tcp,
}

impl Connections {
    /// Lists a connection from the pod.
    #[must_use]
    pub fn outbound(&self, src: Peer, asked: OrigDst, next: NextHop, protocol: Protocol) -> Listed {
        self.list(Connection::Outbound(Route {
            src: src.addr(),
            original_dst: Some(asked.addr()),
            actual_dst: next.addr(),
            protocol,
        }))
    }

    /// Lists a connection to the pod.
    #[must_use]
    pub fn inbound(&self, src: Peer, target: SocketAddr, protocol: Protocol) -> Listed {
        self.list(Connection::Inbound(Route {
            src: src.addr(),
            original_dst: None,
            actual_dst: target,
            protocol,
        }))
    }

    fn list(&self, connection: Connection) -> Listed {
        let mut open = self.open.lock();
        let key = open.next_key;
        open.next_key += 1;
        open.by_key.insert(key, connection);
        Listed {
            key,
            open: self.open.clone(),
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.open.lock().by_key.remove(&self.key);
    }
}

impl Serialize for Connections {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Default, Serialize)]
        struct Dump {
            inbound: Vec<Route>,
            outbound: Vec<Route>,
        }
        let open: Vec<_> = self.open.lock().by_key.values().copied().collect();
        let mut dump = Dump::default();
        for connection in open {
            match connection {
                Connection::Inbound(route) => dump.inbound.push(route),
                Connection::Outbound(route) => dump.outbound.push(route),
            }
        }
        dump.serialize(serializer)
    }
}
