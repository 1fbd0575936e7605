//! What clients write who want two readers to see different requests (HTTP Garden's quirks, RFC 9112's corners, and
//! what was found in proxies over the years), as products of spellings and places.

/// A name, and the bytes of a connection.
pub(crate) type Case = (String, Vec<u8>);

/// A request that nobody may ever read as one.
const INNER: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\nx: yyy\r\n\r\n";

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    encodings(&mut cases);
    lengths(&mut cases);
    chunks(&mut cases);
    lines(&mut cases);
    ends(&mut cases);
    trailers(&mut cases);
    fields(&mut cases);
    changes(&mut cases);
    cases
}

fn add(cases: &mut Vec<Case>, name: String, bytes: impl Into<Vec<u8>>) {
    cases.push((name, bytes.into()));
}

/// Transfer-Encoding in every spelling, beside every kind of Content-Length, in front of both kinds of bodies.
fn encodings(cases: &mut Vec<Case>) {
    let spellings = [
        "transfer-encoding: chunked",
        "Transfer-Encoding: Chunked",
        "TRANSFER-ENCODING:chunked",
        "transfer-encoding : chunked",
        "transfer-encoding\t: chunked",
        "transfer-encoding:\tchunked",
        "transfer-encoding: \tchunked \t",
        " transfer-encoding: chunked",
        "x: y\r\n transfer-encoding: chunked",
        "x: y\n transfer-encoding: chunked",
        "x: y\ntransfer-encoding: chunked",
        "x: y\rtransfer-encoding: chunked",
        "transfer-encoding:\r\n chunked",
        "transfer-encoding:\n chunked",
        "transfer-encoding: chunked\r\n ,identity",
        "transfer_encoding: chunked",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunkedx",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding: 'chunked'",
        "transfer-encoding: chunked;q=1",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: identity, chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: ,chunked",
        "transfer-encoding: chunked,",
        "transfer-encoding: identity",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: \x0bchunked",
        "transfer-encoding: chunked\x0c",
        "transfer-encoding: chunked\0",
        "transfer-encoding: chu\rnked",
        "transfer-encoding: \u{a0}chunked",
        "transfer-encoding",
        "transfer-encoding:",
        "transfer-encoding:: chunked",
        "\0transfer-encoding: chunked",
        "transfer-encoding\0: chunked",
        "te: chunked",
    ];
    let inside = format!("0\r\n\r\n{INNER}");
    let sizes = [
        ("no length", None),
        ("a length of all", Some(inside.len())),
        ("a length of nothing", Some(0)),
        ("a length of the end", Some(5)),
    ];
    for spelling in spellings {
        for (which, length) in sizes {
            let length = length.map_or(String::new(), |length| format!("content-length: {length}\r\n"));
            let name = format!("{spelling:?} with {which}");
            // Behind what is read as the end of chunks stands a request: only where something else is meant by it. A
            // well-formed pipeline of two requests hides nothing.
            let inner = match (spelling.to_ascii_lowercase().as_str(), which) {
                ("transfer-encoding: chunked" | "transfer-encoding:chunked", "no length")
                | ("transfer-encoding:\tchunked" | "transfer-encoding: \tchunked \t", "no length") => "",
                ("te: chunked", "a length of nothing" | "a length of the end" | "no length")
                | ("transfer_encoding: chunked", "a length of the end") => continue,
                // Without any length there is no body, and what follows is a request, whatever it begins with.
                _ => INNER,
            };
            let bytes = format!("POST / HTTP/1.1\r\nhost: a\r\n{length}{spelling}\r\n\r\n0\r\n\r\n{inner}");
            add(cases, name, bytes);
        }
    }
}

