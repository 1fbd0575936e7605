//! What people are told after an installation can be typed as it stands.

use std::fs;

use serde_json::Value;

use super::{Helm, INSTALLS, helm, objects};

/// Each object that a command waits for is one that is installed.
#[test]
fn notes_name_what_is_there() {
    let Some(helm) = helm() else { return };
    let mut seen = 0;
    for install in INSTALLS {
        let all = objects(&helm.render("lateen", install.values));
        for (kind, name) in named(&notes(helm, "lateen", install.values)) {
            assert!(is_there(&all, &kind, &name), "{}: {kind}/{name}", install.name);
            seen += 1;
        }
    }
    assert!(seen >= INSTALLS.len(), "{seen}");
    for (chart, values) in [
        ("controlplane", "{}"),
        ("controlplane", "{name: other, global: {revision: r}}"),
        ("cni", "{}"),
        ("cni", "name: other"),
        ("ztunnel", "{}"),
        ("ztunnel", "name: other"),
    ] {
        let all = objects(&helm.render(chart, values));
        let named = named(&notes(helm, chart, values));
        assert_eq!(named.len(), 1, "{chart}: {named:?}");
        for (kind, name) in named {
            assert!(is_there(&all, &kind, &name), "{chart}, {values}: {kind}/{name}");
        }
    }
}

fn is_there(all: &[Value], kind: &str, name: &str) -> bool {
    let of_kind = |o: &Value| o["kind"].as_str().is_some_and(|k| k.eq_ignore_ascii_case(kind));
    all.iter().any(|o| of_kind(o) && o["metadata"]["name"] == name)
}

/// Where NetworkPolicies are asked for, people learn which they have to write themselves.
#[test]
fn notes_say_which_policies_and_values_are_left_to_people() {
    let Some(helm) = helm() else { return };
    let guarded = notes(helm, "lateen", "global: {networkPolicy: true}");
    for word in ["15008", "15020", "15021", "gateway.istio.io/managed"] {
        assert!(guarded.contains(word), "{word}: {guarded}");
    }
    assert!(!notes(helm, "lateen", "{}").contains("gateway.istio.io/managed"));
    assert!(notes(helm, "base", "{}").contains("crds.istio=false"));
}

/// From a checkout, where the chart's parts are beside it: each command of the page that takes the chart renders it.
#[test]
fn the_page_says_how_helm_alone_finds_the_parts() {
    let Some(helm) = helm() else { return };
    let page = fs::read_to_string(super::charts().join("../docs/getting-started.md")).expect("the page");
    let takes_chart = |line: &&str| line.starts_with("helm ") && line.contains(" charts/lateen ");
    let commands: Vec<&str> = page.lines().filter(takes_chart).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    for command in commands {
        let checkout = tempfile::tempdir().expect("a temporary directory");
        super::copy(&super::charts(), &checkout.path().join("charts"));
        let chart = checkout.path().join("charts/lateen").display().to_string();
        // What a rendering knows of these.
        let about_the_cluster = [
            "helm",
            "install",
            "upgrade",
            "--create-namespace",
            "--wait",
            "--reset-then-reuse-values",
        ];
        let words = command
            .split_whitespace()
            .filter(|word| !about_the_cluster.contains(word));
        let words = words.map(|word| if word == "charts/lateen" { &chart } else { word });
        let arguments: Vec<&str> = ["template"].into_iter().chain(words).collect();
        let out = helm.run(&arguments);
        assert!(out.status.success(), "{command}: {}", super::text(&out));
    }
}

/// What Helm prints below "NOTES:". It does so beside a cluster only; a template shows the same without one.
fn notes(helm: &Helm, chart: &str, values: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let copy = folder.path().join(chart);
    for entry in walkdir::WalkDir::new(helm.charts.path().join(chart)) {
        let entry = entry.expect("charts can be read");
        let to = copy.join(
            entry
                .path()
                .strip_prefix(helm.charts.path().join(chart))
                .expect("below"),
        );
        match entry.file_type().is_dir() {
            true => fs::create_dir_all(to).expect("a directory can be made"),
            false => drop(fs::copy(entry.path(), to).expect("a file can be copied")),
        }
    }
    fs::rename(copy.join("templates/NOTES.txt"), copy.join("told")).expect("there are notes");
    let shown = r#"told: {{ tpl (.Files.Get "told") . | quote }}"#;
    fs::write(copy.join("templates/told.yaml"), shown).expect("a template can be written");
    let values_file = folder.path().join("values.yaml");
    fs::write(&values_file, values).expect("values are written");
    let (copy, values) = (copy.display().to_string(), values_file.display().to_string());
    let only = ["-f", &values, "--show-only", "templates/told.yaml"];
    let out = helm.run(&[&["template", "lateen", &copy, "-n", "istio-system"], &only[..]].concat());
    assert!(out.status.success(), "{}", super::text(&out));
    let told: Value = serde_saphyr::from_str(&String::from_utf8_lossy(&out.stdout)).expect("YAML");
    told["told"].as_str().expect("text").to_owned()
}

/// The objects of a kind and name in commands, such as `deployment/istiod`.
fn named(notes: &str) -> Vec<(String, String)> {
    let commands = notes.lines().filter(|l| l.trim_start().starts_with("kubectl "));
    let words = commands.flat_map(str::split_whitespace);
    let pairs = words.filter_map(|word| word.split_once('/'));
    let known = pairs.filter(|(kind, _)| ["deployment", "daemonset"].contains(kind));
    known
        .map(|(kind, name)| (kind.to_owned(), name.to_owned()))
        .collect()
}
