use std::cell::RefCell;
use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jsonwebtoken::Algorithm;
use mesh_model::l7::authentication::{Authentication, JwtRule};
use mesh_model::l7::{Created, ObjectRef, Policy, Target};
use mesh_runtime::supervise::supervisor;
use mesh_state::l7::{L7Kind, L7Update, l7};
use mesh_testkit::Issuer;
use mesh_types::NamespacedName;
use serde_json::json;
use tokio::task::{LocalSet, spawn_local};

use super::*;
use crate::filters::jwt::token::Token;
use crate::stream::{Stream, pipe::pipe};

/// A server that is asked through pipes: what it answers next, and how often it was asked.
#[derive(Clone, Default)]
struct Server {
    answer: Rc<RefCell<Option<(u16, Bytes)>>>,
    asked: Rc<RefCell<Vec<String>>>,
}

impl Server {
    fn answers(&self, status: u16, body: impl Into<Bytes>) {
        *self.answer.borrow_mut() = Some((status, body.into()));
    }

    fn asked(&self) -> usize {
        self.asked.borrow().len()
    }
}

impl Network for Server {
    async fn connect(&self, host: &str, port: u16) -> Result<Stream, FetchError> {
        let (near, far) = pipe();
        let server = self.clone();
        let to = format!("{host}:{port}");
        let service = service_fn(move |request: Request<Incoming>| {
            server.asked.borrow_mut().push(format!("{to}{}", request.uri()));
            let answer = server.answer.borrow().clone();
            async move {
                let Some((status, body)) = answer else {
                    // Nobody answers.
                    std::future::pending::<()>().await;
                    unreachable!("it never ends");
                };
                let mut response = Response::new(Full::new(body));
                *response.status_mut() = status.try_into().unwrap();
                Ok::<_, Infallible>(response)
            }
        });
        let io = TokioIo::new(Stream::from(far));
        spawn_local(async move { drop(http1::Builder::new().serve_connection(io, service).await) });
        Ok(near.into())
    }
}

fn rule(uri: &str) -> JwtRule {
    JwtRule {
        issuer: "me".into(),
        audiences: Vec::new(),
        keys: Source::Remote {
            uri: uri.into(),
            timeout: Duration::from_secs(5),
        },
        locations: Vec::new(),
        payload_header: None,
        claim_headers: Vec::new(),
        forward: false,
        space_delimited_claims: Vec::new(),
    }
}

fn policy(uri: &str) -> Policy {
    Policy {
        part: "".into(),
        object: ObjectRef {
            kind: "RequestAuthentication".into(),
            name: NamespacedName::new("shop", "jwt"),
        },
        targets: vec![Target::Mesh],
        created: Created::unknown(),
        kind: PolicyKind::Authentication(Authentication {
            rules: vec![rule(uri)],
        }),
    }
}

fn token(issuer: &Issuer) -> Token {
    Token::parse(&issuer.token(&json!({"iss": "me"}))).unwrap()
}

const URI: &str = "http://issuer.example:8080/keys?v=1";
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a test with a policy that names [`URI`], in paused time.
fn followed<F: Future<Output = ()>>(test: impl FnOnce(KeySets, Server, mesh_state::l7::L7Writer) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (mut writer, reader) = l7();
        writer.apply(vec![L7Update::Policy(Arc::new(policy(URI)))]);
        let (tasks, _failures) = supervisor();
        let (sets, server) = (KeySets::default(), Server::default());
        spawn_local(follow(sets.clone(), reader, tasks, Rc::new(server.clone())));
        test(sets, server, writer).await;
    });
}

#[test]
fn keys_are_fetched_before_anybody_asks_and_refreshed() {
    followed(|sets, server, _writer| async move {
        let (old, new) = (Issuer::new(Algorithm::ES256), Issuer::new(Algorithm::ES256));
        server.answers(200, old.keys());
        let set = sets.at(&URI.into());
        let keys = set.keys(PATIENCE).await.unwrap();
        assert_eq!(keys.verify(&token(&old)), Ok(()));
        assert_eq!(*server.asked.borrow(), ["issuer.example:8080/keys?v=1"]);
        server.answers(200, new.keys());
        sleep(REFRESH * 2).await;
        assert_eq!(set.keys(PATIENCE).await.unwrap().verify(&token(&new)), Ok(()));
    });
}

