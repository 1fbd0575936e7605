use controlplane_k8s_api::security::JwtKeys;

use super::*;

fn object(name: &str, spec: &str) -> RawObject {
    let json = format!(r#"{{"metadata": {{"name": "{name}", "namespace": "shop"}}, "spec": {spec}}}"#);
    serde_json::from_str(&json).expect("JSON")
}

fn policy(name: &str) -> RawObject {
    object(name, r#"{"action": "DENY", "rules": [{}]}"#)
}

fn said(changes: &[ObjectChange]) -> Vec<String> {
    let say = |change: &ObjectChange| match change {
        ObjectChange::Set(key, _) => format!("set {}", key.reference()),
        ObjectChange::Removed(key) => format!("removed {}", key.reference()),
    };
    let mut said: Vec<_> = changes.iter().map(say).collect();
    said.sort();
    said
}

/// A mirror that has listed these.
fn listed(names: &[&str]) -> Mirror {
    let mut mirror = Mirror::new(Kind::AuthorizationPolicy);
    list(&mut mirror, names);
    mirror
}

fn list(mirror: &mut Mirror, names: &[&str]) -> Vec<ObjectChange> {
    let mut changes = mirror.take(Event::ListBegins, &Scope::default(), &mut Texts::default());
    for name in names {
        changes.extend(mirror.take(
            Event::Listed(policy(name)),
            &Scope::default(),
            &mut Texts::default(),
        ));
    }
    changes.extend(mirror.take(Event::ListEnds, &Scope::default(), &mut Texts::default()));
    changes
}

#[test]
fn what_a_complete_list_does_not_name_is_gone() {
    let mut mirror = listed(&["a", "b"]);
    let changes = list(&mut mirror, &["b", "c"]);
    let expected = [
        "removed AuthorizationPolicy shop/a",
        "set AuthorizationPolicy shop/b",
        "set AuthorizationPolicy shop/c",
    ];
    assert_eq!(said(&changes), expected);
}

#[test]
fn what_a_list_names_and_nobody_can_read_is_not_gone() {
    let (mut mirror, scope, mut texts) = (listed(&["a", "b"]), Scope::default(), Texts::default());
    mirror.take(Event::ListBegins, &scope, &mut texts);
    mirror.listing(&ObjectName::new("shop", "a"), &mut texts);
    let changes = mirror.take(Event::ListEnds, &scope, &mut texts);
    assert_eq!(said(&changes), ["removed AuthorizationPolicy shop/b"]);
    // Outside of a list it says nothing of the others.
    mirror.listing(&ObjectName::new("shop", "c"), &mut texts);
    assert_eq!(
        said(&list(&mut mirror, &["a"])),
        ["set AuthorizationPolicy shop/a"]
    );
}

#[test]
fn nothing_is_gone_while_a_list_is_incomplete() {
    let mut mirror = listed(&["a", "b"]);
    mirror.take(Event::ListBegins, &Scope::default(), &mut Texts::default());
    mirror.take(
        Event::Listed(policy("b")),
        &Scope::default(),
        &mut Texts::default(),
    );
    // The connection ended, and another list begins.
    let changes = list(&mut mirror, &["a", "b"]);
    assert_eq!(
        said(&changes),
        ["set AuthorizationPolicy shop/a", "set AuthorizationPolicy shop/b"]
    );
}

#[test]
fn it_is_complete_after_the_first_list() {
    let mut mirror = Mirror::new(Kind::AuthorizationPolicy);
    mirror.take(Event::ListBegins, &Scope::default(), &mut Texts::default());
    mirror.take(
        Event::Listed(policy("a")),
        &Scope::default(),
        &mut Texts::default(),
    );
    assert!(!mirror.is_complete());
    mirror.take(Event::ListEnds, &Scope::default(), &mut Texts::default());
    assert!(mirror.is_complete());
    mirror.take(Event::ListBegins, &Scope::default(), &mut Texts::default());
    assert!(mirror.is_complete(), "what was known is still known");
}

#[test]
fn a_broken_object_keeps_its_last_good_content() {
    let mut mirror = listed(&["a"]);
    let broken = |name| Event::Applied(object(name, r#"{"rulez": []}"#));
    assert_eq!(
        mirror.take(broken("a"), &Scope::default(), &mut Texts::default()),
        []
    );
    assert_eq!(
        mirror.take(broken("b"), &Scope::default(), &mut Texts::default()),
        []
    );
    let mut found: Vec<_> = mirror.broken().collect();
    found.sort_by(|x, y| x.object.cmp(&y.object));
    let told: Vec<_> = found
        .iter()
        .map(|b| (b.object.to_string(), b.last_good))
        .collect();
    let expected = [
        ("AuthorizationPolicy shop/a".to_owned(), true),
        ("AuthorizationPolicy shop/b".to_owned(), false),
    ];
    assert_eq!(told, expected);
    assert_eq!(
        found[0].errors,
        ["AuthorizationPolicy shop/a: spec.rulez: there is no such field; did you mean \"rules\"?"]
    );

    assert_eq!(
        said(&mirror.take(
            Event::Applied(policy("b")),
            &Scope::default(),
            &mut Texts::default()
        )),
        ["set AuthorizationPolicy shop/b"]
    );
    assert_eq!(
        said(&mirror.take(
            Event::Deleted(policy("a")),
            &Scope::default(),
            &mut Texts::default()
        )),
        ["removed AuthorizationPolicy shop/a"]
    );
    assert_eq!(mirror.broken().count(), 0);
}

#[test]
fn a_broken_object_that_is_deleted_was_never_handed_on() {
    let mut mirror = listed(&[]);
    mirror.take(
        Event::Applied(object("a", r#"{"rulez": []}"#)),
        &Scope::default(),
        &mut Texts::default(),
    );
    assert_eq!(
        mirror.take(
            Event::Deleted(policy("a")),
            &Scope::default(),
            &mut Texts::default()
        ),
        []
    );
    assert_eq!(mirror.broken().count(), 0);
}

#[test]
fn a_config_map_becomes_the_meshs_configuration_and_back() {
    let map = |data: &str| {
        let json =
            format!(r#"{{"metadata": {{"name": "istio", "namespace": "istio-system"}}, "data": {data}}}"#);
        serde_json::from_str(&json).expect("JSON")
    };
    let mut mirror = Mirror::new(Kind::ConfigMap);
    let mesh = r#"{"mesh": "rootNamespace: istio-system"}"#;
    assert_eq!(
        said(&mirror.take(
            Event::Applied(map(mesh)),
            &Scope::default(),
            &mut Texts::default()
        )),
        ["set MeshConfig istio-system/istio"]
    );
    assert_eq!(
        said(&mirror.take(
            Event::Applied(map("{}")),
            &Scope::default(),
            &mut Texts::default()
        )),
        [
            "removed MeshConfig istio-system/istio",
            "set ConfigMap istio-system/istio"
        ]
    );
}

#[test]
fn a_kind_that_is_not_served_any_more_has_no_objects() {
    let mut mirror = listed(&["a", "b"]);
    let gone = [
        "removed AuthorizationPolicy shop/a",
        "removed AuthorizationPolicy shop/b",
    ];
    assert_eq!(said(&mirror.clear()), gone);
    assert_eq!(mirror.clear(), []);
}

#[test]
fn an_object_that_turns_to_another_revision_is_gone() {
    let scope = Scope::new("istio-system", "blue");
    let of = |revision: &str| {
        let json = format!(
            r#"{{"metadata": {{"name": "a", "namespace": "shop", "labels": {{"istio.io/rev": "{revision}"}}}}, "spec": {{}}}}"#
        );
        Event::Applied(serde_json::from_str(&json).expect("JSON"))
    };
    let mut mirror = Mirror::new(Kind::AuthorizationPolicy);
    let set = ["set AuthorizationPolicy shop/a"];
    assert_eq!(
        said(&mirror.take(of("green"), &scope, &mut Texts::default())),
        [""; 0]
    );
    assert_eq!(said(&mirror.take(of("blue"), &scope, &mut Texts::default())), set);
    assert_eq!(
        said(&mirror.take(of("green"), &scope, &mut Texts::default())),
        ["removed AuthorizationPolicy shop/a"]
    );
}

#[test]
fn what_kubectl_notes_for_itself_is_not_kept() {
    let json = r#"{"metadata": {"name": "a", "namespace": "shop", "annotations": {
        "kubectl.kubernetes.io/last-applied-configuration": "{}", "k": "v"}}, "spec": {}}"#;
    let mut mirror = Mirror::new(Kind::AuthorizationPolicy);
    let object = serde_json::from_str(json).expect("JSON");
    let changes = mirror.take(Event::Applied(object), &Scope::default(), &mut Texts::default());
    let [ObjectChange::Set(_, object)] = &changes[..] else {
        panic!("{changes:?}");
    };
    let annotations = &object.value.metadata().expect("metadata").annotations;
    assert_eq!(annotations.keys().collect::<Vec<_>>(), ["k"]);
}

#[test]
fn a_policy_that_never_was_good_is_taken_in_its_safe_direction_until_it_is() {
    let mut mirror = listed(&[]);
    let scope = Scope::default();
    let broken = || object("a", r#"{"action": "DENY", "rules": [{"form": []}]}"#);
    let changes = mirror.take(Event::Applied(broken()), &scope, &mut Texts::default());
    let [ObjectChange::Set(_, handed)] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    let Object::AuthorizationPolicy(handed) = &handed.value else {
        panic!("{handed:?}")
    };
    assert_eq!(handed.spec.rules.len(), 1, "a rule that denies everything");
    let told: Vec<Broken> = mirror.broken().collect();
    assert!(!told[0].last_good);
    assert!(
        told[0].errors.iter().any(|line| line.contains("strictest")),
        "{told:?}"
    );
    // Broken in another way, of which nothing is left: nor is what was left before.
    let beyond = object("a", r#"{"selectors": {}, "rules": []}"#);
    let changes = mirror.take(Event::Applied(beyond), &scope, &mut Texts::default());
    assert_eq!(said(&changes), ["removed AuthorizationPolicy shop/a"]);
    mirror.take(Event::Applied(policy("a")), &scope, &mut Texts::default());
    assert_eq!(mirror.broken().count(), 0);
    // Now there is a last good content.
    assert_eq!(
        mirror.take(Event::Applied(broken()), &scope, &mut Texts::default()),
        []
    );
}

#[test]
fn rules_for_tokens_that_never_were_good_refuse_them() {
    let mut mirror = Mirror::new(Kind::RequestAuthentication);
    let broken = object(
        "jwt",
        r#"{"targetRefs": [{"group": "", "kind": "Service", "name": "web"}], "jwtRules": [{"issuer": "me", "jwksUrl": "x"}]}"#,
    );
    let changes = mirror.take(Event::Applied(broken), &Scope::default(), &mut Texts::default());
    let [ObjectChange::Set(_, handed)] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    let Object::RequestAuthentication(handed) = &handed.value else {
        panic!("{handed:?}")
    };
    assert_eq!(handed.spec.jwt_rules[0].keys, JwtKeys::Unreadable);
    assert_eq!(remarked(&mirror), [("jwt".to_owned(), Counts::Strictest)]);
    let remark = mirror.remarks().next().expect("a remark");
    assert_eq!(remark.readable.strict[0].field, "spec.jwtRules[0]");
}

fn remarked(mirror: &Mirror) -> Vec<(String, Counts)> {
    let mut all: Vec<_> = mirror
        .remarks()
        .map(|remark| (remark.object.name.to_string(), remark.counts))
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

#[test]
fn what_is_to_be_said_in_statuses_says_what_counts() {
    let mut mirror = listed(&["was-good"]);
    let broken = r#"{"action": "DENY", "rules": [{"form": []}]}"#;
    for name in ["was-good", "never-good"] {
        let event = Event::Applied(object(name, broken));
        mirror.take(event, &Scope::default(), &mut Texts::default());
    }
    let targetless = object("nobodys", r#"{"selector": 1, "rules": [{}]}"#);
    mirror.take(
        Event::Applied(targetless),
        &Scope::default(),
        &mut Texts::default(),
    );
    assert_eq!(
        remarked(&mirror),
        [
            ("never-good".to_owned(), Counts::Strictest),
            ("nobodys".to_owned(), Counts::Nothing),
            ("was-good".to_owned(), Counts::LastGood),
        ]
    );
    let names: Vec<_> = mirror.broken().map(|broken| broken.object.name).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let cured = Event::Applied(policy("never-good"));
    mirror.take(cured, &Scope::default(), &mut Texts::default());
    assert_eq!(remarked(&mirror).len(), 2);
}

#[test]
fn what_can_be_read_of_a_broken_object_goes_with_what_is_said_of_it() {
    let readable = |mirror: &Mirror| mirror.remarks().next().expect("a remark").readable;
    let mut mirror = Mirror::new(Kind::HttpRoute);
    let text = r#"{"metadata": {"name": "a", "namespace": "shop", "generation": 3, "uid": "u"},
                   "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "cart"}],
                            "rules": [{"filters": [{"type": "Teleport"}]}]}}"#;
    let route: RawObject = serde_json::from_str(text).expect("JSON");
    let changes = mirror.take(Event::Applied(route), &Scope::default(), &mut Texts::default());
    assert_eq!(said(&changes), [""; 0]);
    assert_eq!(remarked(&mirror), [("a".to_owned(), Counts::Nothing)]);
    let read = readable(&mirror);
    assert_eq!((read.generation, read.uid.as_deref()), (Some(3), Some("u")));
    assert_eq!(&*read.attached_to[0].name, "cart");

    let mut mirror = listed(&[]);
    let broken = object("b", r#"{"action": "DENY", "rules": [{"form": []}]}"#);
    mirror.take(Event::Applied(broken), &Scope::default(), &mut Texts::default());
    assert_eq!(readable(&mirror).strict[0].field, "spec.rules[0]");
}

#[test]
fn fields_that_are_only_warned_of_are_to_be_said_too_and_break_nothing() {
    let mut mirror = Mirror::new(Kind::DestinationRule);
    let rule = object("cart", r#"{"host": "cart", "trafficPolitics": {}}"#);
    let changes = mirror.take(Event::Applied(rule), &Scope::default(), &mut Texts::default());
    assert_eq!(said(&changes), ["set DestinationRule shop/cart"]);
    assert_eq!(remarked(&mirror), [("cart".to_owned(), Counts::Rest)]);
    assert_eq!(mirror.broken().count(), 0);
}

#[test]
fn of_what_is_for_another_revision_nothing_is_said() {
    let mut mirror = Mirror::new(Kind::DestinationRule);
    let text = r#"{"metadata": {"name": "a", "namespace": "shop", "labels": {"istio.io/rev": "theirs"}}, "spec": {"hosst": 1}}"#;
    let theirs: RawObject = serde_json::from_str(text).expect("JSON");
    mirror.take(
        Event::Applied(theirs),
        &Scope::new("istio-system", "default"),
        &mut Texts::default(),
    );
    assert_eq!(remarked(&mirror), []);
}