/// Content-Length in every spelling; alone, and beside another one.
fn lengths(cases: &mut Vec<Case>) {
    let n = INNER.len();
    let spellings = [
        format!("+{n}"),
        format!("-{n}"),
        format!("0{n}"),
        format!("00000000000000000000000000000{n}"),
        format!("0x{n:x}"),
        format!("{n}.0"),
        format!("{n},"),
        format!(",{n}"),
        format!("{n}, {n}"),
        format!("{n},0"),
        format!("0,{n}"),
        format!("{n} {n}"),
        format!("{n} 0"),
        format!("\"{n}\""),
        format!("{n};x"),
        format!("{n}\x0b"),
        format!("\x0c{n}"),
        format!("{n}\0"),
        format!("{n}\r\n 0"),
        format!("\r\n {n}"),
        format!("{n}e0"),
        format!("1{n}\u{b2}"),
        "18446744073709551616".to_owned(),
        "99999999999999999999999".to_owned(),
        "4294967296".to_owned(),
        String::new(),
        "chunked".to_owned(),
    ];
    for spelling in &spellings {
        let body = INNER;
        for (which, fields) in [
            ("alone", format!("content-length: {spelling}")),
            (
                "before another",
                format!("content-length: {spelling}\r\ncontent-length: {n}"),
            ),
            (
                "behind another",
                format!("content-length: {n}\r\ncontent-length: {spelling}"),
            ),
        ] {
            // What is a number stands for so many bytes of a body.
            let bytes = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n{body}");
            add(cases, format!("Content-Length {spelling:?} {which}"), bytes);
        }
    }
    for name in [
        "content-length ",
        "content-length\t",
        " content-length",
        "content_length",
        "x: y\ncontent-length",
        "x: y\r\n content-length",
        "\0content-length",
        "content-length\0",
    ] {
        let bytes = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {n}\r\n{name}: 0\r\n\r\n{INNER}");
        add(cases, format!("{name:?} beside a Content-Length"), bytes);
    }
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "PATCH", "FOO"] {
        let bytes = format!("{method} / HTTP/1.1\r\nhost: a\r\ncontent-length: {n}\r\n\r\n{INNER}");
        add(cases, format!("a body with {method}"), bytes);
        let size = format!("{n:x}");
        let bytes = format!(
            "{method} / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{size}\r\n{INNER}\r\n0\r\n\r\n"
        );
        add(cases, format!("chunks with {method}"), bytes);
    }
}

/// Sizes and ends of chunks.
fn chunks(cases: &mut Vec<Case>) {
    let n = INNER.len();
    let body =
        |chunk: String| format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
    let sizes = [
        format!("{n:x}"),
        format!("{n:X}"),
        format!("0{n:x}"),
        format!("000000000000000{n:x}"),
        format!("0000000000000000000{n:x}"),
        format!("0x{n:x}"),
        format!("+{n:x}"),
        format!("-{n:x}"),
        format!(" {n:x}"),
        format!("{n:x} "),
        format!("{n:x}\t"),
        format!("{n:x} ;a"),
        format!("{n:x}; a"),
        format!("{n:x};a=b"),
        format!("{n:x};a=\"b;c\""),
        format!("{n:x};a=\"b\r\n"),
        format!("{n:x};a\nb"),
        format!("{n:x};a\rb"),
        format!("{n:x};\0"),
        format!("{n:x};"),
        format!("{n:x}\0"),
        format!("{n:x}g"),
        format!("{n:x}.0"),
        format!("{n:x},0"),
        format!("{n:x}\x0b"),
        format!("1{n:0>16x}"),
        format!("10000000{n:0>8x}"),
        format!("f{n:0>16x}"),
        "ffffffffffffffff".to_owned(),
        "fffffffffffffffe".to_owned(),
        "7fffffffffffffff".to_owned(),
        "80000000".to_owned(),
        String::new(),
        "\"".to_owned(),
        "0;a\n".to_owned(),
        "0\n".to_owned(),
        "00\n".to_owned(),
        "0 \r".to_owned(),
    ];
    for size in &sizes {
        let whole = body(format!("{size}\r\n{INNER}\r\n0\r\n\r\n"));
        add(cases, format!("a chunk of {size:?}"), whole);
    }
    for (name, end) in [
        ("LF", "\n"),
        ("CR", "\r"),
        ("nothing", ""),
        ("two CRLF", "\r\n\r\n"),
        ("LF CR", "\n\r"),
        ("a space", " \r\n"),
        ("bytes", "xx\r\n"),
        ("NUL", "\0\r\n"),
    ] {
        let bytes = body(format!("1\r\nx{end}{n:x}\r\n{INNER}\r\n0\r\n\r\n"));
        add(cases, format!("a chunk that ends with {name}"), bytes);
        let bytes = body(format!("1{end}x\r\n{n:x}\r\n{INNER}\r\n0\r\n\r\n"));
        add(cases, format!("a size that ends with {name}"), bytes);
        if !matches!(name, "two CRLF") {
            let bytes = body(format!("1\r\nx\r\n0{end}\r\n{INNER}"));
            // Where the end is whole, an honest next request follows.
            let bytes = match name {
                "nothing" => bytes.replace(INNER, ""),
                _ => bytes,
            };
            add(cases, format!("a last size that ends with {name}"), bytes);
        }
    }
}

