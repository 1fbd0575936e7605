use super::*;

fn answer(text: &str) -> http::response::Parts {
    let mut lines = text.lines();
    let status: u16 = lines.next().unwrap()[9..12].parse().unwrap();
    let mut response = http::Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        let name: http::HeaderName = name.parse().unwrap();
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response.into_parts().0
}

#[test]
fn a_request_of_http1_is_counted_byte_by_byte() {
    let text = "POST /a?b=c HTTP/1.1\r\nhost: shop\r\nx-a: 1\r\nx-a: 22\r\n\r\n";
    let mut headers = HeaderMap::new();
    headers.append("host", "shop".parse().unwrap());
    headers.append("x-a", "1".parse().unwrap());
    headers.append("x-a", "22".parse().unwrap());
    let counted = request_head(
        Version::HTTP_11,
        &Method::POST,
        &"/a?b=c".parse().unwrap(),
        &headers,
    );
    assert_eq!(counted, text.len() as u64);
}

#[test]
fn an_answer_of_http1_is_counted_with_what_is_added() {
    for (text, size, framing) in [
        (
            "HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 12\r\n\r\n",
            Some(12),
            Framing::Bare,
        ),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            Some(0),
            Framing::Bare,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", Some(0), Framing::Bare),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            None,
            Framing::Chunked,
        ),
    ] {
        let mut head = answer(text);
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.remove(header::TRANSFER_ENCODING);
        let hint = size.map_or_else(SizeHint::default, SizeHint::with_exact);
        assert_eq!(
            Framing::of_answer(Version::HTTP_11, &head, &hint),
            framing,
            "{text}"
        );
        let counted = answer_head(Version::HTTP_11, &head, framing, &hint);
        assert_eq!(counted, text.len() as u64, "{text}");
    }
}

#[test]
fn chunks_are_counted_with_what_is_around_them() {
    let mut passed = Passed::default();
    passed.framed(Framing::Chunked);
    passed.data(b"hello");
    passed.data(b"");
    passed.data(&[b'a'; 300]);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "12".parse().unwrap());
    passed.end(Some(&trailers));
    passed.end(None);
    let wire = "5\r\nhello\r\n12c\r\n".len() + 300 + "\r\n0\r\nx-sum: 12\r\n\r\n".len();
    assert_eq!(passed.bytes, 305);
    assert_eq!(passed.bytes + passed.around, wire as u64);
}

#[test]
fn frames_are_counted_with_their_heads() {
    let mut passed = Passed::default();
    passed.framed(Framing::Frames);
    passed.data(&[0; 16_384]);
    passed.data(&[0; 16_385]);
    passed.end(None);
    assert_eq!((passed.bytes, passed.around), (32_769, 27));
}
