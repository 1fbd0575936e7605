//! Applications to talk to. Each runs until the task it is spawned on ends.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What an application does with a connection.
#[derive(Clone, Copy, Debug)]
pub enum App {
    /// Sends back what it gets, and finishes when the client has.
    Echo,
    /// Says `hello\n` first, then echoes: a protocol whose server speaks first.
    Greet,
    /// Tells the client's address, and closes.
    WhoAmI,
    /// Reads everything, then answers with the number of bytes: needs half-close.
    Count,
    /// Takes connections and never says anything.
    Silent,
}

/// Listens; the future serves. Port 0 lets the kernel choose.
///
/// # Panics
/// Panics when the address cannot be had.
pub async fn listen(
    app: App,
    address: SocketAddr,
) -> (SocketAddr, impl Future<Output = ()> + Send + 'static) {
    let listener = TcpListener::bind(address)
        .await
        .unwrap_or_else(|e| panic!("application on {address}: {e}"));
    let local = listener.local_addr().expect("a bound listener has an address");
    let serve = async move {
        loop {
            let Ok((mut stream, peer)) = listener.accept().await else {
                return;
            };
            tokio::spawn(async move {
                // A client that goes away is none of the application's business.
                let _ = talk(app, &mut stream, peer).await;
            });
        }
    };
    (local, serve)
}

async fn talk(app: App, stream: &mut tokio::net::TcpStream, peer: SocketAddr) -> std::io::Result<()> {
    match app {
        App::Echo => echo(stream).await,
        App::Greet => {
            stream.write_all(b"hello\n").await?;
            echo(stream).await
        }
        App::WhoAmI => {
            stream.write_all(peer.ip().to_string().as_bytes()).await?;
            stream.shutdown().await
        }
        App::Count => {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await?;
            stream.write_all(all.len().to_string().as_bytes()).await?;
            stream.shutdown().await
        }
        App::Silent => std::future::pending().await,
    }
}

async fn echo(stream: &mut tokio::net::TcpStream) -> std::io::Result<()> {
    let (mut read, mut write) = stream.split();
    tokio::io::copy(&mut read, &mut write).await?;
    write.shutdown().await
}
