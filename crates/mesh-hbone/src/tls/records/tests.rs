use std::io::{Read as _, Write as _};
use std::sync::Arc;

use mesh_tls::ExpectedPeers;
use rustls::{ClientConnection, Connection, ServerConfig, ServerConnection};
use tokio::io::ReadBuf;

use super::super::block::{Incoming, Outgoing};
use super::super::session::{Received, Session};
use super::{Read, Records};
use crate::testing::{Mesh, identity};

/// Our end after its handshake, and rustls with buffers of its own as the peer.
struct Ends {
    ours: Records,
    incoming: Incoming,
    out: Outgoing,
    peer: Connection,
}

#[derive(Clone, Copy, PartialEq)]
enum We {
    AreClient,
    AreServer,
}

impl Ends {
    fn new(we: We) -> Self {
        Self::with_tickets(we, 0)
    }

    fn with_tickets(we: We, tickets: usize) -> Self {
        let mesh = Mesh::new();
        let client = mesh
            .certificate("client")
            .client_config(&ExpectedPeers::one(&identity("server")));
        let mut server = ServerConfig::clone(&mesh.certificate("server").server_config());
        if tickets > 0 {
            server.session_storage = rustls::server::ServerSessionMemoryCache::new(8);
            server.send_tls13_tickets = tickets;
        }
        let server = Arc::new(server);
        let (session, peer) = match we {
            We::AreClient => (
                Session::client(client).unwrap(),
                Connection::Server(ServerConnection::new(server).unwrap()),
            ),
            We::AreServer => {
                let peer = ClientConnection::new(client, mesh_tls::mesh_server_name()).unwrap();
                (Session::server(server).unwrap(), Connection::Client(peer))
            }
        };
        Self::shake_hands(session, peer)
    }

    fn shake_hands(mut session: Session, mut peer: Connection) -> Self {
        let (mut incoming, mut out, mut plain) = (Incoming::default(), Outgoing::default(), Vec::new());
        while session.is_handshaking() || peer.is_handshaking() || !out.is_empty() {
            session
                .step(&mut incoming, &mut Received::new(&mut plain), &mut out)
                .unwrap();
            deliver(&mut out, &mut peer).unwrap();
            if session.is_handshaking() {
                collect(&mut peer, &mut incoming);
            }
        }
        assert!(session.has_records() && plain.is_empty());
        let mut ends = Self {
            ours: session.into_records().unwrap(),
            incoming,
            out,
            peer,
        };
        // What a server says right after its handshake, such as tickets.
        ends.peer_sends();
        ends
    }

    /// What the peer wants to send becomes our input.
    fn peer_sends(&mut self) {
        collect(&mut self.peer, &mut self.incoming);
    }

    fn peer_writes(&mut self, data: &[u8]) {
        self.peer.writer().write_all(data).unwrap();
        self.peer_sends();
    }

    /// Everything that can be read now, at most so much at a time.
    fn read(&mut self, at_a_time: usize) -> Result<(Vec<u8>, Read), rustls::Error> {
        let mut all = Vec::new();
        let mut space = vec![0; at_a_time];
        loop {
            let mut reader = ReadBuf::new(&mut space);
            match self.ours.read(&mut self.incoming, &mut reader)? {
                Read::Data => all.extend_from_slice(reader.filled()),
                rest => return Ok((all, rest)),
            }
        }
    }

    fn write(&mut self, data: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut received = Vec::new();
        for record in data.chunks(16 * 1024) {
            self.ours.seal(record, &mut self.out).unwrap();
            deliver(&mut self.out, &mut self.peer)?;
            let mut part = vec![0; record.len()];
            self.peer.reader().read_exact(&mut part).unwrap();
            received.extend_from_slice(&part);
        }
        Ok(received)
    }
}

fn deliver(out: &mut Outgoing, peer: &mut Connection) -> Result<(), rustls::Error> {
    while !out.is_empty() {
        let sent = peer.read_tls(&mut out.filled()).unwrap();
        out.consume(sent);
        peer.process_new_packets()?;
    }
    Ok(())
}

fn collect(peer: &mut Connection, incoming: &mut Incoming) {
    while peer.wants_write() {
        let mut bytes = Vec::new();
        peer.write_tls(&mut bytes).unwrap();
        feed(incoming, &bytes);
    }
}

