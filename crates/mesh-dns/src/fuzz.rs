//! Entry points for fuzzing: what each takes, and what must hold whatever the bytes.

use std::net::IpAddr;

use crate::message::{Kind, Query, Reply, question, read_answer, refuse_unread, reply};

/// A message from a client. Whatever is answered is an answer that a client can read, no longer than was asked for.
///
/// # Panics
/// Panics when that does not hold.
pub fn query(data: &[u8]) {
    let query = match Query::read(data) {
        Ok(query) => query,
        Err(why) => {
            if let Some(answer) = refuse_unread(data, why) {
                assert_eq!(&answer[..2], &data[..2], "the client's own id");
            }
            return;
        }
    };
    let name = query.name();
    assert!(!query.to_string().is_empty());
    let addresses: Vec<IpAddr> = (0..100u8)
        .flat_map(|n| {
            [
                IpAddr::from([10, 0, 0, n]),
                IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(n)]),
            ]
        })
        .collect();
    for alias in [None, Some("end.of.the.alias")] {
        let answer = Reply::Addresses {
            alias,
            addresses: &addresses,
            ttl: 30,
        };
        let answer = reply(&query, &answer, query.payload());
        // What EDNS adds must fit, too, but need not within 512 bytes.
        assert!(answer.len() <= query.payload() + 11, "{} bytes", answer.len());
        assert_eq!(&answer[..2], &data[..2], "the client's own id");
        if let (Some(_), Kind::A | Kind::Aaaa) = (&name, query.kind()) {
            let read = read_answer(data, &answer, query.kind());
            assert_ne!(read, Err(crate::message::Unusable::Mismatch));
            assert_ne!(read, Err(crate::message::Unusable::Malformed));
        }
    }
}

/// A message from a server.
pub fn answer(data: &[u8]) {
    for kind in [Kind::A, Kind::Aaaa] {
        let mut asked = question(0, "example.com", kind).expect("a host name");
        if let Some(id) = data.get(..2) {
            asked[..2].copy_from_slice(id);
        }
        if let Ok(found) = read_answer(&asked, data, kind) {
            let wanted = |ip: &IpAddr| ip.is_ipv4() == (kind == Kind::A);
            assert!(found.addresses.iter().all(wanted), "only what was asked for");
        }
    }
}

#[cfg(test)]
mod tests;
