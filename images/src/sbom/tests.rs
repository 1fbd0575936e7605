use super::*;

fn manifest() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml")
}

#[test]
fn what_is_linked_is_listed_and_what_only_tests_is_not() {
    let materials = of(&manifest(), &["ztunnel"]).expect("resolved");
    let names: Vec<_> = materials["components"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| &c["name"])
        .collect();
    for linked in ["ztunnel", "mesh-hbone", "rustls"] {
        assert!(names.iter().any(|n| *n == linked), "{linked} of {names:?}");
    }
    assert!(
        !names.iter().any(|n| *n == "tempfile"),
        "a dependency of the tests alone"
    );
    assert!(
        !names.iter().any(|n| *n == "mesh-testkit"),
        "a dependency of the tests alone"
    );
}

#[test]
fn every_component_says_its_version_and_where_it_is_from() {
    let materials = of(&manifest(), &["images"]).expect("resolved");
    for component in materials["components"].as_array().expect("a list") {
        let (name, version) = (component["name"].as_str(), component["version"].as_str());
        let expected = format!(
            "pkg:cargo/{}@{}",
            name.unwrap_or_default(),
            version.unwrap_or_default()
        );
        assert_eq!(component["purl"], expected.as_str());
    }
}

#[test]
fn an_unknown_package_is_named() {
    let error = of(&manifest(), &["no-such"]).expect_err("there is none");
    assert_eq!(error.to_string(), "the workspace has no package no-such");
}
