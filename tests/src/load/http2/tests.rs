use super::{Client, PREFACE, Server};

/// What both say to each other until nobody has anything left to say; gives the answers.
fn talk(client: &mut Client, server: &mut Server, mut said: Vec<u8>, piece: usize) -> u32 {
    let mut complete = 0;
    while !said.is_empty() {
        let mut answered = Vec::new();
        for bytes in said.chunks(piece) {
            server.read(bytes, &mut answered).unwrap();
        }
        said.clear();
        for bytes in answered.chunks(piece) {
            complete += client.read(bytes, &mut said).unwrap();
        }
    }
    complete
}

#[test]
fn requests_are_answered_however_the_bytes_arrive() {
    for piece in [1, 9, 100, 100_000] {
        let (mut client, mut server) = (Client::default(), Server::default());
        let (mut said, mut greeting) = (Vec::new(), Vec::new());
        client.begin(&mut said);
        said.drain(..PREFACE.len());
        server.begin(&mut greeting);
        client.read(&greeting, &mut said).unwrap();
        let mut complete = 0;
        for _ in 0..200 {
            client.ask(&mut said);
            complete += talk(&mut client, &mut server, std::mem::take(&mut said), piece);
        }
        assert_eq!(complete, 200, "in pieces of {piece}");
    }
}

#[test]
fn answers_wait_for_the_connections_window() {
    let mut server = Server::default();
    let mut asked = Vec::new();
    let mut client = Client::default();
    for _ in 0..100 {
        client.ask(&mut asked);
    }
    let mut answered = Vec::new();
    server.read(&asked, &mut answered).unwrap();
    assert_eq!(server.waiting.len(), 100 - 63, "63 answers fit into 65,535 bytes");
    // 100 KiB more.
    let update = [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 1, 0x90, 0];
    server.read(&update, &mut answered).unwrap();
    assert!(server.waiting.is_empty());
}

#[test]
fn what_is_not_200_is_an_error() {
    let mut client = Client::default();
    // :status 500, end of stream.
    let refused = [0, 0, 1, 1, 5, 0, 0, 0, 1, 0x8e];
    assert!(client.read(&refused, &mut Vec::new()).is_err());
}
