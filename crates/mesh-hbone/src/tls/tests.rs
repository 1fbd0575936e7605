use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use mesh_tls::ExpectedPeers;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

use super::{Failure, SharedIo, TlsIo};
use crate::testing::{Mesh, identity};

/// A pipe that counts how often it is written to and read from.
struct Counted {
    pipe: DuplexStream,
    writes: Rc<Cell<usize>>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.set(self.writes.get() + 1);
        Pin::new(&mut self.pipe).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

/// Two ends over a pipe that holds so many bytes, and how often the client wrote.
async fn ends(capacity: usize) -> (SharedIo, SharedIo, Rc<Cell<usize>>) {
    ends_of(capacity, true).await
}

/// The client may have been told to leave the records to rustls, as with TLS 1.2.
async fn ends_of(capacity: usize, own_records: bool) -> (SharedIo, SharedIo, Rc<Cell<usize>>) {
    let mesh = Mesh::new();
    let expected = ExpectedPeers::one(&identity("server"));
    let (near, far) = tokio::io::duplex(capacity);
    let writes = Rc::new(Cell::new(0));
    let near = Counted {
        pipe: near,
        writes: writes.clone(),
    };
    let mut config = ClientConfig::clone(&mesh.certificate("client").client_config(&expected));
    config.enable_secret_extraction = own_records;
    let (client, server) = tokio::join!(
        TlsIo::connect(Box::new(near), Arc::new(config)),
        TlsIo::accept(Box::new(far), mesh.certificate("server").server_config())
    );
    let (client, server) = (client.unwrap(), server.unwrap());
    assert!(client.speaks_http2() && server.speaks_http2());
    (SharedIo::new(client), SharedIo::new(server), writes)
}

async fn drain(io: &SharedIo) {
    poll_fn(|cx| io.with(|tls| tls.poll_drain(cx))).await.unwrap();
}

/// Bytes that show when they are out of place.
fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i / 7 + i / 255) as u8).collect()
}

#[tokio::test]
async fn everything_arrives_in_order_whatever_the_sizes() {
    for (capacity, own_records, swapped) in [
        (7, true, false),
        (1000, true, false),
        (65_536, true, false),
        (1_000_000, true, false),
        (7, false, false),
        (65_536, false, false),
        (65_536, false, true),
        (1_000_000, false, true),
    ] {
        let (mut near, mut far, _) = ends_of(capacity, own_records).await;
        if swapped {
            std::mem::swap(&mut near, &mut far);
        }
        let data = pattern(600_000);
        let sending = async {
            let mut rest = &data[..];
            for size in [1, 9, 246, 16_384, 5, 65_536, 16_383, 100_000, 16_385]
                .iter()
                .cycle()
            {
                let (now, later) = rest.split_at((*size).min(rest.len()));
                near.write_all(now).await.unwrap();
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            near.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let (_, read) = tokio::join!(sending, far.read_to_end(&mut received));
        read.unwrap();
        assert!(received == data, "capacity {capacity}, own records {own_records}");
    }
}

#[tokio::test]
async fn many_small_writes_are_one_record_and_one_system_call() {
    let (mut near, mut far, writes) = ends(1_000_000).await;
    let before = writes.get();
    for _ in 0..500 {
        near.write_all(&[1; 30]).await.unwrap();
        near.flush().await.unwrap();
    }
    assert_eq!(writes.get(), before);
    drain(&near).await;
    assert_eq!(writes.get(), before + 1);
    let mut received = [0; 15_000];
    far.read_exact(&mut received).await.unwrap();
}

#[tokio::test]
async fn a_lot_is_written_in_pieces_of_about_128_kib() {
    let (mut near, far, writes) = ends(4_000_000).await;
    let before = writes.get();
    near.write_all(&pattern(1_310_720)).await.unwrap();
    drain(&near).await;
    // Whole records: eight of them are a little more.
    assert!((9..=10).contains(&(writes.get() - before)));
    drop(far);
}

#[tokio::test]
async fn a_large_write_behind_small_ones_is_never_refused_for_want_of_room() {
    let (mut near, mut far, _) = ends(4_000_000).await;
    let mut sent = 0;
    // So much waits to be sent, just less than is sent at once, that the staged bytes leave no room for a whole record.
    for size in [16_384; 7]
        .into_iter()
        .chain([16_000, 4_000, 4_000, 4_000, 16_384])
    {
        near.write_all(&vec![1; size]).await.unwrap();
        sent += size;
    }
    drain(&near).await;
    far.read_exact(&mut vec![0; sent]).await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_holds_no_blocks() {
    let (mut near, mut far, _) = ends(1_000_000).await;
    near.write_all(&pattern(300_000)).await.unwrap();
    drain(&near).await;
    let mut received = vec![0; 300_000];
    far.read_exact(&mut received).await.unwrap();
    let waiting = poll_fn(|cx| {
        let mut byte = [0];
        let mut buf = ReadBuf::new(&mut byte);
        Poll::Ready(Pin::new(&mut far).poll_read(cx, &mut buf).is_pending())
    });
    assert!(waiting.await);
    assert!(far.with(|tls| !tls.incoming.holds_memory() && tls.plain.bytes.capacity() == 0));
    assert!(near.with(|tls| tls.out.is_empty() && tls.staged.capacity() == 0));
}

#[tokio::test]
async fn an_announced_end_is_an_end_and_a_cut_is_an_error() {
    let (mut near, mut far, _) = ends(65_536).await;
    near.shutdown().await.unwrap();
    assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(far.with(|tls| tls.failure().cloned()), None);

    let (near, mut far, _) = ends(65_536).await;
    drop(near);
    let error = far.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(far.with(|tls| tls.failure().cloned()), Some(Failure::Eof));
}

#[tokio::test]
async fn a_forged_record_ends_the_connection_and_the_peer_is_told() {
    let (mut near, mut far, _) = ends(65_536).await;
    let forged = [&[23, 3, 3, 0, 40][..], &[0; 40]].concat();
    poll_fn(|cx| near.with(|tls| Pin::new(&mut tls.io).poll_write(cx, &forged)))
        .await
        .unwrap();
    for _ in 0..3 {
        let error = far.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(far.write(b"x").await.is_err());
    }
    let alert = near.read(&mut [0; 8]).await.unwrap_err();
    assert!(alert.to_string().contains("alert"), "{alert}");
}
