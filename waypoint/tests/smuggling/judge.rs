//! Whether what stood on connections behind a proxy is what its client asked for. Pure.

use std::collections::BTreeSet;

use waypoint::telemetry::Report;

use crate::servers::{self, End, Read, Reader, SERVERS, Seen};

/// What the waypoint tells of a request.
#[derive(Debug)]
pub(crate) struct Told {
    method: String,
    path: String,
    attempts: usize,
    /// Bytes of its body that came.
    received: u64,
    /// A server's answer went to the client.
    pub(crate) answered: bool,
}

/// What a client read.
#[derive(Debug)]
pub(crate) struct Answers {
    statuses: Vec<u16>,
    /// Method and target of what servers answered.
    seen: Vec<String>,
}

impl Told {
    pub(crate) fn of(report: &Report) -> Self {
        let line = report.request.as_ref();
        Self {
            method: line.map_or_else(String::new, |line| line.method.to_string()),
            path: line.map_or_else(String::new, |line| line.path.to_string()),
            attempts: report.attempts as usize,
            received: report.received,
            answered: report.details == "via_upstream",
        }
    }

    /// As it would be told if it was tried once, and answered where it is whole.
    pub(crate) fn tried(made: &Seen) -> Self {
        Self {
            method: made.method.clone(),
            path: made.target.clone(),
            attempts: 1,
            received: made.body.chars().count() as u64,
            answered: made.whole,
        }
    }
}

/// Whether it is the request behind a case.
pub(crate) fn is_settled(report: &Report) -> bool {
    let line = report.request.as_ref();
    line.is_some_and(|line| line.path.as_str() == "/settled")
}

/// What a client was answered.
pub(crate) fn answers(bytes: &[u8]) -> Answers {
    let text = String::from_utf8_lossy(bytes);
    let heads = text
        .match_indices("HTTP/1.")
        .filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok());
    let seen = text.lines().filter_map(|line| line.strip_prefix("x-seen: "));
    Answers {
        statuses: heads.filter(|status| *status != 100).collect(),
        seen: seen.map(str::to_owned).collect(),
    }
}

impl Answers {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.statuses.len()
    }

    /// Whether they are answers to these requests, in their order, and what is refused at once has no other one.
    pub(crate) fn refused(&self, made: &Read) -> Result<(), String> {
        let mut requests = made
            .requests
            .iter()
            .map(|seen| format!("{} {}", seen.method, seen.target));
        let mut answers = self.seen.iter();
        if let Some(stray) = answers.find(|seen| !requests.any(|request| same_target(&request, seen))) {
            return Err(format!("an answer to {stray}: {:?}", made.requests));
        }
        let refused = made.end == End::Bad && made.requests.is_empty();
        let errors = self.statuses.len() == 1 && self.statuses[0] >= 400;
        if refused && !errors {
            return Err(format!("not refused, but answered with {:?}", self.statuses));
        }
        Ok(())
    }
}

/// Whether all servers read what the client made, and what was told.
pub(crate) fn judge(made: &[Seen], told: &[Told], written: &[Vec<u8>]) -> Result<(), String> {
    let seen = unjudged(told, written)?;
    for request in &seen {
        let same = |made: &&Seen| {
            let body = match request.whole {
                true => made.whole && made.body == request.body,
                false => made.body.starts_with(&request.body),
            };
            made.method == request.method && same_target(&made.target, &request.target) && body
        };
        if !made.iter().any(|made| same(&made)) {
            return Err(format!("nobody asked for {request:?}, but for {made:?}"));
        }
    }
    Ok(())
}

/// Paths are made comparable on their way: escapes are written in capitals.
fn same_target(asked: &str, read: &str) -> bool {
    asked.eq_ignore_ascii_case(read)
}

/// Whether all servers read the same, and nothing but what was told; gives what they read.
pub(crate) fn unjudged(told: &[Told], written: &[Vec<u8>]) -> Result<Vec<Seen>, String> {
    let mut seen = Vec::new();
    for bytes in written {
        let strict = servers::read(bytes, Reader::Strict);
        for reader in SERVERS {
            let other = servers::read(bytes, reader);
            if other != strict {
                return Err(format!("{reader:?} reads {other:?}, a strict server {strict:?}"));
            }
        }
        if strict.end == End::Bad {
            let text = String::from_utf8_lossy(bytes);
            return Err(format!("no server should read that: {text:?}"));
        }
        seen.extend(strict.requests);
    }
    seen.retain(|seen| seen.target != "/settled");
    let lines: BTreeSet<_> = seen.iter().map(|seen| (&seen.method, &seen.target)).collect();
    for (method, target) in lines {
        let told = told
            .iter()
            .filter(|told| told.method == *method && same_target(&told.path, target));
        let told: Vec<_> = told.collect();
        let read = seen
            .iter()
            .filter(|seen| seen.method == *method && seen.target == *target);
        let (whole, part): (Vec<_>, Vec<_>) = read.partition(|seen| seen.whole);
        let tries: usize = told.iter().map(|told| told.attempts).sum();
        let answered = told.iter().filter(|told| told.answered).count();
        if whole.len() + part.len() > tries || answered > whole.len() {
            return Err(format!("{whole:?} and {part:?} were read, and told was {told:?}"));
        }
        let known = |seen: &&Seen| {
            told.iter()
                .any(|told| told.received == seen.body.chars().count() as u64)
        };
        if let Some(strange) = whole.into_iter().find(|seen| !known(seen)) {
            return Err(format!("{strange:?} has a body that was not told: {told:?}"));
        }
    }
    let unseen = |told: &&Told| {
        let read = |seen: &Seen| seen.method == told.method && same_target(&told.path, &seen.target);
        told.answered && !seen.iter().any(read)
    };
    if let Some(stray) = told.iter().find(unseen) {
        return Err(format!("an answer to what nobody read: {stray:?}"));
    }
    Ok(seen)
}
