use super::*;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_node_may_renew_everything_at_once_and_then_at_a_rate() {
    let mut budgets = Budgets::default();
    let taken = (0..1000).filter(|_| budgets.take("node-a", 100, s(0))).count();
    assert_eq!(taken, 132);
    let taken = (0..1000).filter(|_| budgets.take("node-a", 100, s(2))).count();
    assert_eq!(taken, 10);
    assert!(
        budgets.take("node-b", 0, s(2)),
        "one node's bucket is not another's"
    );
}

#[test]
fn quiet_callers_are_forgotten() {
    let mut budgets = Budgets::default();
    for n in 0..MAX_BUCKETS {
        budgets.take(&n.to_string(), 0, s(0));
    }
    budgets.take("late", 0, s(601));
    assert_eq!(budgets.buckets.len(), 1);
}
