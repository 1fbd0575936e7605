use super::*;

fn namespace(name: &str, label: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels: {{v: \"{label}\"}}\n---\n")
}

fn file(name: &str) -> FileName {
    FileName::new(name)
}

/// `+shop=1` for an object that was set, `-shop` for one that was removed.
fn taken(files: &mut ConfigFiles) -> Vec<String> {
    files
        .take_changes()
        .into_iter()
        .map(|change| match change {
            FileChange::Set(key, object) => match &object.value {
                Object::Namespace(ns) => format!("+{}={}", key.name, ns.metadata.labels["v"].as_str()),
                other => format!("+{}", other.reference()),
            },
            FileChange::Removed(key) => format!("-{}", key.name),
        })
        .collect()
}

#[test]
fn objects_come_and_go_with_their_file() {
    let mut files = ConfigFiles::default();
    assert_eq!(
        files.update(&file("a.yaml"), &(namespace("x", "1") + &namespace("y", "1"))),
        Verdict::Good
    );
    assert_eq!(taken(&mut files), ["+x=1", "+y=1"]);
    files.update(&file("a.yaml"), &(namespace("x", "2") + &namespace("z", "1")));
    assert_eq!(taken(&mut files), ["+x=2", "-y", "+z=1"]);
    files.remove(&file("a.yaml"));
    assert_eq!(taken(&mut files), ["-x", "-z"]);
    assert!(files.status().is_empty());
}

#[test]
fn the_same_content_is_no_change() {
    let mut files = ConfigFiles::default();
    files.update(&file("a.yaml"), &namespace("x", "1"));
    taken(&mut files);
    files.update(&file("a.yaml"), &format!("# a comment\n{}", namespace("x", "1")));
    assert_eq!(taken(&mut files), [""; 0]);
}

#[test]
fn a_broken_file_keeps_its_last_good_content() {
    let mut files = ConfigFiles::default();
    files.update(&file("a.yaml"), &namespace("x", "1"));
    taken(&mut files);
    let Verdict::KeptLastGood(errors) = files.update(&file("a.yaml"), "kind: [") else {
        panic!("the broken content must not count");
    };
    assert!(errors[0].starts_with("a.yaml:1:"), "{errors:?}");
    assert_eq!(taken(&mut files), [""; 0]);
    assert!(files.never_good().is_empty());
    let status = &files.status()[0];
    assert_eq!((status.state, status.objects.len()), (ContentState::LastGood, 1));
    assert_eq!(status.errors, errors);

    files.update(&file("a.yaml"), &namespace("x", "2"));
    assert_eq!(taken(&mut files), ["+x=2"]);
    assert_eq!(files.status()[0].state, ContentState::Current);
}

#[test]
fn one_bad_object_spoils_its_file_and_no_other() {
    let mut files = ConfigFiles::default();
    let bad = namespace("x", "1")
        + "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
        metadata: {name: p, namespace: shop}\nspec: {rules: [{from: [{source: {principal: [a]}}]}]}\n";
    let Verdict::NeverGood(errors) = files.update(&file("bad.yaml"), &bad) else {
        panic!("a misspelt field must not pass");
    };
    assert!(
        errors[0].contains("AuthorizationPolicy shop/p") && errors[0].contains("principal"),
        "{errors:?}"
    );
    assert_eq!(files.never_good(), errors);
    files.update(&file("good.yaml"), &namespace("y", "1"));
    assert_eq!(taken(&mut files), ["+y=1"]);
    files.remove(&file("bad.yaml"));
    assert!(files.never_good().is_empty());
}

#[test]
fn an_unreadable_file_is_a_broken_one() {
    let mut files = ConfigFiles::default();
    files.update(&file("a.yaml"), &namespace("x", "1"));
    let said = files.unreadable(&file("a.yaml"), "is not a regular file");
    assert_eq!(
        said,
        Verdict::KeptLastGood(vec!["a.yaml: is not a regular file".to_owned()])
    );
    assert_eq!(taken(&mut files), ["+x=1"]);
}

#[test]
fn of_two_files_with_one_object_the_first_by_path_counts_and_both_say_so() {
    let mut files = ConfigFiles::default();
    files.update(&file("b.yaml"), &namespace("x", "b"));
    assert_eq!(taken(&mut files), ["+x=b"]);
    files.update(&file("a.yaml"), &namespace("x", "a"));
    assert_eq!(taken(&mut files), ["+x=a"]);
    let errors: Vec<_> = files
        .status()
        .into_iter()
        .map(|f| f.objects[0].error.clone().unwrap())
        .collect();
    assert_eq!(
        errors,
        [
            "a.yaml:1: Namespace x is also at b.yaml:1; the one in a.yaml counts",
            "b.yaml:1: Namespace x is also at a.yaml:1; the one in a.yaml counts",
        ]
    );
    files.remove(&file("a.yaml"));
    assert_eq!(taken(&mut files), ["+x=b"]);
    assert_eq!(files.status()[0].objects[0].error, None);
}

#[test]
fn twice_in_one_file_the_first_counts() {
    let mut files = ConfigFiles::default();
    files.update(&file("a.yaml"), &(namespace("x", "1") + &namespace("x", "2")));
    assert_eq!(taken(&mut files), ["+x=1"]);
    let objects = &files.status()[0].objects;
    assert_eq!(objects[0].error, None);
    let error = objects[1].error.as_deref().unwrap();
    assert!(error.contains("is in this file already"), "{error}");
}

#[test]
fn an_unsupported_kind_is_a_warning() {
    let mut files = ConfigFiles::default();
    let text =
        "apiVersion: networking.istio.io/v1\nkind: EnvoyFilter\nmetadata: {name: e, namespace: shop}\n";
    assert_eq!(files.update(&file("a.yaml"), text), Verdict::Good);
    let warnings = &files.status()[0].warnings;
    assert!(warnings[0].contains("EnvoyFilter shop/e"), "{warnings:?}");
    assert!(warnings[0].contains("RateLimitPolicy"), "{warnings:?}");
}
