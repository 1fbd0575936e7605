//! `docs/l7.md` names no kind and no field that is not read.

use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

#[test]
fn every_kind_and_field_of_the_table_is_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests stand in the repository");
    let sources = sources(&root.join("controlplane/k8s-api/src"));
    let table = fs::read_to_string(root.join("docs/l7.md")).expect("the table is there");
    let mut rows = 0;
    for row in table.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [kind, field, supported, since] = cells[..] else {
            continue;
        };
        if kind == "kind" || kind.starts_with('-') {
            continue;
        }
        rows += 1;
        assert!(["yes", "waypoint", "no"].contains(&supported), "{row}");
        assert!(since.starts_with(|c: char| c.is_ascii_digit()), "{row}");
        assert!(sources.contains(kind), "{kind} is no kind that is read");
        for part in field.split('.') {
            let names = [snake(part), part.to_owned()];
            let read = names.iter().any(|name| {
                let forms = [format!("pub {name}:"), format!("{name}:"), format!("\"{name}\"")];
                forms.iter().any(|form| sources.contains(form.as_str()))
            });
            assert!(read, "{kind}: {part} of {field} is no field that is read");
        }
    }
    assert!(rows > 20, "{rows} rows");
}

fn sources(dir: &Path) -> String {
    let files = WalkDir::new(dir).into_iter().filter_map(Result::ok);
    let rust = |path: &PathBuf| path.extension().is_some_and(|e| e == "rs");
    let texts = files.map(|file| file.into_path()).filter(rust);
    texts
        .map(|path| fs::read_to_string(path).expect("a source is readable"))
        .collect()
}

/// As Rust writes it.
fn snake(camel: &str) -> String {
    let mut snake = String::new();
    for c in camel.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
