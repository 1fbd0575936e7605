//! The house rules that a machine can hold: who may depend on whom, how long a file may be, where `unsafe` may stand.
//! `ARCHITECTURE.md` gives the reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use syn::visit::{self, Visit};

/// Which crates of the house a crate may use, directly, in its own code. An arrow only ever goes down a floor, or along
/// one of these lines within it.
const MAY_USE: &[(&str, &[&str])] = &[
    // 0 words
    ("mesh-types", &[]),
    ("mesh-proto", &[]),
    // 1 mechanism and meaning, which never look at each other
    ("mesh-net", &["mesh-types"]),
    ("mesh-tls", &["mesh-types"]),
    ("mesh-runtime", &[]),
    ("mesh-model", &["mesh-types", "mesh-proto"]),
    ("mesh-state", &["mesh-types", "mesh-proto", "mesh-model"]),
    ("mesh-balance", &["mesh-types", "mesh-model"]),
    ("mesh-quota", &[]),
    // 2 protocols
    ("mesh-grpc", &[]),
    ("mesh-kube", &[]),
    ("mesh-hbone", &["mesh-types", "mesh-net", "mesh-tls"]),
    ("mesh-xds", &["mesh-proto", "mesh-grpc"]),
    ("mesh-zds", &["mesh-types", "mesh-proto", "mesh-net"]),
    ("mesh-dns", &["mesh-types", "mesh-net"]),
    ("mesh-extensions", &["mesh-proto"]),
    (
        "mesh-certs",
        &["mesh-types", "mesh-tls", "mesh-proto", "mesh-grpc"],
    ),
    (
        "mesh-register",
        &["mesh-types", "mesh-tls", "mesh-proto", "mesh-grpc"],
    ),
    ("mesh-telemetry", &["mesh-types", "mesh-proto", "mesh-model"]),
    // 3 joinery
    ("mesh-dataplane", FLOORS_0_TO_2),
    ("mesh-testkit", FLOORS_0_TO_2),
    // 4 products
    ("ztunnel", FLOORS_0_TO_3),
    ("waypoint", FLOORS_0_TO_3),
    ("controlplane-k8s-api", &["mesh-types", "mesh-telemetry"]),
    ("controlplane-collections", &[]),
    (
        "controlplane-index",
        &[
            "mesh-types",
            "mesh-model",
            "controlplane-k8s-api",
            "controlplane-collections",
        ],
    ),
    (
        "controlplane-ca",
        &[
            "mesh-types",
            "mesh-tls",
            "mesh-certs",
            "mesh-grpc",
            "controlplane-k8s-api",
            "controlplane-collections",
        ],
    ),
    ("controlplane-ratelimit", FLOORS_0_TO_3),
    (
        "controlplane",
        &[
            "mesh-types",
            "mesh-proto",
            "mesh-model",
            "mesh-net",
            "mesh-tls",
            "mesh-grpc",
            "mesh-certs",
            "mesh-xds",
            "mesh-register",
            "mesh-runtime",
            "mesh-kube",
            "controlplane-k8s-api",
            "controlplane-collections",
            "controlplane-index",
            "controlplane-ca",
            "controlplane-ratelimit",
            "controlplane-kube",
        ],
    ),
    (
        "controlplane-kube",
        &["mesh-types", "mesh-kube", "controlplane-k8s-api"],
    ),
    ("controlplane-crds", &["controlplane-k8s-api"]),
    (
        "lateen",
        &[
            "mesh-types",
            "mesh-kube",
            "controlplane-k8s-api",
            "controlplane-kube",
            "controlplane-index",
        ],
    ),
    ("images", &[]),
    ("cni-plugin", &["mesh-types"]),
    ("cni-rules", &["mesh-types"]),
    (
        "cni-agent",
        &[
            "mesh-types",
            "mesh-net",
            "mesh-tls",
            "mesh-runtime",
            "mesh-grpc",
            "mesh-kube",
            "mesh-zds",
            "mesh-register",
            "cni-plugin",
            "cni-rules",
        ],
    ),
];

const FLOORS_0_TO_2: &[&str] = &[
    "mesh-types",
    "mesh-proto",
    "mesh-net",
    "mesh-tls",
    "mesh-runtime",
    "mesh-model",
    "mesh-state",
    "mesh-balance",
    "mesh-quota",
    "mesh-grpc",
    "mesh-kube",
    "mesh-hbone",
    "mesh-xds",
    "mesh-zds",
    "mesh-dns",
    "mesh-extensions",
    "mesh-certs",
    "mesh-register",
    "mesh-telemetry",
];

const FLOORS_0_TO_3: &[&str] = &[
    "mesh-types",
    "mesh-proto",
    "mesh-net",
    "mesh-tls",
    "mesh-runtime",
    "mesh-model",
    "mesh-state",
    "mesh-balance",
    "mesh-quota",
    "mesh-grpc",
    "mesh-kube",
    "mesh-hbone",
    "mesh-xds",
    "mesh-zds",
    "mesh-dns",
    "mesh-extensions",
    "mesh-certs",
    "mesh-register",
    "mesh-telemetry",
    "mesh-dataplane",
];

