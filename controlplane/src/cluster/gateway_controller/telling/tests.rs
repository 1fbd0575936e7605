use super::*;

const NOW: &str = "2026-01-01T00:00:00Z";

#[test]
fn what_is_wrong_is_one_condition_beside_what_others_say_and_goes_with_its_cause() {
    let theirs = json!({"type": "Accepted", "status": "True"});
    let gateway = json!({"metadata": {"generation": 3}, "status": {"addresses": [], "conditions": [theirs]}});
    let refused = KubeError::Refused("spec.replicas: expected an integer".to_owned());
    let troubles = [
        Trouble::refused(&"Deployment shop/waypoint", &refused).expect("it is about the object"),
        Trouble::name_taken("Service shop/waypoint is not its own".to_owned()),
    ];
    let told = status(&gateway, &troubles, NOW);
    let condition = &told.own["conditions"][0];
    assert_eq!(condition["type"], "lateen.dev/ObjectsMade");
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&json!("False"), &json!("Refused"))
    );
    assert_eq!(condition["observedGeneration"], 3);
    let message = condition["message"].as_str().expect("a message");
    assert!(
        message.contains("spec.replicas") && message.ends_with("is not its own"),
        "{message}"
    );
    assert_eq!(told.whole["conditions"], json!([theirs, condition]));
    assert_eq!(told.whole["addresses"], json!([]));

    let told = json!({"metadata": {"generation": 3}, "status": told.whole});
    let well = status(&told, &[], NOW);
    assert_eq!(well.own, json!({"conditions": []}));
    assert_eq!(well.whole["conditions"], json!([theirs]));
}

#[test]
fn a_value_of_a_wrong_type_is_told_though_the_api_server_takes_the_fault_upon_itself() {
    let error = KubeError::Busy(".spec.replicas: expected numeric, got string".to_owned());
    let trouble = Trouble::refused(&"Deployment shop/waypoint", &error).expect("it is about the object");
    let told = status(&json!({}), &[trouble], NOW);
    let message = told.own["conditions"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains(".spec.replicas"), "{message}");
}

#[test]
fn an_api_server_that_is_away_is_no_trouble_of_a_gateways() {
    let away = KubeError::Unreachable("refused".to_owned());
    assert_eq!(Trouble::refused(&"Deployment shop/waypoint", &away), None);
}
