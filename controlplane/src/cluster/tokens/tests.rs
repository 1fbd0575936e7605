use base64::Engine as _;
use controlplane_ca::authenticator::Authenticator;
use controlplane_ca::caller::Caller;
use controlplane_ca::token::TokenKey;
use controlplane_k8s_api::parse;
use mesh_grpc::{AuthenticateCaller as _, Denied};
use mesh_kube::fake::FakeApi;
use mesh_types::TrustDomain;
use tonic::metadata::MetadataMap;

use super::*;
use crate::config::files::FileChange;

/// A token of a key that nobody publishes: three parts that look like one.
fn token() -> String {
    let part = |text: &str| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part(r#"{"alg":"RS256","kid":"new"}"#),
        part("{}"),
        part("signature")
    )
}

fn metadata() -> MetadataMap {
    let mut metadata = MetadataMap::new();
    let value = format!("Bearer {}", token()).parse().expect("ASCII");
    metadata.insert("authorization", value);
    metadata
}

fn accepted(uid: &str) -> serde_json::Value {
    json!({"authenticated": true, "audiences": ["istio-ca"], "user": {
        "username": "system:serviceaccount:istio-system:ztunnel",
        "extra": {POD_NAME: ["ztunnel-1"], POD_UID: [uid], NODE_NAME: ["node-a"]}
    }})
}

fn pod(uid: &str) -> FileChange {
    let text = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: ztunnel-1, namespace: istio-system, uid: '{uid}'}}, \
         spec: {{nodeName: node-a, serviceAccountName: ztunnel}}}}"
    );
    let object = parse(&text).remove(0).expect("a Pod");
    FileChange::Set(object.value.key().expect("a key"), Arc::new(object))
}

fn authenticator(api: &FakeApi, pods: &PodBoard) -> Authenticator {
    let dir = tempfile::tempdir().expect("a directory");
    let own = Arc::new(TokenKey::load_or_create(dir.path()).expect("a key"));
    let judge = TokenJudge::new(api.client(), pods.clone());
    Authenticator::new(own, TrustDomain::default()).with_cluster(judge)
}

fn asked(api: &FakeApi) -> usize {
    api.requests().iter().filter(|r| r.starts_with("POST")).count()
}

#[tokio::test]
async fn a_token_of_an_unknown_key_is_reviewed_once() {
    let api = FakeApi::new();
    api.review(&TOKEN_REVIEWS, accepted("1"));
    let authenticator = authenticator(&api, &PodBoard::default());
    for _ in 0..3 {
        let caller = authenticator.authenticate(&metadata(), None).await;
        let Ok(Caller::Token(subject)) = caller else {
            panic!("{caller:?}");
        };
        assert_eq!(
            (subject.account.to_string().as_str(), subject.node.as_str()),
            ("istio-system/ztunnel", "node-a")
        );
    }
    assert_eq!(asked(&api), 1);
    assert!(
        authenticator
            .good_for(&metadata(), None)
            .is_some_and(|time| time <= REVIEW_LASTS)
    );
}

/// As `kubectl create token` and istioctl ask for them.
#[tokio::test]
async fn a_token_that_is_bound_to_no_pod_lets_look_and_no_more() {
    let api = FakeApi::new();
    let unbound = json!({"authenticated": true, "audiences": ["istio-ca"], "user": {
        "username": "system:serviceaccount:istio-system:default"
    }});
    api.review(&TOKEN_REVIEWS, unbound);
    let authenticator = authenticator(&api, &PodBoard::default());
    let looks = authenticator.onlooker(&metadata(), None).await;
    assert_eq!(looks.as_deref(), Ok("istio-system"));
    let acts = authenticator.authenticate(&metadata(), None).await;
    assert!(matches!(acts, Err(Denied::Unauthenticated(_))), "{acts:?}");
    api.review(&TOKEN_REVIEWS, json!({"authenticated": false}));
    let nobody = authenticator.onlooker(&metadata(), None).await;
    assert!(matches!(nobody, Err(Denied::Unauthenticated(_))), "{nobody:?}");
}

#[tokio::test]
async fn a_review_that_says_no_is_a_no() {
    let api = FakeApi::new();
    let authenticator = authenticator(&api, &PodBoard::default());
    let mut other_audience = accepted("1");
    other_audience["audiences"] = json!(["https://kubernetes.default.svc"]);
    for said in [json!({"authenticated": false}), other_audience, json!({})] {
        api.review(&TOKEN_REVIEWS, said);
        let denied = authenticator.authenticate(&metadata(), None).await;
        assert!(matches!(denied, Err(Denied::Unauthenticated(_))), "{denied:?}");
    }
    api.away(true);
    let denied = authenticator.authenticate(&metadata(), None).await;
    assert!(matches!(denied, Err(Denied::Unavailable(_))), "{denied:?}");
}

#[tokio::test]
async fn a_pod_that_is_another_one_now_is_nobody_whatever_a_review_said() {
    let api = FakeApi::new();
    api.review(&TOKEN_REVIEWS, accepted("1"));
    let pods = PodBoard::default();
    let authenticator = authenticator(&api, &pods);
    pods.update(&[pod("1")]);
    assert!(authenticator.authenticate(&metadata(), None).await.is_ok());
    pods.update(&[pod("2")]);
    let denied = authenticator.authenticate(&metadata(), None).await;
    assert!(matches!(denied, Err(Denied::Unauthenticated(_))), "{denied:?}");
}

#[tokio::test(start_paused = true)]
async fn reviews_are_rationed() {
    let mut reviews = Reviews {
        said: HashMap::new(),
        allowed: REVIEWS_AT_ONCE,
        counted: Instant::now(),
    };
    let now = Instant::now();
    let allowed = (0..1000).filter(|_| reviews.may_ask(now)).count();
    assert_eq!(allowed, 50);
    let later = now + Duration::from_secs(1);
    assert_eq!((0..1000).filter(|_| reviews.may_ask(later)).count(), 10);
}
