use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::GzDecoder;
use mesh_tls::service::{RootSource, SYSTEM_BUNDLES};
use serde_json::{Value, json};

use super::*;
use crate::files::Content;
use crate::layout::Blob;
use crate::standin::Standin;

/// Programs that stand in for the products, by their names.
fn products() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for program in COMPONENTS.iter().flat_map(|component| component.programs) {
        let linked = match program.runs {
            Runs::OnHost => Standin::Static,
            Runs::Inside => Standin::Dynamic,
        };
        linked.make(&dir.path().join(program.binary));
    }
    dir
}

/// `jwksUri` over HTTPS, TLS of a DestinationRule or BackendTLSPolicy without roots of its own, `XDS_ROOT_CA=SYSTEM`.
#[test]
fn who_is_told_to_trust_the_systems_roots_finds_them() {
    let products = products();
    for component in COMPONENTS {
        let files = component.files(products.path(), Effort::Quickest).expect("made");
        let bundles: Vec<_> = files
            .iter()
            .filter(|(path, _)| SYSTEM_BUNDLES.iter().any(|bundle| *path == Path::new(bundle)))
            .collect();
        if component.name == "cni" {
            assert_eq!(bundles, [], "the node agent speaks to nobody outside");
            continue;
        }
        let [(_, file)] = bundles[..] else {
            panic!("{}: {bundles:?}", component.name);
        };
        let Content::Made(bytes) = &file.content else {
            panic!("{}: {:?}", component.name, file.content);
        };
        let text = String::from_utf8(bytes.clone()).expect("PEM");
        let roots = RootSource::Inline(text).load().expect("every one can be read");
        assert!(roots.len() > 50, "{}: {}", component.name, roots.len());
    }
}

/// Who has a container engine gets the same images: the same programs at the same places, the same entry point and user.
#[test]
fn the_dockerfile_makes_the_same_images() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile");
    let text = std::fs::read_to_string(file).expect("there");
    for component in COMPONENTS {
        let stage = text.split("\nFROM ").find(|s| {
            let first = s.lines().next().unwrap_or_default();
            first.ends_with(&format!(" AS {}", component.name))
        });
        let stage = stage.unwrap_or_else(|| panic!("no stage {}", component.name));
        for Program { binary, at, .. } in component.programs {
            let line = format!("COPY --from=build /src/target/dist/{binary} {at}");
            assert!(stage.lines().any(|l| l == line), "{}: {line}", component.name);
        }
        let entry = format!("ENTRYPOINT [\"{}\"]", component.programs[0].at);
        assert!(stage.lines().any(|l| l == entry), "{}: {entry}", component.name);
        let user = match component.user {
            User::Nobody => "USER 65534:65534",
            User::Root => "USER 0:0",
        };
        assert!(stage.lines().any(|l| l == user), "{}: {user}", component.name);
        // A stage knows an argument of the whole file once it has named it.
        let (before, after) = stage.split_once("\nARG VERSION\n").expect("the version is given");
        assert!(!before.contains("$VERSION") && after.contains("$VERSION"));
        for (key, value) in component.config("$VERSION").labels {
            let label = format!("LABEL {key}=\"{value}\"");
            assert!(stage.lines().any(|l| l == label), "{}: {label}", component.name);
        }
        let materials = component.materials_file();
        let materials = format!("COPY --from=build /sbom/{materials} /usr/share/sbom/{materials}");
        assert!(
            stage.lines().any(|l| l == materials),
            "{}: {materials}",
            component.name
        );
    }
    let version = concat!("\nARG VERSION=", env!("CARGO_PKG_VERSION"), "\n");
    assert!(
        text.split("\nFROM ")
            .next()
            .is_some_and(|head| head.contains(version))
    );
    let made = "target/dist/images --products target/dist --sbom-only --out /sbom ";
    assert!(text.contains(made), "{made}");
}

/// A container engine is not sent what was built here: gigabytes, and programs of another machine.
#[test]
fn what_git_ignores_is_not_sent_to_a_container_engine() {
    let read = |name: &str| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let left_out = read(".dockerignore");
    for pattern in [".git"].into_iter().chain(read(".gitignore").lines()) {
        let plain = pattern.trim_matches('/');
        let deep = format!("**/{plain}");
        assert!(
            left_out.lines().any(|line| line == plain || line == deep),
            ".dockerignore lacks {plain}"
        );
    }
}

