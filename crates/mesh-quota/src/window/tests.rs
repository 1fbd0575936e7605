use super::{Moment, Unit, Window};

#[test]
fn windows_are_whole_multiples_since_the_epoch() {
    // 2026-11-21T10:45:37Z, a Saturday.
    let now = Moment(1_795_257_937);
    let starts = Unit::ALL.map(|unit| unit.window(now).start.0);
    assert_eq!(
        starts,
        [
            1_795_257_937,
            1_795_257_900,
            1_795_255_200,
            1_795_219_200,
            // The Thursday before.
            1_795_046_400,
            1_793_664_000,
            1_766_016_000,
        ]
    );
}

#[test]
fn a_window_ends_where_the_next_begins() {
    for unit in Unit::ALL {
        let window = unit.window(Moment(1_795_257_937));
        let last = Moment(window.end().0 - 1);
        assert_eq!(unit.window(last), window);
        assert_eq!(window.left(last), 1);
        assert_eq!(window.left(window.end()), 0);
        let next = unit.window(window.end());
        assert_eq!(next.start, window.end());
        assert!(!window.counts_in(next));
    }
}

#[test]
fn a_clock_that_is_set_back_gives_no_second_quota() {
    let window = |start| Window {
        unit: Unit::Minute,
        start: Moment(start),
    };
    assert!(window(120).counts_in(window(120)));
    assert!(window(120).counts_in(window(60)));
    assert!(
        !window(180).counts_in(window(60)),
        "two ahead: the clock was wrong then"
    );
    assert!(!window(60).counts_in(window(120)));
}

#[test]
fn codes_are_unambiguous() {
    for unit in Unit::ALL {
        assert_eq!(Unit::of_code(unit.code()), Some(unit));
    }
    assert_eq!(Unit::of_code(0), None);
    assert_eq!(Unit::of_code(8), None);
}
