use std::future::poll_fn;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::relay::{RelayCounters, RelayEnd, Side, relay};

#[tokio::test]
async fn bytes_arrive_in_order_and_whole() {
    let (chunks, mut peer) = connected().await;
    let mut chunks = TcpChunks::new(chunks);
    let sent: Vec<u8> = (0..5_000_000_u32).map(|i| (i % 251) as u8).collect();
    let copy = sent.clone();
    let write = async move {
        peer.write_all(&copy).await.unwrap();
        peer.shutdown().await.unwrap();
    };
    let read = async {
        let mut got = Vec::new();
        while let Some(chunk) = poll_fn(|cx| chunks.poll_chunk(cx)).await.unwrap() {
            assert!(!chunk.is_empty());
            got.extend_from_slice(&chunk);
        }
        got
    };
    let (got, ()) = tokio::join!(read, write);
    assert!(got == sent);
    assert_eq!(poll_fn(|cx| chunks.poll_chunk(cx)).await, Ok(None));
}

#[tokio::test]
async fn many_chunks_go_in_few_calls_and_a_part_is_left() {
    let (chunks, mut peer) = connected().await;
    let mut chunks = TcpChunks::new(chunks);
    let mut queue: VecDeque<Bytes> = (0..200_u8).map(|i| Bytes::from(vec![i; 20_000])).collect();
    let sent: Vec<u8> = queue.iter().flat_map(|chunk| chunk.to_vec()).collect();
    let write = async {
        let mut taken = 0;
        while !queue.is_empty() {
            let left: usize = queue.iter().map(Bytes::len).sum();
            assert_eq!(left + taken, 4_000_000);
            taken += poll_fn(|cx| chunks.poll_write_chunks(cx, &mut queue))
                .await
                .unwrap();
        }
        poll_fn(|cx| chunks.poll_finish(cx)).await.unwrap();
    };
    let read = async {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).await.unwrap();
        got
    };
    let ((), got) = tokio::join!(write, read);
    assert!(got == sent);
}

#[tokio::test]
async fn a_half_closed_peer_that_resets_is_noticed_at_once() {
    let (stream, mut peer) = connected().await;
    let mut chunks = TcpChunks::new(stream);
    peer.shutdown().await.unwrap();
    assert_eq!(poll_fn(|cx| chunks.poll_chunk(cx)).await, Ok(None));
    let now = poll_fn(|cx| Poll::Ready(chunks.poll_closed(cx))).await;
    assert!(now.is_pending(), "half closed is not closed: {now:?}");

    let mut queue = VecDeque::from([Bytes::from_static(b"an answer")]);
    poll_fn(|cx| chunks.poll_write_chunks(cx, &mut queue))
        .await
        .unwrap();
    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    assert_eq!(poll_fn(|cx| chunks.poll_closed(cx)).await, StreamError::Reset);
}

#[tokio::test]
async fn a_relay_passes_on_the_reset_of_a_half_closed_client() {
    let (down, mut client) = connected().await;
    let (up, mut server) = connected().await;
    let relayed = async {
        let counters = RelayCounters::default();
        relay(TcpChunks::new(down), TcpChunks::new(up), &counters).await
    };
    let story = async {
        client.shutdown().await.unwrap();
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        // Nobody writes: only the reset can wake the relay.
        let mut fault = Fault::of(&server);
        poll_fn(|cx| fault.poll(cx)).await;
    };
    let (end, ()) = tokio::join!(relayed, story);
    let error = StreamError::Reset;
    assert_eq!(
        end,
        RelayEnd::Failed {
            side: Side::Down,
            error
        }
    );
}

