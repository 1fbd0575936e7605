use super::*;

#[test]
fn a_pod_is_marked_by_the_word_alone() {
    assert_eq!(parse("web-0 enabled"), ("web-0".to_owned(), true));
    for line in ["web-0 ", "web-0", "web-0 pending"] {
        assert_eq!(parse(line), ("web-0".to_owned(), false), "{line}");
    }
}
