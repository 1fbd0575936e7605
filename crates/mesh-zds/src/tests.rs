//! Both ends over a real socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mesh_net::Netns;
use mesh_net::seqpacket::SeqPacket;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::client::{ClientError, Delivery};
use crate::message::{MAX_PACKET, encode_hello};
use crate::*;

struct Agent {
    server: ZdsServer,
    events: Arc<Mutex<Vec<ServerEvent>>>,
    task: JoinHandle<()>,
    path: PathBuf,
    dir: tempfile::TempDir,
}

impl Agent {
    fn start() -> Self {
        Self::start_with(|_| {})
    }

    fn start_with(fill: impl FnOnce(&ZdsServer)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("z.sock");
        let events = Arc::new(Mutex::new(Vec::new()));
        let options = ServerOptions {
            path: path.clone(),
            ..ServerOptions::default()
        };
        let seen = events.clone();
        let server = ZdsServer::new(options, move |event| seen.lock().push(event));
        fill(&server);
        let task = tokio::spawn(server.bind().expect("bind"));
        Self {
            server,
            events,
            task,
            path,
            dir,
        }
    }
}

fn pod(n: u8) -> Pod {
    Pod {
        uid: PodUid::new(format!("pod-{n}")),
        info: PodInfo {
            name: format!("web-{n}").into(),
            namespace: "shop".into(),
            service_account: "web".into(),
        },
        netns: Some(Netns::current().expect("own namespace")),
    }
}

/// The next message, answered with success, as text.
async fn take(client: &mut ZdsClient) -> String {
    take_and(client, Ok(())).await
}

