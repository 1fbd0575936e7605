use super::*;

fn cores(machine: usize, limit: Option<usize>, request: Option<usize>) -> Cores {
    Cores {
        machine,
        limit,
        request,
    }
}

#[test]
fn without_a_wish() {
    for (machine, limit, request, expected) in [
        (2, None, None, 2),
        (8, None, None, 2),
        (9, None, None, 3),
        (64, None, None, 16),
        (64, None, Some(20), 20),
        (64, Some(4), None, 4),
        (64, Some(1), None, 1),
        (64, Some(2), Some(3), 3),
    ] {
        assert_eq!(
            unasked(&cores(machine, limit, request)),
            expected,
            "{machine} {limit:?} {request:?}"
        );
    }
}

#[test]
fn with_a_wish() {
    for (wish, machine, limit, expected) in [
        ("3", 8, None, Ok(3)),
        ("0", 8, None, Ok(8)),
        ("0", 8, Some(2), Ok(2)),
        ("25%", 8, None, Ok(2)),
        ("10%", 8, None, Ok(1)),
        ("1%", 2, None, Ok(1)),
        ("0%", 8, None, Err(())),
        ("101%", 8, None, Err(())),
        ("-1", 8, None, Err(())),
        ("many", 8, None, Err(())),
        ("100000", 8, None, Err(())),
    ] {
        let parsed: Result<Wanted, _> = wish.parse();
        let threads = parsed
            .map(|w| asked(w, &cores(machine, limit, None)))
            .map_err(|_| ());
        assert_eq!(threads, expected, "{wish}");
    }
}

#[test]
fn cpu_quantities_round_up() {
    for (text, expected) in [
        ("2", Ok(2)),
        ("1.5", Ok(2)),
        ("500m", Ok(1)),
        ("2500m", Ok(3)),
        ("0", Err(())),
        ("NaN", Err(())),
        ("inf", Err(())),
        ("-1", Err(())),
        ("x", Err(())),
    ] {
        assert_eq!(parse_cpus(text).map_err(|_| ()), expected, "{text}");
    }
}
