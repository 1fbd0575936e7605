//! Somebody else writes what this agent announces: it is announced again, but at no rate that the other one sets.
//!
//! The first time it is done at once. Then a pause begins, and what happens in it waits for its end; each pause that
//! something waited for is followed by one twice as long, and one that nothing waited for ends it all.

use std::time::Duration;

use super::Epoch;

/// What is known of other writers of one pod's announcement.
#[derive(Debug, Default)]
pub(super) struct Drift {
    /// Pauses in a row.
    rounds: u32,
    pause: Option<Epoch>,
    /// The repair waits for the end of the pause.
    held: bool,
}

impl Drift {
    /// What was announced is not what is there. Gives the pause that begins, which [`Self::over`] is to end, unless one
    /// is under way.
    pub(super) fn found(&mut self, epoch: Epoch) -> Option<Duration> {
        if self.pause.is_some() {
            self.held = true;
            return None;
        }
        Some(self.pause(epoch))
    }

    /// The pause of this epoch has passed. Gives the next one, where a repair waited and is made now.
    pub(super) fn over(&mut self, epoch: Epoch, next: Epoch) -> Option<Duration> {
        self.pause.take_if(|pause| *pause == epoch)?;
        if std::mem::take(&mut self.held) {
            return Some(self.pause(next));
        }
        self.rounds = 0;
        None
    }

    /// Whether a repair is to wait.
    pub(super) fn holds(&self) -> bool {
        self.held
    }

    /// It is announced for another reason.
    pub(super) fn announced(&mut self) {
        self.held = false;
    }

    fn pause(&mut self, epoch: Epoch) -> Duration {
        self.pause = Some(epoch);
        let pause = SHORTEST.saturating_mul(1 << self.rounds.min(16)).min(LONGEST);
        self.rounds += 1;
        pause
    }
}

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_fights_is_answered_less_and_less_often_and_peace_forgets_it() {
        let mut drift = Drift::default();
        let mut pauses = vec![drift.found(Epoch(0)).expect("at once")];
        assert!(!drift.holds());
        for n in 0..8 {
            assert_eq!(drift.found(Epoch(100)), None);
            assert!(drift.holds());
            assert_eq!(drift.over(Epoch(99), Epoch(98)), None, "not its pause");
            pauses.push(drift.over(Epoch(n), Epoch(n + 1)).expect("a repair waited"));
            assert!(!drift.holds());
        }
        let seconds: Vec<_> = pauses.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(drift.over(Epoch(8), Epoch(9)), None);
        assert_eq!(drift.found(Epoch(9)), Some(SHORTEST));
    }
}
