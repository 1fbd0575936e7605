//! Connections that were open before their pod was enrolled: they stay as they are, outside the mesh, until they end.
//! Rules only take what opens a connection, so somebody must tell which went past them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mesh_net::Netns;
use mesh_types::ports;
use serde::Serialize;

/// An open TCP connection, as the pod sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Connection {
    /// The pod's end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

/// The connections that are open in a namespace, lead out of it, and do not pass ztunnel.
///
/// # Errors
/// Fails when the namespace cannot be entered, or does not tell.
pub fn open(netns: &Netns) -> io::Result<Vec<Connection>> {
    let tables = netns.run(|| {
        // The tables are the whole machine's, searched for this namespace: few look-ups cost more.
        if !has_connections()? {
            return Ok(Vec::new());
        }
        // `self` is the process's first thread, which is not in this namespace.
        let v4 = fs::read("/proc/thread-self/net/tcp")?;
        match fs::read("/proc/thread-self/net/tcp6") {
            Ok(v6) => Ok([v4, v6].concat()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(v4),
            Err(error) => Err(error),
        }
    })?;
    Ok(past_ztunnel(&parse(&tables?).collect()))
}

/// Whether the calling thread's namespace has any open TCP connection.
fn has_connections() -> io::Result<bool> {
    let counts = fs::read_to_string("/proc/thread-self/net/snmp")?;
    // Where the kernel writes something else, the tables tell.
    Ok(established(&counts) != Some(0))
}

/// `Tcp: CurrEstab` of `/proc/net/snmp`, a line of names above one of numbers (RFC 4022, tcpCurrEstab: both families, ESTABLISHED and
/// CLOSE-WAIT).
fn established(counts: &str) -> Option<u64> {
    let mut tcp = counts.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, numbers) = (tcp.next()?, tcp.next()?);
    let at = names.split_whitespace().position(|name| name == "CurrEstab")?;
    numbers.split_whitespace().nth(at)?.parse().ok()
}

/// Those of a namespace's connections that lead out of it and do not pass ztunnel.
#[must_use]
pub fn past_ztunnel(all: &BTreeSet<Connection>) -> Vec<Connection> {
    let is_ztunnels =
        |end: SocketAddr| [ports::HBONE, ports::INBOUND_PLAINTEXT, ports::OUTBOUND].contains(&end.port());
    // What an application opened and ztunnel took has the same client's end here and there.
    let taken: BTreeSet<_> = all
        .iter()
        .filter(|c| is_ztunnels(c.local))
        .map(|c| c.remote)
        .collect();
    let past = all.iter().filter(|connection| {
        let Connection { local, remote } = **connection;
        // Both ends are here; or ztunnel opened it to the application, with the client's address.
        let stays = local.ip() == remote.ip()
            || all.contains(&Connection {
                local: remote,
                remote: local,
            });
        let ztunnels = is_ztunnels(local) || remote.port() == ports::HBONE || taken.contains(&local);
        !(stays || ztunnels || remote.ip().is_loopback())
    });
    past.copied().collect()
}

/// The established connections of tables as `/proc/net/tcp` and `tcp6` write them (proc_net(5)). Lines that are none
/// are passed over.
pub fn parse(tables: &[u8]) -> impl Iterator<Item = Connection> + '_ {
    let lines = tables.split(|byte| *byte == b'\n');
    lines.filter_map(|line| connection(std::str::from_utf8(line).ok()?))
}

fn connection(line: &str) -> Option<Connection> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    (state == ESTABLISHED).then_some(Connection {
        local: address(local)?,
        remote: address(remote)?,
    })
}

/// The words of an address are in the machine's order, each 8 digits; the port is not.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = words.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip: IpAddr = match words.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (at, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

