use mesh_model::l7::resilience::RetryBudget;

use super::*;
use crate::Counter;

#[test]
fn as_many_as_allowed_and_not_one_more() {
    let group = Arc::new(Group::default());
    let first = group.permit(Counter::Requests, Some(2)).unwrap();
    let _second = group.permit(Counter::Requests, Some(2)).unwrap();
    assert!(group.permit(Counter::Requests, Some(2)).is_none());
    assert!(
        group.permit(Counter::Pending, Some(1)).is_some(),
        "each has its own count"
    );
    drop(first);
    assert!(group.permit(Counter::Requests, Some(2)).is_some());
    assert_eq!(group.count(Counter::Requests), 1);
    let _unlimited: Vec<_> = (0..100)
        .map(|_| group.permit(Counter::Requests, None).unwrap())
        .collect();
    assert_eq!(group.count(Counter::Requests), 101);
    assert!(group.permit(Counter::Connections, Some(0)).is_none());
}

#[test]
fn workers_together_never_exceed_a_limit() {
    let group = Arc::new(Group::default());
    let most = Some(3);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    let held: Vec<_> = (0..2).map(|_| group.permit(Counter::Connections, most)).collect();
                    let mine = held.iter().flatten().count();
                    assert!(mine <= 3);
                    std::thread::yield_now();
                }
            });
        }
    });
    assert_eq!(group.count(Counter::Connections), 0);
}

#[test]
fn retries_are_a_part_of_what_is_under_way() {
    let group = Arc::new(Group::default());
    let budget = RetryBudget::default();
    let retries = |most: usize| {
        let held: Vec<_> = (0..100)
            .filter_map(|_| group.retry_permit(&budget, None))
            .collect();
        assert_eq!(held.len(), most);
    };
    retries(3);
    let _active: Vec<_> = (0..50).map(|_| group.permit(Counter::Requests, None)).collect();
    retries(10);
    let _one = group.retry_permit(&budget, Some(1)).unwrap();
    assert!(group.retry_permit(&budget, Some(1)).is_none());
}
