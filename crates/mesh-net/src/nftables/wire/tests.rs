use mesh_types::fuzzing::mutations;

use super::*;

#[test]
fn a_batch_is_framed_and_numbered_as_nfnetlink_reads_it() {
    let mut batch = Batch::new();
    batch.add(Kind::NewTable, &Attributes::default().text(1, "abc"));
    batch.add(Kind::NewRule, &Attributes::default());
    let batch = batch.end();
    assert_eq!(batch.last(), 2);
    let kinds: Vec<_> = messages(batch.as_bytes())
        .map(|m| {
            let kind = u16::from_ne_bytes([m[4], m[5]]);
            let sequence = u32::from_ne_bytes(m[8..12].try_into().unwrap());
            (kind, sequence, m[16], u16::from_be_bytes([m[18], m[19]]))
        })
        .collect();
    assert_eq!(
        kinds,
        [
            (16, 1, 0, 10),
            (10 << 8, 1, 1, 0),
            (10 << 8 | 6, 2, 1, 0),
            (17, 3, 0, 10)
        ]
    );
    let table = messages(batch.as_bytes()).nth(1).unwrap();
    let rule = messages(batch.as_bytes()).nth(2).unwrap();
    assert_eq!(
        (table[6] & 4, rule[6] & 4),
        (0, 4),
        "the last one asks for an answer"
    );
    assert_eq!(table[20..], [8, 0, 1, 0, b'a', b'b', b'c', 0]);
}

#[test]
fn attributes_are_aligned_and_nested() {
    let inner = Attributes::default().bytes(3, &[7]).number(2, 5);
    let outer = Attributes::default().nested(4, &inner);
    let expected = [20, 0, 4, 0x80, 5, 0, 3, 0, 7, 0, 0, 0, 8, 0, 2, 0, 0, 0, 0, 5];
    assert_eq!(outer.0, expected);
}

#[test]
fn acknowledgements_and_errors_are_told_apart_from_other_messages() {
    let told = |kind: u16, sequence: u32, error: i32| {
        let mut message = 36_u32.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 2]);
        message.extend(sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(error.to_ne_bytes());
        message.resize(36, 0);
        message
    };
    let answer = [told(ERROR, 1, 0), told(3, 2, 0), told(ERROR, 3, -1)].concat();
    assert_eq!(acknowledged(&answer).collect::<Vec<_>>(), [(1, 0), (3, 1)]);
    for cut in 0..answer.len() {
        assert!(acknowledged(&answer[..cut]).count() <= 2);
    }
}

#[test]
fn whatever_an_answer_holds_reading_it_ends_and_stays_within() {
    let mut batch = Batch::new();
    batch.add(Kind::NewTable, &Attributes::default().text(1, "abc"));
    batch.add(
        Kind::DeleteTable,
        &Attributes::default().number(2, 5).text(1, "abc"),
    );
    let batch = batch.end();
    let found: Vec<_> = tables(batch.as_bytes()).collect();
    assert_eq!(found, ["", "abc", "abc", ""]);
    for answer in mutations(&[batch.as_bytes().to_vec()], 7, 20_000) {
        assert!(tables(&answer).map(str::len).sum::<usize>() <= answer.len());
        assert!(acknowledged(&answer).count() * MESSAGE_HEADER <= answer.len());
        let value = first(&answer, NEW_GENERATION).and_then(|message| attribute(message, 1));
        assert!(value.is_none_or(|value| value.len() < answer.len()));
    }
}
