//! Fuzz targets of what reads clients' first bytes, the ends of their requests and what they bring along.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use mesh_model::l7::session::{Session, SessionCarrier};
use tokio::time::Instant;

use crate::body::web::messages::Messages;
use crate::body::web::text::Text;
use crate::detect::{Clue, classify};
use crate::proxy::http::frames::Frames;
use crate::proxy::http::framing::Framing;
use crate::proxy::http::retry::date;
use crate::upstream::session;

/// However the bytes come in pieces, requests end at the same places, or are refused for the same reason.
///
/// # Panics
/// When they are not.
pub fn http1_framing(data: &[u8]) {
    let Some((&cut, data)) = data.split_first() else {
        return;
    };
    let mut whole = Framing::new(LIMIT);
    let at_once = whole.feed(data);
    let mut pieces = Framing::new(LIMIT);
    let mut passed = Ok(0);
    for piece in data.chunks(usize::from(cut % 16) + 1) {
        passed = match (passed, pieces.feed(piece)) {
            (Ok(before), Ok(more)) => Ok(before + more),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        if passed.is_err() {
            break;
        }
    }
    assert_eq!(at_once, passed);
    assert_eq!(
        at_once.is_ok_and(|_| whole.is_held()),
        passed.is_ok_and(|_| pieces.is_held())
    );
}

/// What is known of a beginning stays so with whatever follows.
///
/// # Panics
/// When it does not.
pub fn detect(data: &[u8]) {
    let mut known: Option<Clue> = None;
    for end in 0..=data.len() {
        let clue = classify(&data[..end]);
        if let Some(known) = &known {
            assert_eq!(known, &clue);
        } else if clue != Clue::More {
            known = Some(clue);
        }
    }
}

/// However the bytes of gRPC-web come in pieces, they mean the same messages, in base64 as well.
///
/// # Panics
/// When they do not.
pub fn grpc_web(data: &[u8]) {
    let Some((&cut, data)) = data.split_first() else {
        return;
    };
    let length = usize::from(cut % 16) + 1;
    let (mut whole, mut pieces) = (Messages::default(), Messages::default());
    let at_once = whole.feed(data);
    let passed = data.chunks(length).try_for_each(|piece| pieces.feed(piece));
    assert_eq!(at_once, passed);
    assert!(at_once.is_err() || whole == pieces);
    let (mut whole, mut pieces) = (Text::default(), Text::default());
    let at_once = whole.read(data);
    let passed: Result<Vec<Bytes>, _> = data.chunks(length).map(|piece| pieces.read(piece)).collect();
    assert_eq!(at_once, passed.map(|bytes| Bytes::from(bytes.concat())));
    assert!(at_once.is_err() || whole == pieces);
    let written = STANDARD.encode(data);
    let read = Text::default().read(written.as_bytes());
    assert_eq!(read.as_deref(), Ok(data), "what is written is read");
    // What another reader takes means the same to it.
    if whole.is_between()
        && let Ok(known) = STANDARD.decode(data)
    {
        assert_eq!(at_once.as_deref(), Ok(&known[..]));
    }
}

/// Frames of HTTP/2, all at one moment: each four bytes are a kind, flags, a length, and how many. No more pass than the
/// allowance of their kind has, and none is refused that is within it.
///
/// # Panics
/// When that does not hold.
pub fn http2_frames(data: &[u8]) {
    let now = Instant::now();
    let mut frames = Frames::new(now);
    assert_eq!(frames.feed(&[0; 24], now), Ok(()));
    let (mut requests, mut bytes, mut passed) = (0, 24, [0_usize; 5]);
    let (mut row, mut longest) = (0, 0);
    for script in data.chunks_exact(4) {
        let [kind, flags, length, count] = [script[0] % 11, script[1], script[2], script[3]];
        let frame = [
            &[0, 0, length, kind, flags, 0, 0, 0, 1][..],
            &vec![0; length.into()],
        ]
        .concat();
        for n in 0..count {
            // In two pieces, which may part a head.
            let (first, second) = frame.split_at(usize::from(n) % (frame.len() + 1));
            if let Err(flood) = frames.feed(first, now).and_then(|()| frames.feed(second, now)) {
                let spent = passed.iter().zip(ALLOWED).any(|(passed, most)| *passed >= most);
                assert!(
                    spent || longest >= 64,
                    "{flood} after {passed:?}, {longest} in a row"
                );
                return;
            }
            bytes += frame.len();
            let ends = flags & 1 != 0;
            row = if kind == 9 || kind == 0 && length == 0 && !ends {
                row + 1
            } else {
                0
            };
            longest = longest.max(row);
            match (kind, ends) {
                (1, _) => requests += 1,
                (6, false) => passed[0] += 1,
                (4, false) => passed[1] += 1,
                (3, _) => passed[2] += 1,
                (2, _) => passed[3] += 1,
                (8, _) => passed[4] += 1,
                _ => {}
            }
        }
    }
    let given = |by_request: usize, by_kib: usize| requests * by_request + bytes * by_kib / 1024 + 1;
    let given = [given(1, 1), 1, given(0, 1), given(10, 0), given(4, 10)];
    for ((passed, most), given) in passed.iter().zip(ALLOWED).zip(given) {
        assert!(*passed <= most + given, "{passed} of {most}, {given} given back");
    }
    assert!(longest <= 100, "{longest} in a row");
}

/// A session that a client brings along, in a cookie or header: what is understood and told again means the same.
///
/// # Panics
/// When it does not.
pub fn sessions(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::COOKIE, value.clone());
    headers.insert("s", value);
    for carrier in [SessionCarrier::Header, SessionCarrier::Cookie { permanent: true }] {
        let session = Session {
            name: "s".into(),
            carrier,
            absolute_timeout: Some(std::time::Duration::from_secs(60)),
            idle_timeout: Some(std::time::Duration::from_secs(30)),
        };
        let Some(held) = session::held(&session, &headers, 1000) else {
            continue;
        };
        // The endpoint that it names is not known here: another one is told.
        let told = session::told(&session, Some(held), "endpoint", held.share, 1000);
        let (_, told) = told.expect("another endpoint is told");
        let told = told
            .as_bytes()
            .split(|b| *b == b';')
            .next()
            .expect("there is a first part");
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            HeaderValue::from_bytes(told).expect("it was in a header"),
        );
        headers.insert("s", HeaderValue::from_bytes(told).expect("it was in a header"));
        let again = session::held(&session, &headers, 1000).expect("what is told is understood");
        assert_eq!((again.name, again.share), (session::name("endpoint"), held.share));
    }
}

/// A date of `Retry-After`: within what dates can say.
///
/// # Panics
/// When it is not.
pub fn date(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Some(at) = date::at(text) {
        let since = at
            .duration_since(std::time::UNIX_EPOCH)
            .expect("no earlier year is read");
        assert!(since.as_secs() < 253_402_300_800 + 3 * 86_400, "the year 9999");
    }
}

const LIMIT: usize = 4096;
/// PING, SETTINGS, RST_STREAM, PRIORITY and WINDOW_UPDATE at once.
const ALLOWED: [usize; 5] = [1000, 100, 1000, 1000, 5000];

#[cfg(test)]
mod tests;