/// The first line.
fn lines(cases: &mut Vec<Case>) {
    let n = INNER.len();
    for line in [
        "POST  / HTTP/1.1",
        "POST / HTTP/1.1 ",
        " POST / HTTP/1.1",
        "POST\t/\tHTTP/1.1",
        "POST /\x0bHTTP/1.1",
        "POST / HTTP/1.1\x0c",
        "POST /\r HTTP/1.1",
        "POST / HTTP/1.1\r\r",
        "POST /\0 HTTP/1.1",
        "POST /a b HTTP/1.1",
        "POST / HTTP/1.1 HTTP/1.1",
        "POST / HTTP/1.2",
        "POST / HTTP/1.10",
        "POST / HTTP/1",
        "POST / HTTP/01.1",
        "POST / HTTP/1.01",
        "POST / HTTP/2.0",
        "POST / HTTP/0.9",
        "POST / http/1.1",
        "POST / XTTP/1.1",
        "POST / ",
        "POST /",
        "POST",
        "post / HTTP/1.1",
        "PO ST / HTTP/1.1",
        "PO\0ST / HTTP/1.1",
        "P@ST / HTTP/1.1",
        "POST: / HTTP/1.1",
        "POST http://a/ HTTP/1.1",
        "POST http://b/ HTTP/1.1",
        "POST http://a:80/ HTTP/1.1",
        "POST HTTP://a/ HTTP/1.1",
        "POST https://a/ HTTP/1.1",
        "POST ftp://a/ HTTP/1.1",
        "POST http:///x HTTP/1.1",
        "POST http://u@a/ HTTP/1.1",
        "POST http://a\\b/ HTTP/1.1",
        "POST a:80 HTTP/1.1",
        "POST * HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "POST ../ HTTP/1.1",
        "POST //a/ HTTP/1.1",
        "POST /#x HTTP/1.1",
        "POST /%0d%0aGET%20/smuggled HTTP/1.1",
        "POST /\u{e4} HTTP/1.1",
        "POST /?a b HTTP/1.1",
        "PRI * HTTP/2.0",
    ] {
        let bytes = format!("{line}\r\nhost: a\r\ncontent-length: {n}\r\n\r\n{INNER}");
        // A name in a path is no request.
        let bytes = bytes.replace("%20/smuggled", "%20/hidden");
        add(cases, format!("{line:?}"), bytes);
    }
    for (name, front) in [
        ("CRLF", "\r\n"),
        ("two CRLF", "\r\n\r\n"),
        ("LF", "\n"),
        ("CR", "\r"),
        ("NUL", "\0"),
        ("a byte order mark", "\u{feff}"),
        ("a space", " "),
        ("an empty header", ":\r\n"),
    ] {
        let bytes = format!("{front}POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {n}\r\n\r\n{INNER}");
        add(cases, format!("{name} in front of a request"), bytes);
        let bytes = format!(
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n{front}POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {n}\r\n\r\n{INNER}"
        );
        add(cases, format!("{name} between requests"), bytes);
    }
}

/// Other ends of lines, at each line.
fn ends(cases: &mut Vec<Case>) {
    let n = INNER.len();
    let lines = [
        "POST / HTTP/1.1".to_owned(),
        "host: a".to_owned(),
        "x: y".to_owned(),
        format!("content-length: {n}"),
        String::new(),
    ];
    for (name, end) in [
        ("LF", "\n"),
        ("CR", "\r"),
        ("CR CR LF", "\r\r\n"),
        ("LF CR", "\n\r"),
        ("NUL CRLF", "\0\r\n"),
        ("VT", "\x0b"),
        ("NEL", "\u{85}"),
        ("LS", "\u{2028}"),
    ] {
        for at in 0..lines.len() {
            let text = lines.iter().enumerate().map(|(n, line)| {
                let end = if n == at { end } else { "\r\n" };
                format!("{line}{end}")
            });
            add(
                cases,
                format!("{name} behind line {at}"),
                text.collect::<String>() + INNER,
            );
        }
    }
}

