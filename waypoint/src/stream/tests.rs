use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn bytes_that_were_looked_at_are_read_again() {
    let (near, far) = pipe();
    let (mut near, mut far) = (Stream::from(near), Stream::from(far));
    near.write_all(b"GET / HTTP").await.unwrap();
    let mut seen = [0; 5];
    far.read_exact(&mut seen).await.unwrap();
    far.unread(seen.to_vec());
    near.shutdown().await.unwrap();
    let mut all = String::new();
    far.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "GET / HTTP");
}

#[tokio::test]
async fn what_was_written_goes_before_what_is_relayed() {
    let (near, far) = pipe();
    let (mut near, mut far) = (Stream::from(near), Stream::from(far));
    for _ in 0..20 {
        // More than the pipe takes: some of it waits.
        let write = near.write_all(&[b'x'; 20_000]);
        if tokio::time::timeout(std::time::Duration::from_millis(5), write)
            .await
            .is_err()
        {
            break;
        }
    }
    let mut chunks = near.into_chunks();
    let mut end = VecDeque::from([Bytes::from_static(b"the end")]);
    let relay = async {
        std::future::poll_fn(|cx| chunks.poll_write_chunks(cx, &mut end))
            .await
            .unwrap();
        std::future::poll_fn(|cx| chunks.poll_finish(cx)).await.unwrap();
    };
    let mut all = Vec::new();
    let (_, read) = tokio::join!(relay, far.read_to_end(&mut all));
    read.unwrap();
    assert!(all.ends_with(b"xthe end"));
}
