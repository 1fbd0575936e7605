//! What a tunnel carries, and how it ends.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use http::StatusCode;
use mesh_net::relay::AbortReason;
use mesh_net::{ChunkWrite, StreamError};

use crate::error::{ConnectError, ResponseFlag};
use crate::request::{Baggage, ConnectRequest, ConnectResponse, Refusal, Traceparent};
use crate::server::ServeError;
use crate::testing::{
    Control, Ends, Pair, finish, identity, local, receive, receive_all, receive_exactly, request, send,
};
use crate::tunnel::Tunnel;

#[tokio::test(start_paused = true)]
async fn a_request_arrives_as_it_was_sent_and_bytes_flow_both_ways() {
    local(async {
        let (client, _driver, server) = Pair::new().await.run();
        let mut request = request();
        request.headers.traceparent = Some(Traceparent::random());
        let labels = Some(Baggage {
            namespace: Some("default".into()),
            ..Baggage::default()
        });
        let (near, far) = tokio::join!(client.tunnel(&request), async {
            let incoming = server.incoming().await;
            assert_eq!(incoming.request, request);
            assert_eq!(incoming.peer(), &identity("client"));
            let response = ConnectResponse {
                baggage: labels.clone(),
            };
            incoming.accept(&response).unwrap()
        });
        let (mut near, mut far) = (near.unwrap(), far);
        assert_eq!(near.peer(), Some(&identity("server")));
        assert_eq!(near.peer_baggage(), labels.as_ref());
        send(&mut near, "ping").await.unwrap();
        assert_eq!(receive_exactly(&mut far, 4).await, b"ping");
        send(&mut far, "pong").await.unwrap();
        assert_eq!(receive_exactly(&mut near, 4).await, b"pong");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_refusal_reaches_the_client() {
    local(async {
        let (client, _driver, server) = Pair::new().await.run();
        for (refusal, status, flag) in [
            (Refusal::BadRequest, 400, ResponseFlag::ConnectFailure),
            (Refusal::Denied, 401, ResponseFlag::Denied),
            (Refusal::Unavailable, 503, ResponseFlag::ConnectFailure),
        ] {
            let request = request();
            let (answer, ()) = tokio::join!(client.tunnel(&request), async {
                server.incoming().await.refuse(refusal);
            });
            let error = answer.err().expect("a refusal");
            assert!(matches!(&error, ConnectError::Refused(s) if s.as_u16() == status));
            assert_eq!(error.flag(), flag);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_of_ours_is_answered_with_400_and_harms_no_other() {
    local(async {
        let (client, _driver, server) = Pair::new().await.run();
        let get = http::Request::get("https://10.0.0.1:80/").body(()).unwrap();
        let mut odd = request().to_http().unwrap();
        *odd.uri_mut() = "10.0.0:80".parse().unwrap();
        for request in [get, odd] {
            let refused = client
                .open(request)
                .await
                .err()
                .map(crate::client::OpenError::into_error);
            assert!(matches!(
                refused,
                Some(ConnectError::Refused(StatusCode::BAD_REQUEST))
            ));
        }
        let (mut near, mut far) = server.tunnel_from(&client).await;
        send(&mut near, "still here").await.unwrap();
        assert_eq!(receive_exactly(&mut far, 10).await, b"still here");
        drop((near, far));
        server.control.send(Control::Close).unwrap();
        let errors = server.task.await.unwrap();
        assert!(
            matches!(errors[..], [ServeError::Rejected(_), ServeError::Rejected(_)]),
            "{errors:?}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn too_many_headers_are_refused_and_it_is_said_how_many() {
    local(async {
        let (client, _driver, server) = Pair::new().await.run();
        for (bytes, accepted) in [
            (60_000, true),
            (66_000, false),
            (200_000, false),
            (900_000, false),
        ] {
            let mut large = request().to_http().unwrap();
            let value = http::HeaderValue::from_str(&"x".repeat(bytes)).unwrap();
            large.headers_mut().insert("x-padding", value);
            let answered = async {
                if accepted {
                    drop(server.accept().await);
                }
            };
            let (opened, ()) = tokio::join!(client.open(large), answered);
            let refused = opened.err().map(crate::client::OpenError::into_error);
            let too_large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            let as_told = matches!(refused, Some(ConnectError::Refused(status)) if status == too_large);
            assert!(as_told != accepted, "{bytes} bytes: {refused:?}");
        }
        let (near, far) = server.tunnel_from(&client).await;
        drop((near, far));
        server.control.send(Control::Close).unwrap();
        let errors = server.task.await.unwrap();
        assert_eq!(errors.len(), 3);
        assert_eq!(
            errors[1].to_string(),
            "refused with 431: 200041 bytes of headers, more than 65536"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn either_end_can_finish_first() {
    local(async {
        for near_first in [true, false] {
            let (near, far, _server) = Pair::tunnel().await;
            let (mut first, mut second) = if near_first { (near, far) } else { (far, near) };
            send(&mut first, "question").await.unwrap();
            finish(&mut first).await.unwrap();
            assert_eq!(receive_all(&mut second).await, b"question");
            // The other direction lives on.
            send(&mut second, "answer").await.unwrap();
            finish(&mut second).await.unwrap();
            assert_eq!(receive_all(&mut first).await, b"answer");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_abort_is_a_reset_at_the_other_end_never_an_end_of_stream() {
    local(async {
        for near_aborts in [true, false] {
            let (near, far, _server) = Pair::tunnel().await;
            let (mut aborting, mut other) = if near_aborts { (near, far) } else { (far, near) };
            aborting.abort(AbortReason::OtherSide);
            assert_eq!(receive(&mut other).await, Err(StreamError::Reset));
            assert_eq!(send(&mut other, "anybody?").await, Err(StreamError::Reset));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reset_after_the_end_of_a_direction_is_noticed_without_a_write() {
    local(async {
        for near_aborts in [true, false] {
            let (near, far, _server) = Pair::tunnel().await;
            let (mut aborting, mut other) = if near_aborts { (near, far) } else { (far, near) };
            finish(&mut aborting).await.unwrap();
            assert_eq!(receive(&mut other).await, Ok(None));
            let open = poll_fn(|cx| Poll::Ready(other.poll_closed(cx))).await;
            assert!(open.is_pending(), "{open:?}");
            aborting.abort(AbortReason::Cancelled);
            assert_eq!(poll_fn(|cx| other.poll_closed(cx)).await, StreamError::Reset);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_tunnel_is_a_reset_at_the_other_end() {
    local(async {
        for drop_near in [true, false] {
            let (near, far, _server) = Pair::tunnel().await;
            let (dropped, mut other) = if drop_near { (near, far) } else { (far, near) };
            drop(dropped);
            assert_eq!(receive(&mut other).await, Err(StreamError::Reset));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_the_end_arrives_though_the_tunnel_is_dropped() {
    local(async {
        let (mut near, mut far, _server) = Pair::tunnel().await;
        finish(&mut far).await.unwrap();
        assert_eq!(receive(&mut near).await, Ok(None));
        send(&mut near, vec![7; 200_000]).await.unwrap();
        finish(&mut near).await.unwrap();
        drop(near);
        assert_eq!(receive_all(&mut far).await.len(), 200_000);
    })
    .await;
}

/// As a proxy does that serves a request by itself and closes after the answer.
#[tokio::test(start_paused = true)]
async fn a_server_that_has_sent_all_and_takes_no_more_does_not_reset_what_it_sent() {
    local(async {
        let (mut near, mut far, _server) = Pair::tunnel().await;
        send(&mut far, vec![7; 200_000]).await.unwrap();
        finish(&mut far).await.unwrap();
        drop(far);
        assert_eq!(receive_all(&mut near).await.len(), 200_000);
        assert_eq!(poll_fn(|cx| near.poll_closed(cx)).await, StreamError::Declined);
        assert_eq!(send(&mut near, "more").await, Err(StreamError::Declined));
        assert_eq!(receive(&mut near).await, Ok(None));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_no_end_of_stream() {
    local(async {
        let (mut near, mut far, server) = Pair::tunnel().await;
        server.task.abort();
        assert_eq!(receive(&mut near).await, Err(StreamError::Closed));
        assert_eq!(receive(&mut far).await, Err(StreamError::Closed));
        assert_eq!(send(&mut near, "anybody?").await, Err(StreamError::Closed));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_learns_that_the_client_gave_up() {
    local(async {
        let (client, _driver, server) = Pair::new().await.run();
        let asked = request();
        let mut asking = Box::pin(client.tunnel(&asked));
        let mut incoming = tokio::select! {
            _ = &mut asking => panic!("nobody answered"),
            incoming = server.incoming() => incoming,
        };
        drop(asking);
        incoming.abandoned().await;
        assert!(incoming.accept(&ConnectResponse::default()).is_err());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_up_the_sender_at_the_window() {
    local(async {
        let mut ends = Ends::default();
        ends.server.stream_window = 256 * 1024;
        let (window, buffer) = (256 * 1024, ends.client.send_buffer);
        let (mut near, mut far, _server) = Pair::tunnel_with(ends).await;
        let mut taken = 0;
        loop {
            let mut chunks = VecDeque::from([Bytes::from(vec![1; 64 * 1024])]);
            let written = tokio::time::timeout(
                std::time::Duration::from_secs(1),
                poll_fn(|cx| near.poll_write_chunks(cx, &mut chunks)),
            );
            match written.await {
                Ok(n) => taken += n.unwrap(),
                Err(_) => break,
            }
        }
        assert!(taken >= window && taken <= window + buffer, "{taken}");
        // All of it arrives once somebody reads.
        let reading = receive_exactly(&mut far, taken + 64 * 1024);
        let (sent, read) = tokio::join!(send(&mut near, vec![2; 64 * 1024]), reading);
        sent.unwrap();
        assert!(read[..taken].iter().all(|b| *b == 1) && read[taken..].iter().all(|b| *b == 2));
    })
    .await;
}

/// Sends in pieces of random sizes, then finishes; the other end gets exactly that.
async fn converse(from: &mut Tunnel, to: &mut Tunnel, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let data = Bytes::from((0..100_000).map(|i| (i * 31 + seed) as u8).collect::<Vec<_>>());
    let sending = async {
        let mut rest = data.clone();
        while !rest.is_empty() {
            let magnitude = random.u32(0..=15);
            let size = random.usize(1..=1 << magnitude).min(rest.len());
            send(from, rest.split_to(size)).await.unwrap();
            if random.bool() {
                tokio::task::yield_now().await;
            }
        }
        finish(from).await.unwrap();
    };
    let ((), received) = tokio::join!(sending, receive_all(to));
    assert!(received == data);
}

#[tokio::test(start_paused = true)]
async fn many_streams_both_ways_through_a_narrow_pipe_lose_nothing() {
    local(async {
        for pipe in [100, 5000, 200_000] {
            let ends = Ends {
                pipe,
                ..Ends::default()
            };
            let (client, _driver, server) = Pair::with(ends).await.run();
            let mut conversations = Vec::new();
            for seed in 0..20 {
                let (mut near, mut far) = server.tunnel_from(&client).await;
                conversations.push(tokio::task::spawn_local(async move {
                    converse(&mut near, &mut far, seed).await;
                    converse(&mut far, &mut near, seed).await;
                }));
                let (mut near, mut far) = server.tunnel_from(&client).await;
                conversations.push(tokio::task::spawn_local(async move {
                    converse(&mut far, &mut near, seed).await;
                    converse(&mut near, &mut far, seed).await;
                }));
            }
            for conversation in conversations {
                conversation.await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn many_small_unread_frames_do_not_end_the_connection() {
    local(async {
        let (client, _driver, server) = Pair::new().await.run();
        let (mut slow, mut unread) = server.tunnel_from(&client).await;
        let (mut other, mut read) = server.tunnel_from(&client).await;
        for _ in 0..20_000 {
            send(&mut slow, "x").await.unwrap();
            // Each in a frame of its own.
            tokio::task::yield_now().await;
        }
        send(&mut other, "unharmed").await.unwrap();
        assert_eq!(receive_exactly(&mut read, 8).await, b"unharmed");
        assert_eq!(receive_exactly(&mut unread, 20_000).await.len(), 20_000);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn small_chunks_share_frames_and_large_ones_are_cut_to_the_room_there_is() {
    local(async {
        let (mut near, mut far, _server) = Pair::tunnel().await;
        let mut chunks: VecDeque<_> = (0..100).map(|i| Bytes::from(vec![i; 50])).collect();
        chunks.push_front(Bytes::new());
        let taken = poll_fn(|cx| near.poll_write_chunks(cx, &mut chunks)).await;
        assert_eq!((taken, chunks.len()), (Ok(5000), 0));
        let first = receive(&mut far).await.unwrap().unwrap();
        assert_eq!(first.len(), 5000);
        assert!(
            first
                .chunks(50)
                .enumerate()
                .all(|(i, c)| c.iter().all(|b| usize::from(*b) == i))
        );

        let mut chunks = VecDeque::from([Bytes::from(vec![1; 1_000_000])]);
        let taken = poll_fn(|cx| near.poll_write_chunks(cx, &mut chunks))
            .await
            .unwrap();
        assert_eq!(chunks[0].len(), 1_000_000 - taken);
        assert!(poll_fn(|cx| Poll::Ready(near.poll_write_chunks(cx, &mut chunks).is_pending())).await);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_not_waited_for_forever() {
    local(async {
        let (client, _driver, server) = Pair::new().await.run();
        let asked: ConnectRequest = request();
        let (answer, _unanswered) = tokio::join!(client.tunnel(&asked), server.incoming());
        let error = answer.err().expect("no answer");
        assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
    })
    .await;
}
