//! `docs/l7.md` names no kind and no field that is not read, and every row that says "yes" is named by a test that runs object
//! and request together: by a comment `// row: <kind> <field>` before it, in `tests/tests/together` or `tests/tests/netns`.

use std::collections::BTreeSet;
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
    let rows = rows(&table);
    for [kind, field, supported, since] in &rows {
        let row = format!("{kind} {field}");
        assert!(["yes", "waypoint", "no"].contains(supported), "{row}");
        assert!(since.starts_with(|c: char| c.is_ascii_digit()), "{row}");
        assert!(sources.contains(*kind), "{kind} is no kind that is read");
        for part in field.split('.') {
            let names = [snake(part), part.to_owned()];
            let read = names.iter().any(|name| {
                let forms = [format!("pub {name}:"), format!("{name}:"), format!("\"{name}\"")];
                forms.iter().any(|form| sources.contains(form.as_str()))
            });
            assert!(read, "{kind}: {part} of {field} is no field that is read");
        }
    }
    assert!(rows.len() > 20, "{} rows", rows.len());
}

#[test]
fn every_row_that_says_yes_is_named_by_a_test() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let texts = ["together", "netns"].map(|dir| sources(&tests.join(dir)));
    let named: BTreeSet<String> = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.trim().strip_prefix("// row: ").map(str::to_owned))
        .collect();
    let table = tests.join("../../docs/l7.md");
    let table = fs::read_to_string(table).expect("the table is there");
    let rows = rows(&table);
    let said = |yes: bool| {
        let of = rows
            .iter()
            .filter(move |[_, _, supported, _]| !yes || *supported == "yes");
        of.map(|[kind, field, ..]| format!("{kind} {field}"))
            .collect::<BTreeSet<_>>()
    };
    let untested: Vec<_> = said(true).difference(&named).cloned().collect();
    assert!(untested.is_empty(), "no test names these rows: {untested:#?}");
    let unknown: Vec<_> = named.difference(&said(false)).cloned().collect();
    assert!(
        unknown.is_empty(),
        "tests name rows that are not there: {unknown:#?}"
    );
}

/// What is not there as a whole says so in the table, and in the README in the same breath.
#[test]
fn what_is_not_there_as_a_whole_is_in_the_table_and_in_the_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |name: &str| fs::read_to_string(root.join(name)).expect("it is there");
    let (table, readme) = (read("docs/l7.md"), read("README.md"));
    let lines = table.lines().filter(|line| line.starts_with('|'));
    let cells = lines.map(|line| {
        line.trim_matches('|')
            .split('|')
            .map(str::trim)
            .collect::<Vec<_>>()
    });
    let absent: Vec<_> = cells
        .filter(|cells| cells.len() == 3 && cells[1] == "no")
        .collect();
    let names: Vec<_> = absent.iter().map(|cells| cells[0]).collect();
    assert_eq!(
        names,
        [
            "Several clusters",
            "Several networks",
            "Ingress gateways on Kubernetes"
        ]
    );
    assert!(absent.iter().all(|cells| !cells[2].is_empty()), "{absent:?}");
    let sentence = readme
        .split("Not there yet: ")
        .nth(1)
        .and_then(|rest| rest.split(".\n").next())
        .expect("the README says what is not there")
        .to_lowercase();
    for name in names {
        let last = name.to_lowercase();
        let last = last.strip_prefix("several ").unwrap_or(&last);
        assert!(
            sentence.contains(last),
            "the README does not say that there are no {last}"
        );
    }
}

/// Kind, field, supported and since of each row.
fn rows(table: &str) -> Vec<[&str; 4]> {
    let lines = table.lines().filter(|line| line.starts_with('|'));
    let rows = lines.filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let row: [&str; 4] = cells.try_into().ok()?;
        (row[0] != "kind" && !row[0].starts_with('-')).then_some(row)
    });
    rows.collect()
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
