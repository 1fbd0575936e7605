use super::*;

const NOTHING_YET: Means = Means {
    predecessor: true,
    synced: false,
    certificate: false,
    asked_for: Duration::ZERO,
};

#[test]
fn without_a_predecessor_it_is_always_the_own_turn() {
    for (synced, certificate) in [(false, false), (false, true), (true, false), (true, true)] {
        let alone = Means {
            predecessor: false,
            synced,
            certificate,
            asked_for: Duration::ZERO,
        };
        assert_eq!(turn(alone), Turn::Own, "{alone:?}");
    }
}

#[test]
fn a_successor_waits_for_configuration_and_certificate() {
    let synced = Means {
        synced: true,
        ..NOTHING_YET
    };
    let only_certificate = Means {
        certificate: true,
        ..NOTHING_YET
    };
    for waits in [NOTHING_YET, synced, only_certificate] {
        assert_eq!(turn(waits), Turn::Predecessors, "{waits:?}");
    }
    let both = Means {
        certificate: true,
        ..synced
    };
    assert_eq!(turn(both), Turn::Own);
}

#[test]
fn it_waits_for_a_certificate_no_longer_than_its_patience_and_for_the_configuration_for_ever() {
    let long = Means {
        asked_for: PATIENCE,
        ..NOTHING_YET
    };
    assert_eq!(turn(long), Turn::Predecessors);
    let refused = Means { synced: true, ..long };
    assert_eq!(turn(refused), Turn::Own);
}
