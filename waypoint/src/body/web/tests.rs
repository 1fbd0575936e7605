use http_body_util::BodyExt;
use mesh_types::fuzzing::{corpus, mutations};

use super::*;

/// Bytes in pieces whose lengths these numbers give, again and again.
fn pieces<'b>(bytes: &'b [u8], lengths: &[usize]) -> Vec<&'b [u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at((*length).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

fn said(pieces: &[&[u8]]) -> Body {
    let (sender, body) = Body::spoken();
    for piece in pieces {
        sender
            .send(Bytes::copy_from_slice(piece))
            .expect("the body is here");
    }
    body
}

async fn read(body: Body) -> Result<Vec<u8>, String> {
    let collected = body.collect().await.map_err(|error| error.to_string())?;
    assert!(collected.trailers().is_none(), "there are none in gRPC-web");
    Ok(collected.to_bytes().to_vec())
}

fn message(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("it is short").to_be_bytes();
    [&[0][..], &length, bytes].concat()
}

#[tokio::test]
async fn requests_are_the_same_wherever_their_pieces_end() {
    let plain = [message(b"one"), message(b""), message(&[7; 300])].concat();
    let at_once = STANDARD.encode(&plain);
    // Each message by itself, with padding in the middle.
    let by_itself: String = [&b"one"[..], b"", &[7; 300]]
        .iter()
        .map(|m| STANDARD.encode(message(m)))
        .collect();
    for lengths in [
        &[1][..],
        &[2],
        &[3],
        &[4],
        &[5],
        &[1, 2, 3],
        &[7, 1],
        &[64],
        &[10_000],
    ] {
        let binary = Body::web_request(said(&pieces(&plain, lengths)), Coding::Binary);
        assert_eq!(read(binary).await.as_deref(), Ok(&plain[..]), "{lengths:?}");
        for text in [&at_once, &by_itself] {
            let text = Body::web_request(said(&pieces(text.as_bytes(), lengths)), Coding::Text);
            assert_eq!(read(text).await.as_deref(), Ok(&plain[..]), "{lengths:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_message_breaks_a_request_off() {
    let cut = message(b"cut");
    for (bytes, coding) in [
        (&cut[..7], Coding::Binary),
        (&cut[..3], Coding::Binary),
        (&[0x80, 0, 0, 0, 0][..], Coding::Binary),
        (&[2, 0, 0, 0, 0][..], Coding::Binary),
        (b"AAAAAA", Coding::Text),
        (b"AAAA AAA", Coding::Text),
        (b"AAAAAAA-", Coding::Text),
        (b"AAAAAA=A", Coding::Text),
        (b"AAAAAA==\r\n", Coding::Text),
        (b"AAAAAB==", Coding::Text),
        (b"=AAA", Coding::Text),
    ] {
        let body = Body::web_request(said(&[bytes]), coding);
        assert!(read(body).await.is_err(), "{bytes:?}");
    }
    let empty = Body::web_request(Body::empty(), Coding::Text);
    assert!(empty.is_end_stream());
}

/// An answer whose server says these bytes and nothing behind them.
fn answer(bytes: &[u8], told: bool) -> Body {
    said(&[bytes]).web_answer(Coding::Binary, told)
}

#[test]
fn trailers_are_the_last_message_of_an_answer() {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a value"));
    trailers.insert("x-more", "yes".parse().expect("a value"));
    let mut end = message(b"grpc-status: 0\r\nx-more: yes\r\n");
    end[0] = 0x80;
    for coding in [Coding::Binary, Coding::Text] {
        let mut web = WebBody::answer(Body::empty(), coding, false);
        let first = web.pass(message(b"hello").into()).expect("a message");
        let last = web
            .end(Some(trailers.clone()))
            .expect("an end")
            .expect("a good one");
        let all = [first, last.into_data().expect("data")].concat();
        // Every four characters stand for themselves.
        let read = match coding {
            Coding::Binary => Bytes::from(all),
            Coding::Text => Text::default().read(&all).expect("base64"),
        };
        assert_eq!(read, [message(b"hello"), end.clone()].concat());
    }
}

#[test]
fn why_an_answer_broke_off_is_said_where_it_can_be() {
    let status = |error: BodyError, bytes: &[u8]| {
        let mut web = WebBody::answer(Body::empty(), Coding::Binary, false);
        web.pass(Bytes::copy_from_slice(bytes)).expect("a message");
        let last = web.broken(error)?.ok()?.into_data().ok()?;
        Some(String::from_utf8_lossy(&last[5..]).lines().next()?.to_owned())
    };
    let whole = message(b"hello");
    for (error, expected) in [
        (BodyError::TimedOut, "grpc-status: 4"),
        (BodyError::Denied, "grpc-status: 7"),
        (BodyError::NotKept, "grpc-status: 14"),
    ] {
        assert_eq!(status(error.clone(), &whole).as_deref(), Some(expected));
        assert_eq!(status(error, &whole[..7]), None);
    }
}

#[tokio::test]
async fn a_server_without_a_status_has_one() {
    let body = read(answer(&message(b"hello"), false))
        .await
        .expect("it is whole");
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("grpc-status: 2\r\n"), "{text}");
    let body = read(answer(&message(b"hello"), true)).await;
    assert_eq!(body.as_deref(), Ok(&message(b"hello")[..]));
    let cut = read(answer(&message(b"hello")[..6], false)).await;
    assert!(cut.is_err());
}

#[test]
fn pieces_of_any_bytes_mean_what_the_whole_means() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/grpc-web");
    mutations(&corpus(&dir), 3, 20_000).for_each(|data| crate::fuzz::grpc_web(&data));
}
