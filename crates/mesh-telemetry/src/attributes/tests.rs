use std::collections::BTreeSet;
use std::path::Path;

use super::*;

#[test]
fn names_are_unique_and_in_lower_case() {
    let mut seen = BTreeSet::new();
    for entry in entries() {
        assert!(seen.insert(entry.name), "{} is there twice", entry.name);
        assert!(
            entry
                .name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c == '.' || c == '_')
        );
        assert!(entry.text.ends_with('.'), "{}", entry.name);
    }
}

#[test]
fn no_name_is_the_beginning_of_another() {
    for entry in entries() {
        let inside = format!("{}.", entry.name);
        assert!(
            entries().all(|other| !other.name.starts_with(&inside)),
            "{}",
            entry.name
        );
    }
}

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/attributes.md");
    if std::env::var_os("LATEEN_UPDATE").is_some() {
        std::fs::write(&path, document()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == document(),
        "docs/attributes.md is not what the dictionary gives: LATEEN_UPDATE=1 cargo test -p mesh-telemetry attributes"
    );
}
