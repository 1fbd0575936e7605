use super::*;

const PAGE: &str = r#"# TYPE kubelet_runtime_operations_duration_seconds histogram
kubelet_runtime_operations_duration_seconds_sum{operation_type="list_podsandbox"} 2.2
kubelet_runtime_operations_duration_seconds_count{operation_type="list_podsandbox"} 565
kubelet_runtime_operations_duration_seconds_sum{operation_type="run_podsandbox"} 6.5
kubelet_runtime_operations_duration_seconds_count{operation_type="run_podsandbox"} 50
"#;

#[test]
fn the_mean_is_of_those_made_in_between() {
    let after = of(PAGE).expect("the page has them");
    let before = Sandboxes {
        count: 40.0,
        seconds: 1.5,
    };
    assert_eq!(after.each_since(before).expect("ten"), Duration::from_millis(500));
    assert!(after.each_since(after).is_err());
    assert!(of("").is_err());
}
