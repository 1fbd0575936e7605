//! The loop behind every listener.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use mesh_net::accept::{AcceptAction, AcceptPolicy};
use mesh_runtime::drain::{DrainMode, DrainWatcher};
use mesh_types::Peer;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// Accepts until the drain starts, then takes what waits in the queue, and closes the listener. A connection that comes
/// between the two passes on to a successor's listener ([`mesh_net::listen::pass_on_queued`]); where the kernel cannot do
/// that, or there is no successor, it is reset. A connection that fails while it is accepted is nobody's
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
    let mode = loop {
        let accepted = tokio::select! {
            biased;
            mode = drain.draining() => break mode,
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
                        mode = drain.draining() => break mode,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
                _ => return Err(error),
            },
        }
    };
    match mode {
        DrainMode::Graceful => take_queued(listener, serve),
        DrainMode::Immediate => Ok(()),
    }
}

/// Asks the socket itself: tokio may not have heard of the last connections yet.
fn take_queued(listener: TcpListener, mut serve: impl FnMut(TcpStream, Peer)) -> io::Result<()> {
    let listener = listener.into_std()?;
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                serve(TcpStream::from_std(stream)?, Peer::new(peer));
            }
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
            // The queue is empty, or no more can be had of it.
            Err(_) => return Ok(()),
        }
    }
}

fn warn_shortage(listener: Option<SocketAddr>, error: &io::Error, unsaid: u64) {
    tracing::warn!(listener = ?listener, %error, unsaid, "cannot accept connections, trying again");
}

#[cfg(test)]
mod tests;
