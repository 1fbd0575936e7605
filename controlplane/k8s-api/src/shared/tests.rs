use super::*;

#[test]
fn a_change_is_of_one_holder_alone() {
    let mut one = Shared::<BTreeMap<_, _>>::from([("a", 1)]);
    let other = one.clone();
    assert!(one.is_shared() && other.is_shared());
    one.insert("b", 2);
    assert!(!one.is_shared() && !other.is_shared());
    assert_eq!((one.len(), other.len()), (2, 1));
    one.extend(other);
    assert_eq!(one.into_iter().collect::<Vec<_>>(), [("a", 1), ("b", 2)]);
}
