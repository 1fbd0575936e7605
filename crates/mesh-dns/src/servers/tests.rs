use std::fs;

use tokio::net::TcpListener;

use crate::message::{Kind, Reply, Trouble, question, read_answer, reply};

use super::*;
use crate::message::question as question_of;

/// A server on a port of its own, for both transports, which treats each question as told.
#[derive(Clone, Copy)]
enum Manner {
    Answers(&'static str),
    Fails,
    /// First an answer with another id, one to another question and rubbish, then the true one.
    AmongForgeries,
    Silent,
}

fn answer(question: &[u8], manner: Manner) -> Vec<u8> {
    let query = Query::read(question).unwrap();
    let ip = match manner {
        Manner::Answers(ip) => ip,
        _ => "192.0.2.1",
    };
    let addresses = [ip.parse().unwrap()];
    let addresses = Reply::Addresses {
        alias: None,
        addresses: &addresses,
        ttl: 30,
    };
    match manner {
        Manner::Fails => reply(&query, &Reply::Trouble(Trouble::Failure), 512),
        _ => reply(&query, &addresses, 512),
    }
}

async fn serve(socket: UdpSocket, listener: TcpListener, manner: Manner) {
    let datagrams = async {
        let mut buffer = [0; 1500];
        loop {
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
                continue;
            };
            let question = &buffer[..length];
            if matches!(manner, Manner::Silent) {
                continue;
            }
            if matches!(manner, Manner::AmongForgeries) {
                let mut forged = answer(question, Manner::Answers("192.0.2.66"));
                forged[0] ^= 0xff;
                let mut other = question_of(0, "other.example", Kind::A).unwrap();
                other[..2].copy_from_slice(&question[..2]);
                let other = answer(&other, Manner::Answers("192.0.2.66"));
                for wrong in [forged.as_slice(), other.as_slice(), b"rubbish"] {
                    let _ = socket.send_to(wrong, from).await;
                }
            }
            let _ = socket.send_to(&answer(question, manner), from).await;
        }
    };
    let streams = async {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else {
                continue;
            };
            while let Ok(Some(question)) = read_framed(&mut stream).await {
                let _ = write_framed(&mut stream, &answer(&question, manner)).await;
            }
        }
    };
    tokio::join!(datagrams, streams);
}

/// Starts servers, and gives what asks them.
async fn servers(manners: &[Manner]) -> Servers {
    let mut list = Vec::new();
    for manner in manners {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(at).await.unwrap();
        list.push(at);
        tokio::spawn(serve(socket, listener, *manner));
    }
    Servers::new(ResolvConf::fixed(list)).with_timing(Timing {
        attempt: Duration::from_millis(300),
        total: Duration::from_secs(20),
    })
}

async fn ask(manners: &[Manner], transport: Transport) -> Result<String, AskError> {
    let servers = servers(manners).await;
    let question = question(4711, "a.example", Kind::A).unwrap();
    let answer = servers.ask(&Link::default(), &question, transport).await?;
    assert_eq!(&answer[..2], &question[..2], "the client's own id comes back");
    Ok(match read_answer(&question, &answer, Kind::A) {
        Ok(found) => found.addresses[0].to_string(),
        Err(why) => why.to_string(),
    })
}

#[tokio::test]
async fn the_first_that_is_of_help_answers() {
    let (one, two) = (Manner::Answers("192.0.2.1"), Manner::Answers("192.0.2.2"));
    for transport in [Transport::Udp, Transport::Tcp] {
        for (manners, expected) in [
            (vec![one, two], "192.0.2.1"),
            (vec![Manner::Fails, two], "192.0.2.2"),
            (vec![Manner::Fails, Manner::Fails], "the server answered SERVFAIL"),
        ] {
            assert_eq!(ask(&manners, transport).await.unwrap(), expected);
        }
    }
    assert_eq!(
        ask(&[Manner::Silent, two], Transport::Udp).await.unwrap(),
        "192.0.2.2"
    );
}

#[tokio::test]
async fn what_was_not_asked_is_not_heard() {
    assert_eq!(
        ask(&[Manner::AmongForgeries], Transport::Udp).await.unwrap(),
        "192.0.2.1"
    );
}

#[tokio::test]
async fn nobody_who_answers_is_an_error() {
    assert!(matches!(ask(&[], Transport::Udp).await, Err(AskError::NoServer)));
    assert!(matches!(
        ask(&[Manner::Silent], Transport::Udp).await,
        Err(AskError::TimedOut)
    ));
    let servers = servers(&[Manner::Silent]).await;
    let rubbish = servers.ask(&Link::default(), b"rubbish", Transport::Udp).await;
    assert!(matches!(rubbish, Err(AskError::NotAQuestion)));
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("resolv.conf");
    fs::write(&nowhere, "").unwrap();
    let none = Servers::new(ResolvConf::at(nowhere));
    let question = question(1, "a.example", Kind::A).unwrap();
    assert!(matches!(
        none.ask(&Link::default(), &question, Transport::Tcp).await,
        Err(AskError::NoServer)
    ));
}
