use std::collections::BTreeMap;

use fastrand::Rng;

use super::*;

#[derive(Clone, Debug, Default, PartialEq)]
struct Count(u32);

impl Part for Count {
    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

#[test]
fn it_is_a_map_and_its_clones_stay_what_they_were() {
    let mut rng = Rng::with_seed(3);
    let (mut map, mut model) = (ByName::<Count>::default(), BTreeMap::<String, u32>::new());
    let mut kept = Vec::new();
    for step in 0..5_000 {
        let name = format!("name-{}", rng.u32(..400));
        let to = rng.u32(..3);
        map.change(name.as_str().into(), |count| count.0 = to);
        match to {
            0 => drop(model.remove(&name)),
            _ => drop(model.insert(name, to)),
        }
        if step % 500 == 0 {
            kept.push((map.clone(), model.clone()));
        }
    }
    kept.push((map, model));
    for (map, model) in kept {
        assert_eq!(map.is_empty(), model.is_empty());
        assert_eq!(map.len, model.len());
        for n in 0..400 {
            let name = format!("name-{n}");
            assert_eq!(map.get(&name).map(|count| count.0), model.get(&name).copied());
        }
    }
}

#[test]
fn what_is_not_changed_is_shared() {
    let mut map = ByName::<Count>::default();
    for n in 0..1_000 {
        map.change(format!("name-{n}").into(), |count| count.0 = 1);
    }
    let before = map.clone();
    map.change("name-7".into(), |count| count.0 = 2);
    let (old, new) = (before.shards.unwrap(), map.shards.unwrap());
    let copied = old.iter().zip(&*new).filter(|(old, new)| !Arc::ptr_eq(old, new));
    assert_eq!(copied.count(), 1);
}