/// The node agent's image has `nft` of this machine and all that it needs, and says so.
#[test]
fn what_lies_in_an_image_and_is_not_ours_is_in_its_list_of_materials() {
    let products = products();
    for component in COMPONENTS {
        let files = component.files(products.path(), Effort::Quickest).expect("made");
        let carried = files.carried().expect("read");
        let listed = sbom::of(&manifest(), component.packages, &carried).expect("resolved");
        let listed = listed.to_string();
        for file in &carried {
            let entry = format!("\"file:{}\"", file.at.display());
            assert!(listed.contains(&entry), "{}: {entry}", component.name);
            assert!(listed.contains(file.digest.trim_start_matches("sha256:")));
        }
        let wanted: &[&str] = match component.trust {
            Trust::Given => &["/usr/local/bin/nft", "libnftables.so", "libc.so", "ld-linux"],
            Trust::System => &[roots::BUNDLE, "libc.so", "ld-linux"],
        };
        for part in wanted {
            assert!(
                carried
                    .iter()
                    .any(|file| file.at.display().to_string().contains(part)),
                "{}: {part} of {carried:?}",
                component.name
            );
        }
        if Path::new("/var/lib/dpkg/status").exists() {
            let packages = match component.trust {
                Trust::Given => ["nftables@", "libnftables1@"],
                Trust::System => ["ca-certificates@", "libc6@"],
            };
            for package in packages {
                assert!(
                    listed.contains(&format!("/{package}")),
                    "{}: {package}",
                    component.name
                );
            }
        }
    }
}

fn manifest() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml")
}

/// What is pushed: the whole way from programs to blobs.
#[test]
fn an_image_says_what_it_is_and_is_the_same_when_it_is_made_again() {
    let products = products();
    for component in COMPONENTS {
        let make = || {
            component
                .image(products.path(), &manifest(), "1.2.3")
                .expect("made")
        };
        let image = make();
        assert_eq!(image.digest(), make().digest(), "{}", component.name);
        let [configuration, layer, manifest] = image.blobs() else {
            panic!("{}: {} blobs", component.name, image.blobs().len());
        };
        let [configuration, manifest] =
            [configuration, manifest].map(|blob| serde_json::from_slice::<Value>(&blob.bytes).expect("JSON"));

        let config = &configuration["config"];
        let (user, entry) = match component.name {
            "controlplane" => ("65534:65534", "/usr/local/bin/lateen-controlplane"),
            "waypoint" => ("65534:65534", "/usr/local/bin/lateen-waypoint"),
            "ztunnel" => ("", "/usr/local/bin/ztunnel"),
            "cni" => ("", "/usr/local/bin/lateen-node"),
            other => panic!("{other} is new here"),
        };
        assert_eq!(config["User"], user, "{}", component.name);
        assert_eq!(config["Entrypoint"], json!([entry]));
        for labels in [&config["Labels"], &manifest["annotations"]] {
            assert_eq!(labels["org.opencontainers.image.version"], "1.2.3");
            assert_eq!(labels["org.opencontainers.image.title"], component.name);
        }

        let files = unpacked(layer);
        let materials = format!("usr/share/sbom/{}.cdx.json", component.name);
        let materials: Value = serde_json::from_slice(&files[&materials].1).expect("JSON");
        assert_eq!(materials["bomFormat"], "CycloneDX");
        for program in component.programs {
            let (mode, bytes) = &files[program.at.trim_start_matches('/')];
            assert_eq!(*mode, 0o755, "{}", program.at);
            let whole = std::fs::metadata(products.path().join(program.binary)).expect("there");
            assert!((bytes.len() as u64) < whole.len(), "{} is stripped", program.at);
        }
    }
}

/// The files of a layer, with their permissions.
fn unpacked(layer: &Blob) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut archive = tar::Archive::new(GzDecoder::new(layer.bytes.as_slice()));
    let mut files = BTreeMap::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("readable");
        let path = entry.path().expect("a path").display().to_string();
        files.insert(path, (entry.header().mode().expect("a mode"), bytes));
    }
    files
}

/// Whichever way an image is made: a cluster's hosts may lack what this machine has.
#[test]
fn a_plugin_that_needs_a_loader_is_refused() {
    let products = products();
    let cni = COMPONENTS
        .iter()
        .find(|component| component.name == "cni")
        .expect("there");
    for effort in [Effort::Smallest, Effort::Quickest] {
        Standin::Static.make(&products.path().join("lateen-cni"));
        cni.files(products.path(), effort).expect("static");
        Standin::Dynamic.make(&products.path().join("lateen-cni"));
        let error = cni.files(products.path(), effort).expect_err("dynamic");
        assert!(format!("{error:#}").contains("scripts/plugin.sh"), "{error:#}");
    }
    assert!(cni.quick_image(products.path(), "0").is_err());
    assert_eq!(host_limit(Effort::Smallest), Some(3 * 1024 * 1024));
}