fn feed(incoming: &mut Incoming, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let space = incoming.space();
        let fits = bytes.len().min(space.len());
        space[..fits].copy_from_slice(&bytes[..fits]);
        incoming.filled_more(fits);
        bytes = &bytes[fits..];
    }
}

fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i / 5 + i / 251) as u8).collect()
}

#[test]
fn rustls_reads_what_we_seal_and_we_read_what_it_seals() {
    for we in [We::AreClient, We::AreServer] {
        let mut ends = Ends::new(we);
        for n in [1, 5, 16_383, 16_384, 50_000] {
            let data = pattern(n);
            assert!(ends.write(&data).unwrap() == data, "{n} bytes out");
            for at_a_time in [1, 777, 16_384, 100_000] {
                ends.peer_writes(&data);
                let (read, rest) = ends.read(at_a_time).unwrap();
                assert!(read == data && rest == Read::NeedsInput, "{n} bytes in");
            }
        }
    }
}

#[test]
fn a_record_that_comes_byte_by_byte_is_read_when_it_is_whole() {
    let mut ends = Ends::new(We::AreServer);
    ends.peer.writer().write_all(b"in the end").unwrap();
    let mut bytes = Vec::new();
    ends.peer.write_tls(&mut bytes).unwrap();
    for byte in bytes {
        assert_eq!(ends.read(100).unwrap(), (Vec::new(), Read::NeedsInput));
        feed(&mut ends.incoming, &[byte]);
        // As after a read that would block: the block goes back, the part of the record stays.
        ends.incoming.rest();
    }
    assert_eq!(ends.read(100).unwrap().0, b"in the end");
}

#[test]
fn keys_are_renewed_when_the_peer_does_so_and_answered_with_ours() {
    for we in [We::AreClient, We::AreServer] {
        let mut ends = Ends::new(we);
        for round in 0..100_u8 {
            ends.peer.refresh_traffic_keys().unwrap();
            ends.peer_writes(&[round; 100]);
            assert_eq!(ends.read(1000).unwrap().0, [round; 100]);
            assert_eq!(ends.write(&[round; 60]).unwrap(), [round; 60]);
            assert!(!ends.ours.key_wanted);
        }
        assert!(ends.ours.sealing.sequence() <= 1 && ends.ours.opening.sequence() <= 1);
    }
}

#[test]
fn a_key_that_wears_out_is_replaced() {
    let mut ends = Ends::new(We::AreClient);
    assert_eq!(ends.ours.worn_after, 1 << 23, "half of what AES-GCM bears");
    ends.ours.worn_after = 5;
    for round in 0..50_u8 {
        assert_eq!(ends.write(&[round; 10]).unwrap(), [round; 10]);
        assert!(ends.ours.sealing.sequence() <= 6);
    }
    ends.peer_writes(b"the other direction is as before");
    assert_eq!(ends.read(1000).unwrap().0, b"the other direction is as before");
}

#[test]
fn key_updates_without_end_end_the_connection() {
    let mut ends = Ends::new(We::AreServer);
    for _ in 0..40 {
        ends.peer.refresh_traffic_keys().unwrap();
        ends.peer_sends();
    }
    let error = ends.read(1000).unwrap_err();
    assert!(matches!(error, rustls::Error::PeerMisbehaved(_)), "{error}");
}

#[test]
fn tickets_are_of_no_interest() {
    let mut ends = Ends::with_tickets(We::AreClient, 6);
    ends.peer_writes(b"after the tickets");
    assert_eq!(ends.read(1000).unwrap().0, b"after the tickets");
}

#[test]
fn an_announced_end_is_told_apart_both_ways() {
    let mut ends = Ends::new(We::AreClient);
    ends.peer.writer().write_all(b"last words").unwrap();
    ends.peer.send_close_notify();
    ends.peer_sends();
    feed(&mut ends.incoming, b"what follows is nobody's");
    assert_eq!(ends.read(4).unwrap(), (b"last words".to_vec(), Read::PeerClosed));
    assert_eq!(ends.read(4).unwrap(), (Vec::new(), Read::PeerClosed));

    ends.ours.close_notify(&mut ends.out).unwrap();
    let state = ends.peer.read_tls(&mut ends.out.filled()).unwrap();
    assert!(state > 0 && ends.peer.process_new_packets().unwrap().peer_has_closed());
}

