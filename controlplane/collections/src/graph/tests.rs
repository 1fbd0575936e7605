use std::collections::BTreeMap;

use super::*;

/// People by name with their town; towns by name with their country.
struct Fixture {
    graph: Graph,
    people: Collection<&'static str, &'static str>,
    towns: Collection<&'static str, &'static str>,
    country_of: Collection<&'static str, String>,
    population: Collection<&'static str, usize>,
    loud: Collection<&'static str, String>,
}

impl Fixture {
    fn new() -> Self {
        let mut graph = Graph::new();
        let people = graph.input("people");
        let towns: Collection<&str, &str> = graph.input("towns");
        let by_town = graph.index("people by town", people, |_, town| vec![*town]);
        let country_of = graph.derive("country of", people, move |fetch, _, town| {
            fetch.get(towns, town).map(|c| (*c).to_owned())
        });
        let population = graph.derive("population", towns, move |fetch, town, _| {
            Some(fetch.by(by_town, town).count())
        });
        let loud = graph.derive("loud", country_of, |_, _, country: &String| {
            Some(country.to_uppercase())
        });
        Self {
            graph,
            people,
            towns,
            country_of,
            population,
            loud,
        }
    }

    /// Settles; says how often each derivation ran.
    fn settle(&mut self) -> [u64; 3] {
        let before = self.runs();
        self.graph.settle();
        let after = self.runs();
        [after[0] - before[0], after[1] - before[1], after[2] - before[2]]
    }

    fn runs(&self) -> [u64; 3] {
        [
            self.graph.computations(self.country_of),
            self.graph.computations(self.population),
            self.graph.computations(self.loud),
        ]
    }

    fn settled() -> Self {
        let mut f = Self::new();
        for (town, country) in [("rome", "italy"), ("pisa", "italy"), ("bern", "switzerland")] {
            f.graph.set(f.towns, town, country);
        }
        for (person, town) in [("ada", "rome"), ("bob", "rome"), ("eve", "bern")] {
            f.graph.set(f.people, person, town);
        }
        assert_eq!(f.settle(), [3, 3, 3]);
        f.graph.take_changes(f.loud);
        f
    }
}

type Changes<V> = Vec<(&'static str, Option<V>, Option<V>)>;

fn changes<V: Value + Clone>(graph: &mut Graph, of: Collection<&'static str, V>) -> Changes<V> {
    let flat = |v: Option<Arc<V>>| v.map(|v| (*v).clone());
    let changes = graph.take_changes(of).into_iter();
    changes.map(|c| (c.key, flat(c.old), flat(c.new))).collect()
}

#[test]
fn only_what_read_a_change_is_computed_anew() {
    let mut f = Fixture::settled();
    f.graph.set(f.towns, "rome", "vatican");
    assert_eq!(f.settle(), [2, 1, 2], "ada and bob; rome; ada and bob");
    f.graph.set(f.people, "ada", "pisa");
    assert_eq!(f.settle(), [1, 2, 1], "ada; rome and pisa; ada");
    f.graph.set(f.towns, "oslo", "norway");
    assert_eq!(f.settle(), [0, 1, 0], "nobody lives there");
    assert_eq!(f.settle(), [0, 0, 0], "nothing happened");
}

#[test]
fn absent_key_is_a_dependency_too() {
    let mut f = Fixture::settled();
    f.graph.set(f.people, "ole", "oslo");
    assert_eq!(f.settle(), [1, 0, 0]);
    assert_eq!(f.graph.get(f.country_of, &"ole"), None);
    f.graph.set(f.towns, "oslo", "norway");
    assert_eq!(f.settle(), [1, 1, 1]);
    assert_eq!(
        changes(&mut f.graph, f.loud),
        [("ole", None, Some("NORWAY".to_owned()))]
    );
}

#[test]
fn equal_outputs_and_equal_inputs_stop_the_wave() {
    let mut f = Fixture::settled();
    f.graph.set(f.people, "ada", "pisa");
    f.graph.settle();
    assert_eq!(changes(&mut f.graph, f.loud), [], "still Italy");
    f.graph.set(f.towns, "rome", "italy");
    assert_eq!(f.settle(), [0, 0, 0]);
}

#[test]
fn what_came_and_went_between_two_looks_is_not_told() {
    let mut f = Fixture::settled();
    f.graph.set(f.towns, "bern", "germany");
    f.graph.settle();
    f.graph.set(f.towns, "bern", "switzerland");
    f.graph.settle();
    assert_eq!(changes(&mut f.graph, f.loud), []);
    f.graph.delete(f.people, "eve");
    f.graph.delete(f.people, "nobody");
    f.graph.settle();
    let gone = ("eve", Some("SWITZERLAND".to_owned()), None);
    assert_eq!(changes(&mut f.graph, f.loud), [gone]);
}

#[test]
fn old_dependencies_are_forgotten() {
    let mut f = Fixture::settled();
    f.graph.set(f.people, "ada", "pisa");
    f.graph.delete(f.people, "bob");
    f.graph.settle();
    f.graph.set(f.towns, "rome", "vatican");
    assert_eq!(f.settle(), [0, 1, 0], "nobody lives in rome any more");
}

#[test]
fn contested_output_goes_to_the_least_key_until_it_is_withdrawn() {
    let mut graph = Graph::new();
    let input = graph.input("input");
    let output = graph.derive_many("output", input, |_, key: &u8, wants: &Vec<&'static str>| {
        wants.iter().map(|w| (*w, *key)).collect()
    });
    graph.set(input, 2, vec!["a", "b", "b"]);
    graph.set(input, 1, vec!["a"]);
    graph.settle();
    let owner = |graph: &Graph, of| graph.get(output, &of).map(|v| **v);
    assert_eq!((owner(&graph, "a"), owner(&graph, "b")), (Some(1), Some(2)));
    graph.delete(input, 1);
    graph.settle();
    assert_eq!(owner(&graph, "a"), Some(2));
    graph.delete(input, 2);
    graph.settle();
    assert_eq!((owner(&graph, "a"), graph.len(output)), (None, 0));
}

