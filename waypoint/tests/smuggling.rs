//! Request smuggling, differentially: every case goes through the waypoint to three servers that read HTTP/1 in different
//! ways, and every byte that the waypoint wrote to them is read in all three ways.
//!
//! What must hold, whatever a client writes:
//!
//! - All servers read the same requests: method, target and body, and where each ends.
//! - Each is one that the client made, as RFC 9112 or 9113 reads what it wrote, with the same method, target and body, or
//!   with a body's beginning where the client broke off. The waypoint tells of it, and of no fewer tries than were read.
//! - A client is answered for its own requests, in their order. What is refused gives an error or a reset, and nothing but
//!   valid requests in front of it reaches a server. What a client writes behind a request may cost it the answer.
//!
//! A strict server reads as RFC 9112 wants it. A lenient one takes bare LF, folded lines, spaces before colons, numbers
//! with signs and anything that sounds like `chunked`. The third prefers Content-Length to Transfer-Encoding.
//! `tests/http1_framing.rs` says what each single rule answers.
//!
//! That this can fail: [`without_the_waypoint_they_are_deceived`] judges a proxy that passes on what it gets. And where
//! `Framing::feed` lets everything through (`return Ok(bytes.len())`), so that hyper alone decides, 66 of the cases
//! are found, and all three tests of the waypoint fail.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

#[expect(dead_code, reason = "other tests use more of it")]
mod lab;

#[path = "smuggling/cases.rs"]
mod cases;
#[path = "smuggling/http2.rs"]
mod http2;
#[path = "smuggling/judge.rs"]
mod judge;
#[path = "smuggling/servers.rs"]
mod servers;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use judge::{Told, answers, judge, unjudged};
use lab::{Lab, in_lab};
use mesh_model::AppProtocol;
use mesh_types::fuzzing::mutations;
use servers::{End, Reader, Seen, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::timeout;

/// Connections from the waypoint.
type Wires = Rc<RefCell<Vec<Rc<RefCell<Wire>>>>>;

/// What is said on one connection.
enum Said {
    Bytes(Vec<u8>),
    Frames(http2::Case),
}

/// A waypoint with one server behind it, and what went between them.
struct Place {
    lab: Rc<Lab>,
    address: SocketAddr,
    wires: Wires,
    /// How many reports there were before.
    known: usize,
}

impl Place {
    async fn new(lab: Rc<Lab>, reader: Reader) -> Self {
        lab.sell(AppProtocol::Http11);
        let wires = Wires::default();
        let listener = TcpListener::bind((lab.ip(1), 9000)).await.unwrap();
        let all = wires.clone();
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let wire = Rc::<RefCell<Wire>>::default();
                all.borrow_mut().push(wire.clone());
                spawn_local(servers::serve(stream, reader, wire));
            }
        });
        Self {
            address: lab.open_plain("shop", 80),
            lab,
            wires,
            known: 0,
        }
    }

    /// What the waypoint told and wrote since it was asked last. Every request until now is over: one that is beyond doubt
    /// was answered behind it.
    async fn settled(&mut self) -> (Vec<Told>, Vec<Vec<u8>>) {
        say(self.address, SETTLE, 1).await;
        let mut told = self.lab.reports(self.known + 1).await;
        while !told[self.known..].iter().any(judge::is_settled) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            told = self.lab.reports(told.len() + 1).await;
        }
        let news = told[self.known..]
            .iter()
            .filter(|r| !judge::is_settled(r))
            .map(Told::of)
            .collect();
        self.known = told.len();
        let mut wires = self.wires.borrow_mut();
        let written = wires
            .iter()
            .map(|wire| std::mem::take(&mut *wire.borrow_mut()).bytes);
        let written = written.collect();
        // Whose server is gone is over.
        wires.retain(|wire| Rc::strong_count(wire) > 1);
        (news, written)
    }
}

const SETTLE: &[u8] = b"GET /settled HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// Says all of it, and reads what is answered until the end. Whoever stops talking before there are so many answers is
/// gone, and not answered any more.
async fn say(address: SocketAddr, bytes: &[u8], wanted: usize) -> Vec<u8> {
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let mut all = Vec::new();
    let talk = async {
        // Whoever refuses may not read to the end.
        let _ = write.write_all(bytes).await;
        while answers(&all).count() < wanted && read.read_buf(&mut all).await.is_ok_and(|n| n > 0) {}
        let _ = write.shutdown().await;
        let _ = read.read_to_end(&mut all).await;
    };
    let end = timeout(Duration::from_secs(30), talk).await;
    assert!(end.is_ok(), "no end of {:?}", String::from_utf8_lossy(bytes));
    all
}

