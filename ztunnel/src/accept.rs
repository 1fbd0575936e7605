//! The loop behind every listener.

use std::io;
use std::net::SocketAddr;

use mesh_net::accept::{AcceptAction, AcceptPolicy};
use mesh_runtime::drain::DrainWatcher;
use mesh_types::Peer;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// Accepts until the drain starts, then closes the listener. A connection that fails while it is accepted is nobody's
/// problem; when the process is out of something, the loop waits and says so, but not each time.
///
/// # Errors
/// Fails when the listener itself is broken.
pub async fn accept_loop(
    listener: TcpListener,
    mut drain: DrainWatcher,
    mut serve: impl FnMut(TcpStream, Peer),
) -> io::Result<()> {
    let mut policy = AcceptPolicy::default();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = drain.draining() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                policy.accepted();
                serve(stream, Peer::new(peer));
            }
            Err(error) => match policy.failed(&error, Instant::now()) {
                AcceptAction::Continue => {}
                AcceptAction::Pause { pause, say, unsaid } => {
                    if say {
                        warn_shortage(listener.local_addr().ok(), &error, unsaid);
                    }
                    tokio::select! {
                        _ = drain.draining() => return Ok(()),
                        () = tokio::time::sleep(pause) => {}
                    }
                }
                _ => return Err(error),
            },
        }
    }
}

fn warn_shortage(listener: Option<SocketAddr>, error: &io::Error, unsaid: u64) {
    tracing::warn!(listener = ?listener, %error, unsaid, "cannot accept connections, trying again");
}
