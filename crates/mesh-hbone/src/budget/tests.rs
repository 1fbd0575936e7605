use super::{Grant, ReceiveBudget};

const MIB: u32 = 1024 * 1024;

#[test]
fn a_few_connections_get_what_they_want() {
    let budget = ReceiveBudget::default();
    let grants: Vec<_> = (0..16).map(|_| budget.grant(16 * MIB)).collect();
    assert!(grants.iter().all(|g| g.window() == 16 * MIB));
}

#[test]
fn many_connections_together_stay_within_the_budget_and_the_floors() {
    let budget = ReceiveBudget::new(64 * MIB);
    let grants: Vec<_> = (0..1000).map(|_| budget.grant(16 * MIB)).collect();
    let together: u64 = grants.iter().map(|g| u64::from(g.window())).sum();
    assert!(together <= u64::from(64 * MIB) + 1000 * u64::from(ReceiveBudget::FLOOR));
    assert!(grants.iter().all(|g| g.window() >= ReceiveBudget::FLOOR));
}

#[test]
fn what_is_given_back_can_be_granted_again() {
    let budget = ReceiveBudget::new(64 * MIB);
    let windows = || {
        let grants: Vec<Grant> = (0..100).map(|_| budget.grant(16 * MIB)).collect();
        grants.iter().map(Grant::window).collect::<Vec<_>>()
    };
    assert_eq!(windows(), windows());
}
