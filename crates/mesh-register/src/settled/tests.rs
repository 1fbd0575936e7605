//! Both ends in one process, over in-memory pipes.

use hyper_util::rt::TokioIo;
use mesh_grpc::{
    AuthenticateCaller, ConnectionInfo, Credentials, Denied, GrpcChannel, TokenSource, channel_over,
};
use mesh_proto::lateen::settled::v1 as messages;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;

use super::*;

/// The token says who calls.
struct Gate;

impl AuthenticateCaller for Gate {
    type Caller = String;

    async fn authenticate(
        &self,
        metadata: &MetadataMap,
        _: Option<&ConnectionInfo>,
    ) -> Result<String, Denied> {
        match mesh_grpc::caller::bearer_token(metadata)? {
            "nobody" => Err(Denied::Unauthenticated("bad token".to_owned())),
            known => Ok(known.to_owned()),
        }
    }
}

/// Everybody has heard after a while.
struct After(Duration);

impl Settle for After {
    type Caller = String;
    type Scope = ();

    fn scope(&self, caller: &String) -> Result<(), Denied> {
        match caller.as_str() {
            "agent" => Ok(()),
            _ => Err(Denied::Forbidden("no agent".to_owned())),
        }
    }

    async fn await_plain(&self, (): (), question: Question) -> Answer {
        assert_eq!(question, leaving(question.wait));
        sleep(self.0.min(question.wait)).await;
        let heard = self.0 <= question.wait;
        Answer {
            instance: "one".to_owned(),
            standing: Standing {
                proxies: 2,
                acknowledged: if heard { 2 } else { 1 },
                missing: (!heard)
                    .then(|| "z.istio-system".to_owned())
                    .into_iter()
                    .collect(),
                ..Standing::default()
            },
        }
    }
}

fn leaving(wait: Duration) -> Question {
    Question {
        workload: NamespacedName::new("shop", "web"),
        addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        wait,
    }
}

fn pipes(token: &str) -> (GrpcChannel, mpsc::Receiver<DuplexStream>) {
    let (connections, accepted) = mpsc::channel::<DuplexStream>(16);
    let connector = tower::service_fn(move |_: http::Uri| {
        let connections = connections.clone();
        async move {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let refused = |_| std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            connections.send(far).await.map_err(refused)?;
            Ok::<_, std::io::Error>(TokioIo::new(near))
        }
    });
    (
        channel_over(connector, Credentials::new(TokenSource::literal(token))),
        accepted,
    )
}

async fn ask(token: &str, heard_after: Duration, wait: Duration) -> Result<Answer, AskError> {
    let (channel, accepted) = pipes(token);
    let server = SettledServer::new(Gate, After(heard_after));
    let router = mesh_grpc::serve::builder().add_service(server.into_service());
    let incoming = ReceiverStream::new(accepted).map(Ok::<_, std::io::Error>);
    tokio::spawn(router.serve_with_incoming(incoming));
    await_plain(channel, &leaving(wait)).await
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn an_answer_comes_as_soon_as_everybody_has_heard() {
    let began = Instant::now();
    let answer = ask("agent", SECOND, 10 * SECOND).await.expect("an answer");
    assert!(answer.standing.is_settled(), "{answer:?}");
    assert!(began.elapsed() < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_it_is_told_who_is_missing() {
    let answer = ask("agent", 20 * SECOND, 10 * SECOND).await.expect("an answer");
    assert!(!answer.standing.is_settled());
    assert_eq!(
        answer.standing.to_string(),
        "1 of 2 proxies know it, not z.istio-system"
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_known_or_no_agent_is_refused() {
    for token in ["nobody", "somebody"] {
        let refused = ask(token, SECOND, SECOND).await;
        assert!(matches!(refused, Err(AskError::Refused(_))), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_without_it_says_so_at_once() {
    let (channel, accepted) = pipes("agent");
    // As istiod: there are services on the port, and this is none of them.
    let other = tonic::service::Routes::default();
    let router = mesh_grpc::serve::builder().add_routes(other);
    let incoming = ReceiverStream::new(accepted).map(Ok::<_, std::io::Error>);
    tokio::spawn(router.serve_with_incoming(incoming));
    let began = Instant::now();
    let asked = await_plain(channel, &leaving(10 * SECOND)).await;
    assert_eq!(asked, Err(AskError::NotServed));
    assert!(began.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn one_that_never_answers_is_waited_for_no_longer_than_was_said() {
    let (channel, _never_accepted) = pipes("agent");
    let began = Instant::now();
    let asked = await_plain(channel, &leaving(SECOND)).await;
    assert!(matches!(asked, Err(AskError::Unavailable(_))), "{asked:?}");
    assert!(began.elapsed() < 2 * SECOND);
}

#[test]
fn what_is_malformed_is_named() {
    let good = messages::AwaitPlainRequest::from(&leaving(SECOND));
    let field =
        |request: messages::AwaitPlainRequest| Question::try_from(request).expect_err("malformed").field;
    let nameless = messages::AwaitPlainRequest {
        name: "a/b".to_owned(),
        ..good.clone()
    };
    assert_eq!(field(nameless), "name");
    let mut short = good.clone();
    short.addresses[1] = vec![1, 2, 3].into();
    assert_eq!(field(short), "addresses[1]");
    let patient = messages::AwaitPlainRequest {
        wait_milliseconds: u32::MAX,
        ..good
    };
    assert_eq!(Question::try_from(patient).map(|q| q.wait), Ok(MAX_WAIT));
    let answer = messages::AwaitPlainResponse {
        proxies: 1,
        acknowledged: 2,
        ..Default::default()
    };
    assert_eq!(
        Answer::try_from(answer).expect_err("malformed").field,
        "acknowledged"
    );
}

#[test]
fn what_replicas_say_adds_up_and_one_that_is_behind_or_silent_keeps_it_open() {
    let heard = Standing {
        proxies: 2,
        acknowledged: 2,
        ..Standing::default()
    };
    let behind = Standing {
        behind: 1,
        ..Standing::default()
    };
    let many = Standing {
        proxies: 20,
        acknowledged: 0,
        missing: (0..MAX_MISSING).map(|n| format!("z{n}")).collect(),
        ..Standing::default()
    };
    assert!(heard.clone().and(heard.clone()).is_settled());
    assert!(!heard.clone().and(behind).is_settled());
    assert!(!heard.clone().and(Standing::silent()).is_settled());
    let all = many.clone().and(many).and(heard).and(Standing::silent());
    assert_eq!((all.proxies, all.acknowledged), (42, 2));
    assert_eq!(all.missing.len(), MAX_MISSING);
    assert!(all.to_string().ends_with("; replicas that do not answer: 1"));
}
