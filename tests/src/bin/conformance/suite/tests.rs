use super::*;

fn outcomes(said: &str) -> Vec<Outcome> {
    said.lines().filter_map(outcome).collect()
}

fn verdict(said: &str) -> Verdict {
    Verdict {
        succeeded: true,
        outcomes: outcomes(said),
        report: Some("report.yaml".into()),
    }
}

#[test]
fn tests_are_told_from_their_parts_and_from_the_whole() {
    let said = "\
=== RUN   TestConformance/MeshBasic
    mesh-basic.go:33: --- PASS: TestConformance/NotOne (0.00s)
--- FAIL: TestConformance (7.00s)
    --- PASS: TestConformance/MeshBasic (0.52s)
        --- PASS: TestConformance/MeshBasic/0_request_to_'echo'_should_receive_one_of_[200] (0.51s)
    --- FAIL: TestConformance/MeshFrontend (30.10s)
    --- SKIP: TestConformance/GatewayModifyListeners (0.00s)
";
    let found = outcomes(said);
    let told: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "test MeshBasic ... ok",
            "test MeshFrontend ... FAILED",
            "test GatewayModifyListeners ... LEFT OUT",
        ]
    );
}

#[test]
fn nothing_but_all_tests_passed_and_a_report_is_conformance() {
    let passed = "    --- PASS: TestConformance/MeshBasic (0.52s)\n";
    assert!(verdict(passed).is_conformant());
    for worse in ["FAIL", "SKIP"] {
        let said = format!("{passed}    --- {worse}: TestConformance/MeshPorts (0.00s)\n");
        assert!(!verdict(&said).is_conformant(), "{worse}");
    }
    assert!(!verdict("").is_conformant(), "nothing was run");
    let mut without_report = verdict(passed);
    without_report.report = None;
    assert!(!without_report.is_conformant());
    let mut failed = verdict(passed);
    failed.succeeded = false;
    assert!(!failed.is_conformant());
}

#[test]
fn a_test_that_was_not_run_did_not_pass() {
    assert!(!verdict("    --- SKIP: TestConformance/MeshBasic (0.00s)\n").is_without_failure());
    assert!(verdict("    --- PASS: TestConformance/MeshBasic (0.00s)\n").is_without_failure());
}

#[test]
fn no_feature_is_claimed_twice() {
    let mut names = EXTENDED_FEATURES.to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), EXTENDED_FEATURES.len());
    assert_eq!(
        EXTENDED_FEATURES
            .iter()
            .filter(|name| name.starts_with(OURS))
            .count(),
        9
    );
}
