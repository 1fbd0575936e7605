use controlplane_k8s_api::{Object, parse};

use super::classes::Classes;
use super::*;

fn wanted() -> Wanted {
    Wanted {
        namespace: Some("shop".into()),
        name: "waypoint".into(),
        traffic: Some(Traffic::All),
        revision: None,
    }
}

#[test]
fn what_is_generated_is_a_gateway_that_the_control_plane_reads() {
    let text = wanted().gateway().to_string();
    let object = parse(&text).pop().expect("an object").expect("a good one");
    assert_eq!(object.warnings, []);
    let Object::Gateway(gateway) = object.value else {
        panic!("{text} is no Gateway")
    };
    assert_eq!(&*gateway.spec.gateway_class_name, "istio-waypoint");
    assert_eq!(
        gateway.metadata.labels.get("istio.io/waypoint-for").map(|l| &**l),
        Some("all")
    );
}

#[test]
fn what_nobody_asked_for_is_not_said() {
    let wanted = Wanted {
        namespace: None,
        traffic: None,
        ..wanted()
    };
    let metadata = &wanted.gateway()["metadata"];
    assert_eq!(metadata, &json!({"name": "waypoint"}));
}

#[test]
fn a_waypoint_that_takes_no_traffic_yet_says_why() {
    let page = json!({
        "metadata": {"name": "w", "namespace": "shop"},
        "spec": {"gatewayClassName": "lateen-waypoint"},
        "status": {"conditions": [
            {"type": "Programmed", "status": "False", "reason": "AddressNotAssigned", "message": "no endpoint is ready"}]},
    });
    let found = Found::deserialize(&page).expect("a Gateway");
    assert!(Classes::default().is_waypoint(found.class()) && !found.is_programmed());
    assert_eq!(
        view(&[found]).table.text(),
        "NAMESPACE   NAME   REVISION   TRAFFIC   PROGRAMMED\n\
         shop        w      default    service   False\n\
         shop/w: AddressNotAssigned: no endpoint is ready\n"
    );
    assert_eq!(view(&[]).table.text(), "there is no waypoint\n");
}
