use std::io::Read;
use std::os::unix::fs::FileTypeExt;

use super::*;

#[tokio::test]
async fn packets_keep_their_bounds_and_bring_a_descriptor() {
    let (a, b) = SeqPacket::pair().unwrap();
    let (mut reader, writer) = io::pipe().unwrap();
    a.send(b"first", None).await.unwrap();
    a.send(b"second", Some(writer.as_fd())).await.unwrap();
    drop(writer);

    let mut buf = [0; 64];
    let first = b.recv(&mut buf).await.unwrap().unwrap();
    assert_eq!((&buf[..first.len], first.fd.is_some()), (&b"first"[..], false));
    let second = b.recv(&mut buf).await.unwrap().unwrap();
    assert_eq!(&buf[..second.len], b"second");
    // Only the received copy keeps the pipe open.
    let copy = fs::File::from(second.fd.unwrap());
    io::Write::write_all(&mut &copy, b"through it").unwrap();
    drop(copy);
    let mut through = String::new();
    reader.read_to_string(&mut through).unwrap();
    assert_eq!(through, "through it");
}

#[tokio::test]
async fn a_longer_packet_than_the_buffer_is_refused() {
    let (a, b) = SeqPacket::pair().unwrap();
    a.send(&[7; 65], None).await.unwrap();
    a.send(&[8; 64], None).await.unwrap();
    let mut buf = [0; 64];
    assert_eq!(
        b.recv(&mut buf).await.unwrap_err().kind(),
        io::ErrorKind::InvalidData
    );
    let next = b.recv(&mut buf).await.unwrap().unwrap();
    assert_eq!((next.len, buf[0]), (64, 8));
}

#[tokio::test]
async fn more_than_one_descriptor_is_refused_and_none_stays_open() {
    for many in [2, 100] {
        let (a, b) = SeqPacket::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let fds = vec![writer.as_fd().as_raw_fd(); many];
        let rights = [ControlMessage::ScmRights(&fds)];
        sendmsg::<()>(
            a.as_fd().as_raw_fd(),
            &[IoSlice::new(b"x")],
            &rights,
            MsgFlags::empty(),
            None,
        )
        .unwrap();
        drop(writer);
        let error = b.recv(&mut [0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        // End of file: every copy of the writing end is closed.
        assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
    }
}

#[tokio::test]
async fn a_closed_peer_ends_the_stream() {
    let (a, b) = SeqPacket::pair().unwrap();
    drop(a);
    assert!(b.recv(&mut [0; 8]).await.unwrap().is_none());
    assert_eq!(
        b.send(b"x", None).await.unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
}

#[tokio::test]
async fn listening_and_connecting() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("zds.sock");
    assert_eq!(
        SeqPacket::connect(&path).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    let listener = SeqPacketListener::bind(&path).unwrap();
    let meta = fs::symlink_metadata(&path).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.mode() & 0o777, 0o600);

    let client = SeqPacket::connect(&path).unwrap();
    let server = listener.accept().await.unwrap();
    client.send(b"hello", None).await.unwrap();
    let mut buf = [0; 8];
    assert_eq!(server.recv(&mut buf).await.unwrap().unwrap().len, 5);
    let peer = server.peer().unwrap();
    assert_eq!(peer.pid, std::process::id().cast_signed());
    assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
}

#[tokio::test]
async fn a_successor_takes_the_path_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("zds.sock");
    let old = SeqPacketListener::bind(&path).unwrap();
    let new = SeqPacketListener::bind(&path).unwrap();
    drop(old);
    let _client = SeqPacket::connect(&path).unwrap();
    new.accept().await.unwrap();
    drop(new);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_refused() {
    let path = Path::new("/tmp").join("x".repeat(120));
    assert!(SeqPacketListener::bind(&path).is_err());
    assert!(SeqPacket::connect(&path).is_err());
}
