//! Who is left out for what it answers.

use super::rule;
use crate::harness::Together;

/// `web-v1` and `web-v2`, and when one of them is left out.
fn shop(detection: &str) -> Together {
    Together::shop(&rule(
        "web",
        &format!("outlierDetection: {{maxEjectionPercent: 50, baseEjectionTime: 1h, {detection}}}"),
    ))
}

/// Asks until `web-v1` was asked so often; says whether it is left out then.
fn is_left_out_after(mesh: &Together, count: usize) -> bool {
    let bad = mesh.of("web-v1");
    while bad.requests().len() < count {
        mesh.post("/", "").send();
    }
    (0..40).for_each(|_| drop(mesh.post("/", "").send()));
    bad.requests().len() == count
}

// row: DestinationRule trafficPolicy.outlierDetection.outlierDetectionHttpErrorCodes
#[test]
fn listed_statuses_count_in_place_of_5xx() {
    for (status, is_out) in [(429, true), (500, false), (503, true)] {
        let mesh = shop("consecutive5xxErrors: 3, outlierDetectionHttpErrorCodes: [429, 503]");
        // Or the usual retries count, too.
        mesh.apply(&super::virtual_service("web", "retries: {attempts: 0}"));
        mesh.of("web-v1").answers(status);
        assert_eq!(is_left_out_after(&mesh, 3), is_out, "{status}");
    }
}

// row: DestinationRule trafficPolicy.outlierDetection
#[test]
fn errors_of_applications_and_of_connections_are_counted_apart() {
    let none = "retries: {attempts: 0}";
    let mesh = shop("consecutive5xxErrors: 2");
    mesh.apply(&super::virtual_service("web", none));
    mesh.of("web-v1").answers(500);
    assert!(is_left_out_after(&mesh, 2));
    let mesh = shop("consecutive5xxErrors: 0, consecutiveGatewayErrors: 2");
    mesh.apply(&super::virtual_service("web", none));
    mesh.of("web-v1").answers(500);
    assert!(!is_left_out_after(&mesh, 5));
    mesh.of("web-v1").answers(502);
    let before = mesh.of("web-v1").requests().len();
    assert!(is_left_out_after(&mesh, before + 2));
    // Without an answer it is a 5xx, unless those are counted apart.
    let mesh = shop(
        "consecutive5xxErrors: 2, splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 4",
    );
    mesh.apply(&super::virtual_service("web", none));
    mesh.of("web-v1").hangs_up(true);
    assert!(is_left_out_after(&mesh, 4));
    let mesh = shop("consecutive5xxErrors: 2");
    mesh.apply(&super::virtual_service("web", none));
    mesh.of("web-v1").hangs_up(true);
    assert!(is_left_out_after(&mesh, 2));
}

#[test]
fn one_may_be_left_out_however_few_are_and_none_where_none_may() {
    for (percent, is_out) in [(10, true), (0, false)] {
        let mesh = Together::shop(&rule(
            "web",
            &format!(
                "outlierDetection: {{consecutive5xxErrors: 1, maxEjectionPercent: {percent}, baseEjectionTime: 1h}}"
            ),
        ));
        mesh.apply(&super::virtual_service("web", "retries: {attempts: 0}"));
        mesh.of("web-v1").answers(500);
        assert_eq!(is_left_out_after(&mesh, 1), is_out, "{percent} %");
    }
}

#[test]
fn all_are_used_when_too_few_are_well() {
    let mesh = shop("consecutive5xxErrors: 1, minHealthPercent: 60");
    mesh.apply(&super::virtual_service("web", "retries: {attempts: 0}"));
    mesh.of("web-v1").answers(500);
    assert!(!is_left_out_after(&mesh, 1), "half is less than 60 %");
}