/// Trailers that say how a message is read, whose it is, or what it may.
fn trailers(cases: &mut Vec<Case>) {
    for field in [
        "content-length: 39",
        "transfer-encoding: chunked",
        "host: b",
        "connection: close",
        "connection: content-length",
        "upgrade: websocket",
        "authorization: x",
        "cookie: x",
        "content-type: x",
        "content-encoding: gzip",
        "content-range: bytes 0-1/2",
        "expect: 100-continue",
        "te: trailers",
        "trailer: host",
        "x: y",
        "x : y",
        " x: y",
        "x",
        ": y",
        "x: y\n",
        "x: a\rb",
        "x: a\0b",
    ] {
        let chunked =
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n1\r\nx\r\n0\r\n";
        // A whole request behind it would be one.
        let bytes = format!("{chunked}{field}\r\nx-last: GET /smuggled HTTP/1.1\r\n\r\n");
        add(cases, format!("a trailer {field:?}"), bytes);
    }
}

/// Other fields of the head.
fn fields(cases: &mut Vec<Case>) {
    let n = INNER.len();
    for field in [
        "host: b",
        "host : a",
        " host: b",
        "host: a, b",
        "host: a b",
        "host: a\0",
        "host:",
        "x: a\r\n\thost: b",
        "x: a\0b",
        "x: a\rb",
        "x: a\x7fb",
        "x: a\x1bb",
        "x\0: a",
        "x y: a",
        "x@y: a",
        "\u{e4}: a",
        ": a",
        "x",
        "=x: y",
        "connection: content-length",
        "connection: transfer-encoding, host",
        "connection: close, x",
        "connection: keep-alive",
        "proxy-connection: keep-alive",
        "keep-alive: timeout=5",
        "content-encoding: chunked",
        "x-forwarded-host: b",
        "x-http-method-override: GET",
        "max-forwards: 0",
        "http2-settings: AAMAAABkAARAAAAAAAIAAAAA",
        "sec-websocket-key: x",
        "range: bytes=0-1",
    ] {
        let bytes = format!("POST / HTTP/1.1\r\nhost: a\r\n{field}\r\ncontent-length: {n}\r\n\r\n{INNER}");
        add(cases, format!("a header {field:?}"), bytes);
    }
}

/// Expectations, changes of protocol, and connections that are kept or not.
fn changes(cases: &mut Vec<Case>) {
    let n = INNER.len();
    for (name, head) in [
        ("Expect", "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n"),
        (
            "Expect in capitals",
            "POST / HTTP/1.1\r\nhost: a\r\nExpect: 100-CONTINUE\r\n",
        ),
        (
            "another Expect",
            "POST / HTTP/1.1\r\nhost: a\r\nexpect: 200-ok\r\n",
        ),
        (
            "two Expects",
            "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nexpect: x\r\n",
        ),
        (
            "Expect in HTTP/1.0",
            "POST / HTTP/1.0\r\nhost: a\r\nexpect: 100-continue\r\n",
        ),
        (
            "Upgrade",
            "POST / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n",
        ),
        (
            "Upgrade without Connection",
            "POST / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n",
        ),
        (
            "h2c",
            "POST / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",
        ),
        ("CONNECT", "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n"),
        ("CONNECT with a path", "CONNECT /x HTTP/1.1\r\nhost: a\r\n"),
        ("HTTP/1.0", "POST / HTTP/1.0\r\nhost: a\r\n"),
        ("HTTP/1.0 without Host", "POST / HTTP/1.0\r\n"),
        (
            "HTTP/1.0 that is kept",
            "POST / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n",
        ),
        ("close", "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"),
    ] {
        for (which, length, body) in [
            ("a body", format!("content-length: {n}\r\n"), INNER.to_owned()),
            (
                "chunks",
                "transfer-encoding: chunked\r\n".to_owned(),
                format!("{n:x}\r\n{INNER}\r\n0\r\n\r\n"),
            ),
            (
                "a body that is cut off",
                format!("content-length: {}\r\n", n + 9),
                INNER.to_owned(),
            ),
        ] {
            add(
                cases,
                format!("{name} with {which}"),
                format!("{head}{length}\r\n{body}"),
            );
        }
    }
}
