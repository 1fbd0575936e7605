//! One fuzz target for the log's reader: whatever the bytes, what is read can be written and read again, and recovering
//! it leaves counters that obey their limits. Corpus in `fuzz/corpus/log/`.

use std::sync::Arc;

use crate::counters::{Asked, Counters};
use crate::journal::{Reader, Record, header};
use crate::limit::Limit;
use crate::window::Moment;

/// A segment of a log.
pub fn log(data: &[u8]) {
    let Ok(mut reader) = Reader::new(data) else { return };
    let records: Vec<Record> = reader.by_ref().collect();
    assert!(reader.damaged() <= data.len());
    let mut written = header(3).to_vec();
    records.iter().for_each(|record| record.encode(3, &mut written));
    let again = Reader::new(&written).into_iter().flatten();
    assert!(again.eq(records.iter().cloned()));

    let Some(last) = records.last().cloned() else {
        return;
    };
    let now = last.window.start;
    let mut counters = Counters::new(1000, 3);
    records
        .into_iter()
        .for_each(|record| counters.recover(record, now));
    let limit = Limit {
        name: "fuzz".into(),
        entries: Vec::new(),
        requests: 5,
        unit: last.window.unit,
    };
    let asked = Asked::new("fuzz", last.key, Arc::new(limit));
    let passed = (0..6).filter(|_| !counters.take(std::slice::from_ref(&asked), 1, now).statuses[0].over);
    assert_eq!(passed.count() as u64, 5_u64.saturating_sub(last.amount));
    counters.settle();
    let _ = counters.list("", 10, Moment(u64::MAX));
}

#[cfg(test)]
mod tests;
