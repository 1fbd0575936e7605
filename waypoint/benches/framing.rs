//! What it costs to read HTTP/1 requests strictly in front of hyper, and what parsing them costs as well.
//!
//! `cargo bench -p waypoint --bench framing`

#![expect(
    clippy::disallowed_types,
    reason = "a benchmark measures the real time; nothing pauses it"
)]

use std::hint::black_box;
use std::time::Instant;

use waypoint::proxy::http::framing::Framing;

fn main() {
    println!("one request, in nanoseconds, the least of {TIMES} times");
    println!("{:<34}{:>8}{:>10}{:>10}", "", "bytes", "strictly", "httparse");
    let browser = browser();
    for (what, bytes) in [
        ("four headers, no body", QUESTION),
        ("as a browser sends it", &browser),
        ("a body of 1 KiB in one chunk", &chunked()),
    ] {
        let mut framing = Framing::new(60 * 1024);
        let strictly = least(|| {
            let passed = framing.feed(black_box(bytes));
            assert_eq!(passed, Ok(bytes.len()), "a whole request");
        });
        let httparse = least(|| {
            let mut headers = [httparse::EMPTY_HEADER; 100];
            let mut request = httparse::Request::new(&mut headers);
            let parsed = request.parse(black_box(bytes)).expect("a request");
            assert!(black_box(parsed).is_complete());
        });
        println!("{what:<34}{:>8}{strictly:>10.0}{httparse:>10.0}", bytes.len());
    }
}

fn least(mut once: impl FnMut()) -> f64 {
    let times = (0..TIMES).map(|_| {
        let start = Instant::now();
        (0..REQUESTS).for_each(|_| once());
        start.elapsed().as_secs_f64() * 1e9 / REQUESTS as f64
    });
    times.fold(f64::INFINITY, f64::min)
}

fn browser() -> Vec<u8> {
    let mut bytes = b"GET /api/items/42?view=full HTTP/1.1\r\nhost: shop.example.com\r\n".to_vec();
    for n in 0..16 {
        bytes.extend(format!("x-header-{n}: {}\r\n", "v".repeat(60)).into_bytes());
    }
    bytes.extend(b"\r\n");
    bytes
}

fn chunked() -> Vec<u8> {
    let mut bytes = b"POST /api HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n400\r\n".to_vec();
    bytes.extend([b'x'; 1024]);
    bytes.extend(b"\r\n0\r\n\r\n");
    bytes
}

/// What `make bench` asks with.
const QUESTION: &[u8] = b"GET /api/items/42?view=full HTTP/1.1\r\nhost: shop.shop.svc.cluster.local\r\n\
user-agent: lateen-bench/1\r\naccept: application/json\r\naccept-encoding: gzip\r\n\r\n";
const REQUESTS: usize = 10_000;
const TIMES: usize = 20;
