//! Whether a service account's token is to be believed: by the API server's published keys and the pods in the watch.
//! The API server itself is asked (TokenReview) about what is newer than those, so often and not more often.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use controlplane_ca::authenticator::{AccountReview, ClusterTokens, Review, ReviewFailed};
use controlplane_ca::caller::{BoundPod, ServiceAccount};
use controlplane_ca::token::cluster::ClusterKeys;
use controlplane_ca::token::{AUDIENCE, InvalidToken, TokenSubject};
use mesh_kube::{KubeClient, Resource};
use parking_lot::{Mutex, RwLock};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::pods::PodBoard;

/// Judges tokens of a cluster.
#[derive(Debug)]
pub struct TokenJudge {
    client: KubeClient,
    pods: PodBoard,
    keys: RwLock<Option<Arc<ClusterKeys>>>,
    /// A token was signed with a key that is not known.
    wanted: Notify,
    reviews: Mutex<Reviews>,
}

/// What the API server said of tokens, and how often it was asked.
#[derive(Debug)]
struct Reviews {
    said: HashMap<[u8; 32], (TokenSubject, SystemTime)>,
    /// How many more questions are allowed now.
    allowed: f64,
    counted: Instant,
}

#[derive(Debug, Deserialize)]
struct Reviewed {
    status: ReviewStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReviewStatus {
    authenticated: bool,
    audiences: Vec<String>,
    user: User,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
    extra: HashMap<String, Vec<String>>,
}

impl TokenJudge {
    /// A judge that knows no keys yet.
    #[must_use]
    pub fn new(client: KubeClient, pods: PodBoard) -> Arc<Self> {
        Arc::new(Self {
            client,
            pods,
            keys: RwLock::default(),
            wanted: Notify::new(),
            reviews: Mutex::new(Reviews {
                said: HashMap::new(),
                allowed: REVIEWS_AT_ONCE,
                counted: Instant::now(),
            }),
        })
    }

    /// Fetches the API server's keys, again and again, and sooner when a token needs others. Runs for good.
    ///
    /// # Errors
    /// Never; the type is the supervisor's.
    pub async fn keep_keys(self: Arc<Self>) -> Result<(), Infallible> {
        let mut failed = false;
        loop {
            let pause = match self.fetch().await {
                Ok(keys) => {
                    *self.keys.write() = Some(Arc::new(keys));
                    failed = false;
                    KEYS_LAST
                }
                Err(e) => {
                    if !std::mem::replace(&mut failed, true) {
                        tracing::warn!("tokens are reviewed by the API server, one by one: {e}");
                    }
                    TRY_AGAIN
                }
            };
            // Whoever makes up key ids does not make us ask without a pause.
            sleep(FETCH_PAUSE).await;
            drop(timeout(pause, self.wanted.notified()).await);
        }
    }

    async fn fetch(&self) -> Result<ClusterKeys, String> {
        let discovery = self.client.text("/.well-known/openid-configuration").await;
        let keys = self.client.text("/openid/v1/jwks").await;
        let (discovery, keys) = (
            discovery.map_err(|e| e.to_string())?,
            keys.map_err(|e| e.to_string())?,
        );
        ClusterKeys::parse(&discovery, &keys).map_err(|e| e.to_string())
    }

    async fn ask(&self, token: &str, now: SystemTime) -> Result<TokenSubject, ReviewFailed> {
        let subject = subject(self.reviewed(token).await?)?;
        // The API server looked for the pod; here it may be another one by now.
        if self.pods.is_current(&subject) == Some(false) {
            return Err(InvalidToken::UnknownPod.into());
        }
        self.reviews.lock().remember(token, &subject, now);
        Ok(subject)
    }

    async fn reviewed(&self, token: &str) -> Result<ReviewStatus, ReviewFailed> {
        if !self.reviews.lock().may_ask(Instant::now()) {
            let busy = "too many tokens are to be reviewed".to_owned();
            return Err(ReviewFailed::Unavailable(busy));
        }
        let review = json!({
            "apiVersion": TOKEN_REVIEWS.api_version(),
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [AUDIENCE]},
        });
        let reviewed: Reviewed = self
            .client
            .create(&TOKEN_REVIEWS, "", &review)
            .await
            .map_err(|e| ReviewFailed::Unavailable(e.to_string()))?;
        Ok(reviewed.status)
    }
}

