//! Asks the other replicas who of their proxies has heard of a pod.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use mesh_grpc::GrpcChannel;
use mesh_kube::KubeClient;
use mesh_register::settled::{Answer, Question, await_plain};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use crate::delivery::gather::{LIFETIME, OverTls, Replicas};

/// The other replicas.
pub trait Peers: Send + Sync + 'static {
    /// What each says, the asked one's own among them; nothing for one that says nothing.
    fn ask(&self, question: Question) -> impl Future<Output = Vec<Option<Answer>>> + Send;
}

/// Reaches one replica.
pub trait Reach: Send + Sync + 'static {
    /// A channel to it, as a replica.
    ///
    /// # Errors
    /// Fails when there can be none.
    fn reach(&self, replica: SocketAddr) -> Result<GrpcChannel>;
}

/// Those behind the control plane's Service.
pub struct BehindService<R> {
    client: KubeClient,
    replicas: Replicas,
    reach: R,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Where they are, as of then.
    addresses: Option<(Instant, Vec<SocketAddr>)>,
    /// Made then, each.
    channels: BTreeMap<SocketAddr, (Instant, GrpcChannel)>,
}

impl Reach for OverTls {
    fn reach(&self, replica: SocketAddr) -> Result<GrpcChannel> {
        self.channel(replica)
    }
}

impl<R: Reach> BehindService<R> {
    /// Those behind this Service.
    #[must_use]
    pub fn new(client: KubeClient, replicas: Replicas, reach: R) -> Self {
        Self {
            client,
            replicas,
            reach,
            known: Mutex::default(),
        }
    }

    /// Where they are; many pods that leave at once ask the API server once.
    async fn find(&self) -> Result<Vec<SocketAddr>> {
        if let Some((then, addresses)) = &self.known.lock().addresses
            && then.elapsed() < FRESH
        {
            return Ok(addresses.clone());
        }
        let found = self.replicas.find(&self.client).await?;
        let mut known = self.known.lock();
        known.channels.retain(|address, _| found.contains(address));
        known.addresses = Some((Instant::now(), found.clone()));
        Ok(found)
    }

    fn channel(&self, replica: SocketAddr) -> Result<GrpcChannel> {
        let mut known = self.known.lock();
        let made = known.channels.get(&replica);
        // Well before its certificate ends.
        if let Some((_, channel)) = made.filter(|(then, _)| then.elapsed() < LIFETIME / 2) {
            return Ok(channel.clone());
        }
        let channel = self.reach.reach(replica)?;
        known.channels.insert(replica, (Instant::now(), channel.clone()));
        Ok(channel)
    }

    /// All of them, once; each as long as the question says.
    async fn round(&self, question: &Question) -> Result<Vec<Option<Answer>>> {
        let replicas = self.find().await?;
        let ask = |replica| async move {
            let answer = await_plain(self.channel(replica)?, question).await;
            anyhow::Ok(answer.inspect_err(|error| tracing::debug!(%replica, "{error}"))?)
        };
        let answers = join_all(replicas.into_iter().map(ask)).await;
        Ok(answers.into_iter().map(Result::ok).collect())
    }
}

impl<R: Reach> Peers for BehindService<R> {
    async fn ask(&self, question: Question) -> Vec<Option<Answer>> {
        let until = Instant::now() + question.wait;
        let mut last = vec![None];
        loop {
            let wait = until.saturating_duration_since(Instant::now());
            let question = Question {
                wait,
                ..question.clone()
            };
            match timeout_at(until + AGAIN, self.round(&question)).await {
                Ok(Ok(answers)) => last = answers,
                // It is not known who they are.
                Ok(Err(error)) => {
                    tracing::debug!("the other replicas are not known: {error:#}");
                    last = vec![None];
                }
                Err(_) => {}
            }
            // One that has just begun, or just left, is there or is not named the next time.
            if last.iter().all(Option::is_some) || until <= Instant::now() + AGAIN {
                return last;
            }
            sleep(AGAIN).await;
        }
    }
}

/// For how long it counts where replicas are.
const FRESH: Duration = Duration::from_secs(1);
/// Between two rounds.
const AGAIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
