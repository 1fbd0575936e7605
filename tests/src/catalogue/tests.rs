use serde_json::json;

use super::*;

const TEXT: &str = "# No host\n# says: spec.host: Required value\n# status: Accepted=False Invalid: no host\n\
    apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a, namespace: shop}\n";

#[test]
fn a_document_is_written_as_it_was_read() {
    let entry = Entry::of(Path::new("corpus/late/late.yaml"), 1, TEXT);
    assert_eq!(entry.title, ["No host"]);
    assert_eq!(entry.says, ["spec.host: Required value"]);
    assert_eq!(entry.status, ["Accepted=False Invalid: no host"]);
    assert_eq!(entry.resource(), "DestinationRule.networking.istio.io");
    assert_eq!(entry.text(), TEXT);
    assert_eq!(entry.name(), "late-late-2");
    assert_eq!(entry.called(), "late-late-2");
    assert!(
        entry
            .named("x", "y")
            .contains("metadata: {name: x, namespace: y}")
    );
}

#[test]
fn of_a_refusal_the_faults_are_left() {
    let one = "The DestinationRule \"a\" is invalid: spec.host: Required value\n";
    assert_eq!(refusal(one), ["spec.host: Required value"]);
    let two = "The X \"a\" is invalid: \n* spec.a: Required value\n* spec.b: Required value\n\
        * <nil>: Invalid value: null: some validation rules were not checked because the object was invalid\n";
    assert_eq!(refusal(two), ["spec.a: Required value", "spec.b: Required value"]);
    let policy = "Error from server (Invalid): error when creating \"x\": authorizationpolicies.security.istio.io \"a\" is \
        forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: targetRefs must be near\n";
    assert_eq!(refusal(policy), ["targetRefs must be near"]);
}

#[test]
fn of_warnings_the_messages_are_left() {
    let printed = "Warning: Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p': spec.selector is empty: it's all\n\
        Warning: something else\nauthorizationpolicy.security.istio.io/a created (server dry run)\n";
    assert_eq!(warnings(printed), ["spec.selector is empty: it's all"]);
}

#[test]
fn conditions_are_found_wherever_a_status_has_them() {
    let status = json!({
        "conditions": [
            {"type": "lateen.dev/Delivered", "status": "True", "reason": "Delivered", "message": "2/2"},
            {"type": "A", "status": "True", "reason": "B", "message": ""},
        ],
        "parents": [{"conditions": [{"type": "C", "status": "False", "reason": "D", "message": "there is no x: y"}]}],
    });
    let conditions = conditions(&status);
    assert_eq!(conditions, ["A=True B", "C=False D: there is no x: y"]);
    assert!(is_said("A=True B", &conditions) && is_said("C=False D: no x", &conditions));
    assert!(!is_said("C=True D: no x", &conditions) && !is_said("C=False D: no z", &conditions));
}

#[test]
fn a_document_whose_name_is_what_is_wrong_keeps_it() {
    let long = TEXT.replace("name: a,", "name: aaaa,");
    let entry = Entry::of(Path::new("corpus/told/names.yaml"), 0, &long);
    assert_eq!(entry.called(), "aaaa");
    assert!(
        entry
            .named("x", "y")
            .contains("metadata: {name: aaaa, namespace: y}")
    );
}
