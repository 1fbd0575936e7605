use std::os::unix::net::UnixListener;
use std::thread;

use super::*;

fn answered(answer: &'static [u8]) -> Result<Answer, AgentError> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.sock");
    let listener = UnixListener::bind(&path).expect("bind");
    let agent = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a plugin");
        let mut request = Vec::new();
        let mut chunk = [0; 1024];
        while !is_complete(&request) {
            let n = stream.read(&mut chunk).expect("a request");
            request.extend_from_slice(&chunk[..n]);
        }
        stream.write_all(answer).expect("the plugin reads");
        request
    });
    let result = ask(&path, &Event::Status, Duration::from_secs(20));
    let request = agent.join().expect("the agent ends");
    assert!(request.starts_with(b"POST /status HTTP/1.1\r\n") && request.ends_with(b"\r\n\r\n{}"));
    result
}

#[test]
fn yes_and_no_are_told_apart() {
    let yes = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("an answer");
    assert_eq!(yes.status, 200);
    let no = answered(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 12\r\n\r\nno ztunnel\x1b\n");
    let no = no.expect("an answer");
    assert_eq!((no.status, no.text.as_str()), (503, "no ztunnel"));
    let chunked =
        b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n5;x=y\r\n luck\r\n0\r\n\r\n";
    assert_eq!(answered(chunked).expect("an answer").text, "bad luck");
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    for answer in [&b"SSH-2.0\r\n\r\n"[..], b"HTTP/1.1 2x0 OK\r\n\r\n"] {
        assert!(
            matches!(answered(answer), Err(AgentError::Malformed(_))),
            "{answer:?}"
        );
    }
}

#[test]
fn an_agent_that_ends_before_its_answer_is_named_with_what_to_do() {
    for answer in [&b""[..], b"HTTP/1.1 200"] {
        let ended = answered(answer).expect_err("no answer");
        assert!(matches!(ended, AgentError::Ended { .. }), "{ended:?}");
        let text = ended.to_string();
        assert!(
            text.contains("a.sock ended before it answered (stopped, killed or restarted"),
            "{text}"
        );
        assert!(text.contains("has to ask again"), "{text}");
    }
}

#[test]
fn an_agent_that_is_killed_with_the_request_unread_has_ended_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.sock");
    let listener = UnixListener::bind(&path).expect("bind");
    let agent = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a plugin");
        // The rest stays unread, so that the end of this socket is a reset.
        stream.read_exact(&mut [0; 4]).expect("a request");
    });
    let ended = ask(&path, &Event::Status, Duration::from_secs(20)).expect_err("no answer");
    agent.join().expect("the agent ends");
    assert!(matches!(ended, AgentError::Ended { .. }), "{ended:?}");
}

#[test]
fn an_absent_and_a_silent_agent_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.sock");
    let absent = ask(&path, &Event::Status, Duration::from_secs(1)).expect_err("nobody listens");
    assert!(absent.to_string().contains("not running"), "{absent}");
    let _listener = UnixListener::bind(&path).expect("bind");
    let silent = ask(&path, &Event::Status, Duration::from_millis(20)).expect_err("nobody answers");
    assert!(matches!(silent, AgentError::TimedOut { .. }), "{silent}");
}
