use super::*;

#[test]
fn what_is_framed_is_read() {
    for message in [&b""[..], b"x", &[7; 1000]] {
        assert_eq!(single(&frame(message), 1000), Ok(Bytes::copy_from_slice(message)));
    }
}

#[test]
fn messages_come_in_any_pieces() {
    let body = [frame(b"one"), frame(b""), frame(b"three")].concat();
    for size in 1..body.len() {
        let mut reader = Reader::new(16);
        let mut messages = Vec::new();
        for piece in body.chunks(size) {
            reader.push(piece);
            while let Some(message) = reader.message().unwrap() {
                messages.push(message);
            }
        }
        assert_eq!(messages, [&b"one"[..], b"", b"three"], "pieces of {size}");
        assert!(reader.is_empty());
    }
}

#[test]
fn what_is_no_single_message_is_refused() {
    let body = frame(b"four");
    assert_eq!(single(b"", 9), Err(FramingError::Short));
    assert_eq!(single(&body[..8], 9), Err(FramingError::Short));
    assert_eq!(single(&body, 3), Err(FramingError::TooLong(4)));
    assert_eq!(single(&[&body[..], b"x"].concat(), 9), Err(FramingError::Several));
    assert_eq!(
        single(&[&[1][..], &body[1..]].concat(), 9),
        Err(FramingError::Compressed)
    );
}

#[test]
fn a_status_is_read_from_headers_or_trailers() {
    let mut headers = HeaderMap::new();
    assert_eq!(status(&headers), None);
    headers.insert("grpc-status", "7".parse().unwrap());
    headers.insert("grpc-message", "n%C3%B6 %zz 100%".parse().unwrap());
    let expected = Status {
        code: 7,
        message: "nö %zz 100%".to_owned(),
    };
    assert_eq!(status(&headers), Some(expected));
    headers.insert("grpc-status", "x".parse().unwrap());
    assert_eq!(status(&headers), None);
}
