use std::fs;
use std::path::{Path, PathBuf};

use mesh_types::fuzzing;

use crate::message::{Kind, Query, Reply, question, reply};

#[test]
fn no_bytes_of_a_client_make_the_server_panic() {
    run("query", super::query, 1);
}

#[test]
fn no_bytes_of_a_server_make_the_client_panic() {
    run("answer", super::answer, 2);
}

/// The corpus is made of examples of today's messages; `LATEEN_UPDATE=1` writes them.
#[test]
fn the_corpus_holds_todays_examples() {
    for (target, name, body) in examples() {
        let path = corpus_dir(target).join(name);
        if std::env::var_os("LATEEN_UPDATE").is_some() {
            fs::create_dir_all(corpus_dir(target)).unwrap();
            fs::write(&path, &body).unwrap();
        }
        assert!(
            fs::read(&path).is_ok_and(|on_disk| on_disk == body),
            "{} is out of date; run with LATEEN_UPDATE=1",
            path.display()
        );
    }
}

fn run(target: &str, fuzz: fn(&[u8]), seed: u64) {
    let corpus = fuzzing::corpus(&corpus_dir(target));
    fuzzing::mutations(&corpus, seed, 20_000).for_each(|input| fuzz(&input));
}

fn corpus_dir(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target)
}

fn examples() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let ask = |name, kind| question(0, name, kind).unwrap();
    let (a, aaaa) = (ask("example.com", Kind::A), ask("example.com", Kind::Aaaa));
    let mut classic = a.clone();
    // Without the EDNS record, and the count that announces it.
    classic.truncate(classic.len() - 11);
    classic[11] = 0;
    let ips = ["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse().unwrap());
    let answer = |question: &[u8], alias, addresses: &[_]| {
        let query = Query::read(question).unwrap();
        let answer = Reply::Addresses {
            alias,
            addresses,
            ttl: 30,
        };
        reply(&query, &answer, 512)
    };
    vec![
        ("query", "a", a.clone()),
        ("query", "aaaa", aaaa.clone()),
        ("query", "classic", classic),
        ("query", "other", ask("_sip._tcp.example.com", Kind::Other(33))),
        ("answer", "a", answer(&a, None, &ips)),
        ("answer", "aaaa", answer(&aaaa, None, &ips)),
        ("answer", "alias", answer(&a, Some("end.example.net"), &ips)),
        ("answer", "nothing", answer(&a, None, &[])),
    ]
}
