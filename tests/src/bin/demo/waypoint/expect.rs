//! What must come back.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::call::Answer;

/// What must come back.
#[derive(Clone, Default)]
pub(super) struct Expect {
    /// Each kind of answer, and how many there may be; no others.
    pub(super) shares: Vec<Share>,
    /// How many milliseconds each may take.
    pub(super) within: Option<RangeInclusive<u64>>,
    /// What must stand in each.
    pub(super) says: &'static [&'static str],
    /// What must not.
    pub(super) lacks: &'static [&'static str],
}

/// One kind of answer.
#[derive(Clone)]
pub(super) struct Share {
    pub(super) status: &'static str,
    /// Who; [`WAYPOINT`] for the waypoint itself, [`ANYBODY`] for whoever.
    pub(super) by: &'static str,
    pub(super) count: RangeInclusive<usize>,
}

/// Nobody says that it was them.
pub(super) const WAYPOINT: &str = "";
pub(super) const ANYBODY: &str = "*";

impl Expect {
    /// One answer.
    pub(super) fn once(status: &'static str, by: &'static str) -> Self {
        Self::all(status, by, 1)
    }

    /// So many of the same.
    pub(super) fn all(status: &'static str, by: &'static str, count: usize) -> Self {
        Self::default().and(status, by, count..=count)
    }

    pub(super) fn and(
        mut self,
        status: &'static str,
        by: &'static str,
        count: RangeInclusive<usize>,
    ) -> Self {
        self.shares.push(Share { status, by, count });
        self
    }

    pub(super) fn within(mut self, ms: RangeInclusive<u64>) -> Self {
        self.within = Some(ms);
        self
    }

    pub(super) fn says(mut self, words: &'static [&'static str]) -> Self {
        self.says = words;
        self
    }

    pub(super) fn lacks(mut self, words: &'static [&'static str]) -> Self {
        self.lacks = words;
        self
    }

    /// What is not as it must be.
    pub(super) fn doubts(&self, answers: &[Answer]) -> Vec<String> {
        let mut doubts = Vec::new();
        let mut counts = vec![0; self.shares.len()];
        for answer in answers {
            match self.shares.iter().position(|s| s.takes(answer)) {
                Some(share) => counts[share] += 1,
                None => doubts.push(format!("unexpected: {}", one(answer))),
            }
            let took = u64::try_from(answer.took.as_millis()).unwrap_or(u64::MAX);
            if let Some(within) = self.within.as_ref().filter(|w| !w.contains(&took)) {
                doubts.push(format!(
                    "took {took} ms instead of {} to {}",
                    within.start(),
                    within.end()
                ));
            }
            let missing = self.says.iter().filter(|w| !answer.text.contains(**w));
            let unwanted = self.lacks.iter().filter(|w| answer.text.contains(**w));
            doubts.extend(unwanted.map(|w| format!("{w:?} in {:?}", short(&answer.text))));
            doubts.extend(missing.map(|w| format!("nothing of {w:?} in {:?}", short(&answer.text))));
        }
        for (share, count) in self.shares.iter().zip(counts) {
            if !share.count.contains(&count) {
                doubts.push(format!(
                    "{count} times {} {} instead of {} to {}",
                    share.status,
                    share.by,
                    share.count.start(),
                    share.count.end()
                ));
            }
        }
        doubts.dedup();
        doubts
    }
}

impl Share {
    fn takes(&self, answer: &Answer) -> bool {
        self.status == answer.status && (self.by == ANYBODY || self.by == answer.by)
    }
}

/// Answers, each kind once with its number.
pub(super) fn summary(answers: &[Answer]) -> String {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for answer in answers {
        *kinds.entry(one(answer)).or_default() += 1;
    }
    let parts: Vec<_> = kinds
        .into_iter()
        .map(|(kind, count)| match count {
            1 => kind,
            n => format!("{n} × {kind}"),
        })
        .collect();
    parts.join(", ")
}

fn one(answer: &Answer) -> String {
    match (answer.by.as_str(), answer.status.as_str()) {
        ("", "echo") => "echo".to_owned(),
        ("", status) => format!("{status} by the waypoint"),
        (by, status) => format!("{status} by {by}"),
    }
}

fn short(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(160)
        .collect()
}
