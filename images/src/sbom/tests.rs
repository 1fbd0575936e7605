use super::*;
use crate::COMPONENTS;

fn manifest() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml")
}

/// What a list names, by the kind of package.
fn names(materials: &Value, kind: &str) -> Vec<String> {
    let components = materials["components"].as_array().expect("a list").iter();
    let of_kind = components.filter(|c| c["purl"].as_str().is_some_and(|purl| purl.starts_with(kind)));
    of_kind
        .map(|c| c["name"].as_str().expect("a name").to_owned())
        .collect()
}

/// The crates that nobody may use, by the workspace's own rules: those without somebody who may.
fn banned() -> Vec<String> {
    let rules = std::fs::read_to_string(manifest().with_file_name("deny.toml")).expect("there");
    let bans = rules
        .split("deny = [")
        .nth(1)
        .and_then(|rest| rest.split("\n]").next());
    let lines = bans
        .expect("a list")
        .lines()
        .filter(|line| !line.contains("wrappers"));
    let named = lines.filter_map(|line| line.split("crate = \"").nth(1)?.split('"').next());
    named.map(str::to_owned).collect()
}

#[test]
fn nothing_is_listed_that_other_platforms_link_or_that_is_banned() {
    let banned = banned();
    assert!(banned.contains(&"ring".to_owned()), "{banned:?}");
    assert!(!banned.contains(&"h2".to_owned()), "some may use it");
    for component in COMPONENTS {
        let materials = of(&manifest(), component.packages, &[]).expect("resolved");
        let names = names(&materials, "pkg:cargo/");
        assert!(names.len() > 40, "{}: {names:?}", component.name);
        for name in &names {
            let elsewhere = ["windows", "winapi", "wasi", "wasm-", "js-sys", "core-foundation"];
            assert!(
                !elsewhere.iter().any(|prefix| name.starts_with(prefix)),
                "{}: {name}",
                component.name
            );
            assert!(!banned.contains(name), "{}: {name}", component.name);
        }
        for compiles_only in ["serde_derive", "syn", "cc", "prost-build"] {
            assert!(
                !names.iter().any(|name| name == compiles_only),
                "{}: {compiles_only}",
                component.name
            );
        }
    }
}

#[test]
fn files_of_this_machine_are_listed_with_their_package_or_alone() {
    let file = |at: &str, from: &str| Carried {
        at: at.into(),
        from: from.into(),
        digest: "sha256:00ff".to_owned(),
    };
    let (a, b, own) = (
        file("/lib/a.so", "/lib/a.so"),
        file("/lib/b.so", "/lib/b.so"),
        file("/opt/own", "/srv/own"),
    );
    let package = Package {
        name: "libab".into(),
        version: "1-2".into(),
        architecture: "amd64".into(),
        distribution: "debian".into(),
    };
    let owners = BTreeMap::from([(a.from.as_path(), package.clone()), (b.from.as_path(), package)]);
    let carried = [a.clone(), own, b.clone()];
    let listed = of_machine(&carried, &owners);
    let hashes = json!([{"alg": "SHA-256", "content": "00ff"}]);
    let expected = [
        json!({"type": "file", "bom-ref": "file:/opt/own", "name": "/opt/own", "hashes": hashes}),
        json!({
            "type": "library",
            "bom-ref": "pkg:deb/debian/libab@1-2?arch=amd64",
            "name": "libab",
            "version": "1-2",
            "purl": "pkg:deb/debian/libab@1-2?arch=amd64",
            "components": [
                {"type": "file", "bom-ref": "file:/lib/a.so", "name": "/lib/a.so", "hashes": hashes},
                {"type": "file", "bom-ref": "file:/lib/b.so", "name": "/lib/b.so", "hashes": hashes},
            ],
        }),
    ];
    assert_eq!(listed, expected);
}

#[test]
fn what_is_linked_is_listed_and_what_only_tests_is_not() {
    let materials = of(&manifest(), &["ztunnel"], &[]).expect("resolved");
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
    let materials = of(&manifest(), &["images"], &[]).expect("resolved");
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
    let error = of(&manifest(), &["no-such"], &[]).expect_err("there is none");
    assert_eq!(error.to_string(), "the workspace has no package no-such");
}
