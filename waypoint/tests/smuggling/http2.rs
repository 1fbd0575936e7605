//! The same over HTTP/2, whose fields have lengths and may hold anything: what would be a line, a header or a request of
//! HTTP/1 must not become one (RFC 9113, sections 8.2 and 8.3).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::servers::Seen;

/// Fields as they are written, and a body.
pub(crate) struct Case {
    pub(crate) name: String,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    body: Option<&'static [u8]>,
}

const INNER: &[u8] = b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
const INJECTED: [(&str, &str); 9] = [
    ("CRLF", "\r\n"),
    ("LF", "\n"),
    ("CR", "\r"),
    ("NUL", "\0"),
    ("a line", "\r\nx: y"),
    ("a request", "\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a request behind LF", "\n\nGET /smuggled HTTP/1.1\nhost: a\n\n"),
    ("a version", " HTTP/1.1\r\nhost: a\r\n\r\nGET /smuggled"),
    ("an encoding", "\r\ntransfer-encoding: chunked"),
];

pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    let pseudo = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/"),
    ];
    let mut add = |name: String, fields: Vec<(String, String)>, body| {
        let fields = fields
            .into_iter()
            .map(|(n, v)| (n.into_bytes(), v.into_bytes()))
            .collect();
        cases.push(Case { name, fields, body });
    };
    let with = |more: &[(&str, &str)]| -> Vec<(String, String)> {
        let all = pseudo.iter().chain(more);
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    for (what, injected) in INJECTED {
        for (at, (name, value)) in pseudo.iter().enumerate() {
            let mut fields = with(&[]);
            fields[at].1 = format!("{value}{injected}");
            add(format!("{what} in {name}"), fields, Some(INNER));
            let mut fields = with(&[]);
            fields[at].1 = format!("{injected}{value}");
            add(format!("{what} in front of {name}"), fields, Some(INNER));
        }
        add(
            format!("{what} in a value"),
            with(&[("x", &format!("y{injected}"))]),
            Some(INNER),
        );
        add(
            format!("{what} in a name"),
            with(&[(&format!("x{injected}"), "y")]),
            Some(INNER),
        );
        add(
            format!("{what} in a cookie"),
            with(&[("cookie", &format!("a=b{injected}"))]),
            Some(INNER),
        );
    }
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("connection", "transfer-encoding"),
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("upgrade", "websocket"),
        ("te", "chunked"),
        ("te", "trailers, chunked"),
        ("content-length", "0"),
        ("content-length", "1"),
        ("content-length", "9999"),
        ("content-length", "+38"),
        ("content-length", "0x26"),
        ("content-length", "38, 38"),
        ("content-length", ""),
        ("host", "b"),
        ("host", "a"),
        ("Host", "a"),
        ("X", "y"),
        ("x y", "z"),
        ("x:", "z"),
        (":x", "z"),
        ("", "z"),
        ("x", " y"),
        ("x", "y\t"),
        ("x", "\u{7f}"),
        ("expect", "100-continue"),
        ("trailer", "host"),
        ("http2-settings", "AAMAAABk"),
        (":path", "/smuggled"),
        (":method", "GET"),
        (":authority", "b"),
        (":status", "200"),
        (":protocol", "websocket"),
    ] {
        add(
            format!("a field {name:?} of {value:?}"),
            with(&[(name, value)]),
            Some(INNER),
        );
    }
    let twice = with(&[("content-length", "38"), ("content-length", "0")]);
    add("two lengths".to_owned(), twice, Some(INNER));
    for (name, value) in [
        (":path", ""),
        (":path", "smuggled"),
        (":path", "*"),
        (":path", "http://b/"),
        (":path", "/a b"),
        (":path", "/#x"),
        (":path", "//a"),
        (":authority", ""),
        (":authority", "a b"),
        (":authority", "a/b"),
        (":authority", "u@a"),
        (":authority", "a:b"),
        (":authority", "a,b"),
        (":method", ""),
        (":method", "GET /smuggled HTTP/1.1"),
        (":method", "P@ST"),
        (":method", "CONNECT"),
        (":scheme", ""),
        (":scheme", "http://a/smuggled?"),
        (":scheme", "https"),
        (":scheme", "ftp"),
    ] {
        let mut fields = with(&[]);
        for field in fields.iter_mut().filter(|field| field.0 == name) {
            field.1 = value.to_owned();
        }
        add(format!("{name} is {value:?}"), fields, Some(INNER));
    }
    for at in 0..4 {
        let mut fields = with(&[]);
        let (gone, _) = fields.remove(at);
        add(format!("no {gone}"), fields, Some(INNER));
        let mut fields = with(&[("x", "y")]);
        let late = fields.remove(at);
        add(
            format!("{} behind a field", late.0),
            [fields, vec![late]].concat(),
            None,
        );
    }
    cases
}

