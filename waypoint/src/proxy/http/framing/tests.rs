use super::*;

/// Reads all at once, then byte by byte: both must agree.
fn read(bytes: &[u8]) -> Result<Framing, Violation> {
    let mut whole = Framing::new(LIMIT);
    let passed = whole.feed(bytes);
    let mut piecemeal = Framing::new(LIMIT);
    let mut total = 0;
    let mut piece_result = Ok(());
    for byte in bytes {
        match piecemeal.feed(std::slice::from_ref(byte)) {
            Ok(n) => total += n,
            Err(violation) => {
                piece_result = Err(violation);
                break;
            }
        }
    }
    assert_eq!(
        passed.map(drop),
        piece_result,
        "{}",
        String::from_utf8_lossy(bytes)
    );
    if let Ok(passed) = passed {
        assert_eq!(passed, total, "{}", String::from_utf8_lossy(bytes));
        assert_eq!(whole.state, piecemeal.state);
    }
    passed.map(|_| whole)
}

const LIMIT: usize = 1024;
const BETWEEN: State = State::Between(0);

#[test]
fn requests_end_where_they_say() {
    for (bytes, state) in [
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", BETWEEN),
        ("\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", BETWEEN),
        ("GET / HTTP/1.1\r\nhost: a\r\n", State::Fields),
        ("POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\nab", State::Body(2)),
        ("POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\nabcd", BETWEEN),
        ("POST / HTTP/1.1\r\ncontent-length:4 \r\n\r\nabcdG", BETWEEN),
        ("POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n", BETWEEN),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n",
            State::ChunkSize,
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123",
            State::Chunk(6),
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nab\r\n0\r\n",
            State::Trailers,
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: y\r\n\r\n",
            BETWEEN,
        ),
        // Two at once.
        (
            "GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 1\r\n\r\n",
            State::Body(1),
        ),
    ] {
        let framing = read(bytes.as_bytes()).unwrap_or_else(|e| panic!("{bytes}: {e}"));
        assert_eq!(framing.state, state, "{bytes}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    use Violation as V;
    let body = |fields: &str| format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
    let chunks = |chunks: &str| format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
    let cases = [
        ("GET / HTTP/1.1\nhost: a\r\n\r\n".to_owned(), V::BareLf),
        ("GET / HTTP/1.1\r\nhost: a\n\r\n".to_owned(), V::BareLf),
        ("GET / HTTP/1.1\r\nhost: a\r\n\n".to_owned(), V::BareLf),
        ("\nGET / HTTP/1.1\r\n\r\n".to_owned(), V::BareLf),
        ("\r\n\r\nGET / HTTP/1.1\r\n\r\n".to_owned(), V::EmptyLines),
        (body("x: a\r\n b"), V::Folded),
        (body("x: a\r\n\tb"), V::Folded),
        (
            body("content-length: 1\r\ntransfer-encoding: chunked"),
            V::LengthAndEncoding,
        ),
        (
            body("transfer-encoding: chunked\r\ncontent-length: 0"),
            V::LengthAndEncoding,
        ),
        (body("content-length: 1\r\ncontent-length: 1"), V::SeveralLengths),
        (body("content-length: 1\r\nContent-Length: 2"), V::SeveralLengths),
        (body("content-length: 1, 1"), V::InvalidLength),
        (body("content-length: +1"), V::InvalidLength),
        (body("content-length: 0x1"), V::InvalidLength),
        (body("content-length: -1"), V::InvalidLength),
        (body("content-length: 1 2"), V::InvalidLength),
        (body("content-length:"), V::InvalidLength),
        (body("content-length: 18446744073709551616"), V::InvalidLength),
        (body("transfer-encoding: gzip, chunked"), V::UnknownEncoding),
        (body("transfer-encoding: chunked, chunked"), V::UnknownEncoding),
        (
            body("transfer-encoding: chunked\r\ntransfer-encoding: chunked"),
            V::UnknownEncoding,
        ),
        (
            body("transfer-encoding: identity\r\ntransfer-encoding: chunked"),
            V::UnknownEncoding,
        ),
        (body("transfer-encoding: xchunked"), V::UnknownEncoding),
        (body("transfer-encoding: \x0bchunked"), V::UnknownEncoding),
        (body("transfer-encoding: \"chunked\""), V::UnknownEncoding),
        (body("transfer-encoding:"), V::UnknownEncoding),
        (
            "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
            V::EncodingInHttp10,
        ),
        (chunks("2 \r\nab\r\n"), V::ChunkSize),
        (chunks(" 2\r\nab\r\n"), V::ChunkSize),
        (chunks("0x2\r\nab\r\n"), V::ChunkSize),
        (chunks("-2\r\nab\r\n"), V::ChunkSize),
        (chunks("\r\n"), V::ChunkSize),
        (chunks("00000000000000002\r\nab\r\n"), V::ChunkSize),
        (chunks("2\nab\r\n"), V::BareLf),
        (chunks("2;a\rb\r\nab\r\n"), V::ChunkSize),
        (chunks("2\r\nabc\r\n"), V::ChunkEnd),
        (chunks("2\r\nab\n0\r\n\r\n"), V::ChunkEnd),
        (chunks("0\r\nx: y\n\r\n"), V::BareLf),
        (chunks("0\r\nx: y\r\n z\r\n\r\n"), V::Folded),
        (chunks(&format!("2;{}\r\n", "x".repeat(2000))), V::ChunkSize),
        (chunks(&format!("0\r\n{}", "x: y\r\n".repeat(400))), V::TooLarge),
        (body(&"x: y\r\n".repeat(400)), V::TooLarge),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(2000)), V::TooLarge),
    ];
    for (bytes, violation) in cases {
        assert_eq!(read(bytes.as_bytes()).map(drop), Err(violation), "{bytes:?}");
    }
}

#[test]
fn bytes_behind_a_wish_to_change_the_protocol_are_held_until_it_is_answered() {
    let ask = "GET /ws HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let more = "GET /next HTTP/1.1\r\n\r\n";
    let mut framing = Framing::new(LIMIT);
    assert_eq!(framing.feed(format!("{ask}{more}").as_bytes()), Ok(ask.len()));
    assert!(framing.is_held());
    assert_eq!(framing.feed(more.as_bytes()), Ok(0));
    framing.unchanged();
    assert_eq!(framing.feed(more.as_bytes()), Ok(more.len()));
    assert_eq!(framing.state, BETWEEN);
    // Answered before its body is over, nothing is held behind it.
    let ask = "POST /ws HTTP/1.1\r\nupgrade: websocket\r\ncontent-length: 2\r\n\r\n";
    framing.feed(ask.as_bytes()).unwrap();
    framing.unchanged();
    assert_eq!(framing.feed(b"ab\r\n"), Ok(4));
    assert!(!framing.is_held());
    // CONNECT is held, too: what follows it would be a tunnel's.
    assert_eq!(framing.feed(b"CONNECT a:1 HTTP/1.1\r\n\r\nGET"), Ok(24));
    assert!(framing.is_held());
}
