use super::*;
use crate::process::in_namespaces;

#[test]
fn every_change_is_a_new_generation_and_nothing_else_is() {
    in_namespaces(|| {
        let netns = Netns::current().expect("own namespace");
        let nft = |command: &str| {
            let status = std::process::Command::new("nft")
                .arg(command)
                .status()
                .expect("nft");
            assert!(status.success(), "{command}");
        };
        let first = read(&netns).expect("the kernel tells");
        assert_eq!(read(&netns), Some(first));
        let mut last = first;
        for change in [
            "add table inet t",
            "add chain inet t c",
            "add rule inet t c accept",
            "add set inet t s { type ipv4_addr; }",
            "add element inet t s { 10.0.0.1 }",
            "flush ruleset",
        ] {
            nft(change);
            let next = read(&netns).expect("the kernel tells");
            assert_ne!(next, last, "{change}");
            last = next;
        }
        nft("list ruleset");
        assert_eq!(read(&netns), Some(last));
        nft("add table inet t; add chain inet t c; add rule inet t c accept");
        assert_eq!(read(&netns), Some(last.next()), "one transaction, one generation");
        assert_eq!(Generation(u32::MAX).next(), Generation(1));
    });
}

#[test]
fn an_answer_that_is_none_is_no_generation() {
    let answer_with = |tail: &[u8]| {
        let mut answer = vec![0; 20];
        answer[..4].copy_from_slice(&(20 + u32::try_from(tail.len()).unwrap()).to_ne_bytes());
        answer[4..6].copy_from_slice(&(10 << 8 | NEW_GENERATION).to_ne_bytes());
        [&answer, tail].concat()
    };
    for tail in [
        &[][..],
        &[0, 0, 1, 0],
        &[8, 0],
        &[4, 0, 9, 0, 0],
        &[255, 255, 1, 0, 0, 0, 0, 1],
    ] {
        assert_eq!(parse(&answer_with(tail)), None, "{tail:?}");
    }
    let good = answer_with(&[5, 0, 2, 0, 7, 0, 0, 0, 8, 0, 1, 0, 0, 0, 0, 9]);
    assert_eq!(parse(&good), Some(9));
    assert_eq!(parse(&[]), None);
}
