use super::*;

#[test]
fn values_are_read_with_their_labels_whatever_these_say() {
    let page = "# HELP a_total words\n# TYPE a_total counter\n\
        a_total{one=\"1\",two=\"a \\\"b\\\", {c}\\\\\"} 3\na_total 4 1700000000\na_total_more 5\nb_total{one=\"1\"} 6\n\
        a_total{broken 7\na_total{one=\"unclosed} 8\na_total many\n";
    let found: Vec<Sample> = samples(page, "a_total").collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        (found[0].label("one"), found[0].label("two"), found[0].value),
        ("1", "a \"b\", {c}\\", 3.0)
    );
    assert_eq!((found[1].label("one"), found[1].value), ("", 4.0));
}
