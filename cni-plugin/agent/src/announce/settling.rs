//! How long the rules of a pod that leaves the mesh stay. An annotation says that it leaves, which nobody acknowledges; our
//! control plane can be asked who has heard. Where it cannot, or is another one, others are given some time.

use std::time::Duration;

use mesh_grpc::GrpcChannel;
use mesh_register::settled::{Answer, AskError, Question, await_plain};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::enroll::Record;

/// Waits until others know of a pod that it has left.
#[derive(Debug)]
pub struct Settling {
    /// How long they are given where nobody can say.
    blind: Duration,
    ask: Option<Ask>,
    /// Why nobody says, as it was told last.
    told: Mutex<Option<String>>,
}

/// Whom to ask who has heard.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The control plane.
    pub channel: GrpcChannel,
    /// For how long to wait at most.
    pub patience: Duration,
}

/// What follows from an answer.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// Everybody has: nothing is waited for.
    ByAll,
    /// Not everybody has, and the time is over; who has not.
    NotByAll(String),
    /// Nobody can say; why, where that is to be told.
    Unknown(Option<String>),
}

impl Settling {
    /// Others are given this time, where nobody is there to ask.
    #[must_use]
    pub fn blindly(blind: Duration) -> Self {
        Self {
            blind,
            ask: None,
            told: Mutex::default(),
        }
    }

    /// The same, asking first.
    #[must_use]
    pub fn asking(self, ask: Ask) -> Self {
        Self {
            ask: Some(ask),
            ..self
        }
    }

    /// Returns when the rules of a pod may go, whose annotation has gone just now.
    pub(super) async fn settled(&self, record: &Record) {
        let began = Instant::now();
        match self.ask(record).await {
            Heard::ByAll => return,
            Heard::NotByAll(standing) => {
                tracing::warn!(pod = %record.pod, "a pod leaves the mesh before everybody knows it: {standing}");
            }
            Heard::Unknown(why) => self.tell(why),
        }
        sleep_until(began + self.blind).await;
    }

    async fn ask(&self, record: &Record) -> Heard {
        let Some(Ask { channel, patience }) = self.ask.clone() else {
            return Heard::Unknown(None);
        };
        let question = Question {
            workload: record.pod.clone(),
            addresses: record.ips.clone(),
            wait: patience,
        };
        heard(await_plain(channel, &question).await)
    }

    /// Once, until it is another reason: pods may leave by the hundred.
    fn tell(&self, why: Option<String>) {
        let mut told = self.told.lock();
        if let (Some(why), true) = (&why, *told != why) {
            let seconds = self.blind.as_secs();
            tracing::info!("nobody says who knows of pods that leave, others are given {seconds} s: {why}");
        }
        *told = why;
    }
}

fn heard(answer: Result<Answer, AskError>) -> Heard {
    match answer {
        Ok(answer) if answer.standing.is_settled() => Heard::ByAll,
        Ok(answer) => Heard::NotByAll(answer.standing.to_string()),
        // Another control plane: it is as it always was there.
        Err(AskError::NotServed) => Heard::Unknown(None),
        Err(error) => Heard::Unknown(Some(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
