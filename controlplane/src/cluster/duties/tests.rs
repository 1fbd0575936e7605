use super::*;

#[test]
fn revisions_have_leases_of_their_own_and_the_default_ones_are_the_plain_ones() {
    assert_eq!(Duty::Statuses.lease("default"), "lateen-status");
    assert_eq!(Duty::Statuses.lease("canary"), "lateen-status-canary");
    assert_eq!(gateway_manager("default"), "lateen-gateways");
    assert_eq!(gateway_manager("canary"), "lateen-gateways-canary");
}

#[test]
fn what_names_no_revision_is_the_default_ones() {
    let labelled = |revision: Option<&'static str>| move |key: &str| revision.filter(|_| key == REVISION);
    for (label, revision, is_ours) in [
        (None, "default", true),
        (None, "canary", false),
        (Some("canary"), "canary", true),
        (Some("canary"), "default", false),
    ] {
        assert_eq!(
            is_of_revision(labelled(label), revision),
            is_ours,
            "{label:?} {revision}"
        );
    }
}
