use std::future::poll_fn;

use super::*;

async fn send(end: &mut PipeEnd, data: &'static [u8]) -> Result<(), StreamError> {
    let mut chunks = VecDeque::from([Bytes::from_static(data)]);
    while !chunks.is_empty() {
        poll_fn(|cx| end.poll_write_chunks(cx, &mut chunks)).await?;
    }
    Ok(())
}

async fn receive(end: &mut PipeEnd) -> Result<Option<Bytes>, StreamError> {
    poll_fn(|cx| end.poll_chunk(cx)).await
}

#[tokio::test]
async fn directions_end_apart() {
    let (mut near, mut far) = pipe();
    send(&mut near, b"question").await.unwrap();
    poll_fn(|cx| near.poll_finish(cx)).await.unwrap();
    assert_eq!(receive(&mut far).await.unwrap().unwrap(), "question");
    assert!(receive(&mut far).await.unwrap().is_none());
    send(&mut far, b"answer").await.unwrap();
    poll_fn(|cx| far.poll_finish(cx)).await.unwrap();
    assert_eq!(receive(&mut near).await.unwrap().unwrap(), "answer");
    drop(far);
    assert!(receive(&mut near).await.unwrap().is_none());
}

#[tokio::test]
async fn an_end_that_is_dropped_is_a_reset() {
    let (mut near, mut far) = pipe();
    send(&mut near, b"half of").await.unwrap();
    drop(near);
    assert_eq!(receive(&mut far).await.unwrap().unwrap(), "half of");
    assert_eq!(receive(&mut far).await, Err(StreamError::Reset));
    assert_eq!(send(&mut far, b"x").await, Err(StreamError::Reset));
}

#[tokio::test]
async fn an_end_that_is_dropped_after_its_own_last_word_takes_no_more() {
    let (mut near, mut far) = pipe();
    send(&mut near, b"answer").await.unwrap();
    poll_fn(|cx| near.poll_finish(cx)).await.unwrap();
    drop(near);
    assert_eq!(send(&mut far, b"x").await, Err(StreamError::Declined));
    assert_eq!(receive(&mut far).await.unwrap().unwrap(), "answer");
    assert!(receive(&mut far).await.unwrap().is_none());
}

#[tokio::test]
async fn a_slow_reader_holds_the_writer_back() {
    let (mut near, mut far) = pipe();
    let block = Bytes::from(vec![7; 100_000]);
    let mut chunks: VecDeque<_> = (0..10).map(|_| block.clone()).collect();
    let taken = poll_fn(|cx| near.poll_write_chunks(cx, &mut chunks))
        .await
        .unwrap();
    assert_eq!(taken, 300_000);
    let mut idle = Context::from_waker(Waker::noop());
    assert!(near.poll_write_chunks(&mut idle, &mut chunks).is_pending());
    for _ in 0..2 {
        receive(&mut far).await.unwrap();
    }
    let taken = poll_fn(|cx| near.poll_write_chunks(cx, &mut chunks))
        .await
        .unwrap();
    assert_eq!(taken, 200_000);
}

#[tokio::test]
async fn ends_work_on_different_threads() {
    let (mut near, mut far) = pipe();
    let other = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut sum = 0;
            while let Some(chunk) = receive(&mut far).await.unwrap() {
                sum += chunk.len();
            }
            sum
        })
    });
    for _ in 0..1000 {
        send(&mut near, &[1; 1000]).await.unwrap();
    }
    poll_fn(|cx| near.poll_finish(cx)).await.unwrap();
    assert_eq!(other.join().unwrap(), 1_000_000);
}
