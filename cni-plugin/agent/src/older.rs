//! Connections that were open before their pod was enrolled: they stay as they are, outside the mesh, until they end.
//! Rules only take what opens a connection, so somebody must tell which went past them.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;

use mesh_net::Netns;
use mesh_types::ports;

use crate::sockets::{self, Connection, Progress, Socket};

/// The connections that are open in a namespace, lead out of it, and do not pass ztunnel.
///
/// # Errors
/// Fails when the namespace cannot be entered, or does not tell.
pub fn open(netns: &Netns) -> io::Result<Vec<Connection>> {
    Ok(past_ztunnel(&established(&sockets::read(netns)?)))
}

/// Those that are established, of all.
#[must_use]
pub fn established(sockets: &[Socket]) -> BTreeSet<Connection> {
    let established = sockets
        .iter()
        .filter(|socket| socket.progress == Progress::Established);
    established.map(|socket| socket.connection).collect()
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

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use mesh_net::process::in_namespaces;

    use super::*;

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
