use std::net::IpAddr;

use domain::base::iana::Rcode;
use domain::base::{MessageBuilder, Name, Ttl};
use domain::rdata::{A, Cname, Soa};

use super::*;

fn asked(name: &str, kind: Kind) -> Vec<u8> {
    question(7, name, kind).expect("a host name")
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|ip| ip.parse().unwrap()).collect()
}

fn answered(question: &[u8], alias: Option<&str>, addresses: &[&str]) -> Vec<u8> {
    let query = Query::read(question).unwrap();
    let addresses = ips(addresses);
    let answer = Reply::Addresses {
        alias,
        addresses: &addresses,
        ttl: 30,
    };
    reply(&query, &answer, query.payload())
}

fn name(text: &str) -> Name<Vec<u8>> {
    text.parse().unwrap()
}

#[test]
fn a_question_is_read_as_it_was_asked() {
    let octets = asked("Web.Shop.svc.cluster.local", Kind::Aaaa);
    let query = Query::read(&octets).unwrap();
    assert_eq!(query.kind(), Kind::Aaaa);
    assert_eq!(query.name().as_deref(), Some("web.shop.svc.cluster.local"));
    assert_eq!(query.payload(), 1232);
    assert_eq!(query.to_string(), "AAAA Web.Shop.svc.cluster.local");
}

#[test]
fn names_that_no_host_has_are_none() {
    for (odd, expected) in [
        ("a\\.b.example", None),
        ("a b.example", None),
        (".", None),
        ("_sip._tcp.example", Some("_sip._tcp.example")),
        ("*.example", Some("*.example")),
    ] {
        let octets = asked(odd, Kind::A);
        assert_eq!(Query::read(&octets).unwrap().name().as_deref(), expected, "{odd}");
    }
}

#[test]
fn what_is_no_question_is_refused_or_left_unanswered() {
    let plain = asked("example.com", Kind::A);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut octets = plain.clone();
        change(&mut octets);
        let why = Query::read(&octets).err();
        let answer = why.and_then(|why| refuse_unread(&octets, why));
        let rcode = answer.map(|a| Message::from_octets(a).unwrap().header().rcode());
        (why, rcode)
    };
    for (change, why, rcode) in [
        (
            &(|o: &mut Vec<u8>| o.truncate(11)) as &dyn Fn(&mut Vec<u8>),
            NotAQuery::Silence,
            None,
        ),
        (&|o: &mut Vec<u8>| o[2] |= 0x80, NotAQuery::Silence, None),
        (
            &|o: &mut Vec<u8>| o[2] |= 0x28,
            NotAQuery::NotPlain,
            Some(Rcode::NOTIMP),
        ),
        (
            &|o: &mut Vec<u8>| o[5] = 0,
            NotAQuery::Malformed,
            Some(Rcode::FORMERR),
        ),
        (
            &|o: &mut Vec<u8>| o[5] = 2,
            NotAQuery::Malformed,
            Some(Rcode::FORMERR),
        ),
        (
            &|o: &mut Vec<u8>| o.truncate(14),
            NotAQuery::Malformed,
            Some(Rcode::FORMERR),
        ),
        // The class CHAOS; behind the name and the type.
        (
            &|o: &mut Vec<u8>| o[12 + 13 + 3] = 3,
            NotAQuery::NotPlain,
            Some(Rcode::NOTIMP),
        ),
    ] {
        assert_eq!(changed(change), (Some(why), rcode));
    }
}

#[test]
fn addresses_of_the_family_that_was_asked_for_are_answered() {
    let both = ["10.0.0.1", "fd00::1", "10.0.0.2"];
    for (kind, expected) in [
        (Kind::A, vec!["10.0.0.1", "10.0.0.2"]),
        (Kind::Aaaa, vec!["fd00::1"]),
    ] {
        for alias in [None, Some("web.shop.svc.cluster.local")] {
            let question = asked("web", kind);
            let found = read_answer(&question, &answered(&question, alias, &both), kind).unwrap();
            assert_eq!(
                (found.addresses, found.ttl),
                (ips(&expected), Some(30)),
                "{alias:?}"
            );
        }
    }
}

#[test]
fn a_name_without_addresses_of_the_kind_exists_nevertheless() {
    let question = asked("web", Kind::Aaaa);
    let answer = Message::from_octets(answered(&question, None, &["10.0.0.1"])).unwrap();
    assert_eq!(answer.header().rcode(), Rcode::NOERROR);
    assert!(answer.header().aa() && answer.header().ra() && answer.header().qr());
    assert_eq!(answer.header_counts().ancount(), 0);
    assert!(answer.opt().is_some(), "EDNS is answered with EDNS");
}

