use super::{Answers, QUESTION, Questions, answer};

#[test]
fn answers_are_counted_however_they_arrive() {
    let three = answer().repeat(3);
    for size in [1, 7, 100, 1500, three.len()] {
        let mut answers = Answers::default();
        let complete: u32 = three.chunks(size).map(|c| answers.read(c).unwrap()).sum();
        assert_eq!(complete, 3, "in pieces of {size}");
    }
}

#[test]
fn requests_are_counted_however_they_arrive() {
    let three = QUESTION.repeat(3);
    for size in [1, 7, 50, three.len()] {
        let mut questions = Questions::default();
        let complete: u32 = three.chunks(size).map(|c| questions.read(c)).sum();
        assert_eq!(complete, 3, "in pieces of {size}");
    }
}

#[test]
fn what_is_not_200_is_an_error() {
    let mut answers = Answers::default();
    let refused = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 1\r\n\r\nx";
    assert!(answers.read(refused).is_err());
}