#[test]
fn what_is_known_stays_while_nothing_newer_can_be_had() {
    followed(|sets, server, _writer| async move {
        let issuer = Issuer::new(Algorithm::ES256);
        server.answers(200, issuer.keys());
        let set = sets.at(&URI.into());
        set.keys(PATIENCE).await.unwrap();
        let bad = ["no", "{}", r#"{"keys":[]}"#].map(|body| (200, Bytes::from(body)));
        let large = (200, Bytes::from(vec![b' '; 600 * 1024]));
        let moved = (302, Bytes::from(issuer.keys()));
        for (status, body) in bad.into_iter().chain([large, moved, (503, Bytes::new())]) {
            server.answers(status, body);
            sleep(REFRESH * 2).await;
            assert!(set.now().error.is_some(), "{status}");
            assert_eq!(set.keys(PATIENCE).await.unwrap().verify(&token(&issuer)), Ok(()));
        }
        // Tried again soon, and then less and less often.
        let before = server.asked();
        sleep(Duration::from_secs(600)).await;
        assert!(
            (8..=14).contains(&(server.asked() - before)),
            "{}",
            server.asked() - before
        );
        server.answers(200, issuer.keys());
        sleep(LONGEST_RETRY * 2).await;
        assert!(set.now().error.is_none());
    });
}

#[test]
fn nobody_waits_longer_than_it_may_take() {
    followed(|sets, server, _writer| async move {
        let set = sets.at(&URI.into());
        let began = Instant::now();
        assert!(set.keys(Duration::from_secs(1)).await.is_none());
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        // The attempt is over after its own time; then nobody waits at all.
        sleep(Duration::from_secs(5)).await;
        assert_eq!(set.now().error.as_deref(), Some("it took too long"));
        let began = Instant::now();
        assert!(set.keys(PATIENCE).await.is_none());
        assert!(began.elapsed() < Duration::from_millis(1));
        assert!(server.asked() >= 1);
    });
}

#[test]
fn an_unknown_key_is_asked_for_but_not_all_the_time() {
    followed(|sets, server, _writer| async move {
        let old = Issuer::new(Algorithm::ES256);
        let new = Issuer::new(Algorithm::ES256).named(Some("key-2"));
        server.answers(200, old.keys());
        let set = sets.at(&URI.into());
        set.keys(PATIENCE).await.unwrap();
        server.answers(200, new.keys());
        assert!(set.newer_keys(PATIENCE).await.is_none(), "only just fetched");
        sleep(AGAIN).await;
        let keys = set.newer_keys(PATIENCE).await.unwrap();
        assert_eq!(keys.verify(&token(&new)), Ok(()));
        let asked = server.asked();
        for _ in 0..1000 {
            assert!(set.newer_keys(PATIENCE).await.is_none());
        }
        assert_eq!(server.asked(), asked);
    });
}

#[test]
fn what_no_policy_names_is_forgotten() {
    followed(|sets, server, mut writer| async move {
        server.answers(200, Issuer::new(Algorithm::ES256).keys());
        sets.at(&URI.into()).keys(PATIENCE).await.unwrap();
        writer.apply(vec![L7Update::Remove(L7Kind::Policy, policy(URI).key())]);
        sleep(Duration::from_secs(1)).await;
        assert!(sets.all().is_empty());
        let asked = server.asked();
        sleep(REFRESH * 3).await;
        assert_eq!(server.asked(), asked);
    });
}

#[tokio::test]
async fn only_addresses_of_key_sets_are_asked() {
    for uri in ["ftp://a/", "//a/", "http:///x", "http://user@a/", "not a uri"] {
        let result = fetch(&Server::default(), uri).await;
        assert!(matches!(result, Err(FetchError::Uri(_))), "{uri}");
    }
}
