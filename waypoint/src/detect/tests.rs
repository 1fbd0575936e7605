use super::*;

fn is(first: &[u8]) -> Spoken {
    match classify(first) {
        Clue::Is(spoken) => spoken,
        Clue::More => panic!("more is needed for {first:?}"),
    }
}

#[test]
fn requests_say_what_they_are() {
    assert_eq!(is(b"GET / HTTP/1.1\r\n"), Spoken::Http1);
    assert_eq!(is(b"PROPFIND /x HTTP/1.0\n"), Spoken::Http1);
    assert_eq!(is(b"M-SEARCH * HTTP/1.1\r\nHost"), Spoken::Http1);
    assert_eq!(is(PREFACE), Spoken::Http2);
}

#[test]
fn what_may_still_become_a_request_is_waited_for() {
    for part in [
        &b"G"[..],
        b"GET ",
        b"GET /a?b HTTP/1.",
        b"PRI * HT",
        b"PRI * HTTP/2.0\r\n\r\nSM",
        b"",
    ] {
        assert_eq!(classify(part), Clue::More, "{part:?}");
    }
}

#[test]
fn other_protocols_are_bytes() {
    for first in [
        &b"\0\0\0\x08\x04\xd2\x16\x2f"[..],
        b"*1\r\n$4\r\nPING\r\n",
        b"PING\r\n",
        b"get / http/1.1\r\n",
        b"QUIT\r\n",
        b"GET /\r\n",
        b"SELECT \x01",
    ] {
        assert_eq!(is(first), Spoken::Tcp, "{first:?}");
    }
}

/// A ClientHello with this name, as one record.
fn hello(name: Option<&str>) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([0; 32]);
    body.push(0);
    body.extend([0, 2, 0x13, 1]);
    body.extend([1, 0]);
    let mut extensions = vec![0, 43, 0, 3, 2, 3, 4];
    if let Some(name) = name {
        let length = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
        extensions.extend([0, 0]);
        extensions.extend(length(name.len() + 5));
        extensions.extend(length(name.len() + 3));
        extensions.push(0);
        extensions.extend(length(name.len()));
        extensions.extend(name.as_bytes());
    }
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1, 0];
    message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    message.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
    record.extend(message);
    record
}

#[test]
fn a_client_hello_names_its_server() {
    assert_eq!(
        is(&hello(Some("Shop.Example"))),
        Spoken::Tls(Some("shop.example".to_owned()))
    );
    assert_eq!(is(&hello(None)), Spoken::Tls(None));
    let whole = hello(Some("a.example"));
    for cut in 1..whole.len() {
        assert_eq!(classify(&whole[..cut]), Clue::More, "{cut}");
    }
    // In two records.
    let (head, message) = whole.split_at(5);
    let (one, two) = message.split_at(20);
    let mut split = vec![head[0], head[1], head[2], 0, 20];
    split.extend(one);
    split.extend([22, 3, 1, 0, u8::try_from(two.len()).unwrap()]);
    split.extend(two);
    assert_eq!(is(&split), Spoken::Tls(Some("a.example".to_owned())));
}

#[test]
fn no_bytes_make_it_panic() {
    let corpus = [
        hello(Some("a.example")),
        hello(None),
        b"GET / HTTP/1.1\r\n".to_vec(),
        PREFACE.to_vec(),
    ];
    for bytes in mesh_types::fuzzing::mutations(&corpus, 7, 20_000) {
        let _ = classify(&bytes);
    }
}

#[test]
fn empty_lines_in_front_are_no_way_around_http() {
    assert_eq!(classify(b"\r\n"), Clue::More);
    assert_eq!(classify(b"\r\n\n\r\nGET / HTTP/1.1\r\n"), Clue::Is(Spoken::Http1));
}

#[tokio::test(start_paused = true)]
async fn to_be_slow_or_long_is_no_way_around_http() {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    tokio::io::AsyncWriteExt::write_all(&mut client, b"GET /adm")
        .await
        .unwrap();
    let mut stream = Stream::of_duplex(server);
    assert_eq!(
        detect(&mut stream, AppProtocol::Unknown).await.unwrap(),
        Spoken::Http1
    );
    for declared in [AppProtocol::Unknown, AppProtocol::Http11] {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let long = format!("GET /{}", "x".repeat(LIMIT));
        tokio::io::AsyncWriteExt::write_all(&mut client, long.as_bytes())
            .await
            .unwrap();
        let mut stream = Stream::of_duplex(server);
        assert_eq!(detect(&mut stream, declared).await.unwrap(), Spoken::Http1);
    }
}