#[test]
fn unused_fixtures_are_found() {
    let mut f = Fixture::settled();
    assert!(f.graph.unused().is_empty());
    let spare: Collection<&str, &str> = f.graph.input("spare");
    f.graph.set(spare, "x", "y");
    f.graph.settle();
    assert_eq!(f.graph.unused(), ["spare \"x\""]);
}

#[test]
fn graph_may_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&Graph::new());
}

/// Any history of changes must leave what computing everything afresh would give.
#[test]
fn any_history_ends_as_computed_afresh() {
    const TOWNS: [&str; 5] = ["a", "b", "c", "d", "e"];
    const PEOPLE: [&str; 8] = ["p", "q", "r", "s", "t", "u", "v", "w"];
    const COUNTRIES: [&str; 3] = ["x", "y", "z"];
    let mut random = 1_u64;
    let mut pick = move |n: usize| {
        // Knuth's MMIX generator; any would do.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % n
    };
    let mut f = Fixture::new();
    let (mut people, mut towns) = (BTreeMap::new(), BTreeMap::new());
    let mut told = BTreeMap::new();
    for _ in 0..3_000 {
        for _ in 0..=pick(3) {
            let (person, town, country) = (PEOPLE[pick(8)], TOWNS[pick(5)], COUNTRIES[pick(3)]);
            match pick(4) {
                0 => {
                    people.remove(person);
                    f.graph.delete(f.people, person);
                }
                1 => {
                    towns.remove(town);
                    f.graph.delete(f.towns, town);
                }
                2 => {
                    towns.insert(town, country);
                    f.graph.set(f.towns, town, country);
                }
                _ => {
                    people.insert(person, town);
                    f.graph.set(f.people, person, town);
                }
            }
        }
        f.graph.settle();
        let expected: BTreeMap<_, _> = people
            .iter()
            .filter_map(|(person, town)| Some((*person, towns.get(town)?.to_uppercase())))
            .collect();
        for (key, old, new) in changes(&mut f.graph, f.loud) {
            assert_eq!(told.get(key), old.as_ref());
            match new {
                Some(new) => told.insert(key, new),
                None => told.remove(key),
            };
        }
        assert_eq!(told, expected);
        for town in TOWNS {
            let lives = people.values().filter(|t| **t == town).count();
            let expected = towns.contains_key(town).then_some(lives);
            assert_eq!(f.graph.get(f.population, &town).map(|n| **n), expected);
        }
    }
}

/// Who offers what, again and again, against a list of all offers.
#[test]
fn any_history_of_offers_ends_with_the_least_key() {
    let mut graph = Graph::new();
    let input = graph.input("input");
    let output = graph.derive_many("output", input, |_, key: &usize, wants: &Vec<usize>| {
        wants.iter().map(|want| (*want, *key / 2)).collect()
    });
    let mut random = 7_u64;
    let mut pick = move |n: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % n
    };
    let mut wants: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut told: BTreeMap<usize, usize> = BTreeMap::new();
    for _ in 0..2_000 {
        for _ in 0..=pick(3) {
            let key = pick(12);
            if pick(4) == 0 {
                wants.remove(&key);
                graph.delete(input, key);
            } else {
                let wanted: Vec<usize> = (0..pick(4)).map(|_| pick(6)).collect();
                wants.insert(key, wanted.clone());
                graph.set(input, key, wanted);
            }
        }
        graph.settle();
        for change in graph.take_changes(output) {
            assert_eq!(told.get(&change.key), change.old.as_deref());
            match change.new {
                Some(new) => told.insert(change.key, *new),
                None => told.remove(&change.key),
            };
        }
        let mut expected = BTreeMap::new();
        for (key, wanted) in &wants {
            for want in wanted {
                expected.entry(*want).or_insert(*key / 2);
            }
        }
        assert_eq!(told, expected);
    }
}

#[test]
fn a_group_is_there_while_it_has_a_member() {
    let mut graph = Graph::new();
    let members: Collection<u8, Vec<&'static str>> = graph.input("member");
    let groups = graph.groups("group", members, |_, of: &Vec<&'static str>| of.clone());
    let asked: Collection<u8, ()> = graph.input("asked");
    let seen = graph.derive("seen", asked, move |fetch, _, ()| {
        Some(fetch.get(groups, &"a").is_some())
    });
    graph.set(asked, 0, ());
    let step = |graph: &mut Graph, key: u8, of: Option<Vec<&'static str>>| {
        match of {
            Some(of) => graph.set(members, key, of),
            None => graph.delete(members, key),
        }
        graph.settle();
        (graph.get(seen, &0).map(|seen| **seen), graph.computations(seen))
    };
    assert_eq!(step(&mut graph, 1, Some(vec!["b"])), (Some(false), 1));
    assert_eq!(step(&mut graph, 1, Some(vec!["a", "b"])), (Some(true), 2));
    assert_eq!(
        step(&mut graph, 2, Some(vec!["a"])),
        (Some(true), 2),
        "one more is no news"
    );
    assert_eq!(step(&mut graph, 1, Some(vec!["b", "a"])), (Some(true), 2));
    assert_eq!(step(&mut graph, 1, None), (Some(true), 2));
    assert_eq!(step(&mut graph, 2, Some(vec![])), (Some(false), 3));
    assert_eq!(graph.len(groups), 0);
}
