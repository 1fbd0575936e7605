//! One question: whose it is, what other shards say of it, and what is left.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_extensions::rate_limit::{Counted, CurrentLimit, DescriptorStatus, Hit};
use mesh_quota::{Asked, Shards, Status, Unit};

use crate::clock::Clock;
use crate::limits::{Board, Caller, Unknown};
use crate::metrics::{Metrics, Outcome};
use crate::store::{NotDurable, Store};

/// Other shards.
pub trait Peers {
    /// Asks the shard of this number, marked so that it answers itself.
    fn ask(
        &self,
        shard: usize,
        hit: &Hit,
        limit: Duration,
    ) -> impl Future<Output = Result<Counted, PeerError>>;
}

/// Why another shard did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PeerError(pub String);

/// Answers questions.
#[derive(Debug)]
pub struct Service<P> {
    /// What is limited.
    pub board: Board,
    /// What this shard counts.
    pub store: Store,
    /// All shards.
    pub shards: Shards,
    /// This one's number among them.
    pub own: usize,
    /// The others.
    pub peers: P,
    /// What is counted of counting.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: Clock,
}

/// Why there is no answer: what the policy's failure mode is for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody told of what is asked about, or it is not the caller's.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// Whoever counts it is away.
    #[error("shard {shard} does not answer: {why}")]
    Owner {
        /// Its name.
        shard: String,
        /// Why.
        why: PeerError,
    },
    /// The disk failed.
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
}

impl<P: Peers> Service<P> {
    /// Counts a request, or says why it cannot be.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn answer(&self, caller: Caller<'_>, hit: &Hit, limit: Duration) -> Result<Counted, Refused> {
        let answer = self.count(caller, hit, limit).await;
        self.metrics.decided(match &answer {
            Ok((counted, _)) if counted.over_limit => Outcome::OverLimit,
            Ok((_, true)) => Outcome::NearLimit,
            Ok((_, false)) => Outcome::Ok,
            Err(Refused::Unknown(_)) => Outcome::Refused,
            Err(Refused::Owner { .. } | Refused::NotDurable(_)) => Outcome::Unavailable,
        });
        answer.map(|(counted, _)| counted)
    }

    /// The answer, and whether little is left of what this shard counts.
    async fn count(
        &self,
        caller: Caller<'_>,
        hit: &Hit,
        limit: Duration,
    ) -> Result<(Counted, bool), Refused> {
        let asked = self.board.asked(caller, hit)?;
        let (own, others) = self.split(caller, &asked);
        let mut statuses = vec![DescriptorStatus::default(); asked.len()];
        let mut over = false;
        for (shard, places) in others {
            let answer = self.ask(shard, &places, hit, limit).await?;
            over |= answer.over_limit;
            for (place, status) in places.into_iter().zip(answer.statuses) {
                statuses[place] = status;
            }
            if over {
                break;
            }
        }
        let now = self.clock.now();
        let counted: Vec<Asked> = own.iter().filter_map(|place| asked[*place].clone()).collect();
        let told = match over {
            true => self.store.look(&counted, now),
            false => self.store.take(&counted, hit.hits, now).await?,
        };
        let near = told.iter().any(|status| status.near);
        for (place, status) in own.into_iter().zip(told) {
            over |= status.over;
            if status.together {
                self.metrics.together();
            }
            statuses[place] = told_of(&status);
        }
        let counted = Counted {
            over_limit: over,
            statuses,
            ..Counted::default()
        };
        Ok((counted, near))
    }

    /// The places of descriptors that this shard counts, and of those that others do. What another shard sent is counted
    /// here, whoever this one believes to be the owner.
    fn split(
        &self,
        caller: Caller<'_>,
        asked: &[Option<Asked>],
    ) -> (Vec<usize>, BTreeMap<usize, Vec<usize>>) {
        let (mut own, mut others) = (Vec::new(), BTreeMap::<usize, Vec<usize>>::new());
        for (place, asked) in asked.iter().enumerate() {
            let Some(asked) = asked else { continue };
            let owner = match caller {
                Caller::Shard => self.own,
                Caller::Proxy(_) => self.shards.owner(&asked.key),
            };
            match owner == self.own {
                true => own.push(place),
                false => others.entry(owner).or_default().push(place),
            }
        }
        (own, others)
    }

    async fn ask(
        &self,
        shard: usize,
        places: &[usize],
        hit: &Hit,
        limit: Duration,
    ) -> Result<Counted, Refused> {
        let part = Hit {
            domain: hit.domain.clone(),
            descriptors: places
                .iter()
                .map(|place| hit.descriptors[*place].clone())
                .collect(),
            hits: hit.hits,
        };
        let answer = self.peers.ask(shard, &part, limit).await;
        let answer = answer.and_then(|answer| match answer.statuses.len() == places.len() {
            true => Ok(answer),
            false => Err(PeerError("it answered about something else".to_owned())),
        });
        self.metrics.forwarded(answer.is_ok());
        answer.map_err(|why| Refused::Owner {
            shard: self.shards.names()[shard].clone(),
            why,
        })
    }
}

impl Refused {
    /// gRPC's status code.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::Unknown(Unknown::Domain(_)) => NOT_FOUND,
            Self::Unknown(Unknown::Caller(..)) => PERMISSION_DENIED,
            Self::Owner { .. } | Self::NotDurable(_) => UNAVAILABLE,
        }
    }
}

fn told_of(status: &Status) -> DescriptorStatus {
    DescriptorStatus {
        over_limit: status.over,
        limit: Some(CurrentLimit {
            requests: status.limit.requests,
            unit: unit(status.limit.unit),
            name: status.limit.name.clone(),
        }),
        remaining: u32::try_from(status.remaining).unwrap_or(u32::MAX),
        reset: Some(Duration::from_secs(status.reset)),
    }
}

fn unit(unit: Unit) -> mesh_extensions::rate_limit::Unit {
    use mesh_extensions::rate_limit::Unit as Wire;
    match unit {
        Unit::Second => Wire::Second,
        Unit::Minute => Wire::Minute,
        Unit::Hour => Wire::Hour,
        Unit::Day => Wire::Day,
        Unit::Week => Wire::Week,
        Unit::Month => Wire::Month,
        Unit::Year => Wire::Year,
    }
}

/// gRPC, "Status codes".
const NOT_FOUND: u32 = 5;
const PERMISSION_DENIED: u32 = 7;
const UNAVAILABLE: u32 = 14;