#[test]
fn what_does_not_fit_is_asked_for_again_over_tcp() {
    let many: Vec<String> = (0..200).map(|n| format!("10.0.0.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let question = asked("web", Kind::A);
    let answer = answered(&question, None, &many);
    assert!(answer.len() <= 1232 + 11, "{}", answer.len());
    assert_eq!(read_answer(&question, &answer, Kind::A), Err(Unusable::Truncated));
    let query = Query::read(&question).unwrap();
    let all = Reply::Addresses {
        alias: None,
        addresses: &ips(&many),
        ttl: 30,
    };
    let answer = reply(&query, &all, 65_535);
    assert_eq!(
        read_answer(&question, &answer, Kind::A).unwrap().addresses.len(),
        200
    );
}

#[test]
fn failures_are_told() {
    let question = asked("web", Kind::A);
    let query = Query::read(&question).unwrap();
    for (trouble, rcode) in [
        (Trouble::Failure, Rcode::SERVFAIL),
        (Trouble::Format, Rcode::FORMERR),
        (Trouble::NotImplemented, Rcode::NOTIMP),
    ] {
        let answer = reply(&query, &Reply::Trouble(trouble), 512);
        assert_eq!(
            read_answer(&question, &answer, Kind::A),
            Err(Unusable::Refused(rcode))
        );
    }
}

#[test]
fn an_answer_is_followed_along_its_aliases_and_no_further() {
    let asked = asked("www.example.com", Kind::A);
    let question = Message::from_octets(asked.clone()).unwrap();
    let mut answer = MessageBuilder::new_vec()
        .start_answer(&question, Rcode::NOERROR)
        .unwrap();
    let ttl = Ttl::from_secs;
    let alias = |to| Cname::new(name(to));
    answer
        .push((name("www.example.com"), ttl(300), alias("cdn.example.net")))
        .unwrap();
    answer
        .push((name("cdn.example.net"), ttl(20), alias("edge.example.net")))
        .unwrap();
    answer
        .push((name("edge.example.net"), ttl(60), A::from_octets(192, 0, 2, 1)))
        .unwrap();
    answer
        .push((name("other.example.net"), ttl(60), A::from_octets(192, 0, 2, 66)))
        .unwrap();
    let found = read_answer(&asked, &answer.finish(), Kind::A).unwrap();
    assert_eq!((found.addresses, found.ttl), (ips(&["192.0.2.1"]), Some(20)));
}

#[test]
fn a_name_that_is_not_there_is_remembered_for_as_long_as_its_zone_says() {
    let asked = asked("nobody.example.com", Kind::A);
    let question = Message::from_octets(asked.clone()).unwrap();
    let mut answer = MessageBuilder::new_vec()
        .start_answer(&question, Rcode::NXDOMAIN)
        .unwrap()
        .authority();
    let (second, soa) = (Ttl::from_secs(1), Ttl::from_secs(15));
    let zone = Soa::new(
        name("ns.example.com"),
        name("root.example.com"),
        1.into(),
        second,
        second,
        second,
        soa,
    );
    answer
        .push((name("example.com"), Ttl::from_secs(600), zone))
        .unwrap();
    let found = read_answer(&asked, &answer.finish(), Kind::A).unwrap();
    assert_eq!((found.addresses, found.ttl), (vec![], Some(15)));
}

#[test]
fn an_answer_to_something_else_is_none() {
    let question = asked("web", Kind::A);
    let other = asked("wab", Kind::A);
    let answer = answered(&other, None, &["10.0.0.1"]);
    assert_eq!(read_answer(&question, &answer, Kind::A), Err(Unusable::Mismatch));
    let mut other_id = answered(&question, None, &["10.0.0.1"]);
    other_id[0] ^= 1;
    assert_eq!(
        read_answer(&question, &other_id, Kind::A),
        Err(Unusable::Mismatch)
    );
    assert_eq!(read_answer(&question, &[], Kind::A), Err(Unusable::Malformed));
}

#[test]
fn labels_of_metrics_are_few() {
    let labels: std::collections::BTreeSet<_> = (0..=u16::MAX)
        .map(|n| Kind::of(Rtype::from_int(n)).label())
        .collect();
    assert_eq!(labels.len(), 13);
}