#[tokio::test]
async fn an_unfinished_connection_is_reset_when_dropped() {
    let (chunks, mut peer) = connected().await;
    drop(TcpChunks::new(chunks));
    let error = peer.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_finished_one_is_closed() {
    let (chunks, mut peer) = connected().await;
    let mut chunks = TcpChunks::new(chunks);
    peer.shutdown().await.unwrap();
    assert_eq!(poll_fn(|cx| chunks.poll_chunk(cx)).await, Ok(None));
    poll_fn(|cx| chunks.poll_finish(cx)).await.unwrap();
    chunks.abort(AbortReason::Internal);
    drop(chunks);
    assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn what_was_sent_to_a_slow_reader_arrives_though_it_is_left() {
    let (chunks, mut peer) = connected().await;
    let mut chunks = TcpChunks::new(chunks);
    // Much of it waits in the kernel, which a reset would throw away.
    let mut data = VecDeque::from([Bytes::from(vec![7; 8_000_000])]);
    let sent = poll_fn(|cx| chunks.poll_write_chunks(cx, &mut data))
        .await
        .unwrap();
    poll_fn(|cx| chunks.poll_finish(cx)).await.unwrap();
    chunks.leave();
    drop(chunks);
    let mut got = Vec::new();
    peer.read_to_end(&mut got).await.unwrap();
    assert_eq!(got.len(), sent);
}

#[tokio::test]
async fn who_is_left_in_the_middle_of_a_stream_is_reset() {
    let (chunks, mut peer) = connected().await;
    let mut chunks = TcpChunks::new(chunks);
    chunks.leave();
    drop(chunks);
    let error = peer.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn relay_keeps_half_closed_connections() {
    let pair = relayed().await;
    let (mut client, mut server) = (pair.client, pair.server);
    let talk = async {
        client.write_all(b"request").await.unwrap();
        client.shutdown().await.unwrap();
        let mut request = String::new();
        server.read_to_string(&mut request).await.unwrap();
        server.write_all(b"late response").await.unwrap();
        drop(server);
        let mut response = String::new();
        client.read_to_string(&mut response).await.unwrap();
        (request, response)
    };
    let counters = RelayCounters::default();
    let (end, said) = tokio::join!(relay(pair.down, pair.up, &counters), talk);
    assert_eq!(said, ("request".to_owned(), "late response".to_owned()));
    assert_eq!(end, RelayEnd::Finished { first: Side::Down });
    assert_eq!((counters.to_up(), counters.to_down()), (7, 13));
}

#[tokio::test]
async fn relay_passes_a_reset_on_as_a_reset() {
    let pair = relayed().await;
    let (mut client, server) = (pair.client, pair.server);
    let talk = async {
        // What went before the reset still arrives, then the reset, and never an end of file.
        let mut server = server;
        server.write_all(b"half a respo").await.unwrap();
        let mut got = [0; 12];
        client.read_exact(&mut got).await.unwrap();
        SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
        drop(server);
        client.read(&mut [0; 1]).await
    };
    let counters = RelayCounters::default();
    let (end, read) = tokio::join!(relay(pair.down, pair.up, &counters), talk);
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let side = Side::Up;
    let error = StreamError::Reset;
    assert_eq!(end, RelayEnd::Failed { side, error });
}

#[tokio::test]
async fn a_response_that_came_before_the_reset_is_delivered() {
    // The server answers before it has read the request and closes: its kernel resets the connection.
    let pair = relayed().await;
    let (mut client, mut server) = (pair.client, pair.server);
    client.write_all(&[1; 1000]).await.unwrap();
    server.write_all(b"413").await.unwrap();
    let counters = RelayCounters::default();
    let talk = async {
        let mut got = [0; 3];
        client.read_exact(&mut got).await.unwrap();
        got
    };
    let all = async {
        server.read_exact(&mut [0; 1]).await.unwrap();
        drop(server);
        talk.await
    };
    let (end, got) = tokio::join!(relay(pair.down, pair.up, &counters), all);
    assert_eq!(&got, b"413");
    assert!(matches!(end, RelayEnd::Failed { side: Side::Up, .. }), "{end:?}");
}

struct Relayed {
    client: TcpStream,
    down: TcpChunks,
    up: TcpChunks,
    server: TcpStream,
}

async fn relayed() -> Relayed {
    let (down, client) = connected().await;
    let (up, server) = connected().await;
    Relayed {
        client,
        down: TcpChunks::new(down),
        up: TcpChunks::new(up),
        server,
    }
}

async fn connected() -> (TcpStream, TcpStream) {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let listener = TcpListener::bind(any).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}
