//! `mesh-test`: both ends of the check that `helm test` runs: a server that says back what it is told, and a client that says
//! whether it was heard, or, where it must not be, that it was not.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::args::MeshTestCommand;

/// Runs the command.
///
/// # Errors
/// Fails when nobody can listen, when nobody answers, and when somebody answers who must not.
pub fn run(command: &MeshTestCommand) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("runtime")?;
    runtime.block_on(async {
        match command {
            MeshTestCommand::Serve(args) => {
                let listener = TcpListener::bind(args.listen).await;
                serve(listener.with_context(|| args.listen.to_string())?).await
            }
            MeshTestCommand::Dial(args) => {
                let said = dial(&args.to, args.refused, args.patience).await?;
                println!("{said}");
                Ok(())
            }
        }
    })
}

/// Answers until the process ends: each connection's line comes back with the address that it seems to come from.
async fn serve(listener: TcpListener) -> Result<()> {
    loop {
        let (stream, peer) = listener.accept().await.context("a connection")?;
        // Whoever connects and says nothing keeps nobody else waiting.
        tokio::spawn(async move {
            // A client that went away is no matter of the server's.
            let _ = timeout(STEP, answer(stream, peer)).await;
        });
    }
}

async fn answer(stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(LONGEST)).read_line(&mut line).await?;
    write
        .write_all(format!("{} heard from {}\n", line.trim_end(), peer.ip()).as_bytes())
        .await?;
    write.shutdown().await
}

/// Says something until it is heard; or, where it must not be, a few times, and is heard never.
async fn dial(to: &str, refused: bool, patience: Duration) -> Result<String> {
    let deadline = Instant::now() + patience;
    let mut tries = 0;
    loop {
        tries += 1;
        match timeout(STEP, exchange(to))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        {
            Ok(heard) if refused => {
                bail!(
                    "{to} answered {heard:?}: it must not take what comes without the mesh, or without the right identity"
                )
            }
            Ok(heard) => return Ok(format!("{to} answered: {heard}")),
            Err(why) if refused && tries >= REFUSALS => {
                return Ok(format!("{to} does not answer, as it should be: {why}"));
            }
            Err(why) if !refused && Instant::now() >= deadline => {
                bail!("{to} does not answer after {} s: {why}", patience.as_secs())
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn exchange(to: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(format!("{WORDS}\n").as_bytes()).await?;
    let mut heard = String::new();
    stream.take(LONGEST).read_to_string(&mut heard).await?;
    // A proxy that ends the connection at once has not let anything through.
    match heard.starts_with(WORDS) {
        true => Ok(heard.trim_end().to_owned()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

const WORDS: &str = "is anybody there?";
/// Bytes.
const LONGEST: u64 = 1024;
const STEP: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(500);
/// How often somebody who must not be heard tries.
const REFUSALS: u32 = 3;

#[cfg(test)]
mod tests;
