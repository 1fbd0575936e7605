use super::*;

fn checks() -> Checks {
    let mut checks = Checks::default();
    checks.good("kubernetes", "v1.34.0");
    checks.warning("gateway api", "no CRDs", "install them");
    checks
}

#[test]
fn remedies_stand_behind_what_was_found_and_the_sum_comes_last() {
    assert_eq!(
        checks().view("it can take the mesh").table.text(),
        "RESULT    CHECK         FOUND\n\
         ok        kubernetes    v1.34.0\n\
         warning   gateway api   no CRDs; install them\n\
         it can take the mesh, with 1 warning\n"
    );
    let mut checks = checks();
    assert!(!checks.has_errors());
    checks.error("rights", "you may not create daemonsets", "ask for them");
    assert!(checks.has_errors());
    let view = checks.view("it can take the mesh");
    assert!(view.table.text().ends_with("1 error, 1 warning\n"));
    assert_eq!(view.data["errors"], 1);
    assert_eq!(view.data["checks"][2]["remedy"], "ask for them");
}

#[test]
fn what_is_well_can_be_left_out() {
    let bad = checks().bad();
    assert_eq!(bad.all().len(), 1);
    assert_eq!(bad.all()[0].matter, "gateway api");
}

#[test]
fn long_lists_are_cut_and_say_so() {
    assert_eq!(some(&["a", "b"]), "a, b");
    assert_eq!(
        some(&["a", "b", "c", "d", "e", "f", "g"]),
        "a, b, c, d, e and 2 more"
    );
}
