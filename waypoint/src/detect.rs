//! What does a client speak? Its first bytes say it, where the configuration does not.
//!
//! [`classify`] is pure and asks for more only as long as what came could still become something it knows. A client that
//! says nothing may be waiting for the server: after [`PATIENCE`] the server is dialled, and whoever speaks first decides
//! (`proxy/tcp`).

use std::time::Duration;

use bytes::BytesMut;
use mesh_model::AppProtocol;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};

use crate::stream::Stream;

/// What a client speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.
    Http1,
    /// HTTP/2 without TLS, which says so first (RFC 9113, section 3.3).
    Http2,
    /// TLS, and the server name that was asked for.
    Tls(Option<String>),
    /// Something else.
    Tcp,
    /// Nothing yet, where nothing is declared.
    Silent,
}

/// What some first bytes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clue {
    /// It is this.
    Is(Spoken),
    /// More bytes are needed.
    More,
}

/// What a stream is, by what its port is declared to be and, as far as needed, by its first bytes, which are put back.
///
/// # Errors
/// Fails when the client goes away meanwhile.
pub async fn detect(stream: &mut Stream, declared: AppProtocol) -> std::io::Result<Spoken> {
    match declared {
        AppProtocol::Tcp => Ok(Spoken::Tcp),
        // A client of HTTP speaks first, whenever it likes.
        AppProtocol::Http11 | AppProtocol::Http2 | AppProtocol::Grpc | AppProtocol::GrpcWeb => {
            detect_within(stream, declared, HEADER_PATIENCE).await
        }
        AppProtocol::Tls => detect_within(stream, declared, HEADER_PATIENCE).await,
        AppProtocol::Unknown => detect_within(stream, declared, PATIENCE).await,
    }
}

/// [`detect`] with another time for the first byte.
///
/// # Errors
/// As there.
pub async fn detect_within(
    stream: &mut Stream,
    declared: AppProtocol,
    patience: Duration,
) -> std::io::Result<Spoken> {
    let first = Instant::now() + patience;
    let mut seen = BytesMut::new();
    let spoken = loop {
        // Once something came that may become a request, its rest is waited for.
        let deadline = if seen.is_empty() {
            first
        } else {
            first.max(Instant::now() + REST_PATIENCE)
        };
        match timeout_at(deadline, stream.read_buf(&mut seen)).await {
            Err(_) => break settle(declared, &seen),
            Ok(Err(error)) => return Err(error),
            Ok(Ok(0)) => break settle(declared, &seen),
            Ok(Ok(_)) => {}
        }
        match classify(&seen) {
            Clue::Is(spoken) => break reconcile(declared, spoken),
            Clue::More if seen.len() >= LIMIT => break settle(declared, &seen),
            Clue::More => {}
        }
    };
    stream.unread(seen.freeze());
    Ok(spoken)
}

/// What these first bytes say.
#[must_use]
pub fn classify(first: &[u8]) -> Clue {
    // RFC 9112, 2.2: servers pass over empty lines in front of a request, so that they are no way around HTTP.
    let blank = first.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let first = &first[blank.min(MOST_BLANK)..];
    if first.is_empty() {
        return Clue::More;
    }
    if first.len() < PREFACE.len() && PREFACE.starts_with(first) {
        return Clue::More;
    }
    if first.starts_with(PREFACE) {
        return Clue::Is(Spoken::Http2);
    }
    if first[0] == tls::HANDSHAKE {
        return tls::classify(first);
    }
    classify_http1(first)
}

/// A request line: a method of capital letters, a space, a target, and `HTTP/1.` before the line's end.
fn classify_http1(first: &[u8]) -> Clue {
    let tcp = Clue::Is(Spoken::Tcp);
    let method = first
        .iter()
        .take_while(|b| b.is_ascii_uppercase() || **b == b'-')
        .count();
    if method > LONGEST_METHOD || (method == 0 && !first.is_empty()) {
        return tcp;
    }
    let Some(rest) = first.get(method..).filter(|rest| !rest.is_empty()) else {
        return Clue::More;
    };
    if rest[0] != b' ' {
        return tcp;
    }
    let end = rest.iter().position(|b| *b == b'\n');
    let line = &rest[..end.unwrap_or(rest.len())];
    let printable = |b: &u8| *b >= b' ' && *b != 0x7f;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if !line.iter().all(printable) {
        return tcp;
    }
    if end.is_none() {
        return Clue::More;
    }
    let version = line.len().checked_sub(8).map(|at| &line[at..at + 7]);
    if version == Some(b"HTTP/1.") {
        return Clue::Is(Spoken::Http1);
    }
    tcp
}

/// Nothing more comes, or not soon.
fn settle(declared: AppProtocol, seen: &BytesMut) -> Spoken {
    match declared {
        AppProtocol::Http11 | AppProtocol::GrpcWeb => Spoken::Http1,
        AppProtocol::Http2 | AppProtocol::Grpc if seen.is_empty() => Spoken::Http2,
        AppProtocol::Http2 | AppProtocol::Grpc => Spoken::Http1,
        AppProtocol::Tls => Spoken::Tls(None),
        AppProtocol::Unknown if seen.is_empty() => Spoken::Silent,
        AppProtocol::Unknown => likely(seen),
        AppProtocol::Tcp => Spoken::Tcp,
    }
}

/// What a beginning could only become: to be slow, or long, is no way around HTTP.
fn likely(seen: &[u8]) -> Spoken {
    if classify(seen) != Clue::More {
        return Spoken::Tcp;
    }
    let blank = seen.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    match &seen[blank..] {
        [] => Spoken::Tcp,
        [tls::HANDSHAKE, ..] => Spoken::Tls(None),
        rest if rest.starts_with(b"PRI *") => Spoken::Http2,
        _ => Spoken::Http1,
    }
}

/// What was declared binds: bytes on an HTTP port are never passed on as bytes, which would go around its policies.
fn reconcile(declared: AppProtocol, spoken: Spoken) -> Spoken {
    use AppProtocol::{Grpc, GrpcWeb, Http2, Http11};
    match (declared, spoken) {
        (AppProtocol::Unknown, spoken) => spoken,
        (Http11 | Http2 | Grpc | GrpcWeb, Spoken::Http2) => Spoken::Http2,
        // What is no HTTP gets HTTP's answer to it.
        (Http11 | Http2 | Grpc | GrpcWeb, _) => Spoken::Http1,
        (AppProtocol::Tls, Spoken::Tls(name)) => Spoken::Tls(name),
        (AppProtocol::Tls | AppProtocol::Tcp, _) => Spoken::Tcp,
    }
}

mod tls;

/// How long a client may be silent before it is taken for one that waits for the server. Half of the shortest time in
/// which people notice; a client that speaks first does so within a round trip.
pub const PATIENCE: Duration = Duration::from_millis(50);
/// For the rest of what begins like a request line or a ClientHello.
const REST_PATIENCE: Duration = Duration::from_secs(1);
/// On a port that is declared to be HTTP or TLS the client speaks first; as long as a request's header may take.
pub const HEADER_PATIENCE: Duration = Duration::from_secs(60);
/// A request line or ClientHello longer than this is not waited for.
const LIMIT: usize = 16 * 1024;
const LONGEST_METHOD: usize = 32;
const MOST_BLANK: usize = 16;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[cfg(test)]
mod tests;
