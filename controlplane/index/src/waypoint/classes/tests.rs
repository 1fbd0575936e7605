use controlplane_k8s_api::gateway::{GatewayClassSpec, ParametersRef};

use super::*;

fn class(controller: &str) -> GatewayClass {
    GatewayClass {
        spec: GatewayClassSpec {
            controller_name: controller.into(),
            ..GatewayClassSpec::default()
        },
        ..GatewayClass::default()
    }
}

#[test]
fn a_class_counts_before_its_well_known_name() {
    assert_eq!(
        controller("istio-waypoint", None),
        Some("istio.io/mesh-controller")
    );
    assert_eq!(controller("mine", None), None);
    let ours = class("lateen.dev/mesh-controller");
    assert_eq!(
        controller("mine", Some(&ours)),
        Some("lateen.dev/mesh-controller")
    );
    let theirs = class("example.org/gateways");
    assert_eq!(
        controller("istio-waypoint", Some(&theirs)),
        None,
        "somebody else has the name"
    );
}

#[test]
fn only_classes_of_ours_are_spoken_of() {
    let accepted_of = |class: &GatewayClass| accepted(class).map(|c| (c.holds, c.reason));
    let mut ours = class("istio.io/mesh-controller");
    assert_eq!(accepted_of(&ours), Some((true, StatusReason::Accepted)));
    assert_eq!(accepted_of(&class("istio.io/gateway-controller")), None);
    ours.spec.parameters_ref = Some(ParametersRef {
        group: "".into(),
        kind: "ConfigMap".into(),
        name: "settings".into(),
        namespace: None,
    });
    assert_eq!(accepted_of(&ours), Some((false, StatusReason::InvalidParameters)));
}
