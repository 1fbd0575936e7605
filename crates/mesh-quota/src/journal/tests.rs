use super::{HEADER, NotALog, Reader, Record, header};
use crate::key::Key;
use crate::window::{Moment, Unit};

const SEED: u64 = 7;

fn record(n: u64) -> Record {
    Record {
        key: Key::new("shop", [("user", format!("user-{n}").as_str())]),
        window: Unit::Day.window(Moment(1_795_257_937)),
        amount: n,
    }
}

fn segment(records: &[Record]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = header(SEED).to_vec();
    let mut ends = vec![bytes.len()];
    for record in records {
        record.encode(SEED, &mut bytes);
        ends.push(bytes.len());
    }
    (bytes, ends)
}

#[test]
fn what_is_written_is_read() {
    let records: Vec<_> = (0..20).map(record).collect();
    let (bytes, _) = segment(&records);
    let mut reader = Reader::new(&bytes).unwrap();
    assert_eq!(reader.by_ref().collect::<Vec<_>>(), records);
    assert_eq!(reader.damaged(), 0);
}

#[test]
fn a_torn_tail_costs_only_the_torn_record() {
    let records: Vec<_> = (0..5).map(record).collect();
    let (bytes, ends) = segment(&records);
    for end in 0..=bytes.len() {
        let mut reader = Reader::new(&bytes[..end]).unwrap();
        let read: Vec<_> = reader.by_ref().collect();
        let whole = ends.iter().skip(1).filter(|e| **e <= end).count();
        assert_eq!(read, records[..whole], "at {end}");
        let good = if end < HEADER { 0 } else { ends[whole] };
        assert_eq!(reader.damaged(), end - good, "at {end}");
    }
}

#[test]
fn damage_within_costs_only_what_it_hits() {
    let records: Vec<_> = (0..5).map(record).collect();
    let (bytes, ends) = segment(&records);
    for at in HEADER..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        let hit = ends.iter().skip(1).position(|end| at < *end).unwrap();
        let mut left = records.clone();
        left.remove(hit);
        let read: Vec<_> = Reader::new(&bytes).unwrap().collect();
        assert_eq!(read, left, "byte {at}");
    }
}

#[test]
fn the_file_of_somebody_else_is_refused() {
    assert_eq!(
        Reader::new(b"some other file of enough bytes").err(),
        Some(NotALog)
    );
    // A header that was never written, as a file system may leave it.
    assert_eq!(Reader::new(&[0; 100]).unwrap().count(), 0);
}

#[test]
fn records_within_keys_are_no_records() {
    let mut forged = Vec::new();
    Record {
        amount: 0,
        ..record(1)
    }
    .encode(8, &mut forged);
    let mut bytes = header(SEED).to_vec();
    bytes.extend_from_slice(&forged);
    record(2).encode(SEED, &mut bytes);
    assert_eq!(Reader::new(&bytes).unwrap().collect::<Vec<_>>(), [record(2)]);
}