async fn take_and(client: &mut ZdsClient, answer: Answer) -> String {
    match client.next().await {
        Delivery::Connected => "connected".to_owned(),
        Delivery::Disconnected(error) => format!("disconnected: {error}"),
        Delivery::Pod(event, reply) => {
            let text = match &event {
                PodEvent::Add { uid, info, netns } => {
                    assert_eq!(netns.id(), Netns::current().expect("own namespace").id());
                    format!(
                        "add {uid} {}/{} as {}",
                        info.namespace, info.name, info.service_account
                    )
                }
                PodEvent::Keep { uid } => format!("keep {uid}"),
                PodEvent::Del { uid } => format!("del {uid}"),
                PodEvent::SnapshotSent => "snapshot".to_owned(),
            };
            reply.send(answer).await.expect("the agent listens");
            text
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pods_cross_the_socket_with_their_namespaces() {
    let agent = Agent::start_with(|server| {
        server.restore(pod(1)).expect("fits");
        let nowhere = Pod {
            netns: None,
            ..pod(2)
        };
        server.restore(nowhere).expect("fits");
    });
    let mut client = ZdsClient::new(&agent.path);
    assert_eq!(take(&mut client).await, "connected");
    assert_eq!(take(&mut client).await, "add pod-1 shop/web-1 as web");
    assert_eq!(take(&mut client).await, "keep pod-2");
    assert_eq!(take(&mut client).await, "snapshot");

    let add = agent.server.add(pod(3));
    let (added, text) = tokio::join!(add, take(&mut client));
    assert_eq!((added, text.as_str()), (Ok(()), "add pod-3 shop/web-3 as web"));

    let uid = PodUid::new("pod-1");
    let ((), text) = tokio::join!(agent.server.del(&uid), take(&mut client));
    assert_eq!(text, "del pod-1");
    assert_eq!((agent.server.connected(), agent.server.enrolled()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_reaches_the_caller_in_ztunnels_words() {
    let agent = Agent::start();
    let mut client = ZdsClient::new(&agent.path);
    take(&mut client).await;
    take(&mut client).await;
    let refusal = Err(Refused("port 15001 is taken".to_owned()));
    let (added, _) = tokio::join!(agent.server.add(pod(1)), take_and(&mut client, refusal));
    assert_eq!(added, Err(ZdsError::Refused("port 15001 is taken".to_owned())));
    assert!(matches!(
        agent.events.lock().last(),
        Some(ServerEvent::Refused(..))
    ));
}

#[tokio::test(start_paused = true)]
async fn ztunnels_own_namespace_is_no_pods() {
    let agent = Agent::start();
    let own = Netns::current().expect("own namespace").id();
    let mut client = ZdsClient::new(&agent.path).refuse(own);
    take(&mut client).await;
    take(&mut client).await;
    // Nothing is delivered of it, and the connection goes on.
    let add = agent.server.add(pod(1));
    let (added, ()) = tokio::join!(add, async {
        tokio::select! {
            delivery = client.next() => panic!("{delivery:?}"),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    });
    let refused = "the descriptor is of ztunnel's own network namespace".to_owned();
    assert_eq!(added, Err(ZdsError::Refused(refused)));
    assert_eq!(agent.server.connected(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_reply_is_a_refusal_and_the_connection_goes_on() {
    let agent = Agent::start();
    let mut client = ZdsClient::new(&agent.path);
    take(&mut client).await;
    take(&mut client).await;
    let taker = async {
        drop(client.next().await);
        let other = agent.server.add(pod(2));
        tokio::join!(other, take(&mut client))
    };
    let (first, (second, _)) = tokio::join!(agent.server.add(pod(1)), taker);
    assert!(matches!(first, Err(ZdsError::Refused(_))), "{first:?}");
    assert_eq!(second, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_client_outlives_its_agent_and_gets_the_snapshot_again() {
    let agent = Agent::start();
    let mut client = ZdsClient::new(&agent.path);
    take(&mut client).await;
    take(&mut client).await;
    agent.task.abort();
    assert!(take(&mut client).await.starts_with("disconnected"));
    assert!(
        take(&mut client)
            .await
            .starts_with("disconnected: cannot connect")
    );

    let options = ServerOptions {
        path: agent.path.clone(),
        ..ServerOptions::default()
    };
    let successor = ZdsServer::new(options, |_| {});
    successor.restore(pod(7)).expect("fits");
    let _task = tokio::spawn(successor.bind().expect("bind"));
    assert_eq!(take(&mut client).await, "connected");
    assert_eq!(take(&mut client).await, "add pod-7 shop/web-7 as web");
    assert_eq!(take(&mut client).await, "snapshot");
    drop(agent.dir);
}

#[tokio::test(start_paused = true)]
async fn a_silent_ztunnel_is_cut_off_and_the_caller_told() {
    let agent = Agent::start();
    let mut client = ZdsClient::new(&agent.path);
    take(&mut client).await;
    take(&mut client).await;
    // Paused time passes the 5 s as soon as nobody has anything else to do.
    assert_eq!(agent.server.add(pod(1)).await, Err(ZdsError::NoAnswer));
    assert_eq!(agent.server.connected(), 0);
    assert_eq!(agent.server.enrolled(), 1);
}

#[tokio::test(start_paused = true)]
async fn packets_that_make_no_sense_close_only_their_own_connection() {
    let agent = Agent::start();
    let mut good = ZdsClient::new(&agent.path);
    take(&mut good).await;
    take(&mut good).await;
    for first in [&[0xff, 0xff][..], &[8, 7], &[0; MAX_PACKET + 1]] {
        let bad = connect(&agent.path);
        bad.send(first, None).await.expect("sent");
        let end = bad.recv(&mut [0; MAX_PACKET]).await;
        assert!(!matches!(end, Ok(Some(_))), "{end:?}");
    }
    let stray = connect(&agent.path);
    stray.send(&encode_hello(), None).await.expect("sent");
    stray.send(&[0x0a, 0], None).await.expect("sent");
    stray.send(&[0x0a, 0], None).await.expect("sent");
    while let Ok(Some(_)) = stray.recv(&mut [0; MAX_PACKET]).await {}

    let (added, _) = tokio::join!(agent.server.add(pod(1)), take(&mut good));
    assert_eq!(added, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_client_refuses_what_makes_no_sense_and_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("z.sock");
    let listener = mesh_net::seqpacket::SeqPacketListener::bind(&path).expect("bind");
    let agent = async {
        let socket = listener.accept().await.expect("a client");
        let mut buf = [0; MAX_PACKET];
        socket.recv(&mut buf).await.expect("hello");
        let add = PodEvent::Add {
            uid: PodUid::new("u"),
            info: pod(1).info,
            netns: (),
        };
        let mut answers = Vec::new();
        let file = std::fs::File::open("/dev/null").expect("a file");
        use std::os::fd::AsFd as _;
        for (packet, fd) in [
            (vec![0xff], None),
            (add.encode().expect("fits"), None),
            // A descriptor of the wrong kind is none.
            (add.encode().expect("fits"), Some(file.as_fd())),
            (PodEvent::<()>::SnapshotSent.encode().expect("fits"), None),
        ] {
            socket.send(&packet, fd).await.expect("sent");
            let received = socket.recv(&mut buf).await.expect("an answer").expect("open");
            answers.push(message::decode_answer(&buf[..received.len]).expect("an answer"));
        }
        answers
    };
    let mut client = ZdsClient::new(&path);
    let reader = async {
        take(&mut client).await;
        take(&mut client).await
    };
    let (answers, text) = tokio::join!(agent, reader);
    assert_eq!(text, "snapshot");
    assert!(answers[..3].iter().all(Result::is_err), "{answers:?}");
    assert_eq!(answers[3], Ok(()));
}

#[tokio::test]
async fn a_missing_agent_is_named_with_its_path() {
    let mut client = ZdsClient::new("/nonexistent/z.sock");
    let Delivery::Disconnected(error @ ClientError::Connect { .. }) = client.next().await else {
        panic!("nobody listens there");
    };
    assert!(error.to_string().contains("/nonexistent/z.sock"));
}

#[test]
fn fuzz_packets() {
    let corpus = mesh_types::fuzzing::corpus(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fuzz/corpus/packet"
    )));
    for input in mesh_types::fuzzing::mutations(&corpus, 1, 20_000) {
        fuzz::packet(&input);
    }
}

fn connect(path: &Path) -> SeqPacket {
    SeqPacket::connect(path).expect("the agent listens")
}