impl ClusterTokens for TokenJudge {
    fn verify_until(&self, token: &str, now: SystemTime) -> Result<(TokenSubject, SystemTime), InvalidToken> {
        let keys = self.keys.read().clone();
        let verified = keys.map_or(Err(InvalidToken::UnknownKey), |keys| {
            keys.verify_until(token, now)
        });
        let (subject, end) = match verified {
            Err(InvalidToken::UnknownKey) => {
                self.wanted.notify_one();
                self.reviews
                    .lock()
                    .said(token, now)
                    .ok_or(InvalidToken::UnknownKey)?
            }
            verified => verified?,
        };
        match self.pods.is_current(&subject) {
            Some(true) => Ok((subject, end)),
            // Of that name there is another: nobody needs to be asked.
            Some(false) => Err(InvalidToken::NotAccepted),
            None => self
                .reviews
                .lock()
                .said(token, now)
                .ok_or(InvalidToken::UnknownPod),
        }
    }

    fn review<'a>(&'a self, token: &'a str, now: SystemTime) -> Review<'a> {
        Box::pin(self.ask(token, now))
    }

    fn review_account<'a>(&'a self, token: &'a str) -> AccountReview<'a> {
        Box::pin(async { Ok(account(&self.reviewed(token).await?)?) })
    }
}

impl Reviews {
    /// A bucket that fills again with time.
    fn may_ask(&mut self, now: Instant) -> bool {
        let refill = now.duration_since(self.counted).as_secs_f64() * REVIEWS_PER_SECOND;
        self.allowed = (self.allowed + refill).min(REVIEWS_AT_ONCE);
        self.counted = now;
        let may = self.allowed >= 1.0;
        if may {
            self.allowed -= 1.0;
        }
        may
    }

    fn said(&self, token: &str, now: SystemTime) -> Option<(TokenSubject, SystemTime)> {
        let (subject, end) = self.said.get(&digest(token))?;
        (now < *end).then(|| (subject.clone(), *end))
    }

    fn remember(&mut self, token: &str, subject: &TokenSubject, now: SystemTime) {
        self.said.retain(|_, (_, end)| now < *end);
        self.said
            .insert(digest(token), (subject.clone(), now + REVIEW_LASTS));
    }
}

/// Whom a review says that the token speaks for.
fn subject(status: ReviewStatus) -> Result<TokenSubject, InvalidToken> {
    let account = account(&status)?;
    let mut extra = status.user.extra;
    let mut first = |key: &str| extra.remove(key).and_then(|values| values.into_iter().next());
    let (pod, uid) = (first(POD_NAME), first(POD_UID));
    let node = first(NODE_NAME).ok_or(InvalidToken::NoNode)?;
    let (name, uid) = pod.zip(uid).ok_or(InvalidToken::NoPod)?;
    Ok(TokenSubject {
        account,
        node,
        pod: Some(BoundPod { name, uid }),
    })
}

/// The account that a review names.
fn account(status: &ReviewStatus) -> Result<ServiceAccount, InvalidToken> {
    if !status.authenticated {
        return Err(InvalidToken::NotAccepted);
    }
    // An API server that knows no audiences names none.
    if !status.audiences.iter().any(|audience| audience == AUDIENCE) {
        return Err(InvalidToken::Audience);
    }
    let account = status.user.username.strip_prefix("system:serviceaccount:");
    let (namespace, name) = account
        .and_then(|account| account.split_once(':'))
        .ok_or(InvalidToken::Claims)?;
    ServiceAccount::new(namespace, name).ok_or(InvalidToken::Claims)
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

static TOKEN_REVIEWS: Resource =
    Resource::cluster_wide("authentication.k8s.io", "v1", "tokenreviews", "TokenReview");
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// API servers change keys rarely, and tell of them long before.
const KEYS_LAST: Duration = Duration::from_secs(300);
const TRY_AGAIN: Duration = Duration::from_secs(5);
const FETCH_PAUSE: Duration = Duration::from_secs(1);
/// After a restart of everything, nodes come all at once; then hardly anybody needs a review.
const REVIEWS_AT_ONCE: f64 = 50.0;
const REVIEWS_PER_SECOND: f64 = 10.0;
/// What a review said may be wrong by now: the pod may be gone.
const REVIEW_LASTS: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