async fn holds(reader: Reader, lab: Rc<Lab>) {
    let mut place = Place::new(lab, reader).await;
    let (mut answered, mut wrong) = (0, Vec::new());
    let first = cases::all()
        .into_iter()
        .map(|(name, bytes)| (name, Said::Bytes(bytes)));
    let second = http2::all()
        .into_iter()
        .map(|case| (case.name.clone(), Said::Frames(case)));
    for (name, said) in first.chain(second) {
        let (made, refused) = match &said {
            Said::Bytes(bytes) => {
                let rfc = servers::read(bytes, Reader::Rfc);
                let whole = rfc.requests.iter().filter(|seen| seen.whole).count();
                let answers = answers(&say(place.address, bytes, whole).await);
                let refused = answers.refused(&rfc);
                (rfc.requests, refused)
            }
            Said::Frames(case) => {
                let outcome = http2::say(place.address, case).await;
                let made: Vec<Seen> = case.made().into_iter().collect();
                let refused = match (made.is_empty(), outcome) {
                    (true, http2::Outcome::Ok) => Err("what is malformed was answered with 200".to_owned()),
                    _ => Ok(()),
                };
                (made, refused)
            }
        };
        let (told, written) = place.settled().await;
        answered += told.iter().filter(|told| told.answered).count();
        if let Err(why) = refused.and_then(|()| judge(&made, &told, &written)) {
            wrong.push(format!("{name}: {why}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{reader:?}, {} cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // Who refuses everything is not asked here.
    assert!(answered >= 100, "{answered} requests were answered");
}

#[test]
fn there_are_as_many_cases_as_are_promised() {
    let mut names: Vec<_> = cases::all().into_iter().map(|(name, _)| name).collect();
    names.extend(http2::all().into_iter().map(|case| case.name));
    let all = names.len();
    assert!(all >= 650, "{all}");
    names.sort();
    let twice: Vec<_> = names.windows(2).filter(|two| two[0] == two[1]).collect();
    assert!(twice.is_empty(), "each has a name of its own: {twice:?}");
}

#[test]
fn a_strict_server_reads_what_is_told() {
    in_lab(|lab| holds(Reader::Strict, lab));
}

#[test]
fn a_lenient_server_reads_what_is_told() {
    in_lab(|lab| holds(Reader::Lenient, lab));
}

#[test]
fn a_server_that_prefers_lengths_reads_what_is_told() {
    in_lab(|lab| holds(Reader::Lengths, lab));
}

/// What stands between the cases: seeded mutations of them. Nobody has said what each of them means, so that only the
/// servers, and what the waypoint tells, are held against each other.
#[test]
fn mutations_are_read_alike_by_all() {
    in_lab(|lab| async move {
        let mut place = Place::new(lab, Reader::Lenient).await;
        let corpus: Vec<Vec<u8>> = cases::all().into_iter().map(|(_, bytes)| bytes).collect();
        let mut wrong = Vec::new();
        for bytes in mutations(&corpus, 17, 1500).skip(corpus.len()) {
            let rfc = servers::read(&bytes, Reader::Rfc);
            let whole = rfc.requests.iter().filter(|seen| seen.whole).count();
            say(place.address, &bytes, whole).await;
            let (told, written) = place.settled().await;
            if let Err(why) = unjudged(&told, &written) {
                wrong.push(format!("{:?}: {why}", String::from_utf8_lossy(&bytes)));
            }
        }
        assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    });
}

/// The same judgement of a proxy that passes on what it gets: the cases do deceive servers, and it is seen that they do.
#[test]
fn without_the_waypoint_they_are_deceived() {
    let (mut found, mut inside) = (0, 0);
    for (_, bytes) in cases::all() {
        let rfc = servers::read(&bytes, Reader::Rfc);
        let told: Vec<Told> = rfc.requests.iter().map(Told::tried).collect();
        found += usize::from(judge(&rfc.requests, &told, std::slice::from_ref(&bytes)).is_err());
        let smuggled = |reader| {
            let mut requests = servers::read(&bytes, reader).requests.into_iter();
            requests.any(|seen| seen.target == "/smuggled")
        };
        let deceived = smuggled(Reader::Lenient) || smuggled(Reader::Lengths);
        inside += usize::from(deceived && !smuggled(Reader::Rfc));
    }
    assert!(found >= 300, "{found}");
    assert!(inside >= 80, "{inside}");
}

/// A judge that finds nothing is none.
#[test]
fn each_kind_of_harm_is_found() {
    let honest = "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nxy";
    let read = servers::read(honest.as_bytes(), Reader::Rfc);
    assert_eq!(read.end, End::Between);
    let told: Vec<Told> = read.requests.iter().map(Told::tried).collect();
    let judged = |written: &str| judge(&read.requests, &told, &[written.as_bytes().to_vec()]);
    assert_eq!(judged(honest), Ok(()));
    for (written, why) in [
        (honest.replace("/a", "/b"), "another target"),
        (honest.replace("POST", "PUT"), "another method"),
        (honest.replace("xy", "xz"), "another body"),
        (honest.replace("2\r\n\r\nxy", "1\r\n\r\nx"), "a shorter body"),
        (honest.repeat(2), "twice, and tried once"),
        (
            honest.replace("content-length", "content_length"),
            "a length for some",
        ),
        (
            honest.replace("host: a\r\n", "host: a\n"),
            "a line that not all read",
        ),
        (
            honest.replace("host: a\r\n", "host: a\r\nx: y\r\n z\r\n"),
            "a folded line",
        ),
    ] {
        assert!(judged(&written).is_err(), "{why}");
    }
    let short = &honest[..honest.len() - 1];
    assert!(judged(short).is_err(), "answered, and not read to its end");
}
