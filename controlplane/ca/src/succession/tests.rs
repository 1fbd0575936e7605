use mesh_types::TrustDomain;

use super::*;
use crate::root::{AuthorityPems, Kept, Root};

const NOW: u64 = 1_790_000_000;
const DAY: Duration = DEFAULT_TTL;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The roots of an authority that lasts ten years.
fn authority() -> Vec<String> {
    let pems = AuthorityPems::make(&TrustDomain::default(), at(NOW)).unwrap();
    Root::from_pems(&pems, Kept::Secret, at(NOW))
        .unwrap()
        .own()
        .to_vec()
}

fn trusted(succession: &Succession, now: SystemTime) -> Vec<String> {
    let mut trusted: Vec<_> = succession.trusted(now).map(str::to_owned).collect();
    trusted.sort();
    trusted
}

fn sorted(parts: &[&[String]]) -> Vec<String> {
    let mut all = parts.concat();
    all.sort();
    all
}

/// A mesh whose authority was replaced once.
fn replaced() -> (Vec<String>, Vec<String>, Succession) {
    let (old, new) = (authority(), authority());
    let first = Succession::default().begin(&old, &[], DAY, at(NOW));
    let second = first.begin(&new, &old, DAY, at(NOW));
    (old, new, second)
}

#[test]
fn an_earlier_authority_is_trusted_until_its_last_certificate_has_ended() {
    let (old, new, succession) = replaced();
    let last_leaf = at(NOW) + DAY + CLOCK_SKEW;
    let before = last_leaf - Duration::from_secs(1);
    assert_eq!(trusted(&succession, before), sorted(&[&old, &new]));
    assert_eq!(trusted(&succession, last_leaf), new);
    assert_eq!(succession.remember(DAY, before), succession);
    assert!(succession.remember(DAY, last_leaf).retired.is_empty());
}

#[test]
fn the_longest_life_that_was_ever_given_counts() {
    let (old, new) = (authority(), authority());
    let first = Succession::default().begin(&old, &[], DAY, at(NOW));
    // One process gave a week, and was gone before the authority was.
    let first = first.remember(DAY * 7, at(NOW));
    let second = first.begin(&new, &[], DAY, at(NOW));
    assert_eq!(trusted(&second, at(NOW) + DAY * 7), sorted(&[&old, &new]));
    assert_eq!(trusted(&second, at(NOW) + DAY * 8), new);
}

#[test]
fn an_authority_that_was_replaced_while_nobody_looked_is_trusted_too() {
    let (old, new) = (authority(), authority());
    let kept = Succession::default().begin(&old, &[], DAY, at(NOW));
    let started = kept.begin(&new, &[], DAY, at(NOW + 60));
    assert_eq!(trusted(&started, at(NOW + 60)), sorted(&[&old, &new]));
    assert_eq!(
        started.begin(&new, &[], DAY, at(NOW + 120)),
        started,
        "another restart"
    );
}

#[test]
fn who_signed_with_the_earlier_one_for_longer_has_it_trusted_for_longer() {
    let (old, new, succession) = replaced();
    let late = at(NOW + 600);
    let second = succession.begin(&new, &old, DAY, late);
    assert_eq!(second.retired[&old[0]], late + DAY + CLOCK_SKEW);
    let third = second.begin(&new, &old, DAY, at(NOW));
    assert_eq!(third.retired, second.retired, "never for shorter");
}

#[test]
fn who_has_not_heard_of_the_new_one_yet_trusts_it() {
    let (old, new, succession) = replaced();
    // It goes on with what it has, and changes nothing of what is known.
    assert_eq!(succession.remember(DAY, at(NOW + 1)), succession);
    assert_eq!(trusted(&succession, at(NOW + 1)), sorted(&[&old, &new]));
}

#[test]
fn one_that_comes_back_signs_and_is_not_retired() {
    let (old, new, succession) = replaced();
    let back = succession.begin(&old, &new, DAY, at(NOW + 60));
    assert_eq!(back.signing, old);
    assert_eq!(back.retired.keys().cloned().collect::<Vec<_>>(), new);
}

#[test]
fn nobody_is_trusted_past_its_own_end() {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = at(NOW + 3600).into();
    let key = rcgen::KeyPair::generate().unwrap();
    let short = Succession::certificates(&params.self_signed(&key).unwrap().pem()).unwrap();
    let new = authority();
    let succession = Succession::default().begin(&new, &short, DAY, at(NOW));
    assert_eq!(succession.retired[&short[0]], at(NOW + 3600));
    let late = Succession::default().begin(&new, &short, DAY, at(NOW + 3600));
    assert!(late.retired.is_empty());
    assert!(
        Succession::default()
            .begin(&new, &["nonsense".to_owned()], DAY, at(NOW))
            .retired
            .is_empty()
    );
}
