//! HTTP/1 in raw bytes: what hyper alone does with it, and what the waypoint does. `docs/decisions/http1-framing.md` has
//! the same table; where hyper changes, the first test says so.

#[expect(dead_code, reason = "other tests use more of it")]
mod lab;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lab::{App, Lab, in_lab};
use mesh_model::AppProtocol;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::timeout;

/// What is sent, what hyper answers, what the waypoint answers. Behind each comes a request that closes the connection, so
/// that `200 200` is: both were understood.
struct Case(&'static str, String, &'static str, &'static str);

const LAST: &str = "GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

fn cases() -> Vec<Case> {
    let head = |fields: &str| format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n");
    let chunks = |body: &str| head("transfer-encoding: chunked") + body;
    let case = |name, bytes: String, hyper, ours| Case(name, bytes, hyper, ours);
    vec![
        case(
            "a request",
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            "200 200",
            "200 200",
        ),
        case(
            "bare LF behind the request line",
            "GET / HTTP/1.1\nhost: a\r\n\r\n".into(),
            "200 200",
            "400",
        ),
        case(
            "bare LF behind a header",
            "GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n".into(),
            "200 200",
            "400",
        ),
        case(
            "bare LF behind the head",
            "GET / HTTP/1.1\r\nhost: a\r\n\n".into(),
            "200 200",
            "400",
        ),
        case("bare CR in a value", head("x: a\rb"), "400", "400"),
        case("NUL in a value", head("x: a\0b"), "400", "400"),
        case("a control character in a value", head("x: a\x01b"), "400", "400"),
        case("DEL in a value", head("x: a\x7fb"), "400", "400"),
        case(
            "an empty line in front",
            "\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            "200 200",
            "200 200",
        ),
        case(
            "several empty lines in front",
            "\r\n\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            "200 200",
            "400",
        ),
        case("white space before the colon", head("x : y"), "400", "400"),
        case("no colon", head("x"), "400", "400"),
        case("an empty name", head(": y"), "400", "400"),
        case("a folded header", head("x: a\r\n b"), "400", "400"),
        case(
            "the first header is folded",
            "GET / HTTP/1.1\r\n host: a\r\n\r\n".into(),
            "400",
            "400",
        ),
        case(
            "Content-Length and Transfer-Encoding",
            head("content-length: 5\r\ntransfer-encoding: chunked") + "0\r\n\r\n",
            "200",
            "400",
        ),
        case(
            "Transfer-Encoding and Content-Length",
            head("transfer-encoding: chunked\r\ncontent-length: 5") + "0\r\n\r\n",
            "200",
            "400",
        ),
        case(
            "equal Content-Lengths",
            head("content-length: 2\r\ncontent-length: 2") + "ab",
            "200 200",
            "400",
        ),
        case(
            "different Content-Lengths",
            head("content-length: 2\r\ncontent-length: 3") + "ab",
            "400",
            "400",
        ),
        case(
            "a list in Content-Length",
            head("content-length: 2, 2") + "ab",
            "400",
            "400",
        ),
        case(
            "Content-Length with a sign",
            head("content-length: +2") + "ab",
            "400",
            "400",
        ),
        case(
            "Content-Length in hexadecimal",
            head("content-length: 0x2") + "ab",
            "400",
            "400",
        ),
        case("an empty Content-Length", head("content-length:"), "400", "400"),
        case(
            "a huge Content-Length",
            head("content-length: 99999999999999999999"),
            "400",
            "400",
        ),
        case(
            "Transfer-Encoding: gzip, chunked",
            head("transfer-encoding: gzip, chunked") + "0\r\n\r\n",
            "200 200",
            "501",
        ),
        case(
            "Transfer-Encoding: chunked, gzip",
            head("transfer-encoding: chunked, gzip") + "0\r\n\r\n",
            "400",
            "501",
        ),
        case(
            "Transfer-Encoding: chunked, chunked",
            head("transfer-encoding: chunked, chunked") + "0\r\n\r\n",
            "200 200",
            "501",
        ),
        case(
            "Transfer-Encoding: identity",
            head("transfer-encoding: identity"),
            "400",
            "501",
        ),
        case(
            "Transfer-Encoding twice",
            head("transfer-encoding: gzip\r\ntransfer-encoding: chunked") + "0\r\n\r\n",
            "200 200",
            "501",
        ),
        case(
            "Transfer-Encoding: xchunked",
            head("transfer-encoding: xchunked"),
            "400",
            "501",
        ),
        case(
            "Transfer-Encoding with a vertical tab",
            head("transfer-encoding: \x0bchunked"),
            "400",
            "501",
        ),
        case(
            "Transfer-Encoding in capitals",
            head("Transfer-Encoding: CHUNKED") + "0\r\n\r\n",
            "200 200",
            "200 200",
        ),
        case(
            "Transfer-Encoding in HTTP/1.0",
            "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            "400",
            "400",
        ),
        case("chunks", chunks("2\r\nab\r\n0\r\n\r\n"), "200 200", "200 200"),
        case(
            "a chunk extension",
            chunks("2;a=b\r\nab\r\n0\r\n\r\n"),
            "200 200",
            "200 200",
        ),
        case(
            "a long chunk extension",
            chunks(&format!("2;{}\r\nab\r\n0\r\n\r\n", "x".repeat(4000))),
            "200 200",
            "400",
        ),
        case(
            "white space behind a chunk's size",
            chunks("2 \r\nab\r\n0\r\n\r\n"),
            "200 200",
            "400",
        ),
        case(
            "a chunk's size with 0x",
            chunks("0x2\r\nab\r\n0\r\n\r\n"),
            "400",
            "400",
        ),
        case(
            "a chunk's size of 17 digits",
            chunks("00000000000000002\r\nab\r\n0\r\n\r\n"),
            "200 200",
            "400",
        ),
        case(
            "a chunk's size that overflows",
            chunks("fffffffffffffffff\r\nab\r\n0\r\n\r\n"),
            "400",
            "400",
        ),
        case(
            "bare LF behind a chunk's size",
            chunks("2\nab\r\n0\r\n\r\n"),
            "400",
            "400",
        ),
        case(
            "bare LF behind a chunk",
            chunks("2\r\nab\n0\r\n\r\n"),
            "400",
            "400",
        ),
        case(
            "a chunk that is too long",
            chunks("2\r\nabc\r\n0\r\n\r\n"),
            "400",
            "400",
        ),
        case("a trailer", chunks("0\r\nx: y\r\n\r\n"), "200 200", "200 200"),
        case(
            "bare LF behind a trailer",
            chunks("0\r\nx: y\n\r\n"),
            "200 open",
            "400",
        ),
        case("no Host", "GET / HTTP/1.1\r\n\r\n".into(), "200 200", "400"),
        case(
            "two Hosts",
            "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".into(),
            "200 200",
            "400",
        ),
        case(
            "a Host with userinfo",
            "GET / HTTP/1.1\r\nhost: a@b\r\n\r\n".into(),
            "200 200",
            "400",
        ),
        case(
            "a Host with a path",
            "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n".into(),
            "200 200",
            "400",
        ),
        case(
            "a whole URI",
            "GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            "200 200",
            "200 200",
        ),
        case(
            "a whole URI with another Host",
            "GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            "200 200",
            "400",
        ),
        case(
            "a whole URI without Host",
            "GET http://a/ HTTP/1.1\r\n\r\n".into(),
            "200 200",
            "400",
        ),
        case(
            "a bare authority",
            "GET a:80 HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            "200 200",
            "400",
        ),
        case(
            "a target without a slash",
            "GET a HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            "200 200",
            "400",
        ),
        case(
            "GET *",
            "GET * HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            "200 200",
            "400",
        ),
        case(
            "OPTIONS *",
            "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            "200 200",
            "200 200",
        ),
        case(
            "CONNECT",
            "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n".into(),
            "200",
            "405",
        ),
        case(
            "two spaces in the request line",
            "GET  / HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            "400",
            "400",
        ),
        case(
            "a tab in the request line",
            "GET\t/ HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            "400",
            "400",
        ),
        case(
            "a space in the target",
            "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            "400",
            "400",
        ),
        case("HTTP/0.9", "GET /\r\n\r\n".into(), "400", "400"),
        case(
            "HTTP/1.2",
            "GET / HTTP/1.2\r\nhost: a\r\n\r\n".into(),
            "400",
            "400",
        ),
        case(
            "HTTP/2.0",
            "GET / HTTP/2.0\r\nhost: a\r\n\r\n".into(),
            "400",
            "400",
        ),
        case(
            "HTTP/1.0",
            "GET / HTTP/1.0\r\nhost: a\r\n\r\n".into(),
            "200",
            "200",
        ),
        case(
            "a method in small letters",
            "get / HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            "200 200",
            "200 200",
        ),
        case(
            "an underscore in a name",
            "GET / HTTP/1.1\r\nhost: a\r\na_b: c\r\n\r\n".into(),
            "200 200",
            "200 200",
        ),
        case(
            "Content-Length with an underscore",
            head("content_length: 2"),
            "200 200",
            "400",
        ),
        case(
            "Transfer-Encoding with an underscore",
            head("content-length: 0\r\ntransfer_encoding: chunked"),
            "200 200",
            "400",
        ),
        case(
            "90 headers",
            format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(89)),
            "200 200",
            "200 200",
        ),
        case(
            "101 headers",
            format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(100)),
            "431",
            "431",
        ),
        case(
            "a header of 70 KiB",
            head(&format!("x: {}", "y".repeat(70 * 1024))),
            "200 200",
            "431",
        ),
        case(
            "a target of 70 KiB",
            format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "y".repeat(70 * 1024)),
            "414",
            "431",
        ),
        case(
            "a body with GET",
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab".into(),
            "200 200",
            "200 200",
        ),
        case(
            "an unknown expectation",
            "GET / HTTP/1.1\r\nhost: a\r\nexpect: tea\r\n\r\n".into(),
            "200 200",
            "417 200",
        ),
    ]
}

