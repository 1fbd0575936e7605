//! HTTP/2 clients that want to be served to death: each costs them their connection, and nobody else anything.

use std::net::SocketAddr;
use std::time::Duration;

use mesh_model::AppProtocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use waypoint::settings::Settings;

use crate::lab::{get, http1, in_lab, in_lab_where, read};
use crate::{answering, shop};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET http://a/`, in HPACK: indexed fields, and a literal authority.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 0x01, b'a'];
/// The same with POST.
const POST: &[u8] = &[0x83, 0x86, 0x84, 0x41, 0x01, b'a'];

fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, GET)
}

/// Sends frames until the other side ends the connection, at most so many. Gives the frames that it took, and GOAWAY's
/// code.
async fn flood(address: SocketAddr, most: u32, frames: impl Fn(u32) -> Vec<u8>) -> (u32, Option<u32>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let reader = tokio::task::spawn_local(async move {
        let mut code = None;
        let mut header = [0; 9];
        while reading.read_exact(&mut header).await.is_ok() {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
            let mut payload = vec![0; length as usize];
            if reading.read_exact(&mut payload).await.is_err() {
                break;
            }
            if header[3] == GOAWAY {
                code = payload
                    .get(4..8)
                    .map(|code| u32::from_be_bytes(code.try_into().unwrap()));
            }
        }
        code
    });
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    writing.write_all(&begin).await.unwrap();
    let mut sent = 0;
    while sent < most {
        if writing.write_all(&frames(sent)).await.is_err() {
            break;
        }
        sent += 1;
        if sent % 64 == 0 {
            tokio::task::yield_now().await;
            if reader.is_finished() {
                break;
            }
        }
    }
    drop(writing);
    let code = timeout(Duration::from_secs(5), reader)
        .await
        .ok()
        .and_then(Result::ok)
        .flatten();
    (sent, code)
}

/// Each kind of flood ends the connection before so many frames; others are served all the time.
fn ends_within(name: &'static str, most: u32, frames: impl Fn(u32) -> Vec<u8> + 'static) {
    in_lab(|lab| async move {
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let address = shop(&lab, AppProtocol::Unknown, move |s| answering(s, ok)).await;
        let mut other = http1(TcpStream::connect(address).await.unwrap()).await;
        let (sent, code) = flood(address, most, frames).await;
        assert!(sent < most, "{name}: {sent} frames were taken");
        assert!(code.is_none_or(|code| code != 0), "{name}: {code:?}");
        let answer = read(other.send_request(get("/")).await.unwrap()).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{name}");
    });
}

#[test]
fn streams_that_are_opened_and_reset_at_once() {
    ends_within("rapid reset", 20_000, |n| {
        let stream = 2 * n + 1;
        [
            request(stream),
            frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
        ]
        .concat()
    });
}

#[test]
fn streams_that_are_made_to_be_reset() {
    ends_within("made you reset", 20_000, |n| {
        let stream = 2 * n + 1;
        let open = frame(HEADERS, END_HEADERS, stream, POST);
        [open, frame(WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes())].concat()
    });
}

#[test]
fn a_header_without_end() {
    ends_within("CONTINUATION", 100_000, |n| match n {
        0 => frame(HEADERS, END_STREAM, 1, GET),
        _ => frame(CONTINUATION, 0, 1, &[0x00, 0x01, b'x', 0x01, b'y']),
    });
}

#[test]
fn data_without_data() {
    ends_within("empty DATA", 100_000, |n| match n {
        0 => frame(HEADERS, END_HEADERS, 1, POST),
        _ => frame(DATA, 0, 1, &[]),
    });
}

#[test]
fn a_header_that_is_too_large_is_refused_and_the_connection_lives() {
    in_lab(|lab| async move {
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let address = shop(&lab, AppProtocol::Http11, move |s| answering(s, ok)).await;
        let mut http = crate::lab::http2(TcpStream::connect(address).await.unwrap()).await;
        let ask = |size: usize| {
            let mut request = get("http://a/");
            request.headers_mut().remove("host");
            request
                .headers_mut()
                .insert("x", "y".repeat(size).parse().unwrap());
            request
        };
        let answer = read(http.send_request(ask(30_000)).await.unwrap()).await;
        assert_eq!(answer.status, 200);
        let refused = http.send_request(ask(70_000)).await;
        assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status() == 431));
    });
}

#[test]
fn faulty_frames() {
    let faults: [(&str, Vec<u8>); 6] = [
        ("DATA on stream 0", frame(DATA, 0, 0, b"x")),
        ("an even stream", request(2)),
        ("SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        ("PING of 7 bytes", frame(PING, 0, 0, &[0; 7])),
        (
            "a window beyond 2³¹",
            frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()),
        ),
        (
            "a broken header block",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 20]),
        ),
    ];
    for (name, fault) in faults {
        ends_within(name, 20_000, move |_| fault.clone());
    }
}

/// What costs its sender nothing ends the connection, with a reason in the metrics.
#[test]
fn control_frames_are_counted() {
    for (frames, reason) in [
        (frame(PING, 0, 0, &[0; 8]), "ping"),
        (frame(SETTINGS, 0, 0, &[]), "settings"),
        (frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]), "priority"),
        (frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()), "window_update"),
    ] {
        in_lab(|lab| async move {
            let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            let address = shop(&lab, AppProtocol::Unknown, move |s| answering(s, ok)).await;
            let mut other = http1(TcpStream::connect(address).await.unwrap()).await;
            let (sent, code) = flood(address, 20_000, move |_| frames.clone()).await;
            assert!(sent < 20_000, "{reason}");
            assert!(
                code.is_none_or(|code| code == ENHANCE_YOUR_CALM),
                "{reason}: {code:?}"
            );
            let counted = format!("lateen_waypoint_refused_total{{reason=\"http2_{reason}_flood\"}} 1");
            assert!(lab.metrics().contains(&counted), "{counted}");
            let answer = read(other.send_request(get("/")).await.unwrap()).await;
            assert_eq!(answer.status, 200);
        });
    }
}

#[test]
fn a_header_that_does_not_end_ends_the_connection() {
    let settings = Settings {
        header_timeout: Duration::from_millis(100),
        ..Settings::default()
    };
    in_lab_where(settings, |lab| async move {
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let address = shop(&lab, AppProtocol::Http2, move |s| answering(s, ok)).await;
        let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        let whole = frame(HEADERS, END_HEADERS | END_STREAM, 1, GET);
        // A frame that says that more is to come, and one of which the last byte does not.
        for header in [&frame(HEADERS, END_STREAM, 1, GET), &whole[..whole.len() - 1]] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(&[&begin, header].concat()).await.unwrap();
            let mut rest = Vec::new();
            // It is for the waypoint to end it: nothing else would.
            let _ = stream.read_to_end(&mut rest).await;
        }
        // Without a header nobody hurries.
        let mut quiet = TcpStream::connect(address).await.unwrap();
        quiet.write_all(&begin).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        quiet.write_all(&whole).await.unwrap();
        let mut header = [0; 9];
        while header[3] != HEADERS {
            quiet.read_exact(&mut header).await.unwrap();
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
            quiet.read_exact(&mut vec![0; length as usize]).await.unwrap();
        }
    });
}
