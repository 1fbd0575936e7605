//! Which of what is published a subscriber refuses, by the sequence numbers of the changes: a resource that changes again,
//! or goes, is no longer the one that was refused. It stays refused whatever else is accepted meanwhile, since the
//! subscriber keeps what it had before.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What is refused. What a subscriber can make it hold is bounded: beyond that whole stretches count as refused, so that
/// too little is called accepted rather than too much.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Each change, and why.
    these: BTreeMap<u64, Arc<str>>,
    /// When they were too many.
    stretch: Option<Stretch>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stretch {
    changes: RangeInclusive<u64>,
    why: Arc<str>,
}

impl Refused {
    /// Whether this change is refused.
    #[must_use]
    pub fn contains(&self, change: u64) -> bool {
        let stretch = self.stretch.as_ref();
        self.these.contains_key(&change) || stretch.is_some_and(|of| of.changes.contains(&change))
    }

    /// The first change that is refused.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        let stretch = self.stretch.as_ref().map(|of| *of.changes.start());
        let these = self.these.keys().next().copied();
        these.into_iter().chain(stretch).min()
    }

    /// Why the last one is; nothing where none is.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        let these = self.these.last_key_value().map(|(_, why)| why);
        let stretch = self.stretch.as_ref().map(|of| &of.why);
        these.or(stretch).map(|why| &**why)
    }

    pub(super) fn add(&mut self, changes: impl IntoIterator<Item = u64>, why: &Arc<str>) {
        for change in changes {
            self.these.insert(change, why.clone());
            if self.these.len() > MAX_CHANGES {
                self.merge(why);
            }
        }
    }

    /// These were sent again, and accepted.
    pub(super) fn accept(&mut self, changes: &[u64]) {
        for change in changes {
            self.these.remove(change);
        }
    }

    /// Forgets what does not stand any more.
    pub(super) fn retain(&mut self, stands: impl Fn(RangeInclusive<u64>) -> bool) {
        self.these.retain(|change, _| stands(*change..=*change));
        self.stretch.take_if(|stretch| !stands(stretch.changes.clone()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.these.is_empty() && self.stretch.is_none()
    }

    fn merge(&mut self, why: &Arc<str>) {
        let changes = std::mem::take(&mut self.these);
        let these = changes.keys().next().zip(changes.keys().next_back());
        let (mut first, mut last) = these.map_or((u64::MAX, 0), |(first, last)| (*first, *last));
        if let Some(before) = &self.stretch {
            first = first.min(*before.changes.start());
            last = last.max(*before.changes.end());
        }
        self.stretch = Some(Stretch {
            changes: first..=last,
            why: why.clone(),
        });
    }
}

/// Changes that are remembered one by one.
const MAX_CHANGES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> Arc<str> {
        text.into()
    }

    #[test]
    fn each_refusal_has_its_own_reason_until_it_stands_no_more() {
        let mut refused = Refused::default();
        refused.add([5], &why("five"));
        refused.add([9], &why("nine"));
        assert_eq!((refused.first(), refused.why()), (Some(5), Some("nine")));
        refused.retain(|changes| !changes.contains(&9));
        assert_eq!((refused.first(), refused.why()), (Some(5), Some("five")));
        assert!(refused.contains(5) && !refused.contains(9));
        refused.accept(&[5]);
        assert!(refused.is_empty() && refused.why().is_none());
    }

    #[test]
    fn however_much_is_refused_little_is_remembered_and_nothing_counts_as_accepted() {
        let mut refused = Refused::default();
        refused.add(10..10_000, &why("many"));
        assert!(refused.these.len() <= MAX_CHANGES);
        assert!((10..10_000).all(|change| refused.contains(change)));
        assert!(!refused.contains(9) && !refused.contains(10_000));
        assert_eq!((refused.first(), refused.why()), (Some(10), Some("many")));
        refused.retain(|changes| changes.contains(&11));
        assert!(refused.contains(11), "part of it stands");
        refused.retain(|_| false);
        assert!(refused.is_empty());
    }
}
