//! The checked-in protobuf code is what its `.proto` files give, and CRDs what our types give. `LATEEN_UPDATE=1` rewrites
//! both.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const FILES: [&str; 36] = [
    "istio/workload.proto",
    "istio/authorization.proto",
    "istio/zds.proto",
    "istio/ca.proto",
    "envoy/client_status.proto",
    "envoy/discovery.proto",
    "envoy/external_auth.proto",
    "envoy/external_processor.proto",
    "envoy/rate_limit.proto",
    "lateen/register.proto",
    "lateen/delivery.proto",
    "lateen/settled.proto",
    "lateen/l7/authentication.proto",
    "lateen/l7/authorization.proto",
    "lateen/l7/backend.proto",
    "lateen/l7/bind.proto",
    "lateen/l7/common.proto",
    "lateen/l7/endpoint_labels.proto",
    "lateen/l7/external_auth.proto",
    "lateen/l7/filter.proto",
    "lateen/l7/health.proto",
    "lateen/l7/policy.proto",
    "lateen/l7/processing.proto",
    "lateen/l7/rate_limit.proto",
    "lateen/l7/resilience.proto",
    "lateen/l7/route.proto",
    "lateen/l7/telemetry.proto",
    "lateen/l7/tls.proto",
    "lateen/l7/traffic.proto",
    "lateen/l7/quota.proto",
    "opentelemetry/common.proto",
    "opentelemetry/resource.proto",
    "opentelemetry/trace.proto",
    "opentelemetry/logs.proto",
    "opentelemetry/trace_service.proto",
    "opentelemetry/logs_service.proto",
];

#[test]
fn generated_code_matches_its_proto_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/mesh-proto");
    let checked_in = root.join("src/pb");
    let fresh = generate(&root.join("proto"));
    if std::env::var_os("LATEEN_UPDATE").is_some() {
        fs::remove_dir_all(&checked_in).expect("old generated code can be removed");
        fs::create_dir_all(&checked_in).expect("the directory can be made");
        for (name, text) in &fresh {
            fs::write(checked_in.join(name), text).expect("generated code can be written");
        }
    }
    let present = read_dir(&checked_in);
    let names = |m: &BTreeMap<String, String>| m.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&present),
        names(&fresh),
        "run LATEEN_UPDATE=1 cargo test -p mesh-tests --test generated"
    );
    for (name, text) in &fresh {
        assert!(
            present[name] == *text,
            "{name} is not what the .proto files give: run LATEEN_UPDATE=1 cargo test -p mesh-tests --test generated"
        );
    }
}

/// The chart's CRDs are what the types give that objects are read into.
#[test]
fn crds_match_the_types_that_objects_are_read_into() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let checked_in = root.join("charts/base/files/crds");
    let fresh = controlplane_crds::files(&root.join("controlplane/k8s-api/src")).expect("CRDs are made");
    let fresh: BTreeMap<String, String> = fresh.into_iter().map(|f| (f.name, f.text)).collect();
    if std::env::var_os("LATEEN_UPDATE").is_some() {
        drop(fs::remove_dir_all(&checked_in));
        fs::create_dir_all(&checked_in).expect("the directory can be made");
        for (name, text) in &fresh {
            fs::write(checked_in.join(name), text).expect("a CRD can be written");
        }
    }
    let present = read_dir(&checked_in);
    let names = |m: &BTreeMap<String, String>| m.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&present), names(&fresh), "run make crds");
    for (name, text) in &fresh {
        assert!(
            present[name] == *text,
            "{name} is not what its types give: run make crds"
        );
    }
}

/// What is answered to objects that are wrong stands where people look for it, as it stands in the catalogue.
#[test]
fn the_page_of_objects_that_are_wrong_is_made_of_the_catalogue() {
    let read = |folder: &str| lab::catalogue::read(folder).expect("the catalogue");
    let told = [read("late"), read("told")].concat();
    let page = lab::catalogue::page(&read("invalid"), &read("warned"), &told);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/invalid-objects.md");
    if std::env::var_os("LATEEN_UPDATE").is_some() {
        fs::write(&path, &page).expect("the page can be written");
    }
    let present = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        present == page,
        "docs/invalid-objects.md is not what the catalogue gives: run LATEEN_UPDATE=1 cargo test -p mesh-tests --test generated"
    );
}

/// Of our own messages for waypoints, every message, enum, field and choice has a comment.
#[test]
fn every_part_of_the_waypoints_configuration_is_documented() {
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/mesh-proto/proto");
    let files = FILES.iter().filter(|file| file.starts_with("lateen/l7/"));
    let mut bare = Vec::new();
    for file in files {
        let text = fs::read_to_string(protos.join(file)).expect("a .proto file");
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for (number, pair) in lines.windows(2).enumerate() {
            let (before, line) = (pair[0], pair[1]);
            let declares = ["message ", "enum "].iter().any(|word| line.starts_with(word));
            // Zero values say "not said" everywhere, and some values' names say all; oneofs are described by their cases.
            let field = line.ends_with(';')
                && line.contains(" = ")
                && !line.starts_with("//")
                && !is_enum_value(line);
            if (declares || field) && !before.starts_with("//") {
                bare.push(format!("{file}:{}: {line}", number + 2));
            }
        }
    }
    assert!(bare.is_empty(), "no comment:\n{}", bare.join("\n"));
}

fn is_enum_value(line: &str) -> bool {
    let name = line.split(" = ").next().unwrap_or_default();
    name.chars()
        .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

fn generate(protos: &Path) -> BTreeMap<String, String> {
    let out = tempfile::tempdir().expect("a temporary directory");
    let descriptors = protox::compile(FILES, [protos]).expect("the .proto files compile");
    tonic_prost_build::configure()
        .btree_map(".")
        .bytes(".")
        // Holds a private key.
        .skip_debug([".lateen.l7.v1.Certificate"])
        .compile_well_known_types(true)
        .emit_package(false)
        .out_dir(out.path())
        .include_file("mod.rs")
        .compile_fds(descriptors)
        .expect("code is generated");
    read_dir(out.path())
}

fn read_dir(dir: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(dir)
        .expect("the directory can be read")
        .map(|e| e.expect("an entry").path());
    let name = |p: &PathBuf| p.file_name().expect("a name").to_string_lossy().into_owned();
    files
        .map(|p| (name(&p), fs::read_to_string(&p).expect("text")))
        .collect()
}
