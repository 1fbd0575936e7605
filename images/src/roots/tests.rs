use std::path::PathBuf;

use super::*;

/// A machine's bundle, and the package's folder.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new(bundle: &str, packaged: &[&str]) -> Self {
        let machine = Self {
            dir: tempfile::tempdir().expect("a folder"),
        };
        fs::create_dir(machine.packaged()).expect("made");
        for (index, text) in packaged.iter().enumerate() {
            fs::write(machine.packaged().join(format!("{index}.crt")), text).expect("written");
        }
        fs::write(machine.bundle(), bundle).expect("written");
        machine
    }

    fn bundle(&self) -> PathBuf {
        self.dir.path().join("bundle.crt")
    }

    fn packaged(&self) -> PathBuf {
        self.dir.path().join("packaged")
    }

    fn read(&self) -> Result<String> {
        bundle(&self.bundle(), &self.packaged())
    }
}

fn certificate(body: &str) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

#[test]
fn what_only_this_machine_trusts_stays_here_and_so_does_what_it_does_not_trust() {
    let [a, b, c, own] = ["AAAA\nAAA=", "BBBB", "CCCC", "OWN0"].map(certificate);
    let machine = Machine::new(&format!("{b}{own}{a}"), &[&a, &b.replace('\n', "\r\n"), &c]);
    assert_eq!(machine.read().expect("made"), format!("{b}{a}"));
}

#[test]
fn a_missing_bundle_names_the_package() {
    let machine = Machine::new(&certificate("AAAA"), &[&certificate("AAAA")]);
    for path in [machine.bundle(), machine.packaged()] {
        let aside = path.with_extension("aside");
        fs::rename(&path, &aside).expect("moved");
        let expected = format!(
            "{} is not there: install the Debian package ca-certificates",
            path.display()
        );
        assert_eq!(machine.read().expect_err("missing").to_string(), expected);
        fs::rename(&aside, &path).expect("moved");
    }
    machine.read().expect("there again");
}

#[test]
fn a_bundle_of_strangers_alone_is_no_bundle() {
    let machine = Machine::new(&certificate("OWN0"), &[&certificate("AAAA")]);
    let error = machine.read().expect_err("nothing in common").to_string();
    assert!(error.contains("trusts none of the authorities"), "{error}");
}