/// What became of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 200.
    Ok,
    /// Another status, or a reset, or the end of the connection.
    Refused,
}

impl Case {
    /// The request that it is, if it is one (RFC 9113, sections 8.1.1, 8.2 and 8.3). Where Content-Length says something
    /// else than what is sent, it never comes to its end.
    pub(crate) fn made(&self) -> Option<Seen> {
        let fields: Vec<(String, String)> = self
            .fields
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect();
        let pseudo = |name: &str| {
            let mut all = fields.iter().filter(|field| field.0 == name);
            let first = all.next().map(|field| field.1.clone());
            first.filter(|_| all.next().is_none())
        };
        let plain = fields.iter().position(|field| !field.0.starts_with(':'));
        let late = fields[plain.unwrap_or(fields.len())..]
            .iter()
            .any(|field| field.0.starts_with(':'));
        let (method, mut target) = (pseudo(":method")?, pseudo(":path")?);
        pseudo(":scheme")?;
        let is_path = target.starts_with('/') && !target.contains(' ');
        let is_method = !method.is_empty() && method.bytes().all(|b| b.is_ascii_alphanumeric());
        if late || !is_path || !is_method || fields.iter().any(|(name, value)| is_malformed(name, value)) {
            return None;
        }
        // It is no part of a target, and nobody's.
        target.truncate(target.find('#').unwrap_or(target.len()));
        let body: String = self
            .body
            .unwrap_or_default()
            .iter()
            .copied()
            .map(char::from)
            .collect();
        let lengths = fields.iter().filter(|field| field.0 == "content-length");
        let whole = lengths.into_iter().all(|field| field.1 == body.len().to_string());
        Some(Seen {
            method,
            target,
            body,
            whole,
        })
    }
}

fn is_malformed(name: &str, value: &str) -> bool {
    let pseudo = matches!(name, ":method" | ":scheme" | ":authority" | ":path");
    let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    let named = pseudo || !name.is_empty() && name.bytes().all(token);
    let of_hop = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ];
    !named
        || value.contains(['\r', '\n', '\0'])
        || of_hop.contains(&name)
        || name == "te" && value != "trailers"
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Says it on a connection of its own, until it is answered or refused.
pub(crate) async fn say(address: SocketAddr, case: &Case) -> Outcome {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut block = Vec::new();
    for (name, value) in &case.fields {
        block.push(0);
        for text in [name, value] {
            assert!(
                text.len() < 127,
                "{}: a longer text has a longer length",
                case.name
            );
            block.push(text.len() as u8);
            block.extend_from_slice(text);
        }
    }
    let ends = u8::from(case.body.is_none());
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    bytes.extend(frame(1, 4 | ends, 1, &block));
    if let Some(body) = case.body {
        bytes.extend(frame(0, 1, 1, body));
    }
    // Whoever refuses may not read to the end.
    let _ = stream.write_all(&bytes).await;
    let end = timeout(Duration::from_secs(30), answered(&mut stream)).await;
    end.unwrap_or_else(|_| panic!("no answer to {}", case.name))
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

async fn answered(stream: &mut TcpStream) -> Outcome {
    let mut outcome = Outcome::Refused;
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        if stream.read_exact(&mut payload).await.is_err() {
            break;
        }
        let (kind, ends, id) = (head[3], head[4] & 1 != 0, head[8]);
        // RFC 7541, appendix A: `:status: 200` has a number of its own, and comes first.
        if id == 1 && kind == 1 && payload.first() == Some(&OK) {
            outcome = Outcome::Ok;
        }
        // The end of the answer, RST_STREAM, GOAWAY.
        if id == 1 && (ends && kind < 2 || kind == 3) || kind == 7 {
            break;
        }
    }
    outcome
}

const OK: u8 = 0x88;
