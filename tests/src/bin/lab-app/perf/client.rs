//! The near ends of the loads.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;

use lab::load::Histogram;

pub(super) async fn throughput(to: SocketAddr, streams: usize, length: Duration) -> Result<Value> {
    let start = Instant::now();
    let tasks: Vec<JoinHandle<Result<u64>>> = (0..streams)
        .map(|_| spawn_local(send_for(to, start, length)))
        .collect();
    let mut total = 0;
    for task in tasks {
        total += task.await??;
    }
    let took = start.elapsed().as_secs_f64();
    Ok(json!({"bytes": total, "seconds": took, "gbit_per_s": total as f64 * 8.0 / took / 1e9}))
}

async fn send_for(to: SocketAddr, start: Instant, length: Duration) -> Result<u64> {
    let mut stream = TcpStream::connect(to).await.context("connect")?;
    let block = vec![0x5a; 256 << 10];
    let mut sent = 0;
    while start.elapsed() < length {
        stream.write_all(&block).await.context("write")?;
        sent += block.len() as u64;
    }
    stream.shutdown().await.context("half-close")?;
    let arrived = stream.read_u64().await.context("the sink's count")?;
    ensure!(arrived == sent, "{sent} bytes were sent, {arrived} arrived");
    Ok(arrived)
}

pub(super) async fn requests(
    to: SocketAddr,
    connections: usize,
    length: Duration,
    size: usize,
) -> Result<Value> {
    let histogram = Rc::new(RefCell::new(Histogram::new()));
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(to).await.context("connect")?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let start = Instant::now();
    let ask = |s| spawn_local(ping_pong(s, start, length, size, Rc::clone(&histogram)));
    let tasks: Vec<JoinHandle<Result<()>>> = streams.into_iter().map(ask).collect();
    for task in tasks {
        task.await??;
    }
    let took = start.elapsed().as_secs_f64();
    let histogram = histogram.borrow();
    Ok(json!({
        "requests": histogram.count(),
        "seconds": took,
        "per_s": histogram.count() as f64 / took,
        "p50_us": histogram.quantile(0.5),
        "p99_us": histogram.quantile(0.99),
    }))
}

async fn ping_pong(
    mut stream: TcpStream,
    start: Instant,
    length: Duration,
    size: usize,
    histogram: Rc<RefCell<Histogram>>,
) -> Result<()> {
    let question = vec![0x5a; size];
    let mut answer = vec![0; size];
    let mut asked = Instant::now();
    loop {
        stream.write_all(&question).await.context("write")?;
        stream.read_exact(&mut answer).await.context("read")?;
        let now = Instant::now();
        histogram.borrow_mut().record(now - asked);
        if now - start >= length {
            return Ok(());
        }
        asked = now;
    }
}

pub(super) async fn connections(to: SocketAddr, workers: usize, length: Duration) -> Result<Value> {
    let start = Instant::now();
    let made = Rc::new(Cell::new(0_u64));
    let work = |w: usize| spawn_local(connect_again(spread(to, w), start, length, Rc::clone(&made)));
    let tasks: Vec<JoinHandle<Result<()>>> = (0..workers).map(work).collect();
    for task in tasks {
        task.await??;
    }
    let took = start.elapsed().as_secs_f64();
    Ok(json!({"connections": made.get(), "seconds": took, "per_s": made.get() as f64 / took}))
}

/// Eight ports, so that no pair of addresses runs out of client ports.
fn spread(to: SocketAddr, worker: usize) -> SocketAddr {
    SocketAddr::new(to.ip(), to.port() + (worker % 8) as u16)
}

async fn connect_again(to: SocketAddr, start: Instant, length: Duration, made: Rc<Cell<u64>>) -> Result<()> {
    let mut byte = [0x5a];
    while start.elapsed() < length {
        let mut stream = TcpStream::connect(to).await.context("connect")?;
        stream.write_all(&byte).await.context("write")?;
        stream.read_exact(&mut byte).await.context("read")?;
        // The server closes first; its end of file says that it did.
        ensure!(
            stream.read(&mut byte).await.context("close")? == 0,
            "more than one byte came back"
        );
        made.set(made.get() + 1);
    }
    Ok(())
}

pub(super) async fn hold(to: SocketAddr, connections: usize) -> Result<Value> {
    let mut open = Vec::new();
    for _ in 0..connections {
        let mut stream = TcpStream::connect(to).await.context("connect")?;
        stream.write_all(b"hold").await.context("write")?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.context("read")?;
        open.push(stream);
    }
    println!("open");
    std::future::pending::<()>().await;
    Ok(json!(open.len()))
}
