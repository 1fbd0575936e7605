//! What a connection costs while it is open: the sizes of its futures. A change that doubles one doubles the memory of a
//! node with many connections, and nothing else shows it.

use mesh_hbone::IncomingTunnel;
use mesh_testkit::TestAuthority;
use mesh_types::{LocalAddr, Peer};

use super::*;
use crate::inbound::admit::Arrival;

type Proxy = Rc<PodProxy<TestAuthority>>;

/// The size of what an async function returns, without calling it.
fn size_of_future<A, F>(_: impl Fn(A) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn futures_stay_small() {
    let outbound = size_of_future(|(p, s, a): (Proxy, TcpStream, Peer)| outbound::serve(p, s, a));
    let inbound = size_of_future(|(p, s, a): (Proxy, TcpStream, Peer)| inbound::serve(p, s, a));
    let plaintext = size_of_future(|(p, s, a): (Proxy, TcpStream, Peer)| passthrough::serve(p, s, a));
    let tunnel = size_of_future(|(p, a, l, t): (Proxy, Arrival, LocalAddr, IncomingTunnel)| {
        inbound::forward::serve(p, a, l, t)
    });
    let sizes = [
        ("outbound connection", outbound, 1000..=2048),
        ("inbound HBONE connection", inbound, 500..=2000),
        ("plaintext connection", plaintext, 800..=1300),
        ("inbound tunnel", tunnel, 1000..=2048),
    ];
    let outside: Vec<_> = sizes
        .iter()
        .filter(|(_, size, range)| !range.contains(size))
        .collect();
    assert!(outside.is_empty(), "bytes outside of their ranges: {outside:?}");
}
