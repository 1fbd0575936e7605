//! When a pod that leaves the mesh may be taken from ztunnel: once nothing of it passes there any more, or its time is over.
//! Pure.
//!
//! By ZDS a pod can only be taken away, not be told to end: upstream's ztunnel cuts what it carries at a `Del`, and so does
//! ours, since the pod may be gone. So the agent waits before it sends one, and looks at the pod's sockets. Nothing else
//! tells the same of every ztunnel. Until then ztunnel serves the pod as ever, also those that have not heard that it
//! leaves.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use mesh_types::ports;

use crate::sockets::Socket;

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Look again after this time.
    Wait(Duration),
    /// Nothing is open any more.
    Quiet,
    /// The time is over.
    Overdue,
}

/// The looks at one pod's connections.
#[derive(Debug, Default)]
pub struct Drain {
    looks: u32,
    quiet: bool,
}

impl Drain {
    /// Takes what a look has found, `elapsed` after the first, where `limit` is the time that is given. `open` is nothing
    /// where the namespace did not tell: then the time passes as if something were open.
    pub fn look(&mut self, open: Option<usize>, elapsed: Duration, limit: Duration) -> Verdict {
        if open == Some(0) {
            // What was being accepted at the last look is seen by the next.
            if std::mem::replace(&mut self.quiet, true) {
                return Verdict::Quiet;
            }
            return Verdict::Wait(CONFIRM);
        }
        self.quiet = false;
        let left = limit.saturating_sub(elapsed);
        if left.is_zero() {
            return Verdict::Overdue;
        }
        let pause = FIRST.saturating_mul(1 << self.looks.min(8)).min(LONGEST);
        self.looks += 1;
        Verdict::Wait(pause.min(left))
    }
}

/// How many connections of a pod with these addresses pass ztunnel.
///
/// A captured connection ends at one of ztunnel's ports. What came through a tunnel is known by the way on to the
/// application, which bears the client's address inside the pod's network: an open connection on port 15008 says nothing,
/// since tunnels are kept for the next stream. (Where ztunnel was told not to use the client's address, `ENABLE_ORIG_SRC=false`,
/// streams of tunnels are not seen, and not waited for.)
#[must_use]
pub fn through_ztunnel(sockets: &[Socket], own: &[IpAddr]) -> usize {
    let mut outbound = 0;
    let mut inbound: BTreeMap<IpAddr, Inbound> = BTreeMap::new();
    for Socket { connection, .. } in sockets {
        let (local, remote) = (connection.local, connection.remote);
        let is_own = |ip: IpAddr| ip.is_loopback() || own.contains(&ip);
        match local.port() {
            ports::OUTBOUND => outbound += 1,
            ports::INBOUND_PLAINTEXT => inbound.entry(remote.ip()).or_default().captured += 1,
            _ if !is_own(local.ip()) && own.contains(&remote.ip()) => {
                inbound.entry(local.ip()).or_default().handed_on += 1;
            }
            _ => {}
        }
    }
    let inbound = inbound.values().map(|of| of.captured.max(of.handed_on));
    outbound + inbound.sum::<usize>()
}

/// Connections of one client. What is captured is also handed on.
#[derive(Clone, Copy, Default)]
struct Inbound {
    captured: usize,
    handed_on: usize,
}

/// Between the first looks; it doubles, since a look costs, and whole namespaces leave at once.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);
const CONFIRM: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::{Connection, Progress};

    fn socket(local: &str, remote: &str) -> Socket {
        Socket {
            connection: Connection {
                local: local.parse().expect("an address"),
                remote: remote.parse().expect("an address"),
            },
            progress: Progress::Established,
        }
    }

    fn own() -> Vec<IpAddr> {
        vec!["10.0.0.1".parse().expect("an address")]
    }

    #[test]
    fn what_passes_ztunnel_is_counted_once_and_idle_tunnels_are_not() {
        let idle = [
            // Pooled, both ways.
            socket("10.0.0.1:15008", "10.0.0.8:7000"),
            socket("10.0.0.1:5002", "10.0.0.9:15008"),
            // Past ztunnel, and within the pod.
            socket("10.0.0.1:5000", "10.0.0.9:80"),
            socket("10.0.0.1:8080", "10.0.0.7:6000"),
            socket("127.0.0.1:5004", "127.0.0.1:8080"),
            socket("10.0.0.1:5003", "10.0.0.1:8080"),
        ];
        assert_eq!(through_ztunnel(&idle, &own()), 0);
        let busy = [
            // Captured on the way out.
            socket("10.0.0.1:5001", "10.0.0.9:80"),
            socket("10.0.0.1:15001", "10.0.0.1:5001"),
            // Captured on the way in, and handed on.
            socket("10.0.0.1:15006", "10.0.0.7:6001"),
            socket("10.0.0.7:6002", "10.0.0.1:8080"),
            socket("10.0.0.1:8080", "10.0.0.7:6002"),
            // Two streams of a tunnel.
            socket("10.0.0.8:6003", "10.0.0.1:8080"),
            socket("10.0.0.1:8080", "10.0.0.8:6003"),
            socket("10.0.0.8:6004", "10.0.0.1:8080"),
            socket("10.0.0.1:8080", "10.0.0.8:6004"),
        ];
        assert_eq!(through_ztunnel(&[&idle[..], &busy].concat(), &own()), 4);
    }

    #[test]
    fn a_pod_is_quiet_when_two_looks_in_a_row_say_so() {
        let limit = Duration::from_secs(10);
        let mut drain = Drain::default();
        assert_eq!(drain.look(Some(3), Duration::ZERO, limit), Verdict::Wait(FIRST));
        assert_eq!(drain.look(Some(0), FIRST, limit), Verdict::Wait(CONFIRM));
        // Somebody came in between.
        assert_eq!(
            drain.look(Some(1), FIRST + CONFIRM, limit),
            Verdict::Wait(FIRST * 2)
        );
        assert_eq!(drain.look(Some(0), limit, limit), Verdict::Wait(CONFIRM));
        assert_eq!(drain.look(Some(0), limit + CONFIRM, limit), Verdict::Quiet);
    }

    #[test]
    fn the_time_ends_whatever_is_open_or_unknown() {
        for open in [Some(1), None] {
            let limit = Duration::from_secs(10);
            let (mut drain, mut now, mut looks) = (Drain::default(), Duration::ZERO, 0);
            while let Verdict::Wait(pause) = drain.look(open, now, limit) {
                assert!(pause <= LONGEST);
                (now, looks) = (now + pause, looks + 1);
            }
            assert_eq!(now, limit);
            assert!(looks < 20, "{looks}");
            let mut at_once = Drain::default();
            assert_eq!(
                at_once.look(open, Duration::ZERO, Duration::ZERO),
                Verdict::Overdue
            );
        }
    }
}
