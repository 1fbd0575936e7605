use super::*;

const TEXT: &str = "0a v0.1.0 (/src/a)\tApache-2.0\t\n1shared v1.0.0\tMIT/Apache-2.0\t\n2deep v2.1.0\t\t\n1b v0.1.0 (/src/b)\t\t\n\
                    2shared v1.0.0\tMIT/Apache-2.0\t (*)\n\n0b v0.1.0 (/src/b)\t\t (*)\n\n0c v0.1.0 (/src/c)\t\t\n1deep v2.1.0\t\t\n\
                    1deep v3.0.0\tMIT\t\n";

fn linked(packages: &[&str]) -> Vec<String> {
    let tree = Tree::parse(TEXT).expect("a tree");
    let linked = tree.linked_into(packages).expect("members");
    linked
        .iter()
        .map(|c| format!("{} {}", c.name, c.version))
        .collect()
}

#[test]
fn what_is_shown_once_counts_wherever_it_stands_again() {
    assert_eq!(linked(&["b"]), ["b 0.1.0", "deep 2.1.0", "shared 1.0.0"]);
    assert_eq!(
        linked(&["a"]),
        ["a 0.1.0", "b 0.1.0", "deep 2.1.0", "shared 1.0.0"]
    );
    assert_eq!(linked(&["c"]), ["c 0.1.0", "deep 2.1.0", "deep 3.0.0"]);
    assert_eq!(linked(&["b", "c"]).len(), 5);
}

#[test]
fn licences_are_those_of_the_manifests() {
    let tree = Tree::parse(TEXT).expect("a tree");
    let license = |name: &str| {
        let found = tree.licenses.keys().find(|c| c.name == name);
        found.and_then(|c| tree.license(c))
    };
    assert_eq!(license("shared"), Some("MIT/Apache-2.0"));
    assert_eq!(license("c"), None);
}

#[test]
fn lines_of_another_form_are_named() {
    for text in [
        "warning: x",
        "0a",
        "0a v1",
        "0a 1.0.0\t\t",
        "1a v1.0.0\t\t",
        "a v1.0.0\t\t",
    ] {
        let error = Tree::parse(text).expect_err(text);
        assert!(
            format!("{error:#}").contains(text.split('\t').next().expect("one")),
            "{error:#}"
        );
    }
}