#[test]
fn whatever_is_changed_in_a_record_is_noticed_and_the_peer_is_told() {
    for changed in [5, 40, 116, 121] {
        let mut ends = Ends::new(We::AreServer);
        ends.peer.writer().write_all(&[7; 100]).unwrap();
        let mut bytes = Vec::new();
        ends.peer.write_tls(&mut bytes).unwrap();
        bytes[changed] ^= 1;
        feed(&mut ends.incoming, &bytes);
        let error = ends.read(1000).unwrap_err();
        assert_eq!(error, rustls::Error::DecryptError);
        ends.ours.alert(&error, &mut ends.out);
        let told = deliver(&mut ends.out, &mut ends.peer).unwrap_err();
        let expected = rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac);
        assert_eq!(told, expected);
    }
}

#[test]
fn a_record_cannot_be_repeated_or_left_out() {
    let record = |ends: &mut Ends, data: &[u8]| {
        let mut bytes = Vec::new();
        ends.peer.writer().write_all(data).unwrap();
        ends.peer.write_tls(&mut bytes).unwrap();
        bytes
    };
    let mut ends = Ends::new(We::AreServer);
    let first = record(&mut ends, b"one");
    feed(&mut ends.incoming, &[&first[..], &first[..]].concat());
    assert_eq!(ends.read(3).unwrap_err(), rustls::Error::DecryptError);

    let mut ends = Ends::new(We::AreServer);
    record(&mut ends, b"one");
    let second = record(&mut ends, b"two");
    feed(&mut ends.incoming, &second);
    assert_eq!(ends.read(3).unwrap_err(), rustls::Error::DecryptError);
}

#[test]
fn what_is_no_encrypted_record_is_refused() {
    for (header, oversized) in [
        ([22, 3, 3, 0, 40], false),
        ([21, 3, 3, 0, 2], false),
        ([20, 3, 3, 0, 1], false),
        ([23, 3, 3, 0x41, 1], true),
        ([23, 3, 3, 0xff, 0xff], true),
    ] {
        let mut ends = Ends::new(We::AreServer);
        feed(&mut ends.incoming, &header);
        let error = ends.read(10).unwrap_err();
        assert_eq!(
            error == rustls::Error::PeerSentOversizedRecord,
            oversized,
            "{error}"
        );
    }
}

/// What an authenticated peer may say with the right keys and still be wrong about.
#[test]
fn nonsense_under_the_right_key_is_refused_and_never_a_panic() {
    use rustls::ContentType;
    let cases: &[(ContentType, &[u8])] = &[
        (ContentType::Alert, &[1]),
        (ContentType::Alert, &[2, 0, 0]),
        (ContentType::Alert, &[2, 40]),
        (ContentType::ChangeCipherSpec, &[1]),
        (ContentType::Handshake, &[1, 0, 0, 1, 0]),
        (ContentType::Handshake, &[4, 0, 0, 1, 0]),
        (ContentType::Handshake, &[24, 0, 0, 1, 2]),
        (ContentType::Handshake, &[24, 0, 0, 2, 0, 0]),
        (ContentType::Handshake, &[24, 0, 0, 1, 0, 24]),
        (ContentType::Handshake, &[24, 1, 0, 0]),
        (ContentType::Unknown(0), &[]),
        (ContentType::Unknown(99), &[1, 2, 3]),
    ];
    for (typ, content) in cases {
        let mut ends = Ends::new(We::AreServer);
        let mut peer = peer_of_ours();
        std::mem::swap(&mut ends.ours.opening, &mut peer.0);
        let mut record = vec![0; 1000];
        let len = peer.1.seal(*typ, content, &mut record).unwrap();
        feed(&mut ends.incoming, &record[..len]);
        assert!(ends.read(10).is_err(), "{typ:?} {content:?}");
    }
}

/// A pair of keys, to open and to seal with.
fn peer_of_ours() -> (super::DirectionKey, super::DirectionKey) {
    let secrets = || {
        let (key, iv) = ([7; 32].into(), [9; 12].into());
        (0, rustls::ConnectionTrafficSecrets::Aes256Gcm { key, iv })
    };
    let key = || super::DirectionKey::new(secrets()).unwrap();
    (key(), key())
}

#[test]
fn no_input_makes_the_parser_panic() {
    let corpus = mesh_types::fuzzing::corpus(
        &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/records"),
    );
    for input in mesh_types::fuzzing::mutations(&corpus, 443, 20_000) {
        crate::fuzz::records(&input);
    }
}