const ESTABLISHED: &str = "01";

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use mesh_net::process::in_namespaces;

    use super::*;

    #[test]
    fn a_namespace_without_connections_is_told_from_one_with() {
        let counts = "Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm ActiveOpens CurrEstab InSegs\nTcp: 1 7 3 900\nUdp: InDatagrams\n";
        assert_eq!(established(counts), Some(3));
        for nothing in [
            "",
            "Tcp: CurrEstab\n",
            "Tcp: a b\nTcp: 1 2\n",
            "Tcp: CurrEstab\nTcp: x\n",
        ] {
            assert_eq!(established(nothing), None, "{nothing}");
        }
        in_namespaces(|| {
            mesh_net::process::set_interface_up("lo").expect("lo");
            for address in ["127.0.0.1:0", "[::1]:0"] {
                let listener = TcpListener::bind(address).expect("a port");
                assert!(!has_connections().expect("counts"), "{address}");
                let client =
                    TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
                assert!(has_connections().expect("counts"), "{address}");
                drop((client, listener));
            }
        });
    }

    #[test]
    fn both_families_are_read_and_only_what_is_established() {
        // As a little-endian machine writes it.
        let table = "  sl  local_address rem_address   st\n   0: 0B01F40A:1F90 0C01F40A:C350 01 0\n   1: 0B01F40A:1F90 00000000:0000 0A 0\n\
                     2: 000000FD00F402440000000001000000:0050 0000000000000000FFFF00000C01F40A:C350 01 0\nnonsense\n";
        let read: Vec<_> = parse(table.as_bytes()).collect();
        if cfg!(target_endian = "little") {
            let first = Connection {
                local: "10.244.1.11:8080".parse().expect("an address"),
                remote: "10.244.1.12:50000".parse().expect("an address"),
            };
            assert_eq!(read[0], first);
            assert_eq!(read[1].remote, first.remote, "an IPv4 address in IPv6's clothes");
        }
        assert_eq!(read.len(), 2);
    }

    fn connection(local: &str, remote: &str) -> Connection {
        Connection {
            local: local.parse().expect("an address"),
            remote: remote.parse().expect("an address"),
        }
    }

    #[test]
    fn only_what_goes_past_ztunnel_is_told() {
        let past = [
            connection("10.0.0.1:5000", "10.0.0.9:80"),
            connection("10.0.0.1:8080", "10.0.0.7:6000"),
        ];
        let others = [
            // The application's, which ztunnel took, and where it led.
            connection("10.0.0.1:5001", "10.0.0.9:80"),
            connection("10.0.0.1:15001", "10.0.0.1:5001"),
            connection("10.0.0.1:5002", "10.0.0.9:15008"),
            // A client's, which ztunnel took and opened again in its name.
            connection("10.0.0.1:15006", "10.0.0.7:6001"),
            connection("10.0.0.7:6001", "10.0.0.1:8080"),
            connection("10.0.0.1:8080", "10.0.0.7:6001"),
            connection("10.0.0.1:15008", "10.0.0.8:7000"),
            // Within the pod.
            connection("10.0.0.1:5003", "10.0.0.1:8080"),
            connection("127.0.0.1:5004", "127.0.0.1:8080"),
        ];
        let all = past.iter().chain(&others).copied().collect();
        assert_eq!(past_ztunnel(&all), past);
    }

    #[test]
    fn a_namespace_tells_of_its_own_connections() {
        in_namespaces(|| {
            let here = Netns::current().expect("own");
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("there");
            let there = Netns::create_at(&path).expect("a namespace");
            let ip = |command: &str| {
                let status = std::process::Command::new("ip").args(command.split(' ')).status();
                assert!(status.expect("ip").success(), "{command}");
            };
            ip("link add here type veth peer name there");
            ip("address add 10.0.0.1/24 dev here");
            ip("link set here up");
            // `ip` takes a path where it takes a name.
            ip(&format!("link set there netns {}", path.display()));
            there
                .run(|| {
                    ip("address add 10.0.0.2/24 dev there");
                    ip("link set there up");
                })
                .expect("entered");
            let listener = TcpListener::bind("10.0.0.1:80").expect("a listener");
            let to = listener.local_addr().expect("an address");
            assert_eq!(open(&here).expect("told"), []);
            let client = there
                .run(|| TcpStream::connect(to))
                .expect("entered")
                .expect("connected");
            let remote = client.local_addr().expect("an address");
            // Only now the listener's side is open for sure.
            let _accepted = listener.accept().expect("accepted");
            assert_eq!(open(&here).expect("told"), [Connection { local: to, remote }]);
            assert_eq!(
                open(&there).expect("told"),
                [Connection {
                    local: remote,
                    remote: to
                }]
            );
        });
    }
}
