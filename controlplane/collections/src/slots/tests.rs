use std::collections::HashMap;

use super::*;

#[test]
fn a_key_has_one_number_until_it_is_removed() {
    let mut slots: Slots<String, u32> = Slots::new();
    let mut numbers = HashMap::new();
    for n in 0..1000_u32 {
        let key = format!("key {n}");
        let number = slots.number(&key);
        *slots.get_mut(number) = n;
        assert!(numbers.insert(number, n).is_none(), "{number} was given twice");
    }
    for n in (0..1000).step_by(3) {
        let number = slots.find(&format!("key {n}")).expect("it is there");
        assert_eq!(slots.remove(number), n);
        assert_eq!((slots.key(number), *slots.get(number)), (None, 0));
    }
    for n in 0..1000 {
        let found = slots.find(&format!("key {n}"));
        assert_eq!(found.is_some(), n % 3 != 0);
        if let Some(number) = found {
            assert_eq!(*slots.get(number), n);
            assert_eq!(slots.key(number), Some(&format!("key {n}")));
        }
    }
    let reused = slots.number(&"another".to_owned());
    assert!(numbers[&reused] % 3 == 0, "a number that is free");
    assert_eq!(*slots.get(reused), 0);
    assert_eq!(slots.number(&"another".to_owned()), reused);
}

#[test]
fn a_number_is_removed_once() {
    let mut slots: Slots<&str, u32> = Slots::new();
    let number = slots.number(&"a");
    *slots.get_mut(number) = 7;
    assert_eq!(slots.remove(number), 7);
    assert_eq!(slots.remove(number), 0);
    let (b, c) = (slots.number(&"b"), slots.number(&"c"));
    assert_ne!(b, c);
}
