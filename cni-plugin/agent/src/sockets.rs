//! The TCP sockets of a pod's network namespace, as the kernel tells of them.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mesh_net::Netns;
use serde::{Deserialize, Serialize};

/// A TCP connection, as the pod sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Connection {
    /// The pod's end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

/// How far a connection is. What is over, or left to the kernel by its process, is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Progress {
    /// It is being made.
    Opening,
    /// Both sides may speak.
    Established,
    /// One side has said all.
    HalfClosed,
}

/// A connection and how far it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Socket {
    /// Between whom.
    pub connection: Connection,
    /// How far.
    pub progress: Progress,
}

/// The connections of a namespace, those within it twice: from each end.
///
/// # Errors
/// Fails when the namespace cannot be entered, or does not tell.
pub fn read(netns: &Netns) -> io::Result<Vec<Socket>> {
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
    Ok(parse(&tables?).collect())
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

/// The connections of tables as `/proc/net/tcp` and `tcp6` write them (proc_net(5)). Lines that are none are passed over.
pub fn parse(tables: &[u8]) -> impl Iterator<Item = Socket> + '_ {
    let lines = tables.split(|byte| *byte == b'\n');
    lines.filter_map(|line| socket(std::str::from_utf8(line).ok()?))
}

fn socket(line: &str) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    let inode = fields.nth(INODE);
    let connection = Connection {
        local: address(local)?,
        remote: address(remote)?,
    };
    let progress = progress(state, inode)?;
    Some(Socket { connection, progress })
}

/// Of the kernel's states (`include/net/tcp_states.h`), those in which bytes may still come. A socket that is closing and
/// has no inode is no process's any more.
fn progress(state: &str, inode: Option<&str>) -> Option<Progress> {
    match state {
        "01" => Some(Progress::Established),
        "02" | "03" | "0C" => Some(Progress::Opening),
        "04" | "05" | "08" if inode != Some("0") => Some(Progress::HalfClosed),
        _ => None,
    }
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

/// Its place behind the state.
const INODE: usize = 5;

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
    fn both_families_are_read_and_only_what_is_not_over() {
        // As a little-endian machine writes it.
        let table = "  sl  local_address rem_address   st\n   0: 0B01F40A:1F90 0C01F40A:C350 01 0\n   1: 0B01F40A:1F90 00000000:0000 0A 0\n\
                     2: 000000FD00F402440000000001000000:0050 0000000000000000FFFF00000C01F40A:C350 01 0\nnonsense\n\
                     3: 0B01F40A:1F90 0C01F40A:C351 06 0\n\
                     4: 0B01F40A:1F90 0C01F40A:C352 08 00000000:00000000 00:00000000 00000000 0 0 77 1\n\
                     5: 0B01F40A:1F90 0C01F40A:C353 05 00000000:00000000 00:00000000 00000000 0 0 0 1\n";
        let read: Vec<_> = parse(table.as_bytes()).collect();
        if cfg!(target_endian = "little") {
            let first = Connection {
                local: "10.244.1.11:8080".parse().expect("an address"),
                remote: "10.244.1.12:50000".parse().expect("an address"),
            };
            assert_eq!(read[0].connection, first);
            let in_clothes = read[1].connection.remote;
            assert_eq!(in_clothes, first.remote, "an IPv4 address in IPv6's clothes");
        }
        let progress: Vec<_> = read.iter().map(|socket| socket.progress).collect();
        assert_eq!(
            progress,
            [Progress::Established, Progress::Established, Progress::HalfClosed]
        );
    }

    #[test]
    fn a_connection_that_one_side_has_ended_is_still_one_until_its_process_lets_it_go() {
        in_namespaces(|| {
            mesh_net::process::set_interface_up("lo").expect("lo");
            let here = Netns::current().expect("own");
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let client =
                TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
            let (server, _) = listener.accept().expect("accepted");
            client.shutdown(std::net::Shutdown::Write).expect("ended");
            let open = read(&here).expect("told");
            assert_eq!(open.len(), 2, "{open:?}");
            assert!(open.iter().all(|socket| socket.progress == Progress::HalfClosed));
            drop(client);
            let open = read(&here).expect("told");
            assert_eq!(open.len(), 1, "what the kernel ends alone is nobody's: {open:?}");
            drop(server);
            assert_eq!(read(&here).expect("told"), []);
        });
    }
}
