use super::*;

#[test]
fn ready_only_when_every_condition_is_closed() {
    let readiness = Readiness::new();
    assert!(readiness.pending().is_empty());
    let state = readiness.block("state manager");
    let pods = readiness.block("workload proxy manager");
    assert_eq!(readiness.pending(), ["state manager", "workload proxy manager"]);
    state.ready();
    assert_eq!(readiness.pending(), ["workload proxy manager"]);
    pods.ready();
    assert!(readiness.pending().is_empty());
}

#[test]
fn a_holder_that_dies_never_makes_the_process_ready() {
    let readiness = Readiness::new();
    drop(readiness.block("proxy"));
    assert_eq!(readiness.pending(), ["proxy (stopped before it was ready)"]);
    readiness.block("proxy").ready();
    assert!(readiness.pending().is_empty());
}

#[tokio::test]
async fn the_probe_names_what_is_pending() {
    let readiness = Readiness::new();
    let routes = readiness.routes();
    let block = readiness.block("state manager");
    let answer = routes.answer(admin::Request::get("/healthz/ready")).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        admin::body_text(answer).await,
        "not ready, pending: state manager\n"
    );
    block.ready();
    let answer = routes.answer(admin::Request::get("/healthz/ready")).await;
    assert_eq!(answer.status(), StatusCode::OK);
}
