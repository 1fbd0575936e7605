//! The far ends of the loads.

use std::net::Ipv6Addr;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

pub(super) async fn serve(port: u16) -> Result<Value> {
    let mut tasks = Vec::new();
    for offset in 0..10 {
        let at = port + offset;
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, at))
            .await
            .with_context(|| format!("port {at}"))?;
        tasks.push(spawn_local(accept(listener, offset)));
    }
    for task in tasks {
        task.await?;
    }
    Ok(Value::Null)
}

async fn accept(listener: TcpListener, offset: u16) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        // How a connection ends is the client's to judge.
        drop(match offset {
            0 => spawn_local(sink(stream)),
            1 => spawn_local(echo(stream)),
            _ => spawn_local(one_byte(stream)),
        });
    }
}

/// Reads to the end, then says how much it was.
async fn sink(mut stream: TcpStream) {
    let mut buffer = vec![0; 256 << 10];
    let mut total = 0_u64;
    while let Ok(n) = stream.read(&mut buffer).await {
        if n == 0 {
            drop(stream.write_all(&total.to_be_bytes()).await);
            return;
        }
        total += n as u64;
    }
}

async fn echo(mut stream: TcpStream) {
    drop(stream.set_nodelay(true));
    let mut buffer = vec![0; 16 << 10];
    while let Ok(n) = stream.read(&mut buffer).await {
        if n == 0 || stream.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

/// Answers one byte and closes first, so that the client's ports are free again at once.
async fn one_byte(mut stream: TcpStream) {
    let mut byte = [0];
    if stream.read_exact(&mut byte).await.is_ok() {
        drop(stream.write_all(&byte).await);
    }
}