/// The statuses of all answers until the end.
async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &str) -> String {
    let all = [bytes.as_bytes(), LAST.as_bytes()].concat();
    // Whoever refuses may not read to the end.
    let _ = stream.write_all(&all).await;
    let mut seen = Vec::new();
    let end = timeout(Duration::from_secs(2), async {
        while let Ok(n) = stream.read_buf(&mut seen).await
            && n > 0
        {}
    });
    let open = if end.await.is_err() { " open" } else { "" };
    let text = String::from_utf8_lossy(&seen);
    let statuses: Vec<&str> = text
        .match_indices("HTTP/1.")
        .filter(|(at, _)| *at == 0 || text[..*at].ends_with('\n'))
        .filter_map(|(at, _)| text.get(at + 9..at + 12))
        .filter(|status| *status != "100")
        .collect();
    let statuses = statuses.join(" ");
    let statuses = if statuses.is_empty() {
        "closed".to_owned()
    } else {
        statuses
    };
    statuses + open
}

#[test]
fn hyper_alone_does_what_the_decision_says() {
    in_lab(|_| async move {
        let mut wrong = Vec::new();
        for Case(name, bytes, hyper, _) in cases() {
            let (near, far) = tokio::io::duplex(1 << 20);
            let serve = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(far), service_fn(swallow));
            spawn_local(async move { drop(serve.await) });
            let answers = talk(near, &bytes).await;
            if answers != hyper {
                wrong.push(format!("{name}: {answers}, not {hyper}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn the_decision_has_every_case() {
    let decision = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/decisions/http1-framing.md");
    let decision = std::fs::read_to_string(decision).expect("the decision is written");
    for Case(name, _, hyper, ours) in cases() {
        let row = format!("| {name} | {hyper} | {ours} |");
        assert!(decision.contains(&row), "{row}");
    }
}

async fn swallow(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let status = match request.into_body().collect().await {
        Ok(_) => 200,
        Err(_) => 400,
    };
    let mut response = Response::new(Full::default());
    *response.status_mut() = http::StatusCode::from_u16(status).expect("it is one of two");
    Ok(response)
}

#[test]
fn the_waypoint_refuses_what_could_be_read_in_two_ways() {
    in_lab(|lab| async move {
        let address = shop(&lab).await;
        let mut wrong = Vec::new();
        for Case(name, bytes, _, ours) in cases() {
            let answers = talk(TcpStream::connect(address).await.unwrap(), &bytes).await;
            if answers != ours {
                wrong.push(format!("{name}: {answers}, not {ours}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

async fn shop(lab: &Lab) -> std::net::SocketAddr {
    lab.sell(AppProtocol::Http11);
    lab.app(App::Http, "web", 1, 9000).await;
    lab.open_plain("shop", 80)
}