/// Outside crates that only some of ours may use: the lower half stays free of runtimes and transports.
const ONLY_FOR: &[(&str, &[&str])] = &[
    ("h2", &["mesh-hbone", "waypoint", "mesh-tests"]),
    (
        "tonic",
        &[
            "mesh-proto",
            "mesh-grpc",
            "mesh-xds",
            "mesh-certs",
            "mesh-register",
            "mesh-dataplane",
            "mesh-testkit",
            "controlplane",
            "controlplane-ca",
            "cni-agent",
            "mesh-tests",
        ],
    ),
    ("cel", &["mesh-telemetry"]),
    ("kube", &["mesh-kube"]),
    ("k8s-openapi", &["mesh-kube"]),
    ("nftables", &["cni-rules", "cni-agent"]),
    ("libc", &["mesh-net"]),
];

/// Hand-written files that may exceed the limit, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];
const MAX_LINES: usize = 500;

/// The one crate in which `unsafe` may stand.
const UNSAFE_CRATE: &str = "mesh-net";

#[test]
fn dependencies_only_point_down() {
    let allowed: BTreeMap<_, BTreeSet<_>> = MAY_USE
        .iter()
        .map(|(krate, uses)| (*krate, uses.iter().copied().collect()))
        .collect();
    let mut wrong = Vec::new();
    for package in house().workspace_packages() {
        let name = package.name.as_str();
        if name == "mesh-tests" {
            continue;
        }
        let Some(allowed) = allowed.get(name) else {
            wrong.push(format!(
                "{name} has no line in MAY_USE: say which floor it stands on"
            ));
            continue;
        };
        for used in house_dependencies(package, DependencyKind::Normal) {
            if !allowed.contains(used.as_str()) {
                wrong.push(format!("{name} may not use {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_testkit_is_for_tests_of_upper_floors() {
    let upper = [
        "mesh-dataplane",
        "ztunnel",
        "waypoint",
        "controlplane",
        "controlplane-ratelimit",
        "cni-agent",
        "mesh-tests",
    ];
    for package in house().workspace_packages() {
        let name = package.name.as_str();
        let normal = house_dependencies(package, DependencyKind::Normal);
        assert!(
            name == "mesh-tests" || !normal.contains("mesh-testkit"),
            "{name} ships the testkit"
        );
        let dev = house_dependencies(package, DependencyKind::Development);
        assert!(
            upper.contains(&name) || !dev.contains("mesh-testkit"),
            "{name} is below the testkit: Cargo would build it twice; keep its fixtures in its own tests"
        );
    }
}

#[test]
fn some_outside_crates_stay_where_they_belong() {
    let mut wrong = Vec::new();
    for package in house().workspace_packages() {
        for (outside, users) in ONLY_FOR {
            let uses =
                |d: &cargo_metadata::Dependency| d.name == *outside && d.kind == DependencyKind::Normal;
            if package.dependencies.iter().any(uses) && !users.contains(&package.name.as_str()) {
                wrong.push(format!("{} may not use {outside}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_line_of_the_table_names_a_crate_that_exists() {
    let there: BTreeSet<_> = house()
        .workspace_packages()
        .iter()
        .map(|p| p.name.to_string())
        .collect();
    for (name, uses) in MAY_USE {
        for name in std::iter::once(name).chain(*uses) {
            assert!(
                there.contains(*name),
                "MAY_USE names {name}, which is no crate of the workspace"
            );
        }
    }
}

#[test]
fn hand_written_files_stay_short() {
    let root = root();
    let mut wrong = Vec::new();
    let mut excused = BTreeSet::new();
    for file in sources() {
        let path = file
            .strip_prefix(&root)
            .expect("sources lie under the root")
            .display()
            .to_string();
        if is_test(&path) || is_generated(&path) {
            continue;
        }
        let lines = fs::read_to_string(&file).expect("a source file").lines().count();
        if lines <= MAX_LINES {
            continue;
        }
        match LONG_FILES.iter().find(|(excuse, _)| *excuse == path) {
            Some((excuse, _)) => drop(excused.insert(*excuse)),
            None => wrong.push(format!("{path}: {lines} lines; find the second noun in it")),
        }
    }
    let stale = LONG_FILES.iter().filter(|(path, _)| !excused.contains(path));
    wrong.extend(stale.map(|(path, _)| format!("{path} is short again: take it off LONG_FILES")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_stands_in_one_crate_only() {
    let home = root().join("crates").join(UNSAFE_CRATE);
    let mut wrong = Vec::new();
    for file in sources() {
        if file.starts_with(&home) || is_generated(&file.display().to_string()) {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source file");
        let parsed = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let mut finder = UnsafeFinder(0);
        finder.visit_file(&parsed);
        if finder.0 > 0 {
            wrong.push(format!(
                "{}: {} uses of unsafe; wrap it in {UNSAFE_CRATE}",
                file.display(),
                finder.0
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_but_one_inherits_the_lints() {
    for package in house().workspace_packages() {
        let manifest = fs::read_to_string(&package.manifest_path).expect("a manifest");
        let inherits = manifest.contains("[lints]\nworkspace = true");
        assert_eq!(
            inherits,
            package.name.as_str() != UNSAFE_CRATE,
            "{}: [lints] workspace = true",
            package.name
        );
    }
}

#[test]
fn no_test_is_ignored() {
    let marker = ["#[", "ignore"].concat();
    for file in sources() {
        let text = fs::read_to_string(&file).expect("a source file");
        assert!(
            !text.contains(&marker),
            "{}: a test that does not run proves nothing",
            file.display()
        );
    }
}

struct UnsafeFinder(usize);

impl<'ast> Visit<'ast> for UnsafeFinder {
    fn visit_expr_unsafe(&mut self, node: &'ast syn::ExprUnsafe) {
        self.0 += 1;
        visit::visit_expr_unsafe(self, node);
    }

    fn visit_signature(&mut self, node: &'ast syn::Signature) {
        self.0 += usize::from(node.unsafety.is_some());
        visit::visit_signature(self, node);
    }

    fn visit_item_impl(&mut self, node: &'ast syn::ItemImpl) {
        self.0 += usize::from(node.unsafety.is_some());
        visit::visit_item_impl(self, node);
    }

    fn visit_item_foreign_mod(&mut self, node: &'ast syn::ItemForeignMod) {
        self.0 += 1;
        visit::visit_item_foreign_mod(self, node);
    }
}

fn house() -> Metadata {
    MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()
        .expect("cargo metadata")
}

#[test]
fn libfuzzer_has_every_corpus() {
    let targets = fs::read_to_string(root().join("tests/fuzz/main.rs")).expect("a readable file");
    let mut missing = Vec::new();
    let mut corpora = 0;
    for top in ["crates", "waypoint", "controlplane", "cni-plugin"] {
        for entry in walkdir::WalkDir::new(root().join(top)) {
            let path = entry.expect("a readable tree").into_path();
            let is_corpus = path
                .parent()
                .is_some_and(|parent| parent.ends_with("fuzz/corpus"));
            if !is_corpus || !path.is_dir() {
                continue;
            }
            corpora += 1;
            let path = path.strip_prefix(root()).expect("it is in the workspace");
            if !targets.contains(&format!("\"{}\"", path.display())) {
                missing.push(path.display().to_string());
            }
        }
    }
    assert!(missing.is_empty(), "tests/fuzz/main.rs does not run: {missing:?}");
    assert!(corpora >= 50, "{corpora}");
}

/// What stands in backquotes and begins with a folder of the repository's top is a path of it.
#[test]
fn files_that_the_documents_name_exist() {
    let pages = walkdir::WalkDir::new(root().join("docs")).into_iter();
    let pages = pages.map(|entry| entry.expect("a readable tree").into_path());
    let first = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|page| root().join(page));
    let mut missing = Vec::new();
    let mut named = 0;
    for page in first.into_iter().chain(pages) {
        if page.extension().is_none_or(|e| e != "md") {
            continue;
        }
        let text = fs::read_to_string(&page).expect("a readable file");
        for path in text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|path| is_of_the_repository(path))
        {
            named += 1;
            if !root().join(path).exists() {
                missing.push(format!("{}: {path}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "not there: {missing:#?}");
    assert!(named >= 50, "{named}");
}

fn is_of_the_repository(path: &str) -> bool {
    let whole = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    let top = path.split_once('/').map(|(top, _)| top);
    path.chars().all(whole)
        && top.is_some_and(|top| !["", "target", "out"].contains(&top) && root().join(top).is_dir())
}

fn house_dependencies(package: &Package, kind: DependencyKind) -> BTreeSet<String> {
    // Build dependencies count as normal ones: they shape the crate just the same.
    let of_kind = |d: DependencyKind| match kind {
        DependencyKind::Development => d == DependencyKind::Development,
        _ => d != DependencyKind::Development,
    };
    package
        .dependencies
        .iter()
        .filter(|d| d.path.is_some() && of_kind(d.kind))
        .map(|d| d.name.to_string())
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the workspace's root")
}

fn sources() -> Vec<PathBuf> {
    let top = [
        "crates",
        "ztunnel",
        "waypoint",
        "controlplane",
        "cni-plugin",
        "cli",
        "images",
        "tests",
    ]
    .map(|d| root().join(d));
    let files = top
        .iter()
        .flat_map(walkdir::WalkDir::new)
        .map(|e| e.expect("a readable tree").into_path());
    files
        .filter(|p| p.extension().is_some_and(|e| e == "rs"))
        .collect()
}

fn is_test(path: &str) -> bool {
    let inside = |dir: &str| path.contains(&format!("/{dir}/"));
    path.ends_with("/tests.rs") || inside("tests") || path.starts_with("tests/tests/") || inside("benches")
}

fn is_generated(path: &str) -> bool {
    path.contains("mesh-proto/src/pb/")
}
